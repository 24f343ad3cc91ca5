//! What connections receive before it is read, in buffers of the kernel's choice.

use super::super::watch::{self, Data, Place, Watch, What};
use super::super::{Pending, Sockets, index};
use super::{World, step, with_each};
use crate::Host;
use net::{Error, Transport};
use platform::{Clock as _, Interest as _, Signals, Wait as _};
use rustix_uring::Errno;
use rustix_uring::cqueue::Flags;
use std::vec::Vec;

/// A cheap generator of numbers.
fn next(state: &mut u32) -> usize {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) as usize
}

#[test]
fn what_is_received_is_what_was_sent_however_it_comes_and_is_read() {
    with_each(|world| {
        let (client, server) = world.pair();
        let mut random = 17;
        let (mut sent, mut received): (Vec<u8>, Vec<u8>) = Default::default();
        for turn in 0..600 {
            let len = match turn % 3 {
                0 => next(&mut random) % 200,
                1 => next(&mut random) % 10_000,
                _ => 0,
            };
            let block: Vec<u8> = (0..len).map(|at| (sent.len() + at) as u8).collect();
            let n = world.sockets.write(client, &block).unwrap_or(0);
            sent.extend(&block[..n]);
            step(world);
            // A peek shows the bytes of the next read.
            let mut room = vec![0; 1 + next(&mut random) % 16_000];
            if received.len() < sent.len() {
                let peeked = world.until(|s| s.read(server, &mut room, libc::MSG_PEEK));
                let peeked = peeked.expect("bytes");
                assert!(room[..peeked] == sent[received.len()..][..peeked]);
                let ready = world.sockets.readiness(server).expect("open");
                assert!(ready.readable, "{peeked} bytes were peeked at");
                let n = world.sockets.read(server, &mut room, 0).expect("peeked");
                assert!(n >= peeked);
                received.extend(&room[..n]);
            } else {
                let nothing = world.sockets.read(server, &mut room, 0);
                assert_eq!(nothing, Err(Error::WouldBlock));
            }
        }
        assert_eq!(world.sockets.shutdown(client), Ok(()));
        loop {
            let rest = world.read(server).expect("bytes");
            if rest.is_empty() {
                break;
            }
            received.extend(rest);
        }
        assert!(received == sent);
    });
}

/// Handles received data until nothing new arrives.
fn drain(world: &mut World) {
    for _ in 0..4 {
        let end = Host::monotonic_ns() + 5_000_000;
        world.interest.clear();
        let mut sleep = Host::prepare(&mut world.interest, Some(end), Signals::End);
        Host::sleep(&mut sleep);
        Host::finish(&mut world.interest, sleep);
        Transport::poll(&mut world.sockets, end, 64);
    }
}

#[test]
fn closing_with_unread_bytes_resets_as_linux_does() {
    with_each(|world| {
        let (client, server) = world.pair();
        let nothing = world.sockets.read(server, &mut [0], 0);
        assert_eq!(nothing, Err(Error::WouldBlock));
        assert_eq!(world.sockets.write(client, b"unread"), Ok(6));
        let ready = |s: &mut Sockets| match s.readiness(server)?.readable {
            true => Ok(()),
            false => Err(Error::WouldBlock),
        };
        assert_eq!(world.until(ready), Ok(()));
        assert_eq!(world.sockets.close(server), Ok(()));
        assert_eq!(world.read(client), Err(Error::ConnectionReset));
    });
}

