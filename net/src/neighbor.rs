//! Asking for the Ethernet address of a neighbour (RFC 826; RFC 4861, 4.3), and telling neighbours
//! our own (RFC 5227, 2.3; RFC 4861, 7.2.6), so that those who knew another machine by an address
//! that is now ours learn of it at once.
//!
//! smoltcp asks by itself, but for one neighbour a second in all: while a host that is gone is asked
//! for, others wait. What it doesn't ask is asked here; the answers fill its table.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum;
use crate::frame::PROTOCOL_ICMPV6;

/// The same neighbour is asked for once in this time.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Neighbours that are remembered to have been asked for.
const MEMORY: usize = 64;

/// Who was asked for, and when.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    recent: Vec<(IpAddr, u64)>,
    next: usize,
}

impl Asked {
    /// Whether it is time to ask for `neighbor`; if so, that is noted.
    pub(crate) fn due(&mut self, neighbor: IpAddr, now_ns: u64) -> bool {
        if let Some((_, at_ns)) = self.recent.iter_mut().find(|(other, _)| *other == neighbor) {
            let due = now_ns >= at_ns.saturating_add(INTERVAL_NS);
            if due {
                *at_ns = now_ns;
            }
            return due;
        }
        if self.recent.len() < MEMORY {
            self.recent.push((neighbor, now_ns));
        } else if let Some(place) = self.recent.get_mut(self.next) {
            *place = (neighbor, now_ns);
            self.next = (self.next + 1) % MEMORY;
        }
        true
    }
}

/// Neighbours that are known, at most; and how long they are believed without and with a question.
const NEIGHBORS: usize = 1024;
const FRESH_NS: u64 = 60_000_000_000;
const STALE_NS: u64 = 75_000_000_000;

/// The Ethernet addresses of neighbours, for the segments of TCP.
#[derive(Debug, Default)]
pub(crate) struct Known {
    entries: Vec<(IpAddr, [u8; 6], u64)>,
}

impl Known {
    fn place(&self, address: IpAddr) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&address, |entry| entry.0)
    }

    /// The address, if it is known, and whether it was confirmed lately.
    pub(crate) fn find(&self, address: IpAddr, now_ns: u64) -> (Option<[u8; 6]>, bool) {
        let entry = self.place(address).ok().and_then(|at| self.entries.get(at));
        entry.map_or((None, false), |(_, mac, at_ns)| {
            let age_ns = now_ns.saturating_sub(*at_ns);
            ((age_ns < STALE_NS).then_some(*mac), age_ns < FRESH_NS)
        })
    }

    /// The neighbour said so itself.
    pub(crate) fn learn(&mut self, address: IpAddr, mac: [u8; 6], now_ns: u64) {
        match self.place(address) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    *entry = (address, mac, now_ns);
                }
            }
            Err(_) if self.entries.len() >= NEIGHBORS => {
                self.entries
                    .retain(|(_, _, at_ns)| now_ns.saturating_sub(*at_ns) < FRESH_NS);
                if self.entries.len() < NEIGHBORS {
                    self.learn(address, mac, now_ns);
                }
            }
            Err(at) => self.entries.insert(at, (address, mac, now_ns)),
        }
    }
}

/// Who says in an ARP packet or a message of neighbour discovery what its Ethernet address is, and to whom.
pub(crate) fn said(frame: &[u8]) -> Option<(IpAddr, [u8; 6], Option<IpAddr>)> {
    let at = |at: usize| frame.get(at..);
    let mac = |from: usize| at(from)?.first_chunk::<6>().copied();
    let v4 = |from: usize| {
        let octets = at(from)?.first_chunk::<4>()?;
        Some(IpAddr::V4(Ipv4Addr::from_octets(*octets)))
    };
    let v6 = |from: usize| {
        let octets = at(from)?.first_chunk::<16>()?;
        Some(IpAddr::V6(Ipv6Addr::from_octets(*octets)))
    };
    match frame.get(12..14)? {
        [0x08, 0x06] if frame.get(14..20)? == [0, 1, 8, 0, 6, 4] => {
            Some((v4(28)?, mac(22)?, Some(v4(38)?)))
        }
        // Hop limit 255: from a neighbour (RFC 4861, 7.1).
        [0x86, 0xdd] if frame.get(21)? == &255 => {
            let (address, option) = match frame.get(54)? {
                135 => (v6(22)?, 1),
                136 => (v6(62)?, 2),
                _ => return None,
            };
            let found = frame.get(78..80)? == [option, 1];
            found.then_some((address, mac(80)?, None))
        }
        _ => None,
    }
}

