//! Loom's atomics and cells with `core`'s interface, and what runs models.
//!
//! An atomic is a plain number in place, as in `core`, so that it can be a constant, or lie in the
//! memory of a ring. Loom's object for it is found by its address, and begins with its first access
//! in an execution. That must happen before another thread can reach it.
//!
//! [`check`] runs a model, and [`unneeded`] runs it once more for each ordering stronger than
//! `Relaxed`, without that ordering. [`fails`] is for a model with a fault.

pub mod arc;
pub mod atomic;
pub mod cell;
mod explore;
pub mod interrupts;
pub mod os;
pub mod registers;

pub use explore::{check, fails, unneeded};
