//! More frames than the machine can handle: connections take precedence, and survive.

use std::net::SocketAddr;

use net::sim::Random;
use net::sim::packet::{self, ACK, SYN};
use net::{Config, Handle};

use crate::listener::{before_the_internet, random_address};
use crate::support::{MS, Talk, V4};

/// Frames handled by one poll, and frames of a flood that arrive in the time of one.
const BUDGET: usize = 64;
const FLOOD: usize = 3 * BUDGET;

/// A SYN of a flood.
fn syn(talk: &Talk, random: &mut Random) -> Vec<u8> {
    let mut syn = talk.full_syn().seq(random.bits() as u32);
    syn.from.set_ip(random_address(random, false));
    syn.from.set_port(random.bits() as u16 | 1);
    syn.frame(talk.host.macs())
}

/// The first fragment of a datagram (RFC 791): 16 bytes of data, more to come.
fn fragment(talk: &Talk, random: &mut Random) -> Vec<u8> {
    let mut frame = syn(talk, random);
    frame.truncate(14 + 20 + 16);
    let header = &mut frame[14..34];
    header[2..4].copy_from_slice(&36u16.to_be_bytes());
    header[4..6].copy_from_slice(&(random.bits() as u16).to_be_bytes());
    header[6..8].copy_from_slice(&0x2000u16.to_be_bytes());
    header[9] = 17;
    header[10..12].fill(0);
    let sum: u32 = header
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A millisecond of a slow machine: a flood of `count` frames arrives, and the stack has time for
/// one poll.
fn turn(
    talk: &mut Talk,
    count: usize,
    frame: impl Fn(&Talk, &mut Random) -> Vec<u8>,
    random: &mut Random,
) {
    talk.world.now_ns += MS;
    for _ in 0..count {
        let frame = frame(talk, random);
        talk.host.inject(&frame);
    }
    let now_ns = talk.world.now_ns;
    talk.stack().poll(now_ns, BUDGET);
}

fn served() -> (Talk, Handle) {
    let config = Config {
        half_open_max: 16,
        ..Config::default()
    };
    let talk = before_the_internet(config).listening();
    let syn = talk.full_syn();
    let talk = talk.accepted_with(syn);
    let handle = talk.handle();
    (talk, handle)
}

fn shed(talk: &mut Talk) -> u64 {
    let mut drops = talk.stack().drops();
    drops
        .find(|(name, _)| *name == "drop.overload")
        .map_or(0, |(_, count)| count)
}

/// A peer's data is read in the following turns, however long the flood lasts.
fn connections_go_first(frame: fn(&Talk, &mut Random) -> Vec<u8>) {
    let (mut talk, handle) = served();
    let mut random = Random::new(1997);
    for _ in 0..100 {
        turn(&mut talk, FLOOD, frame, &mut random);
    }
    assert!(shed(&mut talk) > 0);
    let mut read = 0;
    for number in 0..200 {
        let data = talk.segment().payload(&[number as u8; 10]);
        talk.host.inject(&data.frame(talk.host.macs()));
        talk.seq = data.end();
        turn(&mut talk, FLOOD, frame, &mut random);
        let mut buffer = [0; 64];
        while let Ok(len @ 1..) = talk.stack().tcp_read(handle, &mut buffer) {
            read += len;
        }
    }
    assert!(read >= 198 * 10, "{read} of 2000 bytes");
}

/// Without it, data of a connection's peer waits behind more of the flood from turn to turn.
#[test]
fn a_flood_of_syns_that_outruns_the_machine() {
    connections_go_first(syn);
}

#[test]
fn a_flood_of_fragments_that_outruns_the_machine() {
    connections_go_first(fragment);
}

/// A datagram to a port without a socket.
fn datagram(talk: &Talk, random: &mut Random) -> Vec<u8> {
    let from = SocketAddr::new(random_address(random, false), random.bits() as u16 | 1);
    let to = V4.stack(10_000 + random.below(20_000) as u16);
    packet::udp(talk.host.macs(), from, to, b"flood")
}

#[test]
fn a_flood_of_datagrams_to_closed_ports_that_outruns_the_machine() {
    connections_go_first(datagram);
}

/// Datagrams to a port with a socket aren't shed, and senders to other ports still learn that a
/// port is closed.
#[test]
fn datagrams_for_sockets_are_not_shed() {
    let (mut talk, _) = served();
    let mut random = Random::new(1999);
    let open = V4.stack(53);
    let socket = talk.stack().udp_bind(open).expect("a free port");
    for _ in 0..100 {
        turn(&mut talk, FLOOD, datagram, &mut random);
    }
    talk.host.take(&mut talk.world);
    let before = shed(&mut talk);
    let (mut received, mut refused) = (0, 0);
    for _ in 0..100 {
        for _ in 0..8 {
            let frame = packet::udp(talk.host.macs(), V4.host(7), open, b"question");
            talk.host.inject(&frame);
        }
        turn(&mut talk, FLOOD, datagram, &mut random);
        let mut buffer = [0; 64];
        while let Ok((len, _)) = talk.stack().udp_recv_from(socket, &mut buffer) {
            assert_eq!(&buffer[..len], b"question");
            received += 1;
        }
        let frames = talk.host.take(&mut talk.world);
        refused += frames
            .iter()
            .filter(|frame| frame[23] == 1 && frame[34..36] == [3, 3])
            .count();
    }
    assert_eq!(received, 800);
    assert!((1..=8 * 100).contains(&refused), "{refused} answers");
    assert!(shed(&mut talk) - before >= 100 * (FLOOD - 8) as u64);
}

/// SYNs answered since the last call.
fn answers(talk: &mut Talk) -> usize {
    let received = talk.host.take_tcp(&mut talk.world);
    received
        .iter()
        .filter(|segment| segment.has(SYN | ACK))
        .count()
}

/// Some new clients get in during a flood, and all of them before and after it.
#[test]
fn newcomers_are_answered() {
    let (mut talk, _) = served();
    let mut random = Random::new(2003);
    answers(&mut talk);
    // A burst that is over before any client is turned away.
    for _ in 0..30 {
        turn(&mut talk, 2 * BUDGET, syn, &mut random);
    }
    assert_eq!((answers(&mut talk), shed(&mut talk)), (60 * BUDGET, 0));
    for _ in 0..200 {
        turn(&mut talk, FLOOD, syn, &mut random);
    }
    assert!(shed(&mut talk) > 0);
    answers(&mut talk);
    for _ in 0..100 {
        turn(&mut talk, FLOOD, syn, &mut random);
    }
    let before = shed(&mut talk);
    assert!(answers(&mut talk) >= 8 * 100);
    talk.world.advance(200 * MS);
    answers(&mut talk);
    for _ in 0..30 {
        turn(&mut talk, 2 * BUDGET, syn, &mut random);
    }
    assert_eq!((answers(&mut talk), shed(&mut talk)), (60 * BUDGET, before));
}

/// Fragmented packets get through again when the flood is over, even if its sender continues.
#[test]
fn shedding_ends_with_the_flood() {
    let (mut talk, _) = served();
    let mut random = Random::new(1981);
    for _ in 0..100 {
        turn(&mut talk, FLOOD, fragment, &mut random);
    }
    assert!(shed(&mut talk) > 0);
    let shed_after = |talk: &mut Talk, random: &mut Random| {
        for number in 0..500 {
            let count = if number % 5 == 0 { 20 } else { 0 };
            turn(talk, count, fragment, random);
        }
        shed(talk)
    };
    let before = shed_after(&mut talk, &mut random);
    assert_eq!(shed_after(&mut talk, &mut random), before);
}
