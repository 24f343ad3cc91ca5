//! ICMP (RFC 792, RFC 1122 3.2.2) and ICMPv6 (RFC 4443): echo, errors about our packets, and errors
//! about other hosts' packets.

use core::net::IpAddr;

use super::context::Context;
use super::drops::DropReason;
use super::packet::Packet;
use super::wire::checksum;
use super::wire::header::{
    ICMP, ICMPV6, IPV4_LEN, IPV6_LEN, IpHeader, TCP, UDP, is_group, pseudo_header_sum, v4, v6,
};
use super::{EchoInput, ErrorKind, IcmpError, Input, Net, Origin};
use crate::types::{be16, be32};

/// Maximum number of bytes of the packet that an error quotes (RFC 1812, 4.3.2.3; RFC 4443, 3.1).
const QUOTED_V4: usize = 576 - IPV4_LEN - 8;
const QUOTED_V6: usize = 1280 - IPV6_LEN - 8;

/// Maximum number of local errors that wait for the sockets.
const ERRORS: usize = 64;

impl Net {
    /// Queues an ICMP message to the origin of a packet.
    fn stage_icmp(
        &mut self,
        origin: &Origin,
        header: [u8; 8],
        payload: &[u8],
        traffic_class: u8,
    ) -> bool {
        let Some(source) = self.reply_source(origin) else {
            return false;
        };
        let protocol = if source.is_ipv4() { ICMP } else { ICMPV6 };
        let hops = self.hops(origin.interface, source);
        let packet = Packet {
            header: IpHeader {
                traffic_class,
                ..IpHeader::new(source, origin.remote, protocol, hops)
            },
            transport: &header,
            payload: &[payload],
        };
        self.stage_any_size(origin.interface, origin.mac, &packet)
    }

    /// The source address of a reply: the packet's destination, unless that was a group.
    fn reply_source(&self, origin: &Origin) -> Option<IpAddr> {
        let interface = self.interfaces.get(origin.interface)?;
        if interface.is_ready(origin.local) && !is_group(origin.local) {
            return Some(origin.local);
        }
        interface
            .source_for(origin.remote, self.now_ns)
            .filter(|source| interface.is_ready(*source))
    }

