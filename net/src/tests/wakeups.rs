//! No lost wake-ups: neither of a program that waits for an event, nor of a connection with data to
//! send, nor of a deadline. The stack evaluates an event in the connection's turn, so the tests
//! cover each way into a turn and out of it.

use std::collections::HashSet;
use std::sync::Arc;

use super::{MS, Page, SECOND, address, connected, drain, ready};
use crate::sim::{Cable, Impairment, Offloads, Random, World};
use crate::sockets::Socket;
use crate::{Config, Error, Handle, Keepalive, Stack};

/// Checks the invariants of a stack without pending work.
pub(crate) fn check(stack: &Stack) {
    let Stack { ip, sockets, .. } = stack;
    if sockets.table.len() > 100 || sockets.events.len() > 100 {
        // Tests with thousands of sockets call this at each step.
        return;
    }
    assert!(
        sockets.dirty.is_empty(),
        "{:?} wait for their turn",
        sockets.dirty
    );
    let blocked = ip.net.queues.iter().flat_map(|queue| &queue.blocked);
    let waiting = ip.net.interfaces.iter().flat_map(|one| &one.waiting);
    let parked: [HashSet<Handle>; 2] = [blocked.copied().collect(), waiting.copied().collect()];
    let events: HashSet<Handle> = sockets.events.iter().copied().collect();
    for handle in sockets.table.handles() {
        let Some(Socket::Connection(one)) = sockets.table.get(handle) else {
            continue;
        };
        assert!(!one.dirty && one.wakes.listed == events.contains(&handle));
        let told = one.wakes.listed;
        let (read, write) = one.lost_wakeups();
        // A connection that waits for memory is notified with the next acknowledgement.
        let scarce = sockets.config.tcp_memory <= 1 << 20
            && one
                .machine
                .as_ref()
                .is_some_and(|machine| machine.unacknowledged() > 0);
        assert!(told || !read, "a reader isn't told");
        assert!(told || !write || scarce, "a writer isn't told");
        let Some(machine) = one.machine.as_ref().filter(|_| !one.over) else {
            continue;
        };
        for (flag, list) in [one.blocked, one.waiting].into_iter().zip(&parked) {
            assert!(!flag || list.contains(&handle), "parked nowhere");
        }
        assert!(
            !machine.wants_output() || one.blocked || one.waiting,
            "has something to send and no turn: {:?}",
            machine.info()
        );
        let due_ns = machine.deadline_ns().unwrap_or(u64::MAX);
        let set_ns = sockets.timers.deadline_ns(handle).unwrap_or(u64::MAX);
        assert!(set_ns <= due_ns, "due at {due_ns}, looked at at {set_ns}");
        assert!(sockets.timers.next_ns().unwrap_or(u64::MAX) <= set_ns);
    }
}

