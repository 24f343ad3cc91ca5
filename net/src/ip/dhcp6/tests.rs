use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::{
    ADVERTISE, Client, DECLINE, INFORMATION_REQUEST, REBIND, RELEASE, RENEW, REPLY, REQUEST, SECOND,
};
use super::{SOLICIT, put_option};
use crate::ip::random::Random;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const DUID: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];

struct Lab {
    client: Client,
    random: Random,
    now_ns: u64,
}

impl Lab {
    fn new(managed: bool, other: bool) -> Lab {
        let mut client = Client::new(MAC);
        assert_eq!(client.next_ns(), None);
        client.flags((managed, other), 0, &mut Random::seeded(7));
        Lab {
            client,
            random: Random::seeded(6),
            now_ns: 0,
        }
    }

    /// The type of the next message that the client sends.
    fn next(&mut self) -> u8 {
        loop {
            if let Some(message) = self.client.run(self.now_ns, &mut self.random) {
                return message[0];
            }
            self.now_ns = self.client.next_ns().unwrap().max(self.now_ns + 1);
        }
    }

    fn answer(&mut self, kind: u8, lifetimes: Option<(u32, u32)>) {
        self.answer_with(kind, lifetimes, &[]);
    }

    /// The same with further options.
    fn answer_with(&mut self, kind: u8, lifetimes: Option<(u32, u32)>, further: &[u8]) {
        let mut message = (u32::from(kind) << 24 | self.client.xid)
            .to_be_bytes()
            .to_vec();
        put_option(&mut message, 1, &DUID);
        put_option(&mut message, 2, b"server");
        let servers = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x53).octets();
        put_option(&mut message, 23, &servers);
        put_option(&mut message, 24, b"\x07example\0");
        message.extend(further);
        if let Some((preferred, valid)) = lifetimes {
            let mut content = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7).octets().to_vec();
            content.extend(preferred.to_be_bytes());
            content.extend(valid.to_be_bytes());
            let mut ia = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
            put_option(&mut ia, 5, &content);
            put_option(&mut message, 3, &ia);
        }
        self.client.input(&message, self.now_ns);
    }
}

#[test]
fn rfc8415_section_18_2_6_information_only() {
    let mut lab = Lab::new(false, true);
    assert_eq!(lab.next(), INFORMATION_REQUEST);
    assert_eq!(lab.next(), INFORMATION_REQUEST);
    lab.answer(REPLY, None);
    assert_eq!(lab.client.dns_servers.len(), 1);
    assert_eq!(lab.client.search, ["example"]);
    assert_eq!(lab.client.lease, None);
    assert_eq!(lab.next(), INFORMATION_REQUEST);
    assert!(lab.now_ns >= 86_400 * SECOND);
}

#[test]
fn rfc8415_section_18_2_an_address_and_its_life() {
    let mut lab = Lab::new(true, false);
    assert_eq!(lab.next(), SOLICIT);
    // Without rapid commit an answer like this is none.
    lab.answer(REPLY, Some((1000, 2000)));
    assert_eq!(lab.client.lease, None);
    lab.answer(ADVERTISE, Some((1000, 2000)));
    assert_eq!(lab.next(), REQUEST);
    lab.answer(REPLY, Some((1000, 2000)));
    let began_ns = lab.now_ns;
    let lease = lab.client.lease.unwrap();
    assert_eq!(lease.valid_until_ns, began_ns + 2000 * SECOND);
    assert_eq!(lab.next(), RENEW);
    assert_eq!(lab.now_ns, began_ns + 500 * SECOND);
    while lab.next() == RENEW {}
    assert!((800..810).contains(&((lab.now_ns - began_ns) / SECOND)));
    while lab.next() == REBIND {}
    assert_eq!(lab.client.lease, None);
    assert_eq!(lab.now_ns, began_ns + 2000 * SECOND);
}

