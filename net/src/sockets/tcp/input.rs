//! From a segment to its connection, or to a reply if there is none.

use core::hash::BuildHasher;

use crate::ip::{ErrorKind, HeaderFields, IcmpError, Net, Origin, TCP, TcpInput};
use crate::sockets::{Socket, Sockets};
use crate::tcp::connection::Connection;
use crate::tcp::counters::count;
use crate::tcp::flow::FlowKey;
use crate::tcp::frames::reply;
use crate::tcp::machine::{Flags, Header, IcmpError as Report, Segment, Seq};
use crate::tcp::time_wait::Answer;
use crate::types::{Error, Handle};

/// The timestamp clock (RFC 7323, 5.4: between a millisecond and a second per tick).
pub(crate) fn clock(now_ns: u64) -> u32 {
    (now_ns / 1_000_000) as u32
}

impl Sockets {
    /// The connection of a flow.
    pub(crate) fn connection_of(&self, key: &FlowKey) -> Option<Handle> {
        let hash = self.tcp.keyed.hash_one(key) as u32;
        let mut found = None;
        self.tcp.flows.find(hash, |place| {
            self.timers.prefetch(place);
            if let Some((handle, Socket::Connection(connection))) = self.table.at(place) {
                connection.prefetch();
                if connection.key == *key {
                    found = Some(handle);
                }
            }
            found.is_some()
        });
        found
    }

    /// Whether the flow is in use, so that no connection can begin.
    pub(crate) fn flow_is_taken(&self, key: &FlowKey) -> bool {
        self.connection_of(key).is_some()
            || self.tcp.half_open.find(key).is_some()
            || self.tcp.time_wait.contains(key)
    }

    /// Handles a segment with a valid checksum.
    pub(crate) fn tcp_input(&mut self, net: &mut Net, input: &TcpInput<'_>) {
        let origin = &input.origin;
        let Some(mut segment) = Segment::parse(input.bytes) else {
            return count(&mut self.tcp.counters.malformed);
        };
        // The device has merged several segments; one that doesn't report it has merged them if the
        // segment is larger than any.
        let full = net.mss(origin.interface, origin.local);
        let large = (segment.payload.len() > usize::from(full)).then_some(full);
        segment.gro = input.joined.or(large);
        segment.marked = input.marked;
        count(&mut self.tcp.counters.segments_in);
        if segment.has(Flags::RST) {
            count(&mut self.tcp.counters.resets_in);
        }
        let key = FlowKey::new(
            (origin.local, segment.destination_port),
            (origin.remote, segment.source_port),
        );
        if net.tracks() {
            let known = self.flow_is_taken(&key);
            if !net.admits(origin, TCP, input.bytes, known) {
                return;
            }
        }
        if let Some(handle) = self.connection_of(&key) {
            return self.connection_input(handle, &segment);
        }
        if let Some((place, half)) = self.tcp.half_open.find(&key) {
            return self.half_open_input(net, origin, &key, place, &half, &segment);
        }
        let mut beyond = None;
        let clock = clock(self.now_ns);
        match self
            .tcp
            .time_wait
            .segment(&key, &segment, clock, self.now_ns)
        {
            Some(Answer::Silence) => return,
            Some(Answer::Acknowledge(header)) => return self.reply(net, origin, &segment, &header),
            Some(Answer::Challenge(header)) => {
                return self.challenge(net, origin, &segment, &header);
            }
            Some(Answer::Begin(sequence, header)) => beyond = Some((sequence, header)),
            None => {}
        }
        let after = beyond.map(|(sequence, _)| sequence);
        if let Some(listener) = self.listener_for(origin.local, segment.destination_port)
            && self.listener_input(net, origin, &key, listener, &segment, after)
        {
            return;
        }
        match beyond {
            // RFC 5961, 4.2: the old connection doesn't end because there is no listener.
            Some((_, header)) => self.challenge(net, origin, &segment, &header),
            None => self.reset(net, origin, &segment),
        }
    }

    /// Sends a challenge acknowledgement, within the limit (RFC 5961, 7).
    pub(crate) fn challenge(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        segment: &Segment<'_>,
        header: &Header,
    ) {
        if self.tcp.challenges.allow(self.now_ns, &mut self.random) {
            count(&mut self.tcp.counters.challenges);
            self.reply(net, origin, segment, header);
        } else {
            count(&mut self.tcp.counters.challenges_limited);
        }
    }

