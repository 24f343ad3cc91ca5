//! The stack neither panics nor stops serving, for any input.

use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use smoltcp::wire::{TcpControl, TcpRepr, TcpSeqNumber};

use super::{MS, SECOND, address, connected, drain, wire};
use crate::sim::{Cable, Impairment, Offloads, Random, World};
use crate::{Config, InterfaceConfig, PartialChecksum, RxChecksum, RxMeta};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A stack with everything switched on, a listener and a UDP socket, before a script.
fn target() -> (World, crate::sim::Script) {
    let mut world = World::new();
    let cable = Cable::new(Impairment::default(), 40);
    let config = Config {
        tcp_memory: 1 << 20,
        time_wait_max: 64,
        half_open_max: 8,
        ..Default::default()
    };
    let mut stack = world.stack(config, 40);
    let link = cable.link(0, MAC, 1500, Offloads::default());
    let interface = InterfaceConfig {
        addresses: vec![
            "10.0.0.1/24".parse().unwrap(),
            "fd00::1/64".parse().unwrap(),
        ],
        ..InterfaceConfig::dynamic()
    };
    stack.add_interface(link, &interface).unwrap();
    stack.tcp_listen(address("[::]:80"), 16).unwrap();
    stack.udp_bind(address("[::]:53")).unwrap();
    world.stacks.push(stack);
    let script = cable.script(1);
    world.cables.push(cable);
    (world, script)
}

