//! The responder against hosts played by hand; each test names the section of RFC 6762.

use core::net::{IpAddr, SocketAddr};

use net::sim::packet::{self, Ip};
use net::sim::{Bench, Host, World};
use proptest::prelude::{any, proptest};
use proptest::prop_assert;

use super::{Responder, host};
use crate::dns::message::{Message, kind};
use crate::dns::name::Name;
use crate::testing::{MS, SECOND, randomness};

const OTHER: &str = "10.0.0.9:5353";
const FLUSH: u16 = 0x8001;

/// A message that the responder sent.
struct Said {
    at_ns: u64,
    to: SocketAddr,
    hops: u8,
    bytes: Vec<u8>,
}

impl Said {
    fn message(&self) -> Message<'_> {
        Message::new(&self.bytes).expect("a message")
    }

    /// Owner, type, class and TTL of the records of a section.
    fn section(&self, n: usize) -> Vec<(String, u16, u16, u32)> {
        let sections = self.message().records();
        let row = |record: &crate::dns::message::Record| {
            (record.name.text(), record.kind, record.class, record.ttl)
        };
        sections[n].iter().map(row).collect()
    }

    fn kinds(&self, n: usize) -> Vec<u16> {
        self.section(n).iter().map(|row| row.1).collect()
    }

    fn is_to_all(&self) -> bool {
        self.to.ip().is_multicast()
    }
}

struct Lab {
    world: World,
    host: Host,
    responder: Responder,
    /// Only what is sent over this family counts.
    v4: bool,
}

fn lab_with(label: &str, v4: bool, seed: u64) -> Lab {
    let Bench { world, host } = Bench::new(seed);
    Lab {
        world,
        host,
        responder: Responder::new(label, randomness(seed)).expect("a label"),
        v4,
    }
}

fn lab() -> Lab {
    lab_with("soil", true, 1)
}

/// One whose name is its own, and has been for some time.
fn settled() -> Lab {
    let mut lab = lab();
    lab.pass(40 * SECOND);
    assert_eq!(lab.responder.name().as_deref(), Some("soil.local"));
    lab
}

impl Lab {
    /// Lets time go on; gives what was sent.
    fn pass(&mut self, duration_ns: u64) -> Vec<Said> {
        let end_ns = self.world.now_ns + duration_ns;
        let mut said = Vec::new();
        loop {
            self.world.settle();
            let now_ns = self.world.now_ns;
            let polled = self.responder.poll(&mut self.world.stacks[0], now_ns);
            let frames = self.host.take(&mut self.world);
            said.extend(frames.iter().filter_map(|frame| self.read(frame)));
            if now_ns >= end_ns {
                return said;
            }
            let next_ns = polled.next_ns.unwrap_or(u64::MAX).max(now_ns + 1);
            self.world.step(next_ns.min(end_ns) - now_ns);
        }
    }

    fn read(&self, frame: &[u8]) -> Option<Said> {
        let ip = Ip::parse(frame).filter(|ip| ip.protocol == 17)?;
        let port = |at: usize| u16::from_be_bytes([ip.payload[at], ip.payload[at + 1]]);
        (port(0) == 5353 && ip.from.is_ipv4() == self.v4).then(|| Said {
            at_ns: self.world.now_ns,
            to: SocketAddr::new(ip.to, port(2)),
            hops: ip.hop_limit,
            bytes: ip.payload[8..].to_vec(),
        })
    }

    /// Another machine says something to all.
    fn hear(&mut self, from: &str, bytes: &[u8]) {
        self.hear_at(from, "224.0.0.251:5353", bytes);
    }

    fn hear_at(&mut self, from: &str, to: &str, bytes: &[u8]) {
        let (from, to): (SocketAddr, SocketAddr) = (
            from.parse().expect("an address"),
            to.parse().expect("an address"),
        );
        let mac = match to.ip() {
            IpAddr::V4(group) if group.is_multicast() => [1, 0, 0x5e, 0, 0, 0xfb],
            IpAddr::V6(group) if group.is_multicast() => [0x33, 0x33, 0, 0, 0, 0xfb],
            _ => World::mac(0),
        };
        let macs = (self.host.mac, mac);
        let frame = packet::udp(macs, from, to, bytes);
        self.host.send_frame(&mut self.world, &frame);
    }
}

fn name(text: &str) -> Name {
    Name::from_text(text).expect("a name")
}

/// A question: name, type, class. A record: name, type, class, TTL, data.
type Question<'a> = (&'a str, u16, u16);
type Row<'a> = (&'a str, u16, u16, u32, &'a [u8]);

