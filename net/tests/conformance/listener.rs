//! Listeners: the queue, and floods of SYNs (RFC 4987).

use std::net::{IpAddr, Ipv4Addr};

use net::sim::packet::{self, ACK, RST, SYN, Tcp};
use net::sim::{Bench, Offloads, Random};
use net::{Config, Error, InterfaceConfig};

use crate::support::{FAMILIES, MS, SECOND, Talk, V4, V6};

/// Completes a handshake from another port of the host; `None` if there is no reply within
/// `limit_ns`.
fn shake(talk: &mut Talk, syn: &Tcp, limit_ns: u64) -> Option<Tcp> {
    let end_ns = talk.world.now_ns + limit_ns;
    talk.send(syn);
    loop {
        let received = talk.host.take_tcp(&mut talk.world);
        let mine = |segment: &&Tcp| segment.to == syn.from && segment.from == syn.to;
        if let Some(answer) = received.iter().find(mine) {
            assert!(!answer.has(RST), "refused: {answer:?}");
            let last = syn.reply_to(answer);
            talk.send(&last);
            return Some(answer.clone());
        }
        if talk.world.now_ns >= end_ns {
            return None;
        }
        talk.world.step(end_ns - talk.world.now_ns);
    }
}

fn client(talk: &Talk, port: u16) -> Tcp {
    let mut syn = talk.syn().mss(1440);
    syn.from.set_port(port);
    syn
}

/// RFC 9293, 3.9.1.1: connections are accepted in the order of their establishment, not of their
/// SYNs.
#[test]
fn first_come_first_served() {
    for family in FAMILIES {
        let mut talk = Talk::new(family).listening();
        let mut halves = Vec::new();
        for port in 5000..5016 {
            let syn = client(&talk, port);
            talk.send(&syn);
            let answers = talk.host.take_tcp(&mut talk.world);
            let answer = answers.iter().find(|answer| answer.to.port() == port);
            halves.push((port, syn.reply_to(answer.expect("a SYN-ACK"))));
        }
        let listener = talk.listener.expect("a listener");
        assert_eq!(talk.stack().tcp_accept(listener), Err(Error::WouldBlock));
        halves.reverse();
        for (_, last) in &halves {
            talk.send(last);
        }
        for (port, _) in halves {
            let handle = talk.stack().tcp_accept(listener).expect("a connection");
            let peer = talk.stack().peer_address(handle).expect("a peer");
            assert_eq!(peer.port(), port);
        }
    }
}

/// No connection is refused: a SYN beyond the backlog is answered once there is room.
#[test]
fn beyond_the_backlog_no_connection_is_refused() {
    let mut talk = Talk::new(V4);
    let at = talk.other;
    let listener = talk.stack().tcp_listen(at, 4).expect("a free port");
    talk.listener = Some(listener);
    for port in 5000..5004 {
        let syn = client(&talk, port);
        assert!(shake(&mut talk, &syn, SECOND).is_some(), "{port}");
    }
    let late = client(&talk, 5004);
    talk.send(&late);
    let received = talk.host.listen(&mut talk.world, 3 * SECOND);
    assert!(
        received.iter().all(|segment| !segment.has(RST)),
        "{received:?}"
    );
    for _ in 0..4 {
        talk.stack().tcp_accept(listener).expect("a connection");
    }
    assert!(shake(&mut talk, &late, 4 * SECOND).is_some());
    talk.world.advance(10 * MS);
    let handle = talk.stack().tcp_accept(listener).expect("the late one");
    assert_eq!(talk.stack().peer_address(handle), Ok(late.from));
}

/// A bench whose host is the gateway to all addresses.
pub fn before_the_internet(config: Config) -> Talk {
    let interface = InterfaceConfig {
        addresses: ["10.0.0.1/24", "fd00::1/64"]
            .map(|text| text.parse().expect("an address"))
            .to_vec(),
        gateways: ["10.0.0.9", "fd00::9"]
            .map(|text| text.parse().expect("an address"))
            .to_vec(),
        ..Default::default()
    };
    let mut bench = Bench::with(config, &interface, 1500, Offloads::default(), 77);
    bench.host.everyone = true;
    Talk::on(bench, V4)
}

pub fn random_address(random: &mut Random, v6: bool) -> IpAddr {
    if v6 {
        let low = u128::from(random.bits());
        std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | low).into()
    } else {
        Ipv4Addr::from_bits(0xc612_0000 | random.bits() as u32 & 0x1_ffff).into()
    }
}

