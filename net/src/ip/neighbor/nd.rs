//! Neighbor discovery (RFC 4861): neighbor solicitations and advertisements in both directions, and
//! received router advertisements.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::Advert;
use crate::ip::address::State;
use crate::ip::context::Context;
use crate::ip::drops::DropReason;
use crate::ip::packet::Packet;
use crate::ip::wire::header::{
    ALL_NODES, ALL_ROUTERS, ICMPV6, IpHeader, Mac, group_mac, mac, solicited_node, v6,
};
use crate::ip::{Input, Net};
use crate::types::put;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
/// Packets with another hop limit have passed a router (RFC 4861, 3.1).
const HOP_LIMIT: u8 = 255;
/// Maximum number of options parsed in one message.
const OPTIONS: usize = 64;

/// The options of a message: type and whole option. An option of length zero makes the message
/// invalid (RFC 4861, 4.6).
fn options(mut rest: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while let Some(&[kind, units]) = rest.first_chunk() {
        let len = usize::from(units) * 8;
        if len == 0 || found.len() >= OPTIONS {
            return None;
        }
        found.push((kind, rest.get(..len)?));
        rest = rest.get(len..)?;
    }
    rest.is_empty().then_some(found)
}

/// The link-layer address of an option of this type.
fn link_address(options: &[(u8, &[u8])], kind: u8) -> Option<Mac> {
    options
        .iter()
        .find(|(other, option)| *other == kind && option.len() == 8)
        .and_then(|(_, option)| mac(option, 2))
        .filter(|mac| mac[0] & 1 == 0)
}

impl Net {
    /// Queues a neighbor discovery message.
    fn stage_nd(
        &mut self,
        interface: usize,
        to: Option<Mac>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        message: &[u8],
    ) -> bool {
        let packet = Packet {
            header: IpHeader::new(source.into(), destination.into(), ICMPV6, HOP_LIMIT),
            transport: message,
            payload: &[],
        };
        match to.or_else(|| group_mac(IpAddr::V6(destination))) {
            Some(mac) => self.stage_packet(interface, mac, &packet),
            None => false,
        }
    }

    /// Sends a neighbor solicitation; from the unspecified address, as in duplicate address
    /// detection (RFC 4862, 5.4.2).
    pub(in crate::ip) fn solicit(
        &mut self,
        interface: usize,
        source: Ipv6Addr,
        target: Ipv6Addr,
        to: Option<Mac>,
    ) -> bool {
        let Some(own) = self.mac(interface) else {
            return false;
        };
        let mut message = [0; 32];
        put(&mut message, 0, &[SOLICITATION]);
        put(&mut message, 8, &target.octets());
        put(&mut message, 24, &[1, 1]);
        put(&mut message, 26, &own);
        let len = if source.is_unspecified() { 24 } else { 32 };
        let destination = match to {
            Some(_) => target,
            None => solicited_node(target),
        };
        let message = message.get(..len).unwrap_or_default();
        self.stage_nd(interface, to, source, destination, message)
    }

    /// Sends a neighbor advertisement to the solicitor in `to`, or to all nodes (RFC 4861, 7.2.6).
    pub(in crate::ip) fn advertise(
        &mut self,
        interface: usize,
        target: Ipv6Addr,
        to: Option<(Ipv6Addr, Mac)>,
    ) -> bool {
        let Some(own) = self.mac(interface) else {
            return false;
        };
        let mut message = [0; 32];
        // The override flag, and the solicited flag for a reply.
        let flags = if to.is_some() { 0x60 } else { 0x20 };
        put(&mut message, 0, &[ADVERTISEMENT, 0, 0, 0, flags]);
        put(&mut message, 8, &target.octets());
        put(&mut message, 24, &[2, 1]);
        put(&mut message, 26, &own);
        let (destination, mac) = match to {
            Some((address, mac)) => (address, Some(mac)),
            None => (ALL_NODES, None),
        };
        self.stage_nd(interface, mac, target, destination, &message)
    }

    /// Sends a router solicitation (RFC 4861, 6.3.7); `source` may be unspecified.
    pub(in crate::ip) fn solicit_routers(&mut self, interface: usize, source: Ipv6Addr) -> bool {
        let Some(own) = self.mac(interface) else {
            return false;
        };
        let mut message = [0; 16];
        put(&mut message, 0, &[ROUTER_SOLICITATION]);
        put(&mut message, 8, &[1, 1]);
        put(&mut message, 10, &own);
        let len = if source.is_unspecified() { 8 } else { 16 };
        let message = message.get(..len).unwrap_or_default();
        self.stage_nd(interface, None, source, ALL_ROUTERS, message)
    }

