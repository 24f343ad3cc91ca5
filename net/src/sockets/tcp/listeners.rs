//! The table of listeners: bound ports, the listener of a SYN, ephemeral ports.

use core::net::IpAddr;

use crate::sockets::{Socket, Sockets};
use crate::tcp::flow::FlowKey;
use crate::tcp::listener::Listener;
use crate::types::{Binding, Error, Handle};

impl Sockets {
    /// The listener for a SYN to `address`: one bound to the address itself before one bound to
    /// all.
    pub(crate) fn listener_for(&self, address: IpAddr, port: u16) -> Option<Handle> {
        let mut found = None;
        for &handle in self.listeners.get(&port)? {
            if let Some(Socket::Listener(listener)) = self.table.get(handle)
                && listener.listening
            {
                let bound = listener.local.ip();
                if bound == address {
                    return Some(handle);
                }
                if listener.binding().covers(address) {
                    found = Some(handle);
                }
            }
        }
        found
    }

    pub(crate) fn listener_mut(&mut self, handle: Handle) -> Option<&mut Listener> {
        match self.table.get_mut(handle) {
            Some(Socket::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    /// Closes a listener and aborts its unaccepted connections.
    pub(crate) fn close_listener(&mut self, handle: Handle) {
        let Some(Socket::Listener(listener)) = self.table.remove(handle) else {
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

    /// A listener, or a port bound by `Stack::tcp_bind`.
    pub(crate) fn bound_mut(&mut self, handle: Handle) -> Result<&mut Listener, Error> {
        match self.table.get_mut(handle) {
            Some(Socket::Listener(listener)) => Ok(listener),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Whether a socket other than `own` has bound an address and a port without listening.
    pub(crate) fn is_bound(&self, address: IpAddr, port: u16, own: Option<Handle>) -> bool {
        let binding = Binding {
            address,
            v6_only: false,
        };
        let others = self.listeners.get(&port).into_iter().flatten();
        others.filter(|other| Some(**other) != own).any(|other| {
            matches!(self.table.get(*other), Some(Socket::Listener(listener))
                if !listener.listening && listener.binding().conflicts(binding))
        })
    }

    /// A port without a listener.
    pub(crate) fn ephemeral_listener(&mut self) -> Result<u16, Error> {
        self.ephemeral(|sockets, port| !sockets.listeners.contains_key(&port))
    }

    /// A port that isn't connected to `remote` yet, without a listener.
    pub(crate) fn ephemeral_tcp(
        &mut self,
        local: IpAddr,
        remote: (IpAddr, u16),
    ) -> Result<u16, Error> {
        let key = FlowKey::new((local, 0), remote);
        let free = |port: &u16| {
            !self.listeners.contains_key(port)
                && !self.flow_is_taken(&FlowKey::new((local, *port), remote))
        };
        let port = self.tcp.numbers.ports(&key).find(free);
        let port = port.ok_or(Error::PortsExhausted)?;
        let random = self.draw();
        self.tcp.numbers.chosen(&key, port, random);
        Ok(port)
    }
}