fn message(flags: u16, questions: &[Question<'_>], sections: [&[Row<'_>]; 3]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend(flags.to_be_bytes());
    bytes.extend((questions.len() as u16).to_be_bytes());
    for section in sections {
        bytes.extend((section.len() as u16).to_be_bytes());
    }
    for (owner, kind, class) in questions {
        bytes.extend(name(owner).wire());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
    }
    for (owner, kind, class, ttl, data) in sections.into_iter().flatten() {
        bytes.extend(name(owner).wire());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
        bytes.extend(ttl.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(*data);
    }
    bytes
}

fn ask(questions: &[Question<'_>]) -> Vec<u8> {
    message(0, questions, [&[], &[], &[]])
}

fn knowing(questions: &[Question<'_>], known: &[Row<'_>]) -> Vec<u8> {
    message(0, questions, [known, &[], &[]])
}

fn say(records: &[Row<'_>]) -> Vec<u8> {
    message(0x8400, &[], [records, &[], &[]])
}

const OWN_A: Row<'static> = ("soil.local", kind::A, FLUSH, 120, &[10, 0, 0, 1]);
const OTHERS_A: Row<'static> = ("soil.local", kind::A, FLUSH, 120, &[10, 0, 0, 9]);
const ASK_A: Question<'static> = ("soil.local", kind::A, 1);
const REVERSE: &str = "1.0.0.10.in-addr.arpa";

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
        // 8.1: a random time of up to 250 ms first.
        assert!(said[0].at_ns > begin_ns && said[0].at_ns < begin_ns + 250 * MS);
        for pair in said[..4].windows(2) {
            assert_eq!(pair[1].at_ns - pair[0].at_ns, 250 * MS);
        }
        for (n, probe) in said[..3].iter().enumerate() {
            assert!(probe.message().is_query());
            // 5.4: the first one may be answered to us alone.
            let class = if n == 0 { 0x8001 } else { 1 };
            let question = (name("soil.local"), kind::ANY, class);
            assert_eq!(probe.message().question(), Some(question));
            // 8.2: what is to be claimed, without the cache-flush bit (10.2).
            let claims = probe.section(1);
            assert!(claims.contains(&("soil.local".into(), kind::A, 1, 120)));
            assert_eq!(claims.iter().filter(|row| row.1 == kind::AAAA).count(), 2);
        }
        assert_eq!(said[4].at_ns - said[3].at_ns, SECOND);
        for announcement in &said[3..] {
            assert!(announcement.message().is_response());
            let rows = announcement.section(0);
            // 10.2: the records are ours alone; 10: they hold for 120 s.
            assert!(rows.iter().all(|row| row.2 == FLUSH && row.3 == 120));
            assert!(rows.contains(&(REVERSE.into(), kind::PTR, FLUSH, 120)));
            assert_eq!(rows.iter().filter(|row| row.1 == kind::PTR).count(), 3);
            assert_eq!(rows.iter().filter(|row| row.0 == "soil.local").count(), 4);
        }
    }
}

#[test]
fn rfc6762_section_8_1_a_name_that_somebody_has_is_changed() {
    let mut lab = lab();
    lab.pass(300 * MS);
    assert_eq!(lab.responder.name(), None);
    // Not answered before it is ours.
    lab.hear(OTHER, &ask(&[ASK_A]));
    assert!(
        lab.pass(100 * MS)
            .iter()
            .all(|said| said.message().is_query())
    );
    lab.hear(
        OTHER,
        &say(&[("SOIL.local", kind::A, FLUSH, 120, &[10, 0, 0, 9])]),
    );
    lab.pass(10 * SECOND);
    assert_eq!(lab.responder.name().as_deref(), Some("soil-2.local"));
    lab.hear(OTHER, &ask(&[ASK_A]));
    assert!(lab.pass(SECOND).is_empty());
    lab.hear(OTHER, &ask(&[("soil-2.local", kind::A, 1)]));
    assert_eq!(lab.pass(SECOND)[0].section(0)[0].0, "soil-2.local");
}

