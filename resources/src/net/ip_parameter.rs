//! `ip=` of Linux's kernel command line: machines that are started as if with Linux get their
//! address so.
//!
//! `ADDRESS:SERVER:GATEWAY:NETMASK:HOST:DEVICE:PROTOCOL:DNS0:DNS1:NTP0`, or the protocol alone.
//! Parts may be empty, and missing at the end. Server (of NFS), host name and NTP server are not
//! used; the device `ethN` is interface N, any other name the first interface. With an address
//! there is no autoconfiguration, as in Linux. Source: Linux's
//! Documentation/admin-guide/nfs/nfsroot.rst and net/ipv4/ipconfig.c.

use super::address::name_server_at;
use ::net::{Cidr, InterfaceConfig};
use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use platform::error::{Error, Failure};

/// Protocols that may stand alone.
const PROTOCOLS: [&str; 8] = ["off", "none", "on", "any", "dhcp", "bootp", "rarp", "both"];

/// Reads the value of `ip=`: the number of the interface, and its configuration. Errors:
/// `BadConfiguration`.
pub fn parse(text: &str) -> Result<(usize, InterfaceConfig), Failure> {
    if PROTOCOLS.contains(&text) {
        return Ok((0, InterfaceConfig::dynamic()));
    }
    let part = |at| text.split(':').nth(at).filter(|part| !part.is_empty());
    let device = part(5).and_then(|name| name.strip_prefix("eth")?.parse::<u8>().ok());
    let mut config = match address(part(0))? {
        None => InterfaceConfig::dynamic(),
        Some(own) => InterfaceConfig {
            addresses: alloc::vec![with_mask(own, address(part(3))?)?],
            ..InterfaceConfig::default()
        },
    };
    config.gateways = list(part(2))?;
    for at in [7, 8] {
        let servers = list(part(at))?.into_iter();
        config.dns_servers.extend(servers.map(name_server_at));
    }
    Ok((usize::from(device.unwrap_or(0)), config))
}

fn list(part: Option<&str>) -> Result<Vec<IpAddr>, Failure> {
    Ok(address(part)?.map(IpAddr::V4).into_iter().collect())
}

/// The address in this part; `None` for none and for 0.0.0.0.
fn address(part: Option<&str>) -> Result<Option<Ipv4Addr>, Failure> {
    let Some(text) = part else {
        return Ok(None);
    };
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Ok(Some(address).filter(|address| !address.is_unspecified())),
        Err(_) => Err(wrong(text, "an address such as 10.0.0.2")),
    }
}

/// The address with the prefix of this mask, or without one with that of its class.
fn with_mask(address: Ipv4Addr, mask: Option<Ipv4Addr>) -> Result<Cidr, Failure> {
    let len = match (mask, address.octets()[0]) {
        (Some(mask), _) => {
            let bits = mask.to_bits();
            if bits.leading_ones() + bits.trailing_zeros() != 32 {
                return Err(wrong(&format!("{mask}"), "a netmask such as 255.255.255.0"));
            }
            bits.leading_ones() as u8
        }
        (None, 0..128) => 8,
        (None, 128..192) => 16,
        (None, _) => 24,
    };
    Cidr::new(IpAddr::V4(address), len)
        .map_err(|_| wrong(&format!("{address}"), "the address of a host"))
}

