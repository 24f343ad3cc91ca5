//! The way of a segment to its connection, and what it changes there.

use core::net::SocketAddr;

use smoltcp::socket::tcp::State;
use smoltcp::wire::IpListenEndpoint;

use crate::checksum;
use crate::device::{Finish, finish};
use crate::flow::Flow;
use crate::frame::{ACK, FIN, Framing, IPV6_HEADER, RST, SYN, Segment, Unreachable, is_after};
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
        end.feed(now_ns, frame, &mut io.set, None);
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
        connection.unread = segment.seq.wrapping_add(1);
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
        let before = connection.state();
        let receive_next = connection.receive_next();
        let send_max = connection.send_max;
        let unacknowledged = connection.unacknowledged();
        let Some(io) = &mut connection.io else { return };
        if segment.payload_len > 0 {
            io.expect(segment.payload_len > end.mtu());
        }
        let odd = io.window_is_closed() && is_beyond_edge(segment, receive_next);
        if !odd {
            let sent = end.feed(now_ns, frame, &mut io.set, send_max);
            connection.note(&sent);
        }
        // What smoltcp drops as out of the window tells all the same how far we were heard.
        if (odd || is_old(segment, receive_next))
            && is_synchronized(before)
            && is_after(segment.ack, unacknowledged)
            && let Some(io) = &mut connection.io
            && let Some(bare) =
                bare_acknowledgement(frame, end.profile.framing, segment, receive_next)
        {
            let sent = end.feed(now_ns, bare, &mut io.set, send_max);
            connection.note(&sent);
        }
        let after = connection.state();
        connection.heard_ns = now_ns;
        if before == State::SynSent && segment.has(SYN) {
            connection.unread = segment.seq.wrapping_add(1);
        }
        connection.peer_ended |= matches!(
            after,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        );
        if after == State::Closed && before != State::Closed && segment.has(RST) {
            connection.error.get_or_insert(match before {
                State::SynSent | State::SynReceived => Error::ConnectionRefused,
                _ => Error::ConnectionReset,
            });
        }
        // Mostly there is nothing to send at once: an acknowledgement waits for the answer.
        if !connection.dirty
            && let Some(io) = &connection.io
        {
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

/// Whether both ends know each other's sequence numbers, and acknowledgements count.
fn is_synchronized(state: State) -> bool {
    !matches!(
        state,
        State::Closed | State::Listen | State::SynSent | State::SynReceived | State::TimeWait
    )
}

/// Whether this is an acknowledgement from a peer that has sent a little beyond `receive_next`, the edge of our closed
/// window. smoltcp rounds the window down to its scale, so the edge can go back by up to a unit after the peer has
/// sent up to it; it then drops as out of the window all that the peer acknowledges, and if we wait for
/// just that before we read on, both ends wait for good. RFC 9293, 3.10.7.4: with a closed window "special allowance should be
/// made to accept valid ACKs".
fn is_beyond_edge(segment: &Segment, receive_next: u32) -> bool {
    let beyond = segment.seq.wrapping_sub(receive_next);
    segment.flags & (SYN | ACK | RST | FIN) == ACK
        && segment.payload_len == 0
        && (1..1 << MAX_WINDOW_SCALE).contains(&beyond)
}

/// Whether all of the segment was received before. smoltcp answers with an acknowledgement and drops it, and
/// with it what it acknowledges. If the acknowledgements of both ends were lost, each repeats its data, and each would
/// go on dropping what the other one says: so the acknowledgement is taken by itself, as in BSD.
fn is_old(segment: &Segment, receive_next: u32) -> bool {
    segment.flags & (SYN | ACK | RST) == ACK
        && is_after(receive_next, segment.seq)
        && !is_after(segment.end(), receive_next)
}

/// Makes of a segment the acknowledgement alone, as if it came now: `seq` is RCV.NXT. Its TCP checksum
/// was verified and isn't looked at again.
fn bare_acknowledgement<'a>(
    frame: &'a mut [u8],
    framing: Framing,
    segment: &Segment,
    seq: u32,
) -> Option<&'a [u8]> {
    let header_len = usize::from(*frame.get(segment.at + 12)? >> 4) * 4;
    let end = segment.at + header_len;
    let frame = frame.get_mut(..end)?;
    let ip = framing.header_len();
    let len = |from: usize| u16::try_from(end.checked_sub(from)?).ok();
    if segment.local.0.is_ipv4() {
        frame
            .get_mut(ip + 2..ip + 4)?
            .copy_from_slice(&len(ip)?.to_be_bytes());
        frame.get_mut(ip + 10..ip + 12)?.fill(0);
        let sum = !checksum::sum(frame.get(ip..segment.at)?);
        frame
            .get_mut(ip + 10..ip + 12)?
            .copy_from_slice(&sum.to_be_bytes());
    } else {
        let payload_len = len(ip + IPV6_HEADER)?;
        frame
            .get_mut(ip + 4..ip + 6)?
            .copy_from_slice(&payload_len.to_be_bytes());
    }
    frame
        .get_mut(segment.at + 4..segment.at + 8)?
        .copy_from_slice(&seq.to_be_bytes());
    *frame.get_mut(segment.at + 13)? = ACK;
    Some(frame)
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
        let how = Finish {
            profile,
            segment_size: None,
            send_max: None,
        };
        finish(buffer, how, &mut sent)
    });
    end.counters.tx_frames = end.counters.tx_frames.wrapping_add(1);
    end.dirty = true;
}
