//! The way of a segment to its connection, and what it changes there.

use core::net::SocketAddr;

use smoltcp::socket::tcp::State;
use smoltcp::wire::IpListenEndpoint;

use crate::device::finish;
use crate::flow::Flow;
use crate::frame::{ACK, FIN, Framing, RST, SYN, Segment, Unreachable};
use crate::interface::End;
use crate::shared::{Core, Socket};
use crate::tcp::connection::{Connection, Phase};
use crate::time_wait::{Answer, Record};
use crate::{Error, Handle};

/// How long a handshake may take on our side: SYN-ACKs leave after 0, 1, 3 and 7 seconds.
const HANDSHAKE_NS: u64 = 15_000_000_000;

/// RFC 7323, 2.3.
const MAX_WINDOW_SCALE: u32 = 14;

impl Core {
    /// Handles a segment whose header and checksum are in order.
    pub(crate) fn tcp_segment(
        &mut self,
        end: &mut End,
        interface: usize,
        frame: &mut [u8],
        segment: &Segment,
    ) {
        let key = segment.key();
        match self.flows.get(&key).copied() {
            Some(Flow::Connection(handle)) => {
                return self.connection_segment(end, handle, frame, segment);
            }
            Some(Flow::TimeWait(record)) => {
                let flows = &mut self.flows;
                match self
                    .time_wait
                    .segment(flows, &key, record, segment, self.now_ns)
                {
                    Answer::Silence => return,
                    Answer::Acknowledge => return acknowledge(end, frame, segment, record),
                    Answer::NewConnection => {}
                }
            }
            None => {}
        }
        if !end.accepts(segment.local.0) {
            return;
        }
        if segment.flags & (SYN | ACK | RST | FIN) == SYN
            && let Some(listener) = self.listener_for(segment.local.0, segment.local.1)
        {
            return self.syn(end, interface, frame, segment, listener);
        }
        // Nobody is there: smoltcp answers with a reset, unless this is one.
        end.feed_base(self.now_ns, frame);
    }

    /// A SYN for a listener: begins a connection if there is room, and is ignored otherwise, so that
    /// the peer tries again.
    fn syn(
        &mut self,
        end: &mut End,
        interface: usize,
        frame: &[u8],
        segment: &Segment,
        listener: Handle,
    ) {
        let now_ns = self.now_ns;
        if self.half_open >= self.config.half_open_max {
            return;
        }
        let Some(queue) = self.listener_mut(listener).filter(|queue| queue.has_room()) else {
            return;
        };
        queue.half_open += 1;
        let Some(mut io) = self.budget.take() else {
            if let Some(queue) = self.listener_mut(listener) {
                queue.half_open -= 1;
            }
            return;
        };
        self.half_open += 1;
        let endpoint = IpListenEndpoint {
            addr: Some(segment.local.0.into()),
            port: segment.local.1,
        };
        // Both fail on port 0 or an open socket only; the state tells below.
        let _ = io.socket_mut().listen(endpoint);
        end.feed(now_ns, frame, &mut io.set);
        let begun = io.socket().state() == State::SynReceived;
        let mut connection = Connection::new(
            io,
            Phase::HalfOpen(listener),
            SocketAddr::from(segment.local),
            SocketAddr::from(segment.remote),
            interface,
            now_ns,
        );
        connection.limit_ns = Some(now_ns.saturating_add(HANDSHAKE_NS));
        let key = connection.key;
        let handle = self
            .sockets
            .insert(Socket::Connection(alloc::boxed::Box::new(connection)));
        if begun {
            self.flows.insert(key, Flow::Connection(handle));
            self.mark_dirty(handle);
        } else {
            self.discard(handle);
        }
    }