/// RFC 4987, 3.6: a flood from changing addresses, many times the capacity, doesn't affect the
/// established transfer and honest new clients; and its memory is freed.
#[test]
fn a_flood_of_syns_leaves_honest_clients_alone() {
    for v6 in [false, true] {
        let config = Config {
            tcp_memory: 4 << 20,
            half_open_max: 256,
            ..Default::default()
        };
        let mut talk = before_the_internet(config);
        if v6 {
            (talk.own, talk.other) = (V6.host(4000), V6.stack(80));
            crate::support::meet(&mut talk.world, &mut talk.host, V6);
        }
        let mut talk = talk.listening();
        let syn = talk.full_syn();
        talk = talk.accepted_with(syn);
        let listener = talk.listener.expect("a listener");
        let mut random = Random::new(4987);
        let (mut tried, mut established, mut echoed) = (0, 0, 0);
        for round in 0..20_000u32 {
            let mut flood = talk.full_syn().seq(random.bits() as u32);
            flood.from.set_ip(random_address(&mut random, v6));
            flood.from.set_port(random.bits() as u16 | 1);
            talk.host.inject(&flood.frame(talk.host.macs()));
            talk.world.now_ns += 20_000;
            if round % 50 != 0 {
                continue;
            }
            talk.world.run_now();
            talk.host.take(&mut talk.world);
            // An honest client from elsewhere, with data.
            tried += 1;
            let mut honest = talk.full_syn().seq(random.bits() as u32);
            honest.from.set_ip(random_address(&mut random, v6));
            honest.from.set_port(30_000);
            if let Some(answer) = shake(&mut talk, &honest, 100 * MS) {
                let value = answer.found_timestamps().expect("timestamps").0;
                let data = honest
                    .reply_to(&answer)
                    .timestamps(5001, value)
                    .payload(b"question");
                talk.send(&data);
                while let Ok(handle) = talk.stack().tcp_accept(listener) {
                    established += 1;
                    let mut buffer = [0; 64];
                    if talk.stack().tcp_read(handle, &mut buffer) == Ok(8) {
                        echoed += 1;
                    }
                    talk.stack().abort(handle).expect("a handle");
                }
            }
            // The old connection continues.
            let before = talk.seq;
            talk.data(b"still here");
            assert_eq!(talk.seq.wrapping_sub(before), 10);
            assert_eq!(talk.read().0, b"still here");
        }
        assert!(established * 100 >= tried * 99, "{established} of {tried}");
        assert!(echoed * 100 >= tried * 99, "{echoed} of {tried}");
        assert!(talk.stack().tcp_memory_used() <= 4 << 20);
        let handle = talk.handle();
        talk.stack().abort(handle).expect("a handle");
        talk.world.advance(200 * SECOND);
        assert_eq!(talk.stack().tcp_memory_used(), 0);
    }
}

/// Fills the half-open connections, so that the next SYN is answered with a cookie.
fn flooded() -> Talk {
    let config = Config {
        half_open_max: 16,
        ..Default::default()
    };
    let mut talk = before_the_internet(config).listening();
    let mut random = Random::new(5);
    for _ in 0..200 {
        let mut flood = talk.full_syn().seq(random.bits() as u32);
        flood.from.set_ip(random_address(&mut random, false));
        talk.host.inject(&flood.frame(talk.host.macs()));
        talk.world.run_now();
    }
    talk.host.take(&mut talk.world);
    talk
}

