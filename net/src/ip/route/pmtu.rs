//! The cache of path MTUs (RFC 1191, RFC 8201), bounded in number and age.

use alloc::collections::VecDeque;
use core::net::IpAddr;

/// RFC 1191, 6.3; RFC 8201, 5.3: ten minutes.
const LIFETIME_NS: u64 = 600_000_000_000;
/// Maximum number of paths; the oldest is evicted.
const PATHS: usize = 256;
/// Minimum accepted value: RFC 8200, 5; for IPv4 as in Linux, since 68 would let a forger make us
/// send a header for every few bytes.
const MIN_V6: u32 = 1280;
const MIN_V4: u32 = 552;
/// MTUs of common links, for routers that don't report theirs (RFC 1191, 7).
const PLATEAUS: [u32; 7] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006];

/// Paths whose MTU is smaller than their first link's.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    paths: VecDeque<(IpAddr, u32, u64)>,
}

impl PathMtus {
    /// Records that packets to `remote` may have `mtu` bytes; 0: less than `sent`, but unknown.
    /// Returns whether the path MTU has changed.
    pub(crate) fn learn(&mut self, remote: IpAddr, mtu: u32, sent: u32, now_ns: u64) -> bool {
        let mtu = match mtu {
            0 => PLATEAUS
                .into_iter()
                .find(|plateau| *plateau < sent)
                .unwrap_or(MIN_V4),
            mtu => mtu,
        };
        let mtu = mtu.max(match remote {
            IpAddr::V4(_) => MIN_V4,
            IpAddr::V6(_) => MIN_V6,
        });
        // It only shrinks until it expires: a larger value is an error or a forgery.
        if mtu >= sent || self.get(remote, now_ns).is_some_and(|known| mtu >= known) {
            return false;
        }
        self.paths.retain(|(other, _, _)| *other != remote);
        if self.paths.len() >= PATHS {
            self.paths.pop_front();
        }
        self.paths
            .push_back((remote, mtu, now_ns.saturating_add(LIFETIME_NS)));
        true
    }

    /// The path MTU to `remote`, if known.
    pub(crate) fn get(&self, remote: IpAddr, now_ns: u64) -> Option<u32> {
        self.paths
            .iter()
            .find(|(other, _, until_ns)| *other == remote && *until_ns > now_ns)
            .map(|(_, mtu, _)| *mtu)
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFETIME_NS, PATHS, PathMtus};
    use core::net::IpAddr;

    #[test]
    fn rfc1191_and_rfc8201() {
        let (a, b): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let mut paths = PathMtus::default();
        assert!(paths.learn(a, 1400, 1500, 5) && !paths.learn(a, 1450, 1500, 5));
        assert_eq!(paths.get(a, LIFETIME_NS + 4), Some(1400));
        assert_eq!(paths.get(a, LIFETIME_NS + 5), None);
        // RFC 1191, 7: routers that don't report one; RFC 8201, 4: never below 1280.
        assert!(paths.learn(a, 0, 1400, LIFETIME_NS * 2));
        assert_eq!(paths.get(a, LIFETIME_NS * 2), Some(1006));
        assert!(paths.learn(b, 300, 1500, 0));
        assert_eq!(paths.get(b, 0), Some(1280));
        assert!(paths.learn(a, 70, 1006, LIFETIME_NS * 2));
        assert_eq!(paths.get(a, LIFETIME_NS * 2), Some(552));
        for n in 0..10_000u32 {
            paths.learn(core::net::Ipv4Addr::from_bits(n).into(), 1000, 1500, 0);
        }
        assert_eq!(paths.paths.len(), PATHS);
    }
}
