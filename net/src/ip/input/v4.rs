//! Receiving an IPv4 packet (RFC 791): its addresses, options and fragments.

use core::net::{IpAddr, Ipv4Addr};

use super::reassembly::{Fragment, Key};
use super::{Context, Frame, is_trusted};
use crate::ip::configuration::dhcp::Client;
use crate::ip::drops::DropReason;
use crate::ip::wire::checksum;
use crate::ip::wire::header::{IPV4_LEN, UDP, v4};
use crate::ip::{Input, Interface, LOOPBACK, Net, Origin};
use crate::types::{be16, is_unicast_v4};

impl Net {
    pub(super) fn packet_v4<'a>(&mut self, how: Frame, packet: &'a [u8]) -> Option<Input<'a>> {
        let interface = how.interface;
        let header_len = usize::from(packet.first()? & 15) * 4;
        let total_len = usize::from(be16(packet, 2)?);
        if header_len < IPV4_LEN || total_len < header_len {
            return None;
        }
        let packet = packet.get(..total_len)?;
        let header = packet.get(..header_len)?;
        // The loopback computes no checksum.
        if interface != LOOPBACK && !how.whole && checksum::sum(header) != 0xffff {
            return Some(self.dropped(interface, DropReason::BadChecksum));
        }
        let (source, destination) = (v4(packet, 12)?, v4(packet, 16)?);
        let loopback = interface == LOOPBACK;
        let forged = !is_unicast_v4(source)
            || self.interfaces.get(interface)?.is_broadcast(source)
            || destination.is_unspecified()
            || !loopback && (source.is_loopback() || destination.is_loopback());
        let pair = (IpAddr::V4(destination), IpAddr::V4(source));
        if forged || !loopback && self.interfaces.get(interface)?.is_own(pair.1) {
            // RFC 1122, 3.2.1.3. (A DHCP client has no address yet, but we are no server.)
            return Some(self.dropped(interface, DropReason::Martian));
        }
        let unicast = match self.destination_v4(interface, destination) {
            Some(unicast) => unicast,
            // A lease may be offered to the address that it contains (RFC 2131, 4.1).
            None if self.is_offer(interface, packet, header_len) => true,
            None => return Some(self.dropped(interface, DropReason::NotForUs)),
        };
        if unicast && !how.to_us && !loopback {
            // RFC 1122, 3.3.6: to a link's broadcast address, but not to an IP one.
            return Some(self.dropped(interface, DropReason::Martian));
        }
        if let Some(reason) = options_v4(header.get(IPV4_LEN..)?) {
            return Some(self.dropped(interface, reason));
        }
        let protocol = *packet.get(9)?;
        let origin = Origin {
            interface,
            mac: how.from,
            local: pair.0,
            remote: pair.1,
        };
        let fragment = be16(packet, 6)?;
        if fragment & 0x3fff != 0 {
            let key = Key {
                source: pair.1,
                destination: pair.0,
                identification: u32::from(be16(packet, 4)?),
                protocol,
                interface,
            };
            let fragment = Fragment {
                offset: usize::from(fragment & 0x1fff) * 8,
                more: fragment & 0x2000 != 0,
                header: header.get(..IPV4_LEN)?,
                data: packet.get(header_len..)?,
            };
            return Some(self.fragment(origin, key, &fragment));
        }
        let context = Context {
            origin,
            unicast,
            to_us: how.to_us,
            protocol,
            hop_limit: *packet.get(8)?,
            traffic_class: *packet.get(1)?,
            packet,
            trusted: is_trusted(how.meta),
            whole: how.whole,
            joined: how.meta.joined,
        };
        self.transport(&context, packet.get(header_len..)?)
    }

    /// Whether packets to an address are accepted: `Some(true)` if it is a unicast address of ours.
    fn destination_v4(&self, interface: usize, address: Ipv4Addr) -> Option<bool> {
        let i = self.interfaces.get(interface)?;
        if interface == LOOPBACK {
            return Some(!address.is_multicast() && !address.is_broadcast());
        }
        if i.is_ready(IpAddr::V4(address)) {
            return Some(true);
        }
        let group = address.is_broadcast()
            || i.is_broadcast(address)
            || address.is_multicast() && i.memberships.listens(IpAddr::V4(address));
        group.then_some(false)
    }

    /// Whether a packet to another address may be the reply to a DHCP request.
    fn is_offer(&self, interface: usize, packet: &[u8], header_len: usize) -> bool {
        let (protocol, port) = (packet.get(9), be16(packet, header_len + 2));
        let awaits = |i: &Interface| i.dhcp.as_ref().is_some_and(Client::awaits);
        (protocol, port) == (Some(&UDP), Some(68))
            && self.interfaces.get(interface).is_some_and(awaits)
            && v4(packet, 16).is_some_and(|to| !to.is_multicast())
    }
}

/// Why to drop a packet with these IPv4 options: source routes (RFC 7126, 4.3), or options that run
/// over the end; all others are skipped (RFC 1122, 3.2.1.8).
fn options_v4(mut options: &[u8]) -> Option<DropReason> {
    while let Some(&kind) = options.first() {
        match kind {
            0 => return None,
            1 => options = options.get(1..).unwrap_or_default(),
            131 | 137 => return Some(DropReason::SourceRoute),
            _ => {
                let len = usize::from(options.get(1).copied().unwrap_or(0));
                options = match options.get(len..) {
                    Some(rest) if len >= 2 => rest,
                    _ => return Some(DropReason::BadOption),
                };
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{DropReason, options_v4};

    #[test]
    fn rfc1122_section_3_2_1_8_options() {
        assert_eq!(options_v4(&[]), None);
        assert_eq!(options_v4(&[1, 1, 0, 131]), None);
        assert_eq!(options_v4(&[0x94, 4, 0, 0]), None);
        assert_eq!(options_v4(&[1, 131, 3, 4]), Some(DropReason::SourceRoute));
        assert_eq!(
            options_v4(&[137, 7, 4, 0, 0, 0, 0, 0]),
            Some(DropReason::SourceRoute)
        );
        assert_eq!(options_v4(&[7, 1, 0, 0]), Some(DropReason::BadOption));
        assert_eq!(options_v4(&[7, 9, 0, 0]), Some(DropReason::BadOption));
        assert_eq!(options_v4(&[7]), Some(DropReason::BadOption));
    }
}
