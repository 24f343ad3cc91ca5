//! Tests of the stack that look at its tables, memory and amount of work, which the public
//! interface doesn't show; two stacks, or a stack and a script, over simulated cables. Rules of one
//! TCP connection are tested in `tcp::machine::tests`, answers on the wire in `tests/conformance`.

mod addresses;
mod close;
mod configuring;
mod connect;
mod crowded;
mod ethernet;
mod filter;
mod hostile;
mod lifecycle;
mod multicast;
mod options;
mod passive_open;
mod routes;
mod scale;
mod segments;
mod transfer;
mod udp;
pub(crate) mod wakeups;
mod window;
mod wire;
mod zero_copy;

use core::net::{IpAddr, SocketAddr};

use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{Config, Error, Handle, InterfaceConfig, InterfaceId, SendBuffer, Stack};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MS;

/// Bytes that a program lends.
pub(crate) struct Page(pub Vec<u8>);

impl SendBuffer for Page {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A stack can be moved to another thread, with all that it was given.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Stack>();
};

/// Two stacks over a sound cable of 100 µs.
pub(crate) fn pair() -> World {
    let impairment = Impairment {
        delay_ns: 100_000,
        ..Default::default()
    };
    World::pair(Config::default(), impairment, [Offloads::default(); 2], 1)
}

/// A connection from stack 0 to a new listener of stack 1, and both its ends.
pub(crate) fn connected(world: &mut World) -> (Handle, Handle) {
    let server = address("10.0.0.2:80");
    let listener = world.stacks[1].tcp_listen(server, 8).expect("a free port");
    let ends = connect(world, listener, server);
    world.stacks[1].close(listener).expect("the listener");
    ends
}

pub(crate) fn connect(world: &mut World, listener: Handle, server: SocketAddr) -> (Handle, Handle) {
    let client = world.stacks[0].tcp_connect(server, None).expect("a route");
    let mut accepted = None;
    world.run(60 * SECOND, |world| {
        accepted = accepted.or(ready(world.stacks[1].tcp_accept(listener)));
        ready(world.stacks[0].tcp_connect_result(client)).is_some() && accepted.is_some()
    });
    (client, accepted.expect("a connection"))
}

/// The value, or `None` for `WouldBlock`.
pub(crate) fn ready<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Reads what is there; `None` once the end of input was reached.
pub(crate) fn drain(stack: &mut Stack, handle: Handle, into: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 4096];
    loop {
        match stack.tcp_read(handle, &mut buffer) {
            Ok(0) => return None,
            Ok(len) => into.extend(&buffer[..len]),
            Err(Error::WouldBlock) => return Some(()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes that repeat after no power of two.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (n % 251) as u8 ^ (n / 251) as u8)
        .collect()
}

pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn fixed(addresses: &[&str]) -> InterfaceConfig {
    InterfaceConfig {
        addresses: addresses
            .iter()
            .map(|a| a.parse().expect("a prefix"))
            .collect(),
        dad_transmits: 0,
        ..Default::default()
    }
}

/// A stack with an interface for each configuration, each before a script.
pub(crate) fn scripted(configs: &[InterfaceConfig]) -> (World, Vec<Script>, Vec<InterfaceId>) {
    let mut world = World::new();
    let mut stack = world.stack(Config::default(), 70);
    let (mut scripts, mut ids) = (Vec::new(), Vec::new());
    for (n, config) in configs.iter().enumerate() {
        let cable = Cable::new(Impairment::default(), n as u64);
        let link = cable.link(0, MAC, 1500, Offloads::default());
        ids.push(stack.add_interface(link, config).unwrap());
        scripts.push(cable.script(1));
        world.cables.push(cable);
    }
    world.stacks.push(stack);
    (world, scripts, ids)
}

pub(crate) fn frames(script: &Script) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| script.take()).collect()
}
