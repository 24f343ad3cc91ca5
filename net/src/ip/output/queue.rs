//! The short queue of finished frames beside each link: replies made while the link delivers a
//! frame, and fragmented packets.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ip::drops::DropReason;
use crate::ip::frames::Queue;
use crate::ip::packet::{Offload, Packet, TcpSegment, ethertype, tcp_packet};
use crate::ip::wire::checksum;
use crate::ip::wire::header::HOP_LIMIT;
use crate::ip::wire::header::{IP_MAX, IPV4_LEN, IPV6_LEN, Mac, v4, v6};
use crate::ip::{Interface, Net, Origin, Outcome, Port, Route};
use crate::types::{TxMeta, put};

/// The minimum MTU that packets are fragmented for.
pub(super) const MTU_MIN: usize = 552;

impl Net {
    /// Puts a frame on the queue of an interface's port; `false` if that is full.
    pub(crate) fn stage(
        &mut self,
        interface: usize,
        to: Mac,
        ethertype: u16,
        len: usize,
        fill: impl FnOnce(&mut [u8], usize) -> TxMeta,
    ) -> bool {
        let Some(interface) = self.interfaces.get_mut(interface) else {
            return false;
        };
        let before = interface.framing.header_len();
        let mut frame = alloc::vec![0; before + len];
        interface.framing.write(&mut frame, to, ethertype);
        let meta = fill(frame.get_mut(before..).unwrap_or_default(), before);
        let bytes = frame.len();
        let queued = self
            .queues
            .get_mut(interface.port)
            .is_some_and(|queue| queue.push(frame, meta));
        if queued {
            count_sent(interface, bytes);
        }
        queued
    }

    /// Puts the frame of another protocol on the queue of an interface's port.
    pub(crate) fn stage_raw(
        &mut self,
        interface: usize,
        to: Mac,
        ethertype: u16,
        payload: &[u8],
    ) -> bool {
        self.stage(interface, to, ethertype, payload.len(), |buffer, _| {
            put(buffer, 0, payload);
            TxMeta::default()
        })
    }

    /// Counts a packet that a socket has no room for.
    pub(crate) fn queue_full(&mut self) {
        self.drops.count(DropReason::QueueFull);
    }

    /// Replies to a segment's origin, without a route. `false` if the queue is full.
    pub(crate) fn reply_tcp(&mut self, to: &Origin, segment: &TcpSegment<'_>) -> bool {
        let hops = self.hops(to.interface, to.remote);
        let packet = tcp_packet(to.local, to.remote, segment, hops);
        self.stage_packet(to.interface, to.mac, &packet)
    }

    /// The default hop limit of packets on an interface.
    pub(in crate::ip) fn hops(&self, interface: usize, address: IpAddr) -> u8 {
        let interface = self.interfaces.get(interface);
        interface.map_or(HOP_LIMIT, |i| i.hops_for(address))
    }

    /// Queues a packet on an interface's port, to a known Ethernet address.
    pub(crate) fn stage_packet(&mut self, interface: usize, to: Mac, packet: &Packet<'_>) -> bool {
        let ethertype = ethertype(packet.header.destination);
        self.stage(interface, to, ethertype, packet.len(), |buffer, before| {
            packet.write(buffer, before, Offload::default())
        })
    }

    /// Queues a packet of any size, in fragments if necessary.
    pub(in crate::ip) fn stage_any_size(
        &mut self,
        interface: usize,
        to: Mac,
        packet: &Packet<'_>,
    ) -> bool {
        let destination = packet.header.destination;
        let mtu = self.mtu_towards(interface, destination);
        if packet.len() <= mtu {
            self.stage_packet(interface, to, packet)
        } else if packet.len() <= IP_MAX {
            self.stage_whole(interface, to, &packet.to_vec(), destination)
        } else {
            false
        }
    }

    /// The same for an encoded packet.
    fn stage_whole(&mut self, interface: usize, to: Mac, packet: &[u8], remote: IpAddr) -> bool {
        let mtu = self.mtu_towards(interface, remote);
        let identification = self.next_identification(remote);
        let mut whole = true;
        for piece in fragments(packet, mtu, identification) {
            whole &= self.stage(
                interface,
                to,
                ethertype(remote),
                piece.len(),
                |buffer, _| {
                    put(buffer, 0, &piece);
                    TxMeta::default()
                },
            );
        }
        whole
    }

    /// An identification for fragments: sequential for IPv4, where there are few; unpredictable for
    /// IPv6 (RFC 7739).
    fn next_identification(&mut self, remote: IpAddr) -> u32 {
        if remote.is_ipv6() {
            return self.random.bits() as u32;
        }
        self.identification = self.identification.wrapping_add(1);
        u32::from(self.identification)
    }

    /// Sends packets that waited for a neighbor.
    pub(in crate::ip) fn release(&mut self, interface: usize, ready: Vec<(Mac, Vec<u8>)>) {
        for (mac, packet) in ready {
            let Some(remote) = destination_of(&packet) else {
                continue;
            };
            if !self.stage_whole(interface, mac, &packet, remote) {
                self.drops.count(DropReason::AnswerQueueFull);
            }
        }
    }

    /// Sends a packet through the queue, where the link isn't accessible.
    pub(in crate::ip) fn send_slowly(&mut self, route: &mut Route, packet: &Packet<'_>) -> Outcome {
        match self.next_mac(route) {
            Ok(mac) if self.stage_any_size(route.interface, mac, packet) => Outcome::Sent,
            Ok(_) => Outcome::Full,
            Err(Outcome::Resolving) => self.hold(route, packet),
            Err(outcome) => outcome,
        }
    }
}

