//! Interpretation of a server's response to a question: follows aliases (RFC 1034, 5.3.3), and
//! ignores records that weren't requested.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::message::{CLASS_IN, Code, Message, Record, RecordData, kind};
use super::name::Name;
use super::{DnsRecord, Missing};

/// Result of parsing a response.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The records, or their absence, and for how many seconds that is valid (0: not cached).
    Answer(Result<Vec<DnsRecord>, Missing>, u32),
    /// The name is an alias of this one, for which the answer has no records: the number of aliases
    /// on the way, and the TTL in seconds.
    Alias(Name, usize, u32),
    /// More aliases than allowed, or a loop.
    TooManyAliases,
    /// The server failed.
    Failure,
    /// The server may not support EDNS0.
    NotUnderstood,
}

/// Parses the response to a question about records of type `wanted` of `name`, which may be an
/// alias `aliases` times in a row.
pub(super) fn read(message: &Message<'_>, name: &Name, wanted: u16, aliases: usize) -> Verdict {
    match message.code() {
        Code::NoError | Code::NoName => {}
        Code::NotUnderstood => return Verdict::NotUnderstood,
        Code::Failure => return Verdict::Failure,
    }
    let [answers, authority, _] = message.records();
    let mut name = name.clone();
    let mut ttl = u32::MAX;
    for hop in 0..=aliases {
        let of_name = |record: &&Record| record.class == CLASS_IN && record.name == name;
        let found = |record: &Record| {
            let data = message.data(record).filter(|_| record.kind == wanted)?;
            Some((record.ttl, data))
        };
        let records: Vec<_> = answers.iter().filter(of_name).filter_map(found).collect();
        if !records.is_empty() {
            return keep(&name, records, ttl);
        }
        let mut aliases = answers.iter().filter(of_name);
        let alias = aliases.find(|record| record.kind == kind::CNAME);
        let target = alias.and_then(|alias| Some((message.target(alias, 0)?, alias.ttl)));
        match target {
            Some((target, alias_ttl)) => {
                name = target;
                ttl = ttl.min(alias_ttl);
            }
            None => {
                let soa = authority.iter().find(|record| record.kind == kind::SOA);
                let negative = soa.and_then(|soa| Some(message.negative_ttl(soa)?.min(soa.ttl)));
                // An alias without records or SOA of its target: the target needs a query.
                if hop > 0 && soa.is_none() && message.code() == Code::NoError {
                    return Verdict::Alias(name, hop, ttl);
                }
                // RFC 2308, 5: without a SOA record it isn't cached.
                return Verdict::Answer(Err(Missing), negative.unwrap_or(0).min(ttl));
            }
        }
    }
    Verdict::TooManyAliases
}

fn keep(owner: &Name, records: Vec<(u32, RecordData)>, alias_ttl: u32) -> Verdict {
    let owner: Arc<str> = owner.text().into();
    let record = |(ttl, data): (u32, RecordData)| DnsRecord {
        owner: owner.clone(),
        ttl: ttl.min(alias_ttl),
        data,
    };
    let records: Vec<DnsRecord> = records.into_iter().map(record).collect();
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
    Verdict::Answer(Ok(records), ttl)
}

#[cfg(test)]
mod tests {
    use super::{Verdict, read};
    use crate::dns::message::{Message, RecordData, kind};
    use crate::dns::name::Name;
    use crate::dns::{DnsRecord, Missing};

    fn name(text: &str) -> Name {
        Name::from_text(text).expect("a name")
    }

