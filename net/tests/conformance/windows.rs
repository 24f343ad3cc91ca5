//! Windows: zero, silly, shrinking, growing.

use net::sim::packet::{ACK, PSH, Tcp};
use net::sim::{Impairment, Offloads, Random, World};
use net::{Config, Error, TcpOptions};

use crate::support::{FAMILIES, MS, SECOND, Talk, V4, address, pattern, ready};

fn write(talk: &mut Talk, bytes: &[u8]) -> usize {
    let handle = talk.handle();
    ready(talk.stack().tcp_write(handle, bytes)).unwrap_or(0)
}

/// RFC 9293, 3.8.6.1 (MUST-35 to MUST-37, SHLD-29, SHLD-30): a window of zero is probed at growing
/// intervals, for as long as the peer acknowledges; its opening is used.
#[test]
fn a_zero_window_is_probed_until_it_opens() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let shut = talk.segment().window(0);
        talk.send(&shut);
        assert!(write(&mut talk, &pattern(5000)) >= 4096);
        let begin = talk.ack;
        let mut times = vec![talk.world.now_ns];
        // Ten minutes, far beyond any retransmission limit.
        while talk.world.now_ns - times[0] < 600 * SECOND {
            let probe = talk.expect(130 * SECOND, |_| true);
            assert!(probe.payload.len() <= 1, "{} bytes", probe.payload.len());
            times.push(talk.world.now_ns);
            talk.ack = begin;
            let answer = talk.segment().window(0);
            talk.send(&answer);
        }
        let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] >= 180 * MS, "{} ms", pauses[0] / MS);
        assert!(pauses[0] <= 5 * SECOND, "{} ms", pauses[0] / MS);
        assert!(pauses.len() < 60, "{} probes", pauses.len());
        let longest = pauses.iter().max().copied().unwrap_or(0);
        assert!((2 * SECOND..=120 * SECOND).contains(&longest));
        assert_eq!(talk.error(), None);
        talk.acknowledge();
        let mut got = 0;
        while got < 4096 {
            let segment = talk.expect(SECOND, |segment| !segment.payload.is_empty());
            got += segment.payload.len();
            talk.acknowledge();
        }
    }
}

/// RFC 9293, 3.8.6.1: the window update is lost; a probe detects the opening.
#[test]
fn a_lost_window_update_is_found_out_by_a_probe() {
    let mut talk = Talk::accepted(V4);
    let shut = talk.segment().window(0);
    talk.send(&shut);
    write(&mut talk, &[1; 3000]);
    let begin = talk.ack;
    talk.expect(5 * SECOND, |_| true);
    talk.ack = begin;
    // The reply to the next probe has a window, as the peer's program has read meanwhile.
    talk.expect(20 * SECOND, |_| true);
    talk.ack = begin;
    talk.acknowledge();
    talk.expect(SECOND, |segment| segment.payload.len() > 1000);
}

/// RFC 9293, 3.8.6.1: a receiver with a window of zero acknowledges probes and accepts their byte
/// only when it can.
#[test]
fn probes_of_our_zero_window_are_acknowledged() {
    let mut talk = Talk::accepted(V4);
    fill(&mut talk);
    for _ in 0..5 {
        talk.listen(20 * SECOND);
        let probe = talk.segment().payload(b"p");
        talk.send(&probe);
        let answer = talk.expect(SECOND, |_| true);
        assert_eq!((answer.flags, answer.ack), (ACK, talk.seq));
    }
    // So is one without data (Linux's way).
    let probe = talk.segment().seq(talk.seq.wrapping_sub(1));
    talk.send(&probe);
    let answer = talk.expect(SECOND, |_| true);
    assert_eq!((answer.ack, answer.window), (talk.seq, 0));
}

/// Sends until the stack's window is closed.
fn fill(talk: &mut Talk) -> usize {
    let mut sent = 0;
    talk.acknowledge();
    talk.listen(50 * MS);
    if talk.window == 0 {
        talk.window = 1000;
    }
    let mut rounds = 0;
    while talk.window > 0 {
        let len = talk.window.min(1400) as usize;
        talk.data(&pattern(len));
        sent += len;
        talk.listen(300 * MS);
        rounds += 1;
        assert!(rounds < 5000, "{sent} bytes sent, window {}", talk.window);
    }
    sent
}

