//! Network configurations: cloud-init's versions 1 and 2, and OpenStack's `network_data.json`.
//!
//! Addresses, default gateways and name servers of Ethernet devices are taken. Bonds, bridges,
//! VLANs, other routes and all keys that [`Keys`] don't have are ignored, and named in a note.
//!
//! Sources: cloud-init's documentation, "Networking config Version 1" and "Version 2"; nova's
//! `doc/api_schemas/network_data.json`.

use crate::Error;
use crate::value::{is_true, list, other_keys, text, text_at, words};
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
    /// The interfaces: in the order of the document, but for version 2 in that of their numbers
    /// where their names differ by numbers only (`ens9`, `ens10`).
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
}

/// The keys that are read of a mapping of a document. The others have a line in the log
/// ([`Reader::others`]). docs/metadata.md has the table, and a test compares them.
struct Keys {
    read: &'static [&'static str],
}

macro_rules! keys {
    ($($name:ident = $mapping:literal: $($key:literal)*;)*) => {
        $(const $name: Keys = Keys { read: &[$($key),*] };)*
        /// The mappings' names on that page, and their keys.
        #[cfg(test)]
        const ALL: &[(&str, &[&str])] = &[$(($mapping, $name.read)),*];
    };
}

keys! {
    VERSION_1 = "version 1": "version" "config";
    PHYSICAL = "`physical`": "type" "name" "mac_address" "subnets" "accept-ra";
    SUBNET = "a subnet": "type" "address" "netmask" "gateway" "dns_nameservers" "dns_search"
        "routes" "ipv4" "ipv6";
    ROUTE_1 = "`route`, a subnet's route": "type" "destination" "network" "netmask" "gateway";
    NAMESERVER = "`nameserver`": "type" "address" "search" "interface";
    VERSION_2 = "version 2": "version" "ethernets";
    ETHERNET = "a device of `ethernets`": "match" "set-name" "dhcp4" "dhcp6" "accept-ra"
        "addresses" "gateway4" "gateway6" "routes" "nameservers";
    MATCH = "its `match`": "macaddress" "name";
    NAMESERVERS = "its `nameservers`": "addresses" "search";
    ROUTE_2 = "its route": "to" "via" "on-link";
    OPENSTACK = "`network_data.json`": "links" "networks" "services";
    LINK = "a link": "id" "type" "ethernet_mac_address" "vif_id";
    NETWORK = "a network": "id" "link" "network_id" "type" "ip_address" "netmask" "gateway"
        "routes" "services" "dns_nameservers";
    ROUTE_OPENSTACK = "a network's route": "network" "netmask" "gateway" "services";
    SERVICE = "a service": "type" "address";
}

/// Reads a configuration of version 1 or 2, with or without the key `network` around it.
///
/// # Errors
/// One line: what is not a configuration. The whole document is unusable then, because half of a
/// configuration may separate a machine from its network.
pub fn read(document: &[u8], ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut read = || {
        let (document, keys) = yaml::parse_with_keys(document)?;
        let inner = document.get("network");
        let mut reader = Reader::new("the network configuration's", ignore);
        if inner.is_some() {
            reader.others(&document, &["network"], "");
        }
        reader.document(inner.unwrap_or(&document), &keys)?;
        Ok(reader.finish())
    };
    read().map_err(|error: Error| error.within("the network configuration"))
}

/// Reads OpenStack's `network_data.json`.
///
/// # Errors
/// As for [`read`].
pub fn read_openstack(document: &[u8], ignore: &mut dyn FnMut(String)) -> Result<Network, Error> {
    let mut read = || {
        let document: Value = serde_json::from_slice(document)
            .map_err(|error| Error::new(format!("not JSON: {error}")))?;
        let mut reader = Reader::new("network_data.json's", ignore);
        reader.openstack(&document)?;
        Ok(reader.finish())
    };
    read().map_err(|error: Error| error.within("network_data.json"))
}

