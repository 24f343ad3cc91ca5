//! Listeners: which ports are listened to, and the connections that wait to be accepted.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use crate::Handle;
use crate::ip::Marking;
use crate::shared::{Core, Socket};
use crate::tcp::connection::Wakes;
use crate::tcp::machine::TcpOptions;

/// A port that is listened to.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    pub(crate) backlog: usize,
    /// Established, in the order in which they were.
    pub(crate) queue: VecDeque<Handle>,
    pub(crate) wakes: Wakes,
    /// What its connections begin with.
    pub(crate) marking: Marking,
    pub(crate) options: TcpOptions,
    /// Whether connections are taken; otherwise the port is only bound.
    pub(crate) listening: bool,
}

impl Listener {
    /// Whether another connection may be established.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.backlog
    }
}

/// Whether a socket bound to `bound` takes what is sent to `address`. `[::]` takes both families.
pub(crate) fn covers(bound: IpAddr, address: IpAddr) -> bool {
    match bound {
        IpAddr::V6(any) if any.is_unspecified() => true,
        IpAddr::V4(any) if any.is_unspecified() => address.is_ipv4(),
        _ => bound == address,
    }
}

/// Whether two sockets of the same port get in each other's way.
pub(crate) fn conflict(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() && covers(a, b) || b.is_unspecified() && covers(b, a)
}

impl Core {
    /// The listener for a SYN to `address`: one bound to the address itself before one bound to
    /// all.
    pub(crate) fn listener_for(&self, address: IpAddr, port: u16) -> Option<Handle> {
        let mut found = None;
        for &handle in self.listeners.get(&port)? {
            if let Some(Socket::Listener(listener)) = self.sockets.get(handle)
                && listener.listening
            {
                let bound = listener.local.ip();
                if bound == address {
                    return Some(handle);
                }
                if covers(bound, address) {
                    found = Some(handle);
                }
            }
        }
        found
    }

    pub(crate) fn listener_mut(&mut self, handle: Handle) -> Option<&mut Listener> {
        match self.sockets.get_mut(handle) {
            Some(Socket::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    /// Closes a listener and aborts the connections that are still its own.
    pub(crate) fn close_listener(&mut self, handle: Handle) {
        let Some(Socket::Listener(listener)) = self.sockets.remove(handle) else {
            return;
        };
        let port = listener.local.port();
        if let Some(handles) = self.listeners.get_mut(&port) {
            handles.retain(|other| *other != handle);
            if handles.is_empty() {
                self.listeners.remove(&port);
            }
        }
        for connection in listener.queue {
            self.abort_connection(connection);
        }
        self.tcp.half_open.forget(handle);
    }
}

#[cfg(test)]
mod tests {
    use super::{conflict, covers};
    use core::net::IpAddr;

    /// `0.0.0.0` takes IPv4, `[::]` both families (RFC 3493, 5.3), another address itself.
    #[test]
    fn what_an_address_covers_and_what_it_is_in_the_way_of() {
        // Bound, sent to; whether it is covered; whether two sockets bound so are in each other's
        // way.
        for (bound, address, covered, conflicts) in [
            ("0.0.0.0", "10.0.0.1", true, true),
            ("0.0.0.0", "fe80::1", false, false),
            ("0.0.0.0", "0.0.0.0", true, true),
            ("0.0.0.0", "::", false, true),
            ("::", "10.0.0.1", true, true),
            ("::", "fe80::1", true, true),
            ("::", "0.0.0.0", true, true),
            ("10.0.0.1", "10.0.0.1", true, true),
            ("10.0.0.1", "10.0.0.2", false, false),
            ("10.0.0.1", "fe80::1", false, false),
            ("10.0.0.1", "0.0.0.0", false, true),
            ("fe80::1", "fe80::1", true, true),
            ("fe80::1", "fe80::2", false, false),
            ("fe80::1", "10.0.0.1", false, false),
            ("fe80::1", "::", false, true),
        ] {
            let (a, b): (IpAddr, IpAddr) = (bound.parse().unwrap(), address.parse().unwrap());
            assert_eq!(covers(a, b), covered, "{bound} {address}");
            assert_eq!(conflict(a, b), conflicts, "{bound} {address}");
            assert_eq!(conflict(b, a), conflicts, "{address} {bound}");
        }
    }
}
