//! Passive opens: from the SYN to the listener's queue.

use core::net::SocketAddr;

use super::input::clock;
use super::lifecycle::Admission;
use crate::ip::{HeaderFields, Net, Origin};
use crate::sockets::{Socket, Sockets};
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::cookie;
use crate::tcp::counters::count;
use crate::tcp::flow::FlowKey;
use crate::tcp::frames::reply;
use crate::tcp::half_open::{Due, Half, Verdict, peer_mss};
use crate::tcp::machine::{
    self, Flags, Header, Machine, Negotiated, Segment, Seq, Setup, TcpOptions,
};
use crate::tcp::records::RecordId;
use crate::types::{Handle, with_scope};

/// The course of a handshake.
enum Handshake {
    /// Unknown: there was no record.
    Unknown,
    /// Duration of one round trip, in nanoseconds.
    Took(u64),
    /// Our SYN-ACK was retransmitted (RFC 5681, 3.1).
    Repeated,
}

impl Sockets {
    /// Parameters of new connections over an interface.
    pub(crate) fn setup(
        &self,
        net: &Net,
        interface: usize,
        key: &FlowKey,
        iss: Seq,
        options: &TcpOptions,
    ) -> Setup {
        let local = key.local().0;
        let config = &self.config;
        let mss = net.mss(interface, local);
        let path_mss = net.path_mss(interface, key.remote().0);
        let most = config.tcp_buffer_max.clamp(machine::GUARANTEED, 1 << 30) as u32;
        let least = (config.tcp_buffer_min.max(machine::GUARANTEED) as u32).min(most);
        let first = (64 << 10).clamp(least, most);
        let mut setup = Setup {
            iss: iss.0,
            timestamp_offset: self.tcp.numbers.timestamp_offset(key),
            mss,
            path_mss,
            ip_header: if local.is_ipv4() { 20 } else { 40 },
            congestion: config.congestion,
            ecn: config.ecn,
            nodelay: true,
            user_timeout_ns: config.send_timeout_ns,
            handshake_timeout_ns: config.connect_timeout_ns,
            receive_initial: first,
            receive_max: most,
            send_initial: first,
            send_max: most,
            time_wait_ns: config.time_wait_ns,
            ..Setup::default()
        };
        options.begin(&mut setup);
        setup
    }

    /// Returns the setup of a listener's connections. The options of the SYN-ACK are in the
    /// handshake's record or in a cookie.
    fn setup_begun(
        &self,
        net: &Net,
        interface: usize,
        key: &FlowKey,
        iss: Seq,
        listener: Handle,
    ) -> Setup {
        let options = TcpOptions {
            timestamps: true,
            sack: true,
            window_scaling: true,
            ..self.options_of(listener)
        };
        self.setup(net, interface, key, iss, &options)
    }

    fn options_of(&self, listener: Handle) -> TcpOptions {
        match self.table.get(listener) {
            Some(Socket::Listener(listener)) => listener.options,
            _ => TcpOptions::default(),
        }
    }

    /// Handles a segment for a listener without a connection; `false`: reply with a reset (RFC
    /// 9293, 3.10.7.2). `beyond`: lower bound of our sequence numbers.
    pub(crate) fn listener_input(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        key: &FlowKey,
        listener: Handle,
        segment: &Segment<'_>,
        beyond: Option<Seq>,
    ) -> bool {
        if segment.has(Flags::RST) {
            return true;
        }
        if segment.has(Flags::ACK) {
            return !segment.has(Flags::SYN)
                && self.cookie_input(net, origin, key, listener, segment);
        }
        // SYN with FIN is never legitimate.
        if segment.has(Flags::SYN) && !segment.has(Flags::FIN) {
            self.syn(net, origin, key, listener, segment, beyond);
        }
        true
    }

