//! The unmodified corpus, and floods of memory-consuming frames.

use std::net::{IpAddr, Ipv6Addr};

use net::sim::packet::{self, SYN, Tcp};
use net::sim::{Random, World};

use crate::STEPS;
use crate::mutate::{Line, repair};
use crate::target::{Target, address};
use std::sync::atomic::Ordering;

/// Each unmodified conversation, one after another and truncated at each frame.
pub fn everything_as_it_is(corpus: &[(String, Vec<Line>)]) {
    let mut random = Random::new(3);
    let mut target = Target::new(3);
    for (_, lines) in corpus {
        for end in 0..=lines.len() {
            target.begin(&mut random);
            for line in &lines[..end] {
                target.play(line, &mut random);
            }
        }
    }
    target.finish();
    // Each frame truncated at each length.
    let mut target = Target::new(5);
    for (_, lines) in corpus {
        for line in lines {
            let Line::Frame(frame) = line else {
                continue;
            };
            for len in 0..frame.len().min(200) {
                let mut cut = frame[..len].to_vec();
                if len % 2 == 0 {
                    repair(&mut cut);
                }
                target.host.inject(&cut);
            }
            target.host.take(&mut target.world);
            STEPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    target.finish();
}

/// A kind of flood: returns the frame of a number.
type Flood = fn(u32, &mut Random) -> Vec<u8>;

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 9, 9], [2, 0, 0, 0, 0, 1]);

fn v6(random: &mut Random) -> IpAddr {
    Ipv6Addr::from((0xfd00_u128 << 112) | u128::from(random.bits())).into()
}

fn arp(number: u32, _: &mut Random) -> Vec<u8> {
    let address = (0x0a00_0000 | (number % 0xff_ffff)).to_be_bytes();
    let sender = [&[2, 1][..], &number.to_be_bytes()].concat();
    let bytes = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &sender,
        &address,
        &[0; 6],
        &[10, 0, 0, 1],
    ]
    .concat();
    packet::ethernet(MACS.0, [0xff; 6], 0x0806, &bytes)
}

fn solicitation(_: u32, random: &mut Random) -> Vec<u8> {
    let target: Ipv6Addr = "fd00::1".parse().expect("an address");
    let option = [&target.octets()[..], &[1, 1, 2, 0, 0, 0, 7, 7]].concat();
    packet::icmp(MACS, v6(random), target.into(), (135, 0), 0, &option)
}

fn echo4(_: u32, random: &mut Random) -> Vec<u8> {
    let from = IpAddr::from((0x0a00_0000 | random.bits() as u32 & 0xff).to_be_bytes());
    packet::icmp(MACS, from, address("10.0.0.1:0").ip(), (8, 0), 1, &[0; 900])
}

fn echo6(_: u32, random: &mut Random) -> Vec<u8> {
    let to = address("[fd00::1]:0").ip();
    packet::icmp(MACS, v6(random), to, (128, 0), 1, &[0; 900])
}

fn syn(_: u32, random: &mut Random) -> Vec<u8> {
    let from = std::net::SocketAddr::new(v6(random), random.bits() as u16 | 1);
    let syn = Tcp::between(from, address("[fd00::1]:80")).flags(SYN);
    syn.seq(random.bits() as u32).mss(1440).frame(MACS)
}

fn fragment4(number: u32, random: &mut Random) -> Vec<u8> {
    let from = IpAddr::from((0x0a00_0000 | random.bits() as u32 & 0xff).to_be_bytes());
    let to = address("10.0.0.1:0").ip();
    let mut frame = packet::ip(MACS, from, to, 17, 64, &[0; 1400]);
    frame[18..20].copy_from_slice(&(number as u16).to_be_bytes());
    frame[20..22].copy_from_slice(&(0x2000 | (random.below(40) as u16 * 175)).to_be_bytes());
    frame[24..26].fill(0);
    let sum = !packet::sum(0, &frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn fragment6(number: u32, random: &mut Random) -> Vec<u8> {
    let offset = ((random.below(40) as u16 * 1400) | 1).to_be_bytes();
    let number = number.to_be_bytes();
    let payload = [&[17, 0][..], &offset, &number, &[0; 1400]].concat();
    let to = address("[fd00::1]:0").ip();
    packet::ip(MACS, v6(random), to, 44, 64, &payload)
}

fn datagram(_: u32, random: &mut Random) -> Vec<u8> {
    let from = std::net::SocketAddr::new(v6(random), 9);
    packet::udp(MACS, from, address("[fd00::1]:53"), &[0; 1200])
}

fn too_big(_: u32, random: &mut Random) -> Vec<u8> {
    let (stack, other) = (address("[fd00::1]:80"), v6(random));
    let quoted = Tcp::between(stack, std::net::SocketAddr::new(other, 9)).frame(MACS);
    packet::icmp(MACS, other, stack.ip(), (2, 0), 1300, &quoted[14..])
}

/// Fills tables (neighbors, fragments, handshakes, queues, path MTUs), each from more sources than
/// any table holds. Memory stays within its bound (RFC 6583, RFC 8900, RFC 4987).
pub fn floods_are_bounded(in_use: fn() -> isize, bound: isize) {
    let floods: [(&str, Flood); 9] = [
        ("ARP requests", arp),
        ("solicitations", solicitation),
        ("echoes over IPv4", echo4),
        ("echoes over IPv6", echo6),
        ("SYNs", syn),
        ("fragments of IPv4", fragment4),
        ("fragments of IPv6", fragment6),
        ("datagrams", datagram),
        ("packets too big", too_big),
    ];
    for (name, flood) in floods {
        let before = in_use();
        let mut random = Random::new(77);
        let mut target = Target::new(78);
        let mut most = 0;
        for number in 0..20_000 {
            target.host.inject(&flood(number, &mut random));
            if number % 64 == 63 {
                target.world.now_ns += 1_000_000;
                drain(&mut target.world, &mut target.host);
                most = most.max(in_use() - before);
            }
            STEPS.fetch_add(1, Ordering::Relaxed);
        }
        assert!(most < bound, "{most} bytes are in use after {name}");
        target.finish();
    }
}

fn drain(world: &mut World, host: &mut net::sim::Host) {
    host.take(world);
}
