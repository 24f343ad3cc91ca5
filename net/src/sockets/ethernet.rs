//! Raw frames of the socket table.

use super::{Socket, Sockets};
use crate::ethernet::Ethernet;
use crate::ip::{EthernetInput, Net};
use crate::types::{Error, Handle};

impl Sockets {
    /// Handles a frame of a type that has a socket.
    pub(crate) fn ethernet_frame(&mut self, net: &mut Net, frame: &EthernetInput<'_>) {
        let key = (frame.interface, frame.ethertype);
        let Some((_, handle)) = self.ethernets.iter().find(|(other, _)| *other == key) else {
            return;
        };
        let handle = *handle;
        let Some(Socket::Ethernet(ethernet)) = self.table.get_mut(handle) else {
            return;
        };
        if !ethernet.deliver(frame) {
            return net.queue_full();
        }
        if core::mem::take(&mut ethernet.wakes.read) {
            self.queue_event(handle);
        }
    }

    pub(crate) fn ethernet_mut(&mut self, handle: Handle) -> Result<&mut Ethernet, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Ethernet(ethernet)) => Ok(ethernet),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// The link has room again.
    pub(crate) fn ethernet_unblocked(&mut self, handle: Handle) {
        if let Some(Socket::Ethernet(ethernet)) = self.table.get_mut(handle) {
            ethernet.blocked = false;
            if core::mem::take(&mut ethernet.wakes.write) {
                self.queue_event(handle);
            }
        }
    }

    pub(crate) fn close_ethernet(&mut self, net: &mut Net, handle: Handle) {
        if let Some(Socket::Ethernet(ethernet)) = self.table.remove(handle) {
            let key = (ethernet.interface, ethernet.ethertype);
            net.ethertypes.retain(|other| *other != key);
            self.ethernets.retain(|(other, _)| *other != key);
        }
    }
}
