//! Name lookups.

use super::{Net, address, stack};
use crate::Runtime;
use crate::current::Current;
use crate::types::{Int, Piece, copy};
pub use ::services::Family;
use ::services::{DnsRecord, LookupError, LookupId, RecordData, RecordType, name_servers};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::IpAddr;
use platform::Clock;
use platform::error::{Answer, Error, Failure};
use reactor::Cancelled;

/// Format of the result.
#[derive(Clone, Copy)]
enum Form {
    /// 16 bytes for each address.
    Addresses,
    /// The format of `soil_dns_query`.
    Records,
    /// Addresses as above, after the name that they belong to: its length in one byte, and text.
    Canonical,
    /// A response to a query of the C library.
    Message,
}

/// A pending lookup.
pub struct Lookup {
    id: LookupId,
    token: u64,
    results: Piece,
    form: Form,
}

/// Returns the error code of a failed lookup.
fn error(failure: LookupError) -> Error {
    match failure {
        LookupError::InvalidName => Error::InvalidName,
        LookupError::NotFound => Error::NoSuchHost,
        LookupError::NoServer | LookupError::ServerFailure | LookupError::TooManyAliases => {
            Error::NameServerFailure
        }
        LookupError::TimedOut => Error::TimedOut,
        LookupError::TooMany => Error::TooManyOpen,
        LookupError::Pending | LookupError::Unknown => Error::Invalid,
    }
}

/// See `soil_dns_lookup`.
pub fn lookup(rt: &mut Runtime, name: &str, family: Int, results: Piece, token: Int) -> Answer {
    let family = match family {
        0 => Family::Any,
        4 => Family::V4,
        6 => Family::V6,
        _ => return Err(Error::Invalid.into()),
    };
    let known = stack(rt)?.stack.known_addresses(name);
    if !known.is_empty() {
        return put_known(known, family, results);
    }
    let begin = |net: &mut Net, now| {
        let resolver = &mut net.services.resolver;
        resolver.addresses(&mut net.stack, now, name, family)
    };
    start(rt, name, results, token, Form::Addresses, begin)
}

/// Looks addresses up for the C library; writes [`Form::Canonical`], and returns the number of
/// bytes. Errors as `soil_dns_lookup`.
pub fn resolve(rt: &mut Runtime, name: &str, family: Family, results: Piece, token: Int) -> Answer {
    let begin = |net: &mut Net, now| {
        let resolver = &mut net.services.resolver;
        resolver.addresses(&mut net.stack, now, name, family)
    };
    start(rt, name, results, token, Form::Canonical, begin)
}

/// Sends a query of the C library to the name servers; writes the response, as far as there is
/// room, and returns the number of bytes written.
pub fn exchange(rt: &mut Runtime, query: &[u8], results: Piece, token: Int) -> Answer {
    let begin = |net: &mut Net, now| {
        let resolver = &mut net.services.resolver;
        resolver.message(&mut net.stack, now, query)
    };
    start(rt, "", results, token, Form::Message, begin)
}

/// See `soil_dns_query`.
pub fn query(rt: &mut Runtime, name: &str, kind: Int, results: Piece, token: Int) -> Answer {
    let kind = match kind {
        1 => RecordType::A,
        5 => RecordType::Cname,
        12 => RecordType::Ptr,
        16 => RecordType::Txt,
        28 => RecordType::Aaaa,
        33 => RecordType::Srv,
        _ => return Err(Error::Invalid.into()),
    };
    let begin = |net: &mut Net, now| {
        let resolver = &mut net.services.resolver;
        resolver.records(&mut net.stack, now, name, kind)
    };
    start(rt, name, results, token, Form::Records, begin)
}

fn start(
    rt: &mut Runtime,
    name: &str,
    results: Piece,
    token: Int,
    form: Form,
    begin: impl FnOnce(&mut Net, u64) -> Result<LookupId, LookupError>,
) -> Answer {
    let token = rt.new_token(token)?;
    let net = stack(rt)?;
    net.lookups.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    let id = match begin(net, Current::monotonic_ns()) {
        Ok(id) => id,
        Err(failure) => {
            let detail = match failure {
                LookupError::InvalidName => format!("\"{name}\" is not a host name"),
                LookupError::NoServer => {
                    format!("{failure}: give SOIL_DNS, or let DHCP name one")
                }
                _ => detail(net, failure),
            };
            return rt.fail(Failure::new(error(failure), detail));
        }
    };
    // Numeric addresses, localhost and cached names need no query.
    match net.services.resolver.take(id) {
        Err(LookupError::Pending) => (),
        answer => {
            return answer
                .map(|found| put(&found, form, results))
                .map_err(|e| error(e).into());
        }
    }
    net.lookups.push(Lookup {
        id,
        token,
        results,
        form,
    });
    rt.give_begun(token, cancel)
}

