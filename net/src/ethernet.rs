//! Raw Ethernet frames of protocols that are not spoken here.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ip::{EthernetInput, Net};
use crate::shared::{Core, Socket, park};
use crate::tcp::connection::Wakes;
use crate::{Error, Handle, InterfaceId, Readiness, Stack};

/// Frames that wait to be read, and their bytes.
const ARRIVED: usize = 256;
const BYTES: usize = 256 << 10;
/// Smaller numbers are lengths (IEEE 802.3, 3.2.6).
const ETHERTYPE_MIN: u16 = 0x0600;
/// IPv4, ARP, VLAN tags, IPv6: the stack's own.
const OWN: [u16; 4] = [0x0800, 0x0806, 0x8100, 0x86dd];

/// A received frame: source, destination, payload.
type Frame = ([u8; 6], [u8; 6], Vec<u8>);

/// A socket for the frames of one type on one interface.
pub(crate) struct Ethernet {
    interface: usize,
    ethertype: u16,
    arrived: VecDeque<Frame>,
    bytes: usize,
    pub(crate) blocked: bool,
    pub(crate) wakes: Wakes,
}

impl Ethernet {
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness {
            readable: !self.arrived.is_empty(),
            writable: !self.blocked,
            ..Default::default()
        }
    }
}

impl Core {
    /// Handles a frame of a type that somebody wants.
    pub(crate) fn ethernet_frame(&mut self, net: &mut Net, frame: &EthernetInput<'_>) {
        let key = (frame.interface, frame.ethertype);
        let Some((_, handle)) = self.ethernets.iter().find(|(other, _)| *other == key) else {
            return;
        };
        let handle = *handle;
        let Some(Socket::Ethernet(ethernet)) = self.sockets.get_mut(handle) else {
            return;
        };
        let len = frame.payload.len();
        if ethernet.arrived.len() >= ARRIVED || ethernet.bytes + len > BYTES {
            return net.queue_full();
        }
        ethernet.bytes += len;
        let entry = (frame.source, frame.destination, frame.payload.to_vec());
        ethernet.arrived.push_back(entry);
        if core::mem::take(&mut ethernet.wakes.read) {
            self.tell(handle);
        }
    }

    fn ethernet_mut(&mut self, handle: Handle) -> Result<&mut Ethernet, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Ethernet(ethernet)) => Ok(ethernet),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// The link has room again.
    pub(crate) fn ethernet_unblocked(&mut self, handle: Handle) {
        if let Some(Socket::Ethernet(ethernet)) = self.sockets.get_mut(handle) {
            ethernet.blocked = false;
            if core::mem::take(&mut ethernet.wakes.write) {
                self.tell(handle);
            }
        }
    }

    pub(crate) fn close_ethernet(&mut self, net: &mut Net, handle: Handle) {
        if let Some(Socket::Ethernet(ethernet)) = self.sockets.remove(handle) {
            let key = (ethernet.interface, ethernet.ethertype);
            net.ethertypes.retain(|other| *other != key);
            self.ethernets.retain(|(other, _)| *other != key);
        }
    }
}

/// Raw Ethernet frames.
impl Stack {
    /// A socket for all frames of one type on an interface, to its own address, to groups and to
    /// all. On a VLAN the tag is taken off and put on.
    ///
    /// Errors: [`Error::InvalidArgument`] (a type of the stack's own: IPv4, ARP, IPv6, VLAN; or no
    /// type; or no such interface), [`Error::AddressInUse`].
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
        let handle = self
            .core
            .sockets
            .insert(Socket::Ethernet(Box::new(Ethernet {
                interface: interface.0,
                ethertype,
                arrived: VecDeque::new(),
                bytes: 0,
                blocked: false,
                wakes: Wakes::default(),
            })));
        self.core.ethernets.push((key, handle));
        Ok(handle)
    }

    /// Queues a frame; it leaves with the next [`Stack::poll`]. A short payload is padded by the
    /// device.
    ///
    /// Errors: [`Error::WouldBlock`] (no room), [`Error::MessageTooLong`] (beyond the interface's
    /// MTU).
    pub fn ethernet_send(
        &mut self,
        socket: Handle,
        destination: [u8; 6],
        payload: &[u8],
    ) -> Result<(), Error> {
        let ethernet = self.core.ethernet_mut(socket)?;
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
        if let Some(queue) = net.queues.get_mut(port) {
            park(&mut queue.blocked, &mut ethernet.blocked, socket);
        }
        Err(Error::WouldBlock)
    }

    /// Takes the oldest frame: the whole length of its payload (more than what was copied if
    /// `buffer` was too small), its source and its destination. [`Error::WouldBlock`] if there is
    /// none.
    pub fn ethernet_recv(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, [u8; 6], [u8; 6]), Error> {
        let ethernet = self.core.ethernet_mut(socket)?;
        let Some((source, destination, payload)) = ethernet.arrived.pop_front() else {
            ethernet.wakes.read = true;
            return Err(Error::WouldBlock);
        };
        ethernet.bytes -= payload.len();
        for (to, byte) in buffer.iter_mut().zip(&payload) {
            *to = *byte;
        }
        Ok((payload.len(), source, destination))
    }
}
