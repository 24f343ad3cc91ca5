//! Congestion marks (RFC 3168), IP header fields set by programs (RFC 9293, 3.9.1), urgent data,
//! the user timeout option (RFC 5482).

use net::sim::packet::{ACK, SYN, Tcp};
use net::sim::{Bench, Offloads};
use net::{Config, ConnectOptions, Error, InterfaceConfig, TcpOptions};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk, V4, pattern};

const URG: u8 = 0x20;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;
/// ECT(0) and CE in the IP header (RFC 3168, 5).
const CAPABLE: u8 = 2;
const MARKED: u8 = 3;

/// A connection of the host with ECN.
fn marked(family: Family) -> Talk {
    let talk = Talk::new(family).listening();
    let syn = talk.syn().mss(1440).flags(SYN | ECE | CWR);
    talk.accepted_with(syn)
}

/// The stack's data, as much as it sends at once.
fn flight(talk: &mut Talk, bytes: usize) -> Vec<Tcp> {
    let handle = talk.handle();
    let wrote = talk.stack().tcp_write(handle, &pattern(bytes));
    assert_eq!(wrote, Ok(bytes));
    let mut received = talk.listen(10 * MS);
    received.retain(|segment| !segment.payload.is_empty());
    received
}

/// RFC 3168, 6.1.1: an ECN-setup SYN gets ECE alone; any other SYN gets neither flag. No SYN is
/// ECN-capable itself.
#[test]
fn marks_are_agreed_to_where_asked_for() {
    for family in FAMILIES {
        for (asked, answered) in [(ECE | CWR, ECE), (0, 0), (ECE, 0), (CWR, 0)] {
            let mut talk = Talk::new(family).listening();
            let syn = talk.syn().flags(SYN | asked);
            talk.send(&syn);
            let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
            assert_eq!(answer.flags, SYN | ACK | answered);
            assert_eq!(answer.traffic_class & 3, 0);
        }
    }
}

/// RFC 3168, 6.1.2, 6.1.4 and 6.1.5: new data is ECN-capable; acknowledgements and retransmissions
/// aren't.
#[test]
fn only_new_data_is_capable() {
    for family in FAMILIES {
        let mut talk = marked(family);
        talk.data(b"question");
        let acks = talk.listen(100 * MS);
        assert!(!acks.is_empty() && acks.iter().all(|ack| ack.traffic_class == 0));
        let sent = flight(&mut talk, 4000);
        assert!(sent.iter().all(|segment| segment.traffic_class == CAPABLE));
        let again = talk.expect(3 * SECOND, |segment| segment.seq == sent[0].seq);
        assert_eq!(again.traffic_class, 0);
        // Without negotiation nothing is.
        let mut plain = Talk::accepted(family);
        let sent = flight(&mut plain, 4000);
        assert!(sent.iter().all(|segment| segment.traffic_class == 0));
    }
}

/// RFC 3168, 6.1.3: a mark is echoed, at once and until the sender confirms it.
#[test]
fn marks_are_echoed_until_the_window_is_reduced() {
    for family in FAMILIES {
        let mut talk = marked(family);
        let send = |talk: &mut Talk, flags: u8, class: u8| {
            let segment = talk.segment().payload(b"x").traffic_class(class);
            let segment = segment.flags(ACK | flags);
            talk.send(&segment);
            talk.seq = segment.end();
            let answer = talk.expect(SECOND, |segment| segment.has(ACK));
            answer.flags & ECE != 0
        };
        assert!(!send(&mut talk, 0, CAPABLE));
        let before_ns = talk.world.now_ns;
        assert!(send(&mut talk, 0, MARKED));
        assert!(talk.world.now_ns - before_ns < MS);
        assert!(send(&mut talk, 0, CAPABLE) && send(&mut talk, 0, CAPABLE));
        assert!(!send(&mut talk, CWR, CAPABLE));
        // The confirming segment may itself be marked.
        assert!(send(&mut talk, CWR, MARKED));
        assert!(!send(&mut talk, CWR, CAPABLE));
        // A peer without ECN gets no congestion signal.
        let mut plain = Talk::accepted(family);
        assert!(!send(&mut plain, 0, MARKED));
    }
}

