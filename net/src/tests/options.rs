//! What a program may ask of its connections, and what the stack tells about them.

use std::sync::Arc;

use super::{MS, Page, SECOND, address, connect, connected, drain, pair, pattern, ready};
use crate::sim::{Impairment, Offloads, World};
use crate::{Config, Congestion, Error};

fn dead() -> Impairment {
    Impairment {
        loss: 1_000_000,
        ..Default::default()
    }
}

#[test]
fn closed_connections_that_still_deliver_are_bounded() {
    let config = Config {
        orphan_max: 10,
        ..Default::default()
    };
    let mut world = World::pair(config, Impairment::delay(MS), Default::default(), 21);
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 64).unwrap();
    let clients: Vec<_> = (0..25)
        .map(|_| connect(&mut world, listener, server).0)
        .collect();
    world.cables[0].set_impairment(dead());
    for client in clients {
        world.stacks[0].tcp_write(client, b"never heard").unwrap();
        world.stacks[0].close(client).unwrap();
    }
    world.advance(SECOND);
    assert_eq!(world.stacks[0].tcp_counters().orphans_aborted, 15);
    assert_eq!(world.stacks[0].undelivered(), 10);
    world.advance(70 * SECOND);
    assert_eq!(world.stacks[0].connections(), 0);
    assert_eq!(world.stacks[0].core.tcp.orphans, 0);
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
}

#[test]
fn without_linger_closing_resets() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_set_linger(client, 0).unwrap();
    world.stacks[0].close(client).unwrap();
    world.advance(MS);
    assert_eq!(
        world.stacks[1].tcp_read(server, &mut [0; 1]),
        Err(Error::ConnectionReset)
    );
    assert_eq!(world.stacks[0].connections(), 0);
}

/// RFC 5482.
#[test]
fn the_user_timeout_is_kept() {
    let mut world = pair();
    let (client, _) = connected(&mut world);
    world.stacks[0]
        .tcp_set_user_timeout(client, 5 * SECOND)
        .unwrap();
    world.stacks[0].tcp_write(client, b"anybody?").unwrap();
    world.cables[0].set_impairment(dead());
    world.advance(4 * SECOND);
    assert_eq!(world.stacks[0].socket_error(client), Ok(None));
    world.advance(4 * SECOND);
    assert_eq!(
        world.stacks[0].socket_error(client),
        Ok(Some(Error::TimedOut))
    );
    assert_eq!(world.stacks[0].tcp_counters().timeouts, 1);
}

#[test]
fn shared_bytes_are_kept_until_they_are_acknowledged() {
    for offloads in [Offloads::default(), Offloads::ALL] {
        let mut world = World::pair(Config::default(), Impairment::delay(MS), [offloads; 2], 22);
        let (client, server) = connected(&mut world);
        let page = Arc::new(Page(pattern(100_000)));
        let (mut given, mut received) = (0, Vec::new());
        world.run(20 * SECOND, |world| {
            while given < 20 {
                match world.stacks[0].tcp_write_shared(client, page.clone()) {
                    Ok(()) => given += 1,
                    Err(error) => {
                        assert_eq!(error, Error::WouldBlock);
                        break;
                    }
                }
            }
            assert!(given == 0 || Arc::strong_count(&page) <= given + 1);
            drain(&mut world.stacks[1], server, &mut received);
            received.len() == 20 * page.0.len()
        });
        assert!(received.chunks(page.0.len()).all(|chunk| chunk == page.0));
        world.advance(SECOND);
        assert_eq!(Arc::strong_count(&page), 1);
        assert_eq!(world.stacks[0].tcp_unsent(client), Ok(0));
    }
}

