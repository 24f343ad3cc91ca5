//! Ends all processes of a QEMU wrapper when `soil run` ends, even if it is killed.
//!
//! The parent-death signal reaches only the child. So the child's group inherits one end of a
//! socket and becomes its owner: when the other end closes, Linux signals the group (`F_SETOWN`,
//! `F_SETSIG` and `O_ASYNC`, fcntl(2)). A wrapper that closes inherited descriptors would close
//! QEMU's control channel, too.

use libc::{F_SETFD, F_SETFL, F_SETOWN, O_ASYNC, O_RDWR, SIGKILL, fcntl, getpid};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// From `asm-generic/fcntl.h`; the crate `libc` lacks it.
const F_SETSIG: libc::c_int = 10;

/// A lower bound for the descriptor's number, above those that scripts use.
const APART: RawFd = 100;

/// Both ends of the socket. Dropping it doesn't end the group.
pub struct Lifeline {
    _here: OwnedFd,
    there: OwnedFd,
}

impl Lifeline {
    /// Ties the process group that `command` starts and leads to this process. Keep the result at
    /// least until the command has started.
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
        // SAFETY: between fork and exec only system calls are made, on a descriptor copied by the
        // fork.
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
        // SAFETY: a call without pointers on our own descriptor. Clears O_ASYNC for all copies.
        unsafe { fcntl(self.there.as_raw_fd(), F_SETFL, O_RDWR) };
    }
}
