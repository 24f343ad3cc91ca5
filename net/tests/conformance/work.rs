//! Work for each packet doesn't grow with how many came before it (a known failure of others:
//! quadratic reassembly). Times are compared with each other, the least of some runs each.

use std::time::Instant;

use net::sim::packet::{self, Ip};

use crate::support::{FAMILIES, Family, Talk, V4, pattern};

/// The least time of five runs, in ns for each of `count`.
fn least(count: u32, mut run: impl FnMut(u32)) -> f64 {
    let runs = (0..5).map(|_| {
        let begun = Instant::now();
        run(count);
        begun.elapsed().as_nanos() as f64 / f64::from(count)
    });
    runs.fold(f64::MAX, f64::min)
}

fn backwards(family: Family, step: u32) -> impl FnMut(u32) {
    move |count| {
        let mut talk = Talk::accepted_full(family);
        let first = talk.seq;
        let base = talk.segment().payload(b"x");
        for n in (1..count).rev() {
            let segment = base.clone().seq(first.wrapping_add(n * step));
            talk.host.inject(&segment.frame(talk.host.macs()));
            if n % 16 == 0 {
                talk.host.take(&mut talk.world);
            }
        }
        talk.host.take(&mut talk.world);
        assert_eq!(talk.error(), None);
    }
}

/// Bytes one by one, the last first; and with gaps between them.
#[test]
fn segments_out_of_order_cost_the_same_each() {
    for family in FAMILIES {
        for step in [1, 3] {
            let (few, many) = (
                least(1000, backwards(family, step)),
                least(16_000, backwards(family, step)),
            );
            assert!(many < 4.0 * few, "{few:.0} ns each, then {many:.0} ns");
        }
    }
}

/// Fragments of eight bytes, the last first.
#[test]
fn tiny_fragments_cost_the_same_each() {
    let run = |count: u32| {
        let mut talk = Talk::new(V4);
        let (from, to) = (V4.host(5000), V4.stack(6000));
        let data = pattern(count as usize * 8 - 8);
        let whole = Ip::parse(&packet::udp(talk.host.macs(), from, to, &data)).expect("a packet");
        for n in (0..count as usize).rev() {
            let part = &whole.payload[n * 8..n * 8 + 8];
            let mut frame = packet::ip(talk.host.macs(), from.ip(), to.ip(), 17, 64, part);
            let more = if n as u32 + 1 < count { 0x2000 } else { 0 };
            frame[20..22].copy_from_slice(&(n as u16 | more).to_be_bytes());
            frame[24..26].fill(0);
            let sum = !packet::sum(0, &frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            talk.host.inject(&frame);
            if n % 16 == 0 {
                talk.host.take(&mut talk.world);
            }
        }
    };
    let (few, many) = (least(500, run), least(7000, run));
    assert!(many < 4.0 * few, "{few:.0} ns each, then {many:.0} ns");
}
