//! Receiving an IPv6 packet (RFC 8200): its addresses, extension headers and fragments.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::reassembly::{Fragment, Key};
use super::{Context, Frame, is_trusted, set_length};
use crate::ip::drops::DropReason;
use crate::ip::wire::header::{ICMPV6, IPV6_LEN, TCP, UDP, v6};
use crate::ip::{Input, LOOPBACK, Net, Origin};
use crate::types::{be16, be32};

/// Maximum number of extension headers of one packet (RFC 8200 has six, each once).
const EXTENSIONS: usize = 8;
/// Maximum number of options of one extension header (RFC 8504, 5.3).
const OPTIONS: usize = 16;

impl Net {
    pub(super) fn packet_v6<'a>(&mut self, how: Frame, packet: &'a [u8]) -> Option<Input<'a>> {
        let interface = how.interface;
        let payload_len = usize::from(be16(packet, 4)?);
        let packet = packet.get(..IPV6_LEN + payload_len)?;
        let (source, destination) = (v6(packet, 8)?, v6(packet, 24)?);
        let loopback = interface == LOOPBACK;
        let mapped = |a: Ipv6Addr| a.to_ipv4_mapped().is_some();
        let forged = source.is_multicast()
            || destination.is_unspecified()
            || mapped(source)
            || mapped(destination)
            // RFC 4291, 2.7: interface-local groups never leave the host.
            || destination.is_multicast() && destination.octets()[1] & 15 <= 1
            || !loopback && (source.is_loopback() || destination.is_loopback());
        let pair = (IpAddr::V6(destination), IpAddr::V6(source));
        if forged || !loopback && self.interfaces.get(interface)?.is_own(pair.1) {
            return Some(self.dropped(interface, DropReason::Martian));
        }
        let i = self.interfaces.get(interface)?;
        let unicast = !destination.is_multicast();
        let taken = if unicast {
            // Neighbor discovery reaches tentative addresses only by their groups.
            loopback || i.is_ready(pair.0)
        } else {
            loopback || i.listens_v6(destination)
        };
        if !taken {
            return Some(self.dropped(interface, DropReason::NotForUs));
        }
        if unicast && !how.to_us && !loopback {
            return Some(self.dropped(interface, DropReason::Martian));
        }
        let class = packet.first()? << 4 | packet.get(1)? >> 4;
        let mut context = Context {
            origin: Origin {
                interface,
                mac: how.from,
                local: pair.0,
                remote: pair.1,
            },
            unicast,
            to_us: how.to_us,
            protocol: *packet.get(6)?,
            hop_limit: *packet.get(7)?,
            traffic_class: class,
            packet,
            trusted: is_trusted(how.meta),
            whole: how.whole,
            joined: how.meta.joined,
        };
        let mut at = IPV6_LEN;
        // Offset of the field that names the header at `at`, for errors.
        let mut named_at = 6;
        for _ in 0..=EXTENSIONS {
            let next = *packet.get(at)?;
            let len = match context.protocol {
                // Hop-by-hop options are allowed only first (RFC 8200, 4.1).
                0 if at == IPV6_LEN => self.options_v6(&context, at)?,
                60 => self.options_v6(&context, at)?,
                43 => {
                    // Type 0 and all others that ask us to forward (RFC 5095; RFC 8200, 4.4).
                    if *packet.get(at + 3)? != 0 {
                        self.parameter_problem(&context, 0, at as u32 + 2);
                        return Some(self.dropped(interface, DropReason::SourceRoute));
                    }
                    Some(usize::from(*packet.get(at + 1)?) * 8 + 8)
                }
                44 => return self.fragment_v6(&context, at, named_at),
                59 => return Some(Input::Done),
                _ => return self.transport_v6(&context, at, named_at),
            };
            let Some(len) = len else {
                return Some(self.dropped(interface, DropReason::BadOption));
            };
            context.protocol = next;
            named_at = at;
            at += len;
        }
        Some(self.dropped(interface, DropReason::BadOption))
    }

    fn transport_v6<'a>(
        &mut self,
        context: &Context<'a>,
        at: usize,
        named_at: usize,
    ) -> Option<Input<'a>> {
        if !matches!(context.protocol, TCP | UDP | ICMPV6) {
            // RFC 8200, 4: unrecognized next header.
            self.parameter_problem(context, 1, named_at as u32);
            return Some(self.dropped(context.origin.interface, DropReason::UnknownProtocol));
        }
        self.transport(context, context.packet.get(at..)?)
    }

    /// Parses the options of an extension header (RFC 8200, 4.2); returns its length, or an inner
    /// `None` if the packet must be dropped.
    #[cold]
    fn options_v6(&mut self, context: &Context<'_>, at: usize) -> Option<Option<usize>> {
        let packet = context.packet;
        let len = usize::from(*packet.get(at + 1)?) * 8 + 8;
        let options = packet.get(at..at + len)?;
        let mut place = 2;
        for _ in 0..OPTIONS {
            let Some(&kind) = options.get(place) else {
                return Some(Some(len));
            };
            if kind == 0 {
                place += 1;
                continue;
            }
            let Some(&option_len) = options.get(place + 1) else {
                return Some(None);
            };
            let end = place + 2 + usize::from(option_len);
            if end > len {
                return Some(None);
            }
            // Padding and the router alert are known; the two highest bits of others say how to
            // treat them.
            if kind != 1 && kind != 5 {
                match kind >> 6 {
                    0 => {}
                    3 if !context.unicast => return Some(None),
                    2 | 3 => {
                        self.parameter_problem(context, 2, (at + place) as u32);
                        return Some(None);
                    }
                    _ => return Some(None),
                }
            }
            place = end;
        }
        Some((place >= len).then_some(len))
    }

    #[cold]
    fn fragment_v6<'a>(
        &mut self,
        context: &Context<'a>,
        at: usize,
        named_at: usize,
    ) -> Option<Input<'a>> {
        let packet = context.packet;
        let next = *packet.get(at)?;
        let fields = be16(packet, at + 2)?;
        let identification = be32(packet, at + 4)?;
        let data = packet.get(at + 8..)?;
        let (offset, more) = (usize::from(fields & 0xfff8), fields & 1 != 0);
        if more && !data.len().is_multiple_of(8) {
            self.parameter_problem(context, 0, 4);
            return Some(self.dropped(context.origin.interface, DropReason::BadFragment));
        }
        // RFC 7112: the first fragment contains all headers.
        let too_short = match next {
            TCP => data.len() < 20,
            UDP | ICMPV6 => data.len() < 8,
            _ => false,
        };
        if offset == 0 && more && too_short {
            self.parameter_problem(context, 3, 0);
            return Some(self.dropped(context.origin.interface, DropReason::BadFragment));
        }
        // The header of the reassembled packet: without the fragment header.
        let mut header: Vec<u8> = packet.get(..at)?.to_vec();
        if let Some(place) = header.get_mut(named_at) {
            *place = next;
        }
        let key = Key {
            source: context.origin.remote,
            destination: context.origin.local,
            identification,
            protocol: 0,
            interface: context.origin.interface,
        };
        let fragment = Fragment {
            offset,
            more,
            header: &header,
            data,
        };
        if offset == 0 && !more {
            // An atomic fragment is a packet of its own, even if others share its identification
            // (RFC 6946).
            header.extend_from_slice(data);
            set_length(&mut header);
            return Some(Input::Whole(context.origin, header));
        }
        Some(self.fragment(context.origin, key, &fragment))
    }
}