/// RFC 4987, 3.6, and RFC 7323: MSS, window scale and SACK-permitted survive in a cookie if the
/// peer has timestamps, and the MSS without.
#[test]
fn a_cookie_keeps_the_options() {
    for stamps in [true, false] {
        let mut talk = flooded();
        let listener = talk.listener.expect("a listener");
        let mut syn = match stamps {
            true => talk.full_syn().window(1000),
            false => talk.syn().mss(536),
        };
        syn.from.set_port(7777);
        talk.own = syn.from;
        talk.send(&syn);
        let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        talk.seq = syn.end();
        if stamps {
            let value = answer.found_timestamps().expect("timestamps").0;
            talk.stamp = Some((5001, value));
            talk.shift = answer.found_scale();
            assert!(talk.shift.is_some());
        }
        let window = if stamps { 100 } else { 50_000 };
        let last = talk.segment().window(window).payload(b"first");
        talk.send(&last);
        talk.seq = last.end();
        let handle = loop {
            let handle = talk.stack().tcp_accept(listener).expect("the honest one");
            if talk.stack().peer_address(handle) == Ok(syn.from) {
                break handle;
            }
        };
        talk.handle = Some(handle);
        assert_eq!(talk.read().0, b"first");
        talk.listen(600 * MS);
        talk.stack().tcp_write(handle, &[1; 20_000]).expect("room");
        let received = talk.listen(20 * MS);
        let largest = received.iter().map(|segment| segment.payload.len()).max();
        let sum: usize = received.iter().map(|segment| segment.payload.len()).sum();
        if stamps {
            // The MSS is one of a table: at most the peer's.
            assert!((1200..=1428).contains(&largest.unwrap_or(0)), "{largest:?}");
            // 100 << 7 bytes of window.
            assert!((5000..=12_800).contains(&sum), "{sum}");
            // A gap is reported by SACK.
            let gap = Tcp {
                seq: talk.seq.wrapping_add(100),
                ..talk.segment().payload(b"behind a gap")
            };
            talk.send(&gap);
            let reported = talk.expect(SECOND, |segment| !segment.found_sack().is_empty());
            assert_eq!(reported.found_sack(), [(gap.seq, gap.end())]);
        } else {
            assert!((400..=536).contains(&largest.unwrap_or(0)), "{largest:?}");
        }
    }
}

/// RFC 4987, 3.6: a cookie that the stack didn't issue is invalid, and a valid one expires.
#[test]
fn forged_and_old_cookies_are_answered_by_a_reset() {
    let mut talk = flooded();
    let listener = talk.listener.expect("a listener");
    while talk.stack().tcp_accept(listener).is_ok() {}
    let mut random = Random::new(9);
    for _ in 0..2000 {
        let mut forged = talk
            .segment()
            .seq(random.bits() as u32)
            .ack(random.bits() as u32)
            .timestamps(1, random.bits() as u32);
        forged.from.set_port(random.bits() as u16 | 1024);
        talk.host.inject(&forged.frame(talk.host.macs()));
        talk.world.run_now();
    }
    assert_eq!(talk.stack().tcp_accept(listener), Err(Error::WouldBlock));

    let mut syn = talk.full_syn();
    syn.from.set_port(7777);
    talk.own = syn.from;
    talk.send(&syn);
    let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
    let value = answer.found_timestamps().expect("timestamps").0;
    talk.world.advance(600 * SECOND);
    talk.receive();
    let last = syn.reply_to(&answer).timestamps(605_000, value);
    talk.send(&last);
    let reset = talk.expect(SECOND, |_| true);
    assert_eq!((reset.flags, reset.seq), (RST, answer.end()));
    assert_eq!(talk.stack().tcp_accept(listener), Err(Error::WouldBlock));
}

/// A machine without memory starts nothing; existing connections continue, and so does everything
/// else once there is memory again.
#[test]
fn short_memory_begins_nothing() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let socket = talk
            .stack()
            .udp_bind(family.stack(6000))
            .expect("a free port");
        talk.stack().set_memory_short(true);
        let late = client(&talk, 5004);
        assert!(shake(&mut talk, &late, SECOND).is_none());
        let at = family.stack(9);
        assert_eq!(talk.stack().tcp_listen(at, 4), Err(Error::OutOfMemory));
        assert_eq!(talk.stack().udp_bind(at), Err(Error::OutOfMemory));
        let to = family.host(9);
        assert_eq!(
            talk.stack().tcp_connect(to, None).err(),
            Some(Error::OutOfMemory)
        );
        talk.data(b"goes on");
        assert_eq!(talk.read().0, b"goes on");
        // One datagram is queued, and no more.
        let datagrams = |talk: &mut Talk| {
            let (from, to) = (family.host(7000), family.stack(6000));
            for word in [b"one", b"two"] {
                let frame = packet::udp(talk.host.macs(), from, to, word);
                talk.host.send_frame(&mut talk.world, &frame);
            }
            let mut buffer = [0; 10];
            (0..)
                .take_while(|_| talk.stack().udp_recv_from(socket, &mut buffer).is_ok())
                .count()
        };
        assert_eq!(datagrams(&mut talk), 1);
        talk.stack().set_memory_short(false);
        assert_eq!(datagrams(&mut talk), 2);
        assert!(shake(&mut talk, &late, SECOND).is_some());
    }
}