#[test]
fn rfc6762_section_8_1_many_conflicts_slow_it_down() {
    let mut lab = lab();
    let mut probes = Vec::new();
    // Somebody has every name.
    for _ in 0..300 {
        for said in lab.pass(100 * MS) {
            let (asked, ..) = said.message().question().expect("a probe");
            probes.push(said.at_ns);
            let text = asked.text();
            lab.hear(OTHER, &say(&[(&text, kind::A, FLUSH, 120, &[10, 0, 0, 9])]));
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
        lab.hear(OTHER, &claim(theirs));
        let heard_ns = lab.world.now_ns;
        let next = &lab.pass(2 * SECOND)[0];
        if deferred {
            assert_eq!(next.at_ns, heard_ns + SECOND);
        } else {
            assert_eq!(next.at_ns, first.at_ns + 250 * MS);
        }
        lab.pass(5 * SECOND);
        // The other one hasn't gone on.
        assert_eq!(lab.responder.name().as_deref(), Some("soil.local"));
    }
}

#[test]
fn rfc6762_section_9_conflicts_with_a_name_of_ours() {
    let mut lab = settled();
    // Somebody claims it, and is never heard of again.
    lab.hear(OTHER, &say(&[OTHERS_A]));
    let said = lab.pass(10 * SECOND);
    assert_eq!(said.iter().filter(|s| s.message().is_query()).count(), 3);
    assert_eq!(lab.responder.name().as_deref(), Some("soil.local"));
    // Somebody claims it, and defends it.
    lab.hear(OTHER, &say(&[OTHERS_A]));
    lab.pass(100 * MS);
    lab.hear(OTHER, &say(&[OTHERS_A]));
    lab.pass(10 * SECOND);
    assert_eq!(lab.responder.name().as_deref(), Some("soil-2.local"));
    // What isn't a conflict: the end of somebody's record, our own, other types.
    let host = "soil-2.local";
    for row in [
        (host, kind::A, FLUSH, 0, &[10, 0, 0, 9][..]),
        (host, kind::A, FLUSH, 120, &[10, 0, 0, 1]),
        (host, kind::TXT, FLUSH, 120, b"\x01x"),
        ("soil.local", kind::A, FLUSH, 120, &[10, 0, 0, 9]),
    ] {
        lab.hear(OTHER, &say(&[row]));
        assert!(lab.pass(5 * SECOND).is_empty(), "{row:?}");
    }
}

#[test]
fn rfc6762_section_6_questions_are_answered_at_once_where_nobody_else_will() {
    let mut lab = settled();
    let asked_ns = lab.world.now_ns;
    lab.hear(OTHER, &ask(&[ASK_A]));
    let said = lab.pass(3 * SECOND);
    assert_eq!(said.len(), 1);
    assert!(said[0].at_ns - asked_ns < 10 * MS && said[0].is_to_all());
    assert_eq!(
        said[0].section(0),
        [("soil.local".into(), kind::A, FLUSH, 120)]
    );
    // 6.2: the addresses of the other family; 6.1: and that there is nothing else.
    assert_eq!(said[0].kinds(2), [kind::AAAA, kind::AAAA, kind::NSEC]);
    assert!(said[0].message().questions().0.is_empty());
    // Others may answer the second question.
    let asked_ns = lab.world.now_ns;
    lab.hear(OTHER, &ask(&[ASK_A, ("other.local", kind::A, 1)]));
    let said = lab.pass(3 * SECOND);
    assert!((20 * MS..=120 * MS).contains(&(said[0].at_ns - asked_ns)));
    // Nobody's name, another class.
    lab.hear(
        OTHER,
        &ask(&[("other.local", kind::A, 1), ("soil.local", kind::A, 3)]),
    );
    assert!(lab.pass(3 * SECOND).is_empty());
}

#[test]
fn rfc6762_section_6_1_what_there_isnt() {
    let mut lab = settled();
    lab.hear(OTHER, &ask(&[("soil.local", kind::TXT, 1)]));
    let said = lab.pass(2 * SECOND);
    let sections = said[0].message().records();
    let nsec = &sections[0][0];
    assert_eq!((nsec.kind, nsec.ttl), (kind::NSEC, 120));
    // A and AAAA (RFC 4034, 4.1.2), and the name itself as the next one.
    let data = said[0].message().bytes(nsec);
    assert_eq!(data[data.len() - 6..], [0, 4, 0x40, 0, 0, 8]);
    assert_eq!(said[0].message().target(nsec, 0), Some(name("soil.local")));
    lab.hear(OTHER, &ask(&[(REVERSE, kind::TXT, 1)]));
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
    let mut lab = settled();
    for address in ["10.0.0.1", "fd00::1"] {
        let reverse = Name::reverse(address.parse().expect("an address")).text();
        lab.hear(OTHER, &ask(&[(&reverse, kind::PTR, 1)]));
        let said = lab.pass(2 * SECOND);
        let answers = &said[0].message().records()[0];
        assert_eq!((answers.len(), answers[0].kind), (1, kind::PTR));
        let target = said[0].message().target(&answers[0], 0);
        assert_eq!(target, Some(name("soil.local")));
    }
}

#[test]
fn rfc6762_section_6_a_record_is_sent_to_all_once_a_second() {
    let mut lab = settled();
    let mut times = Vec::new();
    for _ in 0..50 {
        lab.hear(OTHER, &ask(&[ASK_A]));
        times.extend(lab.pass(100 * MS).iter().map(|said| said.at_ns));
    }
    assert!((5..=6).contains(&times.len()), "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= SECOND));
    // A probe is answered after a quarter of a second: it doesn't wait for longer.
    lab.pass(5 * SECOND);
    lab.hear(OTHER, &ask(&[ASK_A]));
    lab.pass(50 * MS);
    let question = ("soil.local", kind::ANY, 1);
    let heard_ns = lab.world.now_ns;
    lab.hear(OTHER, &message(0, &[question], [&[], &[OTHERS_A], &[]]));
    let said = lab.pass(2 * SECOND);
    assert!(said[0].kinds(0).contains(&kind::AAAA));
    assert!(
        said.iter()
            .any(|s| s.kinds(0).contains(&kind::A) && s.at_ns <= heard_ns + 250 * MS)
    );
}

#[test]
fn rfc6762_section_7_1_who_knows_isnt_told() {
    let mut lab = settled();
    lab.hear(OTHER, &knowing(&[ASK_A], &[OWN_A]));
    assert!(lab.pass(3 * SECOND).is_empty());
    // Half of its life, and less than that; somebody else's.
    lab.hear(
        OTHER,
        &knowing(&[ASK_A], &[("soil.local", kind::A, 1, 60, &[10, 0, 0, 1])]),
    );
    assert!(lab.pass(3 * SECOND).is_empty());
    for (ttl, data) in [(59, &[10, 0, 0, 1]), (120, &[10, 0, 0, 2])] {
        lab.hear(
            OTHER,
            &knowing(&[ASK_A], &[("soil.local", kind::A, 1, ttl, data)]),
        );
        assert_eq!(lab.pass(3 * SECOND).len(), 1);
    }
}

#[test]
fn rfc6762_section_7_2_known_answers_in_a_further_packet() {
    let mut lab = settled();
    let truncated = message(0x0200, &[ASK_A], [&[], &[], &[]]);
    let asked_ns = lab.world.now_ns;
    lab.hear(OTHER, &truncated);
    assert!(lab.pass(100 * MS).is_empty());
    lab.hear(OTHER, &knowing(&[], &[OWN_A]));
    assert!(lab.pass(3 * SECOND).is_empty());
    // Another machine's knowledge is of no use to the first one.
    let again_ns = lab.world.now_ns;
    lab.hear(OTHER, &truncated);
    lab.pass(100 * MS);
    lab.hear("10.0.0.8:5353", &knowing(&[], &[OWN_A]));
    let said = lab.pass(3 * SECOND);
    assert!(
        (400 * MS..=500 * MS).contains(&(said[0].at_ns - again_ns)),
        "{asked_ns}"
    );
}

#[test]
fn rfc6762_section_7_4_somebody_has_said_it() {
    let mut lab = settled();
    let questions = [ASK_A, ("other.local", kind::A, 1)];
    lab.hear(OTHER, &ask(&questions));
    lab.hear("10.0.0.8:5353", &say(&[OWN_A]));
    assert!(lab.pass(3 * SECOND).is_empty());
    // Not if it holds less long than ours.
    lab.hear(OTHER, &ask(&questions));
    lab.hear(
        "10.0.0.8:5353",
        &say(&[("soil.local", kind::A, FLUSH, 100, &[10, 0, 0, 1])]),
    );
    assert_eq!(lab.pass(3 * SECOND).len(), 1);
}

#[test]
fn rfc6762_section_6_6_what_others_are_about_to_forget_is_said_again() {
    let mut lab = settled();
    for ttl in [0, 59] {
        lab.hear(
            OTHER,
            &say(&[("soil.local", kind::A, FLUSH, ttl, &[10, 0, 0, 1])]),
        );
        let said = lab.pass(3 * SECOND);
        assert_eq!(
            said[0].section(0),
            [("soil.local".into(), kind::A, FLUSH, 120)]
        );
    }
    lab.hear(
        OTHER,
        &say(&[("soil.local", kind::A, FLUSH, 60, &[10, 0, 0, 1])]),
    );
    assert!(lab.pass(3 * SECOND).is_empty());
}

#[test]
fn rfc6762_section_5_4_answers_to_the_asker_alone() {
    let mut lab = settled();
    let alone = ask(&[("soil.local", kind::A, 0x8001)]);
    // Nobody has heard it for a quarter of its life: all hear it now.
    lab.hear(OTHER, &alone);
    let said = lab.pass(2 * SECOND);
    assert!(said.len() == 1 && said[0].is_to_all());
    lab.hear(OTHER, &alone);
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
fn rfc6762_section_5_5_and_11_questions_to_us_alone_come_from_the_link() {
    let mut lab = settled();
    lab.hear_at(OTHER, "10.0.0.1:5353", &ask(&[ASK_A]));
    let said = lab.pass(2 * SECOND);
    assert_eq!(
        (said.len(), said[0].to),
        (1, OTHER.parse().expect("an address"))
    );
    lab.hear_at("192.0.2.7:5353", "10.0.0.1:5353", &ask(&[ASK_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
    // Nor is a forged answer believed.
    lab.hear_at("192.0.2.7:5353", "10.0.0.1:5353", &say(&[OTHERS_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
    // To the group it is from the link, whatever it says; but no answer leaves the link.
    lab.hear("192.0.2.7:5353", &ask(&[ASK_A]));
    assert!(lab.pass(2 * SECOND)[0].is_to_all());
    lab.hear("192.0.2.7:4000", &ask(&[ASK_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
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
            lab.hear_at(from, group, &ask(&[ASK_A]));
            let said = lab.pass(2 * SECOND);
            assert_eq!(
                (said.len(), said[0].to),
                (1, from.parse().expect("an address"))
            );
            let message = said[0].message();
            // The identifier and the question again, no cache-flush bit, 10 s at most.
            assert_eq!((message.id(), message.is_response()), (0x1234, true));
            assert_eq!(message.question(), Some((name("soil.local"), kind::A, 1)));
            assert_eq!(said[0].section(0), [("soil.local".into(), kind::A, 1, 10)]);
        }
        // Nobody's name; more than one question.
        lab.hear_at(from, group, &ask(&[("other.local", kind::A, 1)]));
        lab.hear_at(from, group, &ask(&[ASK_A, ASK_A]));
        assert!(lab.pass(2 * SECOND).is_empty());
    }
}

#[test]
fn rfc6762_section_10_1_goodbye() {
    let mut lab = settled();
    let now_ns = lab.world.now_ns;
    lab.responder.finish(&mut lab.world.stacks[0], now_ns);
    let frames = lab.host.take(&mut lab.world);
    let said: Vec<Said> = frames.iter().filter_map(|frame| lab.read(frame)).collect();
    assert_eq!(said.len(), 1);
    let rows = said[0].section(0);
    assert!(
        rows.len() == 7 && rows.iter().all(|row| row.3 == 0),
        "{rows:?}"
    );
    // Before the name is ours nothing is to be taken back.
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
fn rfc6762_section_18_messages_of_another_sort_are_ignored() {
    let mut lab = settled();
    for flags in [0x0800, 0x8403, 0x8c00] {
        let bytes = message(flags, &[ASK_A], [&[OTHERS_A], &[], &[]]);
        lab.hear(OTHER, &bytes);
        assert!(lab.pass(2 * SECOND).is_empty(), "{flags:#x}");
    }
    // 6: answers come from port 5353.
    lab.hear("10.0.0.9:4000", &say(&[OTHERS_A]));
    // Our own words, come back by another way.
    lab.hear("10.0.0.1:5353", &say(&[OTHERS_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
}

#[test]
fn answers_to_single_machines_are_limited() {
    let mut lab = settled();
    let mut count = 0;
    for _ in 0..500 {
        lab.hear("10.0.0.9:4000", &ask(&[ASK_A]));
        count += lab.pass(MS).len();
    }
    assert_eq!(count, 100);
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
    // Two hours and a bit later it is gone, and said to be gone.
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

proptest! {
    #[test]
    fn hostile_messages_are_harmless(
        bytes in any::<Vec<u8>>(),
        flags in any::<bool>(),
        counts in any::<[u8; 4]>(),
        port in 1u16..,
    ) {
        let mut lab = settled();
        let mut message = vec![0, 0, if flags { 0x84 } else { 0 }, 0];
        message.extend(counts.iter().flat_map(|count| [0, count % 4]));
        message.extend(&bytes);
        for port in [port, 5353] {
            lab.hear(&format!("10.0.0.9:{port}"), &message);
        }
        let said = lab.pass(10 * SECOND);
        prop_assert!(said.len() < 20);
        prop_assert!(lab.responder.links.len() == 2);
    }
}
