//! Ends the processes that a wrapper of QEMU starts together with `soil run`, also when that is
//! killed.
//!
//! The signal for a parent's death goes to the child alone. So the child's group inherits one end
//! of a socket, whose owner it is: when the other end closes, Linux sends the group a signal
//! (`F_SETOWN`, `F_SETSIG` and `O_ASYNC`, fcntl(2)). A wrapper that closes what it inherits would
//! close QEMU's control channel, too.

use libc::{F_SETFD, F_SETFL, F_SETOWN, O_ASYNC, O_RDWR, SIGKILL, fcntl, getpid};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// From `asm-generic/fcntl.h`; the crate `libc` lacks it.
const F_SETSIG: libc::c_int = 10;

/// The first descriptor number that is high enough for scripts not to use it themselves.
const APART: RawFd = 100;

/// Both ends of the socket. The group lives on when this is dropped.
pub struct Lifeline {
    _here: OwnedFd,
    there: OwnedFd,
}

impl Lifeline {
    /// Ties to this process the process group that `command` starts and leads. Keep the result
    /// until the command has started, or longer.
    pub fn tie(command: &mut Command) -> io::Result<Self> {
        let (here, there) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let there = fcntl_dupfd_cloexec(&there, APART)?;
        let number = there.as_raw_fd();
        let check = |result: i32| match result {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        };
        // SAFETY: between fork and exec only system calls are made, on a descriptor that the fork
        // has copied.
        unsafe {
            command.pre_exec(move || {
                check(fcntl(number, F_SETOWN, -getpid()))?;
                check(fcntl(number, F_SETSIG, SIGKILL))?;
                check(fcntl(number, F_SETFL, O_RDWR | O_ASYNC))?;
                check(fcntl(number, F_SETFD, 0))
            });
        }
        Ok(Self { _here: here, there })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // SAFETY: a call without pointers, on our own descriptor. It sets what all have in common.
        unsafe { fcntl(self.there.as_raw_fd(), F_SETFL, O_RDWR) };
    }
}