/// The destination of an encoded packet of ours.
fn destination_of(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => v4(packet, 16).map(IpAddr::V4),
        _ => v6(packet, 24).map(IpAddr::V6),
    }
}

/// Cuts a packet without options or extension headers into fragments that fit `mtu` (RFC 791, 3.2;
/// RFC 8200, 4.5); one that fits is unchanged.
fn fragments(packet: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
    if packet.len() <= mtu {
        return alloc::vec![packet.to_vec()];
    }
    let header_len = if v4 { IPV4_LEN } else { IPV6_LEN };
    let (Some(header), Some(content)) = (packet.get(..header_len), packet.get(header_len..)) else {
        return Vec::new();
    };
    let extra = if v4 { 0 } else { 8 };
    let size = (mtu.max(MTU_MIN) - header_len - extra) / 8 * 8;
    let mut pieces = Vec::new();
    let mut offset = 0;
    for data in content.chunks(size) {
        let more = offset + data.len() < content.len();
        let mut piece = Vec::with_capacity(header_len + extra + data.len());
        piece.extend_from_slice(header);
        if v4 {
            let fields = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
            put(
                &mut piece,
                2,
                &((IPV4_LEN + data.len()) as u16).to_be_bytes(),
            );
            put(&mut piece, 4, &(identification as u16).to_be_bytes());
            put(&mut piece, 6, &fields.to_be_bytes());
            put(&mut piece, 10, &[0, 0]);
            let sum = !checksum::sum(&piece);
            put(&mut piece, 10, &sum.to_be_bytes());
        } else {
            let next = header.get(6).copied().unwrap_or(0);
            put(&mut piece, 4, &((8 + data.len()) as u16).to_be_bytes());
            put(&mut piece, 6, &[44]);
            piece.extend([next, 0]);
            piece.extend((offset as u16 | u16::from(more)).to_be_bytes());
            piece.extend(identification.to_be_bytes());
        }
        piece.extend_from_slice(data);
        pieces.push(piece);
        offset += data.len();
    }
    pieces
}

pub(super) fn count_sent(interface: &mut Interface, bytes: usize) {
    let counters = &mut interface.counters;
    counters.tx_frames = counters.tx_frames.wrapping_add(1);
    counters.tx_bytes = counters.tx_bytes.wrapping_add(bytes as u64);
}

impl Port {
    pub(in crate::ip) fn drain(&mut self, queue: &mut Queue) -> bool {
        while let Some((frame, meta)) = queue.first() {
            if !self.link.can_transmit() {
                return false;
            }
            let taken = self.link.transmit(frame.len(), &mut |buffer| {
                buffer.copy_from_slice(frame);
                *meta
            });
            if !taken {
                return false;
            }
            queue.dirty = true;
            queue.remove_first();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::ip::Port;
    use crate::ip::frames::{QUEUE, QUEUE_BYTES, Queue};
    use crate::types::{Link, LinkCapabilities, RxMeta, TxMeta};
    use alloc::sync::Arc;
    use std::sync::Mutex;

    /// A link with room for some frames, and the first byte of each sent frame.
    #[derive(Clone, Default)]
    struct Narrow(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Link for Narrow {
        fn capabilities(&self) -> LinkCapabilities {
            LinkCapabilities {
                mac: [2; 6],
                mtu: 1500,
                tx_checksum: false,
                tso4: false,
                tso6: false,
            }
        }

        fn receive(&mut self, _: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
            false
        }

        fn can_transmit(&mut self) -> bool {
            self.0.lock().expect("no panic").0 > 0
        }

        fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
            let (room, sent) = &mut *self.0.lock().expect("no panic");
            let mut frame = vec![0; len];
            if *room > 0 {
                *room -= 1;
                fill(&mut frame);
                sent.push(frame[0]);
                return true;
            }
            false
        }

        fn flush(&mut self) {}
    }

    /// Frames wait in order while the link is full, up to the limits, however often it was full
    /// before.
    #[test]
    fn a_queue_that_was_emptied_has_all_of_its_room_again() {
        for len in [60, 1514, 20_000, 65_549] {
            let most = QUEUE.min(QUEUE_BYTES / len);
            let (mut queue, link) = (Queue::default(), Narrow::default());
            let mut port = Port {
                capabilities: link.capabilities(),
                link: Box::new(link.clone()),
            };
            let mut next = 0u8;
            let mut fill = |queue: &mut Queue| {
                let before = next;
                while queue.push(vec![next; len], TxMeta::default()) {
                    next = next.wrapping_add(1);
                }
                usize::from(next.wrapping_sub(before))
            };
            assert_eq!(fill(&mut queue), most % 256, "{len}");
            for room in [3, 0, 1, most, 2, most] {
                link.0.lock().expect("no panic").0 = room;
                assert_eq!(port.drain(&mut queue), room == most, "{len}");
                assert_eq!(fill(&mut queue), room % 256, "{len}");
            }
            let sent = core::mem::take(&mut link.0.lock().expect("no panic").1);
            assert_eq!(sent.len(), 2 * most + 6);
            assert!(sent.windows(2).all(|two| two[1] == two[0].wrapping_add(1)));
        }
    }
}