#[test]
fn rfc8415_section_18_2_1_and_18_2_6_a_random_time_comes_first() {
    let mut times = Vec::new();
    for seed in 0..20 {
        for (managed, other) in [(true, false), (false, true)] {
            let mut client = Client::new(MAC);
            client.flags((managed, other), 5 * SECOND, &mut Random::seeded(seed));
            let at_ns = client.next_ns().expect("a question");
            assert!((5 * SECOND..6 * SECOND).contains(&at_ns));
            times.push(at_ns);
        }
    }
    times.dedup();
    assert!(times.len() > 15, "{times:?}");
}

#[test]
fn rfc8415_section_21_23_the_refresh_time_of_a_server() {
    for (said, waits_s) in [
        (Some(7200u32), Some(7200)),
        // IRT_MINIMUM.
        (Some(1), Some(600)),
        (None, Some(86_400)),
        (Some(u32::MAX), None),
    ] {
        let mut lab = Lab::new(false, true);
        let message = loop {
            if let Some(message) = lab.client.run(lab.now_ns, &mut lab.random) {
                break message;
            }
            lab.now_ns = lab.client.next_ns().expect("a question");
        };
        // It is asked for.
        assert!(message.windows(4).any(|bytes| bytes == [0, 24, 0, 32]));
        let mut option = Vec::new();
        if let Some(said) = said {
            put_option(&mut option, 32, &said.to_be_bytes());
        }
        lab.answer_with(REPLY, None, &option);
        let next_ns = lab.client.next_ns().expect("a time");
        let expected = waits_s.map_or(u64::MAX, |s: u64| lab.now_ns + s * SECOND);
        assert_eq!(next_ns, expected, "{said:?}");
    }
}

#[test]
fn rfc8415_section_18_2_7_release() {
    let bound = || {
        let mut lab = Lab::new(true, false);
        lab.next();
        lab.answer(ADVERTISE, Some((1000, 2000)));
        lab.next();
        lab.answer(REPLY, Some((1000, 2000)));
        lab
    };
    let mut lab = bound();
    assert!(lab.client.release(lab.now_ns) && lab.client.lease.is_none());
    let message = lab.client.run(lab.now_ns, &mut lab.random).expect("due");
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7).octets();
    assert_eq!(message[0], RELEASE);
    assert!(message.windows(16).any(|bytes| bytes == address));
    assert!(
        message
            .windows(10)
            .any(|bytes| bytes == b"\0\x02\0\x06server")
    );
    // Said again until the server has heard it.
    assert_eq!(lab.next(), RELEASE);
    assert!(lab.client.is_releasing());
    lab.answer(REPLY, None);
    assert!(!lab.client.is_releasing());
    // Nothing begins anew.
    lab.client.flags((true, true), lab.now_ns, &mut lab.random);
    assert_eq!(lab.client.next_ns(), None);
    assert!(!lab.client.release(lab.now_ns));
    // One without an address has nothing to give back.
    let mut lab = Lab::new(true, false);
    lab.next();
    assert!(!lab.client.release(lab.now_ns));
    assert_eq!(
        lab.client.run(lab.now_ns + SECOND * 10, &mut lab.random),
        None
    );
}

#[test]
fn rfc8415_section_18_2_8_decline() {
    let mut lab = Lab::new(true, true);
    lab.next();
    lab.answer(ADVERTISE, Some((1000, 2000)));
    lab.next();
    lab.answer(REPLY, Some((1000, 2000)));
    lab.client.conflict(lab.now_ns);
    assert_eq!(lab.next(), DECLINE);
    assert_eq!(lab.next(), SOLICIT);
}

proptest! {
    #[test]
    fn any_message_is_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 1..14u8,
    ) {
        let mut lab = Lab::new(true, true);
        lab.next();
        lab.client.input(&bytes, 0);
        let mut message = (u32::from(kind) << 24 | lab.client.xid).to_be_bytes().to_vec();
        put_option(&mut message, 1, &DUID);
        put_option(&mut message, 2, b"server");
        put_option(&mut message, 3, &bytes);
        message.extend(&bytes);
        lab.client.input(&message, 0);
        lab.next();
    }
}