/// Why a lookup failed, with the name servers that it is about.
fn detail(net: &mut Net, failure: LookupError) -> String {
    let mut text = format!("{failure}");
    let about_servers = matches!(
        failure,
        LookupError::TimedOut | LookupError::ServerFailure | LookupError::TooManyAliases
    );
    if about_servers {
        text += ": ";
        put_servers(net, &mut text);
    }
    text
}

/// Appends the name servers.
fn put_servers(net: &mut Net, text: &mut String) {
    for (i, server) in name_servers(&mut net.stack).iter().enumerate() {
        // Writing to a string can't fail.
        let _ = write!(text, "{}{server}", if i == 0 { "" } else { ", " });
    }
}

/// The search domains of lookups: the configured ones, or those that the interfaces have learned.
pub fn search_domains(rt: &mut Runtime) -> Vec<String> {
    let net = stack(rt).ok();
    net.map_or_else(Vec::new, |net| {
        net.services.resolver.search_domains(&mut net.stack)
    })
}

/// See `soil_dns_servers`.
pub fn servers(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    let mut text = String::new();
    put_servers(stack(rt)?, &mut text);
    Ok(copy(text.as_bytes(), into).min(into.len()))
}

fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    if let Some(net) = rt.resources.net.as_deref_mut()
        && let Some(place) = net.lookups.iter().position(|lookup| lookup.token == token)
    {
        let lookup = net.lookups.swap_remove(place);
        net.services.resolver.cancel(&mut net.stack, lookup.id);
    }
    Cancelled::Done
}

/// Appends a record in the format of `soil_dns_query`.
fn encode(record: &DnsRecord, bytes: &mut Vec<u8>) {
    bytes.extend(record.ttl.to_be_bytes());
    let at = bytes.len();
    bytes.extend([0; 2]);
    match &record.data {
        RecordData::Address(address) => bytes.extend(address::octets(*address)),
        RecordData::Name(name) => bytes.extend(name.as_bytes()),
        RecordData::Service {
            priority,
            weight,
            port,
            target,
        } => {
            for number in [priority, weight, port] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.extend(target.as_bytes());
        }
        RecordData::Message(message) => bytes.extend(message),
        RecordData::Text(strings) => {
            for string in strings {
                bytes.push(string.len() as u8);
                bytes.extend(string);
            }
        }
    }
    // A record's data is at most 65,535 bytes, but a name can be longer as text than on the wire.
    let len = bytes.len() - at - 2;
    match (u16::try_from(len), bytes.get_mut(at..at + 2)) {
        (Ok(len), Some(place)) => place.copy_from_slice(&len.to_be_bytes()),
        _ => bytes.truncate(at - 4),
    }
}

/// Writes as many records as fit, in order. Returns the number of addresses, or of bytes.
fn put(found: &[DnsRecord], form: Form, results: Piece) -> usize {
    // SAFETY: the lookup has not completed.
    let into = unsafe { results.as_mut_slice() };
    let mut bytes = Vec::new();
    let mut count = 0;
    if let (Form::Canonical, Some(first)) = (form, found.first()) {
        // A name has at most 255 bytes on the wire, and can be longer as text.
        let owner = first.owner.as_bytes();
        let owner = if owner.len() < 256 { owner } else { &[] };
        bytes.push(owner.len() as u8);
        bytes.extend(owner);
    }
    for record in found {
        let before = bytes.len();
        match (form, &record.data) {
            (Form::Records, _) => encode(record, &mut bytes),
            (Form::Addresses | Form::Canonical, RecordData::Address(address)) => {
                bytes.extend(address::octets(*address));
            }
            // A part is of use: its header says how many records there should be.
            (Form::Message, RecordData::Message(message)) => {
                bytes.extend(message.iter().take(into.len()));
            }
            _ => continue,
        }
        if bytes.len() > into.len() {
            bytes.truncate(before);
            break;
        }
        count += 1;
    }
    copy(&bytes, into);
    match form {
        Form::Addresses => count,
        Form::Records | Form::Canonical | Form::Message => bytes.len(),
    }
}

