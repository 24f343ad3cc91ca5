//! A connection whose other end is scripted.

use core::net::IpAddr;

use smoltcp::wire::{TcpControl, TcpRepr, TcpSeqNumber};

use super::{MS, SECOND, address, wire};
use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{Config, Handle, InterfaceConfig};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The far end: its next sequence number, and the stack's numbers as it has seen them.
struct Peer {
    script: Script,
    seq: i32,
    ack: Option<i32>,
}

/// A segment that the stack sent.
#[derive(Debug, PartialEq)]
struct Seen {
    seq: i32,
    ack: i32,
    flags: u8,
    payload: Vec<u8>,
}

impl Peer {
    fn send(&mut self, control: TcpControl, payload: &[u8]) {
        let (from, to): (IpAddr, IpAddr) =
            ("10.0.0.9".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let repr = TcpRepr {
            src_port: 4000,
            dst_port: 80,
            control,
            seq_number: TcpSeqNumber(self.seq),
            ack_number: self.ack.map(TcpSeqNumber),
            window_len: 60_000,
            window_scale: None,
            max_seg_size: Some(1460).filter(|_| control == TcpControl::Syn),
            sack_permitted: false,
            sack_ranges: [None, None, None],
            timestamp: None,
            payload,
        };
        self.script.inject(&wire::tcp(from, to, MAC, &repr));
    }

    /// The segments that have arrived; answers ARP.
    fn seen(&mut self, world: &mut World) -> Vec<Seen> {
        let mut seen = Vec::new();
        world.run_now();
        while let Some(frame) = self.script.take() {
            if let Some(reply) = wire::arp_reply(&frame) {
                self.script.inject(&reply);
                world.run_now();
            } else if frame[12..14] == [8, 0] && frame[23] == 6 {
                let number = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                let header_len = usize::from(frame[46] >> 4) * 4;
                seen.push(Seen {
                    seq: number(38),
                    ack: number(42),
                    flags: frame[47],
                    payload: frame[34 + header_len..].to_vec(),
                });
            }
        }
        seen
    }
}

/// An established connection to port 80 of a stack: the world, the far end, and the stack's handle.
fn established() -> (World, Peer, Handle, Handle) {
    let mut world = World::new();
    let cable = Cable::new(Impairment::default(), 60);
    let mut stack = world.stack(Config::default(), 60);
    let interface = InterfaceConfig {
        addresses: vec!["10.0.0.1/24".parse().unwrap()],
        ..Default::default()
    };
    let link = cable.link(0, MAC, 1500, Offloads::default());
    stack.add_interface(link, &interface).unwrap();
    let listener = stack.tcp_listen(address("0.0.0.0:80"), 8).unwrap();
    world.stacks.push(stack);
    let mut peer = Peer {
        script: cable.script(1),
        seq: 1000,
        ack: None,
    };
    world.cables.push(cable);
    peer.send(TcpControl::Syn, b"");
    let answer = peer.seen(&mut world).pop().unwrap();
    assert_eq!((answer.flags, answer.ack), (0x12, 1001));
    peer.seq = 1001;
    peer.ack = Some(answer.seq.wrapping_add(1));
    peer.send(TcpControl::None, b"");
    world.run_now();
    let connection = world.stacks[0].tcp_accept(listener).unwrap();
    (world, peer, connection, listener)
}

#[test]
fn a_fin_sent_again_in_time_wait_is_acknowledged_again() {
    let (mut world, mut peer, connection, listener) = established();
    world.stacks[0].close(connection).unwrap();
    let fin = peer.seen(&mut world).pop().unwrap();
    assert_eq!(fin.flags & 1, 1);
    peer.ack = Some(fin.seq.wrapping_add(1));
    peer.send(TcpControl::Fin, b"");
    let last = peer.seen(&mut world);
    assert_eq!(last.len(), 1);
    assert_eq!(
        (last[0].seq, last[0].ack, last[0].flags),
        (fin.seq + 1, peer.seq + 1, 0x10)
    );
    assert_eq!(world.stacks[0].tcp_memory_used(), 0);
    // The acknowledgement was lost: the same segment gets the same reply, for any time.
    for _ in 0..3 {
        world.advance(50 * SECOND);
        peer.send(TcpControl::Fin, b"");
        assert_eq!(peer.seen(&mut world), last);
    }
    // An acknowledgement, or a reset with a wrong number, gets no reply.
    peer.seq += 1;
    peer.send(TcpControl::None, b"");
    peer.seq += 5;
    peer.send(TcpControl::Rst, b"");
    assert_eq!(peer.seen(&mut world), []);
    // An old SYN is acknowledged, a newer one opens a new connection.
    peer.ack = None;
    peer.seq = 500;
    peer.send(TcpControl::Syn, b"");
    assert_eq!(peer.seen(&mut world), last);
    peer.seq = 5000;
    peer.send(TcpControl::Syn, b"");
    let answer = peer.seen(&mut world).pop().unwrap();
    assert_eq!((answer.flags, answer.ack), (0x12, 5001));
    peer.seq = 5001;
    peer.ack = Some(answer.seq.wrapping_add(1));
    peer.send(TcpControl::None, b"");
    world.run_now();
    world.stacks[0].tcp_accept(listener).unwrap();
}

#[test]
fn joined_segments_are_acknowledged_at_once_and_small_ones_with_the_answer() {
    let (mut world, mut peer, connection, _) = established();
    peer.send(TcpControl::Psh, &[7; 5000]);
    let seen = peer.seen(&mut world);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].ack, peer.seq + 5000);
    peer.seq += 5000;
    peer.send(TcpControl::Psh, b"question");
    assert_eq!(peer.seen(&mut world), []);
    world.advance(5 * MS);
    assert_eq!(world.stacks[0].tcp_write(connection, b"answer"), Ok(6));
    let seen = peer.seen(&mut world);
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].ack, &seen[0].payload[..]),
        (peer.seq + 8, &b"answer"[..])
    );
    // Without a reply it is still acknowledged.
    peer.seq += 8;
    peer.ack = Some(seen[0].seq.wrapping_add(6));
    peer.send(TcpControl::Psh, b"?");
    assert_eq!(peer.seen(&mut world), []);
    world.advance(50 * MS);
    assert_eq!(peer.seen(&mut world)[0].ack, peer.seq + 1);
}