    #[cold]
    pub(super) fn icmp_v4<'a>(
        &mut self,
        context: &Context<'a>,
        message: &'a [u8],
    ) -> Option<Input<'a>> {
        let interface = context.origin.interface;
        let header: [u8; 8] = *message.first_chunk()?;
        if !context.trusted_icmp() && checksum::sum(message) != 0xffff {
            return Some(self.dropped(interface, DropReason::BadChecksum));
        }
        let [kind, code, ..] = header;
        match kind {
            8 if code == 0 => Some(self.echo(context, 0, message)),
            0 if context.unicast => Some(echo_reply(context, message)),
            3 | 11 | 12 if context.unicast => Some(self.error(context, kind, code, message)),
            5 if context.unicast && !context.whole => {
                match self.redirected_v4(&context.origin, code, message) {
                    Some(()) => Some(Input::Done),
                    None => Some(self.dropped(interface, DropReason::BadRedirect)),
                }
            }
            // Source quench (RFC 6633) and all other types are ignored.
            _ => Some(self.dropped(interface, DropReason::UselessIcmp)),
        }
    }

    #[cold]
    pub(super) fn icmp_v6<'a>(
        &mut self,
        context: &Context<'a>,
        message: &'a [u8],
    ) -> Option<Input<'a>> {
        let interface = context.origin.interface;
        let Origin { local, remote, .. } = context.origin;
        let [kind, code, ..] = *message.first_chunk::<8>()?;
        let pseudo = pseudo_header_sum(remote, local, ICMPV6, message.len());
        if !context.trusted_icmp() && checksum::add(pseudo, checksum::sum(message)) != 0xffff {
            return Some(self.dropped(interface, DropReason::BadChecksum));
        }
        match kind {
            1..=4 if context.unicast => Some(self.error(context, kind, code, message)),
            128 if code == 0 => Some(self.echo(context, 129, message)),
            129 if context.unicast => Some(echo_reply(context, message)),
            130..=132 | 143 => {
                self.mld(context, message);
                Some(Input::Done)
            }
            133..=137 => Some(self.neighbor_discovery(context, message)),
            _ => Some(self.dropped(interface, DropReason::UselessIcmp)),
        }
    }

    /// Replies to an echo request (RFC 1122, 3.2.2.6; RFC 4443, 4.2): with the same bytes, from the
    /// request's destination. Ignores one to a broadcast address (RFC 1122 allows it).
    fn echo<'a>(&mut self, context: &Context<'_>, answer: u8, message: &[u8]) -> Input<'a> {
        let interface = context.origin.interface;
        let v4 = context.origin.local.is_ipv4();
        if context.origin.remote.is_unspecified() || v4 && !context.unicast {
            return self.dropped(interface, DropReason::UselessIcmp);
        }
        if !self.echo_bucket.take(self.now_ns, 1) {
            return self.dropped(interface, DropReason::RateLimited);
        }
        let Some(&[_, _, _, _, a, b, c, d]) = message.first_chunk() else {
            return self.dropped(interface, DropReason::Malformed);
        };
        let header = [answer, 0, 0, 0, a, b, c, d];
        let payload = message.get(8..).unwrap_or_default();
        if !self.stage_icmp(&context.origin, header, payload, context.traffic_class & !3) {
            return self.dropped(interface, DropReason::AnswerQueueFull);
        }
        Input::Done
    }

    /// Handles an error about a packet that quotes us as its source.
    fn error<'a>(
        &mut self,
        context: &Context<'_>,
        kind: u8,
        code: u8,
        message: &[u8],
    ) -> Input<'a> {
        let interface = context.origin.interface;
        let quoted = message.get(8..).unwrap_or_default();
        let value = be32(message, 4).unwrap_or(0);
        let v4 = context.origin.local.is_ipv4();
        let kind = match (v4, kind, code) {
            (true, 3, 2) => ErrorKind::ProtocolUnreachable,
            (true, 3, 3) | (false, 1, 4) => ErrorKind::PortUnreachable,
            // The next hop's MTU is in the lower half (RFC 1191, 4).
            (true, 3, 4) => ErrorKind::PacketTooBig(value & 0xffff),
            (false, 2, _) => ErrorKind::PacketTooBig(value),
            (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => ErrorKind::Prohibited,
            (true, 3, _) | (false, 1, _) => ErrorKind::HostUnreachable,
            (true, 11, _) | (false, 3, _) => ErrorKind::TimeExceeded,
            // An unrecognized next header is a protocol that the peer doesn't support.
            (false, 4, 1) => ErrorKind::ProtocolUnreachable,
            _ => ErrorKind::ParameterProblem,
        };
        let found = if v4 {
            inner_v4(quoted)
        } else {
            inner_v6(quoted)
        };
        let error = found.map(|inner| IcmpError {
            kind,
            interface,
            protocol: inner.protocol,
            local: (inner.local, inner.ports.0),
            remote: (inner.remote, inner.ports.1),
            seq: inner.seq,
        });
        match error {
            Some(error) if error.local.0 == context.origin.local => Input::Error(error),
            _ => self.dropped(interface, DropReason::UselessIcmp),
        }
    }

    /// Whether an error may be sent about a packet (RFC 1122, 3.2.2; RFC 4443, 2.4 e and f): never
    /// about another error, about a packet to a group unless `to_groups`, to an unspecified
    /// address, or beyond the rate limit.
    fn may_send_error(&mut self, context: &Context<'_>, to_groups: bool) -> bool {
        let Origin { remote, .. } = context.origin;
        let about_error = match context.protocol {
            ICMP | ICMPV6 => is_icmp_error(context.packet),
            _ => false,
        };
        let to_one = context.unicast && context.to_us || to_groups;
        if about_error || !to_one || remote.is_unspecified() {
            return false;
        }
        // A random cost, so that it reveals nothing about other replies (CVE-2020-25705).
        let cost = 1 + self.random.below(3);
        let allowed = self.error_bucket.take(self.now_ns, cost);
        if !allowed {
            self.drops.count(DropReason::RateLimited);
        }
        allowed
    }

    fn send_error(&mut self, context: &Context<'_>, header: [u8; 8]) {
        let limit = match context.origin.local {
            IpAddr::V4(_) => QUOTED_V4,
            IpAddr::V6(_) => QUOTED_V6,
        };
        let len = context.packet.len().min(limit);
        let quoted = context.packet.get(..len).unwrap_or_default();
        let origin = context.origin;
        if !self.stage_icmp(&origin, header, quoted, 0) {
            self.drops.count(DropReason::AnswerQueueFull);
        }
    }

    /// Sends a destination unreachable message of this type and code.
    fn unreachable(&mut self, context: &Context<'_>, kind: u8, code: u8) {
        if self.may_send_error(context, false) {
            self.send_error(context, [kind, code, 0, 0, 0, 0, 0, 0]);
        }
    }

    /// Reports an unsupported IPv4 protocol (RFC 1122, 3.2.2.1). For IPv6 see
    /// [`Net::parameter_problem`].
    pub(super) fn protocol_unreachable(&mut self, context: &Context<'_>) {
        self.unreachable(context, 3, 2);
    }

    /// Reports that the port of a datagram is closed (RFC 1122, 4.1.3.1; RFC 4443, 3.1).
    pub(crate) fn port_unreachable(&mut self, datagram: &super::UdpInput<'_>) {
        let interface = datagram.origin.interface;
        let context = Context {
            origin: datagram.origin,
            unicast: datagram.unicast,
            to_us: datagram.unicast,
            protocol: UDP,
            hop_limit: 0,
            traffic_class: 0,
            packet: datagram.packet,
            trusted: true,
            whole: false,
            joined: None,
        };
        let (kind, code) = match context.origin.local {
            IpAddr::V4(_) => (3, 3),
            IpAddr::V6(_) => (1, 4),
        };
        self.unreachable(&context, kind, code);
        self.dropped(interface, DropReason::NoPort);
    }

    /// Sends ICMPv6's parameter problem (RFC 4443, 3.4); code 2 also about packets to groups.
    pub(super) fn parameter_problem(&mut self, context: &Context<'_>, code: u8, pointer: u32) {
        if self.may_send_error(context, code == 2) {
            let [a, b, c, d] = pointer.to_be_bytes();
            self.send_error(context, [4, code, 0, 0, a, b, c, d]);
        }
    }

    /// Reports a locally detected delivery failure to the packet's socket.
    pub(super) fn undeliverable(&mut self, interface: usize, packet: &[u8]) {
        let found = match packet.first().map(|byte| byte >> 4) {
            Some(4) => inner_v4(packet),
            _ => inner_v6(packet),
        };
        if let Some(inner) = found
            && self.errors.len() < ERRORS
        {
            self.errors.push(IcmpError {
                kind: ErrorKind::HostUnreachable,
                interface,
                protocol: inner.protocol,
                local: (inner.local, inner.ports.0),
                remote: (inner.remote, inner.ports.1),
                seq: inner.seq,
            });
        }
    }

    /// Removes packets whose reassembly timed out, and reports those whose first fragment arrived
    /// (RFC 792; RFC 4443, 3.3).
    #[cold]
    pub(super) fn expire_fragments(&mut self) {
        let now_ns = self.now_ns;
        while let Some((key, first)) = self.reassembly.expired(now_ns) {
            self.drops.count(DropReason::ReassemblyTimeout);
            let Some(packet) = first else { continue };
            // By a route: the frame that the packet began with is long gone.
            let Ok(mut route) = self.route(key.source, key.interface as u32, None) else {
                continue;
            };
            let mac = match self.next_mac(&mut route) {
                Ok(mac) => mac,
                Err(_) => continue,
            };
            let protocol = match key.source {
                IpAddr::V4(_) => packet.get(9),
                IpAddr::V6(_) => packet.get(6),
            };
            let context = Context {
                origin: Origin {
                    interface: route.interface,
                    mac,
                    local: key.destination,
                    remote: key.source,
                },
                unicast: !is_group(key.destination),
                to_us: true,
                protocol: protocol.copied().unwrap_or(0),
                hop_limit: 0,
                traffic_class: 0,
                packet: &packet,
                trusted: true,
                whole: true,
                joined: None,
            };
            if self.may_send_error(&context, false) {
                let kind = if key.source.is_ipv4() { 11 } else { 3 };
                self.send_error(&context, [kind, 1, 0, 0, 0, 0, 0, 0]);
            }
        }
    }
}

