use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::{
    ADVERTISE, CLIENT_ID, Client, DECLINE, DNS_SERVERS, ELAPSED, IA_ADDRESS, IA_NA,
    INFORMATION_REQUEST, OPTION_REQUEST, RAPID_COMMIT, REBIND, RELEASE, RENEW, REPLY, REQUEST,
    SECOND, SERVER_ID, STATUS,
};
use super::{SOLICIT, options, put_option};
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
        self.reply_with(kind, lifetimes, &[]);
    }

    /// The same with further options.
    fn reply_with(&mut self, kind: u8, lifetimes: Option<(u32, u32)>, further: &[u8]) {
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
    // Without rapid commit such a reply is invalid.
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
        // The option is requested.
        assert!(message.windows(4).any(|bytes| bytes == [0, 24, 0, 32]));
        let mut option = Vec::new();
        if let Some(said) = said {
            put_option(&mut option, 32, &said.to_be_bytes());
        }
        lab.reply_with(REPLY, None, &option);
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
    // Retransmitted until the server confirms it.
    assert_eq!(lab.next(), RELEASE);
    assert!(lab.client.is_releasing());
    lab.answer(REPLY, None);
    assert!(!lab.client.is_releasing());
    // Nothing restarts.
    lab.client.flags((true, true), lab.now_ns, &mut lab.random);
    assert_eq!(lab.client.next_ns(), None);
    assert!(!lab.client.release(lab.now_ns));
    // A client without an address has nothing to release.
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

const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7);

/// An option with its header.
fn option(code: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_option(&mut bytes, code, content);
    bytes
}

/// An IA of one address: T1 and T2, preferred and valid lifetime; `status` is inside the address,
/// `beside` it.
fn lease(address: Ipv6Addr, times: [u32; 4], status: &[u8], beside: &[u8]) -> Vec<u8> {
    let [t1, t2, preferred, valid] = times.map(u32::to_be_bytes);
    let inner = [&address.octets()[..], &preferred, &valid, status].concat();
    let inner = option(IA_ADDRESS, &inner);
    option(
        IA_NA,
        &[&[0, 0, 0, 1][..], &t1, &t2, beside, &inner].concat(),
    )
}

impl Lab {
    /// A message to the client with only these options.
    fn receive(&mut self, kind: u8, options: &[&[u8]]) -> bool {
        let first = u32::from(kind) << 24 | self.client.xid;
        let message = [&first.to_be_bytes()[..], &options.concat()].concat();
        self.client.input(&message, self.now_ns)
    }

    /// The same from the server, to this client.
    fn serve(&mut self, kind: u8, further: &[&[u8]]) -> bool {
        let all = [
            option(CLIENT_ID, &DUID),
            option(SERVER_ID, b"server"),
            further.concat(),
        ];
        self.receive(kind, &[&all.concat()])
    }

    /// A client with an address, T1 of 500 and T2 of 800 seconds.
    fn bound() -> Lab {
        let mut lab = Lab::new(true, false);
        let lease = lease(ADDRESS, [500, 800, 1000, 2000], &[], &[]);
        for (asked, answer) in [(SOLICIT, ADVERTISE), (REQUEST, REPLY)] {
            assert_eq!(lab.next(), asked);
            assert!(lab.serve(answer, &[&lease]));
        }
        lab
    }

    /// The next message, whole.
    fn message(&mut self) -> Vec<u8> {
        loop {
            if let Some(message) = self.client.run(self.now_ns, &mut self.random) {
                return message;
            }
            self.now_ns = self.client.next_ns().unwrap().max(self.now_ns + 1);
        }
    }
}

/// RFC 8415, 14.2 and 21.4: T1 and T2, and the treatment of missing or invalid ones.
#[test]
fn when_a_lease_is_renewed_and_rebound() {
    const EVER: u32 = u32::MAX;
    for (times, t1, t2) in [
        ([0, 0, 1000, 2000], 500, 800),
        ([600, 700, 1000, 2000], 600, 700),
        ([600, 600, 1000, 2000], 600, 600),
        ([2000, 2000, 1000, 2000], 2000, 2000),
        ([2001, 2001, 1000, 2000], 500, 800),
        ([600, 599, 1000, 2000], 600, 800),
        ([900, 0, 1000, 2000], 900, 900),
        ([600, 2001, 1000, 2000], 600, 800),
        ([0, 0, 1, 2000], 1, 1),
        ([0, 0, 1000, 1000], 500, 800),
        ([0, 0, EVER, EVER], u64::MAX, u64::MAX),
    ] {
        let mut lab = Lab::new(true, false);
        let lease = lease(ADDRESS, times, &[], &[]);
        lab.next();
        lab.serve(ADVERTISE, &[&lease]);
        lab.next();
        lab.serve(REPLY, &[&lease]);
        let at = |s: u64| match s {
            u64::MAX => s,
            s => lab.now_ns + s * SECOND,
        };
        assert!(lab.client.lease.is_some());
        assert_eq!(
            (lab.client.at_ns, lab.client.t2_ns),
            (at(t1), at(t2)),
            "{times:?}"
        );
    }
}

