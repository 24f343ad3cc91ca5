//! Passive opens, floods of them, and TIME-WAIT, against a scripted host.

use super::{MS, SECOND, address, ready};
use crate::sim::packet::{ACK, CWR, ECE, FIN, RST, SYN, Tcp};
use crate::sim::{Bench, Offloads};
use crate::{Config, Error, Handle, InterfaceConfig};

const SERVERS: [&str; 2] = ["10.0.0.1:80", "[fd00::1]:80"];

fn bench(config: Config) -> (Bench, Handle) {
    let interface = InterfaceConfig {
        addresses: ["10.0.0.1/24", "fd00::1/64"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        gateways: ["10.0.0.9", "fd00::9"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        ..Default::default()
    };
    let mut bench = Bench::with(config, &interface, 1500, Offloads::default(), 77);
    let listener = bench.world.stacks[0]
        .tcp_listen(address("[::]:80"), 16)
        .unwrap();
    bench.host.everyone = true;
    (bench, listener)
}

/// A SYN from client number `n`.
fn syn(server: &str, n: u32) -> Tcp {
    let server = address(server);
    let client = match server.is_ipv4() {
        true => format!("192.0.{}.{}:{}", n >> 8 & 255, n & 255, 1024 + (n >> 16)),
        false => format!("[2001:db8::{:x}]:4000", n + 1),
    };
    Tcp::between(address(&client), server)
        .flags(SYN)
        .seq(1000 + n)
        .mss(1460)
}

fn one(bench: &mut Bench, segment: &Tcp) -> Tcp {
    bench.host.send(&mut bench.world, segment);
    let mut seen = bench.host.take_tcp(&mut bench.world);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

fn none(bench: &mut Bench, segment: &Tcp) {
    bench.host.send(&mut bench.world, segment);
    assert_eq!(bench.host.take_tcp(&mut bench.world), []);
}

/// RFC 9293, 3.10.7.1 and 3.10.7.2.
#[test]
fn what_belongs_to_nothing_is_reset_with_the_right_numbers() {
    for server in SERVERS {
        let (mut bench, _) = bench(Config::default());
        let closed = server.replace(":80", ":81");
        let blank = || Tcp {
            options: Vec::new(),
            ..syn(&closed, 1)
        };
        let answer = one(&mut bench, &blank().payload(b"abc"));
        assert_eq!(
            (answer.seq, answer.ack, answer.flags),
            (0, 1001 + 4, RST | ACK)
        );
        let answer = one(&mut bench, &blank().flags(0).ack(77));
        assert_eq!((answer.seq, answer.flags), (77, RST));
        let answer = one(&mut bench, &blank().flags(FIN).payload(b"abc"));
        assert_eq!(
            (answer.seq, answer.ack, answer.flags),
            (0, 1001 + 4, RST | ACK)
        );
        none(&mut bench, &blank().flags(RST));
        none(&mut bench, &blank().flags(RST).ack(77));
        // A listener: an acknowledgement is reset, the rest dropped.
        let blank = || Tcp {
            options: Vec::new(),
            ..syn(server, 1)
        };
        let answer = one(&mut bench, &blank().flags(0).ack(77));
        assert_eq!((answer.seq, answer.flags), (77, RST));
        let answer = one(&mut bench, &blank().ack(77));
        assert_eq!((answer.seq, answer.flags), (77, RST));
        none(&mut bench, &blank().flags(RST));
        none(&mut bench, &blank().flags(FIN));
        none(&mut bench, &blank().flags(0).payload(b"x"));
    }
}

#[test]
fn resets_are_limited() {
    let (mut bench, _) = bench(Config::default());
    let mut answers = 0;
    for n in 0..5000 {
        let segment = Tcp::between(
            address(&format!("10.0.0.9:{}", 1000 + n)),
            address("10.0.0.1:99"),
        );
        bench.host.send(&mut bench.world, &segment.flags(SYN));
        answers += bench.host.take_tcp(&mut bench.world).len();
    }
    assert!((500..3000).contains(&answers), "{answers}");
    let counters = bench.world.stacks[0].tcp_counters();
    assert_eq!(counters.resets_out + counters.resets_limited, 5000);
    bench.world.advance(SECOND);
    one(
        &mut bench,
        &Tcp::between(address("10.0.0.9:1"), address("10.0.0.1:99")).flags(SYN),
    );
}

#[test]
fn the_answer_to_a_syn_offers_what_the_peer_offered() {
    for server in SERVERS {
        let (mut bench, _) = bench(Config::default());
        let plain = one(&mut bench, &syn(server, 1));
        let mss = if server.starts_with('[') { 1440 } else { 1460 };
        assert_eq!((plain.flags, plain.ack), (SYN | ACK, 1002));
        assert_eq!((plain.found_mss(), plain.found_scale()), (Some(mss), None));
        assert!(plain.found_timestamps().is_none() && plain.find(4).is_none());
        let full = one(
            &mut bench,
            &syn(server, 2).scale(7).sack_permitted().timestamps(55, 0),
        );
        assert_eq!(full.found_timestamps().map(|(_, echo)| echo), Some(55));
        assert!(full.found_scale().is_some() && full.find(4).is_some());
        // The same SYN gets the same SYN-ACK, at once and when it isn't acknowledged.
        assert_eq!(one(&mut bench, &syn(server, 1)), plain);
        let mut again = bench.host.listen(&mut bench.world, 100 * SECOND);
        again.retain(|segment| segment.to == plain.to);
        assert_eq!(again, vec![plain; 5]);
        assert_eq!(bench.world.stacks[0].sockets.tcp.half_open.len(), 0);
    }
}

/// RFC 4987: SYNs without room are answered by a cookie, which is accepted when it returns.
#[test]
fn beyond_the_bound_cookies_serve_the_honest() {
    for server in SERVERS {
        let (mut bench, listener) = bench(Config {
            half_open_max: 32,
            ..Config::default()
        });
        let mut honest = Vec::new();
        for n in 0..5000u32 {
            let mut segment = syn(server, n);
            if n % 1000 == 999 {
                segment = segment.scale(5).sack_permitted().timestamps(9000 + n, 0);
            }
            bench.host.send(&mut bench.world, &segment);
            let answer = bench.host.take_tcp(&mut bench.world).remove(0);
            assert_eq!(answer.flags, SYN | ACK);
            if n % 500 == 499 {
                honest.push((segment, answer));
            }
        }
        assert_eq!(bench.world.stacks[0].sockets.tcp.half_open.len(), 32);
        for (n, (syn, answer)) in honest.iter().enumerate() {
            let mut ack = syn.reply_to(answer).payload(b"hello");
            if let Some((stamp, _)) = answer.found_timestamps() {
                ack = ack.timestamps(syn.found_timestamps().unwrap().0, stamp);
            }
            bench.host.send(&mut bench.world, &ack);
            let stack = &mut bench.world.stacks[0];
            let connection = stack
                .tcp_accept(listener)
                .unwrap_or_else(|_| panic!("number {n}"));
            assert_eq!(stack.peer_address(connection), Ok(syn.from));
            let mut buffer = [0; 10];
            assert_eq!(stack.tcp_read(connection, &mut buffer), Ok(5));
            assert_eq!(&buffer[..5], b"hello");
            assert_eq!(stack.tcp_write(connection, b"welcome"), Ok(7));
            let seen = bench.host.take_tcp(&mut bench.world);
            let data = seen.iter().find(|segment| segment.payload == b"welcome");
            let timestamps = data.expect("an answer").found_timestamps();
            assert_eq!(timestamps.is_some(), syn.found_timestamps().is_some());
        }
        let counters = bench.world.stacks[0].tcp_counters();
        assert_eq!(counters.cookies_accepted, 10);
        assert_eq!(counters.cookies_sent, 5000 - 32);
        // A guess is rejected.
        let (syn, answer) = &honest[0];
        let mut guess = syn.reply_to(answer);
        guess.ack ^= 1 << 20;
        guess.from = address(if server.starts_with('[') {
            "[2001:db8::ffff]:1"
        } else {
            "192.0.77.7:1"
        });
        assert_eq!(one(&mut bench, &guess).flags, RST);
    }
}

/// A cookie can't encode ECN (RFC 3168, 6.1.1): a SYN-ACK that accepted it would promise to echo
/// marks, and the connection wouldn't know. A recorded handshake accepts.
#[test]
fn a_cookie_refuses_congestion_marks() {
    for server in SERVERS {
        for half_open_max in [0, 1] {
            let (mut bench, listener) = bench(Config {
                half_open_max,
                ..Config::default()
            });
            let syn = syn(server, 1)
                .flags(SYN | ECE | CWR)
                .sack_permitted()
                .timestamps(9000, 0);
            let answer = one(&mut bench, &syn);
            let agreed = if half_open_max == 0 { 0 } else { ECE };
            assert_eq!(answer.flags, SYN | ACK | agreed, "{half_open_max}");
            let (stamp, _) = answer.found_timestamps().expect("offered");
            bench.host.send(
                &mut bench.world,
                &syn.reply_to(&answer).flags(ACK).timestamps(9001, stamp),
            );
            let stack = &mut bench.world.stacks[0];
            let connection = stack.tcp_accept(listener).expect("established");
            let info = stack.tcp_info(connection).expect("a connection");
            assert_eq!(info.ecn, agreed == ECE);
        }
    }
}

/// An old cookie is rejected as well.
#[test]
fn a_cookie_grows_old() {
    let (mut bench, listener) = bench(Config {
        half_open_max: 0,
        ..Config::default()
    });
    let first = syn(SERVERS[0], 1);
    let answer = one(&mut bench, &first);
    bench.world.advance(130 * SECOND);
    assert_eq!(one(&mut bench, &first.reply_to(&answer)).flags, RST);
    let answer = one(&mut bench, &first);
    bench.world.advance(55 * SECOND);
    bench.host.send(&mut bench.world, &first.reply_to(&answer));
    assert!(ready(bench.world.stacks[0].tcp_accept(listener)).is_some());
}

/// A full queue ignores segments, so that the peer retries; no connection is refused.
#[test]
fn a_full_queue_ignores_the_acknowledgement_and_takes_it_later() {
    let (mut bench, listener) = bench(Config::default());
    let syns: Vec<Tcp> = (0..20).map(|n| syn(SERVERS[0], n)).collect();
    let answers: Vec<Tcp> = syns.iter().map(|syn| one(&mut bench, syn)).collect();
    for (syn, answer) in syns.iter().zip(&answers) {
        none(&mut bench, &syn.reply_to(answer));
    }
    none(&mut bench, &syn(SERVERS[0], 99));
    let stack = &mut bench.world.stacks[0];
    assert_eq!(stack.tcp_counters().listen_overflows, 5);
    let first: Vec<_> = (0..16)
        .map(|_| stack.tcp_accept(listener).unwrap())
        .collect();
    for (connection, syn) in first.iter().zip(&syns) {
        assert_eq!(stack.peer_address(*connection), Ok(syn.from));
    }
    assert_eq!(stack.tcp_accept(listener), Err(Error::WouldBlock));
    // Our SYN-ACK is repeated, and so is the peer's acknowledgement.
    let again = bench.host.listen(&mut bench.world, 1100 * MS);
    for answer in again.iter().filter(|answer| answer.flags == SYN | ACK) {
        let syn = syns.iter().find(|syn| syn.from == answer.to).unwrap();
        none(&mut bench, &syn.reply_to(answer));
    }
    let stack = &mut bench.world.stacks[0];
    assert_eq!(
        (0..)
            .take_while(|_| stack.tcp_accept(listener).is_ok())
            .count(),
        4
    );
}

/// RFC 9293, 3.10.7.4 and RFC 5961 for a connection in handshake.
#[test]
fn only_a_valid_reset_ends_a_handshake() {
    let (mut bench, _) = bench(Config::default());
    let syn = syn(SERVERS[0], 1);
    let answer = one(&mut bench, &syn);
    let ack = syn.reply_to(&answer);
    let mut reset = ack.clone();
    reset.flags = RST;
    reset.seq = ack.seq.wrapping_add(5);
    let challenge = one(&mut bench, &reset);
    assert_eq!(
        (challenge.flags, challenge.seq, challenge.ack),
        (ACK, ack.ack, ack.seq)
    );
    let mut wrong = ack.clone();
    wrong.ack = ack.ack.wrapping_add(1);
    let refused = one(&mut bench, &wrong);
    assert_eq!((refused.flags, refused.seq), (RST, wrong.ack));
    assert_eq!(bench.world.stacks[0].sockets.tcp.half_open.len(), 1);
    reset.seq = ack.seq;
    none(&mut bench, &reset);
    assert_eq!(bench.world.stacks[0].sockets.tcp.half_open.len(), 0);
    // Nothing remains of it.
    assert_eq!(one(&mut bench, &ack).flags, RST);
}

/// Creates a connection that the stack closes first, so that it keeps the record; returns the
/// peer's next number and ours.
fn time_wait(bench: &mut Bench, listener: Handle, stamps: Option<u32>) -> Tcp {
    let mut first = syn(SERVERS[0], 1);
    let stamp = |segment: Tcp, echo: u32| match stamps {
        Some(value) => segment.timestamps(value, echo),
        None => segment,
    };
    first = stamp(first, 0);
    let answer = one(bench, &first);
    let echo = answer.found_timestamps().map_or(0, |(value, _)| value);
    bench
        .host
        .send(&mut bench.world, &stamp(first.reply_to(&answer), echo));
    let stack = &mut bench.world.stacks[0];
    let connection = stack.tcp_accept(listener).unwrap();
    stack.close(connection).unwrap();
    let fin = bench.host.take_tcp(&mut bench.world).pop().expect("a FIN");
    assert!(fin.has(FIN));
    let mut last = first.reply_to(&answer);
    last.ack = fin.end();
    last.flags |= FIN;
    let last = stamp(last, echo);
    let acknowledged = one(bench, &last);
    assert_eq!((acknowledged.flags, acknowledged.ack), (ACK, last.end()));
    assert_eq!(bench.world.stacks[0].sockets.tcp.time_wait.len(), 1);
    last
}

/// RFC 6191 and RFC 1337.
#[test]
fn ports_in_time_wait_are_used_again_as_timestamps_allow() {
    let (mut bench, listener) = bench(Config::default());
    let last = time_wait(&mut bench, listener, Some(500));
    let again = |seq: u32, stamp: u32| syn(SERVERS[0], 1).seq(seq).timestamps(stamp, 0);
    // An old SYN is acknowledged, and a reset has no effect.
    let answer = one(&mut bench, &again(7, 499));
    assert_eq!((answer.flags, answer.ack), (ACK, last.end()));
    none(&mut bench, &last.clone().flags(RST).seq(last.end()));
    assert_eq!(bench.world.stacks[0].sockets.tcp.time_wait.len(), 1);
    // A SYN with a newer timestamp opens a new connection, with any number; our number is beyond
    // all that were sent.
    let answer = one(&mut bench, &again(7, 501));
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, 8));
    assert!((answer.seq.wrapping_sub(last.ack) as i32) > 0);
    assert_eq!(bench.world.stacks[0].sockets.tcp.time_wait.len(), 0);
    assert_eq!(bench.world.stacks[0].tcp_counters().time_wait_reused, 1);
}

/// RFC 6191, 4: a SYN without room ends no record, so that the next one also gets a number beyond
/// it.
#[test]
fn a_full_queue_leaves_the_record_of_time_wait() {
    let (mut bench, listener) = bench(Config::default());
    let last = time_wait(&mut bench, listener, Some(500));
    for n in 2..18 {
        let first = syn(SERVERS[0], n);
        let answer = one(&mut bench, &first);
        none(&mut bench, &first.reply_to(&answer));
    }
    let again = syn(SERVERS[0], 1).seq(7).timestamps(501, 0);
    none(&mut bench, &again);
    let sockets = &bench.world.stacks[0].sockets;
    assert_eq!(sockets.tcp.time_wait.len(), 1);
    let counters = sockets.tcp.counters;
    assert_eq!(
        (counters.listen_overflows, counters.time_wait_reused),
        (1, 0)
    );
    bench.world.stacks[0].tcp_accept(listener).unwrap();
    let answer = one(&mut bench, &again);
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, 8));
    assert!((answer.seq.wrapping_sub(last.ack) as i32) > 0);
    assert_eq!(bench.world.stacks[0].sockets.tcp.time_wait.len(), 0);
}

/// RFC 9293, 3.10.7.4: late segments are acknowledged.
#[test]
fn a_record_answers_for_the_connection() {
    let (mut bench, listener) = bench(Config::default());
    let last = time_wait(&mut bench, listener, None);
    for _ in 0..3 {
        let answer = one(&mut bench, &last);
        assert_eq!(
            (answer.seq, answer.ack, answer.flags),
            (last.ack, last.end(), ACK)
        );
    }
    bench.world.advance(62 * SECOND);
    assert_eq!(bench.world.stacks[0].sockets.tcp.time_wait.len(), 0);
    assert_eq!(one(&mut bench, &last).flags, RST);
}
