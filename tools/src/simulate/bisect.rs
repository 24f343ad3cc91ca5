//! `--bisect`: finds the first commit at which a run fails, with `git bisect` in a temporary
//! worktree, so that the user's files, branches and bisections stay as they are.

use super::execution::{Case, Test};
use super::report::{Kind, Report};
use crate::failure::{Context as _, Failure};
use crate::messages::say;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A worktree of a repository in a temporary folder, removed on drop.
struct Worktree {
    /// The user's worktree.
    origin: PathBuf,
    folder: tempfile::TempDir,
    /// Set by a signal that requests an end.
    stopped: Arc<AtomicBool>,
}

/// The places of the test.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    /// The root of the user's worktree.
    origin: PathBuf,
    /// The root of the dune workspace in it, relative.
    workspace: PathBuf,
    /// The test's file from there on: `_build/default/…/test.exe`.
    program: PathBuf,
}

impl Places {
    /// Finds the places of a test in the worktree with the root `origin`.
    fn of(program: &Path, origin: &Path) -> Result<Self, Failure> {
        let build = program
            .ancestors()
            .find(|folder| folder.file_name().is_some_and(|name| name == "_build"))
            .and_then(Path::parent);
        let found = build.and_then(|root| {
            Some(Self {
                origin: origin.to_owned(),
                workspace: root.strip_prefix(origin).ok()?.to_owned(),
                program: program.strip_prefix(root).ok()?.to_owned(),
            })
        });
        found.ok_or_else(|| {
            let origin = origin.display();
            Failure::on(program, format!("isn't in a _build folder of {origin}"))
                .remedy("--bisect needs a test that dune builds in a repository of git")
        })
    }

    /// What dune builds if no option says so: all of the test's context.
    fn target(&self) -> String {
        let context: PathBuf = self.program.iter().take(2).collect();
        format!("@{}/default", context.display())
    }
}

/// The outcome at a commit, in git's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Good,
    Bad,
    /// It can't be built, or fails in another way.
    Skip,
}

impl Judged {
    fn of(report: &Report, kind: &Kind) -> Self {
        match report.kind() {
            None => Self::Good,
            Some(found) if found == *kind => Self::Bad,
            Some(_) => Self::Skip,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Skip => "skip",
        }
    }
}

/// Finds the first commit after `good` at which the case fails as it does at HEAD. Returns git's
/// text about it.
pub fn run(test: &Test, case: &Case, good: &str, targets: &[String]) -> Result<String, Failure> {
    let program = test.program().canonicalize().on(test.program())?;
    let folder = program.parent().unwrap_or_else(|| Path::new("/"));
    let origin = text(git(folder).args(["rev-parse", "--show-toplevel"]))?;
    let places = Places::of(&program, Path::new(&origin))?;
    let commit = |name: &str| {
        let name = format!("{name}^{{commit}}");
        text(git(&places.origin).args(["rev-parse", "--verify", &name]))
    };
    let (good, bad) = (commit(good)?, commit("HEAD")?);
    if !text(git(&places.origin).args(["status", "--porcelain", "--untracked-files=no"]))?
        .is_empty()
    {
        say("changes that aren't committed take no part");
    }
    let targets = match targets {
        [] => vec![places.target()],
        targets => targets.to_vec(),
    };
    let worktree = Worktree::new(&places.origin, Arc::clone(&test.stopped))?;
    let at = |commit: &str| -> Result<Option<Report>, Failure> {
        worktree.clean()?;
        worktree.git(&["checkout", "--quiet", "--detach", commit])?;
        worktree.report(test, case, &places, &targets)
    };
    let kind = at(&bad)?.and_then(|report| report.kind()).ok_or_else(|| {
        Failure::new(format!(
            "HEAD ({}) doesn't fail with these options",
            brief(&bad)
        ))
        .remedy("--bisect looks at commits: commit the changes that fail")
    })?;
    match at(&good)? {
        Some(report) if report.kind().is_none() => {}
        report => {
            let why = report.map_or("it isn't built".to_owned(), |report| report.described());
            return Err(Failure::new(format!("{} isn't good: {why}", brief(&good)))
                .remedy("name an older commit, at which the run passes"));
        }
    }
    worktree.clean()?;
    let mut said = worktree.git(&["bisect", "start", &bad, &good])?;
    while !is_over(&said) {
        let judged = match worktree.report(test, case, &places, &targets)? {
            None => Judged::Skip,
            Some(report) => Judged::of(&report, &kind),
        };
        let commit = worktree.git(&["log", "-1", "--format=%h %s"])?;
        say(&format!("{}: {}", judged.word(), commit.trim_end()));
        said = worktree.bisect(judged)?;
    }
    Ok(said)
}

/// Whether git's text ends the search: with a commit, or with several if some were skipped.
fn is_over(said: &str) -> bool {
    said.contains("is the first bad commit") || said.contains("The first bad commit could be")
}

