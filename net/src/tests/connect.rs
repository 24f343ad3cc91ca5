//! Listeners and connects.

use super::{MS, SECOND, address, pair, ready};
use crate::sim::{Impairment, Offloads, World};
use crate::{Config, Error, Handle};

fn small() -> World {
    let config = Config {
        tcp_memory: 16 << 20,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 100_000,
        ..Default::default()
    };
    World::pair(config, impairment, [Offloads::default(); 2], 5)
}

#[test]
fn a_thousand_at_once_are_all_accepted_in_order() {
    let mut world = small();
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 1024).unwrap();
    let clients: Vec<Handle> = (0..1024)
        .map(|_| world.stacks[0].tcp_connect(server, None).unwrap())
        .collect();
    let begun_ns = world.now_ns;
    // Accepts nothing until all are established.
    world.run(SECOND, |world| {
        clients
            .iter()
            .all(|client| ready(world.stacks[0].tcp_connect_result(*client)).is_some())
    });
    assert!(
        world.now_ns - begun_ns < 500 * MS,
        "{} ms",
        (world.now_ns - begun_ns) / MS
    );
    world.advance(10 * MS);
    for client in &clients {
        let accepted = world.stacks[1].tcp_accept(listener).unwrap();
        let peer = world.stacks[1].peer_address(accepted).unwrap();
        assert_eq!(peer, world.stacks[0].local_address(*client).unwrap());
    }
    assert_eq!(world.stacks[1].tcp_accept(listener), Err(Error::WouldBlock));
}

#[test]
fn beyond_the_backlog_a_client_waits_and_is_not_refused() {
    let mut world = pair();
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 4).unwrap();
    let clients: Vec<Handle> = (0..10)
        .map(|_| world.stacks[0].tcp_connect(server, None).unwrap())
        .collect();
    world.advance(500 * MS);
    let mut accepted = 0;
    world.run(30 * SECOND, |world| {
        while ready(world.stacks[1].tcp_accept(listener)).is_some() {
            accepted += 1;
        }
        accepted == clients.len()
    });
    world.advance(MS);
    for client in clients {
        assert_eq!(world.stacks[0].tcp_connect_result(client), Ok(()));
    }
}

#[test]
fn a_port_without_listener_refuses() {
    let mut world = pair();
    let client = world.stacks[0]
        .tcp_connect(address("10.0.0.2:81"), None)
        .unwrap();
    let mut result = Err(Error::WouldBlock);
    world.run(SECOND, |world| {
        result = world.stacks[0].tcp_connect_result(client);
        result != Err(Error::WouldBlock)
    });
    assert_eq!(result, Err(Error::ConnectionRefused));
    assert_eq!(
        world.stacks[0].tcp_read(client, &mut [0; 1]),
        Err(Error::ConnectionRefused)
    );
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
    world.stacks[0].close(client).unwrap();
}

#[test]
fn an_unanswered_neighbor_means_unreachable_within_the_deadline() {
    for peer in ["10.0.0.77:80", "[fd00::77]:80"] {
        let mut world = pair();
        let client = world.stacks[0].tcp_connect(address(peer), None).unwrap();
        world.advance(2500 * MS);
        assert_eq!(
            world.stacks[0].tcp_connect_result(client),
            Err(Error::WouldBlock)
        );
        world.advance(SECOND);
        assert_eq!(
            world.stacks[0].tcp_connect_result(client),
            Err(Error::Unreachable)
        );
    }
}

#[test]
fn unreachable_neighbors_dont_delay_others() {
    for (gone, there) in [("10.0.0.1", "10.0.0.2:80"), ("fd00::1", "[fd00::2]:80")] {
        let mut world = pair();
        world.stacks[1].tcp_listen(address("[::]:80"), 8).unwrap();
        for n in 10..60 {
            let peer = match gone.contains(':') {
                true => format!("[{gone}{n}]:80"),
                false => format!("{gone}{n}:80"),
            };
            world.stacks[0].tcp_connect(address(&peer), None).unwrap();
        }
        let client = world.stacks[0].tcp_connect(address(there), None).unwrap();
        world.advance(20 * MS);
        assert_eq!(
            world.stacks[0].tcp_connect_result(client),
            Ok(()),
            "{there}"
        );
        // The others are retried, but not forever.
        world.advance(2500 * MS);
        let frames = world.cables[0].statistics().frames;
        assert!((100..300).contains(&frames), "{frames}");
    }
}