impl Context<'_> {
    /// Devices don't verify ICMP: only packets over the loopback are trusted.
    fn trusted_icmp(&self) -> bool {
        self.origin.interface == super::LOOPBACK
    }
}

fn echo_reply<'a>(context: &Context<'a>, message: &'a [u8]) -> Input<'a> {
    Input::Echo(EchoInput {
        origin: context.origin,
        hop_limit: context.hop_limit,
        identifier: be16(message, 4).unwrap_or(0),
        sequence: be16(message, 6).unwrap_or(0),
        payload: message.get(8..).unwrap_or_default(),
    })
}

/// Whether a packet is an ICMP error, or of an unknown type.
fn is_icmp_error(packet: &[u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => {
            let at = usize::from(packet.first().copied().unwrap_or(0) & 15) * 4;
            !matches!(packet.get(at), Some(0 | 8 | 13 | 14))
        }
        // An ICMP message after extension headers counts as an error.
        _ => packet.get(6) != Some(&ICMPV6) || packet.get(IPV6_LEN).is_none_or(|kind| *kind < 128),
    }
}

/// The part of a packet that an error quotes.
struct Inner {
    protocol: u8,
    local: IpAddr,
    remote: IpAddr,
    ports: (u16, u16),
    seq: Option<u32>,
}