/// RFC 3168, 6.1.2: an echo reduces the window, once per window of data, and the next new segment
/// confirms it.
#[test]
fn an_echo_reduces_the_window_once() {
    let mut talk = marked(V4);
    let handle = talk.handle();
    let sent = flight(&mut talk, 14_400);
    assert_eq!(sent.len(), 10);
    let before = talk.stack().tcp_info(handle).expect("open").cwnd;
    let echo = |talk: &mut Talk, to: u32| {
        let segment = talk.segment().ack(to).flags(ACK | ECE);
        talk.send(&segment);
        let handle = talk.handle();
        talk.stack().tcp_info(handle).expect("open").cwnd
    };
    let reduced = echo(&mut talk, sent[2].seq);
    assert!(
        reduced <= before * 3 / 4 && reduced >= before / 2,
        "{reduced}"
    );
    // The same window of data.
    assert!(echo(&mut talk, sent[4].seq) >= reduced);
    let all = talk.ack;
    assert!(echo(&mut talk, all) >= reduced);
    let next = flight(&mut talk, 6000);
    assert!(next[0].has(CWR) && next[0].traffic_class == CAPABLE);
    assert!(next[1..].iter().all(|segment| !segment.has(CWR)));
    // The next one.
    let all = talk.ack;
    assert!(echo(&mut talk, all) < reduced);
    // A connection without ECN ignores the signal.
    let mut plain = Talk::accepted(V4);
    let sent = flight(&mut plain, 14_400);
    assert!(echo(&mut plain, sent[2].seq) >= before);
}

/// RFC 3168, 6.1.1 and 6.1.1.1: a connection requests ECN if configured, but not after its SYN was
/// lost; it respects the response.
#[test]
fn connections_ask_for_marks_on_request() {
    let (_, syn) = Talk::connecting(V4);
    assert_eq!(syn.flags, SYN);
    let lab = || {
        let interface = InterfaceConfig {
            addresses: vec!["10.0.0.1/24".parse().expect("an address")],
            ..Default::default()
        };
        let config = Config {
            ecn: true,
            ..Default::default()
        };
        let bench = Bench::with(config, &interface, 1500, Offloads::default(), 1);
        let mut talk = Talk::on(bench, V4);
        let syn = talk.connect();
        assert_eq!(syn.flags, SYN | ECE | CWR);
        talk
    };
    let mut talk = lab();
    let again = talk.expect(5 * SECOND, |segment| segment.has(SYN));
    assert_eq!(again.flags, SYN);
    for (flags, agreed) in [(ECE, CAPABLE), (0, 0), (ECE | CWR, 0)] {
        let mut talk = lab();
        let answer = talk.segment().flags(SYN | ACK | flags).mss(1440);
        talk.send(&answer);
        talk.seq = answer.end();
        let sent = flight(&mut talk, 1000);
        assert_eq!(sent[0].traffic_class, agreed, "{flags:#x}");
    }
}

/// RFC 9293, 3.9.1 (MUST-48, MUST-49): the program sets the Diffserv field and the hop limit.
#[test]
fn programs_choose_dscp_and_hop_limit() {
    for family in FAMILIES {
        let mut talk = marked(family);
        let handle = talk.handle();
        // Expedited forwarding (RFC 3246); the lower bits belong to the stack.
        talk.stack().set_hop_limit(handle, 9).expect("open");
        talk.stack().set_dscp(handle, 0x2e).expect("open");
        let sent = flight(&mut talk, 2000);
        for segment in &sent {
            assert_eq!(
                (segment.hop_limit, segment.traffic_class),
                (9, 0xb8 | CAPABLE)
            );
        }
        talk.stack().set_hop_limit(handle, 0).expect("open");
        talk.stack().set_dscp(handle, 0).expect("open");
        talk.data(b"x");
        let ack = talk.expect(SECOND, |segment| segment.has(ACK));
        assert_eq!((ack.hop_limit, ack.traffic_class), (64, 0));
    }
}

/// RFC 9293, 3.9.1.8 and 3.9.2 (MUST-48, MUST-49), and RFC 3168, 6.1.1: fields set before the SYN
/// apply to it as well, and to that connection only.
#[test]
fn a_connection_begins_with_what_was_chosen() {
    for family in FAMILIES {
        for (ecn, flags) in [(None, 0), (Some(false), 0), (Some(true), ECE | CWR)] {
            let mut talk = Talk::new(family);
            let syn = talk.connect_with(&ConnectOptions {
                hop_limit: 3,
                dscp: 46,
                ecn,
                ..ConnectOptions::default()
            });
            assert_eq!(syn.flags, SYN | flags);
            assert_eq!((syn.hop_limit, syn.traffic_class), (3, 46 << 2));
            let other = talk.connect();
            assert_eq!(other.flags, SYN);
            assert_eq!((other.hop_limit, other.traffic_class), (64, 0));
        }
    }
}

