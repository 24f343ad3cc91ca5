//! Options and statistics of connections.

use std::sync::Arc;

use super::{MS, Page, SECOND, address, connect, connected, drain, pair, pattern, ready};
use crate::sim::{Impairment, Offloads, World};
use crate::{Config, Congestion, Error, Keepalive, TcpOptions};

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
    assert_eq!(world.stacks[0].sockets.tcp.orphans.len(), 0);
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

/// The end of a program: also of connections that it hasn't accepted, but not of closed ones.
#[test]
fn what_is_left_at_the_end_is_reset() {
    let mut world = pair();
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 64).unwrap();
    let (client, _) = connect(&mut world, listener, server);
    let (other, closed) = connect(&mut world, listener, server);
    let waiting = world.stacks[0].tcp_connect(server, None).unwrap();
    world.advance(MS);
    world.stacks[0].tcp_write(waiting, b"question").unwrap();
    world.stacks[1].tcp_write(closed, b"answer").unwrap();
    world.stacks[1].close(closed).unwrap();
    world.stacks[1].abort_all();
    world.advance(MS);
    for client in [client, waiting] {
        assert_eq!(
            world.stacks[0].tcp_read(client, &mut [0; 1]),
            Err(Error::ConnectionReset)
        );
    }
    assert_eq!(world.stacks[0].tcp_read(other, &mut [0; 9]), Ok(6));
    let refused = world.stacks[0].tcp_connect(server, None).unwrap();
    world.advance(MS);
    assert_eq!(
        world.stacks[0].tcp_connect_result(refused),
        Err(Error::ConnectionRefused)
    );
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
fn statistics_follow_a_transfer() {
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

/// Each gets its turn: one with endless data to send doesn't starve others.
#[test]
fn no_connection_starves() {
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
        // An earlier offer of 64 KiB remains.
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
    // Invalid values are clamped.
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

/// A send buffer accepts the requested size at once, more than the path has shown to need.
#[test]
fn a_send_buffer_is_as_large_as_asked_for() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    let data = pattern(1 << 20);
    let stack = &mut world.stacks[0];
    assert_eq!(stack.tcp_write(client, &data), Ok(64 << 10));
    stack.tcp_set_send_buffer(client, 512 << 10).unwrap();
    let room = (512 - 64) << 10;
    assert_eq!(stack.tcp_write(client, &data[64 << 10..]), Ok(room));
    assert_eq!(stack.tcp_unsent(client), Ok(512 << 10));
    let mut received = Vec::new();
    world.run(60 * SECOND, |world| {
        let _ = drain(&mut world.stacks[1], server, &mut received);
        received.len() == 512 << 10
    });
    assert!(data.starts_with(&received));
}

/// Peeked data remains, in any number of pieces; the end and errors are as in reading.
#[test]
fn peeking_takes_nothing() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    let mut buffer = vec![0; 100_000];
    let nothing = world.stacks[1].tcp_peek(server, &mut buffer);
    assert_eq!(nothing, Err(Error::WouldBlock));
    let data = pattern(50_000);
    world.stacks[0].tcp_write(client, &data).unwrap();
    world.advance(10 * MS);
    let mut told = Vec::new();
    world.stacks[1].take_events(&mut |handle| told.push(handle));
    assert_eq!(told, [server], "who peeks waits as a reader does");
    world.stacks[0].tcp_shutdown(client).unwrap();
    world.advance(10 * MS);
    let stack = &mut world.stacks[1];
    for most in [1, 40_000, 100_000] {
        let there = most.min(data.len());
        assert_eq!(stack.tcp_peek(server, &mut buffer[..most]), Ok(there));
        assert!(data.starts_with(&buffer[..there]));
    }
    assert_eq!(stack.tcp_peek(server, &mut []), Ok(0));
    assert_eq!(stack.tcp_read(server, &mut buffer), Ok(50_000));
    assert_eq!(stack.tcp_peek(server, &mut buffer), Ok(0));
    let nothing = world.stacks[0].tcp_peek(client, &mut buffer);
    assert_eq!(nothing, Err(Error::WouldBlock));
}

