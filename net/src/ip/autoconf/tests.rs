use alloc::vec::Vec;
use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::{AUTONOMOUS, Autoconf, PREFIXES, ROUTERS, ROUTES, SECOND, SERVERS, TEMPORARY};
use crate::ip::random::Random;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

fn header(lifetime: u16) -> [u8; 16] {
    let mut header = [0; 16];
    header[6..8].copy_from_slice(&lifetime.to_be_bytes());
    header
}

fn prefix(valid: u32, preferred: u32) -> Vec<u8> {
    let mut option = vec![3, 4, 64, 0xc0];
    option.extend(valid.to_be_bytes());
    option.extend(preferred.to_be_bytes());
    option.extend([0; 4]);
    option.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).octets());
    option
}

fn take(autoconf: &mut Autoconf, option: &[u8], now_ns: u64) {
    let options = [(option[0], option)];
    autoconf.advertisement(
        ROUTER,
        &header(1800),
        &options,
        now_ns,
        &mut Random::seeded(1),
    );
}

/// RFC 4862, 5.5.3 (e): the three cases.
#[test]
fn rfc4862_section_5_5_3_the_two_hour_rule() {
    let valid = |autoconf: &Autoconf| autoconf.made[0].valid_until_ns / SECOND;
    let mut autoconf = Autoconf::new(MAC, false, 0, &mut Random::seeded(9));
    take(&mut autoconf, &prefix(86_400, 3600), 0);
    assert_eq!(valid(&autoconf), 86_400);
    // Shorter than two hours, and more than that left: two hours.
    take(&mut autoconf, &prefix(60, 60), 1000 * SECOND);
    assert_eq!(valid(&autoconf), 1000 + 7200);
    // Less than that left: ignored, but for the preferred lifetime.
    take(&mut autoconf, &prefix(60, 30), 2000 * SECOND);
    assert_eq!(valid(&autoconf), 1000 + 7200);
    assert_eq!(autoconf.made[0].preferred_until_ns, 2030 * SECOND);
    // Longer than what is left, or than two hours: taken.
    take(&mut autoconf, &prefix(7000, 30), 3000 * SECOND);
    assert_eq!(valid(&autoconf), 10_000);
    take(&mut autoconf, &prefix(7201, 30), 3000 * SECOND);
    assert_eq!(valid(&autoconf), 10_201);
    assert!(autoconf.expire(10_201 * SECOND, &mut Random::seeded(1)));
    assert!(autoconf.made.is_empty());
}

#[test]
fn rfc4862_section_5_5_3_prefixes_that_make_no_address() {
    let mut autoconf = Autoconf::new(MAC, false, 0, &mut Random::seeded(9));
    // Preferred longer than valid; not autonomous; not of 64 bits; no lifetime.
    take(&mut autoconf, &prefix(60, 61), 0);
    for (at, value) in [(3, 0x80), (2, 63)] {
        let mut option = prefix(9000, 9000);
        option[at] = value;
        take(&mut autoconf, &option, 0);
    }
    take(&mut autoconf, &prefix(0, 0), 0);
    assert!(autoconf.made.is_empty());
}

proptest! {
    /// Whatever routers say, the bounds hold, and everything ends with its time.
    #[test]
    fn bounds_hold(
        messages in proptest::collection::vec(
            (
                any::<u8>(),
                any::<u16>(),
                proptest::collection::vec((0..6usize, any::<[u8; 30]>()), 0..8),
            ),
            1..200,
        ),
    ) {
        let mut autoconf = Autoconf::new(MAC, true, 0, &mut Random::seeded(9));
        let mut random = Random::seeded(3);
        for (n, (from, lifetime, options)) in messages.into_iter().enumerate() {
            let now_ns = n as u64 * SECOND;
            let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(from));
            let made: Vec<Vec<u8>> = options
                .into_iter()
                .map(|(kind, bytes)| {
                    let mut option = vec![[3, 5, 24, 25, 31, 3][kind], 4];
                    option.extend(bytes);
                    if kind == 5 {
                        // A sound prefix of any network.
                        option[2..4].copy_from_slice(&[64, 0xc0]);
                        option[8] = 0;
                        option[16] = 0x20;
                    }
                    option
                })
                .collect();
            let options: Vec<(u8, &[u8])> = made.iter().map(|o| (o[0], o.as_slice())).collect();
            autoconf.advertisement(from, &header(lifetime), &options, now_ns, &mut random);
            autoconf.expire(now_ns, &mut random);
            prop_assert!(autoconf.routers.len() <= ROUTERS && autoconf.prefixes.len() <= PREFIXES);
            prop_assert!(autoconf.made.len() <= AUTONOMOUS + TEMPORARY);
            prop_assert!(autoconf.routes.len() <= ROUTES && autoconf.servers.len() <= SERVERS);
            prop_assert!(autoconf.next_ns(now_ns).is_none_or(|at_ns| at_ns > now_ns));
        }
    }
}
