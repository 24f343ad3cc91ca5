//! Programs that a command starts: what they inherit, and when they end.

use crate::failure::Failure;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The child will not outlive us, however we end (prctl(2), PR_SET_PDEATHSIG); nor the thread that
/// starts it, which has to wait for it.
pub fn dies_with_us(command: &mut Command) {
    signalled_at_our_end(command, Signal::KILL);
}

/// The same with a signal that lets the child end what it started itself, as dune does.
pub fn signalled_at_our_end(command: &mut Command, signal: Signal) {
    let us = getpid();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(signal))?;
            // We may have ended before that.
            match getppid() == Some(us) {
                true => Ok(()),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        });
    }
}

/// Lets the child inherit these descriptors, which the caller keeps open until it is started.
pub fn inherit(command: &mut Command, descriptors: Vec<RawFd>) {
    // SAFETY: between fork and exec only system calls are made, on descriptors that are open.
    unsafe {
        command.pre_exec(move || {
            for fd in &descriptors {
                fcntl_setfd(BorrowedFd::borrow_raw(*fd), FdFlags::empty())?;
            }
            Ok(())
        });
    }
}

/// The error for a program that couldn't be started.
pub fn not_started(program: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::on(program, "not on this machine")
            .remedy("'soil doctor' says how to install it (or give --qemu PATH)"),
        _ => Failure::on(program, format!("did not start: {error}")),
    }
}
