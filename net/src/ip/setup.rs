//! Making the layer and its interfaces.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{Address, Source};
use super::autoconf::Autoconf;
use super::drops::{Bucket, Drops};
use super::filter::{Filter, FilterRule};
use super::header::Framing;
use super::multicast::Memberships;
use super::neighbor::Neighbors;
use super::packet::HOP_LIMIT;
use super::queue::Queue;
use super::route::Entry;
use super::{Interface, Ip, LOOPBACK, Net, Port, Random, dhcp, dhcp6};
use crate::hash::Keyed;
use crate::types::Link;
use crate::types::{Cidr, InterfaceConfig};
use crate::types::{Error, InterfaceId};

/// The largest IP packet, and the smallest MTU that a link may have (RFC 1122, 3.3.2 has 576).
const IP_MAX: usize = 65_535;
const MTU_MIN: usize = 576;
/// Interfaces of one machine, VLANs among them.
const INTERFACES: usize = 64;
/// Routes added by themselves.
const ROUTES: usize = 64;
/// Answers to echo requests a second and at once; errors a second and at once (in thirds of tokens:
/// see `may_complain`).
const ECHOES: (u64, u64) = (20_000, 2_000);
const ERRORS: (u64, u64) = (2_000, 200);

impl Ip {
    /// A layer with the loopback interface (127.0.0.1/8, ::1/128) and no other.
    pub(crate) fn new(loopback: Box<dyn Link>, keyed: Keyed, mut random: Random) -> Ip {
        let identification = random.bits() as u16;
        let mut ip = Ip {
            ports: Vec::new(),
            net: Net {
                overload: Default::default(),
                now_ns: 0,
                interfaces: Vec::new(),
                queues: Vec::new(),
                routes: Default::default(),
                extra_routes: Vec::new(),
                random,
                memory_short: false,
                drops: Drops::default(),
                filter: Filter::default(),
                reassembly: Default::default(),
                path_mtus: Default::default(),
                redirects: Default::default(),
                release_until_ns: None,
                identification,
                echo_bucket: Bucket::new(ECHOES.0, ECHOES.1),
                error_bucket: Bucket::new(ERRORS.0, ERRORS.1),
                ethertypes: Vec::new(),
                lost: Vec::new(),
                errors: Vec::new(),
                changed: true,
                keyed,
            },
        };
        let mut interface =
            ip.interface(LOOPBACK, Framing::Ip, &InterfaceConfig::default(), IP_MAX);
        let own = [
            (IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
        ];
        interface.addresses = own
            .map(|(address, prefix_len)| {
                Address::new(
                    Cidr {
                        address,
                        prefix_len,
                    },
                    Source::Fixed,
                    true,
                )
            })
            .to_vec();
        interface.due_ns = u64::MAX;
        ip.add_port(loopback);
        ip.net.interfaces.push(interface);
        ip
    }

    fn add_port(&mut self, link: Box<dyn Link>) -> usize {
        let capabilities = link.capabilities();
        self.ports.push(Port { link, capabilities });
        self.net.queues.push(Queue::default());
        self.ports.len() - 1
    }

    fn interface(
        &mut self,
        port: usize,
        framing: Framing,
        config: &InterfaceConfig,
        mtu: usize,
    ) -> Interface {
        let mac = match framing {
            Framing::Ethernet { mac, .. } => mac,
            Framing::Ip => [0; 6],
        };
        let now_ns = self.net.now_ns;
        let random = &mut self.net.random;
        Interface {
            port,
            framing,
            link_mtu: mtu,
            mtu,
            mtu_v6: mtu,
            config: config.clone(),
            addresses: Vec::new(),
            neighbors: Neighbors::new(self.net.keyed),
            memberships: Memberships::default(),
            dhcp: config.dhcp.then(|| dhcp::Client::new(mac, now_ns)),
            dhcp6: config.slaac.then(|| dhcp6::Client::new(mac)),
            autoconf: config
                .slaac
                .then(|| Autoconf::new(mac, config.temporary_addresses, now_ns, random)),
            waiting: Vec::new(),
            counters: Default::default(),
            duplicates: 0,
            hop_limit: HOP_LIMIT,
            due_ns: 0,
        }
    }

    /// Adds a link and its interface. See [`crate::Stack::add_interface`].
    pub(crate) fn add_interface(
        &mut self,
        link: Box<dyn Link>,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        let capabilities = link.capabilities();
        let mac = capabilities.mac;
        if mac[0] & 1 != 0 || mac == [0; 6] || self.net.interfaces.len() >= INTERFACES {
            return Err(Error::InvalidArgument);
        }
        check(config)?;
        let framing = Framing::Ethernet { mac, vlan: None };
        let mtu = capabilities.mtu.clamp(MTU_MIN, IP_MAX);
        let port = self.add_port(link);
        let interface = self.interface(port, framing, config, mtu);
        Ok(self.push(interface))
    }

    /// Adds an interface for a VLAN of a link. See [`crate::Stack::add_vlan`].
    pub(crate) fn add_vlan(
        &mut self,
        parent: InterfaceId,
        id: u16,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        check(config)?;
        let under = self
            .net
            .interfaces
            .get(parent.0)
            .ok_or(Error::InvalidArgument)?;
        let Framing::Ethernet { mac, vlan: None } = under.framing else {
            return Err(Error::InvalidArgument);
        };
        let framing = Framing::Ethernet {
            mac,
            vlan: Some(id),
        };
        let taken = self
            .net
            .interfaces
            .iter()
            .any(|i| i.port == under.port && i.framing == framing);
        // 802.1Q, 9.6: 0 is no VLAN and 4095 is reserved.
        if !(1..4095).contains(&id) || taken || self.net.interfaces.len() >= INTERFACES {
            return Err(Error::InvalidArgument);
        }
        // Links carry the four bytes of the tag beyond their MTU.
        let (port, mtu) = (under.port, under.link_mtu);
        let interface = self.interface(port, framing, config, mtu);
        Ok(self.push(interface))
    }

    fn push(&mut self, interface: Interface) -> InterfaceId {
        self.net.interfaces.push(interface);
        let number = self.net.interfaces.len() - 1;
        self.net.configure(number);
        InterfaceId(number)
    }
}

impl Net {
    /// Adds a route to `destination` (a network) over an interface, by way of a gateway or
    /// directly.
    pub(crate) fn add_route(
        &mut self,
        (network, prefix_len): (IpAddr, u8),
        interface: InterfaceId,
        gateway: Option<IpAddr>,
    ) -> Result<(), Error> {
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let other = gateway.is_some_and(|g| g.is_ipv4() != network.is_ipv4());
        let unknown = interface.0 == LOOPBACK || interface.0 >= self.interfaces.len();
        if prefix_len > bits || other || unknown || self.extra_routes.len() >= ROUTES {
            return Err(Error::InvalidArgument);
        }
        self.extra_routes.push(Entry {
            network,
            prefix_len,
            interface: interface.0,
            gateway,
            preference: 2,
        });
        self.rebuild_routes();
        Ok(())
    }

