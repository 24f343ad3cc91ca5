//! The cost of the stack by itself, without a device: two stacks over a simulated cable, both ends
//! counted. `cargo run --release -p net --example cost`; under `valgrind --tool=callgrind` for
//! instructions. Prints `name=value` lines, which `bench/tcpip.py` reads.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use net::sim::{Impairment, Offloads, Random, World};
use net::{Config, Error, Handle};

const SECOND: u64 = 1_000_000_000;

fn world(offloads: Offloads) -> World {
    let config = Config {
        tcp_memory: 2 << 30,
        ..Config::default()
    };
    let mut world = World::pair(config, Impairment::default(), [offloads; 2], 1);
    world.advance(10 * SECOND);
    world
}

/// `count` connections, over as many server ports as necessary.
fn connections(world: &mut World, count: usize) -> Vec<(Handle, Handle)> {
    let mut found = Vec::new();
    let mut port = 80;
    while found.len() < count {
        let server = format!("10.0.0.2:{port}").parse().expect("an address");
        let listener = world.stacks[1].tcp_listen(server, 1024).expect("free");
        for _ in 0..20_000.min(count - found.len()) {
            let client = world.stacks[0].tcp_connect(server, None).expect("a route");
            world.run_now();
            let accepted = world.stacks[1].tcp_accept(listener);
            found.push((client, accepted.expect("a connection")));
        }
        port += 1;
    }
    found
}

/// A request of 100 bytes and a response of 1100.
fn exchange(world: &mut World, ends: (Handle, Handle), buffer: &mut [u8]) {
    world.stacks[0].tcp_write(ends.0, &[1; 100]).expect("room");
    world.run_now();
    world.stacks[1].tcp_read(ends.1, buffer).expect("a request");
    world.stacks[1].tcp_write(ends.1, &[2; 1100]).expect("room");
    world.run_now();
    world.stacks[0].tcp_read(ends.0, buffer).expect("an answer");
    for stack in &mut world.stacks {
        stack.take_events(&mut |_| {});
    }
}

/// Nanoseconds per frame with `count` connections, a random one of which receives each frame.
/// Returns the minimum of all rounds, since other work on the machine only adds time.
fn per_packet(count: usize, rounds: u32) -> f64 {
    let mut world = world(Offloads::default());
    let ends = connections(&mut world, count);
    let mut random = Random::new(5);
    let mut buffer = vec![0; 65_536];
    let mut least = f64::MAX;
    for _ in 0..5 {
        let frames = world.cables[0].statistics().frames;
        let begun = Instant::now();
        for _ in 0..rounds {
            let chosen = ends[random.below(count as u64) as usize];
            exchange(&mut world, chosen, &mut buffer);
            // So that delayed acknowledgements and other timers run as they do.
            world.now_ns += 20_000;
        }
        let taken = begun.elapsed().as_nanos() as f64;
        let frames = world.cables[0].statistics().frames - frames;
        least = least.min(taken / frames as f64);
    }
    least
}

/// Gbit/s of one connection.
fn bulk(offloads: Offloads, duration: Duration) -> f64 {
    let mut world = world(offloads);
    let (client, server) = connections(&mut world, 1)[0];
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0u64;
    let begun = Instant::now();
    while begun.elapsed() < duration {
        while let Ok(1..) = world.stacks[0].tcp_write(client, &buffer[..65_536]) {}
        world.run_now();
        while let Ok(len @ 1..) = world.stacks[1].tcp_read(server, &mut buffer) {
            bytes += len as u64;
        }
        world.now_ns += 1000;
    }
    bytes as f64 * 8.0 / begun.elapsed().as_nanos() as f64
}

/// Connections per second that are opened, used for one exchange and closed by both ends.
fn churn(duration: Duration) -> f64 {
    let mut world = world(Offloads::default());
    let server = "10.0.0.2:80".parse().expect("an address");
    let listener = world.stacks[1].tcp_listen(server, 1024).expect("free");
    let mut buffer = vec![0; 4096];
    let mut count = 0u64;
    let begun = Instant::now();
    while begun.elapsed() < duration {
        let client = match world.stacks[0].tcp_connect(server, None) {
            Ok(client) => client,
            // All ports are in TIME-WAIT: advancing the clock frees them, at no cost here.
            Err(Error::PortsExhausted) => {
                world.advance(61 * SECOND);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        world.run_now();
        let accepted = world.stacks[1].tcp_accept(listener).expect("a connection");
        exchange(&mut world, (client, accepted), &mut buffer);
        world.stacks[0].close(client).expect("a handle");
        world.run_now();
        world.stacks[1].close(accepted).expect("a handle");
        world.run_now();
        world.now_ns += 1_000_000;
        count += 1;
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let duration = Duration::from_secs_f64(seconds.unwrap_or(2.0));
    println!("gbps={:.2}", bulk(Offloads::ALL, duration));
    println!("plain_gbps={:.2}", bulk(Offloads::default(), duration));
    println!("conns_per_s={:.0}", churn(duration));
    for count in [10, 1000, 50_000] {
        println!("packet_ns_c{count}={:.0}", per_packet(count, 30_000));
    }
}
