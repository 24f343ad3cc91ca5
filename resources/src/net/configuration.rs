//! `SOIL_IP`, `SOIL_GATEWAY` and `SOIL_DNS`, and the machine's metadata.
//!
//! Each is a list with one part per interface, separated by `;`; the values of a part are separated
//! by `,`. An interface without `SOIL_IP` has the addresses of the metadata, if these have a
//! network configuration for it, and otherwise uses DHCP and router advertisements. Without
//! `SOIL_IP` `ip=` on a machine's command line configures one interface, except for what the other
//! variables give it. An invalid value fails with `BadConfiguration`, and the message names the
//! variable.

use super::address::name_server_at;
use super::ip_parameter;
use crate::current::Current;
use ::metadata::Network;
use ::net::{Cidr, Congestion, InterfaceConfig, name_server};
use ::services::{DnsOptions, Resolver};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use platform::error::{Error, Failure};
use platform::{Metadata, System};

/// Configuration of the interfaces, in order.
pub struct Configuration {
    interfaces: Vec<InterfaceConfig>,
    metadata: Option<&'static Network>,
}

impl Configuration {
    /// Returns the configuration of interface `index`, whose card has the address `mac`.
    pub fn interface(&self, index: usize, mac: [u8; 6]) -> InterfaceConfig {
        let given = self.interfaces.get(index).cloned();
        let given = given.unwrap_or_else(InterfaceConfig::dynamic);
        match self.metadata {
            Some(network) if given.addresses.is_empty() => completed(given, network, index, mac),
            _ => given,
        }
    }
}

/// Takes what the variables don't set from the metadata's configuration of the interface.
fn completed(
    given: InterfaceConfig,
    network: &Network,
    index: usize,
    mac: [u8; 6],
) -> InterfaceConfig {
    let Some(found) = network.of_device(index, mac) else {
        return given;
    };
    let fixed = |(address, length): &(IpAddr, u8)| Cidr::new(*address, *length).ok();
    // As many as an interface may have (`InterfaceConfig`).
    let addresses: Vec<Cidr> = found.addresses.iter().filter_map(fixed).take(4).collect();
    let gateway = |v4| {
        let mut all = found
            .gateways
            .iter()
            .filter(|gateway| gateway.is_ipv4() == v4);
        all.find(|gateway| Cidr::new(**gateway, 0).is_ok()).copied()
    };
    let gateways: Vec<IpAddr> = [gateway(true), gateway(false)]
        .into_iter()
        .flatten()
        .collect();
    let servers = match found.dns_servers.is_empty() {
        true => &network.dns_servers,
        false => &found.dns_servers,
    };
    InterfaceConfig {
        // Addresses of both kinds may be wanted; without any, the interface is of no use.
        dhcp: found.dhcp || addresses.is_empty(),
        slaac: found.slaac || addresses.is_empty(),
        addresses,
        gateways: match given.gateways.is_empty() {
            true => gateways,
            false => given.gateways,
        },
        dns_servers: match given.dns_servers.is_empty() {
            true => servers.iter().copied().map(name_server_at).collect(),
            false => given.dns_servers,
        },
        ..given
    }
}

/// A name server in `SOIL_DNS`: with a port or without.
struct Server(SocketAddr);

impl FromStr for Server {
    type Err = ();

    fn from_str(text: &str) -> Result<Server, ()> {
        name_server(text).map(Server).ok_or(())
    }
}

fn wrong(detail: String) -> Failure {
    Failure::new(Error::BadConfiguration, detail)
}

/// Parses the parts of a variable, each a list of values.
fn list<T: FromStr>(name: &str, text: &str, example: &str) -> Result<Vec<Vec<T>>, Failure> {
    // Loops, because `collect` needed three times the code for each type.
    let mut parts = Vec::new();
    for part in text.split(';') {
        let mut values = Vec::new();
        for value in part.split(',').map(str::trim) {
            if let Ok(parsed) = value.parse() {
                values.push(parsed);
            } else if !value.is_empty() {
                let detail = format!("{name}: \"{value}\" is not of the form {example}");
                return Err(wrong(detail));
            }
        }
        parts.push(values);
    }
    Ok(parts)
}

