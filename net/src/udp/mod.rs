//! UDP sockets.
//!
//! Receiving is one smoltcp socket, which any interface may fill. Sending has a queue of its own, of
//! which one datagram at a time is given to smoltcp: see `output`.

mod input;
mod output;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket as UdpSocket};
use smoltcp::wire::IpListenEndpoint;

use crate::frame::IPV6_HEADER;
use crate::interface::Interface;
use crate::shared::{Core, Socket, route};
use crate::tcp::connection::Wakes;
use crate::tcp::listener::conflict;
use crate::{Error, Handle, Readiness, Stack};
pub(crate) use input::Fragments;
use output::{Outgoing, Sender};

/// Datagrams queued in each direction, whatever their size.
const PACKETS: usize = 64;
/// Room for one datagram of the ordinary size at least.
const QUEUE_MIN: usize = 2048;
/// The largest datagram that smoltcp's buffer for fragments holds, with the IPv4 header.
const FRAGMENTED_MAX: usize = 16_384;
const UDP_HEADER: usize = 8;

/// One socket.
pub(crate) struct Udp {
    pub(crate) local: SocketAddr,
    /// Made when the first datagram comes.
    receiver: Option<(SocketSet<'static>, SocketHandle)>,
    outgoing: VecDeque<Outgoing>,
    /// Datagrams and their bytes that smoltcp hasn't got yet.
    outgoing_packets: usize,
    outgoing_bytes: usize,
    /// The interface that hasn't sent all fragments of a datagram of this socket.
    cutting: Option<usize>,
    /// Kept for the next datagram.
    sender: Option<Sender>,
    /// Each with a datagram that couldn't leave yet.
    stuck: VecDeque<Sender>,
    /// Bytes in each direction.
    queue: usize,
    /// The handle was given back.
    pub(crate) closing: bool,
    pub(crate) wakes: Wakes,
    pub(crate) dirty: bool,
    pub(crate) blocked: bool,
    pub(crate) waiting: bool,
    pub(crate) timer_ns: Option<u64>,
    /// An ICMP error that was not told yet.
    pub(crate) error: Option<Error>,
}

/// smoltcp's socket for the port of `local`, alone in a set.
fn smoltcp_socket(
    local: SocketAddr,
    receive: PacketBuffer<'static>,
    send: PacketBuffer<'static>,
) -> (SocketSet<'static>, SocketHandle) {
    let mut socket = UdpSocket::new(receive, send);
    let address = local.ip();
    let addr = (!address.is_unspecified()).then(|| address.into());
    // Fails on port 0 or an open socket only.
    let _ = socket.bind(IpListenEndpoint {
        addr,
        port: local.port(),
    });
    let mut set = SocketSet::new(Vec::with_capacity(1));
    let handle = set.add(socket);
    (set, handle)
}

fn ring(packets: usize, bytes: usize) -> PacketBuffer<'static> {
    PacketBuffer::new(vec![PacketMetadata::EMPTY; packets], vec![0; bytes])
}

impl Udp {
    fn receiver(&mut self) -> &mut (SocketSet<'static>, SocketHandle) {
        let (local, queue) = (self.local, self.queue);
        self.receiver
            .get_or_insert_with(|| smoltcp_socket(local, ring(PACKETS, queue), ring(0, 0)))
    }

    /// Nothing is left to be sent.
    fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.stuck.is_empty() && self.cutting.is_none()
    }

    fn has_room(&self) -> bool {
        self.outgoing_packets < PACKETS && self.outgoing_bytes < self.queue
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let receiver = self.receiver.as_ref();
        let arrived =
            receiver.is_some_and(|(set, handle)| set.get::<UdpSocket<'_>>(*handle).can_recv());
        Readiness {
            readable: arrived || self.error.is_some(),
            writable: self.has_room(),
            hangup: false,
            error: self.error.is_some(),
        }
    }
}

