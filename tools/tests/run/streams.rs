//! Standard streams that aren't plain pipes, and those that fail.

use crate::machine::{Machine, Ran};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

const READS_THREE: &str = "echo SOIL-INPUT >&8\nhead -c 3 | od -An -tx1\necho SOIL-EXIT 0 >&8\n";

/// A stream that doesn't block at our end, and the other end.
fn non_blocking() -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("set");
    (ours.into(), theirs)
}

#[test]
fn non_blocking_input_is_waited_for() {
    let machine = Machine::new(&READS_THREE.replace("head", ": >\"$0.up\"\nhead"));
    let (stdin, mut writer) = non_blocking();
    let child = machine
        .command(&[])
        .stdin(stdin)
        .spawn()
        .expect("soil starts");
    crate::machine::wait_until("input is asked for", || machine.path("qemu.up").exists());
    // Nothing was there for a moment.
    std::thread::sleep(std::time::Duration::from_millis(200));
    writer.write_all(b"a").expect("written");
    drop(writer);
    let ran = Ran::of(&child.wait_with_output().expect("waited for"));
    assert_eq!(
        (ran.status, ran.output.trim()),
        (Some(0), "61 10 04"),
        "{ran:?}"
    );
}

#[test]
fn input_that_can_not_be_read_is_named_and_ends() {
    let machine = Machine::new(&READS_THREE.replace("-c 3", "-c 2"));
    let folder = File::open("/").expect("a folder");
    let output = machine.command(&[]).stdin(folder).output();
    let ran = Ran::of(&output.expect("soil starts"));
    assert_eq!(
        (ran.status, ran.output.trim()),
        (Some(0), "10 04"),
        "{ran:?}"
    );
    assert!(
        ran.errors.contains("standard input: Is a directory"),
        "{ran:?}"
    );
}

#[test]
fn non_blocking_output_gets_everything() {
    let machine = Machine::new("seq 100000\necho SOIL-EXIT 0 >&8\n");
    let (stdout, mut reader) = non_blocking();
    let mut child = {
        let mut command = machine.command(&[]);
        command.stdout(stdout).spawn().expect("soil starts")
        // The command goes, and its copy of our end with it.
    };
    // It is full for a moment.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("readable");
    assert_eq!(child.wait().expect("waited for").code(), Some(0));
    let expected: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(text == expected, "{} bytes", text.len());
}

#[test]
fn output_that_can_not_be_written_is_named_and_no_success() {
    for (own, expected) in [(0, 74), (3, 3)] {
        let machine = Machine::new(&format!("echo x\necho SOIL-EXIT {own} >&8\n"));
        let full = File::create("/dev/full").expect("open");
        let output = machine.command(&[]).stdout(full).output();
        let ran = Ran::of(&output.expect("soil starts"));
        assert_eq!(ran.status, Some(expected), "{ran:?}");
        assert!(
            ran.errors.contains("standard output: No space left"),
            "{ran:?}"
        );
    }
}

/// As with any program: a reader that has seen enough is no error to talk about.
#[test]
fn output_to_a_closed_pipe_is_quiet_and_no_success() {
    let machine = Machine::new("echo x\necho SOIL-EXIT 0 >&8\n");
    let mut child = machine.command(&[]);
    let (reader, writer) = UnixStream::pair().expect("a pair");
    // For the copies as well that a child of another test may have.
    reader.shutdown(Shutdown::Both).expect("shut down");
    let writer = OwnedFd::from(writer);
    let ran = Ran::of(&child.stdout(writer).output().expect("soil starts"));
    assert_eq!((ran.status, ran.errors.as_str()), (Some(128 + 13), ""));
}
