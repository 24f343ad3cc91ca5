//! Linux's system calls on descriptors and paths, answered by Soil's files, pipes and sockets:
//! parts of images whose program uses `Unix`, channels or the C library's files and sockets.
//!
//! # Layers
//! ```text
//!   system_calls    registers and the program's memory (only in images)
//!       │
//!   open, io, attributes, names, directory, mapping,    one operation each, on slices and numbers
//!   sockets, epoll, select, eventfd, timerfd, signalfd, locks
//!       │
//!   readiness                                           events of descriptions, awaited
//!       │
//!   descriptors, paths, tree, zone, proc                the table, the current directory, `/`
//!       │
//!   blocking, signal, errors                            jobs of `resources`, awaited; errno
//! ```
//!
//! # Contexts
//! Operations run in system calls: one at a time, with interrupts disabled. A wait for a disk or a
//! pipe is the reactor's one wait ([`blocking`], [`readiness`]); no lock is held meanwhile but a
//! directory's. The driver of [`readiness`] also runs in calls of the library, where interrupts are
//! enabled.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod attributes;
pub mod blocking;
pub mod descriptors;
pub mod directory;
pub mod epoll;
pub mod errors;
pub mod eventfd;
pub mod io;
pub mod locks;
pub mod names;
pub mod open;
pub mod paths;
pub mod proc;
pub mod readiness;
pub mod select;
pub mod signal;
pub mod signalfd;
pub mod socket_names;
pub mod sockets;
#[cfg(feature = "image")]
mod system_calls;
#[cfg(test)]
mod tests;
pub mod timerfd;
pub mod tree;
pub mod zone;
