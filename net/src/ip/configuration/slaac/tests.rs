use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use proptest::prelude::*;

use super::{
    AUTONOMOUS, DOMAINS, PREFIXES, REGENERATE_NS, ROUTERS, ROUTES, SECOND, SERVERS, Slaac,
    TEMPORARY, TEMPORARY_PREFERRED_NS, TEMPORARY_VALID_NS,
};
use crate::ip::address::Source;
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

fn take(slaac: &mut Slaac, option: &[u8], now_ns: u64) {
    let options = [(option[0], option)];
    slaac.advertisement(
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
    let valid = |slaac: &Slaac| slaac.made[0].valid_until_ns / SECOND;
    let mut slaac = Slaac::new(MAC, false, 0, &mut Random::seeded(9));
    take(&mut slaac, &prefix(86_400, 3600), 0);
    assert_eq!(valid(&slaac), 86_400);
    // Shorter than two hours, and more than that left: two hours.
    take(&mut slaac, &prefix(60, 60), 1000 * SECOND);
    assert_eq!(valid(&slaac), 1000 + 7200);
    // Less than that left: ignored, except the preferred lifetime.
    take(&mut slaac, &prefix(60, 30), 2000 * SECOND);
    assert_eq!(valid(&slaac), 1000 + 7200);
    assert_eq!(slaac.made[0].preferred_until_ns, 2030 * SECOND);
    // Longer than the time left, or than two hours: accepted.
    take(&mut slaac, &prefix(7000, 30), 3000 * SECOND);
    assert_eq!(valid(&slaac), 10_000);
    take(&mut slaac, &prefix(7201, 30), 3000 * SECOND);
    assert_eq!(valid(&slaac), 10_201);
    assert!(slaac.expire(10_201 * SECOND, &mut Random::seeded(1)));
    assert!(slaac.made.is_empty());
}

#[test]
fn rfc4862_section_5_5_3_prefixes_that_make_no_address() {
    let mut slaac = Slaac::new(MAC, false, 0, &mut Random::seeded(9));
    // Preferred longer than valid; not autonomous; not of 64 bits; no lifetime.
    take(&mut slaac, &prefix(60, 61), 0);
    for (at, value) in [(3, 0x80), (2, 63)] {
        let mut option = prefix(9000, 9000);
        option[at] = value;
        take(&mut slaac, &option, 0);
    }
    take(&mut slaac, &prefix(0, 0), 0);
    assert!(slaac.made.is_empty());
}

fn new(temporary: bool) -> Slaac {
    Slaac::new(MAC, temporary, 0, &mut Random::seeded(9))
}

/// An advertisement of any router.
fn receive(slaac: &mut Slaac, from: Ipv6Addr, header: &[u8; 16], option: &[u8], now_ns: u64) {
    let options = [(option.first().copied().unwrap_or(0), option)];
    slaac.advertisement(from, header, &options, now_ns, &mut Random::seeded(1));
}

fn router(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n)
}

/// A prefix option of any prefix.
fn prefix_of(prefix: Ipv6Addr, len: u8, flags: u8, seconds: u32) -> Vec<u8> {
    let mut option = vec![3, 4, len, flags];
    option.extend(seconds.to_be_bytes());
    option.extend(seconds.to_be_bytes());
    option.extend([0; 4]);
    option.extend(prefix.octets());
    option
}

fn network(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, n, 0, 0, 0, 0, 0, 0)
}

/// A route option of `bytes` bytes of prefix.
fn route(prefix: Ipv6Addr, len: u8, bits: u8, seconds: u32, bytes: usize) -> Vec<u8> {
    let mut option = vec![24, 0, len, bits << 3];
    option.extend(seconds.to_be_bytes());
    option.extend(&prefix.octets()[..bytes]);
    option
}

fn servers(seconds: u32, list: &[Ipv6Addr]) -> Vec<u8> {
    let mut option = vec![25, 0, 0, 0];
    option.extend(seconds.to_be_bytes());
    list.iter()
        .for_each(|server| option.extend(server.octets()));
    option
}

fn domain(seconds: u32, name: &str) -> Vec<u8> {
    let mut option = vec![31, 0, 0, 0];
    option.extend(seconds.to_be_bytes());
    option.push(name.len() as u8);
    option.extend(name.bytes());
    option.push(0);
    option
}