/// A bound port is exclusive, doesn't listen, and is the source of connections.
#[test]
fn a_port_is_bound_before_it_is_used() {
    let mut world = pair();
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 4).unwrap();
    let local = address("10.0.0.1:5000");
    let stack = &mut world.stacks[0];
    let bound = stack.tcp_bind(local).unwrap();
    let taken = Err(Error::AddressInUse);
    assert_eq!(stack.tcp_bind(address("0.0.0.0:5000")), taken);
    assert_eq!(stack.tcp_listen(local, 4), taken);
    assert_eq!(stack.tcp_connect(server, Some(local)), taken);
    assert_eq!(stack.tcp_accept(bound), Err(Error::InvalidOperation));
    stack.set_dscp(bound, 46).unwrap();
    let options = TcpOptions {
        mss: 700,
        ..TcpOptions::default()
    };
    stack.tcp_set_options(bound, &options).unwrap();
    // The port doesn't listen.
    let refused = world.stacks[1].tcp_connect(local, None).unwrap();
    world.advance(10 * MS);
    let result = world.stacks[1].tcp_connect_result(refused);
    assert_eq!(result, Err(Error::ConnectionRefused));
    // A failed connect leaves it bound.
    let stack = &mut world.stacks[0];
    let nowhere = stack.tcp_connect_bound(bound, address("[fd00::2]:80"));
    assert_eq!(nowhere, Err(Error::AddressNotAvailable));
    let client = stack.tcp_connect_bound(bound, server).unwrap();
    assert_eq!(stack.kind(bound), None);
    assert_eq!(stack.local_address(client), Ok(local));
    world.advance(10 * MS);
    let accepted = world.stacks[1].tcp_accept(listener).unwrap();
    assert_eq!(world.stacks[1].peer_address(accepted), Ok(local));
    assert_eq!(world.stacks[1].tcp_info(accepted).unwrap().peer_mss, 700);
    // Its other use, and a port that the stack selects.
    let stack = &mut world.stacks[0];
    let bound = stack.tcp_bind(address("0.0.0.0:0")).unwrap();
    let port = stack.local_address(bound).unwrap().port();
    assert_ne!(port, 0);
    stack.tcp_listen_bound(bound, 4).unwrap();
    let wrong = stack.tcp_connect_bound(bound, server);
    assert_eq!(wrong, Err(Error::InvalidOperation));
    let to = address(&format!("10.0.0.1:{port}"));
    let other = world.stacks[1].tcp_connect(to, None).unwrap();
    world.advance(10 * MS);
    assert_eq!(world.stacks[1].tcp_connect_result(other), Ok(()));
    assert!(world.stacks[0].tcp_accept(bound).is_ok());
}

/// RFC 9293, 3.8.4: idle time, interval and number are independent.
#[test]
fn keepalives_have_three_numbers() {
    let mut world = pair();
    let (client, _) = connected(&mut world);
    let keepalive = Keepalive {
        idle_ns: 20 * SECOND,
        interval_ns: 3 * SECOND,
        probes: 2,
    };
    world.stacks[0]
        .tcp_set_keepalive(client, Some(keepalive))
        .unwrap();
    world.cables[0].set_impairment(dead());
    world.advance(25_900 * MS);
    assert_eq!(world.stacks[0].socket_error(client), Ok(None));
    world.advance(200 * MS);
    let error = Some(Error::TimedOut);
    assert_eq!(world.stacks[0].socket_error(client), Ok(error));
}

/// The values that `ss -ti` shows.
#[test]
fn a_connection_tells_what_was_agreed_on_and_what_is_repaired() {
    let mut world = World::pair(
        Config::default(),
        Impairment::delay(10 * MS),
        Default::default(),
        9,
    );
    let (client, _server) = connected(&mut world);
    let info = world.stacks[0].tcp_info(client).unwrap();
    assert_eq!((info.timestamps, info.sack, info.ecn), (true, true, false));
    assert_eq!((info.scales, info.peer_mss), (Some((7, 7)), 1460));
    assert_eq!((info.path_mtu, info.phase), (1500, "Open"));
    // The first data segment is lost.
    let mut lost = false;
    world.cables[0].set_filter(1, move |frame| {
        frame.len() < 1000 || core::mem::replace(&mut lost, true)
    });
    world.stacks[0].tcp_write(client, &pattern(14_000)).unwrap();
    let (mut sacked, mut recovered) = (0, false);
    world.run(SECOND, |world| {
        let info = world.stacks[0].tcp_info(client).unwrap();
        sacked = sacked.max(info.sacked);
        recovered |= info.phase == "Recovery";
        info.unacknowledged == 0
    });
    assert!(sacked > 12_000 && recovered, "{sacked}");
    let info = world.stacks[0].tcp_info(client).unwrap();
    assert_eq!((info.phase, info.sacked, info.lost), ("Open", 0, 0));
    assert!(!info.reordering && info.retransmitted == 1);
    // No frame returns.
    world.cables[0].set_impairment(dead());
    world.stacks[0].tcp_write(client, &pattern(14_000)).unwrap();
    world.advance(2 * SECOND);
    let info = world.stacks[0].tcp_info(client).unwrap();
    assert_eq!(info.phase, "Loss");
    assert!(info.lost > 10_000 && info.in_flight < 3000, "{info:?}");
}
