//! Names of hosts.

use crate::error::{Error, Kind};
use alloc::format;
use alloc::string::{String, ToString as _};
use core::net::{Ipv4Addr, Ipv6Addr};
use rustls::pki_types::{IpAddr, ServerName};

/// A name that a certificate can be for: a DNS name, with or without its final dot, or an address.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    // RFC 6066, 3: without the final dot.
    let plain = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(plain).map(|name| name.to_owned());
    name.map_err(|_| {
        let detail = format!("{host:?} is neither a host name nor an address");
        Error::new(Kind::Configuration, detail)
    })
}

/// The text of a name.
pub(crate) fn text(name: &ServerName<'_>) -> String {
    match name {
        ServerName::DnsName(name) => name.as_ref().to_ascii_lowercase(),
        ServerName::IpAddress(IpAddr::V4(address)) => Ipv4Addr::from(*address.as_ref()).to_string(),
        ServerName::IpAddress(IpAddr::V6(address)) => Ipv6Addr::from(*address.as_ref()).to_string(),
        _ => String::new(),
    }
}
