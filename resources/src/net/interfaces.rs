//! Interfaces and routes that the program adds.

use super::configuration::interface_of;
use super::errors::error;
use super::{Interface, interface_id, needs_stack, stack};
use crate::Runtime;
use crate::types::{Int, copy};
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use core::net::IpAddr;
use platform::error::{Answer, Error};

/// See `soil_net_vlan`.
pub fn vlan(rt: &mut Runtime, parent: Int, id: Int, addresses: &str, gateways: &str) -> Answer {
    let id = u16::try_from(id).map_err(|_| Error::Invalid)?;
    needs_stack(rt, "a VLAN")?;
    let under = interface_id(rt, parent)?;
    let config = interface_of(addresses, gateways).or_else(|failure| rt.fail(failure))?;
    let net = stack(rt)?;
    let name = usize::try_from(parent)
        .ok()
        .and_then(|n| net.interfaces.get(n));
    let name = format!("{}.{id}", name.map_or("", |i| i.name.as_str()));
    let id = net.stack.add_vlan(under, id, &config).map_err(error)?;
    net.interfaces.push(Interface {
        name,
        wake: None,
        id,
    });
    Ok(net.interfaces.len() - 1)
}

/// Parses a network; an address without a prefix length is a network of one address.
fn network(text: &str) -> Result<(IpAddr, u8), Error> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().map_err(|_| Error::Invalid)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        "" => most,
        length => length.parse().map_err(|_| Error::Invalid)?,
    };
    Ok((address, length))
}

/// See `soil_net_route`.
pub fn route(rt: &mut Runtime, add: bool, to: &str, interface: Int, gateway: &str) -> Answer {
    needs_stack(rt, "routes")?;
    let to = network(to)?;
    let interface = interface_id(rt, interface)?;
    let gateway = match gateway {
        "" => None,
        gateway => Some(gateway.parse().map_err(|_| Error::Invalid)?),
    };
    let stack = &mut stack(rt)?.stack;
    if add {
        stack.add_route(to, interface, gateway).map_err(error)?;
    } else if !stack.remove_route(to, interface) {
        return Err(Error::NotFound.into());
    }
    Ok(0)
}

/// Returns the first address of a network.
fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// See `soil_net_routes`.
pub fn routes(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    needs_stack(rt, "routes")?;
    let net = stack(rt)?;
    let mut text = String::new();
    for route in net.stack.routes() {
        let Some(place) = net.interfaces.iter().position(|i| i.id == route.interface) else {
            continue;
        };
        let length = route.prefix_len;
        let network = first(route.network, length);
        // Writing to a string can't fail.
        let _ = match route.gateway {
            Some(gateway) => writeln!(text, "{network}/{length} {place} {gateway}"),
            None => writeln!(text, "{network}/{length} {place} -"),
        };
    }
    Ok(copy(text.as_bytes(), into))
}
