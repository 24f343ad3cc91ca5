//! The platform of a Linux process: [`Host`] implements the traits of `platform` on the C library
//! that OCaml links anyway, without the standard library.
//!
//! # Threads
//! - The program's: each may call the runtime, one at a time, and with it every device, the ring
//!   and [`Interest`]. Of the waiting threads, one sleeps for all (`wait`), without the runtime's
//!   lock; the others sleep on futexes. Other OCaml threads may run meanwhile.
//! - The `ticker`: polls the network while the program computes. It holds the runtime's lock
//!   meanwhile, so the program waits for it on a futex.
//! - Offload workers (`offload`): one per blocking system call, if there is no ring. They share
//!   nothing with the program except that call and an eventfd.
//! - The ring's starter: submits requests for threads of the program that may end, since Linux
//!   would then cancel them; but not those that are made again then. A ring of the program's first
//!   thread has none: other threads interrupt that one (`ring`).
//!
//! `thread` creates the last three: they run no OCaml, and block all signals. The handler of
//! `signals` may run on any other thread; it only counts, and writes to an eventfd.
//!
//! # The wait
//! One system call (`wait`): `io_uring_enter(2)` if a device has opened the `ring`, else
//! `ppoll(2)`. It submits what the devices queued, and ends with a frame, a completion, an eventfd
//! or the deadline.
//!
//! # Devices
//! | | with a ring | without one |
//! |---|---|---|
//! | TAP (`tap`) | reads and writes on the ring | a call for each frame, with adaptive polling |
//! | passt (`passt`) | calls on a socket | the same |
//! | Linux's own sockets (`sockets`) | readiness, and what is received, by the ring; else calls | calls; readiness by epoll |
//! | disks (`disk`) | page cache, or ring | page cache, `io_submit(2)`, or blocking |
//! | folders (`folder`) | page cache, or ring | page cache, or worker |
//! | `AF_VSOCK` (`vsock`) | calls; readiness by epoll | the same |
//! | displays, keyboard, pointer (`vnc`) | calls on sockets | the same |
//!
//! # Locks
//! The runtime's own, which the ticker and a fork take by the functions in `platform::Ticker`, and
//! locks of files, which keep other programs off a disk (the crate `lock`).

#![cfg_attr(loom, allow(missing_docs, reason = "models use private parts"))]
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

extern crate alloc;

mod console;
mod crash;
mod descriptors;
mod devices;
mod disk;
mod displays;
mod event;
mod folder;
mod hosted;
mod inputs;
mod interest;
mod link_wake;
mod links;
mod metadata;
mod offload;
mod os;
mod owned_fd;
mod passt;
mod poll;
mod ports;
mod recording;
mod ring;
mod signals;
mod sleep;
mod sockets;
mod system;
mod tap;
mod thread;
mod ticker;
mod vnc;
mod vsock;

/// Protocols that `tools/models` runs.
#[cfg(loom)]
pub mod model {
    pub mod event {
        pub use crate::event::{clear, open, raise};
    }
    pub mod ticker {
        pub use crate::ticker::{resume, sleeps, start, take_turn};
    }
}

pub use interest::Interest;
pub use link_wake::LinkWake;
pub use offload::Offload;
pub use ring::{Handle as Ring, Requests};

use alloc::format;
use platform::error::{Answer, Error, Failure, Stop};

/// The platform of a Linux process.
#[derive(Clone, Copy)]
pub struct Host;

/// The `errno` of the last failed call of the C library.
pub fn errno() -> i32 {
    // SAFETY: the C library gives every thread its own.
    unsafe { *libc::__errno_location() }
}

/// The nearest code for an `errno`.
pub fn error(errno: i32) -> Error {
    match errno {
        libc::ENOENT | libc::ENXIO | libc::ENODEV => Error::NotFound,
        libc::EACCES | libc::EPERM => Error::PermissionDenied,
        libc::EBUSY => Error::Busy,
        libc::EEXIST => Error::Exists,
        libc::ENOSPC => Error::NoSpace,
        libc::EROFS => Error::ReadOnly,
        libc::ENOMEM => Error::OutOfMemory,
        libc::EMFILE | libc::ENFILE => Error::TooManyOpen,
        libc::EPIPE => Error::BrokenPipe,
        libc::EINVAL => Error::Invalid,
        _ => Error::Io,
    }
}

/// The result of a C function that returns -1 and sets `errno`.
pub fn check(result: isize) -> Answer {
    if let Ok(n) = usize::try_from(result) {
        return Ok(n);
    }
    match errno() {
        libc::EAGAIN | libc::EINTR => Err(Stop::WouldBlock),
        errno => Err(error(errno).into()),
    }
}

/// The failure of a call of the C library: `what: reason`.
pub fn failure(what: &str) -> Failure {
    let number = errno();
    let mut text = [0u8; 128];
    // SAFETY: writes a string of at most this length, with a zero at its end.
    unsafe { libc::strerror_r(number, text.as_mut_ptr().cast(), text.len()) };
    let reason = core::ffi::CStr::from_bytes_until_nul(&text).ok();
    let reason = reason
        .and_then(|reason| reason.to_str().ok())
        .unwrap_or("failed");
    Failure::new(error(number), format!("{what}: {reason}"))
}
