//! Looking names up (RFC 1034, 1035, 3596, 2782, 6891, 2308).
//!
//! - `name`, `message`: the formats;
//! - `answer`: what an answer says; `cache`: what is kept of it;
//! - `question`: one question to several servers, by datagrams; `stream`: over TCP where an answer
//!   doesn't fit;
//! - `lookup`: the questions that one lookup needs, with the search list;
//! - `order`: which of several addresses to try first (RFC 6724).

mod answer;
mod cache;
mod lookup;
pub(crate) mod message;
pub(crate) mod name;
mod order;
mod question;
mod stream;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use core::fmt;

pub use lookup::{LookupId, Resolver};
pub use message::RecordData;
pub use order::sort_addresses;

/// Aliases followed for one name.
const ALIASES_MAX: usize = 8;
/// Lookups at a time.
const LOOKUPS_MAX: usize = 256;

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// How much longer it holds, in seconds.
    pub ttl: u32,
    /// Type-specific data (RDATA).
    pub data: RecordData,
}

impl DnsRecord {
    /// About the memory that it takes.
    fn bytes(&self) -> usize {
        let data = match &self.data {
            RecordData::Address(_) => 0,
            RecordData::Name(name) => name.len(),
            RecordData::Service { target, .. } => target.len(),
            RecordData::Text(strings) => strings
                .iter()
                .map(|string| string.len() + size_of::<Vec<u8>>())
                .sum(),
        };
        size_of::<DnsRecord>() + data
    }
}

/// There is no such name, or it has no record of that type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing;

/// Why a lookup found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// It has no answer yet.
    Pending,
    /// Not a name (RFC 1035, 3.1).
    InvalidName,
    /// The name does not exist, or has no record of the wanted type.
    NotFound,
    /// No name server is configured.
    NoServer,
    /// Every name server said that it can't tell.
    ServerFailure,
    /// No name server answered in time.
    TimedOut,
    /// There are too many lookups at a time, or no port is left.
    TooMany,
    /// There is no such lookup.
    Unknown,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LookupError::Pending => "no answer yet",
            LookupError::InvalidName => "not a host name",
            LookupError::NotFound => "name not found",
            LookupError::NoServer => "no name server configured",
            LookupError::ServerFailure => "name servers failed",
            LookupError::TimedOut => "no name server answered",
            LookupError::TooMany => "too many lookups",
            LookupError::Unknown => "no such lookup",
        })
    }
}

impl core::error::Error for LookupError {}

/// Which addresses a lookup is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, and IPv6 where an interface has an address that reaches beyond its link.
    Any,
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Types of records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name that a name is an alias of.
    Cname,
    /// The name behind an address or a service type.
    Ptr,
    /// Hosts and ports of a service.
    Srv,
    /// Texts.
    Txt,
}

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// Domains in which a name without a final dot is looked for, at most six.
    pub search: Vec<String>,
    /// A name with as many dots is looked up as it is first, and in the domains of `search` then;
    /// others the other way round.
    pub ndots: usize,
    /// Queries have their letters' case at random, and answers must repeat it: a forger has more to
    /// guess. Some servers can't do that.
    pub mixed_case: bool,
    /// Names that end in `.local` are asked for by multicast on the link (RFC 6762, 3).
    pub multicast: bool,
}

impl Default for DnsOptions {
    fn default() -> DnsOptions {
        DnsOptions {
            search: Vec::new(),
            ndots: 1,
            mixed_case: false,
            multicast: false,
        }
    }
}