fn inner(protocol: u8, local: IpAddr, remote: IpAddr, transport: &[u8]) -> Option<Inner> {
    let ports = match protocol {
        TCP | UDP => (be16(transport, 0)?, be16(transport, 2)?),
        // An echo request: its identifier.
        _ => (be16(transport, 4)?, 0),
    };
    Some(Inner {
        protocol,
        local,
        remote,
        ports,
        seq: be32(transport, 4).filter(|_| protocol == TCP),
    })
}

fn inner_v4(packet: &[u8]) -> Option<Inner> {
    let first = *packet.first()?;
    let header_len = usize::from(first & 15) * 4;
    // A later fragment has no ports.
    if first >> 4 != 4 || header_len < IPV4_LEN || be16(packet, 6)? & 0x1fff != 0 {
        return None;
    }
    let transport = packet.get(header_len..)?;
    inner(
        *packet.get(9)?,
        IpAddr::V4(v4(packet, 12)?),
        IpAddr::V4(v4(packet, 16)?),
        transport,
    )
}

fn inner_v6(packet: &[u8]) -> Option<Inner> {
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let mut protocol = *packet.get(6)?;
    let mut at = IPV6_LEN;
    // We send no extension header other than fragments.
    if protocol == 44 {
        if be16(packet, at + 2)? & 0xfff8 != 0 {
            return None;
        }
        protocol = *packet.get(at)?;
        at += 8;
    }
    inner(
        protocol,
        IpAddr::V6(v6(packet, 8)?),
        IpAddr::V6(v6(packet, 24)?),
        packet.get(at..)?,
    )
}

#[cfg(test)]
mod tests {
    use super::{inner_v4, inner_v6, is_icmp_error};

