//! The key of a connection: the 4-tuple of its segments.

use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Both ends of a connection. IPv4 addresses are stored in IPv4-mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    /// In words of four bytes, so that a key has no padding.
    local: [u32; 4],
    remote: [u32; 4],
    ports: u32,
}

impl FlowKey {
    pub(crate) fn new(local: (IpAddr, u16), remote: (IpAddr, u16)) -> FlowKey {
        FlowKey {
            local: words(local.0),
            remote: words(remote.0),
            ports: u32::from(local.1) << 16 | u32::from(remote.1),
        }
    }

    /// This end.
    pub(crate) fn local(&self) -> (IpAddr, u16) {
        (address(self.local), (self.ports >> 16) as u16)
    }

    /// The other end.
    pub(crate) fn remote(&self) -> (IpAddr, u16) {
        (address(self.remote), self.ports as u16)
    }

    /// Calls `f` with the whole key, word by word.
    pub(crate) fn each_word(&self, mut f: impl FnMut(u64)) {
        for [a, b] in [self.local, self.remote].as_flattened().as_chunks().0 {
            f(u64::from(*a) << 32 | u64::from(*b));
        }
        f(u64::from(self.ports));
    }
}

fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(a) => [0, 0, 0xffff, a.to_bits()],
        IpAddr::V6(a) => {
            let bits = a.to_bits();
            [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
        }
    }
}

/// The address of its words. Packets with an IPv4-mapped address in an IPv6 header are dropped.
fn address(words: [u32; 4]) -> IpAddr {
    match words {
        [0, 0, 0xffff, a] => IpAddr::V4(Ipv4Addr::from_bits(a)),
        _ => {
            let bits = words
                .iter()
                .fold(0, |bits, word| bits << 32 | u128::from(*word));
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // A peer chooses most of these bits: the hasher is keyed.
        self.each_word(|word| state.write_u64(word));
    }
}

#[cfg(test)]
mod tests {
    use super::FlowKey;
    use crate::hash::KeyedHash;
    use core::hash::BuildHasher;
    use core::net::{IpAddr, Ipv4Addr};

    #[test]
    fn ports_and_addresses_spread() {
        let mut seed = 7u64;
        let keyed = KeyedHash::new(&mut || {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            seed
        });
        let local = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 80);
        let mut low = vec![0u32; 1024];
        for n in 0..65_536u32 {
            let peer = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n / 256));
            let key = FlowKey::new(local, (peer, 1024 + (n % 256) as u16));
            low[(keyed.hash_one(key) & 1023) as usize] += 1;
        }
        // 64 are expected in each; a bad hash gives some thousands.
        assert!(low.iter().all(|n| *n < 160), "{:?}", low.iter().max());
    }
}