/// Announcements of new addresses: each is made twice, two seconds apart (RFC 5227, 1.1).
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    pending: Vec<(IpAddr, u8)>,
    due_ns: u64,
}

const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL_NS: u64 = 2_000_000_000;

impl Announcements {
    /// From now on these are to be announced.
    pub(crate) fn begin(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        self.pending = addresses.map(|address| (address, ANNOUNCE_NUM)).collect();
        self.due_ns = 0;
    }

    /// When there is something to announce.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        (!self.pending.is_empty()).then_some(self.due_ns)
    }

    /// What is to be announced now, the next round being put off.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Vec<IpAddr> {
        if self.due_ns > now_ns {
            return Vec::new();
        }
        let due = self.pending.iter().map(|(address, _)| *address).collect();
        self.pending.iter_mut().for_each(|(_, left)| *left -= 1);
        self.pending.retain(|(_, left)| *left > 0);
        self.due_ns = now_ns.saturating_add(ANNOUNCE_INTERVAL_NS);
        due
    }
}

/// The frame that asks for `neighbor`; `None` if the addresses are of different families.
pub(crate) fn question(mac: [u8; 6], source: IpAddr, neighbor: IpAddr) -> Option<Vec<u8>> {
    match (source, neighbor) {
        (IpAddr::V4(source), IpAddr::V4(neighbor)) => Some(arp_request(mac, source, neighbor)),
        (IpAddr::V6(source), IpAddr::V6(neighbor)) => Some(solicitation(mac, source, neighbor)),
        _ => None,
    }
}

/// The frame that tells all neighbours that `address` is at `mac`.
pub(crate) fn announcement(mac: [u8; 6], address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp_request(mac, address, address),
        IpAddr::V6(address) => {
            let mut message = [0; 32];
            message[0] = 136;
            // Override what is known.
            message[4] = 0x20;
            message[8..24].copy_from_slice(&address.octets());
            // The target link-layer address option, 8 bytes long.
            message[24..26].copy_from_slice(&[2, 1]);
            message[26..].copy_from_slice(&mac);
            let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            ndisc(mac, address, all_nodes, &mut message)
        }
    }
}

fn arp_request(mac: [u8; 6], source: Ipv4Addr, neighbor: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(mac);
    // Ethernet and IPv4, lengths 6 and 4, request.
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(neighbor.octets());
    frame
}

fn solicitation(mac: [u8; 6], source: Ipv6Addr, neighbor: Ipv6Addr) -> Vec<u8> {
    // The solicited-node address: ff02::1:ff00:0/104 and the last 24 bits (RFC 4291, 2.7.1).
    let group = Ipv6Addr::from_bits(
        0xff02_0000_0000_0000_0000_0001_ff00_0000 | neighbor.to_bits() & 0xff_ffff,
    );
    let mut message = [0; 32];
    message[0] = 135;
    message[8..24].copy_from_slice(&neighbor.octets());
    // The source link-layer address option, 8 bytes long.
    message[24..26].copy_from_slice(&[1, 1]);
    message[26..].copy_from_slice(&mac);
    ndisc(mac, source, group, &mut message)
}

/// A neighbour discovery message in its frame, to a group; its checksum is set here.
pub(crate) fn ndisc(
    mac: [u8; 6],
    source: Ipv6Addr,
    group: Ipv6Addr,
    message: &mut [u8],
) -> Vec<u8> {
    let mut addresses = [0; 32];
    addresses[..16].copy_from_slice(&source.octets());
    addresses[16..].copy_from_slice(&group.octets());
    let pseudo = checksum::pseudo_header(&addresses, PROTOCOL_ICMPV6, message.len());
    let sum = !checksum::add(pseudo, checksum::sum(message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::with_capacity(54 + message.len());
    let [.., a, b, c, d] = group.octets();
    frame.extend([0x33, 0x33, a, b, c, d]);
    frame.extend(mac);
    frame.extend([0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, message.len() as u8, PROTOCOL_ICMPV6, 255]);
    frame.extend(addresses);
    frame.extend_from_slice(message);
    frame
}
