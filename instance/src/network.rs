//! Network configurations: cloud-init's versions 1 and 2, and OpenStack's `network_data.json`.
//!
//! Addresses, default gateways and name servers of Ethernet devices are taken. Bonds, bridges,
//! VLANs and other routes are ignored.
//!
//! Sources: cloud-init's documentation, "Networking config Version 1" and "Version 2"; nova's
//! `doc/api_schemas/network_data.json`.

use crate::Error;
use crate::value::{is_true, list, text, text_at};
use crate::yaml;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde_json::Value;

/// Maximum number of interfaces.
const MAX_INTERFACES: usize = 32;
/// Maximum number of addresses, gateways, name servers or domains of an interface.
const MAX_ENTRIES: usize = 32;

/// A network configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The interfaces: in the order of the document, for version 2 in the order of their names.
    pub interfaces: Vec<Interface>,
    /// Name servers of no particular interface.
    pub dns_servers: Vec<IpAddr>,
    /// Domains that names are searched in.
    pub dns_search: Vec<String>,
}

/// The configuration of an Ethernet device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the document; devices are not renamed.
    pub name: String,
    /// The address of the device that it is for.
    pub mac: Option<[u8; 6]>,
    /// Whether DHCP for IPv4 is used.
    pub dhcp: bool,
    /// Whether IPv6 is configured by router advertisements and DHCPv6.
    pub slaac: bool,
    /// Fixed addresses, each with the length of its prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub dns_servers: Vec<IpAddr>,
}

impl Network {
    /// The configuration of the device with index `index` and address `mac`: the interface with
    /// that address, otherwise the one called `eth` and the index, otherwise, if no interface of
    /// the document has an address, the one at that position, unless it has another device's name.
    pub fn of_device(&self, index: usize, mac: [u8; 6]) -> Option<&Interface> {
        let mut all = self.interfaces.iter();
        let name = format!("eth{index}");
        let named = |i: &&Interface| i.mac.is_none() && i.name == name;
        all.clone()
            .find(|interface| interface.mac == Some(mac))
            .or_else(|| all.clone().find(named))
            .or_else(|| {
                let any = all.any(|interface| interface.mac.is_some());
                let other = |name: &str| {
                    let number = name.strip_prefix("eth").map(str::parse::<usize>);
                    matches!(number, Some(Ok(_)))
                };
                let found = self.interfaces.get(index);
                found.filter(|interface| !any && !other(&interface.name))
            })
    }

    fn push(&mut self, interface: Interface) {
        if self.interfaces.len() < MAX_INTERFACES {
            self.interfaces.push(interface);
        }
    }

    fn search(&mut self, domains: &[Value]) {
        for domain in domains.iter().filter_map(text) {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            let new = !self.dns_search.contains(&domain);
            if new && domain.bytes().all(valid) && self.dns_search.len() < MAX_ENTRIES {
                self.dns_search.push(domain);
            }
        }
    }
}

/// Reads a configuration of version 1 or 2, with or without the key `network` around it.
///
/// # Errors
/// One line: what is not a configuration. The whole document is unusable then, because half of a
/// configuration may separate a machine from its network.
pub fn read(document: &[u8], ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut read = || {
        let document = yaml::parse(document)?;
        of_value(document.get("network").unwrap_or(&document), ignore)
    };
    read().map_err(|error| error.within("the network configuration"))
}

/// Reads a parsed configuration of version 1 or 2.
pub(crate) fn of_value(document: &Value, ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let version = text_at(document, "version");
    match version.as_deref() {
        Some("1") => version_1(document, ignore),
        Some("2") => version_2(document, ignore),
        // `config: disabled` leaves the network to its defaults.
        _ if text_at(document, "config").as_deref() == Some("disabled") => Ok(Network::default()),
        Some(other) => Err(Error::new(format!(
            "version {other} is not supported; give 1 or 2"
        ))),
        None if document.is_null() => Ok(Network::default()),
        None => Err(Error::new("there is no version; give 1 or 2")),
    }
}

fn version_1(document: &Value, ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut network = Network::default();
    for entry in list(document, "config") {
        let kind = text_at(entry, "type").unwrap_or_default();
        match kind.as_str() {
            "physical" => {
                let interface = physical(entry, &mut network, ignore)?;
                network.push(interface);
            }
            "nameserver" => {
                servers(entry, "address", &mut network.dns_servers)?;
                network.search(list(entry, "search"));
            }
            "loopback" => {}
            _ => ignore(format!("the network configuration's \"{kind}\"")),
        }
    }
    Ok(network)
}

