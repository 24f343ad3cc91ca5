//! Services over the stack's public operations: names (DNS and multicast DNS), the time of day
//! (SNTP), and recordings of links.
//!
//! A crate of its own, since none of it is on a packet's path: it is compiled for size, and `net`
//! for speed. Nothing blocks and nothing runs on its own: call the `poll` of each part after
//! [`net::Transport::poll`].
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
use net::Progress;

pub use dns::{
    DnsOptions, DnsRecord, Family, LookupError, LookupId, RecordData, RecordType, Resolver,
    name_servers, sort_addresses,
};

/// The transport of the services' sockets. With the feature `stack` it is the stack of `net`, and
/// calls are direct.
#[cfg(feature = "stack")]
pub type Network = net::Stack;
/// The transport of the services' sockets: any.
#[cfg(not(feature = "stack"))]
pub type Network = dyn net::Transport;

/// Returns 64 unpredictable bits per call.
pub type Randomness = Box<dyn FnMut() -> u64>;

/// Result of a `poll`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Something was queued for [`net::Transport::poll`] to send: call it again.
    pub sent: bool,
    /// When to call again even if nothing arrives.
    pub next_ns: Option<u64>,
}

impl Polled {
    /// The result of two services.
    #[must_use]
    pub fn and(self, other: Polled) -> Polled {
        Polled {
            sent: self.sent || other.sent,
            next_ns: [self.next_ns, other.next_ns].into_iter().flatten().min(),
        }
    }

    /// Sends what the services have queued. `progress` is the result of the stack's poll before
    /// theirs.
    ///
    /// This second poll also takes the events of what has arrived meanwhile, an answer perhaps, and
    /// nothing announces them again: `progress` then has more work, so that the caller takes the
    /// events and polls the services before it waits.
    pub fn send(self, stack: &mut Network, now_ns: u64, budget: usize, progress: &mut Progress) {
        if self.sent {
            *progress = stack.poll(now_ns, budget);
            progress.more_work = true;
        }
    }
}