#[test]
fn rfc4861_section_4_2_the_fields_of_an_advertisement() {
    let mut slaac = new(false);
    let mut say = |at: usize, bytes: &[u8]| {
        let mut header = header(1800);
        header[at..at + bytes.len()].copy_from_slice(bytes);
        receive(&mut slaac, ROUTER, &header, &[], 0);
        let Slaac { managed, other, .. } = slaac;
        let Slaac {
            reachable_ns,
            retransmit_ns,
            hop_limit,
            ..
        } = slaac;
        ((managed, other), (reachable_ns, retransmit_ns, hop_limit))
    };
    assert_eq!(say(5, &[0]), ((false, false), (None, None, None)));
    assert_eq!(say(5, &[0x80]).0, (true, false));
    assert_eq!(say(5, &[0x40]).0, (false, true));
    assert_eq!(say(5, &[0x3f]).0, (false, false));
    // An hour at most (RFC 4861, 6.2.1); values that a router doesn't specify are kept.
    let reachable_ms = |ms: u32| ms.to_be_bytes();
    assert_eq!(say(8, &reachable_ms(3_600_001)).1, (None, None, None));
    let hour = Some(3600 * SECOND);
    assert_eq!(say(8, &reachable_ms(3_600_000)).1, (hour, None, None));
    let second = Some(SECOND);
    assert_eq!(say(12, &[0, 0, 3, 232]).1, (hour, second, None));
    assert_eq!(say(4, &[9]).1, (hour, second, Some(9)));
    assert_eq!(say(4, &[0]).1, (hour, second, Some(9)));
}

#[test]
fn rfc4191_section_2_1_preferences_of_routers_and_routes() {
    let mut slaac = new(false);
    for (n, bits) in [(1, 3), (2, 2), (3, 1), (4, 0)] {
        let mut header = header(1800);
        header[5] = bits << 3;
        receive(
            &mut slaac,
            router(n),
            &header,
            &route(network(n), 32, bits, 9, 4),
            0,
        );
    }
    // The reserved value is medium for a router, and no route.
    let order: Vec<_> = slaac.routers().collect();
    assert_eq!(order, [3, 2, 4, 1].map(|n| IpAddr::V6(router(n))));
    let mut entries = Vec::new();
    slaac.entries(5, &mut entries);
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.prefix_len, e.preference))
        .collect();
    let defaults = [(0, -1), (0, 0), (0, 1), (0, 0)];
    assert_eq!(seen[..4], defaults);
    assert_eq!(seen[4..], [(32, -1), (32, 1), (32, 0)]);
    assert!(
        entries
            .iter()
            .all(|e| e.interface == 5 && e.gateway.is_some())
    );
    assert!(slaac.forget_router(router(1)) && !slaac.forget_router(router(1)));
}

#[test]
fn rfc4861_section_6_3_4_prefixes_that_count() {
    let len = |option: &[u8]| {
        let mut slaac = new(false);
        take(&mut slaac, option, 0);
        (slaac.prefixes.len(), slaac.made.len())
    };
    assert_eq!(len(&prefix_of(network(1), 64, 0xc0, 60)), (1, 1));
    assert_eq!(len(&prefix_of(network(1), 64, 0x40, 60)), (0, 1));
    assert_eq!(len(&prefix_of(network(1), 64, 0x80, 60)), (1, 0));
    assert_eq!(len(&prefix_of(network(1), 128, 0xc0, 60)), (1, 0));
    assert_eq!(len(&prefix_of(network(1), 129, 0xc0, 60)), (0, 0));
    assert_eq!(len(&prefix_of(network(1), 8, 0xc0, 60)), (1, 0));
    assert_eq!(len(&prefix_of(network(1), 7, 0xc0, 60)), (0, 0));
    for nobodys in ["ff02::", "fe80::", "::", "::ffff:0:0", "64:ff9b::"] {
        let option = prefix_of(nobodys.parse().unwrap(), 64, 0xc0, 60);
        assert_eq!(len(&option), (0, 0), "{nobodys}");
    }
    let whole = prefix_of(network(1), 64, 0xc0, 60);
    assert_eq!(len(&whole[..31]), (0, 0));
    // Bits beyond its length don't belong to a prefix.
    let mut slaac = new(false);
    for host in [1, 2] {
        let address = Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, host);
        take(&mut slaac, &prefix_of(address, 64, 0xc0, 60), 0);
    }
    assert_eq!((slaac.prefixes.len(), slaac.made.len()), (1, 1));
    assert_eq!(slaac.prefixes[0].prefix, network(1));
}

#[test]
fn rfc4191_section_2_3_routes_that_count() {
    let mut slaac = new(false);
    let mut after = |option: &[u8]| {
        take(&mut slaac, option, 0);
        slaac
            .routes
            .iter()
            .map(|r| (r.prefix, r.len))
            .collect::<Vec<_>>()
    };
    // A prefix is as long as there are bytes for, and no longer.
    assert_eq!(after(&route(network(1), 65, 0, 60, 8)), []);
    assert_eq!(after(&route(network(1), 1, 0, 60, 0)), []);
    assert_eq!(after(&route(network(1), 129, 0, 60, 16)), []);
    assert_eq!(after(&route(network(1), 64, 0, 60, 8)), [(network(1), 64)]);
    // Announced again, it is not doubled; a zero lifetime removes it.
    assert_eq!(after(&route(network(1), 64, 1, 60, 8)), [(network(1), 64)]);
    assert_eq!(after(&route(network(1), 64, 1, 0, 8)), []);
    assert_eq!(after(&route(network(1), 16, 0, 60, 8))[0].0, network(0));
}

