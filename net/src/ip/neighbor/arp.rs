//! ARP (RFC 826), and IPv4 address conflict detection (RFC 5227).

use core::net::{IpAddr, Ipv4Addr};

use super::Advert;
use crate::ip::address::{Source, State};
use crate::ip::drops::DropReason;
use crate::ip::wire::header::{BROADCAST, ETHERTYPE_ARP, Framing, Mac, mac, v4};
use crate::ip::{Input, Net};
use crate::types::{TxMeta, be16, put};

const LEN: usize = 28;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
/// DEFEND_INTERVAL of RFC 5227, 1.1.
const DEFEND_NS: u64 = 10_000_000_000;

/// The fields of an ARP packet.
struct Arp {
    operation: u16,
    sender: (Mac, Ipv4Addr),
    target: (Mac, Ipv4Addr),
}

impl Arp {
    fn parse(packet: &[u8]) -> Option<Arp> {
        // Ethernet, IPv4, and the lengths of their addresses.
        if packet.get(..6)? != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        Some(Arp {
            operation: be16(packet, 6)?,
            sender: (mac(packet, 8)?, v4(packet, 14)?),
            target: (mac(packet, 18)?, v4(packet, 24)?),
        })
    }

    fn write(&self, buffer: &mut [u8]) {
        put(buffer, 0, &[0, 1, 8, 0, 6, 4]);
        put(buffer, 6, &self.operation.to_be_bytes());
        put(buffer, 8, &self.sender.0);
        put(buffer, 14, &self.sender.1.octets());
        put(buffer, 18, &self.target.0);
        put(buffer, 24, &self.target.1.octets());
    }
}

impl Net {
    fn stage_arp(&mut self, interface: usize, to: Mac, arp: &Arp) -> bool {
        self.stage(interface, to, ETHERTYPE_ARP, LEN, |buffer, _| {
            arp.write(buffer);
            TxMeta::default()
        })
    }

    /// Sends an ARP request for `target`. With the unspecified source address it is a probe (RFC
    /// 5227, 2.1.1), with the target itself as the source an announcement (2.3).
    pub(crate) fn arp_request(
        &mut self,
        interface: usize,
        source: Ipv4Addr,
        target: Ipv4Addr,
        to: Option<Mac>,
    ) -> bool {
        let Some(own) = self.mac(interface) else {
            return false;
        };
        let arp = Arp {
            operation: REQUEST,
            sender: (own, source),
            target: (to.unwrap_or_default(), target),
        };
        self.stage_arp(interface, to.unwrap_or(BROADCAST), &arp)
    }

    /// Handles an ARP packet; `to_us`: the frame was addressed to us alone.
    #[cold]
    pub(crate) fn arp<'a>(&mut self, interface: usize, packet: &[u8], to_us: bool) -> Input<'a> {
        let Some(arp) = Arp::parse(packet) else {
            return self.dropped(interface, DropReason::BadArp);
        };
        let now_ns = self.now_ns;
        let Some(own) = self.mac(interface) else {
            return Input::Done;
        };
        let (sender, from) = arp.sender;
        let sane = sender[0] & 1 == 0 && !from.is_multicast() && !from.is_broadcast();
        if !sane || !matches!(arp.operation, REQUEST | REPLY) {
            return self.dropped(interface, DropReason::BadArp);
        }
        if sender == own {
            // Our own frame, through a loop in the network.
            return Input::Done;
        }
        let state_of = |net: &Net, ip: Ipv4Addr| {
            let i = net.interfaces.get(interface)?;
            let address = i.addresses.iter().find(|a| a.ip() == IpAddr::V4(ip))?;
            Some(address.state)
        };
        // RFC 5227, 2.1.1 and 2.4: another host uses our address, or probes for it.
        let probe_of_theirs = from.is_unspecified() && arp.operation == REQUEST;
        match state_of(self, from) {
            Some(_) => {
                self.conflict_v4(interface, from);
                return Input::Done;
            }
            None if probe_of_theirs && state_of(self, arp.target.1) == Some(State::Tentative) => {
                self.conflict_v4(interface, arp.target.1);
                return Input::Done;
            }
            None => {}
        }
        let ours = state_of(self, arp.target.1) == Some(State::Valid);
        let on_link = self.is_on_link(interface, IpAddr::V4(from));
        let Some(i) = self.interfaces.get_mut(interface) else {
            return Input::Done;
        };
        let mut ready = alloc::vec::Vec::new();
        if on_link && !from.is_unspecified() {
            i.neighbors.advertised(
                &Advert {
                    address: IpAddr::V4(from),
                    mac: Some(sender),
                    solicited: arp.operation == REPLY && to_us,
                    replace: true,
                    router: false,
                },
                now_ns,
                &mut ready,
            );

            if ours && arp.operation == REQUEST {
                i.neighbors
                    .on_solicitation(IpAddr::V4(from), sender, now_ns, &mut ready);
            }
        }
        self.release(interface, ready);
        if ours && arp.operation == REQUEST {
            let answer = Arp {
                operation: REPLY,
                sender: (own, arp.target.1),
                target: (sender, from),
            };
            if !self.stage_arp(interface, sender, &answer) {
                return self.dropped(interface, DropReason::AnswerQueueFull);
            }
        }
        Input::Done
    }

    /// Another host uses an IPv4 address of ours. A tentative address is lost. A valid one is
    /// defended once; after that an address from DHCP is given up, and a fixed one is still
    /// defended (RFC 5227, 2.4 b and c).
    fn conflict_v4(&mut self, interface: usize, ip: Ipv4Addr) {
        let now_ns = self.now_ns;
        let Some(i) = self.interfaces.get_mut(interface) else {
            return;
        };
        let ip_addr = IpAddr::V4(ip);
        let Some(address) = i.addresses.iter_mut().find(|a| a.ip() == ip_addr) else {
            return;
        };
        if address.state == State::Duplicate {
            return;
        }
        let recent = address
            .dad
            .defended_ns
            .is_some_and(|at_ns| now_ns < at_ns.saturating_add(DEFEND_NS));
        let leased = address.source == Source::Dhcp;
        if address.state == State::Tentative || recent && leased {
            self.lose_duplicate(interface, ip_addr);
        } else if !recent {
            address.dad.defended_ns = Some(now_ns);
            self.arp_request(interface, ip, ip, None);
        }
    }

    pub(crate) fn mac(&self, interface: usize) -> Option<Mac> {
        match self.interfaces.get(interface)?.framing {
            Framing::Ethernet { mac, .. } => Some(mac),
            Framing::Ip => None,
        }
    }
}
