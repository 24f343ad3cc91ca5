//! Services on the stack that use nothing but its public operations: names (DNS and multicast
//! DNS), the time of day (SNTP), and recordings of links.
//!
//! A crate of its own because none of it is on the way of a packet: it is compiled for size, while
//! `net` is compiled for speed. Nothing blocks and nothing runs by itself: each part has a `poll`
//! that is to be called after [`net::Transport::poll`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod capture;
mod dns;
pub mod mdns;
pub mod sntp;
#[cfg(test)]
mod testing;

use alloc::boxed::Box;

pub use dns::{
    DnsOptions, DnsRecord, Family, LookupError, LookupId, RecordData, RecordType, Resolver,
    sort_addresses,
};

/// The transport of the services' sockets. With the feature `stack` it is the stack of `net`, and
/// calls are direct.
#[cfg(feature = "stack")]
pub type Network = net::Stack;
/// The transport of the services' sockets: any.
#[cfg(not(feature = "stack"))]
pub type Network = dyn net::Transport;

/// Gives 64 unpredictable bits a call.
pub type Randomness = Box<dyn FnMut() -> u64>;

/// Result of a `poll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Something was queued that [`net::Transport::poll`] is to send: it is to be called again.
    pub sent: bool,
    /// When to call again even if nothing comes.
    pub next_ns: Option<u64>,
}
