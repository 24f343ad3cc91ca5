use alloc::vec::Vec;
use core::net::IpAddr;

use proptest::prelude::*;

use super::{
    Advert, ENTRIES, Known, Neighbors, PASSIVE, PENDING, PENDING_BYTES, SECOND, Solicitation,
};
use crate::hash::KeyedHash;

const A: [u8; 6] = [2, 0, 0, 0, 0, 10];
const B: [u8; 6] = [2, 0, 0, 0, 0, 11];

fn neighbors() -> Neighbors {
    Neighbors::new(KeyedHash::new(&mut || 7))
}

fn ip(n: u32) -> IpAddr {
    core::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

fn resolve(neighbors: &mut Neighbors, n: u32, now_ns: u64) -> Known {
    let mut slot = u32::MAX;
    neighbors.lookup(ip(n), &mut slot, now_ns)
}

fn advert(n: u32, mac: [u8; 6], solicited: bool, replace: bool) -> Advert {
    Advert {
        address: ip(n),
        mac: Some(mac),
        solicited,
        replace,
        router: false,
    }
}

/// Runs the timers until `until_ns`; returns the solicitations with their times, and the number of
/// lost packets.
fn run(neighbors: &mut Neighbors, until_ns: u64) -> (Vec<(u64, Solicitation)>, usize) {
    let (mut sent, mut lost) = (Vec::new(), Vec::new());
    while let Some(at_ns) = neighbors.next_ns().filter(|at_ns| *at_ns <= until_ns) {
        let due = neighbors.run(at_ns, &mut lost);
        sent.extend(due.into_iter().map(|solicitation| (at_ns, solicitation)));
    }
    (sent, lost.len())
}

#[test]
fn rfc4861_section_7_2_2_three_solicitations_then_unreachable() {
    let mut table = neighbors();
    assert_eq!(resolve(&mut table, 1, 0), Known::Asking(true));
    assert_eq!(resolve(&mut table, 1, 5), Known::Asking(false));
    assert!(table.hold(ip(1), vec![1; 100]));
    let (sent, lost) = run(&mut table, 3 * SECOND);
    assert!(
        sent.iter()
            .all(|(_, solicitation)| solicitation.mac.is_none())
    );
    assert_eq!((sent.len(), lost), (2, 1));
    assert!(table.is_gone(ip(1)) && table.changed);
    assert_eq!(resolve(&mut table, 1, 3 * SECOND), Known::Gone);
    assert_eq!(resolve(&mut table, 1, 4 * SECOND), Known::Asking(true));
    assert_eq!(table.pending_bytes, 0);
}

#[test]
fn rfc4861_section_7_3_3_reachable_stale_delay_probe() {
    let mut table = neighbors();
    let mut ready = Vec::new();
    resolve(&mut table, 1, 0);
    table.hold(ip(1), vec![1; 100]);
    table.advertised(&advert(1, A, true, false), 0, &mut ready);
    assert_eq!(ready, [(A, vec![1; 100])]);
    assert_eq!(resolve(&mut table, 1, 29 * SECOND), Known::At(A));
    assert_eq!(run(&mut table, 29 * SECOND).0, []);
    // Stale after 30 s: used further, probed by unicast after five, three times, then removed.
    assert_eq!(resolve(&mut table, 1, 31 * SECOND), Known::At(A));
    let (sent, _) = run(&mut table, 100 * SECOND);
    let solicitation = Solicitation {
        address: ip(1),
        mac: Some(A),
    };
    let times = [36, 37, 38].map(|s| (s * SECOND, solicitation));
    assert_eq!(sent, times);
    assert_eq!(resolve(&mut table, 1, 100 * SECOND), Known::Asking(true));
    // One that replies isn't probed.
    table.advertised(&advert(1, A, true, false), 100 * SECOND, &mut ready);
    resolve(&mut table, 1, 131 * SECOND);
    assert_eq!(run(&mut table, 136 * SECOND).0.len(), 1);
    table.advertised(&advert(1, A, true, false), 136 * SECOND, &mut ready);
    assert_eq!(run(&mut table, 200 * SECOND).0, []);
}

/// The table of RFC 4861, 7.2.5 and appendix C.
#[test]
fn rfc4861_section_7_2_5_advertisements() {
    let mut ready = Vec::new();
    // Not solicited: no entry is created.
    let mut table = neighbors();
    table.advertised(&advert(1, A, true, true), 0, &mut ready);
    assert_eq!(resolve(&mut table, 1, 0), Known::Asking(true));
    // Another address without the override flag changes only the state.
    table.advertised(&advert(1, A, true, true), 0, &mut ready);
    table.advertised(&advert(1, B, true, false), SECOND, &mut ready);
    assert_eq!(resolve(&mut table, 1, SECOND), Known::At(A));
    assert!(run(&mut table, 10 * SECOND).0.len() >= 3);
    // With it, it replaces the address.
    let mut table = neighbors();
    resolve(&mut table, 1, 0);
    table.advertised(&advert(1, A, true, true), 0, &mut ready);
    table.advertised(&advert(1, B, false, true), SECOND, &mut ready);
    assert_eq!(resolve(&mut table, 1, SECOND), Known::At(B));
    // A neighbor that solicits us becomes known, but not confirmed.
    let mut table = neighbors();
    table.on_solicitation(ip(1), A, 0, &mut ready);
    assert_eq!(resolve(&mut table, 1, 0), Known::At(A));
    assert_eq!(run(&mut table, 10 * SECOND).0.len(), 3);
}

#[test]
fn rfc6583_strangers_drive_out_each_other_only() {
    let mut table = neighbors();
    let mut ready = Vec::new();
    for n in 0..300 {
        resolve(&mut table, n, 0);
        table.advertised(&advert(n, A, true, true), 0, &mut ready);
    }
    for n in 1000..50_000 {
        table.on_solicitation(ip(n), B, u64::from(n), &mut ready);
    }
    assert!(table.index.len() <= 300 + PASSIVE);
    assert!((0..300).all(|n| resolve(&mut table, n, SECOND) == Known::At(A)));
    // Nor do solicitations of a million missing addresses evict those that reply.
    for n in 100_000..200_000 {
        resolve(&mut table, n, 2 * SECOND);
    }
    assert_eq!(table.index.len(), ENTRIES);
    assert!((0..300).all(|n| resolve(&mut table, n, 3 * SECOND) == Known::At(A)));
}

#[test]
fn strangers_go_before_those_that_we_talk_with() {
    let mut table = neighbors();
    let mut ready = Vec::new();
    let ours = ENTRIES as u32 - 100;
    for n in 0..ours {
        resolve(&mut table, n, 0);
        // Not confirmed: stale from the beginning.
        table.advertised(&advert(n, A, false, true), 0, &mut ready);
    }
    for n in 1000..1100 {
        table.on_solicitation(ip(n), B, SECOND, &mut ready);
    }
    for n in 2000..2100 {
        resolve(&mut table, n, 2 * SECOND);
        table.advertised(&advert(n, A, false, true), 2 * SECOND, &mut ready);
    }
    assert!((0..ours).all(|n| resolve(&mut table, n, 2 * SECOND) == Known::At(A)));
}

proptest! {
    /// The limits hold and the counts are correct for any sequence of events.
    #[test]
    fn bounds_hold(steps in proptest::collection::vec((0..6u8, 0..900u32, 0..2000usize), 1..2000)) {
        let mut table = neighbors();
        let (mut ready, mut lost) = (Vec::new(), Vec::new());
        let mut now_ns = 0;
        for (kind, n, len) in steps {
            now_ns += 3_000_000;
            match kind {
                0 => { resolve(&mut table, n, now_ns); }
                1 => { table.hold(ip(n), vec![0; len * 8]); }
                2 => table.on_solicitation(ip(n), A, now_ns, &mut ready),
                3 => {
                    table.advertised(&advert(n, B, n % 2 == 0, n % 3 == 0), now_ns, &mut ready);
                }
                4 => { table.run(now_ns, &mut lost); }
                _ => table.remove(ip(n)),
            }
            let entries: Vec<_> = table.entries.iter().flatten().collect();
            prop_assert_eq!(entries.len(), table.index.len());
            prop_assert!(entries.len() <= ENTRIES);
            prop_assert!(entries.iter().all(|entry| entry.pending.len() <= PENDING));
            let bytes: usize = entries.iter().flat_map(
                |entry| entry.pending.iter().map(Vec::len),
            ).sum();
            prop_assert_eq!(bytes, table.pending_bytes);
            prop_assert!(bytes <= PENDING_BYTES);
            let passive = entries.iter().filter(|entry| entry.passive).count();
            prop_assert_eq!(passive, table.passive);
            prop_assert!(passive <= PASSIVE);
        }
    }
}

/// RFC 4861, 6.3.4 and 10: a router's value, randomized from a half to one and a half times, and
/// within bounds.
#[test]
fn rfc4861_section_6_3_4_times_of_a_router() {
    let mut table = neighbors();
    for (base_ns, unit, reachable_ns) in [
        (40 * SECOND, 0, 20 * SECOND),
        (40 * SECOND, 250, 30 * SECOND),
        (40 * SECOND, 999, 59_960_000_000),
        (40 * SECOND, 5000, 59_960_000_000),
        (1, 0, SECOND / 2),
        (u64::MAX, 0, 1800 * SECOND),
    ] {
        table.set_reachable(base_ns, unit);
        assert_eq!(table.reachable_ns, reachable_ns, "{base_ns}, {unit}");
    }
    for (said_ns, used_ns) in [
        (1, SECOND / 10),
        (3 * SECOND, 3 * SECOND),
        (u64::MAX, 10 * SECOND),
    ] {
        table.set_retransmit(said_ns);
        assert_eq!(table.retransmit_ns(), used_ns);
    }
}

#[test]
fn what_waits_is_known_until_it_left() {
    let mut table = neighbors();
    assert_eq!(resolve(&mut table, 1, 0), Known::Asking(true));
    assert!(!table.has_pending());
    assert!(table.hold(ip(1), vec![1; 100]));
    assert!(table.has_pending());
    table.remove(ip(1));
    assert!(!table.has_pending());
}

/// RFC 4861, 7.2.3: a solicitation creates an entry; an existing one only changes if the address
/// does.
#[test]
fn rfc4861_section_7_2_3_solicitations_create_entries() {
    let (mut table, mut ready) = (neighbors(), Vec::new());
    table.reached(ip(1), A, 0);
    assert_eq!(resolve(&mut table, 1, 1), Known::At(A));
    table.reached(ip(1), B, 2);
    assert_eq!(resolve(&mut table, 1, 2), Known::At(A));
    // A reachable one remains so: no probe until that time has passed.
    table.advertised(&advert(1, A, true, true), 2, &mut ready);
    table.on_solicitation(ip(1), A, 3, &mut ready);
    assert_eq!(resolve(&mut table, 1, 4), Known::At(A));
    assert!(run(&mut table, 20 * SECOND).0.is_empty());
    // Another address is accepted, and probed after a while.
    table.on_solicitation(ip(1), B, 20 * SECOND, &mut ready);
    assert_eq!(resolve(&mut table, 1, 20 * SECOND), Known::At(B));
    assert!(!run(&mut table, 26 * SECOND).0.is_empty());
    // A solicitation from a neighbor that is being resolved completes its entry and releases its
    // packets.
    assert_eq!(resolve(&mut table, 2, 30 * SECOND), Known::Asking(true));
    assert!(!table.is_gone(ip(2)));
    assert!(table.hold(ip(2), vec![1; 100]));
    assert!(ready.is_empty());
    table.on_solicitation(ip(2), [0; 6], 30 * SECOND, &mut ready);
    assert_eq!(ready, [([0; 6], vec![1; 100])]);
    assert!(!table.has_pending());
}

/// A neighbor with negative advice is probed at once, reachable or not.
#[test]
fn negative_advice_probes_a_neighbor_at_once() {
    let (mut table, mut ready) = (neighbors(), Vec::new());
    assert_eq!(resolve(&mut table, 1, 0), Known::Asking(true));
    table.advertised(&advert(1, A, true, true), 1, &mut ready);
    assert!(run(&mut table, SECOND).0.is_empty());
    table.negative_advice(ip(1), SECOND);
    let (sent, _) = run(&mut table, SECOND);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0, sent[0].1.mac), (SECOND, Some(A)));
}

/// The oldest packets are dropped, by number and by bytes, down to the last.
#[test]
fn packets_wait_up_to_the_limits() {
    let mut table = neighbors();
    resolve(&mut table, 1, 0);
    assert!((0..PENDING).all(|_| table.hold(ip(1), vec![1; 8])));
    assert!(!table.hold(ip(1), vec![1; 8]));
    assert_eq!(table.pending_bytes, 8 * PENDING);
    let mut table = neighbors();
    resolve(&mut table, 1, 0);
    assert!((0..4).all(|_| table.hold(ip(1), vec![1; PENDING_BYTES / 4])));
    assert!(!table.hold(ip(1), vec![1]));
    assert_eq!(table.pending_bytes, PENDING_BYTES / 4 * 3 + 1);
    // A neighbor for which others' packets leave no room.
    resolve(&mut table, 2, 0);
    assert!(!table.hold(ip(2), vec![1; PENDING_BYTES / 4]));
    assert_eq!(table.pending_bytes, PENDING_BYTES / 4 * 3 + 1);
    assert!(table.hold(ip(2), vec![1; PENDING_BYTES / 4 - 1]));
    assert_eq!(table.pending_bytes, PENDING_BYTES);
}