/// RFC 8415, 18.2.9 and 18.2.10: replies without a usable lease.
#[test]
fn what_is_no_lease() {
    let fine = [0, 0, 1000, 2000];
    let bad = option(STATUS, &[0, 2]);
    let good = option(STATUS, &[0, 0]);
    let of = |text: &str| lease(text.parse().unwrap(), fine, &[], &[]);
    let mut other = of("fd00::7");
    other[7] = 2;
    for (options, usable) in [
        (of("fd00::7"), true),
        (
            [lease(ADDRESS, fine, &good, &good), good.clone()].concat(),
            true,
        ),
        ([of("fd00::7"), bad.clone()].concat(), false),
        (lease(ADDRESS, fine, &bad, &[]), false),
        (lease(ADDRESS, fine, &[], &bad), false),
        (of("ff02::1"), false),
        (of("::"), false),
        (of("::1"), false),
        (of("fe80::7"), false),
        (lease(ADDRESS, [0, 0, 0, 0], &[], &[]), false),
        (lease(ADDRESS, [0, 0, 2001, 2000], &[], &[]), false),
        (lease(ADDRESS, [0, 0, 0, 2000], &[], &[]), true),
        // Another association than the requested one.
        (other, false),
        (Vec::new(), false),
    ] {
        let mut lab = Lab::new(true, false);
        lab.next();
        lab.serve(ADVERTISE, &[&options]);
        let next = if usable { REQUEST } else { SOLICIT };
        assert_eq!(lab.next(), next, "{options:?}");
    }
}

/// RFC 8415, 16.3 and 16.10: replies to others are ignored.
#[test]
fn what_is_no_answer() {
    let mut lab = Lab::new(true, false);
    lab.next();
    let lease = lease(ADDRESS, [0, 0, 1000, 2000], &[], &[]);
    let (own, server) = (option(CLIENT_ID, &DUID), option(SERVER_ID, b"server"));
    let others = option(CLIENT_ID, &DUID[..9]);
    assert!(
        !lab.receive(ADVERTISE, &[&own, &lease]),
        "no server identifier"
    );
    assert!(
        !lab.receive(ADVERTISE, &[&server, &lease]),
        "no client identifier"
    );
    assert!(
        !lab.receive(ADVERTISE, &[&others, &server, &lease]),
        "to another"
    );
    let long = option(SERVER_ID, &[7; 131]);
    assert!(!lab.receive(ADVERTISE, &[&own, &long, &lease]));
    lab.client.xid ^= 1;
    let xid = lab.client.xid;
    let message = [
        &[ADVERTISE][..],
        &(xid ^ 1).to_be_bytes()[1..],
        &own,
        &server,
    ]
    .concat();
    assert!(!lab.client.input(&message, 0), "to another question");
    assert!(!lab.client.input(&message[..3], 0), "cut off");
    assert_eq!(lab.next(), SOLICIT);
    let long = option(SERVER_ID, &[7; 130]);
    assert!(lab.receive(ADVERTISE, &[&own, &long, &lease]));
    assert_eq!(lab.next(), REQUEST);
}

/// RFC 8415, 15 and 7.6: each interval doubles, up to a limit, with a jitter of a tenth.
#[test]
fn how_often_a_message_is_repeated() {
    let mut lab = Lab::new(true, false);
    let lease = lease(ADDRESS, [500, 800, 1000, 2000], &[], &[]);
    let gaps = |lab: &mut Lab, kind: u8, wanted: &[u64]| {
        assert_eq!(lab.next(), kind);
        for seconds in wanted {
            let before_ns = lab.now_ns;
            assert_eq!(lab.next(), kind);
            let gap_ns = lab.now_ns - before_ns;
            let tenth_ns = seconds * SECOND / 10;
            let bounds = seconds * SECOND - tenth_ns..=seconds * SECOND + tenth_ns;
            assert!(bounds.contains(&gap_ns), "{kind} {seconds}: {gap_ns}");
        }
    };
    let doubled: Vec<u64> = (0..14).map(|n| (1 << n).min(3600)).collect();
    gaps(&mut lab, SOLICIT, &doubled);
    lab.serve(ADVERTISE, &[&lease]);
    // Ten times, and then the client solicits other servers.
    gaps(&mut lab, REQUEST, &[1, 2, 4, 8, 16, 30, 30, 30, 30]);
    gaps(&mut lab, SOLICIT, &[1]);
    let mut lab = Lab::bound();
    gaps(&mut lab, RENEW, &[10, 20, 40, 80]);
    let mut lab = Lab::new(false, true);
    gaps(&mut lab, INFORMATION_REQUEST, &[1, 2, 4]);
    // Two requests have different transaction IDs, and two clients don't send at the same time.
    let mut other = Lab::new(false, true);
    other.random = Random::seeded(77);
    gaps(&mut other, INFORMATION_REQUEST, &[1, 2, 4]);
    assert_ne!(
        (lab.now_ns, lab.client.xid),
        (other.now_ns, other.client.xid)
    );
}

