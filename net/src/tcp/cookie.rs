//! SYN cookies (RFC 4987, 3.6 and appendix A): the state of a SYN is encoded in the initial
//! sequence number of the SYN-ACK, and returned by the peer's acknowledgement.
//!
//! A cookie has one bit for the secret that it was made with, three for the class of the peer's
//! MSS, and 28 of a keyed hash over the flow, the peer's initial sequence number and these bits.
//! The peer's other options are encoded in the lowest bits of the timestamp that it echoes, if it
//! sends timestamps.

use super::numbers::siphash;
use crate::tcp::flow::FlowKey;

/// Lifetime of a secret, which is then accepted for as long again: a cookie is valid for one to two
/// minutes.
const ROTATION_NS: u64 = 60_000_000_000;

/// Classes of the peer's MSS; the first is the minimum accepted.
const CLASSES: [u16; 8] = [88, 536, 1220, 1300, 1380, 1440, 1460, 8940];

/// Bits of the timestamp: four for the window scale (15: none), one for SACK.
const TIMESTAMP_BITS: u32 = 5;
const NO_SCALE: u32 = 15;

/// Makes and checks cookies.
#[derive(Debug)]
pub(crate) struct Cookies {
    /// Indexed by the lowest bit of the period's number.
    secrets: [[u64; 2]; 2],
    period: u64,
    /// When the last cookie was made.
    issued_ns: Option<u64>,
}

impl Cookies {
    pub(crate) fn new(random: &mut dyn FnMut() -> u64) -> Cookies {
        Cookies {
            secrets: [[random(), random()], [random(), random()]],
            period: 0,
            issued_ns: None,
        }
    }

    fn rotate(&mut self, now_ns: u64, random: &mut dyn FnMut() -> u64) {
        let period = now_ns / ROTATION_NS;
        let passed = period.saturating_sub(self.period);
        for next in [period.saturating_sub(1), period] {
            // Both, after a long time without cookies.
            if next > self.period && (passed > 1 || next == period) {
                self.secrets[(next & 1) as usize] = [random(), random()];
            }
        }
        self.period = self.period.max(period);
    }

    fn cookie(&self, which: u32, class: u32, flow: &FlowKey, peer_sequence: u32) -> u32 {
        let head = which << 31 | class << 28;
        let secret = self.secrets[(which & 1) as usize];
        let word = u64::from(head) << 32 | u64::from(peer_sequence);
        head | siphash(secret, flow, word) as u32 & 0x0fff_ffff
    }

    /// The initial sequence number for a SYN with this sequence number and MSS.
    pub(crate) fn make(
        &mut self,
        flow: &FlowKey,
        peer_sequence: u32,
        mss: u16,
        now_ns: u64,
        random: &mut dyn FnMut() -> u64,
    ) -> u32 {
        self.rotate(now_ns, random);
        self.issued_ns = Some(now_ns);
        let class = CLASSES.iter().rposition(|least| *least <= mss).unwrap_or(0);
        let which = (self.period & 1) as u32;
        self.cookie(which, class as u32, flow, peer_sequence)
    }

    /// Whether a cookie has been made that is still valid.
    pub(crate) fn issued(&self, now_ns: u64) -> bool {
        self.issued_ns
            .is_some_and(|issued_ns| now_ns.saturating_sub(issued_ns) <= 2 * ROTATION_NS)
    }

