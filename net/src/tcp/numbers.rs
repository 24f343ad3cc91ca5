//! Initial sequence numbers, timestamp offsets and ports that off-path attackers can't guess.
//!
//! Each is a keyed hash (SipHash-1-3) of the connection's addresses and ports. So the numbers of
//! one connection reveal nothing about another's, and those of one pair of ends continue from one
//! connection to the next.

use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::tcp::flow::FlowKey;

/// The first ephemeral port, and how many there are (RFC 6335, section 6: 49 152 to 65 535 at
/// least).
const FIRST_PORT: u16 = 32_768;
const PORTS: u16 = 32_768;
/// Counters of RFC 6056, 3.3.4.
const COUNTERS: usize = 256;

/// The keys, drawn when the stack is created.
#[derive(Debug)]
pub(crate) struct Numbers {
    sequence: [u64; 2],
    timestamp: [u64; 2],
    port: [u64; 2],
    counters: Vec<u16>,
}

/// SipHash-1-3 of a flow and another word.
pub(crate) fn siphash(key: [u64; 2], flow: &FlowKey, word: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
    flow.each_word(|word| hasher.write_u64(word));
    hasher.write_u64(word);
    hasher.finish()
}

impl Numbers {
    pub(crate) fn new(random: &mut dyn FnMut() -> u64) -> Numbers {
        Numbers {
            sequence: [random(), random()],
            timestamp: [random(), random()],
            port: [random(), random()],
            counters: counters([random(), random()]),
        }
    }

    /// The initial sequence number: a clock of 4 µs and a hash (RFC 6528, section 3).
    pub(crate) fn sequence(&self, flow: &FlowKey, now_ns: u64) -> u32 {
        let clock = (now_ns / 4000) as u32;
        clock.wrapping_add(siphash(self.sequence, flow, 0) as u32)
    }

    /// Returns the offset of the timestamp clock (RFC 7323, 5.4): the same for all connections of a
    /// flow, so that timestamps continue (RFC 6191, section 3), and unrelated between flows.
    pub(crate) fn timestamp_offset(&self, flow: &FlowKey) -> u32 {
        siphash(self.timestamp, flow, 0) as u32
    }

    /// The ports to try for a new connection, in this order (RFC 6056, algorithm 4, with random
    /// steps): those for one peer are sequential, so that none is reused soon, and those for
    /// another peer reveal nothing about them. `flow` has local port 0.
    pub(crate) fn ports(&self, flow: &FlowKey) -> impl Iterator<Item = u16> + use<> {
        let hash = siphash(self.port, flow, 0);
        let counter = self.counters.get(counter_of(hash)).copied().unwrap_or(0);
        let first = (hash as u16).wrapping_add(counter);
        (0..PORTS).map(move |n| FIRST_PORT + first.wrapping_add(n) % PORTS)
    }

    /// Records that `port`, one of [`Numbers::ports`], was chosen, so that the next is another one.
    pub(crate) fn chosen(&mut self, flow: &FlowKey, port: u16, random: u64) {
        let hash = siphash(self.port, flow, 0);
        if let Some(counter) = self.counters.get_mut(counter_of(hash)) {
            let at = (port - FIRST_PORT).wrapping_sub(hash as u16) % PORTS;
            *counter = at.wrapping_add(1 + (random % 4) as u16);
        }
    }
}

/// Initial values of the counters: by a key of their own rather than a random number for each,
/// since each takes a system call in a process.
fn counters(key: [u64; 2]) -> Vec<u16> {
    let begin = |index: usize| {
        let mut hasher = SipHasher13::new_with_keys(key[0], key[1]);
        hasher.write_u64(index as u64);
        hasher.finish() as u16
    };
    (0..COUNTERS).map(begin).collect()
}

fn counter_of(hash: u64) -> usize {
    (hash >> 32) as usize % COUNTERS
}

/// For tests: keys that are the same in each run.
#[cfg(test)]
pub(crate) fn counting_random() -> impl FnMut() -> u64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
        state ^ state >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, counting_random};
    use crate::tcp::flow::FlowKey;
    use std::collections::BTreeSet;

    fn flow(port: u16) -> FlowKey {
        let ip = |text: &str| text.parse::<core::net::IpAddr>().unwrap();
        FlowKey::new((ip("10.0.0.1"), 80), (ip("10.0.0.2"), port))
    }

    #[test]
    fn sequence_numbers_go_up_by_the_clock_and_differ_between_flows() {
        let numbers = Numbers::new(&mut counting_random());
        let first = numbers.sequence(&flow(1), 0);
        // RFC 9293, 3.4.1: once around in 4.77 hours.
        assert_eq!(
            numbers.sequence(&flow(1), 4_000_000),
            first.wrapping_add(1000)
        );
        assert_eq!(numbers.sequence(&flow(1), 4000 << 32), first);
        let all: BTreeSet<u32> = (0..1000).map(|n| numbers.sequence(&flow(n), 0)).collect();
        assert_eq!(all.len(), 1000);
        let offsets: BTreeSet<u32> = (0..1000)
            .map(|n| numbers.timestamp_offset(&flow(n)))
            .collect();
        assert_eq!(offsets.len(), 1000);
        assert_ne!(numbers.timestamp_offset(&flow(1)), first, "another key");
    }

    #[test]
    fn few_draws_make_counters_that_have_nothing_in_common() {
        let mut draws = 0;
        let mut random = counting_random();
        let numbers = Numbers::new(&mut || {
            draws += 1;
            random()
        });
        assert_eq!(draws, 8);
        let distinct: BTreeSet<u16> = numbers.counters.iter().copied().collect();
        // Of 256 random numbers out of 65 536, now and then two are equal.
        assert!(distinct.len() > 250, "{}", distinct.len());
        let others = Numbers::new(&mut random);
        assert_ne!(numbers.counters, others.counters);
    }

    #[test]
    fn both_halves_of_an_ipv6_address_count() {
        let numbers = Numbers::new(&mut counting_random());
        let ip = |text: &str| (text.parse::<core::net::IpAddr>().unwrap(), 80);
        let number =
            |local: &str, remote: &str| numbers.sequence(&FlowKey::new(ip(local), ip(remote)), 0);
        let all = BTreeSet::from([
            number("2001:db8::1", "2001:db8::2"),
            number("2001:db9::1", "2001:db8::2"),
            number("2001:db8::1", "2001:db9::2"),
            number("2001:db9::1", "2001:db9::2"),
        ]);
        assert_eq!(all.len(), 4);
    }

    fn pick(numbers: &mut Numbers, random: u64, free: impl Fn(u16) -> bool) -> Option<u16> {
        let port = numbers.ports(&flow(0)).find(|port| free(*port))?;
        numbers.chosen(&flow(0), port, random);
        Some(port)
    }

    #[test]
    fn all_ports_are_found_and_none_twice() {
        let mut numbers = Numbers::new(&mut counting_random());
        let mut random = counting_random();
        let mut taken = BTreeSet::new();
        for _ in 0..32_768 {
            let port = pick(&mut numbers, random(), |port| !taken.contains(&port));
            assert!(taken.insert(port.expect("a port")));
        }
        assert_eq!(taken.first(), Some(&32_768));
        assert_eq!(pick(&mut numbers, 0, |port| !taken.contains(&port)), None);
    }

    #[test]
    fn a_port_given_back_rests_while_others_are_used() {
        let mut numbers = Numbers::new(&mut counting_random());
        let mut random = counting_random();
        let used: BTreeSet<_> = (0..8000)
            .map(|_| pick(&mut numbers, random(), |_| true))
            .collect();
        assert_eq!(used.len(), 8000);
    }
}