/// The next acknowledgement before the turn may obsolete the output that one acknowledgement made
/// due.
#[test]
fn a_writer_is_notified_though_its_transmission_is_overtaken() {
    use smoltcp::wire::{TcpControl, TcpRepr, TcpSeqNumber};
    let mut world = World::new();
    let cable = Cable::new(Impairment::default(), 5);
    let mut stack = world.stack(Config::default(), 5);
    let link = cable.link(0, super::MAC, 1500, Offloads::default());
    stack
        .add_interface(link, &super::fixed(&["10.0.0.1/24"]))
        .unwrap();
    let listener = stack.tcp_listen(address("0.0.0.0:80"), 8).unwrap();
    world.stacks.push(stack);
    let script = cable.script(1);
    world.cables.push(cable);
    let send = |control, seq: i32, ack: Option<i32>, sack: Option<(u32, u32)>| {
        let repr = TcpRepr {
            src_port: 4000,
            dst_port: 80,
            control,
            seq_number: TcpSeqNumber(seq),
            ack_number: ack.map(TcpSeqNumber),
            window_len: 65_535,
            window_scale: (control == TcpControl::Syn).then_some(10),
            max_seg_size: Some(1460).filter(|_| control == TcpControl::Syn),
            sack_permitted: control == TcpControl::Syn,
            sack_ranges: [sack, None, None],
            timestamp: None,
            payload: &[],
        };
        script.inject(&super::wire::tcp(
            super::ip("10.0.0.9"),
            super::ip("10.0.0.1"),
            super::MAC,
            &repr,
        ));
    };
    let next = |world: &mut World, script: &crate::sim::Script| {
        world.run_now();
        let mut last = None;
        while let Some(frame) = script.take() {
            if let Some(reply) = super::wire::arp_reply(&frame) {
                script.inject(&reply);
                world.run_now();
            } else if frame[12..14] == [8, 0] {
                let at = 34 + usize::from(frame[46] >> 4) * 4;
                let seq = i32::from_be_bytes(frame[38..42].try_into().unwrap());
                last = Some(seq.wrapping_add((frame.len() - at) as i32));
            }
        }
        last
    };
    send(TcpControl::Syn, 1000, None, None);
    let first = next(&mut world, &script).unwrap().wrapping_add(1);
    send(TcpControl::None, 1001, Some(first), None);
    world.run_now();
    let one = world.stacks[0].tcp_accept(listener).unwrap();
    // As much as there is room for, repeatedly, until all of it is in flight at once.
    let (mut una, mut end) = (first, first);
    loop {
        while world.stacks[0].tcp_write(one, &[7; 1000]).is_ok() {}
        while let Some(at) = next(&mut world, &script) {
            end = at;
            world.advance(MS);
        }
        if world.stacks[0].tcp_unsent(one) == Ok((end - una) as usize) {
            break;
        }
        send(TcpControl::None, 1001, Some(end), None);
        world.run_now();
        una = end;
    }
    world.stacks[0].take_events(&mut |_| ());
    let block = (una.wrapping_add(1460) as u32, end as u32);
    send(TcpControl::None, 1001, Some(una), Some(block));
    send(TcpControl::None, 1001, Some(end), None);
    world.run_now();
    let mut told = Vec::new();
    world.stacks[0].take_events(&mut |handle| told.push(handle));
    assert_eq!(told, [one]);
    assert!(world.stacks[0].tcp_write(one, &[7; 1000]).is_ok());
}

/// RFC 9293, 3.8.4: the end of a connection whose peer doesn't respond is reported even if its
/// reset can't be delivered: after three unanswered requests, a neighbor isn't solicited for a
/// second.
#[test]
fn a_waiting_owner_is_notified_of_an_unreachable_neighbor() {
    for n in 0..40 {
        let mut world = super::pair();
        let (client, _server) = connected(&mut world);
        let stack = &mut world.stacks[0];
        let interval_ns = 10 * SECOND + n * 100 * MS;
        let keepalive = Some(Keepalive::every(interval_ns));
        stack.tcp_set_keepalive(client, keepalive).unwrap();
        assert_eq!(stack.tcp_read(client, &mut [0; 8]), Err(Error::WouldBlock));
        world.cables[0].set_impairment(Impairment {
            loss: 1_000_000,
            ..Impairment::default()
        });
        // The program tries only when it is notified.
        let mut last = Err(Error::WouldBlock);
        world.run(200 * SECOND, |world| {
            let stack = &mut world.stacks[0];
            let mut told = false;
            stack.take_events(&mut |handle| told |= handle == client);
            if told {
                last = stack.tcp_read(client, &mut [0; 8]);
            }
            last != Err(Error::WouldBlock)
        });
        assert_eq!(last, Err(Error::TimedOut));
        assert_eq!(world.stacks[0].tcp_counters().timeouts, 1);
    }
}

/// Leased bytes for which the budget has no room aren't refused forever: nothing in flight would
/// trigger a retry.
#[test]
fn lent_bytes_are_taken_though_memory_is_scarce() {
    let config = Config {
        tcp_memory: 400_000,
        ..Config::default()
    };
    let mut world = World::pair(config, Impairment::delay(MS), [Offloads::default(); 2], 1);
    let (client, server) = connected(&mut world);
    let page = || Arc::new(Page(super::pattern(1_000_000)));
    assert_eq!(world.stacks[0].tcp_write_shared(client, page()), Ok(()));
    assert_eq!(
        world.stacks[0].tcp_write_shared(client, page()),
        Err(Error::WouldBlock)
    );
    let (mut received, mut told) = (Vec::new(), false);
    world.run(60 * SECOND, |world| {
        world.stacks[0].take_events(&mut |_| told = true);
        let _ = drain(&mut world.stacks[1], server, &mut received);
        told && received.len() == 1_000_000 && world.stacks[0].tcp_unsent(client) == Ok(0)
    });
    assert_eq!(received, super::pattern(1_000_000));
    assert_eq!(world.stacks[0].tcp_write_shared(client, page()), Ok(()));
    world.stacks[0].abort(client).unwrap();
    world.run_now();
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
}