    /// The peer's MSS, if `cookie` is valid for a SYN of this flow with this sequence number.
    pub(crate) fn check(
        &mut self,
        cookie: u32,
        flow: &FlowKey,
        peer_sequence: u32,
        now_ns: u64,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<u16> {
        // If none was made, none can be valid.
        if !self.issued(now_ns) {
            return None;
        }
        self.rotate(now_ns, random);
        let class = cookie >> 28 & 7;
        let expected = self.cookie(cookie >> 31, class, flow, peer_sequence);
        if expected == cookie {
            CLASSES.get(class as usize).copied()
        } else {
            None
        }
    }
}

/// The timestamp to send with a cookie: at most `clock`, with the peer's options in its lowest
/// bits.
pub(crate) fn stamp(clock: u32, window_scale: Option<u8>, sack: bool) -> u32 {
    let scale = window_scale.map_or(NO_SCALE, |scale| u32::from(scale.min(14)));
    let bits = scale << 1 | u32::from(sack);
    let stamp = clock >> TIMESTAMP_BITS << TIMESTAMP_BITS | bits;
    if stamp.wrapping_sub(clock) as i32 > 0 {
        stamp.wrapping_sub(1 << TIMESTAMP_BITS)
    } else {
        stamp
    }
}

/// Window scale and SACK-permitted from the echoed timestamp.
pub(crate) fn read_stamp(echoed: u32) -> (Option<u8>, bool) {
    let scale = echoed >> 1 & 15;
    let scale = (scale != NO_SCALE).then_some(scale as u8);
    (scale, echoed & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::{Cookies, ROTATION_NS, read_stamp, stamp};
    use crate::tcp::flow::FlowKey;
    use crate::tcp::numbers::counting_random;
    use proptest::prelude::*;

    fn flow(port: u16) -> FlowKey {
        let ip = |text: &str| text.parse::<core::net::IpAddr>().unwrap();
        FlowKey::new((ip("10.0.0.1"), 80), (ip("10.0.0.2"), port))
    }

    proptest! {
        #[test]
        fn what_was_offered_comes_back_and_time_does_not_run_ahead(
            clock: u32, scale in proptest::option::of(0u8..15), sack: bool
        ) {
            let stamp = stamp(clock, scale, sack);
            prop_assert_eq!(read_stamp(stamp), (scale, sack));
            prop_assert!(clock.wrapping_sub(stamp) < 32);
        }

        #[test]
        fn a_cookie_is_good_for_its_flow_alone_and_for_a_minute_at_least(
            begun in 0..1_000 * ROTATION_NS,
            mss: u16,
            peer: u32,
            later in 0..=ROTATION_NS,
            flip in 0u32..32,
        ) {
            let mut random = counting_random();
            let mut cookies = Cookies::new(&mut random);
            let cookie = cookies.make(&flow(1), peer, mss, begun, &mut random);
            let mut check = |cookie, flow: &FlowKey, peer, now| cookies.check(
                cookie,
                flow,
                peer,
                now,
                &mut random,
            );
            let read = check(cookie, &flow(1), peer, begun + later);
            prop_assert!(read.is_some_and(|read| read <= mss.max(88)));
            prop_assert_eq!(check(cookie ^ 1u32 << flip, &flow(1), peer, begun), None);
            prop_assert_eq!(check(cookie, &flow(2), peer, begun), None);
            prop_assert_eq!(check(cookie, &flow(1), peer.wrapping_add(1), begun), None);
        }
    }

    #[test]
    fn the_classes_are_the_ones_of_ordinary_links() {
        let mut random = counting_random();
        let mut cookies = Cookies::new(&mut random);
        for (mss, read) in [
            (536, 536),
            (1459, 1440),
            (1460, 1460),
            (65_535, 8940),
            (0, 88),
        ] {
            let cookie = cookies.make(&flow(1), 5, mss, 0, &mut random);
            assert_eq!(
                cookies.check(cookie, &flow(1), 5, 1, &mut random),
                Some(read)
            );
        }
    }

    #[test]
    fn a_cookie_is_too_old_after_two_minutes_even_if_others_were_made_since() {
        for others in [false, true] {
            let mut random = counting_random();
            let mut cookies = Cookies::new(&mut random);
            let cookie = cookies.make(&flow(1), 5, 1460, 0, &mut random);
            if others {
                for second in 1..=130u64 {
                    cookies.make(&flow(2), 5, 1460, second * 1_000_000_000, &mut random);
                }
            }
            let later = 130_000_000_000;
            assert_eq!(cookies.check(cookie, &flow(1), 5, later, &mut random), None);
        }
    }

    #[test]
    fn nothing_is_believed_while_none_were_made() {
        let mut random = counting_random();
        let mut cookies = Cookies::new(&mut random);
        let guess =
            Cookies::new(&mut counting_random()).make(&flow(1), 5, 1460, 0, &mut counting_random());
        assert_eq!(cookies.check(guess, &flow(1), 5, 0, &mut random), None);
    }
}
