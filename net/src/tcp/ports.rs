//! Ephemeral ports, chosen at random (RFC 6056, algorithm 2).

use core::net::IpAddr;

use crate::Error;
use crate::flow::FlowKey;
use crate::shared::Core;

const FIRST: u16 = 32_768;
const COUNT: u16 = 32_768;

impl Core {
    /// Calls `free` with candidate ports, from a random one on, until it agrees.
    fn ephemeral(&mut self, free: impl Fn(&Core, u16) -> bool) -> Result<u16, Error> {
        let start = (self.random)() as u16 % COUNT;
        (0..COUNT)
            .map(|n| FIRST + (start + n) % COUNT)
            .find(|port| free(self, *port))
            .ok_or(Error::PortsExhausted)
    }

    /// A port from which `remote` isn't connected yet, and that nobody listens to.
    pub(crate) fn ephemeral_tcp(
        &mut self,
        local: IpAddr,
        remote: (IpAddr, u16),
    ) -> Result<u16, Error> {
        self.ephemeral(|core, port| {
            !core.listeners.contains_key(&port)
                && !core
                    .flows
                    .contains_key(&FlowKey::new((local, port), remote))
        })
    }

    /// A port that nobody listens to.
    pub(crate) fn ephemeral_listener(&mut self) -> Result<u16, Error> {
        self.ephemeral(|core, port| !core.listeners.contains_key(&port))
    }

    /// A port that no UDP socket has.
    pub(crate) fn ephemeral_udp(&mut self) -> Result<u16, Error> {
        self.ephemeral(|core, port| !core.udp_ports.contains_key(&port))
    }
}