    fn connection_segment(
        &mut self,
        end: &mut End,
        handle: Handle,
        frame: &mut [u8],
        segment: &Segment,
    ) {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle) else {
            return;
        };
        let Some(io) = &mut connection.io else { return };
        if let Some((_, acknowledged)) = connection.sent
            && io.window_is_closed()
            && is_beyond_edge(segment, acknowledged)
            && let Some(seq) = frame.get_mut(segment.at + 4..segment.at + 8)
        {
            // Its checksum was verified and isn't looked at again.
            seq.copy_from_slice(&acknowledged.to_be_bytes());
        }
        let before = io.socket().state();
        if segment.payload_len > 0 {
            io.expect(segment.payload_len > end.mtu());
        }
        let sent = end.feed(now_ns, frame, &mut io.set);
        let after = io.socket().state();
        if sent.last.is_some() {
            connection.sent = sent.last;
        }
        connection.heard_ns = now_ns;
        if segment.has(FIN) {
            connection.peer_end = Some(segment.end());
        }
        if after == State::Closed && before != State::Closed && segment.has(RST) {
            connection.error.get_or_insert(match before {
                State::SynSent | State::SynReceived => Error::ConnectionRefused,
                _ => Error::ConnectionReset,
            });
        }
        // Mostly there is nothing to send at once: an acknowledgement waits for the answer.
        if !connection.dirty {
            let next_ns = end.poll_at(now_ns, &io.set);
            if next_ns.is_some_and(|at_ns| at_ns <= now_ns) {
                self.mark_dirty(handle);
            } else {
                self.set_timer(handle, next_ns);
            }
        }
        self.settle(handle);
    }

    /// An ICMP error. It ends a connect, and is no more than a hint afterwards (RFC 5927, 5.2).
    pub(crate) fn tcp_unreachable(&mut self, report: &Unreachable) {
        let key = crate::flow::FlowKey::new(report.local, report.remote);
        if let Some(Flow::Connection(handle)) = self.flows.get(&key).copied()
            && let Some(Socket::Connection(connection)) = self.sockets.get_mut(handle)
            && connection.phase == Phase::Connecting
        {
            let error = if report.port {
                Error::ConnectionRefused
            } else {
                Error::Unreachable
            };
            self.fail(handle, error);
        }
    }
}

/// Whether this is an acknowledgement from a peer that has sent a little beyond `acknowledged`, the edge of our closed
/// window. smoltcp rounds the window down to its scale, so the edge can go back by up to a unit after the peer has
/// sent up to it; it then drops as out of the window all that the peer acknowledges, and if we wait for
/// just that before we read on, both ends wait for good. RFC 9293, 3.10.7.4: with a closed window "special allowance should be
/// made to accept valid ACKs".
fn is_beyond_edge(segment: &Segment, acknowledged: u32) -> bool {
    let beyond = segment.seq.wrapping_sub(acknowledged);
    segment.flags & (SYN | ACK | RST | FIN) == ACK
        && segment.payload_len == 0
        && (1..1 << MAX_WINDOW_SCALE).contains(&beyond)
}

/// Answers a segment for a connection in TIME-WAIT, from the segment itself and the record.
fn acknowledge(end: &mut End, frame: &[u8], segment: &Segment, record: Record) {
    use smoltcp::wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, IpRepr, TcpControl,
        TcpPacket, TcpRepr, TcpSeqNumber,
    };
    let tcp = TcpRepr {
        src_port: segment.local.1,
        dst_port: segment.remote.1,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(record.send_next as i32),
        ack_number: Some(TcpSeqNumber(record.receive_next as i32)),
        window_len: u16::MAX,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None, None, None],
        timestamp: None,
        payload: &[],
    };
    let (local, remote) = (segment.local.0.into(), segment.remote.0.into());
    let ip = IpRepr::new(local, remote, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let header_len = end.profile.framing.header_len();
    let source = frame
        .get(6..12)
        .and_then(|mac| mac.first_chunk::<6>())
        .copied();
    let profile = &end.profile;
    let mut sent = crate::device::Sent::default();
    let len = header_len + ip.buffer_len();
    end.staged.put(len, |buffer| {
        if let (Framing::Ethernet(mac), Some(source)) = (profile.framing, source) {
            let mut ethernet = EthernetFrame::new_unchecked(&mut buffer[..]);
            ethernet.set_src_addr(EthernetAddress(mac));
            ethernet.set_dst_addr(EthernetAddress(source));
            ethernet.set_ethertype(match segment.local.0 {
                core::net::IpAddr::V4(_) => EthernetProtocol::Ipv4,
                core::net::IpAddr::V6(_) => EthernetProtocol::Ipv6,
            });
        }
        let checksum = &profile.smoltcp.checksum;
        ip.emit(&mut buffer[header_len..], checksum);
        let at = header_len + ip.header_len();
        tcp.emit(
            &mut TcpPacket::new_unchecked(&mut buffer[at..]),
            &local,
            &remote,
            checksum,
        );
        finish(buffer, profile, None, &mut sent)
    });
    end.counters.tx_frames = end.counters.tx_frames.wrapping_add(1);
    end.dirty = true;
}
