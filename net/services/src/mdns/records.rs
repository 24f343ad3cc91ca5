//! The records of one link, and their encoding as messages.
//!
//! A set of records is a set of bits: each address of the link has one for itself and one for its
//! reverse name; the host's name, and each reverse name, has one for "nothing else" (NSEC).

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::dns::message::{CLASS_IN, HEADER, Message, Record, kind};
use crate::dns::name::Name;

/// Maximum number of addresses of one link with a name: their records fit one packet.
pub(super) const ADDRESSES: usize = 8;
/// RFC 6762, 10: TTL of records that contain a host's name or address, in seconds.
pub(super) const TTL: u32 = 120;
/// The top bit of a class: cache flush in a response (RFC 6762, 10.2), unicast response wanted in a
/// query (5.4).
pub(super) const TOP: u16 = 0x8000;

/// A set of records.
pub(super) type Set = u32;
/// The bit of an address, of its reverse name, of the latter's NSEC, and of the host name's NSEC.
const fn address(n: usize) -> Set {
    1 << n
}
const fn pointer(n: usize) -> Set {
    1 << (ADDRESSES + n)
}
const fn no_other_pointer(n: usize) -> Set {
    1 << (2 * ADDRESSES + n)
}
const NO_OTHER: Set = 1 << (3 * ADDRESSES);
/// Number of bits.
pub(super) const BITS: usize = 3 * ADDRESSES + 1;

/// The identifier and the questions of a query.
pub(super) type Query<'a> = (u16, &'a [(Name, u16, u16)]);

/// Encoding of a message.
#[derive(Clone, Copy)]
pub(super) struct Encoding<'a> {
    pub(super) ttl: u32,
    /// For a legacy unicast response (RFC 6762, 6.7): the query's identifier and questions.
    pub(super) legacy: Option<Query<'a>>,
}

/// The addresses of a link, with their reverse names.
pub(super) struct Records {
    list: Vec<(IpAddr, Name)>,
}

fn kind_of(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => kind::A,
        IpAddr::V6(_) => kind::AAAA,
    }
}

fn is_data(address: IpAddr, data: &[u8]) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets() == data,
        IpAddr::V6(v6) => v6.octets() == data,
    }
}

impl Records {
    pub(super) fn new(addresses: impl Iterator<Item = IpAddr>) -> Records {
        let named = addresses.take(ADDRESSES).map(|a| (a, Name::reverse(a)));
        Records {
            list: named.collect(),
        }
    }

    /// Whether the addresses are the same.
    pub(super) fn same_addresses(&self, other: &Records) -> bool {
        let own = self.list.iter().map(|(address, _)| address);
        own.eq(other.list.iter().map(|(address, _)| address))
    }

    fn numbers(&self) -> core::ops::Range<usize> {
        0..self.list.len()
    }

    /// All announced records.
    pub(super) fn all(&self) -> Set {
        self.numbers()
            .fold(NO_OTHER, |set, n| set | address(n) | pointer(n))
    }

    /// The addresses of the host.
    fn addresses(&self) -> Set {
        self.numbers().fold(0, |set, n| set | address(n))
    }

    /// The addresses that `others` doesn't have.
    pub(super) fn beyond(&self, others: &Records) -> Set {
        let mut set = 0;
        for (n, (own, _)) in self.list.iter().enumerate() {
            if !others.list.iter().any(|(other, _)| other == own) {
                set |= address(n) | pointer(n);
            }
        }
        set
    }

    /// The records that answer a question; none if the name isn't ours.
    pub(super) fn answers(&self, host: &Name, name: &Name, wanted: u16) -> Set {
        let mut set = 0;
        let mut own = name == host;
        let or = |set: Set, otherwise: Set| if set == 0 { otherwise } else { set };
        if own {
            for (n, (it, _)) in self.list.iter().enumerate() {
                if wanted == kind::ANY || wanted == kind_of(*it) {
                    set |= address(n);
                }
            }
            return or(set, NO_OTHER);
        }
        for (n, (_, reverse)) in self.list.iter().enumerate() {
            if name == reverse {
                own = true;
                if matches!(wanted, kind::PTR | kind::ANY) {
                    set |= pointer(n);
                } else {
                    set |= no_other_pointer(n);
                }
            }
        }
        if own { set } else { 0 }
    }

    /// Additional records of a response (RFC 6762, 6.1 and 6.2): the addresses of the other family,
    /// and the NSEC record.
    fn additional(&self, set: Set) -> Set {
        let addresses = self.addresses();
        if set & addresses == 0 {
            return 0;
        }
        (addresses | NO_OTHER) & !set
    }

    /// The record of ours that is identical to a record of a message.
    pub(super) fn same(&self, host: &Name, message: &Message<'_>, record: &Record) -> Set {
        let is_host = record.name == *host;
        let data = message.bytes(record);
        for (n, (it, reverse)) in self.list.iter().enumerate() {
            if is_host && record.kind == kind_of(*it) && is_data(*it, data) {
                return address(n);
            }
            let points = record.kind == kind::PTR && record.name == *reverse;
            if points && message.target(record, 0).as_ref() == Some(host) {
                return pointer(n);
            }
        }
        if is_host && record.kind == kind::NSEC {
            return NO_OTHER;
        }
        0
    }

