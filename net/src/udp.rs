//! A UDP socket (RFC 768; RFC 1122, 4.1): a queue of datagrams in each direction, bounded in number
//! and bytes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::ip::{HeaderFields, Ip, Outcome, Packet, Route, UDP, UdpInput};
use crate::types::{Binding, Error, Handle, InterfaceId, Readiness, WakeFlags};

/// Maximum number of datagrams that one socket sends in one turn.
const MAX_DATAGRAMS_PER_TURN: u32 = 16;
/// Maximum number of datagrams queued for sending, whatever their size.
const OUTGOING: usize = 64;
/// Maximum number of received datagrams queued.
const ARRIVED: usize = 512;
/// Bytes that a received datagram takes in the queue in addition to its payload.
const OVERHEAD: usize = 32;
/// Maximum number of peers that a socket has sent to whose replies the filter recognizes, and for
/// how long (RFC 4787, 4.3 has two minutes for NATs).
const MAX_RECENT_PEERS: usize = 16;
const RECENT_PEER_NS: u64 = 60_000_000_000;
/// Room for at least one datagram of the usual size.
const QUEUE_MIN: usize = 2048;
/// Payload of the largest datagram (RFC 768; RFC 8200, without jumbo payloads).
pub(crate) const MAX_PAYLOAD_V4: usize = 65_535 - 20 - 8;
pub(crate) const MAX_PAYLOAD_V6: usize = 65_535 - 8;

/// A datagram that waits to be sent.
pub(crate) struct Outgoing {
    pub(crate) route: Route,
    pub(crate) remote: SocketAddr,
    /// As set when the datagram was queued.
    pub(crate) header_fields: HeaderFields,
    pub(crate) data: Vec<u8>,
}

/// A datagram that was received.
pub(crate) struct ReceivedDatagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: IpAddr,
    pub(crate) interface: u32,
    pub(crate) data: Vec<u8>,
}

/// Metadata of a received datagram: see [`Stack::udp_receive`](crate::Stack::udp_receive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its whole length, which may exceed the copied bytes.
    pub len: usize,
    /// The sender.
    pub from: SocketAddr,
    /// The destination: an address of ours, a broadcast address, or a group.
    pub to: IpAddr,
    /// The address of ours to reply from: `to`, or for a broadcast or a group one of the
    /// interface's; unspecified if it has none.
    pub local: IpAddr,
    /// The interface that received it.
    pub interface: InterfaceId,
}

/// Where a datagram leaves from: see [`Stack::udp_send_from`](crate::Stack::udp_send_from).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// An address of ours; `None`: the socket's own, or the route's.
    pub address: Option<IpAddr>,
    /// The link of a group or link-local destination; `None`: the destination's scope.
    pub interface: Option<InterfaceId>,
}

/// One socket.
pub(crate) struct Udp {
    pub(crate) local: SocketAddr,
    /// `[::]` doesn't match IPv4.
    pub(crate) v6_only: bool,
    /// The only peer to receive from and send to.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) arrived: VecDeque<ReceivedDatagram>,
    arrived_bytes: usize,
    pub(crate) outgoing: VecDeque<Outgoing>,
    pub(crate) outgoing_bytes: usize,
    /// Maximum number of bytes queued in each direction.
    pub(crate) queue: usize,
    /// Joined groups, each on an interface.
    pub(crate) groups: Vec<(usize, IpAddr)>,
    /// Hop limit of datagrams to groups: 1 by default (RFC 1112, 6.1).
    pub(crate) group_hops: u8,
    /// Header fields of sent datagrams; the hop limit applies to unicast destinations only (RFC
    /// 1122, 4.1.4).
    pub(crate) header_fields: HeaderFields,
    /// The program has closed the handle.
    pub(crate) closing: bool,
    pub(crate) wakes: WakeFlags,
    pub(crate) dirty: bool,
    pub(crate) blocked: bool,
    pub(crate) waiting: bool,
    /// A pending ICMP error.
    pub(crate) error: Option<Error>,
    /// Recent destinations, and until when replies are expected: recorded if the filter depends on
    /// it.
    asked: Vec<(SocketAddr, u64)>,
}

