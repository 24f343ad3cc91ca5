//! The state of the interfaces, and waiting for the first address.

use super::{Net, stack};
use crate::Runtime;
use crate::current::Current;
use crate::types::{Int, copy};
use ::net::{Dhcp, InterfaceStatus};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use platform::error::{Answer, Error, Failure};
use platform::{Clock, Links};
use reactor::Cancelled;

/// Timeout of `soil_net_up`: two rounds of DHCP retransmissions (RFC 2131, 4.1: 4 s, then 8 s).
const PATIENCE_NS: u64 = 10_000_000_000;

/// Time for which an IPv6 address alone isn't enough while DHCP requests an IPv4 address: router
/// advertisements arrive first, and a program that started then would lack the IPv4 network it may
/// need.
const IPV6_ALONE_NS: u64 = 2_000_000_000;

/// Whether other hosts can reach an address.
fn is_useful(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        // Link-local addresses (fe80::/10) exist without any configuration.
        IpAddr::V6(v6) => {
            !v6.is_loopback() && v6.segments().first().is_none_or(|s| s & 0xffc0 != 0xfe80)
        }
    }
}

impl Net {
    fn statuses(&mut self) -> impl Iterator<Item = (&str, InterfaceStatus)> {
        let Net {
            interfaces, stack, ..
        } = self;
        let interfaces = interfaces.iter();
        interfaces.filter_map(|i| Some((i.name.as_str(), stack.interface_status(i.id)?)))
    }

    fn has_address(&mut self, now: u64) -> bool {
        // The system that owns the interfaces may have only the loopback.
        if Current::hosted() {
            return true;
        }
        let ipv6_alone = now >= self.started_ns + IPV6_ALONE_NS;
        self.statuses().any(|(_, status)| {
            status.addresses.iter().any(|a| {
                let enough = a.address.is_ipv4() || status.dhcp != Dhcp::Searching || ipv6_alone;
                is_useful(a.address) && enough
            })
        })
    }

    /// Returns the reason why there is no address.
    fn complaint(&mut self) -> Failure {
        if self.interfaces.is_empty() {
            return Failure::new(Error::NoNetwork, Current::NO_NETWORK);
        }
        let mut names = String::new();
        for (name, status) in self.statuses() {
            if status.dhcp != Dhcp::Off {
                let comma = if names.is_empty() { "" } else { ", " };
                // Writing to a string can't fail.
                let _ = write!(names, "{comma}{name}");
            }
        }
        let seconds = PATIENCE_NS / 1_000_000_000;
        let detail = format!(
            "no DHCP answer on {names} after {seconds} s: give SOIL_IP or run a DHCP server"
        );
        Failure::new(Error::NoNetwork, detail)
    }
}

/// See `soil_net_up`.
pub fn up(rt: &mut Runtime, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let net = stack(rt)?;
    let now = Current::monotonic_ns();
    if net.has_address(now) {
        return Ok(0);
    }
    if net.interfaces.is_empty() || now >= net.started_ns + PATIENCE_NS {
        let failure = net.complaint();
        return rt.fail(failure);
    }
    net.waiting_for_address
        .try_reserve(1)
        .map_err(|_| Error::OutOfMemory)?;
    net.waiting_for_address.push(token);
    rt.give_begun(token, |rt, token| {
        if let Some(net) = rt.resources.net.as_deref_mut() {
            net.waiting_for_address.retain(|&other| other != token);
        }
        Cancelled::Done
    })
}

/// Completes the operations that wait for an address, once there is one or the timeout has passed.
pub fn check(rt: &mut Runtime, now: u64) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    if net.waiting_for_address.is_empty() {
        return;
    }
    if net.has_address(now) {
        while let Some(net) = rt.resources.net.as_deref_mut()
            && let Some(token) = net.waiting_for_address.pop()
        {
            rt.complete(token, Ok(0));
        }
    } else if now >= net.started_ns + PATIENCE_NS {
        let failure = net.complaint();
        while let Some(net) = rt.resources.net.as_deref_mut()
            && let Some(token) = net.waiting_for_address.pop()
        {
            rt.complete_failed(token, failure.clone());
        }
    }
}

/// Returns the deadline of the next check, if an operation waits for an address.
pub fn deadline(rt: &Runtime) -> Option<u64> {
    let net = rt.resources.net.as_deref()?;
    if net.waiting_for_address.is_empty() {
        return None;
    }
    let ipv6_alone = net.started_ns + IPV6_ALONE_NS;
    let next = if Current::monotonic_ns() < ipv6_alone {
        ipv6_alone
    } else {
        net.started_ns + PATIENCE_NS
    };
    Some(next)
}

/// Calls `f` with the name servers, in the order of their use.
pub fn name_servers(rt: &mut Runtime, mut f: impl FnMut(SocketAddr)) -> Answer {
    let net = stack(rt)?;
    let servers = net.statuses().flat_map(|(_, status)| status.dns_servers);
    servers.for_each(&mut f);
    Ok(0)
}

/// Returns the interfaces and their addresses, for the guest agent.
pub fn for_host(rt: &mut Runtime) -> Vec<agent::Interface> {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Vec::new();
    };
    let interface = |(name, status): (&str, InterfaceStatus)| {
        let addresses = status.addresses.iter();
        agent::Interface {
            name: name.into(),
            hardware_address: Some(status.mac),
            addresses: addresses.map(|a| (a.address, a.prefix_len)).collect(),
        }
    };
    net.statuses().map(interface).collect()
}

/// See `soil_net_interfaces`.
pub fn interfaces(rt: &mut Runtime) -> Answer {
    Ok(stack(rt)?.interfaces.len())
}

/// See `soil_net_interface`.
pub fn interface(rt: &mut Runtime, index: Int, into: &mut [u8]) -> Answer {
    let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
    let net = stack(rt)?;
    let (name, status) = net.statuses().nth(index).ok_or(Error::Invalid)?;
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write!(text, "name={name}\nmac=");
    for (i, byte) in status.mac.iter().enumerate() {
        let _ = write!(text, "{}{byte:02x}", if i == 0 { "" } else { ":" });
    }
    let _ = writeln!(text, "\nmtu={}", status.mtu);
    for address in &status.addresses {
        let _ = writeln!(text, "address={address}");
    }
    for gateway in &status.gateways {
        let _ = writeln!(text, "gateway={gateway}");
    }
    for server in &status.dns_servers {
        let _ = writeln!(text, "dns={}", server.ip());
    }
    Ok(copy(text.as_bytes(), into))
}
