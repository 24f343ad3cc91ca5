//! Work per packet doesn't grow with the number of earlier ones (a known failure of others:
//! quadratic reassembly).

use net::sim::packet::{self, Ip};

use crate::support::{Talk, V4, pattern};

/// Fragments of eight bytes, the last first: the limit of fragments per packet keeps the work per
/// packet negligible. Packets with more are dropped each time, and other traffic gets through.
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
        let receive = |talk: &mut Talk| {
            let mut buffer = [0; 4096];
            let received = talk.stack().udp_recv_from(socket, &mut buffer).ok();
            received.map(|(len, _)| buffer[..len].to_vec())
        };
        assert_eq!(receive(&mut talk), delivered.then_some(data));
        let refused = talk
            .stack()
            .drops()
            .find(|(name, _)| *name == "drop.bad-fragment");
        assert_eq!(refused.map(|(_, count)| count > 0), Some(!delivered));
        let frame = packet::udp(talk.host.macs(), from, to, b"whole");
        talk.host.send_frame(&mut talk.world, &frame);
        assert_eq!(receive(&mut talk).as_deref(), Some(&b"whole"[..]));
    }
}
