//! New interfaces: for a link, or for a VLAN on one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ip::configuration::slaac::Slaac;
use crate::ip::configuration::{dhcp, dhcp6};
use crate::ip::frames::Queue;
use crate::ip::multicast::Memberships;
use crate::ip::neighbor::Neighbors;
use crate::ip::wire::header::HOP_LIMIT;
use crate::ip::wire::header::{Framing, IP_MAX};
use crate::ip::{Interface, Ip, Port};
use crate::types::{Cidr, Error, InterfaceConfig, InterfaceId, Link};

/// The minimum MTU of a link (RFC 1122, 3.3.2).
const MTU_MIN: usize = 576;
/// Maximum number of interfaces, VLANs included.
const INTERFACES: usize = 64;

impl Ip {
    pub(in crate::ip) fn add_port(&mut self, link: Box<dyn Link>) -> usize {
        let capabilities = link.capabilities();
        self.ports.push(Port { link, capabilities });
        self.net.queues.push(Queue::default());
        self.ports.len() - 1
    }

    /// A new interface without addresses; the caller adds it.
    pub(in crate::ip) fn interface(
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
            slaac: config
                .slaac
                .then(|| Slaac::new(mac, config.temporary_addresses, now_ns, random)),
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
        // Links carry the four bytes of the tag in addition to their MTU.
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

/// Whether a configuration is valid.
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
