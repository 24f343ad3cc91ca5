//! How connections end, and what remains of them.

use super::{MS, SECOND, address, connect, connected, drain, pair, pattern, ready};
use crate::sim::{Impairment, World};
use crate::{Config, Error, Keepalive};

/// Nothing of any connection remains, except TIME-WAIT records.
fn assert_empty(world: &World) {
    for stack in &world.stacks {
        assert_eq!(stack.tcp_memory_used(), 0);
        assert_eq!(stack.sockets.table.len(), 0);
    }
}

fn records(world: &World, stack: usize) -> usize {
    world.stacks[stack].sockets.tcp.time_wait.len()
}

#[test]
fn the_end_that_closes_first_keeps_the_record_and_no_buffers() {
    for first in [0, 1] {
        let mut world = pair();
        let (client, server) = connected(&mut world);
        let handles = [client, server];
        world.stacks[first].close(handles[first]).unwrap();
        world.advance(10 * MS);
        let mut seen = Vec::new();
        assert_eq!(
            drain(&mut world.stacks[1 - first], handles[1 - first], &mut seen),
            None
        );
        world.stacks[1 - first].close(handles[1 - first]).unwrap();
        world.advance(10 * MS);
        assert_empty(&world);
        assert_eq!((records(&world, first), records(&world, 1 - first)), (1, 0));
        world.advance(61 * SECOND);
        assert_eq!(records(&world, first), 0);
    }
}

#[test]
fn both_close_at_once() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].close(client).unwrap();
    world.stacks[1].close(server).unwrap();
    world.advance(20 * MS);
    assert_empty(&world);
    assert_eq!((records(&world, 0), records(&world, 1)), (1, 1));
}

#[test]
fn half_close_leaves_the_other_way_open() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_write(client, b"request").unwrap();
    world.stacks[0].tcp_shutdown(client).unwrap();
    world.stacks[0].tcp_shutdown(client).unwrap();
    assert_eq!(
        world.stacks[0].tcp_write(client, b"more"),
        Err(Error::BrokenPipe)
    );
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    world.run(SECOND, |world| {
        drain(&mut world.stacks[1], server, &mut request).is_none()
    });
    let data = pattern(200_000);
    let mut sent = 0;
    world.run(SECOND, |world| {
        while sent < data.len()
            && let Some(len) = ready(world.stacks[1].tcp_write(server, &data[sent..]))
        {
            sent += len;
        }
        drain(&mut world.stacks[0], client, &mut answer);
        answer.len() == data.len()
    });
    assert_eq!(answer, data);
    world.stacks[1].close(server).unwrap();
    world.advance(10 * MS);
    assert_eq!(world.stacks[0].tcp_read(client, &mut [0; 10]), Ok(0));
    let ready = world.stacks[0].readiness(client).unwrap();
    assert!(ready.hangup && ready.readable && !ready.error);
    world.stacks[0].close(client).unwrap();
    world.advance(10 * MS);
    assert_empty(&world);
}

#[test]
fn close_delivers_what_was_written() {
    let impairment = Impairment {
        delay_ns: MS,
        loss: 50_000,
        ..Default::default()
    };
    for seed in 0..6 {
        let mut world = World::pair(Config::default(), impairment, Default::default(), seed);
        let (client, server) = connected(&mut world);
        let data = pattern(60_000);
        assert_eq!(world.stacks[0].tcp_write(client, &data), Ok(data.len()));
        world.stacks[0].close(client).unwrap();
        assert_eq!(
            world.stacks[0].tcp_write(client, b"x"),
            Err(Error::BadHandle)
        );
        assert_eq!(world.stacks[0].close(client), Err(Error::BadHandle));
        let mut received = Vec::new();
        world.run(60 * SECOND, |world| {
            drain(&mut world.stacks[1], server, &mut received).is_none()
        });
        assert_eq!(received, data);
        world.stacks[1].close(server).unwrap();
        world.advance(200 * SECOND);
        assert_empty(&world);
    }
}