#[test]
fn rfc8106_servers_and_domains_that_count() {
    let mut slaac = new(false);
    let nobodys = [Ipv6Addr::UNSPECIFIED, "ff02::1".parse().unwrap(), router(1)];
    take(&mut slaac, &servers(60, &nobodys), 0);
    assert_eq!(slaac.servers().collect::<Vec<_>>(), [IpAddr::V6(router(1))]);
    take(&mut slaac, &servers(60, &[router(1)]), 0);
    assert_eq!(slaac.servers().count(), 1);
    take(&mut slaac, &servers(0, &[router(1)]), 0);
    assert_eq!(slaac.servers().count(), 0);
    for seconds in [60, 60] {
        take(&mut slaac, &domain(seconds, "lan"), 0);
        assert_eq!(slaac.domains().collect::<Vec<_>>(), ["lan"]);
    }
    take(&mut slaac, &domain(0, "lan"), 0);
    assert_eq!(slaac.domains().count(), 0);
    for (mtu, taken) in [(1279u32, None), (65_536, None), (1280, Some(1280))] {
        take(
            &mut slaac,
            &[&[5, 1, 0, 0][..], &mtu.to_be_bytes()].concat(),
            0,
        );
        assert_eq!(slaac.mtu, taken);
    }
}

/// Existing entries take precedence over new ones, and are renewed although the table is full.
#[test]
fn a_flood_of_advertisements_drives_nothing_out() {
    let mut slaac = new(false);
    for round in 0..2 {
        for n in 0..40 {
            let now_ns = round * SECOND;
            let mut say = |option: &[u8]| {
                receive(&mut slaac, router(n), &header(1800), option, now_ns);
            };
            say(&prefix_of(network(n), 64, 0xc0, 9000));
            say(&route(network(n), 32, 0, 9000, 4));
            say(&servers(9000, &[router(n)]));
            say(&domain(9000, &format!("d{n}")));
        }
    }
    let (mut entries, bound) = (Vec::new(), ROUTERS + PREFIXES + ROUTES);
    slaac.entries(1, &mut entries);
    assert_eq!(entries.len(), bound);
    assert_eq!(slaac.routers.len(), ROUTERS);
    assert_eq!(slaac.prefixes.len(), PREFIXES);
    assert_eq!(slaac.made.len(), AUTONOMOUS);
    assert_eq!(
        (slaac.servers.len(), slaac.domains.len()),
        (SERVERS, DOMAINS)
    );
    assert!(slaac.routers.iter().all(|r| r.until_ns == 1801 * SECOND));
    assert!(slaac.prefixes.iter().all(|p| p.until_ns == 9001 * SECOND));
    assert_eq!(slaac.routers[7].address, router(7));
    assert_eq!(slaac.prefixes[15].prefix, network(15));
}

/// Each ends with its own lifetime, and the earliest end is the deadline.
#[test]
fn everything_ends_with_its_lifetime() {
    let mut slaac = new(false);
    let mut say = |lifetime: u16, option: &[u8]| {
        receive(&mut slaac, ROUTER, &header(lifetime), option, 0);
    };
    say(1, &prefix_of(network(1), 64, 0x80, 2));
    say(1, &prefix_of(network(2), 64, 0x40, 3));
    say(1, &route(network(1), 32, 0, 4, 4));
    say(1, &servers(5, &[router(1)]));
    say(1, &domain(6, "lan"));
    say(1, &prefix_of(network(3), 64, 0x80, u32::MAX));
    let random = &mut Random::seeded(1);
    for second in 1..=6 {
        let at_ns = second * SECOND;
        assert_eq!(slaac.next_ns(0), Some(at_ns));
        assert!(!slaac.expire(at_ns - 1, random), "{second}");
        assert!(slaac.expire(at_ns, random), "{second}");
    }
    // All ones: infinite.
    assert_eq!(slaac.next_ns(0), Some(u64::MAX));
    // A router with lifetime zero is removed at once.
    receive(&mut slaac, ROUTER, &header(1), &[], 0);
    assert_eq!(slaac.routers().count(), 1);
    receive(&mut slaac, ROUTER, &header(0), &[], 0);
    assert_eq!(slaac.routers().count(), 0);
}

