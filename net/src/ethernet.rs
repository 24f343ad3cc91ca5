//! A socket for raw Ethernet frames of protocols that the stack does not implement.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ip::EthernetInput;
use crate::types::{Readiness, WakeFlags};

/// Maximum number of received frames queued, and of their bytes.
const ARRIVED: usize = 256;
const BYTES: usize = 256 << 10;

/// A received frame: source, destination, payload.
pub(crate) type Frame = ([u8; 6], [u8; 6], Vec<u8>);

/// A socket for the frames of one type on one interface.
pub(crate) struct Ethernet {
    pub(crate) interface: usize,
    pub(crate) ethertype: u16,
    arrived: VecDeque<Frame>,
    bytes: usize,
    pub(crate) blocked: bool,
    pub(crate) wakes: WakeFlags,
}

impl Ethernet {
    pub(crate) fn new(interface: usize, ethertype: u16) -> Ethernet {
        Ethernet {
            interface,
            ethertype,
            arrived: VecDeque::new(),
            bytes: 0,
            blocked: false,
            wakes: WakeFlags::default(),
        }
    }

    /// Queues a received frame; `false` if there is no room.
    pub(crate) fn deliver(&mut self, frame: &EthernetInput<'_>) -> bool {
        let len = frame.payload.len();
        if self.arrived.len() >= ARRIVED || self.bytes + len > BYTES {
            return false;
        }
        self.bytes += len;
        let entry = (frame.source, frame.destination, frame.payload.to_vec());
        self.arrived.push_back(entry);
        true
    }

    /// Takes the oldest frame.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let frame = self.arrived.pop_front()?;
        self.bytes -= frame.2.len();
        Some(frame)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        Readiness {
            readable: !self.arrived.is_empty(),
            writable: !self.blocked,
            ..Default::default()
        }
    }
}