/// The same for a listener: its replies, their retransmissions, and its connections.
#[test]
fn connections_of_a_listener_begin_with_what_it_has() {
    for family in FAMILIES {
        let mut talk = Talk::new(family).listening();
        let listener = talk.listener.expect("a listener");
        talk.stack().set_hop_limit(listener, 7).expect("open");
        talk.stack().set_dscp(listener, 10).expect("open");
        let syn = talk.syn();
        talk.send(&syn);
        for limit_ns in [SECOND / 2, 2 * SECOND] {
            let answer = talk.expect(limit_ns, |segment| segment.has(SYN | ACK));
            assert_eq!((answer.hop_limit, answer.traffic_class), (7, 10 << 2));
        }
        // A repeated SYN gets the same reply.
        talk.send(&syn);
        let answer = talk.expect(SECOND / 2, |segment| segment.has(SYN | ACK));
        assert_eq!((answer.hop_limit, answer.traffic_class), (7, 10 << 2));
        talk.seq = syn.end();
        talk.acknowledge();
        talk.handle = Some(talk.stack().tcp_accept(listener).expect("established"));
        let sent = flight(&mut talk, 2000);
        assert!(
            sent.iter()
                .all(|s| (s.hop_limit, s.traffic_class) == (7, 10 << 2))
        );
        assert_eq!(
            talk.stack().set_dscp(listener, 64),
            Err(Error::InvalidArgument)
        );
    }
}

/// The same for datagrams (RFC 1122, 4.1.4); the hop limit to groups is separate.
#[test]
fn programs_choose_dscp_and_hop_limit_of_datagrams() {
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        let at = family.stack(7000);
        let stack = talk.stack();
        let socket = stack.udp_bind(at).expect("free");
        stack.set_hop_limit(socket, 5).expect("open");
        stack.set_dscp(socket, 0x12).expect("open");
        stack
            .udp_send_to(socket, b"x", family.host(9))
            .expect("room");
        let ip = talk.host.expect(&mut talk.world, SECOND, |frame| {
            net::sim::packet::Ip::parse(frame).filter(|ip| ip.protocol == 17)
        });
        assert_eq!((ip.hop_limit, ip.traffic_class), (5, 0x48));
        // Queued datagrams keep their fields.
        let stack = talk.stack();
        for hops in [9, 10] {
            stack.set_hop_limit(socket, hops).expect("open");
            stack
                .udp_send_to(socket, b"x", family.host(9))
                .expect("room");
        }
        for hops in [9, 10] {
            let ip = talk.host.expect(&mut talk.world, SECOND, |frame| {
                net::sim::packet::Ip::parse(frame).filter(|ip| ip.protocol == 17)
            });
            assert_eq!(ip.hop_limit, hops);
        }
    }
}

/// RFC 9293, 3.8.5 (MUST-31, 32, 33): an urgent pointer at any distance is reported to the waiting
/// task, once each time that it advances; the bytes are ordinary data (RFC 6093, 6).
#[test]
fn urgent_data_is_signalled_and_stays_in_the_stream() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        let told = |talk: &mut Talk| {
            let mut told = false;
            talk.stack()
                .take_events(&mut |event| told |= event == handle);
            told
        };
        assert_eq!(talk.read(), (Vec::new(), false));
        told(&mut talk);
        let urgent = |talk: &Talk, pointer: u16| {
            let mut segment = talk.segment().flags(ACK | URG);
            segment.urgent = pointer;
            segment
        };
        // Without data, and far beyond the received data.
        let segment = urgent(&talk, 60_000);
        talk.send(&segment);
        assert_eq!(talk.stack().tcp_urgent(handle), Ok(60_000));
        assert!(told(&mut talk));
        // The same pointer again isn't reported.
        talk.send(&segment);
        assert!(!told(&mut talk));
        let mut data = urgent(&talk, 60_000).payload(b"hello");
        talk.send(&data);
        talk.seq = data.end();
        assert_eq!(talk.stack().tcp_urgent(handle), Ok(60_000));
        assert_eq!(talk.read().0, b"hello");
        assert_eq!(talk.stack().tcp_urgent(handle), Ok(59_995));
        // A pointer that moves back is ignored, one that advances isn't.
        data = urgent(&talk, 3);
        talk.send(&data);
        assert_eq!(talk.stack().tcp_urgent(handle), Ok(59_995));
        data = urgent(&talk, 60_000);
        talk.send(&data);
        assert_eq!(talk.stack().tcp_urgent(handle), Ok(60_000));
        for _ in 0..6 {
            talk.data(&[7; 1000]);
        }
        let (bytes, _) = talk.read();
        assert_eq!(bytes.len(), 6000);
        assert_eq!(talk.stack().tcp_urgent(handle), Ok(54_000));
    }
}