#[test]
fn bytes_before_a_reset_are_read_first() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_write(client, b"last words").unwrap();
    world.advance(10 * MS);
    world.stacks[0].abort(client).unwrap();
    world.advance(10 * MS);
    let ready = world.stacks[1].readiness(server).unwrap();
    assert!(ready.readable && ready.error && ready.hangup);
    let mut buffer = [0; 100];
    assert_eq!(world.stacks[1].tcp_read(server, &mut buffer), Ok(10));
    assert_eq!(&buffer[..10], b"last words");
    assert_eq!(
        world.stacks[1].tcp_read(server, &mut buffer),
        Err(Error::ConnectionReset)
    );
    assert_eq!(
        world.stacks[1].tcp_write(server, b"x"),
        Err(Error::ConnectionReset)
    );
    // The buffers are freed before the handle is.
    assert_eq!(world.stacks[1].tcp_memory_used(), 0);
    world.stacks[1].close(server).unwrap();
    assert_empty(&world);
    assert_eq!((records(&world, 0), records(&world, 1)), (0, 0));
}

#[test]
fn bytes_before_a_fin_are_read_after_time_wait_began() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_shutdown(client).unwrap();
    world.advance(10 * MS);
    world.stacks[1].tcp_write(server, b"answer").unwrap();
    world.stacks[1].close(server).unwrap();
    world.advance(30 * SECOND);
    assert_eq!(records(&world, 0), 1);
    let mut received = Vec::new();
    assert_eq!(drain(&mut world.stacks[0], client, &mut received), None);
    assert_eq!(received, b"answer");
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
    world.stacks[0].close(client).unwrap();
    assert_empty(&world);
}

#[test]
fn closing_with_bytes_unread_resets() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_write(client, b"not wanted").unwrap();
    world.advance(10 * MS);
    world.stacks[1].close(server).unwrap();
    world.advance(10 * MS);
    assert_eq!(
        world.stacks[0].tcp_read(client, &mut [0; 10]),
        Err(Error::ConnectionReset)
    );
    world.stacks[0].close(client).unwrap();
    assert_empty(&world);
}

#[test]
fn closing_while_the_peer_still_writes_delivers_ours_and_then_resets() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    let answer = pattern(60_000);
    assert_eq!(world.stacks[1].tcp_write(server, &answer), Ok(answer.len()));
    world.stacks[1].close(server).unwrap();
    let (mut received, mut reset) = (Vec::<u8>::new(), false);
    world.run(10 * SECOND, |world| {
        let stack = &mut world.stacks[0];
        if !reset {
            let mut buffer = [0; 2000];
            loop {
                match stack.tcp_read(client, &mut buffer) {
                    Ok(0) | Err(Error::WouldBlock) => break,
                    Ok(len) => received.extend(&buffer[..len]),
                    Err(error) => {
                        assert_eq!(error, Error::ConnectionReset);
                        reset = true;
                        break;
                    }
                }
            }
            if received.len() == answer.len() {
                // Only after all data arrived: a peer that never stops.
                let _ = stack.tcp_write(client, b"and more");
            }
        }
        reset
    });
    assert_eq!(received, answer);
    world.stacks[0].close(client).unwrap();
    world.advance(SECOND);
    assert_empty(&world);
}

#[test]
fn an_orphan_is_given_up_when_the_peer_never_closes() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].close(client).unwrap();
    world.advance(59 * SECOND);
    assert_eq!(world.stacks[0].sockets.table.len(), 1);
    world.advance(5 * SECOND);
    assert_eq!(world.stacks[0].sockets.table.len(), 0);
    assert_eq!(
        world.stacks[1].socket_error(server),
        Ok(Some(Error::ConnectionReset))
    );
}