#[test]
fn bytes_that_come_with_the_fin_or_before_the_reset_are_read() {
    for control in [TcpControl::Fin, TcpControl::Rst] {
        let (mut world, mut peer, connection, _) = established();
        peer.send(TcpControl::Psh, b"first ");
        peer.seq += 6;
        if control == TcpControl::Fin {
            peer.send(TcpControl::Fin, b"last");
        } else {
            peer.send(TcpControl::Psh, b"last");
            peer.seq += 4;
            peer.send(TcpControl::Rst, b"");
        }
        world.advance(SECOND);
        let mut buffer = [0; 100];
        let mut text = Vec::<u8>::new();
        while let Ok(len @ 1..) = world.stacks[0].tcp_read(connection, &mut buffer) {
            text.extend(&buffer[..len]);
        }
        assert_eq!(text, b"first last");
    }
}

/// RFC 826, 4861: resolving a neighbor doesn't take another poll. The call that needs it sends the
/// request, and a link with room isn't reported as full.
#[test]
fn a_question_for_a_neighbor_leaves_at_once() {
    for peer in ["10.0.0.9:80", "[fd00::9]:80"] {
        let config = super::fixed(&["10.0.0.1/24", "fd00::1/64"]);
        let (mut world, scripts, _) = super::scripted(&[config]);
        world.advance(5 * super::SECOND);
        super::frames(&scripts[0]);
        let stack = &mut world.stacks[0];
        stack.tcp_connect(super::address(peer), None).unwrap();
        let progress = stack.poll(world.now_ns, 64);
        assert!(!progress.transmit_blocked);
        assert_eq!(super::frames(&scripts[0]).len(), 1, "{peer}");
    }
}

/// A poll's budget counts large frames by their bytes, and the poll returns that there is more.
#[test]
fn a_poll_takes_few_large_frames() {
    let (mut world, peer, ..) = established();
    let mut frame = [0; 60_000];
    frame[..6].copy_from_slice(&MAC);
    for _ in 0..40 {
        peer.script.inject(&frame);
    }
    let stack = &mut world.stacks[0];
    let received = |stack: &crate::Stack| {
        let cable = stack.interfaces()[0];
        stack.interface_status(cable).unwrap().counters.rx_frames
    };
    let before = received(stack);
    let progress = stack.poll(world.now_ns, 64);
    assert!(progress.more_work);
    assert_eq!(received(stack) - before, 8);
}