/// Returns the configuration of an interface that the program adds.
pub fn interface_of(addresses: &str, gateways: &str) -> Result<InterfaceConfig, Failure> {
    let read = parse(|name| match name {
        "SOIL_IP" => Some(String::from(addresses)),
        "SOIL_GATEWAY" => Some(String::from(gateways)),
        _ => None,
    })?;
    Ok(read
        .interfaces
        .into_iter()
        .next()
        .unwrap_or_else(InterfaceConfig::dynamic))
}

/// Reads the environment through `variable`.
fn parse(variable: impl Fn(&str) -> Option<String>) -> Result<Configuration, Failure> {
    let text = |name| variable(name).unwrap_or_default();
    let mut addresses: Vec<Vec<Cidr>> = list("SOIL_IP", &text("SOIL_IP"), "10.0.0.2/24")?;
    let mut gateways = list("SOIL_GATEWAY", &text("SOIL_GATEWAY"), "10.0.0.1")?;
    let mut servers: Vec<Vec<Server>> = list(
        "SOIL_DNS",
        &text("SOIL_DNS"),
        "10.0.0.1, 10.0.0.1:53 or [fd00::1]:53",
    )?;
    let parameter = variable("ip").filter(|_| addresses.iter().all(Vec::is_empty));
    let count = addresses.len().max(gateways.len()).max(servers.len());
    let mut interfaces = Vec::new();
    for index in 0..count {
        fn part<T>(parts: &mut [Vec<T>], index: usize) -> Vec<T> {
            parts
                .get_mut(index)
                .map(core::mem::take)
                .unwrap_or_default()
        }
        let addresses = part(&mut addresses, index);
        let fixed = !addresses.is_empty();
        interfaces.push(InterfaceConfig {
            dhcp: !fixed,
            slaac: !fixed,
            addresses,
            gateways: part(&mut gateways, index),
            dns_servers: part(&mut servers, index).into_iter().map(|s| s.0).collect(),
            ..InterfaceConfig::default()
        });
    }
    if let Some(text) = parameter {
        let (index, mut config) = ip_parameter::parse(&text)?;
        interfaces.resize(count.max(index + 1), InterfaceConfig::dynamic());
        if let Some(interface) = interfaces.get_mut(index) {
            if !interface.gateways.is_empty() {
                config.gateways = core::mem::take(&mut interface.gateways);
            }
            if !interface.dns_servers.is_empty() {
                config.dns_servers = core::mem::take(&mut interface.dns_servers);
            }
            *interface = config;
        }
    }
    Ok(Configuration {
        interfaces,
        metadata: None,
    })
}

/// `SOIL_DNS_SEARCH` (domains, separated by `,`), `SOIL_DNS_NDOTS` and `SOIL_DNS_MIXED_CASE`.
fn names(variable: impl Fn(&str) -> Option<String>) -> Result<DnsOptions, Failure> {
    let text = |name| variable(name).unwrap_or_default();
    let mut options = DnsOptions::default();
    let search = text("SOIL_DNS_SEARCH");
    let domains = search.split(',').map(str::trim);
    options.search = domains
        .filter(|domain| !domain.is_empty())
        .map(String::from)
        .collect();
    let ndots = text("SOIL_DNS_NDOTS");
    if !ndots.is_empty() {
        options.ndots = ndots.parse().map_err(|_| {
            wrong(format!(
                "SOIL_DNS_NDOTS: \"{ndots}\" is not a number such as 1"
            ))
        })?;
    }
    options.mixed_case = match text("SOIL_DNS_MIXED_CASE").as_str() {
        "" | "0" => false,
        "1" => true,
        other => {
            let detail = format!("SOIL_DNS_MIXED_CASE: \"{other}\": give 0 or 1");
            return Err(wrong(detail));
        }
    };
    Ok(options)
}

/// Configures how names are looked up: by the environment, and by the metadata's domains where it
/// sets none.
pub fn configure_names(resolver: &mut Resolver) -> Result<(), Failure> {
    let mut options = names(Current::variable)?;
    if options.search.is_empty()
        && let Some(instance) = Current::instance()?
    {
        // A resolver takes six.
        let domains = instance.network.dns_search.iter().take(6);
        options.search = domains.cloned().collect();
    }
    configure(resolver, options)
}

