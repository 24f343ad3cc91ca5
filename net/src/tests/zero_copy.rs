//! Without copies: bytes leased to the stack until they are acknowledged, and bytes that it leases.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::{any, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::{MS, SECOND, connected, pattern};
use crate::sim::{Impairment, Offloads, World};
use crate::tcp::machine::Budget as _;
use crate::{Config, Error, Lease, SendBuffer};

struct Page {
    bytes: Vec<u8>,
    acknowledged: AtomicUsize,
}

impl Page {
    fn new(bytes: &[u8]) -> Arc<Page> {
        Arc::new(Page {
            bytes: bytes.to_vec(),
            acknowledged: AtomicUsize::new(0),
        })
    }

    fn times(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

impl SendBuffer for Page {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

/// A link that loses `loss` packets per million, reorders and duplicates.
fn impairment(loss: u32) -> Impairment {
    Impairment {
        delay_ns: 5 * MS,
        loss,
        reorder: 10_000,
        reorder_ns: 2 * MS,
        duplicate: 5_000,
        ..Default::default()
    }
}

fn reordering(seed: u64, memory: usize) -> World {
    let config = Config {
        tcp_memory: memory,
        ..Default::default()
    };
    World::pair(config, impairment(0), [Offloads::ALL; 2], seed)
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]

    /// Pieces of any length, lent and read by leases that are held for a while, over a link that
    /// loses, reorders and duplicates: the stream equals the lent bytes, each piece is reported
    /// once and returned, and no memory is counted at the end.
    #[test]
    fn what_is_lent_arrives_and_comes_back(
        lengths in proptest::collection::vec(1usize..100_000, 1..12),
        loss in 0u32..60_000,
        kept in 0usize..8,
        seed in any::<u32>(),
    ) {
        // Connected without loss: a neighbor that doesn't answer three requests is unreachable.
        let mut world = reordering(seed.into(), 4 << 20);
        let (client, server) = connected(&mut world);
        world.cables[0].set_impairment(impairment(loss));
        let all = pattern(lengths.iter().sum());
        let mut rest = &all[..];
        let pages: Vec<_> = lengths.iter().map(|len| {
            let (page, after) = rest.split_at(*len);
            rest = after;
            Page::new(page)
        }).collect();
        let (mut given, mut received) = (0, Vec::new());
        let mut leases: VecDeque<(Lease, Vec<u8>)> = VecDeque::new();
        world.run(120 * SECOND, |world| {
            while let Some(page) = pages.get(given)
                && world.stacks[0].tcp_write_shared(client, page.clone()).is_ok()
            {
                given += 1;
            }
            loop {
                match world.stacks[1].tcp_read_lease(server) {
                    Ok(Some(mut lease)) => {
                        received.extend_from_slice(lease.bytes_mut());
                        let copy = lease.bytes_mut().to_vec();
                        leases.push_back((lease, copy));
                    }
                    Ok(None) => panic!("an end"),
                    Err(error) => {
                        assert_eq!(error, Error::WouldBlock);
                        break;
                    }
                }
            }
            while leases.len() > kept && let Some((mut lease, copy)) = leases.pop_front() {
                assert!(lease.bytes_mut() == copy, "it changed while it was out");
                world.stacks[1].tcp_return(lease);
            }
            received.len() == all.len()
        });
        prop_assert!(received == all, "{} of {}", received.len(), all.len());
        let held: usize = leases.len();
        prop_assert!(held <= kept);
        prop_assert_eq!(held > 0, world.stacks[1].sockets.budget.used() > 0);
        for (lease, _) in leases {
            world.stacks[1].tcp_return(lease);
        }
        world.advance(10 * SECOND);
        for page in &pages {
            prop_assert_eq!((Arc::strong_count(page), page.times()), (1, 1));
        }
        prop_assert_eq!(
            world.stacks[0].sockets.budget.used() + world.stacks[1].sockets.budget.used(),
            0,
        );
    }
}

#[test]
fn a_reset_gives_back_what_was_lent_and_says_that_it_was_not_acknowledged() {
    let mut world = reordering(1, 8 << 20);
    let (client, server) = connected(&mut world);
    let page = Page::new(&pattern(1 << 20));
    world.stacks[0]
        .tcp_write_shared(client, page.clone())
        .expect("room");
    world.advance(20 * MS);
    assert_eq!(Arc::strong_count(&page), 2);
    world.stacks[1].abort(server).expect("open");
    world.advance(SECOND);
    assert_eq!(
        world.stacks[0].socket_error(client),
        Ok(Some(Error::ConnectionReset))
    );
    assert_eq!((Arc::strong_count(&page), page.times()), (1, 0));
    assert_eq!(world.stacks[0].sockets.budget.used(), 0);
}

/// A lease outlives its connection, and data received before the end is leased as it is read.
#[test]
fn leases_outlive_their_connection() {
    let mut world = reordering(2, 8 << 20);
    let (client, server) = connected(&mut world);
    world.stacks[0].tcp_write(client, b"hello").expect("room");
    world.stacks[0].tcp_shutdown(client).expect("open");
    world.advance(SECOND);
    let lease = world.stacks[1].tcp_read_lease(server).expect("bytes");
    let mut lease = lease.expect("no end yet");
    assert!(matches!(world.stacks[1].tcp_read_lease(server), Ok(None)));
    world.stacks[1].abort(server).expect("open");
    world.advance(SECOND);
    assert_eq!(lease.bytes_mut(), b"hello");
    assert_ne!(world.stacks[1].sockets.budget.used(), 0);
    world.stacks[1].tcp_return(lease);
    assert_eq!(world.stacks[1].sockets.budget.used(), 0);
    assert!(matches!(
        world.stacks[1].tcp_read_lease(server),
        Err(Error::BadHandle)
    ));
}

/// Unreturned leases count: the budget's limit holds, and the peer is blocked until they are
/// returned.
#[test]
fn leases_that_are_kept_close_the_window() {
    let mut world = reordering(3, 1 << 20);
    let (client, server) = connected(&mut world);
    let data = pattern(8 << 20);
    let (mut sent, mut held) = (0, Vec::new());
    let mut step = |world: &mut World, held: &mut Vec<Lease>| {
        while let Ok(len) = world.stacks[0].tcp_write(client, &data[sent..])
            && len > 0
        {
            sent += len;
        }
        while let Ok(Some(lease)) = world.stacks[1].tcp_read_lease(server) {
            held.push(lease);
        }
        sent
    };
    for _ in 0..100 {
        step(&mut world, &mut held);
        world.advance(50 * MS);
    }
    let budget = &world.stacks[1].sockets.budget;
    assert!(held.len() > 20, "{}", held.len());
    assert!(
        budget.used() <= (1 << 20) + held.len() * 2048,
        "{}",
        budget.used()
    );
    assert_eq!(budget.pressure(), crate::tcp::machine::Pressure::Hard);
    let mut received = 0;
    world.run(60 * SECOND, |world| {
        step(world, &mut held);
        for mut lease in held.drain(..) {
            let len = lease.bytes_mut().len();
            assert!(lease.bytes_mut() == &data[received..received + len]);
            received += len;
            world.stacks[1].tcp_return(lease);
        }
        received == data.len()
    });
    assert_eq!(received, data.len());
}

#[test]
fn leases_are_bounded_in_number() {
    let mut world = reordering(4, 64 << 20);
    let (client, server) = connected(&mut world);
    let mut held = Vec::new();
    let mut last = Ok(());
    for _ in 0..300 {
        world.stacks[0].tcp_write(client, b"x").expect("room");
        world.advance(100 * MS);
        match world.stacks[1].tcp_read_lease(server) {
            Ok(Some(lease)) => held.push(lease),
            Ok(None) => panic!("an end"),
            Err(error) => last = Err(error),
        }
    }
    assert_eq!((held.len(), last), (256, Err(Error::OutOfMemory)));
    // Refused data is still there.
    let mut rest = Vec::new();
    super::drain(&mut world.stacks[1], server, &mut rest);
    assert_eq!(rest.len(), 300 - 256);
    for lease in held {
        world.stacks[1].tcp_return(lease);
    }
    world.stacks[0].tcp_write(client, b"x").expect("room");
    world.advance(SECOND);
    let again = world.stacks[1].tcp_read_lease(server);
    world.stacks[1].tcp_return(again.expect("bytes").expect("no end"));
}