struct Reader<'a> {
    network: Network,
    /// Default gateways of no particular interface.
    gateways: Vec<IpAddr>,
    /// Name servers of the interfaces with these names.
    dns_servers: Vec<(String, IpAddr)>,
    /// There are more entries than are kept.
    is_full: bool,
    /// What begins a note.
    document: &'static str,
    ignore: &'a mut dyn FnMut(String),
}

impl<'a> Reader<'a> {
    fn new(document: &'static str, ignore: &'a mut dyn FnMut(String)) -> Self {
        Self {
            network: Network::default(),
            gateways: Vec::new(),
            dns_servers: Vec::new(),
            is_full: false,
            document,
            ignore,
        }
    }

    fn ignore(&mut self, what: &str) {
        (self.ignore)(format!("{} {what}", self.document));
    }

    /// Notes the keys of a mapping that aren't read, in one line; `of` names the mapping.
    fn others(&mut self, value: &Value, read: &[&str], of: &str) {
        let others = other_keys(value, read);
        if !others.is_empty() {
            self.ignore(&format!("{others}{of}"));
        }
    }

    fn document(&mut self, document: &Value, keys: &[String]) -> Result<(), Error> {
        let version = text_at(document, "version");
        match version.as_deref() {
            Some("1") => self.version_1(document),
            Some("2") => self.version_2(document, keys),
            // `config: disabled` leaves the network to its defaults.
            _ if text_at(document, "config").as_deref() == Some("disabled") => Ok(()),
            Some(other) => Err(Error::new(format!(
                "version {other} is not supported; give 1 or 2"
            ))),
            None if document.is_null() => Ok(()),
            None => Err(Error::new("there is no version; give 1 or 2")),
        }
    }

    fn version_1(&mut self, document: &Value) -> Result<(), Error> {
        self.others(document, VERSION_1.read, "");
        for entry in list(document, "config") {
            let kind = text_at(entry, "type").unwrap_or_default();
            match kind.as_str() {
                "physical" => {
                    let interface = self.physical(entry)?;
                    self.push(interface);
                }
                "nameserver" => self.nameserver(entry)?,
                "route" => {
                    if let Some(gateway) = self.route_1(entry)? {
                        self.is_full |= !add(&mut self.gateways, gateway);
                    }
                }
                // Its addresses are those of every machine.
                "loopback" => {
                    let interface = self.physical(entry)?;
                    self.network.dns_servers.extend(interface.dns_servers);
                }
                _ => self.ignore(&format!("\"{kind}\"")),
            }
        }
        Ok(())
    }

    fn nameserver(&mut self, entry: &Value) -> Result<(), Error> {
        self.others(entry, NAMESERVER.read, " of a name server");
        for server in words(entry, "address") {
            let server = host(&server)?;
            self.is_full |= match text_at(entry, "interface") {
                Some(interface) => !add(&mut self.dns_servers, (interface, server)),
                None => !add(&mut self.network.dns_servers, server),
            };
        }
        self.search(entry, "search");
        Ok(())
    }

