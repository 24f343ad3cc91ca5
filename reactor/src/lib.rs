//! The reactor: tokens and their completions, descriptors and their waiters, fibers, and the one
//! wait. It knows no network, no file and no device: those are [`Resources`], of which each that a
//! program uses registers a [`Driver`].
//!
//! # Modules
//! - [`runtime`]: outstanding operations by token, completions, drivers.
//! - [`table`]: descriptors, and who waits for them.
//! - [`wait`]: lets the drivers work, then sleeps until something happens; of several threads one
//!   for all.
//! - `completions`: results of operations, and the threads that wait for them.
//! - [`fiber`]: suspends synchronous code in the middle of a call.
//! - [`cell`]: the program's one [`Runtime`], behind its [`lock`].
//! - [`messages`]: the texts of failures.
//!
//! # Contexts
//! Everything here is used inside one call or one tick at a time, as the lock admits them; a tick
//! only queues completions. [`cell::Cell::wait`] alone blocks, without the lock. What is `Sync`
//! says so: [`cell::Cell`] and [`lock::Lock`].

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod cell;
mod completions;
pub mod fiber;
pub mod lock;
pub mod messages;
pub mod runtime;
pub mod table;
pub mod wait;

pub use runtime::{Cancelled, Driver, Runtime};

use platform::error::Failure;
use platform::{Clock, System, Wait};

/// The state of everything that descriptors and operations stand for, and the platform it is on.
pub trait Resources: Sized + 'static {
    /// The program's platform, as far as the reactor knows it.
    type Platform: Clock + System + Wait;

    /// No resource in use.
    const NONE: Self;

    /// Prepares what is needed from the first call on (the log), before
    /// [`platform::System::start`].
    fn start() -> Result<(), Failure>;

    /// A call has got the lock.
    fn entered();
}

/// The set of events that the platform of `R` waits for.
pub type Interest<R> = <<R as Resources>::Platform as Wait>::Interest;
