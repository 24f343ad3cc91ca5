//! The DHCPv4 client of an interface (RFC 2131): smoltcp's socket, and the lease it got.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::time::Duration;

use crate::config::{Cidr, is_unicast_v4};

/// What the server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Cidr,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) dns_servers: Vec<Ipv4Addr>,
}

/// The client: searching as long as there is no lease.
pub(crate) struct Client {
    pub(crate) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(crate) lease: Option<Lease>,
}

impl Client {
    pub(crate) fn new() -> Client {
        let mut socket = Socket::new();
        // smoltcp waits 10 s for an offer; the first packets of a machine are often lost while its
        // switch port comes up.
        let mut retry = RetryConfig::default();
        retry.discover_timeout = Duration::from_secs(2);
        retry.initial_request_timeout = Duration::from_secs(2);
        socket.set_retry_config(retry);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Client {
            set,
            handle,
            lease: None,
        }
    }

    /// Takes news from the socket; tells whether there were any.
    pub(crate) fn update(&mut self) -> bool {
        let lease = match self.set.get_mut::<Socket<'_>>(self.handle).poll() {
            None => return false,
            Some(Event::Deconfigured) => None,
            Some(Event::Configured(config)) => {
                let address = IpAddr::V4(config.address.address());
                Cidr::new(address, config.address.prefix_len())
                    .ok()
                    .map(|address| Lease {
                        address,
                        gateway: config.router.filter(|router| is_unicast_v4(*router)),
                        dns_servers: config.dns_servers.iter().copied().collect(),
                    })
            }
        };
        let changed = lease != self.lease;
        self.lease = lease;
        changed
    }
}
