//! UDP sockets (RFC 768; RFC 1122, 4.1): a queue of datagrams in each direction, bounded in number
//! and bytes.

mod groups;
mod input;
mod output;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::ip::{Ip, Marking, Route};
use crate::shared::{Core, Socket};
use crate::tcp::connection::Wakes;
use crate::tcp::listener::conflict;
use crate::{Error, Handle, InterfaceId, Readiness, Stack};

/// Datagrams queued to be sent, whatever their size.
const OUTGOING: usize = 64;
/// Datagrams queued that were received.
const ARRIVED: usize = 512;
/// What a received datagram costs of the queue beside its bytes.
const OVERHEAD: usize = 32;
/// Those that a socket has sent to, whose answers the filter takes for such, and for how long (RFC
/// 4787, 4.3, has two minutes for what lies between).
const ASKED: usize = 16;
const ASKED_NS: u64 = 60_000_000_000;
/// Room for one datagram of the ordinary size at least.
const QUEUE_MIN: usize = 2048;
/// The largest datagram (RFC 768; RFC 8200, without jumbo payloads).
const LARGEST_V4: usize = 65_535 - 20 - 8;
const LARGEST_V6: usize = 65_535 - 8;

/// A datagram that waits to be sent.
struct Outgoing {
    route: Route,
    remote: SocketAddr,
    /// As it was chosen when the datagram was queued.
    marking: Marking,
    data: Vec<u8>,
}

/// A datagram that was received.
struct Arrived {
    from: SocketAddr,
    to: IpAddr,
    interface: u32,
    data: Vec<u8>,
}

/// What is known of a datagram that was received: see [`Stack::udp_receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its whole length, which may be more than what was copied.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to: an address of ours, a broadcast address, or a group.
    pub to: IpAddr,
    /// The interface that it came by.
    pub interface: InterfaceId,
}

/// One socket.
pub(crate) struct Udp {
    pub(crate) local: SocketAddr,
    /// The only one that is heard and sent to.
    pub(crate) peer: Option<SocketAddr>,
    arrived: VecDeque<Arrived>,
    arrived_bytes: usize,
    outgoing: VecDeque<Outgoing>,
    outgoing_bytes: usize,
    /// Bytes in each direction.
    queue: usize,
    /// Groups that were joined, each on an interface.
    groups: Vec<(usize, IpAddr)>,
    /// Hop limit of what is sent to groups: 1 unless told otherwise (RFC 1112, 6.1).
    group_hops: u8,
    /// What is chosen for what is sent; the hop limit to one machine only (RFC 1122, 4.1.4).
    pub(crate) marking: Marking,
    /// The handle was given back.
    pub(crate) closing: bool,
    pub(crate) wakes: Wakes,
    pub(crate) dirty: bool,
    pub(crate) blocked: bool,
    pub(crate) waiting: bool,
    /// An ICMP error that was not told yet.
    pub(crate) error: Option<Error>,
    /// To whom it has sent, until when answers are expected: noted if the filter wants to know.
    asked: Vec<(SocketAddr, u64)>,
}

impl Udp {
    fn has_room(&self) -> bool {
        self.outgoing.len() < OUTGOING && self.outgoing_bytes < self.queue
    }

    pub(crate) fn readiness(&self) -> Readiness {
        Readiness {
            readable: !self.arrived.is_empty() || self.error.is_some(),
            writable: self.has_room(),
            hangup: false,
            error: self.error.is_some(),
        }
    }

    /// Bytes that nobody has read, and bytes that haven't left.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.arrived_bytes, self.outgoing_bytes)
    }

    /// Notes that answers from there are expected.
    fn asks(&mut self, remote: SocketAddr, now_ns: u64) {
        let until_ns = now_ns.saturating_add(ASKED_NS);
        let same =
            |(at, _): &&mut (SocketAddr, u64)| (at.ip(), at.port()) == (remote.ip(), remote.port());
        if let Some(known) = self.asked.iter_mut().find(same) {
            known.1 = until_ns;
            return;
        }
        if self.asked.len() >= ASKED {
            self.asked.remove(0);
        }
        self.asked.push((remote, until_ns));
    }

    /// Whether a datagram from there isn't a stranger's.
    fn expects(&self, from: SocketAddr, now_ns: u64) -> bool {
        let asked = |(at, until_ns): &(SocketAddr, u64)| {
            (at.ip(), at.port()) == (from.ip(), from.port()) && now_ns < *until_ns
        };
        self.peer.is_some() || self.asked.iter().any(asked)
    }

    fn take(&mut self) -> Option<Arrived> {
        let datagram = self.arrived.pop_front()?;
        self.arrived_bytes -= datagram.data.len() + OVERHEAD;
        Some(datagram)
    }
}

