//! Waiting in a system call: for one operation of the reactor, for a change of any descriptor, for
//! the console, for the end of another thread's call; the signals that end a wait, and the program's
//! memory after one. It doesn't use files.

pub mod console;
pub mod lent;
pub mod lock;
pub mod once;
pub mod operation;
pub mod readiness;
pub mod signals;