fn physical(
    entry: &Value,
    network: &mut Network,
    ignore: &mut dyn FnMut(String),
) -> Result<Interface, Error> {
    let mut interface = Interface {
        name: text_at(entry, "name").unwrap_or_default(),
        mac: mac_at(entry, "mac_address")?,
        ..Interface::default()
    };
    properties(entry, &["mtu"], &interface.name, ignore);
    for subnet in list(entry, "subnets") {
        // Hetzner's service leaves out the type of fixed IPv6 addresses.
        let kind = text_at(subnet, "type").unwrap_or_else(|| String::from("static"));
        match kind.as_str() {
            "dhcp" | "dhcp4" => interface.dhcp = true,
            "dhcp6" | "ipv6_slaac" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless" => {
                interface.slaac = true;
            }
            "static" | "static6" => {
                let given = text_at(subnet, "address");
                let given = given.ok_or_else(|| Error::new("a static subnet has no address"))?;
                let mask = text_at(subnet, "netmask");
                add(&mut interface.addresses, address(&given, mask.as_deref())?);
            }
            "manual" => {}
            _ => ignore(format!("the network configuration's subnet \"{kind}\"")),
        }
        if let Some(gateway) = text_at(subnet, "gateway") {
            add(&mut interface.gateways, host(&gateway)?);
        }
        servers(subnet, "dns_nameservers", &mut interface.dns_servers)?;
        network.search(list(subnet, "dns_search"));
        for route in list(subnet, "routes") {
            let to = text_at(route, "destination").or_else(|| text_at(route, "network"));
            let mask = text_at(route, "netmask");
            let via = text_at(route, "gateway");
            default_route(&mut interface, [to, mask, via], ignore)?;
        }
    }
    Ok(interface)
}

fn version_2(document: &Value, ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut network = Network::default();
    for kind in ["bonds", "bridges", "vlans", "wifis", "tunnels"] {
        if document.get(kind).is_some_and(|value| !value.is_null()) {
            ignore(format!("the network configuration's \"{kind}\""));
        }
    }
    let devices = document.get("ethernets").and_then(Value::as_object);
    for (id, device) in devices.into_iter().flatten() {
        let mac = device
            .get("match")
            .map_or(Ok(None), |found| mac_at(found, "macaddress"))?;
        let mut interface = Interface {
            name: text_at(device, "set-name").unwrap_or_else(|| id.clone()),
            mac,
            dhcp: is_true(device, "dhcp4"),
            slaac: is_true(device, "dhcp6") || is_true(device, "accept-ra"),
            ..Interface::default()
        };
        properties(device, &["mtu", "macaddress"], id, ignore);
        for given in list(device, "addresses") {
            // An address may have options: a mapping with one key.
            let given = match given.as_object().and_then(|options| options.keys().next()) {
                Some(address) => address.clone(),
                None => text(given).unwrap_or_default(),
            };
            add(&mut interface.addresses, address(&given, None)?);
        }
        for key in ["gateway4", "gateway6"] {
            if let Some(gateway) = text_at(device, key) {
                add(&mut interface.gateways, host(&gateway)?);
            }
        }
        for route in list(device, "routes") {
            let [to, via] = ["to", "via"].map(|key| text_at(route, key));
            default_route(&mut interface, [to, None, via], ignore)?;
        }
        if let Some(names) = device.get("nameservers") {
            servers(names, "addresses", &mut interface.dns_servers)?;
            network.search(list(names, "search"));
        }
        network.push(interface);
    }
    Ok(network)
}

/// Reads OpenStack's `network_data.json`.
///
/// # Errors
/// As for [`read`].
pub fn read_openstack(document: &[u8], ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut read = || {
        let document: Value = serde_json::from_slice(document)
            .map_err(|error| Error::new(format!("not JSON: {error}")))?;
        of_openstack(&document, ignore)
    };
    read().map_err(|error| error.within("network_data.json"))
}

fn of_openstack(document: &Value, ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut network = Network::default();
    for link in list(document, "links") {
        let kind = text_at(link, "type").unwrap_or_default();
        let id = text_at(link, "id").unwrap_or_default();
        if matches!(kind.as_str(), "bond" | "vlan") {
            ignore(format!(
                "network_data.json's link \"{id}\" of type \"{kind}\""
            ));
            continue;
        }
        let mut interface = Interface {
            mac: mac_at(link, "ethernet_mac_address")?,
            ..Interface::default()
        };
        for subnet in list(document, "networks") {
            if text_at(subnet, "link").as_deref() == Some(&*id) {
                openstack_subnet(subnet, &mut interface, ignore)?;
            }
        }
        interface.name = id;
        network.push(interface);
    }
    for service in list(document, "services") {
        if text_at(service, "type").as_deref() == Some("dns") {
            let address = text_at(service, "address").unwrap_or_default();
            add(&mut network.dns_servers, host(&address)?);
        }
    }
    Ok(network)
}

