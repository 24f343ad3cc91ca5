//! The state shared by both ends of a cable: frames in flight, filters and the clock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sim::Pipe;

/// Returns which frames pass.
pub(crate) type Filter = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// The frames between the two ends of a cable.
pub(crate) struct Wire {
    pub(crate) now_ns: u64,
    /// The directions, indexed by the end that they lead to.
    pub(crate) ways: [Pipe; 2],
    pub(crate) filters: [Option<Filter>; 2],
    pub(crate) filtered: u64,
    pub(crate) cut: u64,
    /// Ends driven by scripts.
    pub(crate) scripted: [bool; 2],
    /// Ends whose device had no room when asked, and has some now.
    pub(crate) woken: [bool; 2],
}

/// A wire, shared by both ends and the world; stacks can move to other threads.
pub(crate) struct SharedWire(Mutex<Wire>);

impl SharedWire {
    pub(crate) fn new(wire: Wire) -> SharedWire {
        SharedWire(Mutex::new(wire))
    }

    /// A test that panicked with the lock reports that itself.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    /// An empty wire of two directions.
    pub(crate) fn new(ways: [Pipe; 2]) -> Wire {
        Wire {
            now_ns: 0,
            ways,
            filters: [None, None],
            filtered: 0,
            cut: 0,
            scripted: [false; 2],
            woken: [false; 2],
        }
    }

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
