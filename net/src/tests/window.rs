//! A peer that fills the window to the last byte, as Linux does.

use core::net::IpAddr;

use smoltcp::wire::{TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::{address, ready, wire};
use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{Config, InterfaceConfig};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The scripted peer: the numbers that it has sent and received, and its limit.
struct Peer {
    script: Script,
    sent: u32,
    received: u32,
    /// The highest acknowledgement, and the furthest edge ever announced.
    acknowledged: u32,
    edge: u32,
    /// The scale of the stack's windows.
    shift: u32,
}

/// The window scale among the options of a SYN.
fn window_scale(mut options: &[u8]) -> u32 {
    while let [kind, rest @ ..] = options {
        options = match (kind, rest) {
            (3, [3, shift, ..]) => return u32::from(*shift),
            (1, _) => rest,
            (_, [len, ..]) => options.get(usize::from(*len)..).unwrap_or_default(),
            _ => return 0,
        };
    }
    0
}

impl Peer {
    fn send(&mut self, control: TcpControl, payload: &[u8]) {
        let (own, other): (IpAddr, IpAddr) =
            ("10.0.0.9".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let opens = control == TcpControl::Syn;
        let repr = TcpRepr {
            src_port: 4000,
            dst_port: 80,
            control,
            seq_number: TcpSeqNumber(self.sent as i32),
            ack_number: (!opens).then_some(TcpSeqNumber(self.received as i32)),
            window_len: 65535,
            window_scale: opens.then_some(7),
            max_seg_size: opens.then_some(1460),
            sack_permitted: false,
            sack_ranges: [None, None, None],
            timestamp: None,
            payload,
        };
        self.script.inject(&wire::tcp(own, other, MAC, &repr));
        self.sent += payload.len() as u32 + u32::from(opens);
    }

    /// Handles received segments; returns the number of payload bytes.
    fn receive(&mut self, world: &mut World) -> usize {
        world.run_now();
        let mut received = 0;
        while let Some(frame) = self.script.take() {
            if let Some(reply) = wire::arp_reply(&frame) {
                self.script.inject(&reply);
                world.run_now();
                continue;
            }
            if frame[12..14] != [8, 0] || frame[23] != 6 {
                continue;
            }
            let packet = TcpPacket::new_unchecked(&frame[34..]);
            let seq = packet.seq_number().0 as u32;
            if packet.syn() {
                self.received = seq.wrapping_add(1);
            }
            if seq == self.received {
                self.received = seq.wrapping_add(packet.payload().len() as u32);
                received += packet.payload().len();
            }
            let mut shift = self.shift;
            if packet.syn() {
                let repr = packet.options();
                self.shift = window_scale(repr);
                shift = 0;
            }
            let window = u32::from(packet.window_len()) << shift;
            self.acknowledged = packet.ack_number().0 as u32;
            self.edge = self.edge.max(self.acknowledged + window);
        }
        received
    }
}

#[test]
fn acknowledgements_count_when_the_peer_has_filled_a_window_that_shrank() {
    let mut world = World::new();
    let cable = Cable::new(Impairment::default(), 1);
    let mut stack = world.stack(Config::default(), 1);
    let link = cable.link(0, MAC, 1500, Offloads::default());
    let interface = InterfaceConfig {
        addresses: vec!["10.0.0.1/24".parse().unwrap()],
        ..InterfaceConfig::dynamic()
    };
    stack.add_interface(link, &interface).unwrap();
    let listener = stack.tcp_listen(address("[::]:80"), 16).unwrap();
    world.stacks.push(stack);
    let script = cable.script(1);
    world.cables.push(cable);

    let mut peer = Peer {
        script,
        sent: 1000,
        received: 0,
        acknowledged: 0,
        edge: 0,
        shift: 0,
    };
    peer.send(TcpControl::Syn, &[]);
    peer.receive(&mut world);
    peer.send(TcpControl::None, &[]);
    peer.receive(&mut world);
    let connection = ready(world.stacks[0].tcp_accept(listener)).expect("a connection");
    while ready(world.stacks[0].tcp_write(connection, &[7; 4096])).is_some() {}

    // It sends up to the limit, in pieces that are no multiple of the scale, and acknowledges
    // nothing yet.
    let held = peer.received;
    while peer.sent < peer.edge {
        let len = (peer.edge - peer.sent).min(1001) as usize;
        peer.send(TcpControl::None, &[1; 1460][..len]);
        peer.receive(&mut world);
        peer.received = held;
    }
    assert!(
        peer.acknowledged < peer.sent,
        "the window has not shrunk: nothing is tested"
    );

    // Now it acknowledges everything; the program still doesn't read.
    world.advance(2 * super::SECOND);
    peer.receive(&mut world);
    for _ in 0..4 {
        peer.send(TcpControl::None, &[]);
        peer.receive(&mut world);
    }
    assert!(
        ready(world.stacks[0].tcp_write(connection, &[7; 4096])).is_some(),
        "nothing of what the peer acknowledged was believed"
    );
}