impl Core {
    pub(crate) fn bind(
        &mut self,
        ip: &Ip,
        local: SocketAddr,
        queue: usize,
    ) -> Result<Handle, Error> {
        if ip.net.memory_short {
            return Err(Error::OutOfMemory);
        }
        let address = local.ip();
        let group = address.is_multicast();
        if !address.is_unspecified() && !group && !ip.net.has_address(address) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match local.port() {
            0 => self.ephemeral_udp()?,
            port => port,
        };
        let taken = self
            .udp_ports
            .get(&port)
            .into_iter()
            .flatten()
            .any(|other| {
                matches!(self.sockets.get(*other), Some(Socket::Udp(udp))
                if conflict(udp.local.ip(), address))
            });
        if taken {
            return Err(Error::AddressInUse);
        }
        let handle = self.sockets.insert(Socket::Udp(Box::new(Udp {
            local: SocketAddr::new(address, port),
            peer: None,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            queue: queue.max(QUEUE_MIN),
            groups: Vec::new(),
            group_hops: 1,
            marking: Marking::default(),
            closing: false,
            wakes: Wakes::default(),
            dirty: false,
            blocked: false,
            waiting: false,
            error: None,
            asked: Vec::new(),
        })));
        self.udp_ports.entry(port).or_default().push(handle);
        Ok(handle)
    }

    /// Frees the port and leaves the groups; what is queued to be sent still leaves.
    pub(crate) fn close_udp(&mut self, ip: &mut Ip, handle: Handle) {
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return;
        };
        let port = udp.local.port();
        udp.closing = true;
        udp.arrived = VecDeque::new();
        udp.arrived_bytes = 0;
        for (interface, group) in core::mem::take(&mut udp.groups) {
            ip.net.leave(interface, group);
        }
        if udp.outgoing.is_empty() {
            self.sockets.remove(handle);
        } else {
            self.mark_dirty(handle);
        }
        if let Some(handles) = self.udp_ports.get_mut(&port) {
            handles.retain(|other| *other != handle);
            if handles.is_empty() {
                self.udp_ports.remove(&port);
            }
        }
    }

    pub(crate) fn send_to(
        &mut self,
        ip: &Ip,
        handle: Handle,
        data: &[u8],
        remote: SocketAddr,
        scope: u32,
    ) -> Result<(), Error> {
        let udp = self.udp_mut(handle)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(Error::InvalidArgument);
        }
        let bound = udp.local.ip();
        if bound.is_ipv4() && remote.is_ipv6() {
            return Err(Error::InvalidArgument);
        }
        let source = (!bound.is_unspecified() && !bound.is_multicast()).then_some(bound);
        if source.is_some_and(|source| source.is_ipv4() != remote.is_ipv4()) {
            return Err(Error::InvalidArgument);
        }
        let largest = match remote {
            SocketAddr::V4(_) => LARGEST_V4,
            SocketAddr::V6(_) => LARGEST_V6,
        };
        if data.len() > largest || data.len() > udp.queue {
            return Err(Error::MessageTooLong);
        }
        if !udp.has_room() {
            udp.wakes.write = true;
            self.mark_dirty(handle);
            return Err(Error::WouldBlock);
        }
        let route = ip.route(remote.ip(), scope, source)?;
        if ip.net.tracks() {
            udp.asks(remote, ip.net.now_ns);
        }
        let mut marking = udp.marking;
        if remote.ip().is_multicast() {
            marking.hop_limit = udp.group_hops.max(1);
        }
        udp.outgoing_bytes += data.len();
        udp.outgoing.push_back(Outgoing {
            route,
            remote,
            marking,
            data: data.to_vec(),
        });
        self.mark_dirty(handle);
        Ok(())
    }

    pub(crate) fn recv_from(
        &mut self,
        handle: Handle,
        buffer: &mut [u8],
    ) -> Result<Received, Error> {
        let udp = self.udp_mut(handle)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        match udp.take() {
            Some(arrived) => {
                for (to, byte) in buffer.iter_mut().zip(&arrived.data) {
                    *to = *byte;
                }
                Ok(Received {
                    len: arrived.data.len(),
                    from: arrived.from,
                    to: arrived.to,
                    interface: InterfaceId(arrived.interface as usize),
                })
            }
            None => {
                udp.wakes.read = true;
                Err(Error::WouldBlock)
            }
        }
    }

    pub(crate) fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Udp(udp)) => Ok(udp),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }
}