impl Udp {
    /// A socket without a peer, with room for `queue` bytes in each direction.
    pub(crate) fn new(local: SocketAddr, queue: usize) -> Udp {
        Udp {
            local,
            v6_only: false,
            peer: None,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            queue: queue.max(QUEUE_MIN),
            groups: Vec::new(),
            group_hops: 1,
            header_fields: HeaderFields::default(),
            closing: false,
            wakes: WakeFlags::default(),
            dirty: false,
            blocked: false,
            waiting: false,
            error: None,
            asked: Vec::new(),
        }
    }

    /// The bound address.
    pub(crate) fn binding(&self) -> Binding {
        Binding {
            address: self.local.ip(),
            v6_only: self.v6_only,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
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

    /// Bytes received and not read, and bytes not sent.
    pub(crate) fn queued(&self) -> (usize, usize) {
        (self.arrived_bytes, self.outgoing_bytes)
    }

    /// Records that replies from `remote` are expected.
    pub(crate) fn asks(&mut self, remote: SocketAddr, now_ns: u64) {
        let until_ns = now_ns.saturating_add(RECENT_PEER_NS);
        let same =
            |(at, _): &&mut (SocketAddr, u64)| (at.ip(), at.port()) == (remote.ip(), remote.port());
        if let Some(known) = self.asked.iter_mut().find(same) {
            known.1 = until_ns;
            return;
        }
        if self.asked.len() >= MAX_RECENT_PEERS {
            self.asked.remove(0);
        }
        self.asked.push((remote, until_ns));
    }

    /// Whether a datagram from there is expected.
    pub(crate) fn expects(&self, from: SocketAddr, now_ns: u64) -> bool {
        let asked = |(at, until_ns): &(SocketAddr, u64)| {
            (at.ip(), at.port()) == (from.ip(), from.port()) && now_ns < *until_ns
        };
        self.peer.is_some() || self.asked.iter().any(asked)
    }

    pub(crate) fn take(&mut self) -> Option<ReceivedDatagram> {
        let datagram = self.arrived.pop_front()?;
        self.arrived_bytes -= datagram.data.len() + OVERHEAD;
        Some(datagram)
    }

    pub(crate) fn accepts(&self, from: SocketAddr) -> bool {
        self.peer
            .is_none_or(|peer| peer.ip() == from.ip() && peer.port() == from.port())
    }

    /// Whether a multicast or broadcast datagram is for this socket.
    pub(crate) fn wants(&self, interface: usize, address: IpAddr) -> bool {
        let bound = self.local.ip();
        let covers = self.binding().covers(address);
        if address.is_multicast() {
            return self.groups.contains(&(interface, address)) && (covers || bound == address);
        }
        // A broadcast also reaches sockets bound to one of our addresses.
        covers || bound.is_ipv4() == address.is_ipv4() && !bound.is_multicast()
    }

    /// Queues a received datagram; `false` if there is no room. While memory is short one datagram
    /// is kept.
    pub(crate) fn deliver(
        &mut self,
        from: SocketAddr,
        datagram: &UdpInput<'_>,
        memory_short: bool,
    ) -> bool {
        let cost = datagram.payload.len() + OVERHEAD;
        let room = match memory_short {
            true => 0,
            false => self.queue,
        };
        let full = self.arrived.len() >= ARRIVED
            || !self.arrived.is_empty() && self.arrived_bytes + cost > room;
        if full || self.closing {
            return false;
        }
        self.arrived_bytes += cost;
        self.arrived.push_back(ReceivedDatagram {
            from,
            to: datagram.origin.local,
            interface: datagram.origin.interface as u32,
            data: datagram.payload.to_vec(),
        });
        true
    }

    /// Releases received datagrams when the program closes the socket.
    pub(crate) fn clear(&mut self) {
        self.arrived = VecDeque::new();
        self.arrived_bytes = 0;
    }

    /// Sends up to one turn's datagrams; returns their number, and whether the link is full. A
    /// datagram with an unresolved neighbor is queued by the IP layer, and doesn't delay others;
    /// one from a tentative address stays here, and others overtake it.
    pub(crate) fn turn(&mut self, ip: &mut Ip, handle: Handle) -> (u32, bool) {
        let mut sent = 0;
        let mut stay = VecDeque::new();
        let mut full = false;
        while sent < MAX_DATAGRAMS_PER_TURN
            && let Some(mut datagram) = self.outgoing.pop_front()
        {
            match self.send(ip, &mut datagram) {
                Outcome::Full => {
                    ip.net
                        .wait_for_room(&datagram.route, &mut self.blocked, handle);
                    stay.push_back(datagram);
                    full = true;
                    break;
                }
                Outcome::Resolving => {
                    ip.net
                        .wait_for_neighbor(&datagram.route, &mut self.waiting, handle);
                    stay.push_back(datagram);
                    continue;
                }
                Outcome::Unreachable => {
                    self.error.get_or_insert(crate::types::Error::Unreachable);
                }
                Outcome::Sent | Outcome::TooLong => {}
            }
            sent += 1;
            self.outgoing_bytes -= datagram.data.len();
        }
        while let Some(datagram) = stay.pop_back() {
            self.outgoing.push_front(datagram);
        }
        (sent, full)
    }

    fn send(&self, ip: &mut Ip, datagram: &mut Outgoing) -> Outcome {
        let mut header = [0; 8];
        header[..2].copy_from_slice(&self.local.port().to_be_bytes());
        header[2..4].copy_from_slice(&datagram.remote.port().to_be_bytes());
        // The largest datagram fits the field; see `MAX_PAYLOAD_V6`.
        header[4..6].copy_from_slice(&((datagram.data.len() + 8) as u16).to_be_bytes());
        let payload = [datagram.data.as_slice()];
        let packet = Packet::new(
            &datagram.route,
            UDP,
            datagram.header_fields,
            &header,
            &payload,
        );
        ip.send(&mut datagram.route, &packet)
    }
}

#[cfg(test)]
mod tests {
    use super::{ARRIVED, MAX_RECENT_PEERS, OVERHEAD, QUEUE_MIN, RECENT_PEER_NS, Udp};
    use crate::ip::{Origin, UdpInput};
    use crate::types::Error;
    use core::net::{IpAddr, SocketAddr};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::new(ip("10.0.0.9"), port)
    }

    fn bound(text: &str) -> Udp {
        Udp::new(SocketAddr::new(ip(text), 53), 0)
    }

    fn deliver(udp: &mut Udp, payload: &[u8], short: bool) -> bool {
        let datagram = UdpInput {
            origin: Origin {
                interface: 1,
                mac: [0; 6],
                local: ip("10.0.0.1"),
                remote: ip("10.0.0.9"),
            },
            remote_port: 7,
            local_port: 53,
            payload,
            unicast: true,
            packet: &[],
        };
        udp.deliver(peer(7), &datagram, short)
    }

    /// A queue takes datagrams up to its size in bytes, each with its overhead, and one of any
    /// size.
    #[test]
    fn a_queue_is_bounded_in_bytes_and_number() {
        let mut udp = bound("0.0.0.0");
        assert!(!udp.readiness().readable && udp.readiness().writable);
        assert!(deliver(&mut udp, &[1; 9000], false));
        assert!(!deliver(&mut udp, &[], false));
        assert_eq!(udp.queued(), (9000 + OVERHEAD, 0));
        assert_eq!(udp.take().map(|arrived| arrived.data.len()), Some(9000));
        assert_eq!(udp.queued(), (0, 0));
        assert!(deliver(&mut udp, &[1; 1000], false) && udp.readiness().readable);
        let rest = QUEUE_MIN - 1000 - 2 * OVERHEAD;
        assert!(!deliver(&mut udp, &vec![2; rest + 1], false));
        assert!(deliver(&mut udp, &vec![2; rest], false));
        assert_eq!(udp.queued(), (QUEUE_MIN, 0));
        udp.clear();
        assert_eq!((udp.queued(), udp.take().is_none()), ((0, 0), true));
        udp.queue = 1 << 20;
        let taken = (0..2 * ARRIVED).take_while(|_| deliver(&mut udp, &[], false));
        assert_eq!(taken.count(), ARRIVED);
        // While memory is short one is kept; a closed socket keeps none.
        udp.clear();
        assert!(deliver(&mut udp, &[1; 9], true) && !deliver(&mut udp, &[1; 9], true));
        udp.clear();
        udp.closing = true;
        assert!(!deliver(&mut udp, &[], false));
    }

    #[test]
    fn an_error_is_something_to_read_and_a_full_queue_nothing_to_write_to() {
        let mut udp = bound("0.0.0.0");
        udp.error = Some(Error::Unreachable);
        assert!(udp.readiness().readable && udp.readiness().error);
        udp.outgoing_bytes = QUEUE_MIN - 1;
        assert!(udp.readiness().writable);
        udp.outgoing_bytes = QUEUE_MIN;
        assert!(!udp.readiness().writable);
    }

    /// The filter admits a peer for a minute after the socket sent to it; of many, the most recent.
    #[test]
    fn answers_are_expected_for_a_minute() {
        let mut udp = bound("0.0.0.0");
        udp.asks(peer(1), 0);
        assert!(udp.expects(peer(1), RECENT_PEER_NS - 1));
        assert!(!udp.expects(peer(1), RECENT_PEER_NS) && !udp.expects(peer(2), 0));
        assert!(!udp.expects(SocketAddr::new(ip("10.0.0.8"), 1), 0));
        // Sending again extends the time, and takes no second place.
        for at_ns in 1..=40 {
            udp.asks(peer(1), at_ns);
        }
        assert!(udp.expects(peer(1), RECENT_PEER_NS + 39));
        for port in 2..2 + MAX_RECENT_PEERS as u16 {
            assert!(udp.expects(peer(1), 0), "{port}");
            udp.asks(peer(port), 0);
        }
        assert!(!udp.expects(peer(1), 0) && udp.expects(peer(2), 0));
        udp.peer = Some(peer(9));
        assert!(udp.expects(peer(1), 0), "no other is heard");
    }

    /// RFC 1112, 7.2 and RFC 1122, 4.1.3.6: which sockets receive multicast and broadcast
    /// datagrams.
    #[test]
    fn sockets_receive_groups_and_broadcasts() {
        let (group, group6) = ("224.0.0.9", "ff02::9");
        for (at, joined, to, accepts) in [
            ("0.0.0.0", Some(group), group, true),
            ("0.0.0.0", None, group, false),
            ("0.0.0.0", Some("224.0.0.8"), group, false),
            (group, Some(group), group, true),
            ("10.0.0.1", Some(group), group, false),
            ("::", Some(group6), group6, true),
            ("::", Some(group), group, true),
            ("0.0.0.0", Some(group6), group6, false),
            ("0.0.0.0", None, "10.0.0.255", true),
            ("::", None, "10.0.0.255", true),
            ("10.0.0.1", None, "10.0.0.255", true),
            ("fd00::1", None, "10.0.0.255", false),
            (group, Some(group), "10.0.0.255", false),
        ] {
            let mut udp = bound(at);
            udp.groups.extend(joined.map(|group| (1, ip(group))));
            assert_eq!(udp.wants(1, ip(to)), accepts, "{at} {joined:?} {to}");
            assert!(!ip(to).is_multicast() || !udp.wants(2, ip(to)));
        }
    }
}
