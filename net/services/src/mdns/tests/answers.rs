//! Which queries get a response, where it is sent, and when.

use super::lab::{
    ASK_A, FLUSH, OTHER, OTHERS_A, OWN_A, REVERSE, ask, established, knowing, lab_with, message,
    name, say,
};
use crate::dns::message::kind;
use crate::dns::name::Name;
use crate::testing::{MS, SECOND};

#[test]
fn rfc6762_section_6_unique_records_are_answered_at_once() {
    let mut lab = established();
    let asked_ns = lab.world.now_ns;
    lab.receive(OTHER, &ask(&[ASK_A]));
    let said = lab.pass(3 * SECOND);
    assert_eq!(said.len(), 1);
    assert!(said[0].at_ns - asked_ns < 10 * MS && said[0].is_to_all());
    assert_eq!(
        said[0].section(0),
        [("soil.local".into(), kind::A, FLUSH, 120)]
    );
    // 6.2: the addresses of the other family; 6.1: and the NSEC record.
    assert_eq!(said[0].kinds(2), [kind::AAAA, kind::AAAA, kind::NSEC]);
    assert!(said[0].message().questions().0.is_empty());
    // Other hosts may answer the second question.
    let asked_ns = lab.world.now_ns;
    lab.receive(OTHER, &ask(&[ASK_A, ("other.local", kind::A, 1)]));
    let said = lab.pass(3 * SECOND);
    assert!((20 * MS..=120 * MS).contains(&(said[0].at_ns - asked_ns)));
    // An unknown name, and another class.
    lab.receive(
        OTHER,
        &ask(&[("other.local", kind::A, 1), ("soil.local", kind::A, 3)]),
    );
    assert!(lab.pass(3 * SECOND).is_empty());
}

#[test]
fn rfc6762_section_6_1_what_there_isnt() {
    let mut lab = established();
    lab.receive(OTHER, &ask(&[("soil.local", kind::TXT, 1)]));
    let said = lab.pass(2 * SECOND);
    let sections = said[0].message().records();
    let nsec = &sections[0][0];
    assert_eq!((nsec.kind, nsec.ttl), (kind::NSEC, 120));
    // A and AAAA (RFC 4034, 4.1.2), and the name itself as the next one.
    let data = said[0].message().bytes(nsec);
    assert_eq!(data[data.len() - 6..], [0, 4, 0x40, 0, 0, 8]);
    assert_eq!(said[0].message().target(nsec, 0), Some(name("soil.local")));
    lab.receive(OTHER, &ask(&[(REVERSE, kind::TXT, 1)]));
    let said = lab.pass(2 * SECOND);
    let nsec = &said[0].message().records()[0][0];
    assert_eq!(
        (nsec.name.text().as_str(), nsec.kind),
        (REVERSE, kind::NSEC)
    );
    assert!(said[0].message().bytes(nsec).ends_with(&[0, 2, 0, 8]));
}

#[test]
fn rfc6762_section_4_the_name_behind_an_address() {
    let mut lab = established();
    for address in ["10.0.0.1", "fd00::1"] {
        let reverse = Name::reverse(address.parse().expect("an address")).text();
        lab.receive(OTHER, &ask(&[(&reverse, kind::PTR, 1)]));
        let said = lab.pass(2 * SECOND);
        let answers = &said[0].message().records()[0];
        assert_eq!((answers.len(), answers[0].kind), (1, kind::PTR));
        let target = said[0].message().target(&answers[0], 0);
        assert_eq!(target, Some(name("soil.local")));
    }
}

#[test]
fn rfc6762_section_6_a_record_is_sent_to_all_once_a_second() {
    let mut lab = established();
    let mut times = Vec::new();
    for _ in 0..50 {
        lab.receive(OTHER, &ask(&[ASK_A]));
        times.extend(lab.pass(100 * MS).iter().map(|said| said.at_ns));
    }
    assert!((5..=6).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SECOND));
    // A probe gets a response within a quarter of a second: it doesn't wait for longer.
    lab.pass(5 * SECOND);
    lab.receive(OTHER, &ask(&[ASK_A]));
    lab.pass(50 * MS);
    let question = ("soil.local", kind::ANY, 1);
    let received_ns = lab.world.now_ns;
    lab.receive(OTHER, &message(0, &[question], [&[], &[OTHERS_A], &[]]));
    let said = lab.pass(2 * SECOND);
    assert!(said[0].kinds(0).contains(&kind::AAAA));
    assert!(
        said.iter()
            .any(|s| s.kinds(0).contains(&kind::A) && s.at_ns <= received_ns + 250 * MS)
    );
}

#[test]
fn rfc6762_section_7_1_known_answers_are_suppressed() {
    let mut lab = established();
    lab.receive(OTHER, &knowing(&[ASK_A], &[OWN_A]));
    assert!(lab.pass(3 * SECOND).is_empty());
    // Half of the TTL, and less than that; another host's record.
    lab.receive(
        OTHER,
        &knowing(&[ASK_A], &[("soil.local", kind::A, 1, 60, &[10, 0, 0, 1])]),
    );
    assert!(lab.pass(3 * SECOND).is_empty());
    for (ttl, data) in [(59, &[10, 0, 0, 1]), (120, &[10, 0, 0, 2])] {
        lab.receive(
            OTHER,
            &knowing(&[ASK_A], &[("soil.local", kind::A, 1, ttl, data)]),
        );
        assert_eq!(lab.pass(3 * SECOND).len(), 1);
    }
}