/// Returns the answer for a name that the system knows.
fn put_known(known: Vec<IpAddr>, family: Family, results: Piece) -> Answer {
    let wanted = |address: &IpAddr| match family {
        Family::Any | Family::Both => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let record = |address| DnsRecord {
        owner: "".into(),
        ttl: 0,
        data: RecordData::Address(address),
    };
    let records: Vec<DnsRecord> = known.into_iter().filter(wanted).map(record).collect();
    match records.is_empty() {
        true => Err(Error::NoSuchHost.into()),
        false => Ok(put(&records, Form::Addresses, results)),
    }
}

/// Completes the lookups that have been answered.
pub fn check(rt: &mut Runtime) {
    let mut at = 0;
    while let Some(net) = rt.resources.net.as_deref_mut()
        && let Some(lookup) = net.lookups.get(at)
    {
        let answer = net.services.resolver.take(lookup.id);
        if answer == Err(LookupError::Pending) {
            at += 1;
            continue;
        }
        let lookup = net.lookups.swap_remove(at);
        match answer {
            Ok(found) => {
                let n = put(&found, lookup.form, lookup.results);
                rt.complete(lookup.token, Ok(n));
            }
            Err(failure) => {
                let detail = detail(net, failure);
                let failure = Failure::new(error(failure), detail);
                rt.complete_failed(lookup.token, failure);
            }
        }
    }
}

/// See `soil_net_sort`.
pub fn sort(rt: &mut Runtime, bytes: &mut [u8]) -> Answer {
    let net = stack(rt)?;
    let addresses = bytes.chunks_exact(16).map(address::from_octets);
    let mut addresses = addresses.collect::<Result<Vec<_>, Error>>()?;
    ::services::sort_addresses(&mut net.stack, &mut addresses);
    for (into, address) in bytes.chunks_exact_mut(16).zip(&addresses) {
        into.copy_from_slice(&address::octets(*address));
    }
    let reachable = |address: &&IpAddr| net.stack.source_address(**address).is_ok();
    Ok(addresses.iter().filter(reachable).count())
}

#[cfg(test)]
mod tests {
    use super::{Form, put};
    use crate::types::Piece;
    use ::services::{DnsRecord, RecordData};
    use std::vec;

    #[test]
    fn canonical_names_precede_their_addresses() {
        let record = |address: [u8; 4]| DnsRecord {
            owner: "h.example".into(),
            ttl: 1,
            data: RecordData::Address(address.into()),
        };
        let found = [record([192, 0, 2, 1]), record([192, 0, 2, 2])];
        let mut bytes = vec![0; 60];
        let n = put(&found, Form::Canonical, Piece::of(&mut bytes));
        assert_eq!((n, bytes[0], &bytes[1..10]), (42, 9, &b"h.example"[..]));
        assert_eq!(bytes[22..26], [192, 0, 2, 1]);
        assert_eq!(
            put(&found, Form::Canonical, Piece::of(&mut bytes[..41])),
            26
        );
    }

    #[test]
    fn records_are_written_whole_or_not_at_all() {
        let record = |data| DnsRecord {
            owner: "h".into(),
            ttl: 258,
            data,
        };
        let service = record(RecordData::Service {
            priority: 1,
            weight: 2,
            port: 443,
            target: "h".into(),
        });
        let text = record(RecordData::Text(vec![b"a".to_vec(), vec![]]));
        let mut bytes = vec![0xee; 40];
        let written = put(
            &[service.clone(), text.clone()],
            Form::Records,
            Piece::of(&mut bytes),
        );
        let expected = [
            &[0, 0, 1, 2, 0, 7, 0, 1, 0, 2, 1, 0xbb, b'h'][..],
            &[0, 0, 1, 2, 0, 3, 1, b'a', 0],
        ]
        .concat();
        assert_eq!(bytes.get(..written), Some(expected.as_slice()));
        assert_eq!(
            put(&[service, text], Form::Records, Piece::of(&mut bytes[..21])),
            13
        );
        let address = record(RecordData::Address([192, 0, 2, 1].into()));
        let found = [address.clone(), address];
        assert_eq!(put(&found, Form::Addresses, Piece::of(&mut bytes[..31])), 1);
        assert_eq!(put(&found, Form::Addresses, Piece::of(&mut bytes)), 2);
    }
}