/// Frames of every kind that the stack handles, to be mutated.
fn corpus() -> Vec<Vec<u8>> {
    let (a, b) = (
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    );
    let (a6, b6): (IpAddr, IpAddr) = ("fd00::9".parse().unwrap(), "fd00::1".parse().unwrap());
    let mut frames = Vec::new();
    for control in [
        TcpControl::Syn,
        TcpControl::None,
        TcpControl::Psh,
        TcpControl::Fin,
        TcpControl::Rst,
    ] {
        for ack in [None, Some(TcpSeqNumber(1))] {
            let repr = TcpRepr {
                src_port: 4000,
                dst_port: 80,
                control,
                seq_number: TcpSeqNumber(100),
                ack_number: ack,
                window_len: 1000,
                window_scale: Some(3),
                max_seg_size: Some(1460),
                sack_permitted: true,
                sack_ranges: [None, None, None],
                timestamp: None,
                payload: b"payload",
            };
            frames.push(wire::tcp(a, b, MAC, &repr));
            frames.push(wire::tcp(a6, b6, MAC, &repr));
        }
    }
    frames.push(wire::udp(
        address("10.0.0.9:53"),
        address("10.0.0.1:53"),
        MAC,
        &[0; 64],
    ));
    frames.push(wire::udp(
        address("[fd00::9]:53"),
        address("[fd00::1]:53"),
        MAC,
        &[0; 64],
    ));
    frames.push(wire::udp(
        address("10.0.0.9:67"),
        address("10.0.0.1:68"),
        MAC,
        &[2; 300],
    ));
    let mut fragment = wire::udp(address("10.0.0.9:9"), address("10.0.0.1:53"), MAC, &[0; 64]);
    fragment[20] = 0x20;
    frames.push(fragment);
    let mut icmp = wire::udp(address("10.0.0.9:9"), address("10.0.0.1:9"), MAC, &[0; 64]);
    icmp[23] = 1;
    icmp[34..38].copy_from_slice(&[8, 0, 0, 0]);
    frames.push(icmp.clone());
    icmp[34] = 3;
    frames.push(icmp);
    let mut arp = vec![0xff; 42];
    arp[6..12].copy_from_slice(&wire::SCRIPT);
    arp[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp[22..28].copy_from_slice(&wire::SCRIPT);
    arp[28..32].copy_from_slice(&[10, 0, 0, 9]);
    arp[38..42].copy_from_slice(&[10, 0, 0, 1]);
    frames.push(arp);
    for kind in [128, 133, 134, 135, 136, 1] {
        let mut ndisc = wire::udp(
            address("[fd00::9]:9"),
            address("[fd00::1]:9"),
            MAC,
            &[1; 64],
        );
        ndisc[20] = 58;
        ndisc[21] = 255;
        ndisc[54] = kind;
        frames.push(ndisc);
    }
    frames
}

/// Corrects all checksums that it can, so that mutations aren't dropped because of them.
fn repair(frame: &mut [u8]) {
    use crate::ip::wire::checksum::{add, pseudo_header, sum};
    if frame.len() < 54 {
        return;
    }
    let (l4, protocol) = match frame[12..14] {
        [8, 0] => {
            let header_len = usize::from(frame[14] & 15) * 4;
            if header_len < 20 || frame.len() < 14 + header_len + 20 {
                return;
            }
            frame[24..26].fill(0);
            let value = !sum(&frame[14..14 + header_len]);
            frame[24..26].copy_from_slice(&value.to_be_bytes());
            (14 + header_len, frame[23])
        }
        [0x86, 0xdd] if frame.len() > 54 + 20 => (54, frame[20]),
        _ => return,
    };
    let at = l4
        + match protocol {
            6 => 16,
            17 => 6,
            1 | 58 => 2,
            _ => return,
        };
    frame[at..at + 2].fill(0);
    let addresses = if l4 == 54 { 22..54 } else { 26..34 };
    let pseudo = match protocol {
        1 => 0,
        _ => pseudo_header(&frame[addresses], protocol, frame.len() - l4),
    };
    let value = !add(pseudo, sum(&frame[l4..]));
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[test]
fn mutated_frames_do_no_harm() {
    let (mut world, script) = target();
    let corpus = corpus();
    let mut random = Random::new(41);
    let rounds = if cfg!(debug_assertions) {
        30_000
    } else {
        1_000_000
    };
    for round in 0..rounds {
        let mut frame = corpus[random.below(corpus.len() as u64) as usize].clone();
        for _ in 0..random.below(4) {
            let at = random.below(frame.len() as u64) as usize;
            frame[at] = match random.below(3) {
                0 => random.bits() as u8,
                1 => [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
                _ => frame[at] ^ 1 << random.below(8),
            };
        }
        if random.chance(100_000) {
            frame.truncate(random.below(frame.len() as u64) as usize);
        }
        if random.chance(900_000) {
            repair(&mut frame);
        }
        script.inject(&frame);
        world.run_now();
        if round % 16 == 0 {
            world.advance(random.below(SECOND));
        }
        while let Some(answer) = script.take() {
            // Known neighbors get further into the stack.
            wire::arp_reply(&answer)
                .iter()
                .for_each(|reply| script.inject(reply));
        }
    }
    // It still serves: a new client, on a new cable.
    let stack = &world.stacks[0];
    assert!(stack.tcp_memory_used() <= 1 << 20);
    assert!(stack.sockets.tcp.half_open.len() <= 8);
    world.advance(400 * SECOND);
    assert_eq!(world.stacks[0].sockets.tcp.half_open.len(), 0);
}

#[test]
fn corrupted_streams_are_never_delivered_wrong() {
    let impairment = Impairment {
        delay_ns: MS,
        corrupt: 200_000,
        ..Default::default()
    };
    let mut world = World::pair(Config::default(), impairment, Default::default(), 42);
    let (client, server) = connected(&mut world);
    let data = super::pattern(50_000);
    let (mut sent, mut received) = (0, Vec::new());
    world.run(1000 * SECOND, |world| {
        if sent < data.len()
            && let Some(len) = super::ready(world.stacks[0].tcp_write(client, &data[sent..]))
        {
            sent += len;
        }
        drain(&mut world.stacks[1], server, &mut received);
        received.len() == data.len()
    });
    assert!(received == data);
}

#[test]
fn syns_from_everywhere_leave_room_for_others() {
    let (mut world, script) = target();
    let mut random = Random::new(43);
    for _ in 0..5000 {
        let from = Ipv4Addr::from_bits(0x0a00_0000 | (random.bits() as u32 & 0xff));
        let repr = TcpRepr {
            src_port: random.bits() as u16 | 1,
            dst_port: 80,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(random.bits() as i32),
            ack_number: None,
            window_len: 1000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None, None, None],
            timestamp: None,
            payload: &[],
        };
        script.inject(&wire::tcp(
            from.into(),
            "10.0.0.1".parse().unwrap(),
            MAC,
            &repr,
        ));
        world.run_now();
        while script.take().is_some() {}
    }
    assert!(world.stacks[0].sockets.tcp.half_open.len() <= 8);
    assert!(world.stacks[0].tcp_memory_used() <= 1 << 20);
    world.advance(64 * SECOND);
    assert_eq!(world.stacks[0].sockets.tcp.half_open.len(), 0);
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read(
        mut frame in proptest::collection::vec(any::<u8>(), 0..200),
        start in any::<u16>(),
        offset in any::<u16>(),
        kind in 0..3,
    ) {
        let checksum = match kind {
            0 => RxChecksum::Unknown,
            1 => RxChecksum::Valid,
            _ => RxChecksum::Partial(PartialChecksum { start, offset }),
        };
        let (mut world, _) = target();
        world.run_now();
        let net = &mut world.stacks[0].ip.net;
        let meta = RxMeta { checksum, joined: None };
        if let Some(destination) = frame.get_mut(..6) {
            destination.copy_from_slice(&MAC);
        }
        for ethertype in [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0]] {
            if let Some(place) = frame.get_mut(12..14) {
                place.copy_from_slice(&ethertype);
            }
            net.input(1, &mut frame, meta);
            if let Some(version) = frame.get_mut(14) {
                *version = 0x45;
            }
            net.input(1, &mut frame, meta);
        }
        net.input(0, &mut frame, meta);
    }
}
