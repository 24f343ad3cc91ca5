//! Deadlines of connections.

mod wheel;

use alloc::vec::Vec;

use crate::types::Handle;
use wheel::Wheel;

/// No deadline.
const NEVER: u64 = u64::MAX;

/// Deadlines of connections. Each connection has its earliest entry in the wheel, and adds another
/// only for an earlier deadline; an entry that expires too early is requeued. So a retransmission
/// timer that moves with every packet costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    wheel: Wheel,
    /// By the index of a connection's handle. Separate from the connections, since most entries
    /// expire after the event that they waited for, and then nothing else is read.
    deadlines: Vec<Deadline>,
}

/// The deadline of a connection.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    generation: u32,
    deadline_ns: u64,
    /// The earliest entry in the wheel.
    queued_ns: u64,
}

const EMPTY: Deadline = Deadline {
    generation: 0,
    deadline_ns: NEVER,
    queued_ns: NEVER,
};

impl Timers {
    /// Sets the deadline of a connection.
    pub(crate) fn set_deadline(&mut self, handle: Handle, at_ns: Option<u64>) {
        let index = handle.index as usize;
        if self.deadlines.len() <= index {
            if at_ns.is_none() {
                return;
            }
            self.deadlines.resize(index + 1, EMPTY);
        }
        let Some(deadline) = self.deadlines.get_mut(index) else {
            return;
        };
        if deadline.generation != handle.generation {
            *deadline = Deadline {
                generation: handle.generation,
                ..EMPTY
            };
        }
        deadline.deadline_ns = at_ns.unwrap_or(NEVER);
        if deadline.deadline_ns < deadline.queued_ns {
            deadline.queued_ns = deadline.deadline_ns;
            self.wheel.push((deadline.deadline_ns, handle));
        }
    }

    /// Takes the next connection whose deadline has passed.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<Handle> {
        let Timers { wheel, deadlines } = self;
        let mut revise = |(at_ns, handle): (u64, Handle)| {
            let deadline = deadlines.get_mut(handle.index as usize);
            let deadline = deadline.filter(|deadline| deadline.is_of(at_ns, handle))?;
            deadline.queued_ns = deadline.deadline_ns;
            (deadline.deadline_ns != NEVER).then_some(deadline.deadline_ns)
        };
        while let Some(entry) = wheel.pop_due(now_ns, &mut revise) {
            // It may have changed meanwhile.
            match revise(entry) {
                Some(at_ns) if at_ns <= now_ns => {
                    let deadline = deadlines.get_mut(entry.1.index as usize)?;
                    (deadline.deadline_ns, deadline.queued_ns) = (NEVER, NEVER);
                    return Some(entry.1);
                }
                Some(at_ns) => wheel.push((at_ns, entry.1)),
                None => {}
            }
        }
        None
    }

    /// Prefetches a connection's deadline.
    pub(crate) fn prefetch(&self, index: u32) {
        core::hint::black_box(
            self.deadlines
                .get(index as usize)
                .map(|deadline| deadline.generation),
        );
    }

    /// When a connection's deadline is checked next.
    #[cfg(test)]
    pub(crate) fn deadline_ns(&self, handle: Handle) -> Option<u64> {
        let deadline = self.deadlines.get(handle.index as usize)?;
        (deadline.generation == handle.generation && deadline.deadline_ns != NEVER)
            .then_some(deadline.deadline_ns)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.wheel.len()
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.wheel.next_ns()
    }

    /// Drops entries of removed connections, once they are the majority: connections may come and
    /// go faster than their deadlines.
    pub(crate) fn compact(&mut self, live: usize) {
        if self.wheel.len() > 2 * live + 64 {
            let deadlines = &self.deadlines;
            self.wheel.retain(|(at_ns, handle)| {
                let deadline = deadlines.get(handle.index as usize);
                deadline.is_some_and(|deadline| deadline.is_of(at_ns, handle))
            });
        }
    }
}

impl Deadline {
    /// Whether an entry is the earliest one of the deadline's connection.
    fn is_of(&self, at_ns: u64, handle: Handle) -> bool {
        self.generation == handle.generation && self.queued_ns == at_ns
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;
    use crate::types::Handle;

    fn due(timers: &mut Timers, now_ns: u64) -> Vec<u64> {
        core::iter::from_fn(|| timers.pop_due(now_ns))
            .map(Handle::to_raw)
            .collect()
    }

    #[test]
    fn a_deadline_that_moves_comes_up_once_and_at_its_time() {
        let mut timers = Timers::default();
        let [a, b] = [Handle::from_raw(1 << 32 | 5), Handle::from_raw(1 << 32 | 2)];
        timers.set_deadline(a, Some(100));
        timers.set_deadline(a, Some(300));
        timers.set_deadline(b, Some(200));
        assert_eq!(due(&mut timers, 150), []);
        timers.set_deadline(b, None);
        assert_eq!(due(&mut timers, 250), []);
        timers.set_deadline(b, Some(400));
        assert_eq!(due(&mut timers, 500), [a.to_raw(), b.to_raw()]);
        assert_eq!((due(&mut timers, 1000), timers.len()), (vec![], 0));
        // The next connection in a slot has nothing to do with the previous one.
        let later = Handle::from_raw(2 << 32 | 5);
        timers.set_deadline(a, Some(1100));
        timers.set_deadline(later, Some(1200));
        assert_eq!(due(&mut timers, 1150), []);
        assert_eq!(due(&mut timers, 1200), [later.to_raw()]);
    }

    #[test]
    fn what_comes_near_is_revised() {
        const MS: u64 = 1_000_000;
        let mut timers = Timers::default();
        let handle = |n: u64| Handle::from_raw(1 << 32 | n);
        for n in 0..30 {
            timers.set_deadline(handle(n), Some(10 * MS + n));
        }
        for n in 0..30 {
            let at_ms = [None, Some(50), Some(5000)][n as usize % 3];
            timers.set_deadline(handle(n), at_ms.map(|at| at * MS + n));
        }
        // A third is dropped, the others aren't due yet.
        assert_eq!((due(&mut timers, 20 * MS), timers.len()), (vec![], 20));
        let expected = |rest: u64| {
            (0..30)
                .filter(move |n| n % 3 == rest)
                .map(|n| handle(n).to_raw())
        };
        assert_eq!(due(&mut timers, 60 * MS), expected(1).collect::<Vec<_>>());
        assert_eq!(due(&mut timers, 4999 * MS), []);
        assert_eq!(due(&mut timers, 5001 * MS), expected(2).collect::<Vec<_>>());
        assert_eq!(timers.len(), 0);
    }
}