/// RFC 9293, 3.8.5 (MUST-30, MUST-62): urgent data is sent with a pointer to the byte after it,
/// until it is acknowledged, and even into a closed window.
#[test]
fn urgent_data_is_sent_with_its_pointer() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        let begin = talk.ack;
        talk.stack().tcp_send_urgent(handle, 3000).expect("open");
        talk.stack().tcp_write(handle, &[1; 3000]).expect("room");
        let received = talk.listen(10 * MS);
        let data: Vec<&Tcp> = received.iter().filter(|s| !s.payload.is_empty()).collect();
        assert!(data.len() >= 3);
        for segment in data {
            assert!(segment.has(URG));
            let end = segment.seq.wrapping_add(u32::from(segment.urgent));
            assert_eq!(end, begin.wrapping_add(3000));
        }
        talk.acknowledge();
        talk.stack().tcp_write(handle, &[1; 100]).expect("room");
        let next = talk.expect(SECOND, |segment| !segment.payload.is_empty());
        assert!(!next.has(URG) && next.urgent == 0);
        // The window is closed: the pointer is sent anyway.
        let closed = talk.segment().window(0);
        talk.send(&closed);
        talk.stack().tcp_write(handle, &[2; 500]).expect("room");
        talk.stack().tcp_send_urgent(handle, 0).expect("open");
        let told = talk.expect(100 * MS, |segment| segment.has(URG));
        assert_eq!((told.payload.len(), told.urgent), (0, 500));
    }
}

/// RFC 5482, 3: the timeout that a program has set is sent to the peer, once, in seconds or
/// minutes.
#[test]
fn the_user_timeout_is_advertised() {
    let mut talk = Talk::accepted(V4);
    let handle = talk.handle();
    // RFC 5482, 3.1: only if ADV_UTO is enabled, which is separate from setting a timeout.
    talk.stack()
        .tcp_set_user_timeout(handle, 60 * SECOND)
        .expect("open");
    assert!(talk.listen(SECOND).is_empty());
    let enabled = TcpOptions {
        user_timeout_option: true,
        ..TcpOptions::default()
    };
    talk.stack()
        .tcp_set_options(handle, &enabled)
        .expect("open");
    for (timeout_ns, option) in [
        (90 * SECOND, [0, 90]),
        (SECOND / 2, [0, 1]),
        (
            86_400 * SECOND,
            [0x80 | (1440u16 >> 8) as u8, (1440u16 & 0xff) as u8],
        ),
    ] {
        talk.stack()
            .tcp_set_user_timeout(handle, timeout_ns)
            .expect("open");
        let told = talk.expect(SECOND, |segment| segment.has(ACK));
        assert_eq!(told.find(28), Some(&option[..]));
    }
    talk.stack().tcp_write(handle, b"x").expect("room");
    let data = talk.expect(SECOND, |segment| !segment.payload.is_empty());
    assert_eq!(data.find(28), None);
    // Infinity can't be encoded.
    talk.acknowledge();
    talk.stack().tcp_set_user_timeout(handle, 0).expect("open");
    talk.stack().tcp_write(handle, b"x").expect("room");
    let data = talk.expect(SECOND, |segment| !segment.payload.is_empty());
    assert_eq!(data.find(28), None);
}

/// RFC 5681, 3.1 and RFC 6298, 5.7: if the SYN-ACK or the SYN was retransmitted, the first window
/// is one segment.
#[test]
fn a_lost_handshake_makes_the_first_window_small() {
    for lost in [false, true] {
        let mut talk = Talk::new(V4).listening();
        let syn = talk.syn().mss(1440);
        talk.send(&syn);
        let first = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        if lost {
            let again = talk.expect(2 * SECOND, |segment| segment.has(SYN | ACK));
            assert_eq!(again.seq, first.seq);
        }
        talk.seq = syn.end();
        talk.acknowledge();
        let listener = talk.listener.expect("a listener");
        talk.handle = Some(talk.stack().tcp_accept(listener).expect("established"));
        let sent = flight(&mut talk, 14_400);
        assert_eq!(sent.len(), if lost { 1 } else { 10 });
        let (mut talk, _) = Talk::connecting(V4);
        if lost {
            talk.expect(2 * SECOND, |segment| segment.has(SYN));
        }
        let answer = talk.segment().flags(SYN | ACK).mss(1440);
        talk.send(&answer);
        talk.seq = answer.end();
        let sent = flight(&mut talk, 14_400);
        assert_eq!(sent.len(), if lost { 1 } else { 10 });
    }
}
