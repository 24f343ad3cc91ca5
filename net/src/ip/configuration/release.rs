//! Release of DHCP leases before the program ends.

use core::net::IpAddr;

use crate::ip::{LOOPBACK, Net};

/// Maximum time for the servers, and for resolving the way to them.
const RELEASE_TIMEOUT_NS: u64 = 1_000_000_000;

impl Net {
    /// Releases DHCP leases at the servers (RFC 2131, 4.4.6; RFC 8415, 18.2.7); returns whether
    /// that is complete or has timed out.
    #[cold]
    pub(crate) fn release_leases(&mut self) -> bool {
        let now_ns = self.now_ns;
        if let Some(until_ns) = self.release_until_ns {
            let mut interfaces = self.interfaces.iter();
            let waits = interfaces.any(|i| {
                let asks = i.dhcp6.as_ref().is_some_and(|client| client.is_releasing());
                asks || i.neighbors.has_pending()
            });
            return now_ns >= until_ns || !waits;
        }
        let mut any = false;
        for n in LOOPBACK + 1..self.interfaces.len() {
            let Some(i) = self.interfaces.get_mut(n) else {
                break;
            };
            i.due_ns = 0;
            let random = &mut self.random;
            let message = i.dhcp.as_mut().and_then(|c| c.release(now_ns, random));
            let given_back = i.dhcp6.as_mut().is_some_and(|c| c.release(now_ns));
            any |= given_back || message.is_some();
            if given_back {
                self.configure(n);
            }
            if let Some(message) = message
                && let Some(to) = message.to
            {
                let (from, to) = (IpAddr::V4(message.source), IpAddr::V4(to));
                self.send_configuration(n, (from, 68), (to, 67), &message.payload);
            }
        }
        let wait_ns = if any { RELEASE_TIMEOUT_NS } else { 0 };
        self.release_until_ns = Some(now_ns.saturating_add(wait_ns));
        !any
    }
}
