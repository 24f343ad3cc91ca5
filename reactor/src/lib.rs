//! The reactor: tokens and their completions, descriptors and their waiters, fibers, and the one
//! wait. It knows no network, file or device: those are [`Resources`], each of which registers a
//! [`Driver`] when a program uses it.
//!
//! # Modules
//! - [`runtime`]: outstanding operations by token, completions, drivers.
//! - [`table`]: descriptors and their waiters.
//! - [`wait`]: runs the drivers, then sleeps until an event; of several threads one for all.
//! - `completions`: results of operations, and the threads that wait for them.
//! - [`fiber`]: suspends synchronous code in the middle of a call.
//! - [`cell`]: the program's one [`Runtime`], behind its [`lock`].
//! - [`messages`]: the texts of failures.
//! - [`trace`]: the ring of the scheduler's events.
//!
//! # Contexts
//! Everything here is used inside one call or one tick at a time, as the lock admits them; a tick
//! only queues completions. Only [`cell::Cell::wait`] blocks, without the lock. Types for use from
//! any thread are `Sync`: [`cell::Cell`] and [`lock::Lock`].

#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

extern crate alloc;

pub mod cell;
mod completions;
pub mod fiber;
pub mod lock;
pub mod messages;
pub mod runtime;
pub mod table;
pub mod trace;
pub mod wait;

pub use runtime::{Cancelled, Driver, Runtime};

use platform::error::Failure;
use platform::{Clock, System, Wait};

/// The state of everything that descriptors and operations stand for, and its platform.
pub trait Resources: Sized + 'static {
    /// The program's platform, as far as the reactor uses it.
    type Platform: Clock + System + Wait;

    /// No resource in use.
    const NONE: Self;

    /// Prepares what is needed from the first call on (the log), before
    /// [`platform::System::start`].
    fn start() -> Result<(), Failure>;

    /// A call has taken the lock.
    fn entered();
}

/// The set of events that the platform of `R` waits for.
pub type Interest<R> = <<R as Resources>::Platform as Wait>::Interest;