#[test]
fn a_connection_tells_how_it_does() {
    let mut world = World::pair(
        Config::default(),
        Impairment::delay(10 * MS),
        Default::default(),
        23,
    );
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_write(client, &[1; 10_000]).unwrap();
    world.advance(200 * MS);
    let mut seen = Vec::new();
    drain(&mut world.stacks[1], server, &mut seen);
    let info = world.stacks[0].tcp_info(client).unwrap();
    assert_eq!(info.state, "ESTABLISHED");
    assert!((20 * MS..40 * MS).contains(&info.rtt_ns), "{info:?}");
    assert_eq!((info.bytes_acknowledged, info.unacknowledged), (10_000, 0));
    assert_eq!(
        world.stacks[1].tcp_info(server).unwrap().bytes_received,
        10_000
    );
    let counters = [0, 1].map(|n| world.stacks[n].tcp_counters());
    assert_eq!(
        (counters[0].active_opens, counters[1].passive_opens),
        (1, 1)
    );
    assert_eq!(counters[0].segments_out, counters[1].segments_in);
}

/// Each gets its turn: one that has endlessly much to send doesn't keep others from it.
#[test]
fn nobody_starves() {
    let mut world = World::pair(
        Config::default(),
        Impairment::delay(MS),
        [Offloads {
            queue: 64,
            ..Offloads::default()
        }; 2],
        24,
    );
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 64).unwrap();
    let ends: Vec<_> = (0..20)
        .map(|_| connect(&mut world, listener, server))
        .collect();
    let mut received = vec![0usize; ends.len()];
    let mut buffer = vec![0; 65_536];
    for _ in 0..1000 {
        for (n, (client, server)) in ends.iter().enumerate() {
            let _ = ready(world.stacks[0].tcp_write(*client, &buffer));
            while let Ok(len @ 1..) = world.stacks[1].tcp_read(*server, &mut buffer) {
                received[n] += len;
            }
        }
        world.step(MS);
    }
    let (least, most) = (
        received.iter().min().unwrap(),
        received.iter().max().unwrap(),
    );
    assert!(*least > 100_000 && most / least < 4, "{received:?}");
}

#[test]
fn sizes_of_buffers_hold() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0]
        .tcp_set_send_buffer(client, 8 << 10)
        .unwrap();
    world.stacks[1]
        .tcp_set_receive_buffer(server, 8 << 10)
        .unwrap();
    let data = pattern(1 << 20);
    let (mut sent, mut received, mut most) = (0, Vec::new(), 0);
    for step in 0.. {
        if let Ok(len) = world.stacks[0].tcp_write(client, &data[sent..]) {
            sent += len;
        }
        assert!(world.stacks[0].tcp_unsent(client).unwrap() <= 8 << 10);
        world.advance(MS);
        // What was offered before stays offered, 64 KiB.
        let unread = world.stacks[1].tcp_info(server).unwrap().unread;
        if received.len() > 64 << 10 {
            most = most.max(unread);
        }
        if step % 4 == 0 {
            drain(&mut world.stacks[1], server, &mut received);
        }
        if received.len() == data.len() {
            break;
        }
        assert!(step < 10_000, "{}", received.len());
    }
    assert!(received == data);
    assert!((4 << 10..=8 << 10).contains(&most), "{most}");
    // What makes no sense is brought into the range.
    world.stacks[0].tcp_set_send_buffer(client, 1).unwrap();
    assert_eq!(world.stacks[0].tcp_write(client, &data), Ok(4 << 10));
    world.stacks[0]
        .tcp_set_receive_buffer(client, u32::MAX)
        .unwrap();
}

#[test]
fn the_congestion_control_can_be_another_one_in_the_middle() {
    let impairment = Impairment {
        loss: 20_000,
        ..Impairment::delay(5 * MS)
    };
    let mut world = World::pair(Config::default(), impairment, Default::default(), 31);
    let (client, server) = connected(&mut world);
    let data = pattern(2 << 20);
    let (mut sent, mut received, mut turn) = (0, Vec::new(), 0);
    world.run(300 * SECOND, |world| {
        turn += 1;
        let congestion = [Congestion::NewReno, Congestion::Cubic][turn % 2];
        world.stacks[0]
            .tcp_set_congestion(client, congestion)
            .unwrap();
        if let Ok(len) = world.stacks[0].tcp_write(client, &data[sent..]) {
            sent += len;
        }
        drain(&mut world.stacks[1], server, &mut received);
        received.len() == data.len()
    });
    assert!(received == data);
}