#[test]
fn a_lost_last_acknowledgement_is_repeated_from_the_record() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_shutdown(client).unwrap();
    world.advance(10 * MS);
    world.stacks[1].close(server).unwrap();
    world.run_now();
    world.advance(150_000);
    // The peer's FIN has arrived, and its acknowledgement is in flight: lose it.
    let lost = Impairment {
        delay_ns: 100_000,
        loss: 1_000_000,
        ..Default::default()
    };
    let sound = Impairment {
        delay_ns: 100_000,
        ..Default::default()
    };
    world.cables[0].set_impairment(lost);
    world.stacks[0].close(client).unwrap();
    world.advance(500_000);
    world.cables[0].set_impairment(sound);
    world.advance(3 * SECOND);
    assert_empty(&world);
}

#[test]
fn a_new_connection_may_reuse_the_ports_of_one_in_time_wait() {
    let mut world = pair();
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 8).unwrap();
    let mut accepted_ones = 0;
    for _ in 0..20 {
        let from = address("10.0.0.1:40000");
        let Ok(client) = world.stacks[0].tcp_connect(server, Some(from)) else {
            panic!()
        };
        let mut accepted = None;
        world.run(30 * SECOND, |world| {
            accepted = accepted.or(ready(world.stacks[1].tcp_accept(listener)));
            accepted.is_some() && ready(world.stacks[0].tcp_connect_result(client)).is_some()
        });
        accepted_ones += 1;
        // The server closes first and keeps the record.
        world.stacks[1].close(accepted.unwrap()).unwrap();
        world.advance(5 * MS);
        world.stacks[0].close(client).unwrap();
        world.advance(5 * MS);
        assert_eq!(records(&world, 1), 1);
    }
    assert_eq!(accepted_ones, 20);
}

#[test]
fn an_interface_that_loses_its_peer_ends_the_connection_in_time() {
    let mut world = pair();
    let (client, _) = connected(&mut world);
    world.stacks[0]
        .tcp_write(client, b"anybody there?")
        .unwrap();
    let dead = Impairment {
        loss: 1_000_000,
        ..Default::default()
    };
    world.cables[0].set_impairment(dead);
    world.advance(119 * SECOND);
    assert_eq!(world.stacks[0].socket_error(client), Ok(None));
    world.advance(10 * SECOND);
    assert_eq!(
        world.stacks[0].socket_error(client),
        Ok(Some(Error::TimedOut))
    );
    assert_eq!(
        world.stacks[0].tcp_read(client, &mut [0; 1]),
        Err(Error::TimedOut)
    );
}

#[test]
fn an_idle_connection_lives_without_keepalive_and_dies_with_it() {
    let mut world = pair();
    let (client, server) = connected(&mut world);
    world.stacks[1]
        .tcp_set_keepalive(server, Some(Keepalive::every(10 * SECOND)))
        .unwrap();
    world.advance(3600 * SECOND);
    assert_eq!(world.stacks[1].socket_error(server), Ok(None));
    let dead = Impairment {
        loss: 1_000_000,
        ..Default::default()
    };
    world.cables[0].set_impairment(dead);
    world.advance(70 * SECOND);
    assert_eq!(
        world.stacks[1].socket_error(server),
        Ok(Some(Error::TimedOut))
    );
    world.advance(3600 * SECOND);
    assert_eq!(world.stacks[0].socket_error(client), Ok(None));
}

#[test]
fn the_peer_of_a_connect_in_progress_may_be_closed() {
    let mut world = pair();
    let listener = world.stacks[1]
        .tcp_listen(address("10.0.0.2:80"), 8)
        .unwrap();
    let client = world.stacks[0]
        .tcp_connect(address("10.0.0.2:80"), None)
        .unwrap();
    world.stacks[0].close(client).unwrap();
    world.advance(30 * SECOND);
    assert_eq!(ready(world.stacks[1].tcp_accept(listener)), None);
    world.stacks[1].close(listener).unwrap();
    let (client, _) = {
        let server = address("10.0.0.2:81");
        let listener = world.stacks[1].tcp_listen(server, 8).unwrap();
        let ends = connect(&mut world, listener, server);
        world.stacks[1].close(listener).unwrap();
        ends
    };
    world.stacks[0].abort(client).unwrap();
}