/// RFC 9293, 3.8.6.2.2 (MUST-39): the window opens in large steps, and each is advertised.
#[test]
fn a_reader_of_single_bytes_makes_no_silly_windows() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let sent = fill(&mut talk);
        let handle = talk.handle();
        let mut edges = Vec::new();
        let mut buffer = [0; 16];
        let mut read = 0;
        while read < sent.min(20_000) {
            read += ready(talk.stack().tcp_read(handle, &mut buffer)).expect("bytes");
            for segment in talk.receive() {
                edges.push(segment.window);
            }
        }
        assert!(!edges.is_empty(), "no update after {read} bytes");
        assert!(
            edges.iter().all(|window| *window == 0 || *window >= 1440),
            "{edges:?}"
        );
        let steps: Vec<_> = edges.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            steps.iter().all(|step| *step == 0 || *step >= 1440),
            "{edges:?}"
        );
    }
}

/// RFC 9293, 3.8.6.2.1 (MUST-38): a small opening isn't filled with a small segment at once.
#[test]
fn a_small_opening_of_the_window_is_not_filled_at_once() {
    let mut talk = Talk::accepted(V4);
    let shut = talk.segment().window(0);
    talk.send(&shut);
    write(&mut talk, &[1; 8000]);
    let begin = talk.ack;
    talk.listen(50 * MS);
    talk.ack = begin;
    let open = talk.segment().window(10);
    talk.send(&open);
    let received = talk.listen(90 * MS);
    assert!(
        received.iter().all(|segment| segment.payload.len() <= 1),
        "{received:?}"
    );
    // In the end it is (the override timeout of 0.1 to 1.0 s, and the persist timer).
    talk.ack = begin;
    talk.send(&open);
    talk.expect(5 * SECOND, |segment| !segment.payload.is_empty());
}

/// RFC 9293, 3.8.6 (MUST-34): a peer that shrinks its window is harmless.
#[test]
fn a_shrinking_window_is_survived() {
    let mut talk = Talk::accepted(V4);
    write(&mut talk, &pattern(10_000));
    let begin = talk.ack;
    talk.listen(10 * MS);
    talk.ack = begin.wrapping_add(1440);
    let shrunk = talk.segment().window(500);
    talk.send(&shrunk);
    talk.listen(3 * SECOND);
    assert_eq!(talk.error(), None);
    // From here on everything is accepted.
    let mut next = begin.wrapping_add(1440);
    while next != begin.wrapping_add(10_000) {
        talk.ack = next;
        talk.acknowledge();
        let fits = talk.expect(130 * SECOND, |segment| {
            segment.seq.wrapping_sub(next) as i32 <= 0
                && segment.end().wrapping_sub(next) as i32 > 0
        });
        next = fits.end();
    }
}

/// RFC 9293, 3.8.6 (SHLD-14) and RFC 7323, 2.4: the advertised right edge never moves left, however
/// the program reads.
#[test]
fn the_right_edge_never_moves_left() {
    for full in [false, true] {
        let mut talk = match full {
            true => Talk::accepted_full(V4),
            false => Talk::accepted(V4),
        };
        let handle = talk.handle();
        let mut random = Random::new(9293);
        let mut edge = None::<u32>;
        let mut right = talk.seq.wrapping_add(talk.window.max(1000));
        let mut buffer = vec![0; 20_000];
        for _ in 0..3000 {
            let room = right.wrapping_sub(talk.seq).min(1 << 20);
            let len = (random.below(1440) as u32 + 1).min(room) as usize;
            if len > 0 {
                talk.data(&pattern(len));
            }
            if random.chance(300_000) {
                let piece = 1 + random.below(20_000) as usize;
                let _ = talk.stack().tcp_read(handle, &mut buffer[..piece]);
            }
            for segment in talk.listen(random.below(60) * MS) {
                let shift = talk.shift.unwrap_or(0);
                let now = segment.ack.wrapping_add(u32::from(segment.window) << shift);
                if let Some(edge) = edge {
                    assert!(now.wrapping_sub(edge) as i32 >= 0, "{edge}, then {now}");
                }
                edge = Some(now);
                right = now;
            }
        }
        assert!(edge.is_some());
    }
}