    /// Replies to a segment.
    pub(crate) fn reply(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        segment: &Segment<'_>,
        header: &Header,
    ) {
        self.reply_with(net, origin, segment, header, HeaderFields::default());
    }

    /// The same with the IP header fields that a program set.
    pub(crate) fn reply_with(
        &mut self,
        net: &mut Net,
        origin: &Origin,
        segment: &Segment<'_>,
        header: &Header,
        header_fields: HeaderFields,
    ) {
        count(&mut self.tcp.counters.segments_out);
        let ports = (segment.destination_port, segment.source_port);
        reply(net, origin, ports, header, header_fields);
    }

    /// Resets a segment without a connection (RFC 9293, 3.10.7.1), within the limit.
    pub(crate) fn reset(&mut self, net: &mut Net, origin: &Origin, segment: &Segment<'_>) {
        let Some(header) = Header::reset(segment) else {
            return;
        };
        if self.tcp.resets.allow(self.now_ns, &mut self.random) {
            count(&mut self.tcp.counters.resets_out);
            self.reply(net, origin, segment, &header);
        } else {
            count(&mut self.tcp.counters.resets_limited);
        }
    }

    pub(crate) fn connection_input(&mut self, handle: Handle, segment: &Segment<'_>) {
        let Sockets {
            table,
            budget,
            tcp,
            random,
            now_ns,
            ..
        } = self;
        let Some(Socket::Connection(connection)) = table.get_mut(handle) else {
            return;
        };
        let Some(machine) = &mut connection.machine else {
            return;
        };
        let mut challenge = || {
            let allowed = tcp.challenges.allow(*now_ns, random);
            count(if allowed {
                &mut tcp.counters.challenges
            } else {
                &mut tcp.counters.challenges_limited
            });
            allowed
        };
        machine.input(budget, &mut challenge, segment, *now_ns);
        self.touched(handle);
    }

    /// Handles an ICMP error about a segment of ours. The machine decides its effect (RFC 5927).
    pub(crate) fn tcp_error(&mut self, net: &mut Net, report: &IcmpError) {
        let key = FlowKey::new(report.local, report.remote);
        let (Some(handle), Some(seq)) = (self.connection_of(&key), report.seq) else {
            return;
        };
        let error = match report.kind {
            ErrorKind::PortUnreachable | ErrorKind::ProtocolUnreachable => Report::Refused,
            ErrorKind::PacketTooBig(mtu) => Report::TooBig(mtu),
            ErrorKind::HostUnreachable | ErrorKind::Prohibited | ErrorKind::TimeExceeded => {
                Report::Unreachable
            }
            ErrorKind::ParameterProblem => return,
        };
        count(&mut self.tcp.counters.icmp_errors);
        let now_ns = self.now_ns;
        if let Some(Socket::Connection(connection)) = self.table.get_mut(handle)
            && let Some(machine) = &mut connection.machine
        {
            let before = machine.info().mss;
            machine.icmp(&mut self.budget, error, Seq(seq), now_ns);
            if let Report::TooBig(mtu) = error
                && machine.info().mss < before
            {
                // The machine accepted it: it also applies to other connections to the host.
                net.learn_path_mtu(report.remote.0, mtu);
            }
            self.touched(handle);
        }
    }

    /// Adds a new connection to the tables; its memory was admitted.
    pub(crate) fn insert_connection(&mut self, connection: Connection) -> Handle {
        let hash = self.tcp.keyed.hash_one(connection.key) as u32;
        let boxed = alloc::boxed::Box::new(connection);
        let handle = self.table.insert(Socket::Connection(boxed));
        self.tcp.flows.insert(hash, handle.index);
        handle
    }

    /// Frees the flow of a connection.
    pub(crate) fn remove_flow(&mut self, handle: Handle) {
        if let Some(Socket::Connection(connection)) = self.table.get(handle) {
            let hash = self.tcp.keyed.hash_one(connection.key) as u32;
            self.tcp.flows.remove(hash, handle.index);
        }
    }

    /// Fails a connect.
    pub(crate) fn fail(&mut self, handle: Handle, error: Error) {
        if let Some(Socket::Connection(connection)) = self.table.get_mut(handle) {
            connection.error = Some(error);
        }
        self.over(handle);
        self.wake(handle);
    }
}
