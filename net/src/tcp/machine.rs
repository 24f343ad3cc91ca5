//! The state machine of one TCP connection (RFC 9293): segments change its state, and its owner
//! polls it for output. It has no addresses, ports, link or other connections, does nothing on its
//! own, and takes the time as an argument: nanoseconds of a monotonic clock.
//!
//! Use by a stack:
//!
//! 1. [`Machine::connect`] or [`Machine::accept_cookie`] creates one.
//! 2. [`Machine::input`] handles a segment. It sends nothing.
//! 3. After each call, if [`Machine::wants_output`] returns true, call [`Machine::output`] in its
//!    turn, which passes segments to an [`Emit`].
//! 4. Read [`Machine::deadline_ns`] after each of these; at that time call [`Machine::timer`], then
//!    `output` if wanted.
//! 5. [`Machine::is_over`] returns true when nothing is left to send: its flow may be removed. In
//!    TIME-WAIT [`Machine::time_wait`] returns the state for a record, and the machine may be
//!    dropped at once (with unread data, as soon as it is read). [`Machine::release`] returns its
//!    memory.
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
