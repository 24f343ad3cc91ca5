//! Child processes of a command: inherited descriptors and termination with the parent.

use crate::failure::Failure;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open,
    set_parent_process_death_signal,
};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Kills the child when this process ends for any reason (prctl(2), PR_SET_PDEATHSIG), or when the
/// thread that starts it ends: that thread has to wait for it.
pub fn dies_with_us(command: &mut Command) {
    let us = getpid();
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(move || dies_with(us)) };
}

/// Kills the calling process when its parent, the process `parent`, ends.
fn dies_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the call.
    match getppid() == Some(parent) {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Sends the child one SIGTERM when this process ends for any reason, so that it can end its own
/// children, as dune does. PR_SET_PDEATHSIG would send one for each of our threads that ends after
/// the child's parent, and three signals within a second make dune exit at once.
pub fn terminated_at_our_end(command: &mut Command) {
    let us = getpid();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            let (Ok(end), true) = (pidfd_open(us, PidfdFlags::empty()), can_close_ranges()) else {
                // A kernel before 5.9, or a container that forbids them.
                return Ok(set_parent_process_death_signal(Some(Signal::TERM))?);
            };
            if getppid() != Some(us) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let child = getpid();
            match libc::fork() {
                -1 => Err(io::Error::last_os_error()),
                0 => guard(child, &end),
                _ => Ok(()),
            }
        });
    }
}

/// Closes the descriptors from `first` on (close_range(2)). Returns whether the kernel supports it.
///
/// # Safety
/// Nothing may use these descriptors afterwards.
unsafe fn close_from(first: libc::c_uint) -> bool {
    // SAFETY: the caller upholds the contract above.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) == 0 }
}

fn can_close_ranges() -> bool {
    // SAFETY: no descriptor has this number.
    unsafe { close_from(libc::c_uint::MAX) }
}

/// Runs in a process of its own, a child of `child`: sends `child` SIGTERM when the process of the
/// pidfd `end` ends.
fn guard(child: Pid, end: &OwnedFd) -> ! {
    // A pipe closes when its last holder does, so this process keeps none: `spawn` waits for one.
    // SAFETY: the descriptors belong to this process alone, which uses only `end`'s copy from here.
    unsafe {
        libc::dup2(end.as_raw_fd(), 0);
        close_from(1);
    }
    if dies_with(child).is_ok() {
        // SAFETY: the copy is open.
        let end = unsafe { BorrowedFd::borrow_raw(0) };
        let mut ends = [PollFd::from_borrowed_fd(end, PollFlags::IN)];
        while poll(&mut ends, None) == Err(Errno::INTR) {}
        _ = kill_process(child, Signal::TERM);
    }
    // SAFETY: nothing in this process needs cleanup at exit.
    unsafe { libc::_exit(0) }
}

/// Lets the child inherit these descriptors. The caller keeps them open until the child has
/// started.
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