    /// Handles a SYN for a listener: replies if there is room, and ignores it otherwise, so that
    /// the peer retries.
    fn syn(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        key: &FlowKey,
        listener: Handle,
        segment: &Segment<'_>,
        beyond: Option<Seq>,
    ) {
        let now_ns = self.now_ns;
        count(&mut self.tcp.counters.syns);
        if !self
            .listener_mut(listener)
            .is_some_and(|queue| queue.has_room())
        {
            return count(&mut self.tcp.counters.listen_overflows);
        }
        if self.budget.short {
            return self.refuse(listener);
        }
        if beyond.is_some() {
            self.tcp.time_wait.forget(key);
            count(&mut self.tcp.counters.time_wait_reused);
        }
        let remembered = self.tcp.half_open.has_room();
        let iss = if remembered {
            self.initial_number(key, beyond)
        } else {
            let mss = peer_mss(segment, origin.local);
            let tcp = &mut self.tcp;
            count(&mut tcp.counters.cookies_sent);
            let random = &mut self.random;
            Seq(tcp.cookies.make(key, segment.seq.0, mss, now_ns, random))
        };
        let options = self.options_of(listener);
        let setup = self.setup(net, origin.interface, key, iss, &options);
        let stamp = clock(now_ns).wrapping_add(setup.timestamp_offset);
        let mut half = Half::new(listener, origin, iss, segment, &setup);
        // A cookie can't encode it.
        half.negotiated.ecn &= remembered;
        let header = if remembered {
            self.tcp.half_open.insert(*key, half, now_ns);
            half.syn_ack(&setup, stamp)
        } else if half.negotiated.timestamps {
            let Negotiated {
                window_scale, sack, ..
            } = half.negotiated;
            half.syn_ack(&setup, cookie::stamp(stamp, window_scale, sack))
        } else {
            // Without timestamps a cookie can't encode them.
            half.negotiated.window_scale = None;
            half.negotiated.sack = false;
            half.syn_ack(&setup, stamp)
        };
        let header_fields = self.header_fields_of(listener);
        self.reply_with(net, origin, segment, &header, header_fields);
    }

    /// Header fields of a listener's new connections.
    fn header_fields_of(&mut self, listener: Handle) -> HeaderFields {
        let listener = self.listener_mut(listener);
        listener.map_or(HeaderFields::default(), |listener| listener.header_fields)
    }

    /// The initial sequence number of a connection, beyond those of a previous one.
    fn initial_number(&mut self, key: &FlowKey, beyond: Option<Seq>) -> Seq {
        let iss = Seq(self.tcp.numbers.sequence(key, self.now_ns));
        match beyond {
            // RFC 9293, 3.4.1, and RFC 6191, 4: segments of the old connection that are still in
            // flight must be older.
            Some(beyond) if !iss.after(beyond) => beyond + (0x1_0000 | self.draw() as u32 & 0xffff),
            _ => iss,
        }
    }

    /// Handles an acknowledgement for a listener: is it that of a valid cookie?
    fn cookie_input(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        key: &FlowKey,
        listener: Handle,
        segment: &Segment<'_>,
    ) -> bool {
        let now_ns = self.now_ns;
        let tcp = &mut self.tcp;
        let (iss, irs) = (segment.ack.0.wrapping_sub(1), segment.seq.0.wrapping_sub(1));
        if !tcp.cookies.issued(now_ns) {
            return false;
        }
        let Some(mss) = tcp.cookies.check(iss, key, irs, now_ns, &mut self.random) else {
            count(&mut tcp.counters.cookies_rejected);
            return false;
        };
        let echoed = segment.options.timestamps.map(|(_, echoed)| echoed);
        let (window_scale, sack) = echoed.map_or((None, false), cookie::read_stamp);
        let negotiated = Negotiated {
            mss,
            window_scale,
            sack,
            timestamps: echoed.is_some(),
            ecn: false,
        };
        count(&mut tcp.counters.cookies_accepted);
        let setup = self.setup_begun(net, origin.interface, key, Seq(iss), listener);
        let syn = (negotiated, Seq(irs), Handshake::Unknown);
        self.establish(net, origin, listener, &setup, syn, segment);
        true
    }

    /// Handles a segment of a recorded handshake.
    pub(crate) fn half_open_input(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        key: &FlowKey,
        place: RecordId,
        half: &Half,
        segment: &Segment<'_>,
    ) {
        let now_ns = self.now_ns;
        let setup = self.setup_begun(net, origin.interface, key, half.iss, half.listener);
        let stamp = clock(now_ns).wrapping_add(setup.timestamp_offset);
        match half.verdict(segment, setup.syn_window()) {
            Verdict::Ignore => {}
            Verdict::Again => {
                let header_fields = self.header_fields_of(half.listener);
                let answer = half.syn_ack(&setup, stamp);
                self.reply_with(net, origin, segment, &answer, header_fields);
            }
            Verdict::Challenge => {
                let answer = half.acknowledgement(&setup, stamp);
                self.challenge(net, origin, segment, &answer);
            }
            Verdict::Reset => self.reset(net, origin, segment),
            Verdict::Forget => self.tcp.half_open.remove(place),
            Verdict::Establish => {
                let how = match half.round_trip(now_ns) {
                    _ if half.repeated() => Handshake::Repeated,
                    Some(rtt_ns) => Handshake::Took(rtt_ns),
                    None => Handshake::Unknown,
                };
                let syn = (half.negotiated, half.irs, how);
                if self.establish(net, origin, half.listener, &setup, syn, segment) {
                    self.tcp.half_open.remove(place);
                }
            }
        }
    }