    /// RFC 1122, 3.2.2: anything but a known query or reply counts as an error.
    #[test]
    fn which_icmp_messages_are_errors() {
        for (kind, error) in [
            (Some(0), false),
            (Some(8), false),
            (Some(13), false),
            (Some(14), false),
            (Some(3), true),
            (Some(5), true),
            (Some(11), true),
            (None, true),
        ] {
            for words in [5u8, 6] {
                let mut packet = vec![0; usize::from(words) * 4];
                packet[0] = 0x40 | words;
                packet.extend(kind);
                assert_eq!(is_icmp_error(&packet), error, "{kind:?} {words}");
            }
        }
        for (next, kind, error) in [
            (58, Some(128), false),
            (58, Some(135), false),
            (58, Some(127), true),
            (58, Some(1), true),
            (58, None, true),
            (44, Some(128), true),
        ] {
            let mut packet = vec![0; 40];
            (packet[0], packet[6]) = (0x60, next);
            packet.extend(kind);
            assert_eq!(is_icmp_error(&packet), error, "{next} {kind:?}");
        }
    }

    /// Ports 0x0102 and 0x0304, sequence number 0x05060708.
    const TRANSPORT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    /// RFC 792: the header and eight more bytes.
    #[test]
    fn what_an_error_quotes_of_ipv4() {
        let quote = |first: u8, fragment: u16, protocol: u8| {
            let mut packet = vec![0; usize::from(first & 15) * 4];
            packet.resize(packet.len().max(20), 0);
            packet[0] = first;
            packet[6..8].copy_from_slice(&fragment.to_be_bytes());
            packet[9] = protocol;
            packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
            packet.truncate(usize::from(first & 15) * 4);
            packet.extend(TRANSPORT);
            let inner = inner_v4(&packet)?;
            let addresses = [inner.local.to_string(), inner.remote.to_string()];
            assert_eq!(addresses, ["10.0.0.1", "10.0.0.2"]);
            Some((inner.protocol, inner.ports, inner.seq))
        };
        let tcp = Some((6, (0x0102, 0x0304), Some(0x0506_0708)));
        let udp = Some((17, (0x0102, 0x0304), None));
        let echo = Some((1, (0x0506, 0), None));
        for (first, fragment, protocol, expected) in [
            (0x45, 0, 6, tcp),
            (0x46, 0, 6, tcp),
            (0x45, 0x4000, 17, udp),
            // The first fragment, and a later one, which has no ports.
            (0x45, 0x2000, 17, udp),
            (0x45, 0x2001, 17, None),
            (0x45, 0, 1, echo),
            (0x65, 0, 6, None),
            (0x44, 0, 6, None),
        ] {
            let found = quote(first, fragment, protocol);
            assert_eq!(found, expected, "{first:x} {fragment:x} {protocol}");
        }
    }

    /// RFC 4443, 2.4 c; RFC 8200, 4.5.
    #[test]
    fn what_an_error_quotes_of_ipv6() {
        let quote = |first: u8, next: u8, fragment: Option<u16>| {
            let mut packet = vec![0; 40];
            (packet[0], packet[6]) = (first, next);
            (packet[23], packet[39]) = (1, 2);
            if let Some(offset) = fragment {
                packet[6] = 44;
                packet.extend([next, 0]);
                packet.extend(offset.to_be_bytes());
                packet.extend([9; 4]);
            }
            packet.extend(TRANSPORT);
            let inner = inner_v6(&packet)?;
            let addresses = [inner.local.to_string(), inner.remote.to_string()];
            assert_eq!(addresses, ["::1", "::2"]);
            Some((inner.protocol, inner.ports, inner.seq))
        };
        let tcp = Some((6, (0x0102, 0x0304), Some(0x0506_0708)));
        for (first, next, fragment, expected) in [
            (0x60, 6, None, tcp),
            (0x40, 6, None, None),
            (0x60, 6, Some(0), tcp),
            // More fragments follow, and reserved bits.
            (0x60, 6, Some(7), tcp),
            (0x60, 6, Some(8), None),
            (0x60, 58, None, Some((58, (0x0506, 0), None))),
        ] {
            assert_eq!(
                quote(first, next, fragment),
                expected,
                "{first:x} {next} {fragment:?}"
            );
        }
    }
}
