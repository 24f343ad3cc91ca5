//! UDP sockets.
//!
//! A socket has one of smoltcp's for each interface that it uses, made at the first datagram, since
//! smoltcp sends what is queued in a set through the one interface that it is polled with.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::UdpMetadata;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, SendError, Socket as UdpSocket};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

use crate::device::Sent;
use crate::frame::{Datagram, Fragment, FragmentKey, IPV6_HEADER, Unreachable};
use crate::interface::{End, Interface};
use crate::shared::{Core, Socket, Turn, park, route};
use crate::tcp::connection::Wakes;
use crate::tcp::listener::{conflict, covers};
use crate::{Error, Handle, Readiness, Stack};

/// Datagrams queued in each direction, whatever their size.
const PACKETS: usize = 64;
/// Datagrams that one socket may send before it is the next one's turn.
const TURN: u32 = 16;
/// Room for one datagram of the ordinary size at least.
const QUEUE_MIN: usize = 2048;
/// The largest datagram that smoltcp's buffer for fragments holds, with the IPv4 header.
const FRAGMENTED_MAX: usize = 16_384;
const UDP_HEADER: usize = 8;
/// The port that a DHCP client receives on, and its server's.
const DHCP_PORTS: (u16, u16) = (68, 67);

/// One socket.
pub(crate) struct Udp {
    pub(crate) local: SocketAddr,
    parts: Vec<Part>,
    /// Bytes in each direction, for each interface.
    queue: usize,
    pub(crate) wakes: Wakes,
    pub(crate) dirty: bool,
    pub(crate) blocked: bool,
    pub(crate) waiting: bool,
    pub(crate) timer_ns: Option<u64>,
    /// An ICMP error that was not told yet.
    pub(crate) error: Option<Error>,
}

struct Part {
    interface: usize,
    set: SocketSet<'static>,
    handle: SocketHandle,
}

impl Part {
    fn socket(&mut self) -> &mut UdpSocket<'static> {
        self.set.get_mut(self.handle)
    }
}

impl Udp {
    fn part(&mut self, interface: usize) -> &mut Part {
        let queue = self.queue;
        let at = match self
            .parts
            .iter()
            .position(|part| part.interface == interface)
        {
            Some(at) => at,
            None => {
                let ring =
                    || PacketBuffer::new(vec![PacketMetadata::EMPTY; PACKETS], vec![0; queue]);
                let mut socket = UdpSocket::new(ring(), ring());
                let address = self.local.ip();
                let addr = (!address.is_unspecified()).then(|| address.into());
                // Fails on port 0 or an open socket only.
                let _ = socket.bind(IpListenEndpoint {
                    addr,
                    port: self.local.port(),
                });
                let mut set = SocketSet::new(Vec::with_capacity(1));
                let handle = set.add(socket);
                self.parts.push(Part {
                    interface,
                    set,
                    handle,
                });
                self.parts.len() - 1
            }
        };
        &mut self.parts[at]
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let sockets = || {
            self.parts
                .iter()
                .map(|part| part.set.get::<UdpSocket<'_>>(part.handle))
        };
        Readiness {
            readable: self.error.is_some() || sockets().any(|socket| socket.can_recv()),
            writable: sockets().all(|socket| socket.can_send()),
            hangup: false,
            error: self.error.is_some(),
        }
    }
}

/// Which port the fragments of a datagram belong to, known from the first of them. Eight datagrams
/// may come in pieces at a time; the oldest is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    known: [Option<(FragmentKey, Datagram)>; 8],
    next: usize,
}

impl Fragments {
    fn learn(&mut self, fragment: &Fragment) -> Option<Datagram> {
        if let Some(first) = fragment.first {
            self.known[self.next] = Some((fragment.key, first));
            self.next = (self.next + 1) % self.known.len();
            return Some(first);
        }
        let found = self
            .known
            .iter()
            .flatten()
            .find(|(key, _)| *key == fragment.key);
        found.map(|(_, datagram)| *datagram)
    }
}

impl Core {
    fn udp_for(&self, address: IpAddr, port: u16) -> Option<Handle> {
        let group = match address {
            IpAddr::V4(a) => a.is_multicast() || a.is_broadcast() || a.octets()[3] == 255,
            IpAddr::V6(a) => a.is_multicast(),
        };
        let mut found = None;
        for &handle in self.udp_ports.get(&port)? {
            if let Some(Socket::Udp(udp)) = self.sockets.get(handle) {
                let bound = udp.local.ip();
                if bound == address {
                    return Some(handle);
                }
                if covers(bound, address) || group && bound.is_ipv4() == address.is_ipv4() {
                    found = Some(handle);
                }
            }
        }
        found
    }