    /// Takes away what [`Net::add_route`] added.
    pub(crate) fn remove_route(&mut self, network: (IpAddr, u8), interface: InterfaceId) -> bool {
        let before = self.extra_routes.len();
        self.extra_routes.retain(|entry| {
            (entry.network, entry.prefix_len) != network || entry.interface != interface.0
        });
        let found = self.extra_routes.len() < before;
        if found {
            self.rebuild_routes();
        }
        found
    }

    /// Puts these rules in force instead of all before.
    pub(crate) fn set_filter(&mut self, rules: &[FilterRule]) -> Result<(), Error> {
        self.filter = Filter::new(rules)?;
        Ok(())
    }
}

/// Whether a configuration makes sense.
fn check(config: &InterfaceConfig) -> Result<(), Error> {
    let families = |v4| config.gateways.iter().filter(|g| g.is_ipv4() == v4).count();
    let gateways_sound = config.gateways.iter().all(|g| Cidr::new(*g, 0).is_ok());
    let addresses_sound = config
        .addresses
        .iter()
        .all(|c| Cidr::new(c.address, c.prefix_len).is_ok());
    if config.addresses.len() > 4
        || families(true) > 1
        || families(false) > 1
        || !gateways_sound
        || !addresses_sound
    {
        return Err(Error::InvalidArgument);
    }
    Ok(())
}