fn wrong(text: &str, wanted: &str) -> Failure {
    let detail = format!(
        "ip= on the command line: \"{text}\" is not {wanted} \
        (ADDRESS::GATEWAY:NETMASK:HOST:DEVICE:off)"
    );
    Failure::new(Error::BadConfiguration, detail)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use ::net::InterfaceConfig;
    use proptest::option;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use std::format;
    use std::net::{IpAddr, Ipv4Addr};
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// Interface, addresses, gateways, name servers, as text.
    fn read(text: &str) -> (usize, Vec<String>, Vec<String>, Vec<String>) {
        let (index, config) = parse(text).expect("valid");
        assert_eq!(config.dhcp, config.addresses.is_empty());
        assert_eq!(config.slaac, config.addresses.is_empty());
        let strings = |list: &[IpAddr]| list.iter().map(IpAddr::to_string).collect();
        let addresses = config.addresses.iter().map(ToString::to_string).collect();
        (
            index,
            addresses,
            strings(&config.gateways),
            config
                .dns_servers
                .iter()
                .map(|s| s.ip().to_string())
                .collect(),
        )
    }

    fn strings<const N: usize>(words: [&str; N]) -> Vec<String> {
        words.map(String::from).to_vec()
    }

    #[test]
    fn reads_what_others_write() {
        // urunc, Firecracker's documentation, the kernel's.
        for text in [
            "172.16.0.2::172.16.0.1:255.255.255.0:urunc:eth0:off",
            "172.16.0.2::172.16.0.1:255.255.255.0::eth0:off",
            "172.16.0.2:10.9.9.9:172.16.0.1:255.255.255.0:host:ens3:none::",
        ] {
            let expected = (
                0,
                strings(["172.16.0.2/24"]),
                strings(["172.16.0.1"]),
                strings([]),
            );
            assert_eq!(read(text), expected, "{text}");
        }
        let all = "10.1.2.3::10.0.0.1:255.0.0.0:h:eth2:off:1.1.1.1:9.9.9.9:10.0.0.5";
        let servers = strings(["1.1.1.1", "9.9.9.9"]);
        let expected = (2, strings(["10.1.2.3/8"]), strings(["10.0.0.1"]), servers);
        assert_eq!(read(all), expected);
    }

    #[test]
    fn without_a_mask_the_class_decides() {
        for (text, expected) in [
            ("10.1.2.3", "10.1.2.3/8"),
            ("172.16.0.2::::::off", "172.16.0.2/16"),
            ("192.168.1.2:::", "192.168.1.2/24"),
            ("10.1.2.3:::255.255.255.255", "10.1.2.3/32"),
        ] {
            assert_eq!(read(text).1, [expected], "{text}");
        }
    }

    #[test]
    fn without_an_address_there_is_autoconfiguration() {
        for text in ["", "dhcp", "on", "off", "none", "0.0.0.0", ":::::eth0:dhcp"] {
            assert_eq!(
                read(text),
                (0, strings([]), strings([]), strings([])),
                "{text}"
            );
        }
        let (index, config) = parse("::::host:eth1:dhcp:1.1.1.1").expect("valid");
        let mut expected = InterfaceConfig::dynamic();
        expected.dns_servers = ["1.1.1.1:53".parse().expect("address")].to_vec();
        assert_eq!((index, config), (1, expected));
    }

    #[test]
    fn says_which_part_is_wrong() {
        for (text, part) in [
            ("10.0.0.300::", "\"10.0.0.300\" is not an address"),
            ("fd00::2", "\"fd00\" is not an address"),
            ("10.0.0.2::gateway", "\"gateway\" is not an address"),
            ("10.0.0.2:::24", "\"24\" is not an address"),
            ("10.0.0.2:::255.0.255.0", "\"255.0.255.0\" is not a netmask"),
            ("224.0.0.1:::", "\"224.0.0.1\" is not the address of a host"),
            ("10.0.0.2:::::::dns", "\"dns\" is not an address"),
        ] {
            let failure = parse(text).expect_err("refused");
            assert!(failure.detail.contains(part), "{text}: {}", failure.detail);
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_was_written(
            host in 1u32..0x7f00_0000,
            len in 0u8..=32,
            gateway in option::of(any::<[u8; 4]>()),
            interface in any::<u8>(),
            servers in any::<[Option<[u8; 4]>; 2]>(),
            end in 0usize..3,
        ) {
            let text = |bytes: Option<[u8; 4]>| {
                bytes.map(|bytes| Ipv4Addr::from(bytes).to_string()).unwrap_or_default()
            };
            let address = Ipv4Addr::from_bits(host);
            let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0));
            let line = format!(
                "{address}:1.2.3.4:{}:{mask}:name:eth{interface}:off:{}:{}{}",
                text(gateway), text(servers[0]), text(servers[1]), &":::"[..end],
            );
            let (index, config) = parse(&line).expect("valid");
            let some = |address: Option<[u8; 4]>| {
                address.filter(|bytes| *bytes != [0; 4]).map(IpAddr::from)
            };
            prop_assert_eq!(index, usize::from(interface));
            // Without a mask (0.0.0.0) the class decides.
            if len > 0 {
                prop_assert_eq!(config.addresses[0].to_string(), format!("{address}/{len}"));
            }
            prop_assert_eq!(config.addresses.len(), 1);
            prop_assert_eq!(config.gateways, some(gateway).into_iter().collect::<Vec<_>>());
            let servers: Vec<IpAddr> = servers.into_iter().filter_map(some).collect();
            let found: Vec<IpAddr> = config.dns_servers.iter().map(|s| s.ip()).collect();
            prop_assert_eq!(found, servers);
            prop_assert!(!config.dhcp && !config.slaac);
        }

        #[test]
        fn survives_any_text(text in "[0-9a-z:.\\[\\]]{0,60}", other in any::<String>()) {
            let _ = parse(&text);
            let _ = parse(&other);
        }
    }
}