/// The interface that a link-local address is meant on (RFC 4007); 0 if it isn't said.
pub(crate) fn scope_of(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    }
}

/// UDP.
impl Stack {
    /// A UDP socket. An unspecified address receives on all interfaces (`[::]` of both families), a
    /// group's only what is sent to it; port 0 takes an ephemeral one.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        let queue = self.core.config.udp_queue;
        self.core.bind(&self.ip, local, queue)
    }

    /// Chooses the only peer that is heard and that [`Stack::udp_send`] sends to; `None` for all
    /// again. ICMP errors are told about this peer only. What was received stays.
    ///
    /// Errors: [`Error::InvalidArgument`], [`Error::Unreachable`] (no route).
    pub fn udp_connect(&mut self, socket: Handle, peer: Option<SocketAddr>) -> Result<(), Error> {
        if let Some(peer) = peer {
            if peer.port() == 0 {
                return Err(Error::InvalidArgument);
            }
            self.ip.route(peer.ip(), scope_of(peer), None)?;
        }
        self.core.udp_mut(socket)?.peer = peer;
        Ok(())
    }

    /// Queues one datagram; it leaves with the next [`Stack::poll`], in fragments if the path
    /// doesn't carry it whole.
    ///
    /// Errors: [`Error::WouldBlock`] (queue full), [`Error::MessageTooLong`],
    /// [`Error::Unreachable`] (no route), [`Error::InvalidArgument`]; and of a connected socket,
    /// once, what ICMP said about an earlier datagram ([`Error::ConnectionRefused`],
    /// [`Error::Unreachable`]).
    pub fn udp_send_to(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        self.core
            .send_to(&self.ip, socket, data, remote, scope_of(remote))
    }

    /// The same, where `interface` says on which link a group or link-local address is meant.
    pub fn udp_send_on(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
        interface: InterfaceId,
    ) -> Result<(), Error> {
        let scope = interface.0 as u32;
        self.core.send_to(&self.ip, socket, data, remote, scope)
    }

    /// The same to the peer of [`Stack::udp_connect`]; [`Error::NotConnected`] if there is none.
    pub fn udp_send(&mut self, socket: Handle, data: &[u8]) -> Result<(), Error> {
        let peer = self.core.udp_mut(socket)?.peer.ok_or(Error::NotConnected)?;
        self.core
            .send_to(&self.ip, socket, data, peer, scope_of(peer))
    }

    /// Queues several datagrams; gives the number of those that fitted. The error of the first one
    /// otherwise.
    pub fn udp_send_batch(
        &mut self,
        socket: Handle,
        batch: &[(&[u8], SocketAddr)],
    ) -> Result<usize, Error> {
        for (count, (data, remote)) in batch.iter().enumerate() {
            match self.udp_send_to(socket, data, *remote) {
                Ok(()) => {}
                Err(error) if count == 0 => return Err(error),
                Err(_) => return Ok(count),
            }
        }
        Ok(batch.len())
    }

    /// Takes the oldest datagram: its whole length (which is more than what was copied if `buffer`
    /// was too small; the rest is lost) and its sender. [`Error::WouldBlock`] if there is none;
    /// ICMP errors as for [`Stack::udp_send_to`].
    pub fn udp_recv_from(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        let received = self.core.recv_from(socket, buffer)?;
        Ok((received.len, received.from))
    }

    /// The same, with where the datagram was sent to and the interface that it came by (RFC 1122,
    /// 4.1.3.5).
    pub fn udp_receive(&mut self, socket: Handle, buffer: &mut [u8]) -> Result<Received, Error> {
        self.core.recv_from(socket, buffer)
    }

    /// Gives `f` up to `most` datagrams, oldest first, in place; gives their number, which isn't 0.
    /// Errors as for [`Stack::udp_recv_from`].
    pub fn udp_recv_batch(
        &mut self,
        socket: Handle,
        most: usize,
        f: &mut dyn FnMut(&[u8], SocketAddr),
    ) -> Result<usize, Error> {
        let udp = self.core.udp_mut(socket)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        let mut count = 0;
        while count < most
            && let Some(datagram) = udp.take()
        {
            f(&datagram.data, datagram.from);
            count += 1;
        }
        if count == 0 {
            udp.wakes.read = true;
            return Err(Error::WouldBlock);
        }
        Ok(count)
    }
}
