//! The machine of one TCP connection (RFC 9293): what comes in changes its state, and what it has
//! to send is asked for. It knows no addresses, no ports, no link and no other connection, does
//! nothing by itself, and takes time as an argument: nanoseconds of a monotonic clock.
//!
//! Use by a stack:
//!
//! 1. [`Machine::connect`], [`Machine::accept`] or [`Machine::accept_cookie`] make one.
//! 2. [`Machine::input`] takes a segment. Nothing is sent there.
//! 3. Whenever something was done to it and [`Machine::wants_output`] says so, it gets its turn:
//!    [`Machine::output`] hands segments to an [`Emit`].
//! 4. [`Machine::deadline_ns`] is looked at after each of these; when it comes, [`Machine::timer`] is
//!    called, then `output` if wanted.
//! 5. [`Machine::is_over`] tells that it has nothing more to say: its flow may go. In TIME-WAIT
//!    [`Machine::time_wait`] gives what a record needs, and the machine may go at once (with unread
//!    data, as soon as it is read). [`Machine::release`] gives its memory back.
//!
//! Memory is bounded by the limits of [`Setup`] and counted by a [`Budget`]. No input panics.

mod acknowledge;
mod application;
mod budget;
mod challenge;
mod clock;
mod congestion;
mod control;
mod ecn;
mod info;
mod input;
mod options;
mod output;
mod pacing;
mod pmtu;
mod probe;
mod ranges;
mod receive;
mod recovery;
mod rtt;
mod segment;
mod send;
mod sent;
mod seq;
mod setup;
mod state;
mod tcb;
#[cfg(test)]
mod tests;
mod timers;
mod urgent;
mod window;

pub(crate) use budget::{Block, Budget, GUARANTEED, LARGE, Pressure, SMALL};
pub(crate) use clock::IcmpError;
pub(crate) use options::{Negotiated, Options};
pub(crate) use segment::{Flags, Header, Segment};
pub(crate) use seq::Seq;
pub(crate) use setup::Setup;
pub(crate) use state::State;
pub(crate) use tcb::{Emit, Machine, Outcome, TimeWaitState};

pub use budget::SendBuffer;
pub use info::Info;
pub use setup::Options as TcpOptions;