/// RFC 7323, 2: the window grows with the program's reads, beyond 16 bits.
#[test]
fn the_window_grows_with_a_fast_reader() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        let handle = talk.handle();
        let mut buffer = vec![0; 1 << 20];
        let mut largest = 0;
        let mut right = talk.seq.wrapping_add(10_000);
        // A round trip of 20 ms, in which the whole window is sent.
        for _ in 0..40 {
            let mut room = right.wrapping_sub(talk.seq).min(1 << 21);
            while room > 0 {
                let len = room.min(1428);
                let segment = talk.segment().payload(&vec![3; len as usize]);
                talk.host.inject(&segment.frame(talk.host.macs()));
                talk.seq = segment.end();
                room -= len;
            }
            talk.world.run_now();
            while ready(talk.stack().tcp_read(handle, &mut buffer)).is_some() {}
            if let Some((value, _)) = &mut talk.stamp {
                *value += 20;
            }
            for segment in talk.listen(20 * MS) {
                let window = u32::from(segment.window) << talk.shift.unwrap_or(0);
                largest = largest.max(window);
                right = segment.ack.wrapping_add(window);
            }
        }
        assert!(largest > 200_000, "{largest}");
    }
}

/// RFC 9293, 3.7.4 (SHLD-7, MUST-17): Nagle's algorithm delays a small segment while another is not
/// acknowledged, and can be switched off.
#[test]
fn nagle_joins_small_writes_and_can_be_switched_off() {
    for nodelay in [false, true] {
        let mut talk = Talk::accepted(V4);
        let handle = talk.handle();
        talk.stack()
            .tcp_set_nodelay(handle, nodelay)
            .expect("a connection");
        write(&mut talk, b"a");
        assert_eq!(talk.receive().len(), 1);
        for _ in 0..3 {
            write(&mut talk, b"b");
            talk.world.run_now();
        }
        let held = talk.receive();
        if nodelay {
            assert_eq!(held.len(), 3);
            continue;
        }
        assert!(held.is_empty(), "{held:?}");
        talk.acknowledge();
        let joined = talk.receive();
        assert_eq!(joined.len(), 1);
        assert_eq!(joined[0].payload, b"bbb");
    }
}

/// RFC 9293, 3.8.6.3 (SHLD-18, MUST-40, SHLD-19, MUST-58): an acknowledgement is delayed by less
/// than 500 ms, and at least every second full segment is acknowledged.
#[test]
fn acknowledgements_are_delayed_but_not_for_long() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        // The first ones may be acknowledged at once.
        for _ in 0..20 {
            talk.data(&[1; 100]);
            talk.listen(600 * MS);
            talk.read();
        }
        talk.data(&[1; 100]);
        let begun_ns = talk.world.now_ns;
        talk.expect(500 * MS, |segment| segment.has(ACK));
        assert!(talk.world.now_ns - begun_ns < 500 * MS);
        talk.listen(SECOND);
        let mut acks = 0;
        for _ in 0..20 {
            talk.data(&[1; 1440]);
            acks += talk.receive().len();
            talk.read();
            acks += talk.receive().len();
        }
        acks += talk.listen(500 * MS).len();
        assert!(acks >= 10, "{acks} acknowledgements of 20 segments");
    }
}

/// RFC 9293, 3.8.6.3 and RFC 5681, 4.2: data out of order is acknowledged at once, and so is data
/// that fills the gap.
#[test]
fn gaps_are_acknowledged_at_once() {
    let mut talk = Talk::accepted(V4);
    let begin = talk.seq;
    let first = talk.segment().payload(&[1; 100]);
    for n in 1..4u32 {
        let segment = first.clone().seq(begin.wrapping_add(100 * n));
        talk.send(&segment);
        let received = talk.receive();
        assert_eq!(received.len(), 1, "{received:?}");
        assert_eq!(received[0].ack, begin);
    }
    talk.send(&first);
    let received = talk.receive();
    assert_eq!(
        received.last().map(|segment| segment.ack),
        Some(begin.wrapping_add(400))
    );
}