    /// Handles a message whose checksum is valid.
    pub(in crate::ip) fn neighbor_discovery<'a>(
        &mut self,
        context: &Context<'_>,
        message: &[u8],
    ) -> Input<'a> {
        let interface = context.origin.interface;
        if self.discovered(context, message).is_none() {
            return self.dropped(interface, DropReason::BadNeighborDiscovery);
        }
        Input::Done
    }

    /// `None` if the message is not valid (RFC 4861, 6.1 and 7.1; RFC 6980: never in fragments).
    fn discovered(&mut self, context: &Context<'_>, message: &[u8]) -> Option<()> {
        let [kind, code, ..] = *message.first_chunk::<8>()?;
        let (IpAddr::V6(local), IpAddr::V6(remote)) = (context.origin.local, context.origin.remote)
        else {
            return None;
        };
        if context.hop_limit != HOP_LIMIT || code != 0 || context.whole {
            return None;
        }
        match kind {
            SOLICITATION => self.solicited(context, local, remote, message),
            ADVERTISEMENT => self.advertised(context, message),
            ROUTER_ADVERTISEMENT => {
                let options = options(message.get(16..)?)?;
                if !remote.is_unicast_link_local() {
                    return None;
                }
                let mac = link_address(&options, 1);
                self.on_solicitation(context.origin.interface, IpAddr::V6(remote), mac);
                let header = *message.first_chunk::<16>()?;
                self.router_advertisement(context.origin.interface, remote, &header, &options);
                Some(())
            }
            REDIRECT => {
                let (target, destination) = (v6(message, 8)?, v6(message, 24)?);
                let options = options(message.get(40..)?)?;
                if !remote.is_unicast_link_local() || !context.unicast {
                    return None;
                }
                let interface = context.origin.interface;
                let (to, target) = (IpAddr::V6(destination), IpAddr::V6(target));
                match self.redirected(interface, IpAddr::V6(remote), to, target) {
                    Some(()) => self.on_solicitation(interface, target, link_address(&options, 2)),
                    None => drop(self.dropped(interface, DropReason::BadRedirect)),
                }
                Some(())
            }
            // We are no router.
            _ => Some(()),
        }
    }

    fn solicited(
        &mut self,
        context: &Context<'_>,
        local: Ipv6Addr,
        remote: Ipv6Addr,
        message: &[u8],
    ) -> Option<()> {
        let interface = context.origin.interface;
        let target = v6(message, 8)?;
        let options = options(message.get(24..)?)?;
        let mac = link_address(&options, 1);
        if target.is_multicast() {
            return None;
        }
        if remote.is_unspecified() && (local != solicited_node(target) || mac.is_some()) {
            return None;
        }
        let i = self.interfaces.get(interface)?;
        let state = i
            .addresses
            .iter()
            .find(|a| a.ip() == IpAddr::V6(target))
            .map(|a| a.state);
        match state {
            // Another host probes for the same address (RFC 4862, 5.4.3).
            Some(State::Tentative) if remote.is_unspecified() => {
                self.lose_duplicate(interface, IpAddr::V6(target));
            }
            Some(State::Valid) if remote.is_unspecified() => {
                self.advertise(interface, target, None);
            }
            Some(State::Valid) => {
                self.on_solicitation(interface, IpAddr::V6(remote), mac);
                let to = mac.unwrap_or(context.origin.mac);
                if !self.advertise(interface, target, Some((remote, to))) {
                    self.drops.count(DropReason::AnswerQueueFull);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn advertised(&mut self, context: &Context<'_>, message: &[u8]) -> Option<()> {
        let interface = context.origin.interface;
        let flags = *message.get(4)?;
        let target = v6(message, 8)?;
        let options = options(message.get(24..)?)?;
        let solicited = flags & 0x40 != 0;
        if target.is_multicast() || solicited && !context.unicast {
            return None;
        }
        let ip = IpAddr::V6(target);
        let now_ns = self.now_ns;
        let i = self.interfaces.get_mut(interface)?;
        if let Some(address) = i.addresses.iter().find(|a| a.ip() == ip) {
            if address.state == State::Tentative {
                self.lose_duplicate(interface, ip);
            }
            return Some(());
        }
        let mut ready = Vec::new();
        let advert = Advert {
            address: ip,
            mac: link_address(&options, 2),
            solicited,
            replace: flags & 0x20 != 0,
            router: flags & 0x80 != 0,
        };
        let was_router = i.neighbors.advertised(&advert, now_ns, &mut ready);
        self.release(interface, ready);
        if was_router && !advert.router {
            // It has become a host: no longer a default router (RFC 4861, 7.2.5).
            self.router_is_host(interface, target);
        }
        Some(())
    }

    /// Handles a sender's link-layer address in a solicitation or advertisement.
    fn on_solicitation(&mut self, interface: usize, address: IpAddr, mac: Option<Mac>) {
        let now_ns = self.now_ns;
        let mut ready = Vec::new();
        if let (Some(mac), Some(i)) = (mac, self.interfaces.get_mut(interface)) {
            i.neighbors
                .on_solicitation(address, mac, now_ns, &mut ready);
        }
        self.release(interface, ready);
    }
}

#[cfg(test)]
mod tests {
    use super::options;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(found) = options(&bytes) {
                prop_assert_eq!(found.iter().map(|(_, o)| o.len()).sum::<usize>(), bytes.len());
            }
        }
    }

    #[test]
    fn rfc4861_section_4_6_options() {
        assert_eq!(options(&[1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(options(&[1, 2, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(options(&[1, 1, 0, 0, 0, 0, 0, 0, 3]), None);
        assert_eq!(options(&[]), Some(vec![]));
        assert_eq!(options(&[9, 1, 0, 0, 0, 0, 0, 0]).map(|o| o.len()), Some(1));
    }
}
