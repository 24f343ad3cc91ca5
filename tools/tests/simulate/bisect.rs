//! `soil simulate --bisect`, with a shell script in dune's place that copies the test.

use super::stand_in::{Ran, Test, script, write_script};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs git in a folder.
fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@b.c", "-C"])
        .arg(folder)
        .args(words)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A repository with seven commits: the fourth can't be built, the sixth fails first, in term 6.
///
/// Its dune acts as dune does: it builds no target whose source is the same as at the last build,
/// even if the target has gone, and each build promotes a file that git tracks, and another that
/// it tracks from the fifth commit on.
struct Repository {
    /// Its folder is the repository.
    test: Test,
}

impl Repository {
    fn new() -> Self {
        let test = Test::new("");
        let root = test.path("");
        fs::create_dir(test.path("programs")).expect("made");
        write_script(
            &test.path("programs/dune"),
            "#!/bin/sh\n[ \"$1 $2 $4\" = 'build --root @_build/default/default' ] || exit 9\n\
            cd \"$3\" && echo \"$$\" | tee promoted >late && ! grep -q broken test.sh || exit 1\n\
            ! cmp -s test.sh _build/built || exit 0\n\
            mkdir -p _build/default/test && cp test.sh _build/built &&\n\
            cp test.sh _build/default/test/sim.exe\n",
        );
        git(&root, &["init", "-q", "-b", "main"]);
        fs::write(test.path(".gitignore"), "_build\nprograms\ntest.exe\n").expect("written");
        for number in 1..=7 {
            let body = match number {
                4 => "broken".to_owned(),
                1..6 => "report passed".to_owned(),
                _ => format!("report failed ',\"message\":\"in term {number}\"'"),
            };
            write_script(&test.path("test.sh"), &script(&body));
            fs::write(test.path("promoted"), number.to_string()).expect("written");
            if number >= 5 {
                fs::write(test.path("late"), number.to_string()).expect("written");
            }
            git(&root, &["add", "."]);
            git(&root, &["commit", "-qm", &format!("commit {number}")]);
        }
        fs::create_dir_all(test.path("_build/default/test")).expect("made");
        let built = test.path("_build/default/test/sim.exe");
        fs::copy(test.path("test.sh"), built).expect("copied");
        Self { test }
    }

    fn bisect(&self, good: &str) -> Ran {
        Ran::of(&self.command(good).output().expect("soil starts"))
    }

    fn command(&self, good: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soil"));
        let path = std::env::var("PATH").expect("a PATH");
        let programs = self.test.path("programs");
        command
            .args(["simulate", "_build/default/test/sim.exe", "--seed", "1"])
            .args(["--bisect", good])
            .current_dir(self.test.path(""))
            .env("PATH", format!("{}:{path}", programs.display()));
        command
    }
}

#[test]
fn the_first_bad_commit_is_named_and_the_checkout_left_alone() {
    let repository = Repository::new();
    let root = repository.test.path("");
    fs::write(repository.test.path("test.sh"), "changed").expect("written");
    fs::write(repository.test.path("untracked"), "own").expect("written");
    let ran = repository.bisect("HEAD~6");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.output.contains("is the first bad commit"), "{ran:?}");
    assert!(ran.output.contains("commit 6"), "{ran:?}");
    for line in ["skip: ", "good: "] {
        assert!(ran.errors.contains(&format!("soil: {line}")), "{ran:?}");
    }
    assert!(
        ran.errors.contains("changes that aren't committed"),
        "{ran:?}"
    );
    let changed = fs::read_to_string(repository.test.path("test.sh")).expect("there");
    assert_eq!(changed, "changed");
    assert!(repository.test.path("untracked").exists());
    assert_eq!(git(&root, &["branch", "--show-current"]), "main\n");
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_search_needs_a_good_and_a_bad_commit() {
    let repository = Repository::new();
    let ran = repository.bisect("HEAD~1");
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.errors
            .contains(" isn't good: in term 6: name an older commit"),
        "{ran:?}"
    );
    let ran = repository.bisect("nothing");
    assert!(ran.errors.contains("git: "), "{ran:?}");
    let root = repository.test.path("");
    git(&root, &["checkout", "-q", "HEAD~2"]);
    let ran = repository.bisect("HEAD~3");
    assert!(
        ran.errors.contains("doesn't fail with these options"),
        "{ran:?}"
    );
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn a_signal_ends_the_search_during_a_run() {
    let repository = Repository::new();
    let root = repository.test.path("");
    let started = repository.test.path("started");
    let body = format!("touch '{}'; sleep 1000", started.display());
    write_script(&repository.test.path("test.sh"), &script(&body));
    git(&root, &["commit", "-qam", "commit 8"]);
    let mut command = repository.command("HEAD~7");
    command.args(["--limit", "40s"]).stderr(Stdio::piped());
    let soil = command.spawn().expect("soil starts");
    let until = Instant::now() + Duration::from_secs(60);
    while !started.exists() {
        assert!(Instant::now() < until, "no run starts");
        std::thread::sleep(Duration::from_millis(10));
    }
    let began = Instant::now();
    kill_process(Pid::from_child(&soil), Signal::INT).expect("it runs");
    let ran = Ran::of(&soil.wait_with_output().expect("waited for"));
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.errors.ends_with("interrupted\n"), "{ran:?}");
    assert!(began.elapsed().as_secs() < 30, "it waited for the limit");
    assert_eq!(git(&root, &["worktree", "list"]).lines().count(), 1);
}