fn openstack_subnet(
    subnet: &Value,
    interface: &mut Interface,
    ignore: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let kind = text_at(subnet, "type").unwrap_or_default();
    match kind.as_str() {
        "ipv4_dhcp" => interface.dhcp = true,
        "ipv6_dhcp" | "ipv6_slaac" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless" => {
            interface.slaac = true;
        }
        "ipv4" | "ipv6" => {
            let given = text_at(subnet, "ip_address").unwrap_or_default();
            let mask = text_at(subnet, "netmask");
            add(&mut interface.addresses, address(&given, mask.as_deref())?);
        }
        _ => ignore(format!("network_data.json's network of type \"{kind}\"")),
    }
    if let Some(gateway) = text_at(subnet, "gateway") {
        add(&mut interface.gateways, host(&gateway)?);
    }
    for route in list(subnet, "routes") {
        let route = ["network", "netmask", "gateway"].map(|key| text_at(route, key));
        default_route(interface, route, ignore)?;
    }
    servers(subnet, "dns_nameservers", &mut interface.dns_servers)
}

/// Notes these properties of a device, which keeps its own.
fn properties(device: &Value, keys: &[&str], name: &str, ignore: &mut dyn FnMut(String)) {
    for key in keys.iter().filter(|key| device.get(**key).is_some()) {
        ignore(format!("the network configuration's {key} of \"{name}\""));
    }
}

/// Takes a route (destination, mask, gateway) to everywhere.
fn default_route(
    interface: &mut Interface,
    [to, mask, via]: [Option<String>; 3],
    ignore: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let to = to.unwrap_or_default();
    let everywhere = to == "default"
        || address(&to, mask.as_deref())
            .is_ok_and(|(to, length)| to.is_unspecified() && length == 0);
    match via {
        Some(via) if everywhere => add(&mut interface.gateways, host(&via)?),
        _ => ignore(format!("the network configuration's route to \"{to}\"")),
    }
    Ok(())
}

/// Adds an entry, unless it is there.
fn add<T: PartialEq>(entries: &mut Vec<T>, entry: T) {
    if entries.len() < MAX_ENTRIES && !entries.contains(&entry) {
        entries.push(entry);
    }
}

/// Adds the name servers of the list, or of the one value, `key`.
fn servers(value: &Value, key: &str, to: &mut Vec<IpAddr>) -> Result<(), Error> {
    let one = value.get(key).filter(|value| !value.is_array());
    for server in list(value, key).iter().chain(one) {
        if let Some(server) = text(server).filter(|server| !server.is_empty()) {
            add(to, host(&server)?);
        }
    }
    Ok(())
}

/// An address without a prefix.
fn host(text: &str) -> Result<IpAddr, Error> {
    text.trim()
        .parse()
        .map_err(|_| Error::new(format!("\"{text}\" is not an address")))
}

/// An address whose prefix is in the text, or in the mask.
fn address(text: &str, mask: Option<&str>) -> Result<(IpAddr, u8), Error> {
    let (address, given) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, mask),
    };
    let address = host(address)?;
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let length = match given {
        None => Some(most),
        Some(given) => match given.trim().parse::<u8>() {
            Ok(length) => Some(length),
            Err(_) => {
                let mask = host(given).ok();
                let mask = mask.filter(|mask| mask.is_ipv4() == address.is_ipv4());
                mask.and_then(mask_length)
            }
        },
    };
    match length {
        Some(length) if length <= most => Ok((address, length)),
        _ => Err(Error::new(format!(
            "\"{}\" is not the mask of {address}",
            given.unwrap_or_default()
        ))),
    }
}

/// The number of ones at the start of a mask that has no others.
fn mask_length(mask: IpAddr) -> Option<u8> {
    let (bits, width) = match mask {
        IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        IpAddr::V6(mask) => (mask.to_bits(), 128),
    };
    let ones = bits.leading_ones();
    (bits.count_ones() == ones && ones <= width).then_some(ones as u8)
}

fn mac_at(value: &Value, key: &str) -> Result<Option<[u8; 6]>, Error> {
    let Some(text) = text_at(value, key).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2);
        *byte = part
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or_else(|| Error::new(format!("\"{text}\" is not a MAC address")))?;
    }
    match parts.next() {
        None => Ok(Some(mac)),
        Some(_) => Err(Error::new(format!("\"{text}\" is not a MAC address"))),
    }
}

#[cfg(test)]
mod tests;
