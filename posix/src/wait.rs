//! Waiting in a system call: for one operation of the reactor, for a change of any descriptor, for
//! the console, the signals that end a wait, and the program's memory after one. It doesn't use
//! files.

pub mod blocking;
pub mod console;
pub mod lent;
pub mod once;
pub mod readiness;
pub mod signals;
