//! Claiming and keeping a name: probes, announcements, conflicts, goodbyes.

use net::sim::Bench;
use net::sim::packet;

use super::super::{Responder, host};
use super::lab::{
    ASK_A, FLUSH, Lab, OTHER, OTHERS_A, REVERSE, Sent, ask, established, lab, lab_with, message,
    name, say,
};
use crate::dns::message::kind;
use crate::testing::{MS, SECOND, randomness};

#[test]
fn rfc6762_section_8_1_and_8_3_three_probes_then_two_announcements() {
    for v4 in [true, false] {
        let mut lab = lab_with("soil", v4, 2);
        let begin_ns = lab.world.now_ns;
        let said = lab.pass(20 * SECOND);
        assert_eq!(said.len(), 5);
        let group = if v4 { "224.0.0.251" } else { "ff02::fb" };
        for message in &said {
            // RFC 6762, 11: hop limit 255.
            assert_eq!((message.to.port(), message.hops), (5353, 255));
            assert_eq!(message.to.ip().to_string(), group);
            assert_eq!(message.message().id(), 0);
        }
        // 8.1: a random delay of up to 250 ms first.
        assert!(said[0].at_ns > begin_ns && said[0].at_ns < begin_ns + 250 * MS);
        for pair in said[..4].windows(2) {
            assert_eq!(pair[1].at_ns - pair[0].at_ns, 250 * MS);
        }
        for (n, probe) in said[..3].iter().enumerate() {
            assert!(probe.message().is_query());
            // 5.4: the first response may be unicast.
            let class = if n == 0 { 0x8001 } else { 1 };
            let question = (name("soil.local"), kind::ANY, class);
            assert_eq!(probe.message().question(), Some(question));
            // 8.2: the records to be claimed, without the cache-flush bit (10.2).
            let claims = probe.section(1);
            assert!(claims.contains(&("soil.local".into(), kind::A, 1, 120)));
            assert_eq!(claims.iter().filter(|row| row.1 == kind::AAAA).count(), 2);
        }
        assert_eq!(said[4].at_ns - said[3].at_ns, SECOND);
        for announcement in &said[3..] {
            assert!(announcement.message().is_response());
            let rows = announcement.section(0);
            // 10.2: the records are unique; 10: their TTL is 120 s.
            assert!(rows.iter().all(|row| row.2 == FLUSH && row.3 == 120));
            assert!(rows.contains(&(REVERSE.into(), kind::PTR, FLUSH, 120)));
            assert_eq!(rows.iter().filter(|row| row.1 == kind::PTR).count(), 3);
            assert_eq!(rows.iter().filter(|row| row.0 == "soil.local").count(), 4);
        }
    }
}

#[test]
fn rfc6762_section_8_1_a_name_in_use_is_changed() {
    let mut lab = lab();
    lab.pass(300 * MS);
    assert_eq!(lab.responder.name(), None);
    // No response before the name is confirmed.
    lab.receive(OTHER, &ask(&[ASK_A]));
    assert!(
        lab.pass(100 * MS)
            .iter()
            .all(|said| said.message().is_query())
    );
    lab.receive(
        OTHER,
        &say(&[("SOIL.local", kind::A, FLUSH, 120, &[10, 0, 0, 9])]),
    );
    lab.pass(10 * SECOND);
    assert_eq!(lab.responder.name().as_deref(), Some("soil-2.local"));
    lab.receive(OTHER, &ask(&[ASK_A]));
    assert!(lab.pass(SECOND).is_empty());
    lab.receive(OTHER, &ask(&[("soil-2.local", kind::A, 1)]));
    assert_eq!(lab.pass(SECOND)[0].section(0)[0].0, "soil-2.local");
}

#[test]
fn rfc6762_section_8_1_many_conflicts_slow_it_down() {
    let mut lab = lab();
    let mut probes = Vec::new();
    // Every name is taken.
    for _ in 0..300 {
        for said in lab.pass(100 * MS) {
            let (origin, ..) = said.message().question().expect("a probe");
            probes.push(said.at_ns);
            let text = origin.text();
            lab.receive(OTHER, &say(&[(&text, kind::A, FLUSH, 120, &[10, 0, 0, 9])]));
        }
    }
    assert!((16..25).contains(&probes.len()), "{}", probes.len());
    assert!(
        probes
            .windows(2)
            .skip(15)
            .any(|pair| pair[1] - pair[0] >= 5 * SECOND)
    );
}

#[test]
fn names_with_numbers_fit_a_label() {
    let long = "x".repeat(63);
    let text = |label: &str, number| host(label, number).map(|name| name.text());
    assert_eq!(text("a", 2).as_deref(), Some("a-2.local"));
    assert_eq!(text("a", u32::MAX).as_deref(), Some("a-4294967295.local"));
    let numbered = text(&long, 10).expect("a name");
    assert_eq!(numbered, format!("{}-10.local", "x".repeat(60)));
    for wrong in ["", "-a", "a-", "a.b", "a b", "\u{e4}", &"x".repeat(64)] {
        assert!(Responder::new(wrong, randomness(1)).is_none(), "{wrong}");
    }
}

