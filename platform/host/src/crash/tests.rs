//! Programs that crash, and their reports.

use super::*;
use core::hint::black_box;
use core::ptr::with_exposed_provenance_mut;
use maps::PROGRAM;
use std::process::Command;
use std::string::{String, ToString};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::vec::Vec;
use symbols::File;

/// Set in a process that crashes: how.
const CRASHES_BY: &str = "CRASHES_BY";

#[test]
fn a_build_id_is_printed_in_hexadecimal() {
    assert_eq!(Hexadecimal(&[0x01, 0xab, 0xf0]).to_string(), "01abf0");
}

#[test]
fn the_handler_of_the_runtime_runs_first_and_comes_back() {
    let of = |signal| signals::whole_action(signal).sa_sigaction;
    let own = handle as *const () as usize;
    // Rust's runtime has a handler of SIGSEGV, as OCaml's has.
    let before = of(libc::SIGSEGV);
    assert!(![libc::SIG_DFL, libc::SIG_IGN, own].contains(&before));
    for _ in 0..2 {
        install();
        assert!([libc::SIGSEGV, libc::SIGILL].map(of) == [own; 2]);
        assert_eq!(BEFORE.0.load(Ordering::Relaxed), before);
    }
    remove();
    assert!([libc::SIGSEGV, libc::SIGILL].map(of) == [before, libc::SIG_DFL]);
}

/// Crashes by the variable's value. Each has a frame of its own.
#[test]
fn this_process_crashes_if_it_is_asked_to() {
    let Ok(how) = std::env::var(CRASHES_BY) else {
        return;
    };
    install();
    // It ends the wait, which the crash comes before.
    let (to, from) = channel();
    if how == "beside another thread" {
        let (started, number) = channel();
        let named = std::thread::Builder::new().name("waits".to_string());
        let other = named.spawn(move || wait_for_ever(&started, &from));
        other.expect("a thread");
        let number = number.recv().expect("its number");
        let call = std::format!("/proc/self/task/{number}/syscall");
        while std::fs::read_to_string(&call)
            .expect("Linux")
            .starts_with("running")
        {
            std::thread::yield_now();
        }
    }
    match how.as_str() {
        "write" | "beside another thread" => write_to(8),
        "read" => read_from(0xdead_0000),
        "code" => write_to(write_to as *const () as usize),
        "execution" => call(0xdead_0000),
        "overflow" => drop(black_box(recurse(&[0; 1024]))),
        "abort" => std::process::abort(),
        // SAFETY: it has no preconditions.
        "signal" => drop(unsafe { libc::raise(libc::SIGFPE) }),
        other => panic!("{other}"),
    }
    drop(to);
}

#[inline(never)]
fn wait_for_ever(started: &Sender<i32>, from: &Receiver<()>) {
    // SAFETY: it has no preconditions.
    let _ = started.send(unsafe { libc::gettid() });
    let _ = from.recv();
}

#[inline(never)]
fn write_to(address: usize) {
    // SAFETY: this process is to crash by it.
    unsafe { *with_exposed_provenance_mut::<u64>(address) = 1 }
}

#[inline(never)]
fn read_from(address: usize) {
    // SAFETY: as above.
    black_box(unsafe { *with_exposed_provenance_mut::<u64>(address) });
}

#[inline(never)]
#[expect(unconditional_recursion)]
fn recurse(above: &[u64; 1024]) -> u64 {
    let own = black_box(*above);
    recurse(&own) + own[0]
}

#[inline(never)]
fn call(address: usize) {
    let handler = Handler { address };
    // SAFETY: as above.
    unsafe { (handler.simple)(0) }
}

/// The signal that ended a process which crashes in this way, and its report.
fn crash(how: &str) -> (i32, Vec<String>) {
    use std::os::unix::process::ExitStatusExt;
    let name = "crash::tests::this_process_crashes_if_it_is_asked_to";
    let mut child = Command::new("/proc/self/exe");
    child.args(["--exact", name, "--test-threads=1"]);
    let output = child.env(CRASHES_BY, how).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let report = text.lines().skip_while(|line| !line.starts_with("soil: "));
    let report = report.map(str::to_string).collect();
    (output.status.signal().expect("a signal"), report)
}

/// What an instruction did, as a report says it: arm64 doesn't tell reads from writes.
fn says(line: &str, access: &str, rest: &str) -> bool {
    [access, "an access"]
        .map(|access| std::format!("soil: crash: SIGSEGV: {access} at {rest}"))
        .iter()
        .any(|expected| line == expected)
}

#[test]
fn the_first_line_says_what_happened() {
    for (how, access, rest) in [
        ("write", "write", "0x8: a null pointer was used"),
        ("read", "read", "0xdead0000: nothing is mapped there"),
        (
            "execution",
            "execution",
            "0xdead0000: nothing is mapped there",
        ),
    ] {
        let (signal, report) = crash(how);
        assert_eq!(signal, libc::SIGSEGV);
        assert!(says(&report[0], access, rest), "{how}: {report:?}");
    }
    let (_, report) = crash("code");
    assert!(
        report[0].ends_with(": the mapping doesn't permit it"),
        "{report:?}"
    );
    for (how, number, name) in [
        ("abort", libc::SIGABRT, "SIGABRT"),
        ("signal", libc::SIGFPE, "SIGFPE"),
    ] {
        let (signal, report) = crash(how);
        assert_eq!(signal, number);
        assert_eq!(
            report[0],
            std::format!("soil: crash: the program ended itself by {name}")
        );
    }
}

#[test]
fn the_handler_of_the_runtime_ends_an_overflow_of_the_stack() {
    // Rust's says so, and aborts; without it this is a SIGSEGV.
    assert_eq!(crash("overflow").0, libc::SIGABRT);
}

#[test]
fn a_report_has_registers_and_calls() {
    let (_, report) = crash("write");
    // The program is the same file.
    let id = File::open(PROGRAM).and_then(|file| file.build_id());
    let id = id.map(|id| std::format!("  build-id {}", Hexadecimal(id)));
    assert_eq!(
        report.iter().find(|line| line.starts_with("  build-id ")),
        id.as_ref()
    );
    let registers = report.iter().filter(|line| line.starts_with("  register "));
    // x86-64 has 16 and the instruction pointer, arm64 31, SP and PC.
    assert!([17, 33].contains(&registers.count()), "{report:?}");
    let frames: Vec<&String> = report
        .iter()
        .filter(|line| line.starts_with("  frame "))
        .collect();
    assert!(frames[0].contains("::write_to"), "{frames:?}");
    assert!(frames[1].contains("::this_process_crashes"), "{frames:?}");
}

#[test]
fn a_jump_to_nowhere_has_its_caller() {
    let (_, report) = crash("execution");
    let mut frames = report.iter().filter(|line| line.starts_with("  frame "));
    assert_eq!(
        frames.next().map(String::as_str),
        Some("  frame 0xdead0000 ?")
    );
    assert!(
        frames.next().is_some_and(|frame| frame.contains("::call")),
        "{report:?}"
    );
}

#[test]
fn a_report_has_the_threads_that_wait() {
    let (_, report) = crash("beside another thread");
    let at = report
        .iter()
        .position(|line| line.ends_with(" (waits)"))
        .expect("the thread");
    let frames = report[at..]
        .iter()
        .take_while(|line| !line.ends_with(" (main)"));
    assert!(
        frames
            .into_iter()
            .any(|frame| frame.contains("::wait_for_ever")),
        "{report:?}"
    );
    assert!(
        report[..at].iter().any(|line| line.contains("::write_to")),
        "{report:?}"
    );
}
