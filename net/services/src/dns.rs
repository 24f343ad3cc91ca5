//! Name resolution (RFC 1034, 1035, 3596, 2782, 6891, 2308).
//!
//! - `name`, `message`: the wire formats;
//! - `answer`: interpretation of a response; `cache`: cached responses;
//! - `question`: one question to several servers, over UDP; `stream`: over TCP if the response
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
use alloc::sync::Arc;
use alloc::vec::Vec;

use core::fmt;

pub use lookup::{LookupId, Resolver, name_servers};
pub use message::RecordData;
pub use order::sort_addresses;

/// Maximum number of aliases followed for one name.
/// Chains of content networks have ten.
const ALIASES_MAX: usize = 16;
/// Maximum number of concurrent lookups.
const LOOKUPS_MAX: usize = 256;

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// The name that it belongs to, as text without a final dot: the canonical name of the one that
    /// was looked up (RFC 1034, 3.6.2). Shared by the records of an answer.
    pub owner: Arc<str>,
    /// Remaining validity in seconds.
    pub ttl: u32,
    /// Type-specific data (RDATA).
    pub data: RecordData,
}

impl DnsRecord {
    /// Approximate memory in bytes.
    fn bytes(&self) -> usize {
        let data = match &self.data {
            RecordData::Address(_) => 0,
            RecordData::Name(name) => name.len(),
            RecordData::Service { target, .. } => target.len(),
            RecordData::Text(strings) => strings
                .iter()
                .map(|string| string.len() + size_of::<Vec<u8>>())
                .sum(),
            RecordData::Message(message) => message.len(),
        };
        size_of::<DnsRecord>() + data
    }
}

/// The name doesn't exist, or has no record of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing;

/// Why a lookup found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// No response yet.
    Pending,
    /// Not a name (RFC 1035, 3.1).
    InvalidName,
    /// The name does not exist, or has no record of the wanted type.
    NotFound,
    /// No name server is configured.
    NoServer,
    /// Every name server failed to answer.
    ServerFailure,
    /// No name server responded in time.
    TimedOut,
    /// More than 16 aliases in a row, or a loop of them.
    TooManyAliases,
    /// Too many concurrent lookups, or no port is left.
    TooMany,
    /// Unknown lookup.
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
            LookupError::TooManyAliases => {
                "more than 16 aliases (CNAME) in a row, or a loop of them"
            }
            LookupError::TooMany => "too many lookups",
            LookupError::Unknown => "no such lookup",
        })
    }
}

impl core::error::Error for LookupError {}

/// The addresses that a lookup returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, and IPv6 if an interface has an address with more than link-local scope.
    Any,
    /// IPv4 and IPv6, whatever addresses the interfaces have.
    Both,
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// Record types of lookups.
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

/// Options of lookups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// Search domains for names without a final dot, at most six. If empty, those of the interfaces
    /// (DHCP, router advertisements).
    pub search: Vec<String>,
    /// A name with at least this many dots is tried as it is before the domains of `search`; others
    /// after them.
    pub ndots: usize,
    /// Randomizes the case of letters in queries, which responses must repeat: a forger has more to
    /// guess. Some servers don't support it.
    pub mixed_case: bool,
    /// Queries names that end in `.local` by multicast on the link (RFC 6762, 3).
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