/// Adds the system's search domains and number of dots where no variable sets them.
pub fn complete_names(
    resolver: &mut Resolver,
    domains: Vec<String>,
    dots: usize,
) -> Result<(), Failure> {
    let mut options = names(Current::variable)?;
    if options.search.is_empty() {
        options.search = domains;
    }
    if Current::variable("SOIL_DNS_NDOTS").is_none() {
        options.ndots = dots;
    }
    configure(resolver, options)
}

fn configure(resolver: &mut Resolver, options: DnsOptions) -> Result<(), Failure> {
    let domains = options.search.join(",");
    resolver.configure(options).map_err(|_| {
        wrong(format!(
            "SOIL_DNS_SEARCH: \"{domains}\": give at most six domains such as example.org"
        ))
    })
}

/// Reads `SOIL_TCP_CONGESTION`: the congestion control of connections.
pub fn congestion(variable: impl Fn(&str) -> Option<String>) -> Result<Congestion, Failure> {
    match variable("SOIL_TCP_CONGESTION").unwrap_or_default().as_str() {
        "" | "cubic" => Ok(Congestion::Cubic),
        "newreno" => Ok(Congestion::NewReno),
        other => Err(wrong(format!(
            "SOIL_TCP_CONGESTION: \"{other}\": give cubic or newreno"
        ))),
    }
}

/// Reads the environment, in a machine `ip=`, and the metadata.
pub fn read() -> Result<Configuration, Failure> {
    let variable = |name: &str| match name {
        "ip" if !Current::ON_VM => None,
        _ => Current::variable(name),
    };
    Ok(Configuration {
        metadata: Current::instance()?.map(|instance| &instance.network),
        ..parse(variable)?
    })
}

#[cfg(test)]
mod tests {
    use super::{Configuration, name_server_at, names, parse};
    use ::metadata::{Interface, Network};
    use std::boxed::Box;
    use std::net::IpAddr;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn variables(name: &str) -> Option<String> {
        let value = match name {
            "SOIL_IP" => "10.0.0.2/24, fd00::2/64;;10.2.0.1/16",
            "SOIL_GATEWAY" => "10.0.0.1",
            _ => return None,
        };
        Some(value.to_string())
    }

    #[test]
    fn reads_one_part_for_each_interface() {
        let read = parse(variables).expect("valid");
        let first = read.interface(0, MAC);
        assert!(!first.dhcp);
        assert_eq!(first.addresses.len(), 2);
        assert_eq!(
            first.gateways,
            vec!["10.0.0.1".parse::<std::net::IpAddr>().expect("address")]
        );
        assert!(read.interface(1, MAC).dhcp);
        assert!(!read.interface(2, MAC).dhcp);
        assert!(read.interface(3, MAC).dhcp);
    }

