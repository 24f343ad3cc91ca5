//! Linux's statistics of connections (`TCP_INFO`, tcp(7)).

use super::{Kind, Pending, Socket, Sockets, calls, index, system};
use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};
use net::{Counters, Error, Handle, SocketInfo, SocketKind, TcpInfo};

/// Bytes of `struct tcp_info` that are read (linux/tcp.h); an older system fills fewer.
const LEN: usize = 248;

/// The structure; fields that the system doesn't know are 0.
struct Answer([u8; LEN]);

impl Answer {
    fn of(socket: &Socket) -> Result<Answer, Error> {
        let mut answer = Answer([0; LEN]);
        let (mut len, place) = (LEN as libc::socklen_t, answer.0.as_mut_ptr().cast());
        let (level, option) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        // SAFETY: writes within the structure.
        let done = unsafe { libc::getsockopt(socket.fd.0, level, option, place, &raw mut len) };
        calls::check(done as isize)?;
        Ok(answer)
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        u32::from_ne_bytes(bytes.copied().unwrap_or_default())
    }

    fn long(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        u64::from_ne_bytes(bytes.copied().unwrap_or_default())
    }

    /// A time, which Linux has in microseconds.
    fn ns(&self, at: usize) -> u64 {
        u64::from(self.word(at)) * 1000
    }
}

/// The name of a state (RFC 9293, 3.3.2) by Linux's number.
fn state(number: u8) -> &'static str {
    match number {
        1 => "ESTABLISHED",
        2 => "SYN-SENT",
        3 => "SYN-RECEIVED",
        4 => "FIN-WAIT-1",
        5 => "FIN-WAIT-2",
        6 => "TIME-WAIT",
        8 => "CLOSE-WAIT",
        9 => "LAST-ACK",
        10 => "LISTEN",
        11 => "CLOSING",
        _ => "CLOSED",
    }
}

/// A connection of which the program hasn't read `unread` bytes.
fn tcp(socket: &Socket, unread: usize) -> Result<TcpInfo, Error> {
    let answer = Answer::of(socket)?;
    let options = answer.byte(5);
    let (mss, sacked, lost) = (answer.word(16), answer.word(28), answer.word(32));
    let packets = |count: u32| count.saturating_mul(mss);
    let under_way = answer.word(24).saturating_sub(sacked.saturating_add(lost));
    let threshold = answer.word(76);
    let scales = answer.byte(6);
    let counted_syn = matches!(&socket.kind, Kind::Connection(one) if one.is_active);
    Ok(TcpInfo {
        state: state(answer.byte(0)),
        rtt_ns: answer.ns(68),
        rtt_variation_ns: answer.ns(72),
        rtt_min_ns: match answer.word(148) {
            u32::MAX => 0,
            _ => answer.ns(148),
        },
        rto_ns: answer.ns(8),
        mss: mss.min(u32::from(u16::MAX)) as u16,
        cwnd: packets(answer.word(80)),
        ssthresh: match threshold {
            0x7fff_ffff.. => u32::MAX,
            threshold => packets(threshold),
        },
        send_window: answer.word(228),
        receive_window: answer.word(232),
        in_flight: packets(under_way.saturating_add(answer.word(36))),
        unacknowledged: calls::count(&socket.fd, libc::TIOCOUTQ) as u32,
        unread: unread as u32,
        out_of_order: packets(answer.word(224)),
        phase: match answer.byte(1) {
            0..=2 => "Open",
            3 => "Recovery",
            _ => "Loss",
        },
        sacked: packets(sacked),
        lost: packets(lost),
        reordering: answer.word(220) > 0,
        // Linux doesn't report the peer's MSS, only the MSS in use.
        peer_mss: mss.min(u32::from(u16::MAX)) as u16,
        path_mtu: answer.word(60),
        timestamps: options & 1 != 0,
        sack: options & 2 != 0,
        ecn: options & 8 != 0,
        // Linux has the peer's shift in the lower half.
        scales: (options & 4 != 0).then_some((scales >> 4, scales & 15)),
        retransmitted: answer.word(100),
        timeouts: answer.word(240) & 0xffff,
        probes: 0,
        spurious: 0,
        bytes_acknowledged: answer.long(120).saturating_sub(u64::from(counted_syn)),
        bytes_received: answer.long(128),
    })
}

fn of(socket: &Socket, unread: usize) -> SocketInfo {
    let unspecified = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let local = calls::local(&socket.fd).unwrap_or(unspecified);
    match &socket.kind {
        Kind::Udp(_) => SocketInfo {
            kind: SocketKind::Udp,
            local,
            remote: None,
            state: "",
            unread,
            unsent: 0,
            tcp: None,
        },
        Kind::Port { listening, .. } => SocketInfo {
            kind: SocketKind::Listener,
            local,
            remote: None,
            state: if *listening { "LISTEN" } else { "CLOSED" },
            // Linux counts waiting connections in the field of segments in flight.
            unread: Answer::of(socket).map_or(0, |answer| answer.word(24) as usize),
            unsent: 0,
            tcp: None,
        },
        Kind::Connection(_) => {
            let info = tcp(socket, unread).ok();
            SocketInfo {
                kind: SocketKind::Connection,
                local,
                remote: calls::peer(&socket.fd).ok(),
                state: info.map_or("CLOSED", |info| info.state),
                unread,
                unsent: info.map_or(0, |info| info.unacknowledged as usize),
                tcp: info,
            }
        }
    }
}

impl Sockets {
    /// See `Stack::tcp_info`.
    pub fn info(&mut self, handle: Handle) -> Result<TcpInfo, Error> {
        self.socket(handle)?.connection()?;
        let socket = self.table.get(index(handle)).ok_or(Error::BadHandle)?;
        tcp(socket, self.unread(socket))
    }

    /// See `Stack::sockets`: those of the program.
    pub fn each(&self, f: &mut dyn FnMut(&SocketInfo)) {
        for (_, socket) in &self.table {
            f(&of(socket, self.unread(socket)));
        }
    }

    /// Bytes that a read or a peek would find now, without those that a request is about to
    /// deliver.
    fn unread(&self, socket: &Socket) -> usize {
        let buffers = self.buffers.as_ref();
        let taken = buffers.map_or(0, |buffers| buffers.len(&socket.received));
        match socket.read.asked {
            Pending::Data | Pending::DataNoMore => taken,
            Pending::Nothing | Pending::Event => taken + calls::count(&socket.fd, libc::FIONREAD),
        }
    }

    /// See `Stack::statistics`: Linux's counters of the interfaces, and the program's sockets.
    pub fn count(&self, f: &mut dyn FnMut(&'static str, u64)) {
        let statuses = system::interfaces().into_iter().filter_map(system::status);
        let counters: Vec<Counters> = statuses.map(|status| status.counters).collect();
        let sum = |of: fn(&Counters) -> u64| counters.iter().map(of).fold(0, u64::wrapping_add);
        f("link.frames-in", sum(|counters| counters.rx_frames));
        f("link.bytes-in", sum(|counters| counters.rx_bytes));
        f("link.frames-out", sum(|counters| counters.tx_frames));
        f("link.bytes-out", sum(|counters| counters.tx_bytes));
        f("tcp.connections", self.connection_count() as u64);
        f("tcp.undelivered", self.orphans as u64);
    }

    /// Number of connections of the program.
    pub fn connection_count(&self) -> usize {
        let connections = self.table.iter();
        let is_connection =
            |(_, socket): &(usize, &Socket)| matches!(socket.kind, Kind::Connection(_));
        connections.filter(is_connection).count()
    }
}