impl Worktree {
    /// Makes a worktree with the commit at HEAD. A signal that requests an end sets `stopped`.
    fn new(origin: &Path, stopped: Arc<AtomicBool>) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().on(std::env::temp_dir())?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stopped))
                .map_err(|error| Failure::new(format!("signals can't be handled: {error}")))?;
        }
        let worktree = Self {
            origin: origin.to_owned(),
            folder,
            stopped,
        };
        let add = ["worktree", "add", "--quiet", "--detach"];
        text(git(origin).args(add).arg(worktree.root()).arg("HEAD"))?;
        Ok(worktree)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("worktree")
    }

    fn git(&self, words: &[&str]) -> Result<String, Failure> {
        self.alive()?;
        text(git(&self.root()).args(words))
    }

    /// Undoes changes of files that git tracks, and removes others. A build may have promoted both:
    /// git checks out no other commit over them. What is built stays. Git removes files in the
    /// temporary folder alone: those below the folder in which it runs.
    fn clean(&self) -> Result<(), Failure> {
        self.git(&["reset", "--quiet", "--hard"])?;
        self.git(&["clean", "--quiet", "--force", "-d", "--exclude=_build"])?;
        Ok(())
    }

    /// Gives git the outcome at the present commit. Git fails if only skipped commits are left,
    /// and lists them.
    fn bisect(&self, judged: Judged) -> Result<String, Failure> {
        self.clean()?;
        let output = output(git(&self.root()).args(["bisect", judged.word()]))?;
        self.alive()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() || is_over(&said) {
            true => Ok(said),
            false => Err(Failure::on(
                "git bisect",
                String::from_utf8_lossy(&output.stderr).trim(),
            )),
        }
    }

    /// An error after a signal.
    fn alive(&self) -> Result<(), Failure> {
        match self.stopped.load(Ordering::Relaxed) {
            true => Err(Failure::new("interrupted")),
            false => Ok(()),
        }
    }

    /// Builds the present commit and runs the case. `None`: it can't be built.
    fn report(
        &self,
        test: &Test,
        case: &Case,
        places: &Places,
        targets: &[String],
    ) -> Result<Option<Report>, Failure> {
        let workspace = self.root().join(&places.workspace);
        let program = workspace.join(&places.program);
        let built = output(
            Command::new("dune")
                .args(["build", "--root"])
                .arg(&workspace)
                .args(targets)
                .arg(&places.program)
                .current_dir(self.root()),
        )?;
        self.alive()?;
        // The program is a target of its own: dune fails if this commit doesn't build it.
        if !built.status.success() {
            return Ok(None);
        }
        let report = test.at(program).run(case, None)?.report;
        self.alive()?;
        Ok(Some(report))
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        let remove = ["worktree", "remove", "--force"];
        let removed = output(git(&self.origin).args(remove).arg(self.root()));
        if !removed.is_ok_and(|removed| removed.status.success()) {
            let folder = self.folder.path().display();
            say(&format!(
                "{folder}: the worktree stays: 'git worktree prune' forgets it"
            ));
        }
    }
}

/// The first digits of a commit.
fn brief(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // Those that a hook of git sets name another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").arg("-C").arg(folder);
    command
}

/// Runs a command to its end.
fn output(command: &mut Command) -> Result<Output, Failure> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|error| Failure::on(command.get_program(), format!("did not start: {error}")))
}

/// What a command prints, without the last newline. Errors: it fails.
fn text(command: &mut Command) -> Result<String, Failure> {
    let output = output(command)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()),
        false => {
            let program = command.get_program().to_owned();
            Err(Failure::on(
                program,
                String::from_utf8_lossy(&output.stderr).trim(),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, Places, is_over};
    use crate::simulate::report::{Report, Verdict};
    use std::path::Path;

    #[test]
    fn a_test_is_found_in_its_workspace() {
        let program = Path::new("/r/part/_build/default/test/sim.exe");
        let places = Places::of(program, Path::new("/r")).expect("there");
        assert_eq!(places.workspace, Path::new("part"));
        assert_eq!(places.program, Path::new("_build/default/test/sim.exe"));
        assert_eq!(places.target(), "@_build/default/default");
        for wrong in ["/r/test/sim.exe", "/other/_build/default/sim.exe"] {
            let error = Places::of(Path::new(wrong), Path::new("/r")).expect_err(wrong);
            assert!(error.to_string().contains("git"), "{error}");
        }
    }

    #[test]
    fn another_failure_is_skipped() {
        let bad = Report::error(1, "term 3".to_owned());
        let kind = bad.kind().expect("it fails");
        let mut passed = bad.clone();
        passed.verdict = Verdict::Passed;
        let other = Report::error(1, "crash".to_owned());
        for (report, judged) in [
            (bad, Judged::Bad),
            (passed, Judged::Good),
            (other, Judged::Skip),
        ] {
            assert_eq!(Judged::of(&report, &kind), judged);
        }
        assert!(is_over("1a2b is the first bad commit\ncommit 1a2b"));
        assert!(!is_over(
            "Bisecting: 3 revisions left to test after this (roughly 2 steps)"
        ));
    }
}
