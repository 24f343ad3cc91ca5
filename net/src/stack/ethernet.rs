//! Operations on sockets for raw Ethernet frames.

use alloc::boxed::Box;

use super::Stack;
use crate::ethernet::Ethernet;
use crate::sockets::Socket;
use crate::types::{Error, Handle, InterfaceId};

/// Smaller values are lengths (IEEE 802.3, 3.2.6).
const ETHERTYPE_MIN: u16 = 0x0600;
/// EtherTypes that the stack handles itself: IPv4, ARP, VLAN tags, IPv6.
const OWN: [u16; 4] = [0x0800, 0x0806, 0x8100, 0x86dd];

/// Raw Ethernet frames.
impl Stack {
    /// Opens a socket for all frames of one EtherType on an interface: to its own address, to
    /// groups and to broadcast. On a VLAN the stack strips and inserts the tag.
    ///
    /// Errors: [`Error::InvalidArgument`] (an EtherType of the stack itself: IPv4, ARP, IPv6, VLAN;
    /// an invalid EtherType; or an unknown interface), [`Error::AddressInUse`].
    pub fn ethernet_open(
        &mut self,
        interface: InterfaceId,
        ethertype: u16,
    ) -> Result<Handle, Error> {
        let net = &mut self.ip.net;
        let known = net.mac(interface.0).is_some();
        if !known || ethertype < ETHERTYPE_MIN || OWN.contains(&ethertype) {
            return Err(Error::InvalidArgument);
        }
        let key = (interface.0, ethertype);
        if net.ethertypes.contains(&key) {
            return Err(Error::AddressInUse);
        }
        net.ethertypes.push(key);
        let ethernet = Ethernet::new(interface.0, ethertype);
        let sockets = &mut self.sockets.table;
        let handle = sockets.insert(Socket::Ethernet(Box::new(ethernet)));
        self.sockets.ethernets.push((key, handle));
        Ok(handle)
    }

    /// Queues a frame; it leaves with the next [`Stack::poll`]. The device pads a short payload.
    ///
    /// Errors: [`Error::WouldBlock`] (no room), [`Error::MessageTooLong`] (beyond the interface's
    /// MTU).
    pub fn ethernet_send(
        &mut self,
        socket: Handle,
        destination: [u8; 6],
        payload: &[u8],
    ) -> Result<(), Error> {
        let ethernet = self.sockets.ethernet_mut(socket)?;
        let net = &mut self.ip.net;
        let interface = net
            .interfaces
            .get(ethernet.interface)
            .ok_or(Error::InvalidArgument)?;
        if payload.len() > interface.link_mtu {
            return Err(Error::MessageTooLong);
        }
        let port = interface.port;
        if net.stage_raw(ethernet.interface, destination, ethernet.ethertype, payload) {
            return Ok(());
        }
        ethernet.wakes.write = true;
        net.wait_for_room_of(port, &mut ethernet.blocked, socket);
        Err(Error::WouldBlock)
    }

    /// Takes the oldest frame. Returns the full length of its payload (larger than `buffer` if the
    /// frame was truncated), its source and its destination. [`Error::WouldBlock`] if there is
    /// none.
    pub fn ethernet_recv(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, [u8; 6], [u8; 6]), Error> {
        let ethernet = self.sockets.ethernet_mut(socket)?;
        let Some((source, destination, payload)) = ethernet.take() else {
            ethernet.wakes.read = true;
            return Err(Error::WouldBlock);
        };
        for (to, byte) in buffer.iter_mut().zip(&payload) {
            *to = *byte;
        }
        Ok((payload.len(), source, destination))
    }
}
