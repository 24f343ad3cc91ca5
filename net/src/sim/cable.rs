//! A cable between two ends, each a device or a script.

use std::sync::Arc;

use crate::Link;
use crate::sim::device::{Device, Offloads};
use crate::sim::wire::{SharedWire, Wire};
use crate::sim::{Impairment, Pipe};

/// Counters of a cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CableStatistics {
    /// Frames put on the cable, after segmentation by the device.
    pub frames: u64,
    /// Frames larger than the MTU that a device segmented.
    pub cut: u64,
    /// Frames that the cable lost, including those dropped by a full queue.
    pub lost: u64,
}

/// A cable with two ends, 0 and 1.
#[derive(Clone)]
pub struct Cable {
    wire: Arc<SharedWire>,
}

impl Cable {
    /// A cable that impairs both directions alike, reproducibly by `seed`.
    pub fn new(impairment: Impairment, seed: u64) -> Cable {
        let way = |end: u64| Pipe::new(impairment, seed.wrapping_mul(2).wrapping_add(end));
        Cable {
            wire: Arc::new(SharedWire::new(Wire::new([way(0), way(1)]))),
        }
    }

    /// The device at end 0 or 1, for a stack. `mtu` is that of [`crate::LinkCapabilities`].
    pub fn link(&self, end: usize, mac: [u8; 6], mtu: usize, offloads: Offloads) -> Box<dyn Link> {
        Box::new(Device::new(self.wire.clone(), end, mac, mtu, offloads))
    }

    /// End 0 or 1, to be driven by a script.
    pub fn script(&self, end: usize) -> Script {
        self.wire.lock().scripted[end] = true;
        Script {
            wire: self.wire.clone(),
            end,
        }
    }

    /// Changes the impairments from now on, in both directions.
    pub fn set_impairment(&self, impairment: Impairment) {
        for way in &mut self.wire.lock().ways {
            way.set_impairment(impairment);
        }
    }

    /// Changes the impairments on the way to end `to` only.
    pub fn set_impairment_to(&self, to: usize, impairment: Impairment) {
        self.wire.lock().ways[to].set_impairment(impairment);
    }

    /// Passes each frame on the way to end `to` to `filter` before all impairments; if it returns
    /// `false`, the frame is lost. Replaces the previous filter.
    pub fn set_filter(&self, to: usize, filter: impl FnMut(&[u8]) -> bool + Send + 'static) {
        self.wire.lock().filters[to] = Some(Box::new(filter));
    }

    /// Sum of the counters of both directions.
    pub fn statistics(&self) -> CableStatistics {
        let wire = self.wire.lock();
        let mut sum = CableStatistics {
            frames: wire.filtered,
            cut: wire.cut,
            lost: wire.filtered,
        };
        for way in wire.ways.iter().map(Pipe::statistics) {
            sum.frames += way.pushed;
            sum.lost += way.lost + way.queue_full;
        }
        sum
    }

    /// Sets the clock of the cable.
    pub(crate) fn set_now(&self, now_ns: u64) {
        self.wire.lock().now_ns = now_ns;
    }

    /// Whether a device that had no room when asked has some now; reported once.
    pub(crate) fn take_woken(&self) -> bool {
        core::mem::take(&mut self.wire.lock().woken) != [false; 2]
    }

    /// When the next frame arrives. One that waits to be taken by a script doesn't count.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let wire = self.wire.lock();
        let ends = wire.ways.iter().zip(wire.scripted);
        ends.filter_map(|(way, scripted)| match scripted {
            true => way.next_after_ns(wire.now_ns),
            false => way.next_ns(),
        })
        .min()
    }
}

/// An end of a cable that a script drives, with whole Ethernet frames.
pub struct Script {
    wire: Arc<SharedWire>,
    end: usize,
}

impl Script {
    /// Puts a frame on the cable.
    pub fn inject(&self, frame: &[u8]) {
        self.wire.lock().put(1 - self.end, frame);
    }

    /// Takes the next frame that has arrived.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.wire.lock().take(self.end)
    }
}