/// A program at one end: performs random operations on each of its connections, and then waits for
/// those that would block.
fn act(stack: &mut Stack, random: &mut Random, open: &mut Vec<Handle>, peer: &str) {
    if open.len() < 12 && random.chance(200_000) {
        let peer = address(&format!("{peer}:{}", 80 + random.below(2)));
        open.extend(stack.tcp_connect(peer, None));
    }
    open.retain(|&one| {
        let mut buffer = vec![5; random.below(40_000) as usize + 1];
        match random.below(40) {
            0..12 => drop(stack.tcp_read(one, &mut buffer)),
            12..24 => drop(stack.tcp_write(one, &buffer)),
            24 => drop(stack.tcp_write_shared(one, Arc::new(Page(buffer)))),
            25 => drop(stack.tcp_shutdown(one)),
            26 => drop(stack.tcp_set_keepalive(one, Some(Keepalive::every(SECOND)))),
            27 => drop(stack.tcp_set_user_timeout(one, 3 * SECOND)),
            28 => drop(stack.tcp_set_nodelay(one, random.chance(500_000))),
            29 => drop(stack.tcp_send_urgent(one, random.below(3000) as usize)),
            30..34 => {
                if let Ok(Some(lease)) = stack.tcp_read_lease(one) {
                    stack.tcp_return(lease);
                }
            }
            34 if random.chance(300_000) => return stack.close(one).is_err(),
            35 if random.chance(100_000) => return stack.abort(one).is_err(),
            _ => {}
        }
        let _ = (stack.readiness(one), stack.tcp_connect_result(one));
        true
    });
}

#[test]
fn no_wake_up_is_lost_whatever_happens() {
    let runs = if std::env::var_os("SOIL_TEST_LONG").is_some() {
        500
    } else {
        24
    };
    for seed in 0..runs {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let impairment = Impairment {
            delay_ns: random.below(20) * MS,
            jitter_ns: random.below(5) * MS,
            loss: random.below(50_000) as u32,
            duplicate: random.below(50_000) as u32,
            rate: [0, 10_000_000][random.below(2) as usize],
            ..Impairment::default()
        };
        let offloads = Offloads {
            queue: random.below(6) as usize,
            ..[Offloads::ALL, Offloads::default()][random.below(2) as usize]
        };
        let config = Config {
            tcp_memory: [400_000, 1 << 20, 64 << 20][random.below(3) as usize],
            tcp_buffer_max: 1 << 18,
            linger_ns: 5 * SECOND,
            ..Config::default()
        };
        let mut world = World::pair(config, impairment, [offloads; 2], seed);
        let listeners = world.stacks.iter_mut().map(|stack| {
            ["0.0.0.0:80", "[::]:81"].map(|at| stack.tcp_listen(address(at), 2).unwrap())
        });
        let listeners: Vec<_> = listeners.collect();
        let mut open = [Vec::new(), Vec::new()];
        for step in 0..400 {
            for (n, open) in open.iter_mut().enumerate() {
                let stack = &mut world.stacks[n];
                stack.take_events(&mut |_| ());
                for listener in listeners[n] {
                    open.extend(ready(stack.tcp_accept(listener)));
                }
                let peer = ["10.0.0.2", "10.0.0.1", "[fd00::2]", "[fd00::1]"]
                    [n + 2 * random.below(2) as usize];
                act(stack, &mut random, open, peer);
                if random.chance(200_000)
                    && let Some(one) = open.first()
                {
                    stack.send_now(*one, world.now_ns);
                }
            }
            // Now and then all frames are lost for a while.
            if step % 100 == 50 && random.chance(500_000) {
                world.cables[0].set_impairment(Impairment {
                    loss: 1_000_000,
                    ..impairment
                });
            } else if step % 100 == 80 {
                world.cables[0].set_impairment(impairment);
            }
            let most = [MS, 50 * MS, 2 * SECOND][random.below(3) as usize];
            world.advance(random.below(most) + 1);
        }
    }
}