#[test]
fn connections_that_arent_read_leave_room_for_others_and_stop_their_peers() {
    with_each(|world| {
        let block: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        let mut brought = 0;
        let pairs: Vec<_> = (0..200).map(|_| world.pair()).collect();
        // Each waits for bytes, and none is read: more than there are buffers at first.
        for (client, server) in &pairs {
            let nothing = world.sockets.read(*server, &mut [0], 0);
            assert_eq!(nothing, Err(Error::WouldBlock));
            step(world);
            assert_eq!(world.sockets.write(*client, &block), Ok(block.len()));
        }
        drain(world);
        for (_, server) in &pairs {
            let mut received = Vec::new();
            while received.len() < block.len() {
                received.extend(world.read(*server).expect("bytes"));
            }
            assert!(received == block);
        }
        // One that is never read: it takes only the system's buffers and a few of ours.
        let (client, server) = pairs[0];
        let mut sent = 0;
        for _ in 0..200 {
            while let Ok(n) = world.sockets.write(client, &block) {
                sent += n;
            }
            step(world);
        }
        assert_eq!(world.sockets.write(client, &block), Err(Error::WouldBlock));
        let mut received = 0;
        while received < sent {
            received += world.read(server).expect("bytes").len();
        }
        // All buffers are free again: they hold the next data.
        for (client, server) in pairs.into_iter().cycle().take(400) {
            let nothing = world.sockets.read(server, &mut [0], 0);
            assert_eq!(nothing, Err(Error::WouldBlock));
            step(world);
            assert_eq!(world.sockets.write(client, b"again"), Ok(5));
            let ready = |s: &mut Sockets| match s.readiness(server)?.readable {
                true => Ok(()),
                false => Err(Error::WouldBlock),
            };
            assert_eq!(world.until(ready), Ok(()));
            let socket = world.sockets.socket(server).expect("open");
            brought += usize::from(!socket.received.is_empty());
            assert_eq!(world.read(server), Ok(b"again".to_vec()));
        }
        // The first time, some are still held by connections that receive much at a time.
        if world.sockets.buffers.is_some() {
            assert!(brought >= 200, "{brought}");
        }
    });
}

#[test]
fn connections_that_receive_together_get_buffers_for_all() {
    with_each(|world| {
        // More than there are buffers at first.
        let pairs: Vec<_> = (0..150).map(|_| world.pair()).collect();
        let mut brought = 0;
        for _ in 0..3 {
            for (_, server) in &pairs {
                let nothing = world.sockets.read(*server, &mut [0], 0);
                assert_eq!(nothing, Err(Error::WouldBlock));
            }
            step(world);
            for (client, _) in &pairs {
                assert_eq!(world.sockets.write(*client, b"all"), Ok(3));
            }
            drain(world);
            brought = 0;
            for (_, server) in &pairs {
                let socket = world.sockets.socket(*server).expect("open");
                brought += usize::from(!socket.received.is_empty());
                assert_eq!(world.read(*server), Ok(b"all".to_vec()));
            }
        }
        if world.sockets.brings {
            assert_eq!(brought, pairs.len());
        }
    });
}

#[test]
fn a_kernel_that_brings_nothing_is_asked_for_events() {
    with_each(|world| {
        let (client, server) = world.pair();
        let (_, other) = world.pair();
        for socket in [server, other] {
            let nothing = world.sockets.read(socket, &mut [0], 0);
            assert_eq!(nothing, Err(Error::WouldBlock));
        }
        assert_eq!(world.sockets.write(client, b"brought"), Ok(7));
        drain(world);
        if matches!(world.sockets.watch, Watch::Ring(_)) {
            // Linux before 6.0 refuses the request.
            let generation = world.sockets.socket(other).expect("open").generation;
            world.sockets.note(&watch::Event {
                place: Place {
                    index: index(other) as u32,
                    generation,
                },
                what: What::Data(Data::new(Err(Errno::INVAL), Flags::empty())),
            });
            let nothing = world.sockets.read(other, &mut [0], 0);
            assert_eq!(nothing, Err(Error::WouldBlock));
            let asked = world.sockets.socket(other).expect("open").read.asked;
            assert!(asked == Pending::Event);
        }
        // Data received by other connections earlier is still there.
        assert_eq!(world.read(server), Ok(b"brought".to_vec()));
        let (client, server) = world.pair();
        let nothing = world.sockets.read(server, &mut [0], 0);
        assert_eq!(nothing, Err(Error::WouldBlock));
        assert_eq!(world.sockets.write(client, b"fetched"), Ok(7));
        assert_eq!(world.read(server), Ok(b"fetched".to_vec()));
    });
}