/// Overlapping and repeated pieces in any order yield the bytes, each once (RFC 9293, 3.10.7.4).
#[test]
fn pieces_in_any_order_are_put_together() {
    let mut random = Random::new(793);
    for round in 0..60 {
        let mut talk = Talk::accepted(if round % 2 == 0 {
            V4
        } else {
            crate::support::V6
        });
        let data = pattern(6000);
        let begin = talk.seq;
        let mut pieces: Vec<(usize, usize)> = (0..60).map(|n| (n * 100, n * 100 + 100)).collect();
        for _ in 0..60 {
            let from = random.below(5900) as usize;
            pieces.push((from, (from + 1 + random.below(900) as usize).min(6000)));
        }
        for n in (1..pieces.len()).rev() {
            pieces.swap(n, random.below(n as u64 + 1) as usize);
        }
        for (from, to) in pieces {
            let segment = talk
                .segment()
                .seq(begin.wrapping_add(from as u32))
                .payload(&data[from..to]);
            talk.send(&segment);
        }
        assert_eq!(talk.read().0, data);
    }
}

/// A reader with growing pauses and a writer that waits: neither stops forever (a known failure of
/// others), over both families, with and without offloads.
#[test]
fn slow_readers_and_slow_writers_never_deadlock() {
    for (n, server) in ["10.0.0.2:80", "[fd00::2]:80"].into_iter().enumerate() {
        for offloads in [Offloads::default(), Offloads::ALL] {
            let config = Config {
                tcp_memory: 1 << 20,
                ..Default::default()
            };
            let mut world = World::pair(
                config,
                Impairment {
                    loss: 5000,
                    ..Impairment::delay(5 * MS)
                },
                [offloads; 2],
                n as u64 + 70,
            );
            world.advance(5 * SECOND);
            let server = address(server);
            let listener = world.stacks[1].tcp_listen(server, 8).expect("free");
            let client = world.stacks[0].tcp_connect(server, None).expect("a route");
            let mut accepted = None;
            world.run(60 * SECOND, |world| {
                accepted = accepted.or(ready(world.stacks[1].tcp_accept(listener)));
                accepted.is_some()
            });
            let accepted = accepted.expect("a connection");
            let data = pattern(1_000_000);
            let (mut sent, mut got) = (0, Vec::<u8>::new());
            let mut random = Random::new(n as u64);
            let mut resume_ns = 0;
            world.run(4000 * SECOND, |world| {
                if sent < data.len() {
                    let to = data.len().min(sent + 1 + random.below(9000) as usize);
                    match world.stacks[0].tcp_write(client, &data[sent..to]) {
                        Ok(len) => sent += len,
                        Err(Error::WouldBlock) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                if world.now_ns >= resume_ns {
                    let mut buffer = [0; 3000];
                    let len = 1 + random.below(2999) as usize;
                    if let Some(len) = ready(world.stacks[1].tcp_read(accepted, &mut buffer[..len]))
                    {
                        got.extend(&buffer[..len]);
                    }
                    if random.chance(3000) {
                        resume_ns = world.now_ns + random.below(30) * SECOND;
                    }
                }
                world.now_ns += 100_000;
                got.len() == data.len()
            });
            assert!(got == data);
        }
    }
}

/// RFC 9293, 3.8.5 (MUST-30, MUST-31): urgent data is part of the stream.
#[test]
fn urgent_data_stays_in_the_stream() {
    let mut talk = Talk::accepted(V4);
    let urgent = Tcp {
        urgent: 3,
        ..talk.segment().payload(b"urgent").flags(ACK | PSH | 0x20)
    };
    talk.send(&urgent);
    talk.seq = urgent.end();
    talk.data(b" and not");
    assert_eq!(talk.read().0, b"urgent and not");
}

/// RFC 9293, 3.8.6.3: the program sets the delay of acknowledgements, including none, and it never
/// reaches half a second.
#[test]
fn the_delay_of_acknowledgements_can_be_chosen() {
    for (delay_ns, least, most) in [(0, 0, 0), (100 * MS, 100, 101), (SECOND, 498, 499)] {
        let mut talk = Talk::accepted(V4);
        let handle = talk.handle();
        let options = TcpOptions {
            delayed_ack_ns: delay_ns,
            ..TcpOptions::default()
        };
        talk.listen(SECOND);
        talk.stack()
            .tcp_set_options(handle, &options)
            .expect("open");
        let begun_ns = talk.world.now_ns;
        talk.data(b"small");
        talk.expect(SECOND, |segment| segment.has(ACK));
        let took = (talk.world.now_ns - begun_ns) / MS;
        assert!((least..=most).contains(&took), "{took} ms for {delay_ns}");
    }
}
