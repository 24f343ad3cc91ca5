//! Messages on the wire (RFC 1035, 4.1): writes queries, and parses responses as far as they are
//! valid.
//!
//! Our own, since crates for the format include every record type with its text form. A resolver
//! needs five, and images have kilobytes to spare.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::Name;

/// Length of the header.
pub(crate) const HEADER: usize = 12;
/// Maximum number of records parsed in one message.
const RECORDS_MAX: usize = 256;
/// The UDP payload size that we announce (RFC 6891, 6.2.5): never fragmented on links in use.
pub(crate) const PAYLOAD: u16 = 1232;

/// Types of records (RFC 1035, 3596, 2782, 6891).
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const SRV: u16 = 33;
    pub(crate) const NSEC: u16 = 47;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const ANY: u16 = 255;
}

/// The Internet (RFC 1035, 3.2.4).
pub(crate) const CLASS_IN: u16 = 1;

/// Response code of a message (RFC 1035, 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    NoError,
    /// The server doesn't understand the query, perhaps its EDNS0 (RFC 6891, 7).
    NotUnderstood,
    /// The name doesn't exist.
    NoName,
    /// The server can't or won't answer.
    Failure,
}

/// One record: its name, and the place of its data.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: Name,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Where its data is in the message.
    data: (usize, usize),
}

/// Type-specific data of a record (RDATA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// A and AAAA.
    Address(IpAddr),
    /// CNAME and PTR: a name as text, without a final dot.
    Name(String),
    /// SRV (RFC 2782).
    Service {
        /// Lower values are tried first.
        priority: u16,
        /// Share among those of the same priority.
        weight: u16,
        /// Port of the service.
        port: u16,
        /// Name of the host as text, without a final dot; empty: there is no such service.
        target: String,
    },
    /// TXT: its strings, of at most 255 bytes each.
    Text(Vec<Vec<u8>>),
    /// A whole response, of [`crate::Resolver::message`].
    Message(Vec<u8>),
}

/// A message that has a header.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Message<'a>> {
        (bytes.len() >= HEADER).then_some(Message { bytes })
    }

    /// All of it.
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.bytes
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    }

    fn header(&self, at: usize) -> u16 {
        self.u16(at).unwrap_or(0)
    }

    pub(crate) fn id(&self) -> u16 {
        self.header(0)
    }

    /// A response to a standard query.
    pub(crate) fn is_response(&self) -> bool {
        self.header(2) & 0xf800 == 0x8000
    }

    /// A standard query.
    pub(crate) fn is_query(&self) -> bool {
        self.header(2) & 0xf800 == 0
    }

    /// It was cut to fit a datagram.
    pub(crate) fn is_truncated(&self) -> bool {
        self.header(2) & 0x0200 != 0
    }

    pub(crate) fn code(&self) -> Code {
        match self.header(2) & 0xf {
            0 => Code::NoError,
            1 | 4 => Code::NotUnderstood,
            3 => Code::NoName,
            _ => Code::Failure,
        }
    }

    /// The questions: name, type and class, as far as they are valid; and the offset of the
    /// answers.
    pub(crate) fn questions(&self) -> (Vec<(Name, u16, u16)>, usize) {
        let mut at = HEADER;
        let mut questions = Vec::new();
        for _ in 0..(self.header(4) as usize).min(RECORDS_MAX) {
            let Some((name, end)) = Name::read(self.bytes, at) else {
                break;
            };
            let (Some(kind), Some(class)) = (self.u16(end), self.u16(end + 2)) else {
                break;
            };
            questions.push((name, kind, class));
            at = end + 4;
        }
        (questions, at)
    }

    /// The question, if there is exactly one.
    pub(crate) fn question(&self) -> Option<(Name, u16, u16)> {
        let (mut questions, _) = self.questions();
        if self.header(4) == 1 {
            questions.pop()
        } else {
            None
        }
    }

    /// The records of the answer, authority and additional sections, as far as they are valid.
    pub(crate) fn records(&self) -> [Vec<Record>; 3] {
        let (_, mut at) = self.questions();
        let mut section = |count: u16| {
            let mut records = Vec::new();
            for _ in 0..(count as usize).min(RECORDS_MAX) {
                let Some((record, end)) = self.record(at) else {
                    // Nothing after it can be found.
                    at = usize::MAX;
                    break;
                };
                records.push(record);
                at = end;
            }
            records
        };
        [6, 8, 10].map(|count| section(self.header(count)))
    }

    fn record(&self, at: usize) -> Option<(Record, usize)> {
        let (name, at) = Name::read(self.bytes, at)?;
        let fields = self.bytes.get(at..)?.first_chunk::<10>()?;
        let [k0, k1, c0, c1, t0, t1, t2, t3, l0, l1] = *fields;
        let start = at + fields.len();
        let end = start + u16::from_be_bytes([l0, l1]) as usize;
        if end > self.bytes.len() {
            return None;
        }
        let ttl = u32::from_be_bytes([t0, t1, t2, t3]);
        let record = Record {
            name,
            kind: u16::from_be_bytes([k0, k1]),
            class: u16::from_be_bytes([c0, c1]),
            // RFC 2181, 8: with the highest bit set it counts as zero.
            ttl: if ttl > i32::MAX as u32 { 0 } else { ttl },
            data: (start, end),
        };
        Some((record, end))
    }

    /// The raw data of a record.
    pub(crate) fn bytes(&self, record: &Record) -> &'a [u8] {
        let (start, end) = record.data;
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The name that the data of `record` begins with.
    pub(crate) fn target(&self, record: &Record, skip: usize) -> Option<Name> {
        let (start, end) = record.data;
        let (name, after) = Name::read(self.bytes, start + skip)?;
        (after <= end).then_some(name)
    }

    /// The last field of a SOA record: the TTL of negative responses (RFC 2308, 4).
    pub(crate) fn negative_ttl(&self, soa: &Record) -> Option<u32> {
        let (start, end) = soa.data;
        let bytes = self.bytes.get(start..end)?.last_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    /// Parses the data of a record; `None` if it is malformed or of an unsupported type.
    pub(crate) fn data(&self, record: &Record) -> Option<RecordData> {
        let (start, end) = record.data;
        let data = self.bytes.get(start..end)?;
        Some(match record.kind {
            kind::A => RecordData::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
            kind::AAAA => {
                RecordData::Address(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into())
            }
            kind::CNAME | kind::PTR => RecordData::Name(self.target(record, 0)?.text()),
            kind::SRV => RecordData::Service {
                priority: self.u16(start).filter(|_| data.len() > 6)?,
                weight: self.u16(start + 2)?,
                port: self.u16(start + 4)?,
                target: self.target(record, 6)?.text(),
            },
            kind::TXT => {
                let mut strings = Vec::new();
                let mut rest = data;
                while let [len, after @ ..] = rest {
                    let (string, after) = after.split_at_checked(*len as usize)?;
                    strings.push(string.to_vec());
                    rest = after;
                }
                RecordData::Text(strings)
            }
            _ => return None,
        })
    }
}

