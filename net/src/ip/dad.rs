//! Duplicate address detection (RFC 4862, 5.4; RFC 5227), and announcements of new addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Address, DadState, Source, State};
use crate::ip::Net;
use crate::ip::wire::header::Framing;

const SECOND: u64 = 1_000_000_000;
/// RFC 5227, 1.1.
const PROBES: u8 = 3;
const PROBE_MIN_NS: u64 = SECOND;
const ANNOUNCE_WAIT_NS: u64 = 2 * SECOND;
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_NS: u64 = 2 * SECOND;
/// A host on the same link replies to a probe in less than this. RFC 5227 waits for seconds, for
/// links that take that long to come up; servers want their lease at once.
const FAST_PROBE_NS: u64 = 20_000_000;

impl Net {
    /// Stops using an address that another host has.
    #[cold]
    pub(in crate::ip) fn lose_duplicate(&mut self, interface: usize, ip: IpAddr) {
        let now_ns = self.now_ns;
        let Some(i) = self.interfaces.get_mut(interface) else {
            return;
        };
        let Some(address) = i.addresses.iter_mut().find(|a| a.ip() == ip) else {
            return;
        };
        address.state = State::Duplicate;
        address.dad = DadState::default();
        i.duplicates = i.duplicates.wrapping_add(1);
        match (address.source, ip) {
            (Source::Dhcp, _) => {
                if let Some(client) = &mut i.dhcp {
                    client.conflict(now_ns);
                }
            }
            (Source::Dhcp6, _) => {
                if let Some(client) = &mut i.dhcp6 {
                    client.conflict(now_ns);
                }
            }
            (Source::Temporary, IpAddr::V6(ip)) => {
                if let Some(slaac) = &mut i.slaac {
                    slaac.duplicate(ip, now_ns, &mut self.random);
                }
            }
            _ => {}
        }
        self.lost.push(ip);
        self.configure(interface);
    }

    /// Sends the probes and announcements that are due. Returns the time of the next.
    #[cold]
    pub(in crate::ip) fn run_dad(&mut self, interface: usize) -> Option<u64> {
        let now_ns = self.now_ns;
        let mut next = None::<u64>;
        let mut became_valid = false;
        let count = self.interfaces.get(interface)?.addresses.len();
        for n in 0..count {
            let Some(i) = self.interfaces.get_mut(interface) else {
                break;
            };
            let careful = i.config.careful;
            let retransmit_ns = i.neighbors.retransmit_ns();
            let Some(address) = i.addresses.get_mut(n) else {
                break;
            };
            let ip = address.ip();
            let dad = &mut address.dad;
            let idle =
                dad.probes == 0 && dad.announcements == 0 && address.state != State::Tentative;
            if idle {
                continue;
            }
            if dad.at_ns <= now_ns {
                if dad.probes > 0 {
                    dad.probes -= 1;
                    let last = dad.probes == 0;
                    let wait_ns = match (ip, careful) {
                        (IpAddr::V6(_), _) => retransmit_ns,
                        (IpAddr::V4(_), false) => FAST_PROBE_NS,
                        (IpAddr::V4(_), true) if last => ANNOUNCE_WAIT_NS,
                        (IpAddr::V4(_), true) => PROBE_MIN_NS + self.random.below(SECOND),
                    };
                    dad.at_ns = now_ns.saturating_add(wait_ns);
                    self.probe(interface, ip);
                } else if address.state == State::Tentative {
                    // No conflict was detected.
                    address.state = State::Valid;
                    became_valid = true;
                } else {
                    dad.announcements -= 1;
                    dad.at_ns = now_ns.saturating_add(ANNOUNCE_NS);
                    self.announce(interface, ip);
                }
            }
            let address = self.interfaces.get(interface)?.addresses.get(n)?;
            let dad = address.dad;
            if dad.probes > 0 || dad.announcements > 0 || address.state == State::Tentative {
                next = Some(next.map_or(dad.at_ns, |next| next.min(dad.at_ns)));
            }
        }
        if became_valid {
            self.rebuild_routes();
            self.changed = true;
            if let Some(i) = self.interfaces.get_mut(interface) {
                // Sockets that wait to send from it may proceed.
                i.neighbors.changed = true;
            }
            // The announcements are due at once.
            next = Some(now_ns);
        }
        next
    }

    fn probe(&mut self, interface: usize, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.arp_request(interface, Ipv4Addr::UNSPECIFIED, ip, None),
            IpAddr::V6(ip) => self.solicit(interface, Ipv6Addr::UNSPECIFIED, ip, None),
        };
    }

    fn announce(&mut self, interface: usize, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.arp_request(interface, ip, ip, None),
            IpAddr::V6(ip) => self.advertise(interface, ip, None),
        };
    }
}

/// Starts duplicate address detection for a new address.
pub(in crate::ip) fn begin_dad(
    address: &mut Address,
    config: &crate::types::InterfaceConfig,
    framing: Framing,
    now_ns: u64,
) {
    if framing == Framing::Ip {
        return;
    }
    let probes = match (address.ip(), address.source) {
        (IpAddr::V6(_), _) => config.dad_transmits,
        (IpAddr::V4(_), _) if config.careful => PROBES,
        (IpAddr::V4(_), Source::Dhcp) => 1,
        (IpAddr::V4(_), _) => 0,
    };
    address.dad = DadState {
        probes,
        announcements: ANNOUNCEMENTS,
        at_ns: now_ns,
        defended_ns: None,
    };
    if probes > 0 {
        address.state = State::Tentative;
    }
}