#[test]
fn failed_connects_leave_nothing() {
    let mut world = pair();
    world.cables[0].set_impairment(Impairment {
        loss: 1_000_000,
        ..Default::default()
    });
    for n in 0..500 {
        let peer = address(&format!("10.0.0.{}:80", 10 + n % 200));
        let client = world.stacks[0].tcp_connect(peer, None).unwrap();
        world.advance(20 * MS);
        world.stacks[0].close(client).unwrap();
    }
    assert!(world.stacks[0].ip.net.interfaces[1].waiting.len() <= 64);
}

#[test]
fn a_silent_host_means_timed_out() {
    let mut world = pair();
    // It must be resolved on the link before it falls silent.
    let first = world.stacks[0]
        .tcp_connect(address("10.0.0.2:80"), None)
        .unwrap();
    world.advance(10 * MS);
    assert_eq!(
        world.stacks[0].tcp_connect_result(first),
        Err(Error::ConnectionRefused)
    );
    world.cables[0].set_impairment(Impairment {
        loss: 1_000_000,
        ..Default::default()
    });
    let client = world.stacks[0]
        .tcp_connect(address("10.0.0.2:80"), None)
        .unwrap();
    world.advance(179 * SECOND);
    assert_eq!(
        world.stacks[0].tcp_connect_result(client),
        Err(Error::WouldBlock)
    );
    world.advance(2 * SECOND);
    assert_eq!(
        world.stacks[0].tcp_connect_result(client),
        Err(Error::TimedOut)
    );
}

#[test]
fn invalid_connects_fail_at_once() {
    let mut world = pair();
    let stack = &mut world.stacks[0];
    let mut connect = |remote: &str| stack.tcp_connect(address(remote), None);
    assert_eq!(connect("192.0.2.1:80"), Err(Error::Unreachable));
    assert_eq!(connect("[2001:db8::1]:80"), Err(Error::Unreachable));
    assert_eq!(connect("10.0.0.2:0"), Err(Error::InvalidArgument));
    assert_eq!(connect("224.0.0.1:80"), Err(Error::InvalidArgument));
    assert_eq!(connect("255.255.255.255:80"), Err(Error::InvalidArgument));
    assert_eq!(connect("0.0.0.0:80"), Err(Error::InvalidArgument));
    let listener = stack.tcp_listen(address("0.0.0.0:80"), 1).unwrap();
    assert_eq!(
        stack.tcp_listen(address("10.0.0.1:80"), 1),
        Err(Error::AddressInUse)
    );
    assert_eq!(
        stack.tcp_listen(address("[::]:80"), 1),
        Err(Error::AddressInUse)
    );
    assert_eq!(
        stack.tcp_listen(address("10.0.0.9:81"), 1),
        Err(Error::AddressNotAvailable)
    );
    stack.close(listener).unwrap();
    assert_eq!(stack.close(listener), Err(Error::BadHandle));
    assert_eq!(stack.tcp_accept(listener), Err(Error::BadHandle));
    let (a, b) = (address("10.0.0.1:80"), address("127.0.0.1:80"));
    let first = stack.tcp_listen(a, 1).unwrap();
    let second = stack.tcp_listen(b, 1).unwrap();
    assert_eq!(
        stack.tcp_read(first, &mut [0]),
        Err(Error::InvalidOperation)
    );
    stack.close(second).unwrap();
    let any = stack.tcp_listen(address("0.0.0.0:0"), 1).unwrap();
    assert!(stack.local_address(any).unwrap().port() >= 32_768);
}