/// A query for the records of type `kind` of `name`. `recursion`: recursion desired (RFC 1035,
/// 4.1.1). `edns`: the response may exceed 512 bytes (RFC 6891).
pub(crate) fn query(id: u16, name: &Name, kind: u16, recursion: bool, edns: bool) -> Vec<u8> {
    let mut query = Vec::with_capacity(HEADER + name.wire().len() + 15);
    let mut put = |value: u16| query.extend(value.to_be_bytes());
    put(id);
    put(if recursion { 0x0100 } else { 0 });
    put(1);
    put(0);
    put(0);
    put(edns.into());
    query.extend(name.wire());
    query.extend(kind.to_be_bytes());
    query.extend(CLASS_IN.to_be_bytes());
    if edns {
        // The root, and no options (RFC 6891, 6.1.2).
        query.push(0);
        query.extend(kind::OPT.to_be_bytes());
        query.extend(PAYLOAD.to_be_bytes());
        query.extend([0; 6]);
    }
    query
}

#[cfg(test)]
mod tests {
    use super::{Message, RecordData, kind, query};
    use crate::dns::name::Name;
    use proptest::prelude::{any, prop, proptest};

    #[test]
    fn a_query_reads_back() {
        let name = Name::from_text("www.example.org").expect("a name");
        let bytes = query(0x1234, &name, kind::AAAA, true, true);
        let message = Message::new(&bytes).expect("a message");
        assert_eq!((message.id(), message.is_query()), (0x1234, true));
        assert_eq!(message.question(), Some((name, kind::AAAA, 1)));
        assert_eq!(
            bytes.last_chunk::<11>(),
            Some(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0])
        );
    }

    /// A message with one answer of this type and data.
    fn answer(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0xff, 0, 0, 1]);
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        bytes
    }

    fn data(kind: u16, data: &[u8]) -> Option<RecordData> {
        let bytes = answer(kind, data);
        let message = Message::new(&bytes).expect("a message");
        let [answers, ..] = message.records();
        assert_eq!(answers.first().map(|record| record.ttl), Some(0));
        message.data(answers.first()?)
    }

    #[test]
    fn records_are_read_or_refused() {
        let address = |text: &str| Some(RecordData::Address(text.parse().expect("an address")));
        assert_eq!(data(kind::A, &[192, 0, 2, 1]), address("192.0.2.1"));
        assert_eq!(data(kind::A, &[192, 0, 2]), None);
        assert_eq!(data(kind::AAAA, &[0; 15]), None);
        let name = |text: &str| Some(RecordData::Name(text.into()));
        assert_eq!(data(kind::PTR, b"\x01a\0"), name("a"));
        assert_eq!(data(kind::PTR, b"\x01a"), None);
        assert_eq!(data(kind::PTR, b"\xc0\x17"), None);
        let service = RecordData::Service {
            priority: 1,
            weight: 2,
            port: 443,
            target: "h".into(),
        };
        assert_eq!(
            data(kind::SRV, b"\0\x01\0\x02\x01\xbb\x01h\0"),
            Some(service)
        );
        assert_eq!(data(kind::SRV, b"\0\x01\0\x02\x01"), None);
        let text = RecordData::Text(vec![b"v=1".to_vec(), Vec::new()]);
        assert_eq!(data(kind::TXT, b"\x03v=1\0"), Some(text));
        assert_eq!(data(kind::TXT, b"\x03v="), None);
        assert_eq!(data(99, b""), None);
    }

    fn read_everything(bytes: &[u8]) {
        let Some(message) = Message::new(bytes) else {
            return;
        };
        message.question();
        let [answers, authority, _] = message.records();
        assert!(answers.len() + authority.len() <= 512);
        for record in answers.iter().chain(&authority) {
            message.data(record);
            message.negative_ttl(record);
        }
    }

    proptest! {
        #[test]
        fn hostile_messages_are_harmless(bytes in any::<Vec<u8>>()) {
            read_everything(&bytes);
        }

        /// Many records, and pointers in them.
        #[test]
        fn hostile_records_are_harmless(
            body in prop::collection::vec(
                prop::sample::select(vec![0u8, 1, 4, 5, 12, 16, 33, 0xc0, 0xff]),
                0..600,
            ),
        ) {
            let mut bytes = vec![0, 0, 0x80, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0];
            bytes.extend(body);
            read_everything(&bytes);
        }
    }
}
