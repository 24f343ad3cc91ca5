//! However a run is ended, it ends, and nothing that it started is left.

use crate::machine::{Machine, Ran, runs, signal, status_of, wait_until};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// More than all pipes hold, to standard output or to the error output.
const FLOOD: &str = "head -c 1000000 /dev/zero\n";
const ERROR_FLOOD: &str = "printf '\\x10E'\nhead -c 1000000 /dev/zero\n";

#[test]
fn a_time_out_does_not_wait_for_who_reads() {
    for script in [FLOOD, ERROR_FLOOD] {
        let machine = Machine::new(script);
        let mut child = machine
            .command(&["--timeout", "0.5"])
            .spawn()
            .expect("soil starts");
        assert_eq!(status_of(&mut child), Some(124), "{script}");
    }
}

#[test]
fn signals_do_not_wait_for_who_reads() {
    let machine = Machine::new(&format!(
        ": >\"$0.up\"\necho SOIL-BUTTON >&8\n{{ {FLOOD} }} &\n\
        read -r line <&9\nread -r line <&9\n: >\"$0.asked\"\nwait\n"
    ));
    let mut child = machine.command(&[]).spawn().expect("soil starts");
    wait_until("the script runs", || machine.path("qemu.up").exists());
    signal(&child, "TERM");
    wait_until("the button was pressed", || {
        machine.path("qemu.asked").exists()
    });
    signal(&child, "TERM");
    assert_eq!(status_of(&mut child), Some(128 + 15));
}

/// The program has ended with a status, but what it wrote is cut off.
#[test]
fn a_signal_while_output_is_left_over_is_the_status() {
    // A byte more than both pipes hold has left the program before its status does, so that output
    // is left over however slow this machine is.
    let machine = Machine::new(&format!(
        "{{ head -c 131073 /dev/zero\n: >\"$0.full\"\n{FLOOD} }} &\n\
         until [ -e \"$0.full\" ]; do sleep 0.05; done\n\
         echo SOIL-EXIT 5 >&8\n: >\"$0.said\"\nwait\n"
    ));
    let mut child = machine.command(&[]).spawn().expect("soil starts");
    wait_until("the program ended", || machine.path("qemu.said").exists());
    // At once, whether we have heard of the program's end or not.
    signal(&child, "QUIT");
    assert_eq!(status_of(&mut child), Some(128 + 3));
}

#[test]
fn what_a_wrapper_starts_ends_with_it() {
    let machine = Machine::new("sleep 3600 &\necho $!\nwait\n");
    // On a busy machine the script may come too late to say the number: longer then.
    for limit in ["0.5", "5", "50"] {
        let ran = machine.run(&["--timeout", limit]);
        assert_eq!(ran.status, Some(124), "{ran:?}");
        if let Ok(number) = ran.output.trim().parse() {
            return wait_until("the end of the wrapper's child", || !runs(number));
        }
    }
    panic!("the script never said the number");
}

/// Killed, `soil run` can do nothing any more.
#[test]
fn what_a_wrapper_starts_ends_with_soil_run() {
    let machine = Machine::new("sleep 3600 &\necho $!\nwait\n");
    let mut child = machine.command(&[]).spawn().expect("soil starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("readable");
    let number = line.trim().parse().expect("a number");
    assert!(runs(number));
    signal(&child, "KILL");
    assert_eq!(status_of(&mut child), None);
    wait_until("the end of the wrapper's child", || !runs(number));
}

/// A wrapper may leave something behind for later runs.
#[test]
fn what_a_wrapper_leaves_behind_stays_after_an_ordinary_end() {
    let machine =
        Machine::new("sleep 3600 >/dev/null 2>&1 &\necho $!\necho SOIL-EXIT 4 >&8\nexit 3\n");
    let ran = machine.run(&[]);
    assert_eq!(ran.status, Some(4), "{ran:?}");
    let number = ran.output.trim().parse().expect("a number");
    assert!(runs(number));
    let kill = Command::new("kill").arg(ran.output.trim()).status();
    assert!(kill.expect("kill runs").success());
}

/// On a slow machine QEMU may be gone before what the program said last has been read.
#[test]
fn a_status_that_comes_after_the_end_of_qemu_counts() {
    let machine = Machine::new("(sleep 2; echo SOIL-EXIT 4 >&8) >/dev/null 2>&1 &\nexit 3\n");
    let ran = machine.run(&[]);
    assert_eq!(ran.status, Some(4), "{ran:?}");
}

#[test]
fn a_process_ends_with_soil_run() {
    for name in ["TERM", "KILL"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_soil"))
            .args(["run", "--net", "none", "--timeout", "3600", "/bin/sh"])
            .args(["--", "-c", "echo $$; exec sleep 3600"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("soil starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("readable");
        let number = line.trim().parse().expect("a number");
        assert!(runs(number));
        signal(&child, name);
        let status = status_of(&mut child);
        assert_eq!(status, (name == "TERM").then_some(128 + 15), "{name}");
        wait_until("the end of the process", || !runs(number));
    }
}

/// As with `nohup`: a signal that was ignored at the start stays so.
#[test]
fn an_ignored_signal_stays_ignored() {
    let machine = Machine::new(
        "echo up\necho SOIL-BUTTON >&8\n\
        read -r line <&9\nread -r line <&9\nsleep 2\necho SOIL-EXIT 7 >&8\n",
    );
    let soil = machine.command(&[]);
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(soil.get_program())
        .args(soil.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped"))
        .read_line(&mut line)
        .expect("readable");
    // The second of two would end the machine at once.
    signal(&child, "HUP");
    signal(&child, "TERM");
    let ran = Ran::of(&child.wait_with_output().expect("waited for"));
    assert_eq!(ran.status, Some(7), "{ran:?}");
}