    /// Creates the connection that `ack` establishes, and queues it. `syn`: the negotiated options,
    /// the peer's initial sequence number, and the course of the handshake. Without room nothing
    /// happens: the peer retransmits its data, or we our SYN-ACK.
    fn establish(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        listener: Handle,
        setup: &Setup,
        (negotiated, irs, how): (Negotiated, Seq, Handshake),
        ack: &Segment<'_>,
    ) -> bool {
        let now_ns = self.now_ns;
        if !self
            .listener_mut(listener)
            .is_some_and(|queue| queue.has_room())
        {
            count(&mut self.tcp.counters.listen_overflows);
            return false;
        }
        let scope = origin.interface as u32;
        let Ok(route) = net.route(origin.remote, scope, Some(origin.local)) else {
            return false;
        };
        net.reached(&route, origin);
        match self.admit() {
            Admission::Admitted => {}
            Admission::Later => {
                count(&mut self.tcp.counters.no_memory);
                return false;
            }
            Admission::Refused => {
                self.refuse(listener);
                return false;
            }
        }
        count(&mut self.tcp.counters.passive_opens);
        // The first segment may be lost, and `ack` arrive after it.
        let first = Segment {
            seq: irs + 1,
            flags: Flags::ACK,
            payload: &[],
            gro: None,
            ..*ack
        };
        let mut machine = Machine::accept_cookie(setup, negotiated, &first, now_ns);
        match how {
            Handshake::Took(rtt_ns) => machine.set_handshake_rtt(rtt_ns, now_ns),
            Handshake::Repeated => machine.handshake_repeated(),
            Handshake::Unknown => {}
        }
        let local = SocketAddr::new(origin.local, ack.destination_port);
        let remote = with_scope(origin.remote, ack.source_port, origin.interface);
        let phase = Phase::Queued(listener);
        let mut connection = Connection::new(machine, phase, local, remote, route);
        connection.header_fields = self.header_fields_of(listener);
        let handle = self.insert_connection(connection);
        if let Some(queue) = self.listener_mut(listener) {
            queue.queue.push_back(handle);
            if core::mem::take(&mut queue.wakes.read) {
                self.queue_event(listener);
            }
        }
        self.connection_input(handle, ack);
        true
    }

    /// Notes that there is no memory for a listener's connection, and notifies the program: it may
    /// close others.
    fn refuse(&mut self, handle: Handle) {
        count(&mut self.tcp.counters.no_memory);
        if let Some(listener) = self.listener_mut(handle) {
            listener.refused = listener.refused.saturating_add(1);
            if core::mem::take(&mut listener.wakes.read) {
                self.queue_event(handle);
            }
        }
    }

    /// Retransmits SYN-ACKs that weren't acknowledged.
    pub(crate) fn run_handshakes(&mut self, net: &mut Net) {
        let now_ns = self.now_ns;
        while let Some(due) = self.tcp.half_open.take_due(now_ns) {
            let Due::Again(key, half) = due else {
                count(&mut self.tcp.counters.handshakes_given_up);
                continue;
            };
            let (local, remote) = (key.local(), key.remote());
            let setup = self.setup_begun(net, half.interface, &key, half.iss, half.listener);
            let stamp = clock(now_ns).wrapping_add(setup.timestamp_offset);
            let header: Header = half.syn_ack(&setup, stamp);
            let origin = Origin {
                interface: half.interface,
                mac: half.mac,
                local: local.0,
                remote: remote.0,
            };
            // One that finds no room is sent in the next round.
            let header_fields = self.header_fields_of(half.listener);
            let sent = reply(net, &origin, (local.1, remote.1), &header, header_fields);
            self.tcp.counters.segments_out += u64::from(sent);
        }
    }

    /// Random bits.
    pub(crate) fn draw(&mut self) -> u64 {
        (self.random)()
    }
}