#[test]
fn rfc6762_section_8_2_of_two_probes_the_later_data_wins() {
    let claim = |data: &'static [u8]| {
        let question = ("soil.local", kind::ANY, 1);
        let rows = [
            ("soil.local", kind::A, 1, 120, data),
            ("other.local", kind::A, 1, 120, &[255; 4][..]),
        ];
        message(0, &[question], [&[], &rows, &[]])
    };
    // Ours is 10.0.0.1 and has more records.
    for (theirs, deferred) in [
        (&[10, 0, 0, 9][..], true),
        (&[9, 0, 0, 9], false),
        (&[10, 0, 0, 1], false),
    ] {
        let mut lab = lab();
        let first = lab.pass(260 * MS).pop().expect("a probe");
        lab.receive(OTHER, &claim(theirs));
        let received_ns = lab.world.now_ns;
        let next = &lab.pass(2 * SECOND)[0];
        if deferred {
            assert_eq!(next.at_ns, received_ns + SECOND);
        } else {
            assert_eq!(next.at_ns, first.at_ns + 250 * MS);
        }
        lab.pass(5 * SECOND);
        // The other host hasn't continued.
        assert_eq!(lab.responder.name().as_deref(), Some("soil.local"));
    }
}

#[test]
fn rfc6762_section_9_conflicts_with_a_name_of_ours() {
    let mut lab = established();
    // Another host claims the name and stays silent afterwards.
    lab.receive(OTHER, &say(&[OTHERS_A]));
    let said = lab.pass(10 * SECOND);
    assert_eq!(said.iter().filter(|s| s.message().is_query()).count(), 3);
    assert_eq!(lab.responder.name().as_deref(), Some("soil.local"));
    // Another host claims the name and defends it.
    lab.receive(OTHER, &say(&[OTHERS_A]));
    lab.pass(100 * MS);
    lab.receive(OTHER, &say(&[OTHERS_A]));
    lab.pass(10 * SECOND);
    assert_eq!(lab.responder.name().as_deref(), Some("soil-2.local"));
    // Not conflicts: another host's goodbye, our own records, other types.
    let host = "soil-2.local";
    for row in [
        (host, kind::A, FLUSH, 0, &[10, 0, 0, 9][..]),
        (host, kind::A, FLUSH, 120, &[10, 0, 0, 1]),
        (host, kind::TXT, FLUSH, 120, b"\x01x"),
        ("soil.local", kind::A, FLUSH, 120, &[10, 0, 0, 9]),
    ] {
        lab.receive(OTHER, &say(&[row]));
        assert!(lab.pass(5 * SECOND).is_empty(), "{row:?}");
    }
}

#[test]
fn rfc6762_section_10_1_goodbye() {
    let mut lab = established();
    let now_ns = lab.world.now_ns;
    lab.responder.finish(&mut lab.world.stacks[0], now_ns);
    let frames = lab.host.take(&mut lab.world);
    let said: Vec<Sent> = frames.iter().filter_map(|frame| lab.read(frame)).collect();
    assert_eq!(said.len(), 1);
    let rows = said[0].section(0);
    assert!(
        rows.len() == 7 && rows.iter().all(|row| row.3 == 0),
        "{rows:?}"
    );
    // Before the name is confirmed there is nothing to withdraw.
    let mut lab = self::lab();
    lab.pass(300 * MS);
    let now_ns = lab.world.now_ns;
    lab.responder.finish(&mut lab.world.stacks[0], now_ns);
    assert!(
        lab.host
            .take(&mut lab.world)
            .iter()
            .all(|frame| lab.read(frame).is_none())
    );
}

#[test]
fn rfc6762_section_8_4_an_address_that_is_new_is_announced() {
    let Bench { world, host } = Bench::with(
        net::Config::default(),
        &net::InterfaceConfig {
            addresses: vec!["10.0.0.1/24".parse().expect("an address")],
            slaac: true,
            dad_transmits: 0,
            ..Default::default()
        },
        1500,
        Default::default(),
        1,
    );
    let responder = Responder::new("soil", randomness(1)).expect("a label");
    let mut lab = Lab {
        world,
        host,
        responder,
        v4: true,
    };
    lab.pass(20 * SECOND);
    let router = |valid: u32| {
        let mut options = vec![3, 4, 64, 0xc0];
        options.extend(valid.to_be_bytes());
        options.extend(valid.to_be_bytes());
        options.extend([0; 4]);
        options.extend(
            "2001:db8::"
                .parse::<core::net::Ipv6Addr>()
                .expect("a prefix")
                .octets(),
        );
        let payload = [&[0; 8][..], &options].concat();
        let macs = ([2, 0, 0, 0, 9, 9], [0x33, 0x33, 0, 0, 0, 1]);
        let from = "fe80::9".parse().expect("an address");
        let all = "ff02::1".parse().expect("a group");
        let mut frame = packet::icmp(macs, from, all, (134, 0), 0x4000_0708, &payload);
        frame[21] = 255;
        frame
    };
    lab.host.send_frame(&mut lab.world, &router(7300));
    let said = lab.pass(10 * SECOND);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|said| said.message().is_response()));
    assert_eq!(
        said[0]
            .kinds(0)
            .iter()
            .filter(|kind| **kind == kind::AAAA)
            .count(),
        2
    );
    // A little more than two hours later it expires, and a goodbye is sent.
    let said = lab.pass(7400 * SECOND);
    let gone = said[0].section(0);
    assert!(
        gone.len() == 2 && gone.iter().all(|row| row.3 == 0),
        "{gone:?}"
    );
    assert_eq!(
        said[1]
            .kinds(0)
            .iter()
            .filter(|kind| **kind == kind::AAAA)
            .count(),
        1
    );
}