    /// The metadata configure interfaces that no variable configures, within the stack's limits.
    #[test]
    fn metadata_complete_the_environment() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let with = |interface: Interface, variables: fn(&str) -> Option<String>| {
            let network = Network {
                interfaces: vec![interface],
                dns_servers: vec![ip("10.9.0.3")],
                ..Network::default()
            };
            let read = Configuration {
                metadata: Some(Box::leak(Box::new(network))),
                ..parse(variables).expect("valid")
            };
            read.interface(0, MAC)
        };
        let none = |_: &str| None;
        let fixed = Interface {
            mac: Some(MAC),
            addresses: (0..9)
                .map(|n| (IpAddr::from([10, 9, 0, n + 1]), 24))
                .collect(),
            gateways: ["224.0.0.1", "10.9.0.1", "10.9.0.2", "fd00::1"]
                .map(ip)
                .to_vec(),
            ..Interface::default()
        };
        let read = with(fixed.clone(), none);
        assert_eq!(
            (read.dhcp, read.slaac, read.addresses.len()),
            (false, false, 4)
        );
        assert_eq!(read.gateways, [ip("10.9.0.1"), ip("fd00::1")]);
        assert_eq!(read.dns_servers, [name_server_at(ip("10.9.0.3"))]);
        let explicit = with(fixed.clone(), variables);
        assert_eq!(
            explicit.addresses,
            parse(variables).expect("valid").interface(0, MAC).addresses
        );
        assert_eq!(explicit.dns_servers, []);
        let gateway = with(fixed.clone(), |name| {
            (name == "SOIL_GATEWAY").then(|| "10.9.0.7".to_string())
        });
        assert_eq!(gateway.gateways, [ip("10.9.0.7")]);
        assert_eq!(gateway.addresses.len(), 4);
        let of_another = Interface {
            mac: Some([2, 0, 0, 0, 0, 2]),
            ..fixed.clone()
        };
        assert!(with(of_another, none).dhcp);
        let both = Interface {
            dhcp: true,
            ..fixed
        };
        assert!(with(both, none).dhcp);
        assert!(
            with(Interface::default(), none).dhcp,
            "an interface without addresses"
        );
    }

    #[test]
    fn a_kernel_parameter_configures_unless_a_variable_does() {
        let read = |given: &'static [(&str, &str)]| {
            let value = move |name: &str| {
                let found = given.iter().find(|(given, _)| *given == name);
                found.map(|(_, value)| (*value).to_string())
            };
            parse(value).expect("valid")
        };
        const PARAMETER: (&str, &str) =
            ("ip", "10.0.0.2::10.0.0.1:255.255.0.0:h:eth1:off:10.0.0.3");
        let cidr = |text: &str| text.parse::<::net::Cidr>().expect("address");
        let configured = read(&[PARAMETER, ("SOIL_DNS", ";9.9.9.9")]).interface(1, MAC);
        assert_eq!(configured.addresses, [cidr("10.0.0.2/16")]);
        let address = |text: &str| text.parse::<IpAddr>().expect("address");
        assert_eq!(configured.gateways, [address("10.0.0.1")]);
        assert_eq!(configured.dns_servers, [name_server_at(address("9.9.9.9"))]);
        assert!(!configured.dhcp && read(&[PARAMETER]).interface(0, MAC).dhcp);
        // A variable's address leaves nothing of the parameter.
        let variable = read(&[("ip", "nonsense"), ("SOIL_IP", "10.0.0.9/24")]);
        assert_eq!(variable.interface(0, MAC).addresses, [cidr("10.0.0.9/24")]);
        assert!(variable.interface(0, MAC).gateways.is_empty() && variable.interface(1, MAC).dhcp);
    }

    #[test]
    fn reads_how_names_are_looked_up() {
        let value = |name: &str| match name {
            "SOIL_DNS_SEARCH" => Some("corp.example, example".to_string()),
            "SOIL_DNS_NDOTS" => Some("2".to_string()),
            _ => None,
        };
        let options = names(value).expect("valid");
        assert_eq!(options.search, ["corp.example", "example"]);
        assert_eq!((options.ndots, options.mixed_case), (2, false));
        let wrong = names(|name| (name == "SOIL_DNS_NDOTS").then(|| "x".to_string()));
        let failure = wrong.expect_err("refused");
        assert_eq!(
            failure.detail,
            "SOIL_DNS_NDOTS: \"x\" is not a number such as 1"
        );
    }

    /// Both families, with and without a port.
    #[test]
    fn a_name_server_may_have_a_port() {
        let read = |text: &'static str| {
            let read = parse(move |name| (name == "SOIL_DNS").then(|| text.to_string()));
            read.map(|read| {
                let servers = read.interface(0, MAC).dns_servers.into_iter();
                servers.map(|server| server.to_string()).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            read("1.2.3.4:5353, [::1]:53,9.9.9.9,fd00::1,[fd00::2]").expect("valid"),
            [
                "1.2.3.4:5353",
                "[::1]:53",
                "9.9.9.9:53",
                "[fd00::1]:53",
                "[fd00::2]:53"
            ]
        );
        for wrong in [
            "1.2.3.4:",
            "1.2.3.4:0",
            "1.2.3.4:65536",
            "[::1",
            "[1.2.3.4]",
            "dns.example",
        ] {
            let failure = read(wrong).expect_err(wrong);
            let beginning = std::format!("SOIL_DNS: \"{wrong}\" is not of the form 10.0.0.1, ");
            assert!(failure.detail.starts_with(&beginning), "{}", failure.detail);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let wrong = |name: &str| (name == "SOIL_IP").then(|| "10.0.0.300/24".to_string());
        let failure = parse(wrong).err().expect("refused");
        assert_eq!(
            failure.detail,
            "SOIL_IP: \"10.0.0.300/24\" is not of the form 10.0.0.2/24"
        );
    }
}
