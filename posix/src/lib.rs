//! Linux's system calls in images: their table, and those on descriptors and paths, implemented by
//! Soil's files, pipes and sockets.
//!
//! # Layers
//! ```text
//!   system_calls     the table; registers and the program's memory (only in images)
//!       │
//!   sockets          BSD sockets, for each domain and type
//!       │
//!   namespace        what a path names: a device, or the tree's file; the current directory
//!       │
//!   files            the kinds of open files: one module, one kind
//!       │
//!   locking, select, mapping    operations on descriptors
//!       │
//!   process          the state: descriptors, locks, mappings, the current directory, limits
//!       │
//!   table, locks, mappings, console    of the state; the console is the first three descriptors'
//!       │                              file
//!   file             the contract of an open file, and its description
//!       │
//!   stat, blocking   attributes; waits of calls, readiness and signals
//!       │
//!   errors           errno
//! ```
//!
//! A system call finds the description of its descriptor ([`process`]) and calls its file
//! ([`file::File`]), whose kind it doesn't know.
//!
//! # Parts
//! An image always has the descriptors, the console and paths of devices. The kinds in `files`, the
//! tree, `poll` and the sockets are parts that the link driver requests
//! (`system_calls/parts.rs`): the code that opens a kind links it. `poll` waits by the reactor,
//! which takes 15 KB of an image.
//!
//! # Contexts
//! Operations run in system calls with interrupts disabled; on descriptors and paths one at a time,
//! but for their waits. A wait for a disk or a
//! pipe is the reactor's single wait ([`blocking`]); no lock is held meanwhile except a
//! directory's, for whose end other calls wait.
//! The driver of [`blocking::readiness`] also runs in calls of the library, where interrupts are
//! enabled.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

extern crate alloc;

pub mod blocking;
pub mod console;
pub mod current_directory;
pub mod errors;
pub mod file;
pub mod files;
pub mod locking;
pub mod locks;
#[cfg(feature = "image")]
mod mapping;
pub mod mappings;
pub mod namespace;
pub mod process;
pub mod select;
pub mod sockets;
pub mod stat;
#[cfg(feature = "image")]
mod system_calls;
pub mod table;
#[cfg(test)]
mod tests;