#[test]
fn ports_run_out_with_an_error() {
    let config = Config {
        tcp_memory: 1 << 30,
        tcp_buffer_max: 2048,
        ..Default::default()
    };
    let mut world = World::pair(
        Config {
            tcp_buffer_min: 2048,
            ..config
        },
        Impairment::default(),
        Default::default(),
        8,
    );
    let stack = &mut world.stacks[0];
    let peer = address("10.0.0.2:80");
    for _ in 0..32_768 {
        stack.tcp_connect(peer, None).unwrap();
    }
    assert_eq!(stack.tcp_connect(peer, None), Err(Error::PortsExhausted));
    stack.tcp_connect(address("10.0.0.2:81"), None).unwrap();
}

#[test]
fn memory_runs_out_with_an_error_and_a_listener_waits_for_more() {
    let config = Config {
        tcp_memory: 64 << 10,
        ..Default::default()
    };
    let impairment = Impairment {
        delay_ns: 100_000,
        ..Default::default()
    };
    let mut world = World::pair(config, impairment, Default::default(), 9);
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 1024).unwrap();
    let mut clients = Vec::new();
    loop {
        match world.stacks[0].tcp_connect(server, None) {
            Ok(client) => clients.push(client),
            Err(error) => {
                assert_eq!(error, Error::OutOfMemory);
                break;
            }
        }
    }
    let count = clients.len();
    assert!((4..8).contains(&count), "{count}");
    world.advance(SECOND);
    for client in clients {
        world.stacks[0].close(client).unwrap();
    }
    let mut accepted = 0;
    while let Some(connection) = ready(world.stacks[1].tcp_accept(listener)) {
        world.stacks[1].close(connection).unwrap();
        accepted += 1;
    }
    assert_eq!(accepted, count);
    world.advance(SECOND);
    assert_eq!(world.stacks[1].tcp_memory_used(), 0);
    world.stacks[0].tcp_connect(server, None).unwrap();
}

#[test]
fn events_name_exactly_the_sockets_that_waited() {
    let mut world = pair();
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 8).unwrap();
    let names = |world: &mut World, stack: usize| {
        let mut names = Vec::new();
        world.stacks[stack].take_events(&mut |handle| names.push(handle));
        names
    };
    assert_eq!(world.stacks[1].tcp_accept(listener), Err(Error::WouldBlock));
    let client = world.stacks[0].tcp_connect(server, None).unwrap();
    assert_eq!(
        world.stacks[0].tcp_connect_result(client),
        Err(Error::WouldBlock)
    );
    assert_eq!(names(&mut world, 0), []);
    world.advance(10 * MS);
    assert_eq!(names(&mut world, 0), [client]);
    assert_eq!(names(&mut world, 1), [listener]);
    assert_eq!(names(&mut world, 1), []);
    let accepted = world.stacks[1].tcp_accept(listener).unwrap();
    // No task waits: no event.
    world.stacks[0].tcp_write(client, b"x").unwrap();
    world.advance(10 * MS);
    assert_eq!(names(&mut world, 1), []);
    assert_eq!(world.stacks[1].tcp_read(accepted, &mut [0; 8]), Ok(1));
    assert_eq!(
        world.stacks[1].tcp_read(accepted, &mut [0; 8]),
        Err(Error::WouldBlock)
    );
    world.stacks[0].tcp_write(client, b"y").unwrap();
    world.advance(10 * MS);
    assert_eq!(names(&mut world, 1), [accepted]);
    // A full send buffer, and then room.
    while world.stacks[0].tcp_write(client, &[0; 65_536]).is_ok() {}
    world.advance(100 * MS);
    assert_eq!(names(&mut world, 0), [client]);
    // The end of the connection.
    let mut buffer = vec![0; 1 << 20];
    while world.stacks[1].tcp_read(accepted, &mut buffer).is_ok() {
        world.advance(MS);
    }
    names(&mut world, 1);
    world.stacks[0].close(client).unwrap();
    world.advance(10 * MS);
    assert_eq!(names(&mut world, 1), [accepted]);
    assert_eq!(world.stacks[1].tcp_read(accepted, &mut buffer), Ok(0));
}
