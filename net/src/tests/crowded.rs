//! More connections than the memory has room for: those that the program has closed make way, and
//! the program learns of those that its own keep out.

use super::{MS, SECOND, address, pair, ready};
use crate::sim::World;
use crate::tcp::budget::Budget;
use crate::{Error, Handle};

/// Room of stack 1 for about as many connections.
const PLACES: usize = 24;

/// Two stacks, of which stack 1 has little memory, and its listener.
fn crowded() -> (World, Handle) {
    let mut world = pair();
    world.stacks[1].sockets.budget = Budget::new(PLACES * 9600);
    let listener = world.stacks[1].tcp_listen(address("10.0.0.2:80"), 64);
    (world, listener.expect("a free port"))
}

fn connect(world: &mut World) -> Handle {
    let server = address("10.0.0.2:80");
    world.stacks[0].tcp_connect(server, None).expect("a route")
}

fn accept_all(world: &mut World, listener: Handle) -> Vec<Handle> {
    core::iter::from_fn(|| ready(world.stacks[1].tcp_accept(listener))).collect()
}

/// As many connections as there is room for, accepted.
fn full(world: &mut World, listener: Handle) -> Vec<Handle> {
    let mut servers = Vec::new();
    while world.stacks[1].sockets.budget.admits(1) {
        connect(world);
        world.advance(MS);
        servers.extend(accept_all(world, listener));
    }
    assert!(servers.len() >= PLACES / 2, "{}", servers.len());
    servers
}

fn is_reported(world: &mut World, handle: Handle) -> bool {
    let mut reported = false;
    world.stacks[1].take_events(&mut |event| reported |= event == handle);
    reported
}

#[test]
fn a_listener_learns_what_it_cannot_have() {
    let (mut world, listener) = crowded();
    let servers = full(&mut world, listener);
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(0));
    is_reported(&mut world, listener);
    connect(&mut world);
    world.advance(MS);
    assert!(is_reported(&mut world, listener));
    // Nothing but a refusal: there is no connection.
    assert_eq!(world.stacks[1].tcp_accept(listener), Err(Error::WouldBlock));
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(1));
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(0));
    assert_eq!(
        world.stacks[1].tcp_refused(servers[0]),
        Err(Error::InvalidOperation)
    );
    // Its retransmission finds the place of one that the program resets.
    world.stacks[1].abort(servers[0]).unwrap();
    world.advance(2 * SECOND);
    assert_eq!(accept_all(&mut world, listener).len(), 1);
}

#[test]
fn a_machine_short_of_memory_refuses_as_well() {
    let (mut world, listener) = crowded();
    world.stacks[1].set_memory_short(true);
    connect(&mut world);
    world.advance(MS);
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(1));
}

/// Peers that don't close keep connections of which everything was delivered in FIN-WAIT-2.
#[test]
fn closed_connections_make_way_for_new_ones() {
    let (mut world, listener) = crowded();
    for server in full(&mut world, listener) {
        world.stacks[1].close(server).unwrap();
    }
    world.advance(MS);
    for _ in 0..3 * PLACES {
        connect(&mut world);
        world.advance(MS);
        let servers = accept_all(&mut world, listener);
        assert_eq!(servers.len(), 1);
        world.stacks[1].close(servers[0]).unwrap();
        world.advance(MS);
    }
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(0));
    assert!(world.stacks[1].tcp_counters().orphans_aborted as usize >= 2 * PLACES);
}

#[test]
fn closed_connections_have_a_second_to_deliver() {
    let (mut world, listener) = crowded();
    let servers = full(&mut world, listener);
    // The peer reads nothing, so that most of it stays here.
    let first = servers[0];
    while world.stacks[1].tcp_write(first, &[7; 4096]).is_ok() {
        world.advance(MS);
    }
    world.stacks[1].close(first).unwrap();
    connect(&mut world);
    world.advance(700 * MS);
    assert_eq!(world.stacks[1].tcp_counters().orphans_aborted, 0);
    assert!(accept_all(&mut world, listener).is_empty());
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(1));
    world.advance(3 * SECOND);
    assert_eq!(world.stacks[1].tcp_counters().orphans_aborted, 1);
    // The SYN that ends the orphan finds no place yet, and is no refusal: the next one finds it.
    assert_eq!(world.stacks[1].tcp_counters().no_memory, 2);
    assert_eq!(world.stacks[1].tcp_refused(listener), Ok(0));
    assert_eq!(accept_all(&mut world, listener).len(), 1);
}
