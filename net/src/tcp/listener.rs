//! Listeners: ports that accept connections, and the connections that wait to be accepted.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use super::machine::TcpOptions;
use crate::ip::HeaderFields;
use crate::types::{Binding, Handle, WakeFlags};

/// A port that is listened to.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    /// `[::]` doesn't match IPv4.
    pub(crate) v6_only: bool,
    pub(crate) backlog: usize,
    /// Established connections, oldest first.
    pub(crate) queue: VecDeque<Handle>,
    pub(crate) wakes: WakeFlags,
    /// Connections that weren't established for want of memory, since the program has asked.
    pub(crate) refused: usize,
    /// Initial header fields and options of its connections.
    pub(crate) header_fields: HeaderFields,
    pub(crate) options: TcpOptions,
    /// Whether it accepts connections; otherwise the port is only bound.
    pub(crate) listening: bool,
}

impl Listener {
    /// The bound address.
    pub(crate) fn binding(&self) -> Binding {
        Binding {
            address: self.local.ip(),
            v6_only: self.v6_only,
        }
    }

    /// Whether another connection may be established.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.backlog
    }
}