    /// Whether the records that another host probes for sort after ours (RFC 6762, 8.2.1); `None`
    /// if they are the same.
    pub(super) fn is_later(&self, message: &Message<'_>, theirs: &[&Record]) -> Option<bool> {
        let mut own = Vec::new();
        for (it, _) in &self.list {
            own.push((CLASS_IN, kind_of(*it), octets(*it)));
        }
        let theirs = theirs.iter().map(|record| {
            let data = message.bytes(record).to_vec();
            (record.class & !TOP, record.kind, data)
        });
        let mut other: Vec<(u16, u16, Vec<u8>)> = theirs.collect();
        own.sort();
        other.sort();
        (own != other).then(|| other > own)
    }

    /// Returns a probe for the name (RFC 6762, 8.1) with the proposed records.
    pub(super) fn probe(&self, host: &Name, unicast: bool) -> Vec<u8> {
        let mut writer = Writer::new(0, [0, 1, 0, self.list.len() as u16, 0]);
        writer.host(host);
        writer.put(kind::ANY);
        writer.put(if unicast { CLASS_IN | TOP } else { CLASS_IN });
        for n in self.numbers() {
            self.write(&mut writer, host, address(n), CLASS_IN, TTL);
        }
        writer.bytes
    }

    /// A response with the records of `set` and their additional records.
    pub(super) fn response(&self, host: &Name, set: Set, encoding: Encoding<'_>) -> Vec<u8> {
        let additional = if encoding.ttl == 0 {
            0
        } else {
            self.additional(set)
        };
        let (id, questions) = encoding.legacy.unwrap_or_default();
        let counts = [
            0x8400,
            questions.len() as u16,
            set.count_ones() as u16,
            0,
            additional.count_ones() as u16,
        ];
        let mut writer = Writer::new(id, counts);
        for (name, kind, class) in questions {
            writer.bytes.extend(name.wire());
            writer.put(*kind);
            writer.put(*class);
        }
        let class = match encoding.legacy {
            Some(_) => CLASS_IN,
            None => CLASS_IN | TOP,
        };
        for part in [set, additional] {
            for bit in (0..BITS).map(|n| 1 << n).filter(|bit| part & bit != 0) {
                self.write(&mut writer, host, bit, class, encoding.ttl);
            }
        }
        writer.bytes
    }

    fn write(&self, writer: &mut Writer, host: &Name, bit: Set, class: u16, ttl: u32) {
        let at = bit.trailing_zeros() as usize;
        let found = self.list.get(at % ADDRESSES).filter(|_| bit != NO_OTHER);
        let start = writer.bytes.len();
        match found {
            Some((it, _)) if at < ADDRESSES => {
                writer.host(host);
                writer.head(kind_of(*it), class, ttl);
                writer.data(|writer| writer.bytes.extend(octets(*it)));
            }
            Some((_, reverse)) if at < 2 * ADDRESSES => {
                writer.bytes.extend(reverse.wire());
                writer.head(kind::PTR, class, ttl);
                writer.data(|writer| writer.host(host));
            }
            Some((_, reverse)) => {
                writer.bytes.extend(reverse.wire());
                writer.head(kind::NSEC, class, ttl);
                writer.data(|writer| {
                    writer.pointer(start);
                    writer.bytes.extend([0, 2, 0, 0x80 >> (kind::PTR - 8)]);
                });
            }
            None => {
                writer.host(host);
                writer.head(kind::NSEC, class, ttl);
                writer.data(|writer| {
                    writer.host(host);
                    writer.bytes.extend(self.types());
                });
            }
        }
    }

    /// The types that the host's name has, as in an NSEC record (RFC 6762, 6.1; RFC 4034, 4.1.2).
    fn types(&self) -> [u8; 6] {
        let mut types = [0, 4, 0, 0, 0, 0];
        for (it, _) in &self.list {
            match it {
                IpAddr::V4(_) => types[2] = 0x80 >> kind::A,
                IpAddr::V6(_) => types[5] = 0x80 >> (kind::AAAA - 24),
            }
        }
        types
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A message in the making; it contains the host's name once.
struct Writer {
    bytes: Vec<u8>,
    host_at: Option<usize>,
}

impl Writer {
    /// With identifier, flags, and the four counts.
    fn new(id: u16, rest: [u16; 5]) -> Writer {
        let mut writer = Writer {
            bytes: Vec::with_capacity(512),
            host_at: None,
        };
        writer.put(id);
        for value in rest {
            writer.put(value);
        }
        debug_assert_eq!(writer.bytes.len(), HEADER);
        writer
    }

    fn put(&mut self, value: u16) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn pointer(&mut self, at: usize) {
        self.put(0xc000 | at as u16);
    }

    fn host(&mut self, host: &Name) {
        match self.host_at {
            // Only the first 16 KiB can be pointed to (RFC 1035, 4.1.4).
            Some(at) if at < 0x4000 => self.pointer(at),
            _ => {
                self.host_at = Some(self.bytes.len());
                self.bytes.extend(host.wire());
            }
        }
    }

    fn head(&mut self, kind: u16, class: u16, ttl: u32) {
        self.put(kind);
        self.put(class);
        self.bytes.extend(ttl.to_be_bytes());
    }

    /// Writes the length of what `f` writes, and then that.
    fn data(&mut self, f: impl FnOnce(&mut Writer)) {
        let at = self.bytes.len();
        self.put(0);
        f(self);
        let len = (self.bytes.len() - at - 2) as u16;
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&len.to_be_bytes());
        }
    }
}
