//! Work for each packet doesn't grow with how many came before it (a known failure of others:
//! quadratic reassembly).

use std::time::Instant;

use net::sim::packet::{self, Ip};

use crate::support::{FAMILIES, Family, Talk, V4, pattern};

/// Checks that each of `many` costs less than eight times what each of `few` does, where work that grew with their number
/// would cost thirty times as much. What else the machine does only adds to a time, so that each is the least of several,
/// taken in turns, and only as many as it takes.
fn costs_the_same(few: u32, many: u32, mut run: impl FnMut(u32)) {
    let mut each = |count: u32| {
        let begun = Instant::now();
        run(count);
        begun.elapsed().as_nanos() as f64 / f64::from(count)
    };
    let mut least = (f64::MAX, f64::MAX);
    for _ in 0..20 {
        least = (least.0.min(each(few)), least.1.min(each(many)));
        if least.1 < 8.0 * least.0 {
            return;
        }
    }
    panic!("{:.0} ns each, then {:.0} ns", least.0, least.1);
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
            costs_the_same(500, 16_000, backwards(family, step));
        }
    }
}

/// Fragments of eight bytes, the last first: a packet has so many that the work for one doesn't matter, and not more; what has more is
/// dropped again and again, and keeps nobody from being heard.
#[test]
fn tiny_fragments_are_bounded() {
    for (count, delivered) in [(250u32, true), (7500, false)] {
        let mut talk = Talk::new(V4);
        let (from, to) = (V4.host(5000), V4.stack(6000));
        let socket = talk.stack().udp_bind(to).expect("a free port");
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
        talk.host.take(&mut talk.world);
        let hear = |talk: &mut Talk| {
            let mut buffer = [0; 4096];
            let received = talk.stack().udp_recv_from(socket, &mut buffer).ok();
            received.map(|(len, _)| buffer[..len].to_vec())
        };
        assert_eq!(hear(&mut talk), delivered.then_some(data));
        let refused = talk
            .stack()
            .drops()
            .find(|(name, _)| *name == "drop.bad-fragment");
        assert_eq!(refused.map(|(_, count)| count > 0), Some(!delivered));
        let frame = packet::udp(talk.host.macs(), from, to, b"whole");
        talk.host.send_frame(&mut talk.world, &frame);
        assert_eq!(hear(&mut talk).as_deref(), Some(&b"whole"[..]));
    }
}