#[test]
fn rfc6762_section_7_2_known_answers_in_a_further_packet() {
    let mut lab = established();
    let truncated = message(0x0200, &[ASK_A], [&[], &[], &[]]);
    let asked_ns = lab.world.now_ns;
    lab.receive(OTHER, &truncated);
    assert!(lab.pass(100 * MS).is_empty());
    lab.receive(OTHER, &knowing(&[], &[OWN_A]));
    assert!(lab.pass(3 * SECOND).is_empty());
    // A known answer from one host doesn't suppress answers to another.
    let again_ns = lab.world.now_ns;
    lab.receive(OTHER, &truncated);
    lab.pass(100 * MS);
    lab.receive("10.0.0.8:5353", &knowing(&[], &[OWN_A]));
    let said = lab.pass(3 * SECOND);
    assert!(
        (400 * MS..=500 * MS).contains(&(said[0].at_ns - again_ns)),
        "{asked_ns}"
    );
}

#[test]
fn rfc6762_section_7_4_duplicate_answers_are_suppressed() {
    let mut lab = established();
    let questions = [ASK_A, ("other.local", kind::A, 1)];
    lab.receive(OTHER, &ask(&questions));
    lab.receive("10.0.0.8:5353", &say(&[OWN_A]));
    assert!(lab.pass(3 * SECOND).is_empty());
    // Not if its TTL is shorter than ours.
    lab.receive(OTHER, &ask(&questions));
    lab.receive(
        "10.0.0.8:5353",
        &say(&[("soil.local", kind::A, FLUSH, 100, &[10, 0, 0, 1])]),
    );
    assert_eq!(lab.pass(3 * SECOND).len(), 1);
}

#[test]
fn rfc6762_section_6_6_what_others_are_about_to_forget_is_said_again() {
    let mut lab = established();
    for ttl in [0, 59] {
        lab.receive(
            OTHER,
            &say(&[("soil.local", kind::A, FLUSH, ttl, &[10, 0, 0, 1])]),
        );
        let said = lab.pass(3 * SECOND);
        assert_eq!(
            said[0].section(0),
            [("soil.local".into(), kind::A, FLUSH, 120)]
        );
    }
    lab.receive(
        OTHER,
        &say(&[("soil.local", kind::A, FLUSH, 60, &[10, 0, 0, 1])]),
    );
    assert!(lab.pass(3 * SECOND).is_empty());
}

#[test]
fn rfc6762_section_5_4_unicast_responses() {
    let mut lab = established();
    let alone = ask(&[("soil.local", kind::A, 0x8001)]);
    // No multicast for a quarter of the TTL: the response is multicast now.
    lab.receive(OTHER, &alone);
    let said = lab.pass(2 * SECOND);
    assert!(said.len() == 1 && said[0].is_to_all());
    lab.receive(OTHER, &alone);
    let said = lab.pass(2 * SECOND);
    assert_eq!(
        (said.len(), said[0].to),
        (1, OTHER.parse().expect("an address"))
    );
    assert_eq!(
        said[0].section(0),
        [("soil.local".into(), kind::A, FLUSH, 120)]
    );
    // RFC 6762, 11: 255.
    assert_eq!(said[0].hops, 255);
}

#[test]
fn rfc6762_section_6_7_resolvers_that_know_dns_only() {
    for (v4, from, group) in [
        (true, "10.0.0.9:4000", "224.0.0.251:5353"),
        (false, "[fd00::9]:4000", "[ff02::fb]:5353"),
    ] {
        let mut lab = lab_with("soil", v4, 3);
        lab.pass(40 * SECOND);
        for _ in 0..2 {
            lab.receive_at(from, group, &ask(&[ASK_A]));
            let said = lab.pass(2 * SECOND);
            assert_eq!(
                (said.len(), said[0].to),
                (1, from.parse().expect("an address"))
            );
            let message = said[0].message();
            // The identifier and the question repeated, no cache-flush bit, 10 s at most.
            assert_eq!((message.id(), message.is_response()), (0x1234, true));
            assert_eq!(message.question(), Some((name("soil.local"), kind::A, 1)));
            assert_eq!(said[0].section(0), [("soil.local".into(), kind::A, 1, 10)]);
        }
        // An unknown name; more than one question.
        lab.receive_at(from, group, &ask(&[("other.local", kind::A, 1)]));
        lab.receive_at(from, group, &ask(&[ASK_A, ASK_A]));
        assert!(lab.pass(2 * SECOND).is_empty());
    }
}

#[test]
fn answers_to_single_machines_are_limited() {
    let mut lab = established();
    let mut count = 0;
    for _ in 0..500 {
        lab.receive("10.0.0.9:4000", &ask(&[ASK_A]));
        count += lab.pass(MS).len();
    }
    assert_eq!(count, 100);
}
