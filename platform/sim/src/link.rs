//! The node's network device.

use crate::node::{self, Node};
use crate::protocol::FRAME;
use net::{Link, LinkCapabilities, RxMeta, TxMeta};

/// Bytes of an IP packet.
const MTU: usize = 1500;
/// Bytes of an Ethernet header.
const HEADER: usize = 14;

/// An Ethernet card whose cable leads to the coordinator.
pub struct SimulatedLink {
    mac: [u8; 6],
}

impl SimulatedLink {
    /// The card of this node; `None` in a process that isn't one.
    pub fn open() -> Option<SimulatedLink> {
        node::with(|node| SimulatedLink { mac: node.mac })
    }
}

impl Link for SimulatedLink {
    fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            mac: self.mac,
            mtu: MTU,
            tx_checksum: false,
            tso4: false,
            tso6: false,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let frame = node::with(|node| node.frames.pop_front());
        let Some(mut frame) = frame.flatten() else {
            return false;
        };
        f(&mut frame, RxMeta::default());
        true
    }

    fn can_transmit(&mut self) -> bool {
        true
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        let mut frame = [0; HEADER + MTU];
        let Some(frame) = frame.get_mut(..len) else {
            return false;
        };
        fill(frame);
        node::with(|node: &mut Node| node.send(FRAME, &[frame]));
        true
    }

    fn flush(&mut self) {}
}
