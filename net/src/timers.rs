//! When to look at which socket again.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::Handle;

/// A heap of deadlines. A socket remembers the earliest entry it has here and pushes another only
/// for an earlier one; an entry that comes up too early is put off then. So a retransmission timer
/// that moves with every packet costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, Handle)>>,
}

impl Timers {
    /// Adds an entry unless `queued_ns`, the earliest one of this socket, comes first.
    pub(crate) fn set(&mut self, queued_ns: &mut Option<u64>, at_ns: u64, handle: Handle) {
        if queued_ns.is_none_or(|queued| at_ns < queued) {
            *queued_ns = Some(at_ns);
            self.heap.push(Reverse((at_ns, handle)));
        }
    }

    /// Takes the next entry that is due. It may be of a socket that is gone, or superseded.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<(u64, Handle)> {
        let Reverse((at_ns, _)) = self.heap.peek()?;
        if *at_ns > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// Drops entries that `keep` knows nothing of, once they are most of the heap: sockets come and
    /// go faster than their deadlines.
    pub(crate) fn tidy(&mut self, live: usize, mut keep: impl FnMut(u64, Handle) -> bool) {
        if self.heap.len() > 2 * live + 64 {
            self.heap
                .retain(|Reverse((at_ns, handle))| keep(*at_ns, *handle));
            self.heap.shrink_to(2 * live + 64);
        }
    }
}