    type Row<'a> = (&'a str, u16, u32, Vec<u8>);

    /// An answer with these records and perhaps a SOA with a negative TTL.
    fn message(code: u8, records: &[Row<'_>], negative: Option<u32>) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0x80, code, 0, 0, 0, records.len() as u8];
        bytes.extend([0, u8::from(negative.is_some()), 0, 0]);
        let mut put = |owner: &str, kind: u16, ttl: u32, data: &[u8]| {
            bytes.extend(name(owner).wire());
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        };
        for (owner, kind, ttl, data) in records {
            put(owner, *kind, *ttl, data);
        }
        if let Some(negative) = negative {
            let mut soa = b"\0\0".to_vec();
            soa.extend([0; 16]);
            soa.extend(negative.to_be_bytes());
            put("example", kind::SOA, 900, &soa);
        }
        bytes
    }

    fn verdict(code: u8, records: &[Row<'_>], negative: Option<u32>) -> Verdict {
        let bytes = message(code, records, negative);
        read(
            &Message::new(&bytes).expect("a message"),
            &name("a.example"),
            kind::A,
            16,
        )
    }

    fn alias(of: &'static str, to: &str, ttl: u32) -> Row<'static> {
        (of, kind::CNAME, ttl, name(to).wire().to_vec())
    }

    fn found(owner: &str, ttl: u32) -> Result<Vec<DnsRecord>, Missing> {
        let data = RecordData::Address([192, 0, 2, 1].into());
        Ok(vec![DnsRecord {
            owner: owner.into(),
            ttl,
            data,
        }])
    }

    #[test]
    fn aliases_are_followed_in_any_order() {
        let rows = [
            ("c.example", kind::A, 60, vec![192, 0, 2, 1]),
            alias("b.example", "c.example", 30),
            alias("A.example", "b.example", 90),
            ("other.example", kind::A, 60, vec![6, 6, 6, 6]),
        ];
        assert_eq!(
            verdict(0, &rows, None),
            Verdict::Answer(found("c.example", 30), 30)
        );
    }

    #[test]
    fn aliases_to_elsewhere_are_another_question() {
        let rows = [alias("a.example", "b.test", 30)];
        assert_eq!(
            verdict(0, &rows, None),
            Verdict::Alias(name("b.test"), 1, 30)
        );
        // With a SOA the server has confirmed the absence.
        assert_eq!(
            verdict(0, &rows, Some(20)),
            Verdict::Answer(Err(Missing), 20)
        );
        assert_eq!(verdict(3, &rows, None), Verdict::Answer(Err(Missing), 0));
    }

    #[test]
    fn circles_end() {
        let rows = [
            alias("a.example", "b.example", 30),
            alias("b.example", "a.example", 30),
        ];
        assert_eq!(verdict(0, &rows, None), Verdict::TooManyAliases);
        let itself = [alias("a.example", "a.example", 30)];
        assert_eq!(verdict(0, &itself, None), Verdict::TooManyAliases);
    }

    /// Content networks have chains of ten. A message has at most as many records as it can hold.
    #[test]
    fn sixteen_aliases_and_a_hundred_addresses_are_taken() {
        let names: Vec<String> = (0..=17).map(|n| format!("n{n}.example")).collect();
        let chain = |count: usize| {
            let target = |n: usize| name(&names[n]).wire().to_vec();
            let owner = |n: usize| match n {
                0 => "a.example",
                n => names[n].as_str(),
            };
            let aliases = (0..count).map(|n| (owner(n), kind::CNAME, 60, target(n + 1)));
            let addresses = (0..100).map(|n| (owner(count), kind::A, 60, vec![192, 0, 2, n]));
            let rows: Vec<Row<'_>> = aliases.chain(addresses).collect();
            verdict(0, &rows, None)
        };
        for count in [0, 8, 9, 16] {
            let Verdict::Answer(Ok(records), 60) = chain(count) else {
                panic!("{count} aliases");
            };
            assert_eq!(records.len(), 100);
        }
        assert_eq!(chain(17), Verdict::TooManyAliases);
    }

    #[test]
    fn negative_answers_hold_as_long_as_the_soa_says() {
        assert_eq!(verdict(3, &[], Some(77)), Verdict::Answer(Err(Missing), 77));
        assert_eq!(
            verdict(0, &[], Some(7777)),
            Verdict::Answer(Err(Missing), 900)
        );
        assert_eq!(verdict(0, &[], None), Verdict::Answer(Err(Missing), 0));
    }

    #[test]
    fn servers_that_fail() {
        assert_eq!(verdict(2, &[], None), Verdict::Failure);
        assert_eq!(verdict(5, &[], None), Verdict::Failure);
        assert_eq!(verdict(1, &[], None), Verdict::NotUnderstood);
    }
}