    /// Handles a datagram whose headers are in order; smoltcp verifies its checksum.
    pub(crate) fn udp_datagram(
        &mut self,
        end: &mut End,
        interface: usize,
        frame: &[u8],
        datagram: &Datagram,
    ) {
        if (datagram.local_port, datagram.remote_port) == DHCP_PORTS
            && let Some(mut client) = end.dhcp.take()
        {
            end.feed(self.now_ns, frame, &mut client.set);
            end.changed |= client.update();
            end.dhcp = Some(client);
            end.hurry();
            return;
        }
        let Some(handle) = self.udp_for(datagram.local, datagram.local_port) else {
            // smoltcp answers "port unreachable" where that is due.
            return end.feed_base(self.now_ns, frame);
        };
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return;
        };
        end.feed(self.now_ns, frame, &mut udp.part(interface).set);
        if udp.wakes.read && udp.readiness().readable {
            udp.wakes.read = false;
            self.tell(handle);
        }
    }

    /// Handles a piece of a datagram: smoltcp's interface puts them together, and gives the whole to
    /// the set that comes with the last piece.
    pub(crate) fn udp_fragment(
        &mut self,
        end: &mut End,
        interface: usize,
        frame: &[u8],
        fragment: &Fragment,
    ) {
        match self.fragments.learn(fragment) {
            Some(datagram) => self.udp_datagram(end, interface, frame, &datagram),
            None => end.feed_base(self.now_ns, frame),
        }
    }

    /// Tells a socket that a datagram of its reached nobody.
    pub(crate) fn udp_unreachable(&mut self, report: &Unreachable) {
        let Some(handle) = self.udp_for(report.local.0, report.local.1) else {
            return;
        };
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return;
        };
        udp.error = Some(if report.port {
            Error::ConnectionRefused
        } else {
            Error::Unreachable
        });
        if core::mem::take(&mut udp.wakes.read) {
            self.tell(handle);
        }
    }

    /// Sends what is queued in a socket.
    pub(crate) fn send_datagrams(&mut self, interfaces: &mut [Interface], handle: Handle) -> Turn {
        let now_ns = self.now_ns;
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return Turn::Done(0);
        };
        let Udp {
            parts,
            blocked,
            waiting,
            timer_ns,
            ..
        } = udp.as_mut();
        let mut frames = 0;
        let mut more = false;
        let mut full = false;
        for part in parts {
            let Some(interface) = interfaces.get_mut(part.interface) else {
                continue;
            };
            loop {
                // smoltcp has one place for a datagram in fragments, and forgets what is there for
                // the next one: all must be out before.
                let ready = interface.send_fragments(now_ns);
                let sent = match ready {
                    true => interface.send(now_ns, &mut part.set),
                    false => Sent::default(),
                };
                self.work += 1;
                frames += sent.frames;
                if !ready || sent.refused || !interface.send_fragments(now_ns) {
                    park(&mut interface.end.blocked, blocked, handle);
                    full = true;
                    break;
                }
                let queued = part.socket().send_queue() > 0;
                if sent.datagrams == 0 {
                    if queued {
                        park(&mut interface.end.waiting, waiting, handle);
                        if let Some(at_ns) = interface.end.poll_at(now_ns, &part.set) {
                            self.timers
                                .set(timer_ns, at_ns.max(now_ns + 10_000_000), handle);
                        }
                    }
                    break;
                }
                if !queued {
                    break;
                }
                if frames >= TURN {
                    more = true;
                    break;
                }
            }
        }
        if udp.wakes.write && udp.readiness().writable {
            udp.wakes.write = false;
            self.tell(handle);
        }
        match (full, more) {
            (true, _) => Turn::Blocked(frames),
            (false, true) => Turn::More(frames),
            (false, false) => Turn::Done(frames),
        }
    }

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
            parts: Vec::new(),
            queue: queue.max(QUEUE_MIN),
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

    pub(crate) fn close_udp(&mut self, handle: Handle) {
        let Some(Socket::Udp(udp)) = self.sockets.remove(handle) else {
            return;
        };
        if let Some(handles) = self.udp_ports.get_mut(&udp.local.port()) {
            handles.retain(|other| *other != handle);
            if handles.is_empty() {
                self.udp_ports.remove(&udp.local.port());
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
        let mut metadata = UdpMetadata::from(IpEndpoint::new(remote.ip().into(), remote.port()));
        metadata.local_address = Some(source.into());
        match udp.part(interface).socket().send_slice(data, metadata) {
            Ok(()) => {
                self.mark_dirty(handle);
                Ok(())
            }
            Err(SendError::BufferFull) => {
                udp.wakes.write = true;
                self.mark_dirty(handle);
                Err(Error::WouldBlock)
            }
            Err(SendError::Unaddressable) => Err(Error::InvalidArgument),
        }
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
        for part in &mut udp.parts {
            if let Ok((data, metadata)) = part.socket().recv() {
                let len = data.len().min(buffer.len());
                buffer[..len].copy_from_slice(&data[..len]);
                let from = metadata.endpoint;
                return Ok((data.len(), SocketAddr::new(from.addr.into(), from.port)));
            }
        }
        udp.wakes.read = true;
        Err(Error::WouldBlock)
    }

    pub(crate) fn udp_mut(&mut self, handle: Handle) -> Result<&mut Udp, Error> {
        match self.sockets.get_mut(handle) {
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
