//! Every command with an output that nobody reads.

use super::machine::Machine;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The end of a pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A folder with what the commands read: a workspace with a program and a test, as dune has built
/// them, and a `dune` that builds nothing.
fn prepare(folder: &Path) {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("made");
        fs::write(&path, text).expect("written");
    };
    write("bin/dune", "#!/bin/sh\n");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.join("bin/dune"), mode).expect("set");
    write("dune-project", "(lang dune 3.17)\n");
    write(
        "dune",
        "(executable (name main))\n(test (name check) (modules check))\n",
    );
    write("files/a.txt", "text");
    write("init/dune-project", "(lang dune 3.17)\n");
    write("_build/default/.keep", "");
    for name in ["main", "check"] {
        fs::copy(
            "/bin/true",
            folder.join(format!("_build/default/{name}.exe")),
        )
        .expect("copied");
    }
}

/// The names of the subcommands, by the command's own list.
fn subcommands(words: &[&str]) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soil"));
    let output = command.args(words).arg("--help").output().expect("started");
    let text = String::from_utf8(output.stdout).expect("text");
    let list = text.split("\nCommands:\n").nth(1).expect("a list");
    let list = list.split("\n\n").next().expect("its end");
    let names = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_reader_that_has_gone_is_no_panic_of_any_command() {
    let machine = Machine::new("");
    let image = machine.path("main.exe");
    let image = image.to_str().expect("UTF-8");
    let soil = env!("CARGO_BIN_EXE_soil");
    // In an order in which later ones use what earlier ones made.
    let commands: &[&[&str]] = &[
        &["run", image, "--dry-run"],
        &["run", image, "--dry-run=libvirt"],
        &["run", image, "--vmm", "firecracker", "--dry-run"],
        &["run", image, "--vmm", "cloud-hypervisor", "--dry-run"],
        &["run", "/bin/true", "--dry-run"],
        &["needs", "/bin/true"],
        &["needs", "/bin/true", "--json"],
        &["symbolize", soil, "0x1"],
        &["new", "project"],
        &["init"],
        &["build"],
        &["build", "--json"],
        &["test"],
        &["test", "--json"],
        &["simulate", "/bin/true", "--seeds", "1-1", "--no-shrink"],
        &[
            "simulate",
            "/bin/true",
            "--seeds",
            "1-1",
            "--no-shrink",
            "--json",
        ],
        &["doctor"],
        &["doctor", "--json"],
        &["completions", "bash"],
        &["man", "manual"],
        &["embed", "files"],
        &["strip", image, "stripped.elf"],
        &["image", "/bin/true", "--format", "oci", "-o", "container"],
        &[
            "disk", "make", "d.img", "files", "--fs", "fat", "--size", "1M",
        ],
        &["disk", "list", "d.img"],
        &["disk", "list", "d.img", "--json"],
        &["disk", "check", "d.img"],
        &["disk", "check", "d.img", "--json"],
        &["disk", "extract", "d.img", "extracted"],
        &["disk", "make", "e.img", "--fs", "ext4", "--size", "4M"],
        &["disk", "grow", "e.img", "--size", "8M"],
        &["--help"],
        &["--version"],
        &["rnu"],
    ];
    // Once with the messages, and once with an output of errors that nobody reads, either.
    for with_errors in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path());
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{path}", folder.path().join("bin").display());
        for words in commands {
            let mut command = Command::new(soil);
            command.args(*words).current_dir(&folder).env("PATH", &path);
            command.stdin(Stdio::null()).stdout(closed());
            command.stderr(if with_errors {
                Stdio::piped()
            } else {
                closed()
            });
            let output = command.output().expect("started");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!text.contains("panicked"), "{words:?}: {text}");
            let expected: &[i32] = match words[0] {
                // No test reports by `true`.
                "simulate" => &[1],
                "doctor" => &[0, 1],
                "rnu" => &[2],
                _ => &[0],
            };
            let status = output.status.code();
            assert!(
                status.is_some_and(|it| expected.contains(&it)),
                "{words:?}: {output:?}"
            );
        }
    }
    let tried = |at: usize, of: Option<&str>| -> BTreeSet<String> {
        let ours = commands
            .iter()
            .filter(|words| of.is_none_or(|name| words[0] == name));
        let names = ours.filter_map(|words| words.get(at));
        let names = names.filter(|name| !name.starts_with('-') && **name != "rnu");
        names.map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(tried(0, None), subcommands(&[]), "each is tried");
    assert_eq!(
        tried(1, Some("disk")),
        subcommands(&["disk"]),
        "each is tried"
    );
}
