//! A cable between two ends, each a device or a script.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Link;
use crate::sim::device::{Device, Offloads};
use crate::sim::{Impairment, Pipe};

/// Counters of a cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CableStatistics {
    /// Frames that were put on the cable, after cutting.
    pub frames: u64,
    /// Frames larger than the MTU that a device cut.
    pub cut: u64,
    /// Frames that the cable lost, those that a full queue lost among them.
    pub lost: u64,
}

/// Tells which frames get through.
type Filter = Box<dyn FnMut(&[u8]) -> bool + Send>;

pub(crate) struct Inner {
    pub(crate) now_ns: u64,
    /// The directions, by the end that they lead to.
    ways: [Pipe; 2],
    filters: [Option<Filter>; 2],
    filtered: u64,
    pub(crate) cut: u64,
    /// Ends that are played by hand.
    scripted: [bool; 2],
    /// Ends whose device had no room when it was asked, and has some now.
    pub(crate) woken: [bool; 2],
}

/// A cable, shared by both ends and the world; stacks can move to other threads.
pub(crate) struct SharedCable(Mutex<Inner>);

impl SharedCable {
    fn new(inner: Inner) -> SharedCable {
        SharedCable(Mutex::new(inner))
    }

    /// A test that panicked with it says so itself.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Puts a frame on the way to end `to`.
    pub(crate) fn put(&mut self, to: usize, frame: &[u8]) {
        if let Some(filter) = &mut self.filters[to]
            && !filter(frame)
        {
            self.filtered += 1;
            return;
        }
        self.ways[to].push(self.now_ns, frame);
    }

    /// Takes the next frame that has arrived at end `end`.
    pub(crate) fn take(&mut self, end: usize) -> Option<Vec<u8>> {
        self.ways[end].pop(self.now_ns)
    }
}

/// A cable with two ends, 0 and 1.
#[derive(Clone)]
pub struct Cable {
    inner: Arc<SharedCable>,
}

impl Cable {
    /// A cable that impairs both directions alike, and repeatably by `seed`.
    pub fn new(impairment: Impairment, seed: u64) -> Cable {
        let way = |end: u64| Pipe::new(impairment, seed.wrapping_mul(2).wrapping_add(end));
        Cable {
            inner: Arc::new(SharedCable::new(Inner {
                now_ns: 0,
                ways: [way(0), way(1)],
                filters: [None, None],
                filtered: 0,
                cut: 0,
                scripted: [false; 2],
                woken: [false; 2],
            })),
        }
    }

    /// The device at end 0 or 1, for a stack. `mtu` is that of [`crate::LinkCapabilities`].
    pub fn link(&self, end: usize, mac: [u8; 6], mtu: usize, offloads: Offloads) -> Box<dyn Link> {
        Box::new(Device::new(self.inner.clone(), end, mac, mtu, offloads))
    }

    /// End 0 or 1, to be played by hand.
    pub fn script(&self, end: usize) -> Script {
        self.inner.lock().scripted[end] = true;
        Script {
            inner: self.inner.clone(),
            end,
        }
    }

    /// Changes what the cable does to frames from now on, in both directions.
    pub fn set_impairment(&self, impairment: Impairment) {
        for way in &mut self.inner.lock().ways {
            way.set_impairment(impairment);
        }
    }

    /// Changes what it does to frames on the way to end `to` only.
    pub fn set_impairment_to(&self, to: usize, impairment: Impairment) {
        self.inner.lock().ways[to].set_impairment(impairment);
    }

    /// Lets `filter` see each frame on the way to end `to`, before all impairments; where it
    /// answers `false` the frame is lost. It replaces the filter before it.
    pub fn set_filter(&self, to: usize, filter: impl FnMut(&[u8]) -> bool + Send + 'static) {
        self.inner.lock().filters[to] = Some(Box::new(filter));
    }

    /// Counters of both directions together.
    pub fn statistics(&self) -> CableStatistics {
        let inner = self.inner.lock();
        let mut sum = CableStatistics {
            frames: inner.filtered,
            cut: inner.cut,
            lost: inner.filtered,
        };
        for way in inner.ways.iter().map(Pipe::statistics) {
            sum.frames += way.pushed;
            sum.lost += way.lost + way.queue_full;
        }
        sum
    }

    /// Sets the clock of the cable.
    pub(crate) fn set_now(&self, now_ns: u64) {
        self.inner.lock().now_ns = now_ns;
    }

    /// Whether a device has room again that had none when it was asked; told once.
    pub(crate) fn take_woken(&self) -> bool {
        core::mem::take(&mut self.inner.lock().woken) != [false; 2]
    }

    /// When the next frame arrives. One that waits for a script to take it doesn't count.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let inner = self.inner.lock();
        let ends = inner.ways.iter().zip(inner.scripted);
        ends.filter_map(|(way, scripted)| match scripted {
            true => way.next_after_ns(inner.now_ns),
            false => way.next_ns(),
        })
        .min()
    }
}

/// An end of a cable that is played by hand, with whole Ethernet frames.
pub struct Script {
    inner: Arc<SharedCable>,
    end: usize,
}

impl Script {
    /// Puts a frame on the cable.
    pub fn inject(&self, frame: &[u8]) {
        self.inner.lock().put(1 - self.end, frame);
    }

    /// Takes the next frame that has arrived.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.inner.lock().take(self.end)
    }
}
