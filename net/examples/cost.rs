//! What the stack costs by itself, without a device: two stacks over a simulated cable, requests of
//! 100 bytes and answers of 1 KiB, then bulk. `cargo run --release -p net --example cost`; under `valgrind --tool=callgrind` for instructions.
#![allow(missing_docs)]

use std::time::Instant;

use net::sim::{Impairment, Offloads, World};
use net::{Config, Handle};

fn connected(world: &mut World) -> (Handle, Handle) {
    let server = "10.0.0.2:80".parse().expect("an address");
    let listener = world.stacks[1].tcp_listen(server, 8).expect("a free port");
    let client = world.stacks[0].tcp_connect(server, None).expect("a route");
    let mut accepted = None;
    world.run(1_000_000_000, |world| {
        accepted = accepted.or(world.stacks[1].tcp_accept(listener).ok());
        accepted.is_some()
    });
    (client, accepted.expect("a connection"))
}

fn main() {
    let rounds: u32 = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(100_000);
    for offloads in [
        Offloads::default(),
        Offloads {
            tx_checksum: true,
            tso4: true,
            queue: 0,
            ..Default::default()
        },
    ] {
        let impairment = Impairment::default();
        let mut world = World::pair(Config::default(), impairment, [offloads; 2], 1);
        let (client, server) = connected(&mut world);
        let mut buffer = [0; 65_536];
        let begun = Instant::now();
        for _ in 0..rounds {
            world.stacks[0].tcp_write(client, &[1; 100]).expect("room");
            world.settle();
            world.stacks[1]
                .tcp_read(server, &mut buffer)
                .expect("a request");
            world.stacks[1].tcp_write(server, &[2; 1100]).expect("room");
            world.settle();
            world.stacks[0]
                .tcp_read(client, &mut buffer)
                .expect("an answer");
        }
        let each = begun.elapsed() / rounds;
        println!("request and answer: {} ns, both ends", each.as_nanos());
        let begun = Instant::now();
        let mut bytes = 0u64;
        while bytes < u64::from(rounds) * 10_000 {
            while let Ok(_len @ 1..) = world.stacks[0].tcp_write(client, &buffer) {}
            world.settle();
            while let Ok(len @ 1..) = world.stacks[1].tcp_read(server, &mut buffer) {
                bytes += len as u64;
            }
        }
        let gbps = bytes as f64 * 8.0 / begun.elapsed().as_nanos() as f64;
        println!("bulk: {gbps:.1} Gbit/s, both ends");
    }
}