impl Core {
    pub(crate) fn bind(
        &mut self,
        interfaces: &[Interface],
        local: SocketAddr,
        queue: usize,
    ) -> Result<Handle, Error> {
        let address = local.ip();
        if !address.is_unspecified()
            && !interfaces
                .iter()
                .any(|interface| interface.end.has_address(address))
        {
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
            receiver: None,
            outgoing: VecDeque::new(),
            outgoing_packets: 0,
            outgoing_bytes: 0,
            cutting: None,
            sender: None,
            stuck: VecDeque::new(),
            queue: queue.max(QUEUE_MIN),
            closing: false,
            wakes: Wakes::default(),
            dirty: false,
            blocked: false,
            waiting: false,
            timer_ns: None,
            error: None,
        })));
        self.udp_ports.entry(port).or_default().push(handle);
        Ok(handle)
    }

    /// Frees the port; what is queued to be sent still leaves.
    pub(crate) fn close_udp(&mut self, handle: Handle) {
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return;
        };
        let port = udp.local.port();
        udp.closing = true;
        udp.receiver = None;
        if udp.is_idle() {
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
        interfaces: &[Interface],
        handle: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        let udp = self.udp_mut(handle)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        if remote.port() == 0 || remote.ip().is_unspecified() {
            return Err(Error::InvalidArgument);
        }
        let scope = match remote {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let (interface, source) = route(interfaces, remote.ip(), scope)?;
        let source = match udp.local.ip() {
            IpAddr::V4(_) if remote.is_ipv6() => return Err(Error::InvalidArgument),
            any if any.is_unspecified() => source,
            bound if bound.is_ipv4() == remote.is_ipv4() => bound,
            _ => return Err(Error::InvalidArgument),
        };
        let limit = match remote {
            SocketAddr::V4(_) => FRAGMENTED_MAX - 20,
            SocketAddr::V6(_) => interfaces
                .get(interface)
                .map_or(0, |i| i.end.mtu())
                .saturating_sub(IPV6_HEADER),
        };
        if data.len() + UDP_HEADER > limit || data.len() > udp.queue {
            return Err(Error::MessageTooLong);
        }
        if !udp.has_room() {
            udp.wakes.write = true;
            self.mark_dirty(handle);
            return Err(Error::WouldBlock);
        }
        udp.outgoing_packets += 1;
        udp.outgoing_bytes += data.len();
        udp.outgoing.push_back(Outgoing {
            interface,
            source,
            remote,
            data: data.to_vec(),
        });
        self.mark_dirty(handle);
        Ok(())
    }

    pub(crate) fn recv_from(
        &mut self,
        handle: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        let udp = self.udp_mut(handle)?;
        if let Some(error) = udp.error.take() {
            return Err(error);
        }
        if let Some((set, socket)) = &mut udp.receiver
            && let Ok((data, metadata)) = set.get_mut::<UdpSocket<'_>>(*socket).recv()
        {
            let len = data.len().min(buffer.len());
            buffer[..len].copy_from_slice(&data[..len]);
            let from = metadata.endpoint;
            return Ok((data.len(), SocketAddr::new(from.addr.into(), from.port)));
        }
        udp.wakes.read = true;
        Err(Error::WouldBlock)
    }

    pub(crate) fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Udp(udp)) => Ok(udp),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }
}

/// UDP.
impl Stack {
    /// A UDP socket. An unspecified address receives on all interfaces (`[::]` of both families);
    /// port 0 takes an ephemeral one.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        self.core
            .bind(&self.interfaces, local, self.core.config.udp_queue)
    }

    /// Queues one datagram; it leaves with the next [`Stack::poll`].
    ///
    /// Errors: [`Error::WouldBlock`] (queue full), [`Error::MessageTooLong`],
    /// [`Error::Unreachable`] (no route), [`Error::InvalidArgument`]; and, once, what ICMP said
    /// about an earlier datagram ([`Error::ConnectionRefused`], [`Error::Unreachable`]).
    pub fn udp_send_to(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        self.core.send_to(&self.interfaces, socket, data, remote)
    }

    /// Takes the oldest datagram: its whole length (which is more than what was copied if `buffer`
    /// was too small; the rest is lost) and its sender. [`Error::WouldBlock`] if there is none;
    /// ICMP errors as for [`Stack::udp_send_to`].
    pub fn udp_recv_from(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        self.core.recv_from(socket, buffer)
    }
}