    fn physical(&mut self, entry: &Value) -> Result<Interface, Error> {
        let mut interface = Interface {
            name: text_at(entry, "name").unwrap_or_default(),
            mac: mac_at(entry, "mac_address")?,
            ..Interface::default()
        };
        let of = format!(" of \"{}\"", interface.name);
        self.others(entry, PHYSICAL.read, &of);
        for subnet in list(entry, "subnets") {
            self.others(subnet, SUBNET.read, &of);
            // Hetzner's service leaves out the type of fixed IPv6 addresses.
            let kind = text_at(subnet, "type").unwrap_or_else(|| String::from("static"));
            match kind.as_str() {
                "dhcp" | "dhcp4" => interface.dhcp = true,
                "dhcp6" | "ipv6_slaac" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless" => {
                    interface.slaac = true;
                }
                "static" | "static6" => {
                    let given = text_at(subnet, "address");
                    let given =
                        given.ok_or_else(|| Error::new("a static subnet has no address"))?;
                    let mask = text_at(subnet, "netmask");
                    let address = address(&given, mask.as_deref())?;
                    self.is_full |= !add(&mut interface.addresses, address);
                }
                "manual" | "loopback" => {}
                _ => self.ignore(&format!("subnet \"{kind}\"{of}")),
            }
            if let Some(gateway) = text_at(subnet, "gateway") {
                self.is_full |= !add(&mut interface.gateways, host(&gateway)?);
            }
            self.servers(subnet, "dns_nameservers", &mut interface)?;
            self.search(subnet, "dns_search");
            for route in list(subnet, "routes") {
                if let Some(gateway) = self.route_1(route)? {
                    self.is_full |= !add(&mut interface.gateways, gateway);
                }
            }
        }
        self.advertisements(entry, &mut interface);
        Ok(interface)
    }

    /// Takes the key that allows or forbids router advertisements.
    fn advertisements(&mut self, device: &Value, interface: &mut Interface) {
        if is_true(device, "accept-ra") {
            interface.slaac = true;
        } else if text_at(device, "accept-ra").is_some() && interface.slaac {
            // DHCPv6 has no routes: without advertisements it is of no use.
            self.ignore(&format!("accept-ra of \"{}\"", interface.name));
        }
    }

    /// The gateway of a route of version 1, if that is to everywhere.
    fn route_1(&mut self, route: &Value) -> Result<Option<IpAddr>, Error> {
        let to = text_at(route, "destination").or_else(|| text_at(route, "network"));
        let [mask, via] = ["netmask", "gateway"].map(|key| text_at(route, key));
        self.default_route(route, ROUTE_1.read, [to, mask, via])
    }

    fn version_2(&mut self, document: &Value, keys: &[String]) -> Result<(), Error> {
        self.others(document, VERSION_2.read, "");
        let devices = document.get("ethernets").and_then(Value::as_object);
        let mut devices: Vec<_> = devices.into_iter().flatten().collect();
        // The document's order, which the mapping has lost.
        let keys = keys.iter().skip_while(|key| *key != "ethernets");
        devices.sort_by_cached_key(|(id, _)| keys.clone().position(|key| key == *id));
        let mut interfaces = Vec::new();
        for (id, device) in devices {
            interfaces.push(self.ethernet(id, device)?);
        }
        // Names that differ by numbers only are the kernel's, in the order of the slots.
        let names = interfaces.iter().map(|interface| pattern(&interface.name));
        let first = names.clone().next();
        if names
            .clone()
            .all(|name| Some(name.0) == first.as_ref().map(|first| first.0.clone()))
        {
            interfaces.sort_by_cached_key(|interface| pattern(&interface.name).1);
        }
        for interface in interfaces {
            self.push(interface);
        }
        Ok(())
    }

    fn ethernet(&mut self, id: &str, device: &Value) -> Result<Interface, Error> {
        let of = format!(" of \"{id}\"");
        self.others(device, ETHERNET.read, &of);
        let (mut mac, mut name) = (None, text_at(device, "set-name"));
        if let Some(found) = device.get("match") {
            mac = mac_at(found, "macaddress")?;
            let wanted = text_at(found, "name");
            let pattern = wanted.filter(|name| name.contains(['*', '?', '[']));
            if let Some(pattern) = &pattern {
                self.ignore(&format!("match of \"{id}\" to the name \"{pattern}\""));
            } else {
                name = text_at(found, "name").or(name);
            }
            self.others(found, MATCH.read, &format!(" in the match of \"{id}\""));
        }
        let mut interface = Interface {
            name: name.unwrap_or_else(|| String::from(id)),
            mac,
            dhcp: is_true(device, "dhcp4"),
            slaac: is_true(device, "dhcp6"),
            ..Interface::default()
        };
        self.advertisements(device, &mut interface);
        for given in list(device, "addresses") {
            // An address may have options: a mapping with one key.
            let options = given.as_object().and_then(|options| options.iter().next());
            if let Some((address, options)) = options {
                self.others(options, &[], &format!(" of the address {address}"));
            }
            let given = match options {
                Some((address, _)) => address.clone(),
                None => text(given).unwrap_or_default(),
            };
            self.is_full |= !add(&mut interface.addresses, address(&given, None)?);
        }
        for key in ["gateway4", "gateway6"] {
            if let Some(gateway) = text_at(device, key) {
                self.is_full |= !add(&mut interface.gateways, host(&gateway)?);
            }
        }
        for route in list(device, "routes") {
            let [to, via] = ["to", "via"].map(|key| text_at(route, key));
            if let Some(gateway) = self.default_route(route, ROUTE_2.read, [to, None, via])? {
                self.is_full |= !add(&mut interface.gateways, gateway);
            }
        }
        if let Some(names) = device.get("nameservers") {
            self.others(names, NAMESERVERS.read, &format!(" of the nameservers{of}"));
            self.servers(names, "addresses", &mut interface)?;
            self.search(names, "search");
        }
        Ok(interface)
    }

    fn openstack(&mut self, document: &Value) -> Result<(), Error> {
        self.others(document, OPENSTACK.read, "");
        for link in list(document, "links") {
            let kind = text_at(link, "type").unwrap_or_default();
            let id = text_at(link, "id").unwrap_or_default();
            if matches!(kind.as_str(), "bond" | "vlan") {
                self.ignore(&format!("link \"{id}\" of type \"{kind}\""));
                continue;
            }
            self.others(link, LINK.read, &format!(" of the link \"{id}\""));
            let mut interface = Interface {
                mac: mac_at(link, "ethernet_mac_address")?,
                ..Interface::default()
            };
            for subnet in list(document, "networks") {
                if text_at(subnet, "link").as_deref() == Some(&*id) {
                    self.openstack_subnet(subnet, &mut interface)?;
                }
            }
            interface.name = id;
            self.push(interface);
        }
        for server in self.services(document)? {
            self.is_full |= !add(&mut self.network.dns_servers, server);
        }
        Ok(())
    }

    /// The name servers among the services of a mapping.
    fn services(&mut self, value: &Value) -> Result<Vec<IpAddr>, Error> {
        let mut servers = Vec::new();
        for service in list(value, "services") {
            self.others(service, SERVICE.read, " of a service");
            let kind = text_at(service, "type").unwrap_or_default();
            if kind == "dns" {
                servers.push(host(&text_at(service, "address").unwrap_or_default())?);
            } else {
                self.ignore(&format!("service of type \"{kind}\""));
            }
        }
        Ok(servers)
    }

    fn openstack_subnet(&mut self, subnet: &Value, interface: &mut Interface) -> Result<(), Error> {
        let id = text_at(subnet, "id").unwrap_or_default();
        self.others(subnet, NETWORK.read, &format!(" of the network \"{id}\""));
        let kind = text_at(subnet, "type").unwrap_or_default();
        match kind.as_str() {
            "ipv4_dhcp" => interface.dhcp = true,
            "ipv6_dhcp" | "ipv6_slaac" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless" => {
                interface.slaac = true;
            }
            "ipv4" | "ipv6" => {
                let given = text_at(subnet, "ip_address").unwrap_or_default();
                let mask = text_at(subnet, "netmask");
                let address = address(&given, mask.as_deref())?;
                self.is_full |= !add(&mut interface.addresses, address);
            }
            _ => self.ignore(&format!("network of type \"{kind}\"")),
        }
        if let Some(gateway) = text_at(subnet, "gateway") {
            self.is_full |= !add(&mut interface.gateways, host(&gateway)?);
        }
        let mut servers = self.services(subnet)?;
        for route in list(subnet, "routes") {
            let way = ["network", "netmask", "gateway"].map(|key| text_at(route, key));
            if let Some(gateway) = self.default_route(route, ROUTE_OPENSTACK.read, way)? {
                self.is_full |= !add(&mut interface.gateways, gateway);
            }
            servers.extend(self.services(route)?);
        }
        self.servers(subnet, "dns_nameservers", interface)?;
        for server in servers {
            self.is_full |= !add(&mut interface.dns_servers, server);
        }
        Ok(())
    }

    /// The gateway of a route (destination, mask, gateway) to everywhere; notes any other, and the
    /// keys that aren't read.
    fn default_route(
        &mut self,
        route: &Value,
        read: &[&str],
        [to, mask, via]: [Option<String>; 3],
    ) -> Result<Option<IpAddr>, Error> {
        let to = to.unwrap_or_default();
        let everywhere = to == "default"
            || address(&to, mask.as_deref())
                .is_ok_and(|(to, length)| to.is_unspecified() && length == 0);
        match via {
            Some(via) if everywhere => {
                self.others(route, read, &format!(" of the route to \"{to}\""));
                host(&via).map(Some)
            }
            _ => {
                self.ignore(&format!("route to \"{to}\""));
                Ok(None)
            }
        }
    }

    /// Takes the name servers of an interface.
    fn servers(&mut self, value: &Value, key: &str, to: &mut Interface) -> Result<(), Error> {
        for server in words(value, key) {
            self.is_full |= !add(&mut to.dns_servers, host(&server)?);
        }
        Ok(())
    }

    /// Takes search domains.
    fn search(&mut self, value: &Value, key: &str) {
        for domain in words(value, key) {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            if domain.bytes().all(valid) {
                self.is_full |= !add(&mut self.network.dns_search, domain);
            } else {
                self.ignore(&format!("search domain \"{domain}\", which isn't valid"));
            }
        }
    }

    fn push(&mut self, interface: Interface) {
        if self.network.interfaces.len() < MAX_INTERFACES {
            self.network.interfaces.push(interface);
        } else {
            self.is_full = true;
        }
    }

    /// Gives the interfaces what belongs to one of them.
    fn finish(mut self) -> Network {
        let interfaces = &mut self.network.interfaces;
        for (name, server) in core::mem::take(&mut self.dns_servers) {
            let mut named = interfaces.iter_mut().filter(|one| one.name == name);
            let servers = named.next().map(|interface| &mut interface.dns_servers);
            self.is_full |= !add(servers.unwrap_or(&mut self.network.dns_servers), server);
        }
        let mut unreachable = Vec::new();
        for gateway in core::mem::take(&mut self.gateways) {
            let reaches = |interface: &&mut Interface| {
                let mut addresses = interface.addresses.iter();
                addresses.any(|(address, length)| is_within(gateway, *address, *length))
            };
            let only = interfaces.len() == 1;
            let found = match interfaces.iter_mut().find(reaches) {
                Some(_) => interfaces.iter_mut().find(reaches),
                None => interfaces.first_mut().filter(|_| only),
            };
            match found {
                Some(interface) => self.is_full |= !add(&mut interface.gateways, gateway),
                None => unreachable.push(gateway),
            }
        }
        for gateway in unreachable {
            self.ignore(&format!(
                "route by {gateway}, which is in no interface's network"
            ));
        }
        if self.is_full {
            self.ignore("entries after the 32nd of a list");
        }
        self.network
    }
}

/// Whether the address is in the network of the other.
fn is_within(address: IpAddr, of: IpAddr, length: u8) -> bool {
    let (differing, width) = match (address, of) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()) << 96, 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    length <= width && differing.leading_zeros() >= u32::from(length)
}

/// A name without its numbers, and the numbers: those of `ens10` are after those of `ens9`.
fn pattern(name: &str) -> (String, Vec<u64>) {
    let (mut text, mut numbers) = (String::new(), Vec::new());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits.max(c.len_utf8()));
        if digits > 0 {
            numbers.push(number.parse().unwrap_or(u64::MAX));
        }
        text.push(if digits > 0 { '0' } else { c });
        rest = after;
    }
    (text, numbers)
}

/// Adds an entry, unless it is there; false if there are too many.
fn add<T: PartialEq>(entries: &mut Vec<T>, entry: T) -> bool {
    if entries.contains(&entry) {
        return true;
    }
    let has_room = entries.len() < MAX_ENTRIES;
    if has_room {
        entries.push(entry);
    }
    has_room
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
