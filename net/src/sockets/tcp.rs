//! TCP of the socket table.
//!
//! - `input`: from a segment to its connection, or to a reply if there is none;
//! - `passive`: passive opens, from the SYN to the listener's queue;
//! - `listeners`: the listener of a port, ephemeral ports;
//! - `output`: a connection's turn to send;
//! - `lifecycle`: state changes of a connection, its timer, its end;
//! - `transfer`: reads and writes.

mod input;
mod lifecycle;
mod listeners;
mod output;
mod passive;
mod transfer;

pub(crate) use lifecycle::Admission;