/// RFC 8415, 18.2: the contents of each message.
#[test]
fn what_is_asked() {
    let codes =
        |message: &[u8]| -> Vec<u16> { options(&message[4..]).map(|(code, _)| code).collect() };
    let find = |message: &[u8], wanted: u16| {
        let found = options(&message[4..]).find(|(code, _)| *code == wanted);
        found.expect("an option").1.to_vec()
    };
    let mut lab = Lab::new(true, false);
    let solicit = lab.message();
    let all = [CLIENT_ID, ELAPSED, OPTION_REQUEST, IA_NA, RAPID_COMMIT];
    assert_eq!(codes(&solicit), all);
    assert_eq!(find(&solicit, OPTION_REQUEST), [0, 23, 0, 24]);
    assert_eq!(find(&solicit, IA_NA), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(find(&solicit, ELAPSED), [0, 0]);
    // Hundredths of seconds since the first.
    let begin_ns = lab.now_ns;
    let again = lab.message();
    let centis = ((lab.now_ns - begin_ns) / 10_000_000) as u16;
    assert_eq!(find(&again, ELAPSED), centis.to_be_bytes());
    assert_eq!(again[1..4], solicit[1..4], "one question");
    let mut lab = Lab::bound();
    let renew = lab.message();
    let all = [CLIENT_ID, SERVER_ID, ELAPSED, OPTION_REQUEST, IA_NA];
    assert_eq!((renew[0], codes(&renew)), (RENEW, all.to_vec()));
    assert!(
        find(&renew, IA_NA)
            .windows(16)
            .any(|part| part == ADDRESS.octets())
    );
    assert_eq!(find(&renew, SERVER_ID), b"server");
    let rebind = loop {
        let message = lab.message();
        if message[0] == REBIND {
            break message;
        }
    };
    assert_eq!(codes(&rebind), [CLIENT_ID, ELAPSED, OPTION_REQUEST, IA_NA]);
    let mut lab = Lab::bound();
    lab.client.conflict(lab.now_ns);
    assert_eq!(lab.client.next_ns(), Some(0));
    let decline = lab.message();
    assert_eq!(decline[0], DECLINE);
    assert_eq!(codes(&decline), [CLIENT_ID, SERVER_ID, ELAPSED, IA_NA]);
    assert!(
        find(&decline, IA_NA)
            .windows(16)
            .any(|part| part == ADDRESS.octets())
    );
    let before_ns = lab.now_ns;
    assert_eq!(lab.next(), SOLICIT);
    assert_eq!(lab.now_ns, before_ns + 10 * SECOND);
}

/// RFC 8415, 18.2.1 and 18.2.10: with rapid commit one reply is enough; one without an address ends
/// a lease.
#[test]
fn a_reply_gives_and_takes() {
    let lease = lease(ADDRESS, [500, 800, 1000, 2000], &[], &[]);
    let mut lab = Lab::new(true, false);
    lab.next();
    lab.serve(REPLY, &[&lease]);
    assert_eq!(lab.client.lease, None);
    lab.serve(REPLY, &[&lease, &option(RAPID_COMMIT, &[])]);
    assert!(lab.client.lease.is_some());
    // A reply to no request.
    let at_ns = lab.client.at_ns;
    lab.now_ns += SECOND;
    lab.serve(REPLY, &[&lease]);
    assert_eq!(lab.client.at_ns, at_ns);
    assert_eq!(lab.next(), RENEW);
    lab.serve(REPLY, &[&option(STATUS, &[0, 3])]);
    assert_eq!(lab.client.lease, None);
    let before_ns = lab.now_ns;
    assert_eq!(lab.next(), SOLICIT);
    assert_eq!(lab.now_ns, before_ns + SECOND);
}

/// RFC 8415, 18.2.12: a router's later flags begin what hadn't begun, and end nothing.
#[test]
fn flags_begin_and_end_nothing() {
    let random = &mut Random::seeded(3);
    let mut lab = Lab::bound();
    let at_ns = lab.client.at_ns;
    for flags in [(false, false), (false, true), (true, true)] {
        lab.client.flags(flags, lab.now_ns, random);
        assert_eq!(lab.client.at_ns, at_ns);
    }
    let mut lab = Lab::new(false, true);
    assert_eq!(lab.next(), INFORMATION_REQUEST);
    lab.client.flags((false, true), lab.now_ns, random);
    assert_eq!(lab.client.tries, 1, "the same question");
    lab.client.flags((true, false), lab.now_ns, random);
    assert_eq!(lab.next(), SOLICIT);
}

#[test]
fn servers_of_names_that_count() {
    let mut lab = Lab::new(false, true);
    lab.next();
    let list = [
        "::", "ff02::1", "fd00::1", "fd00::2", "fd00::3", "fd00::4", "fd00::5",
    ];
    let octets = list.map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
    lab.serve(REPLY, &[&option(DNS_SERVERS, &octets.concat())]);
    let seen: Vec<String> = lab
        .client
        .dns_servers
        .iter()
        .map(|a| a.to_string())
        .collect();
    assert_eq!(seen, ["fd00::1", "fd00::2", "fd00::3", "fd00::4"]);
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