#[test]
fn rfc4861_section_6_3_7_three_solicitations_until_a_router_speaks() {
    let mut slaac = new(false);
    let mut at_ns = slaac.next_ns(0).expect("a question");
    assert!(at_ns < SECOND);
    for _ in 0..3 {
        assert_eq!(slaac.next_ns(0), Some(at_ns));
        assert!(!slaac.solicitation_due(at_ns - 1));
        assert!(slaac.solicitation_due(at_ns));
        at_ns += 4 * SECOND;
    }
    assert!(!slaac.solicitation_due(at_ns));
    assert_eq!(slaac.next_ns(0), None);
    let mut slaac = new(false);
    receive(&mut slaac, ROUTER, &header(0), &[], 0);
    assert!(!slaac.solicitation_due(SECOND));
}

#[test]
fn rfc8981_section_3_4_lifetimes_of_temporary_addresses() {
    let random = &mut Random::seeded(4);
    let temporary = |slaac: &Slaac| -> Vec<(u64, u64)> {
        let made = slaac.made.iter();
        made.filter(|made| made.source == Source::Temporary)
            .map(|made| (made.preferred_until_ns, made.valid_until_ns))
            .collect()
    };
    // As long as the prefix, if that is short.
    let mut slaac = new(true);
    take(&mut slaac, &prefix(9000, 8000), 0);
    assert_eq!(temporary(&slaac), [(8000 * SECOND, 9000 * SECOND)]);
    // A day less the desynchronization, which is up to 0.4 of it, and two days, if it is long.
    let mut slaac = new(true);
    take(&mut slaac, &prefix(u32::MAX, u32::MAX), 0);
    let (preferred_ns, valid_ns) = temporary(&slaac)[0];
    assert_eq!(valid_ns, TEMPORARY_VALID_NS);
    let least_ns = TEMPORARY_PREFERRED_NS / 5 * 3;
    assert!((least_ns..=TEMPORARY_PREFERRED_NS).contains(&preferred_ns));
    // The next one is made shortly before, and only once.
    assert_eq!(slaac.next_ns(1800 * SECOND), Some(1800 * SECOND));
    receive(&mut slaac, ROUTER, &header(0), &[], 0);
    let due_ns = preferred_ns - REGENERATE_NS;
    assert_eq!(slaac.next_ns(0), Some(due_ns));
    assert!(!slaac.expire(due_ns - 1, random));
    assert!(slaac.expire(due_ns, random) && !slaac.expire(due_ns, random));
    assert_eq!(temporary(&slaac).len(), 2);
    assert!(temporary(&slaac)[1].0 > due_ns + least_ns);
    // Never longer than its initial lifetime, and no longer than the prefix.
    take(&mut slaac, &prefix(u32::MAX, u32::MAX), due_ns);
    assert_eq!(temporary(&slaac)[0], (preferred_ns, valid_ns));
    take(&mut slaac, &prefix(7300, 50), due_ns);
    let (preferred_s, valid_s) = (due_ns / SECOND + 50, due_ns / SECOND + 7300);
    let seen = temporary(&slaac)[1];
    assert_eq!((seen.0 / SECOND, seen.1 / SECOND), (preferred_s, valid_s));
}

#[test]
fn rfc8981_section_3_4_a_duplicate_temporary_address_gets_another_number() {
    let mut slaac = new(true);
    take(&mut slaac, &prefix(9000, 8000), 0);
    let [stable, first] = slaac.made[..] else {
        panic!("{:?}", slaac.made);
    };
    let random = &mut Random::seeded(5);
    slaac.duplicate(first.address, 0, random);
    let [same, second] = slaac.made[..] else {
        panic!("{:?}", slaac.made);
    };
    assert_eq!((same, second.source), (stable, Source::Temporary));
    assert_ne!(second.address, first.address);
    assert_eq!(
        second.address.segments()[..4],
        first.address.segments()[..4]
    );
    // The stable one has no other identifier.
    slaac.duplicate(stable.address, 0, random);
    assert_eq!(slaac.made, [stable, second]);
}

proptest! {
    /// The limits hold for any router advertisements, and everything expires.
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
        let mut slaac = Slaac::new(MAC, true, 0, &mut Random::seeded(9));
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
                        // A valid prefix of any network.
                        option[2..4].copy_from_slice(&[64, 0xc0]);
                        option[8] = 0;
                        option[16] = 0x20;
                    }
                    option
                })
                .collect();
            let options: Vec<(u8, &[u8])> = made.iter().map(|o| (o[0], o.as_slice())).collect();
            slaac.advertisement(from, &header(lifetime), &options, now_ns, &mut random);
            slaac.expire(now_ns, &mut random);
            prop_assert!(slaac.routers.len() <= ROUTERS && slaac.prefixes.len() <= PREFIXES);
            prop_assert!(slaac.made.len() <= AUTONOMOUS + TEMPORARY);
            prop_assert!(slaac.routes.len() <= ROUTES && slaac.servers.len() <= SERVERS);
            prop_assert!(slaac.next_ns(now_ns).is_none_or(|at_ns| at_ns > now_ns));
        }
    }
}
