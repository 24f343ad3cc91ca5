//! Order of writes around a flush that is in progress.
//!
//! [`Block::flush`](crate::Block::flush) returns when the device has flushed. An implementation may
//! return to the file system earlier and ask a [`Barrier`] about each later access: the file system
//! then reads, and changes its memory, while the device flushes. Writes reach the disk in the order
//! that the file system relies on.
//!
//! A journal ends a transaction with one block, between two flushes. This block is *held*: copied
//! here, and written when the first flush is done. The second flush follows it. All other writes
//! wait for an ordered flush; an unordered one ([`Block::flush_unordered`]) holds nothing up.
//!
//! ```text
//!            begin                      done, a write is held
//!   Idle ────────────▶ Flushing ─────────────────────────────▶ Writing
//!    ▲                  │  ▲ │                                  │   │
//!    │ done, no more    │  │ └─ done, a flush was asked for ─┐  │   │
//!    ├──────────────────┘  └─────────────────────────────────┴──┘   │
//!    └──────────────────── done, no flush was asked for ────────────┘
//! ```
//!
//! Any failure leads to `Idle` with a `Loss`: writes that were reported as durable to the file
//! system aren't. A held write that the device refused can be repeated ([`Barrier::repeat`]): the
//! flush before it is done, and nothing was written after it.
//!
//! [`Block::flush_unordered`]: crate::Block::flush_unordered

use crate::BlockError;
use alloc::vec::Vec;

/// Largest write that can be held, in bytes: a transaction's commit block is one block.
const MAX_HELD: usize = 4096;

/// Writes of a [`Block::write_batch`](crate::Block::write_batch): first sectors and data.
pub type Writes<'a> = [(u64, &'a [u8])];

/// Request of a file system to its device.
#[derive(Clone, Copy)]
pub enum Access<'a> {
    /// Reads this many bytes from a sector on.
    Read(u64, usize),
    /// Writes.
    Write(&'a Writes<'a>),
    /// Flushes.
    Flush,
}

/// Decision of a [`Barrier`] about an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The device gets the access now.
    Pass,
    /// The barrier keeps the write; for the file system it has succeeded.
    Held,
    /// The caller retries when [`Barrier::completed`] returns [`Next::Flush`] or [`Next::Done`].
    Wait,
    /// The access fails.
    Fail(BlockError),
}

/// Next request to the device after it has completed a part of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The held write; see [`Barrier::held`].
    Write,
    /// Another flush.
    Flush,
    /// Nothing: the flush has completed or failed.
    Done,
}

/// Write that is kept until the flush before it completes.
#[derive(Debug)]
struct HeldWrite {
    sector: u64,
    data: Vec<u8>,
}

impl HeldWrite {
    /// Copies a write; `None` if the write is too large or memory is exhausted.
    fn copy(sector: u64, from: &[u8]) -> Option<Self> {
        let mut data = Vec::new();
        if from.len() > MAX_HELD || data.try_reserve_exact(from.len()).is_err() {
            return None;
        }
        data.extend_from_slice(from);
        Some(Self { sector, data })
    }

    /// Whether the `len` bytes from `sector` on overlap this write.
    #[inline(never)]
    fn overlaps(&self, sector: u64, len: usize, sector_size: usize) -> bool {
        let end = |first: u64, len: usize| first.saturating_add((len / sector_size.max(1)) as u64);
        self.sector < end(sector, len) && sector < end(self.sector, self.data.len())
    }
}

/// State of a barrier; the diagram in the module documentation shows the transitions.
#[derive(Debug)]
enum State {
    /// No flush is in progress.
    Idle,
    /// The device is flushing.
    Flushing {
        /// No write may pass before the flush completes.
        ordered: bool,
        /// Write to submit after the flush.
        held: Option<HeldWrite>,
        /// Another flush was requested; it comes last.
        again: bool,
    },
    /// The device is writing the held block.
    Writing { held: HeldWrite, again: bool },
}

/// Request that failed after its success was reported to the file system.
#[derive(Debug)]
enum Loss {
    /// Nothing.
    None,
    /// A flush: the next write or flush fails, or the device flushes once more.
    Flush(BlockError),
    /// A held write, with the flush before it. No later write may reach the disk, and the block
    /// can't be read.
    Write(HeldWrite, BlockError),
    /// As `Write`, after that flush: the device refused the write itself.
    Refused(HeldWrite, BlockError),
}

/// Write barrier of one device; see the module documentation.
#[derive(Debug)]
pub struct Barrier {
    state: State,
    loss: Loss,
}

impl Default for Barrier {
    fn default() -> Self {
        Self::new()
    }
}

impl Barrier {
    /// Creates a barrier with no flush in progress and no loss.
    pub const fn new() -> Self {
        Self {
            state: State::Idle,
            loss: Loss::None,
        }
    }

    /// Whether a flush is in progress.
    pub const fn is_pending(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Whether a write that the file system relies on was lost: all later writes fail, unless
    /// [`repeat`](Self::repeat) succeeds.
    pub const fn is_lost(&self) -> bool {
        matches!(self.loss, Loss::Write(..) | Loss::Refused(..))
    }

    /// Whether [`repeat`](Self::repeat) is possible.
    pub const fn is_refused(&self) -> bool {
        matches!((&self.state, &self.loss), (State::Idle, Loss::Refused(..)))
    }

    /// Repeats the write that the device refused, and the flush after it: the device gets
    /// [`held`](Self::held), and [`completed`](Self::completed) follows. `false` if there is none.
    pub fn repeat(&mut self) -> bool {
        if !self.is_refused() {
            return false;
        }
        if let Loss::Refused(held, _) = core::mem::replace(&mut self.loss, Loss::None) {
            self.state = State::Writing { held, again: true };
        }
        true
    }

    /// Error that keeps earlier writes from being durable, if there is one.
    pub const fn loss(&self) -> Option<BlockError> {
        match self.loss {
            Loss::None => None,
            Loss::Flush(error) | Loss::Write(_, error) | Loss::Refused(_, error) => Some(error),
        }
    }

    /// Whether the device has to flush once more before anything is durable. Clears the failure: if
    /// the new flush fails at once, the caller reports it with [`fail`](Self::fail).
    pub fn take_failed_flush(&mut self) -> bool {
        let failed = matches!((&self.state, &self.loss), (State::Idle, Loss::Flush(_)));
        if failed {
            self.loss = Loss::None;
        }
        failed
    }

    /// Records the failure of a flush whose success was already reported to the file system.
    pub fn fail(&mut self, error: BlockError) {
        self.loss = Loss::Flush(error);
    }

    /// Records that the device has accepted a flush: [`completed`](Self::completed) follows.
    pub fn begin(&mut self, ordered: bool) {
        self.state = State::Flushing {
            ordered,
            held: None,
            again: false,
        };
    }

    /// Decides about an access. `own` is set for the operation that began the flush, whose write is
    /// therefore the commit block of its transaction.
    pub fn admit(&mut self, access: Access<'_>, own: bool, sector_size: usize) -> Admission {
        let changes = !matches!(access, Access::Read(..));
        if let Loss::Write(lost, error) | Loss::Refused(lost, error) = &self.loss {
            let fails = match access {
                Access::Read(sector, len) => lost.overlaps(sector, len, sector_size),
                Access::Write(_) | Access::Flush => true,
            };
            if fails {
                return Admission::Fail(*error);
            }
        }
        let admission = self.order(access, own, sector_size);
        match self.loss {
            Loss::Flush(error) if changes && admission == Admission::Pass => {
                self.loss = Loss::None;
                Admission::Fail(error)
            }
            _ => admission,
        }
    }

    /// Decides about a write or flush; a part of [`admit`](Self::admit).
    fn order(&mut self, access: Access<'_>, own: bool, sector_size: usize) -> Admission {
        let wait_if = |wait| {
            if wait {
                Admission::Wait
            } else {
                Admission::Pass
            }
        };
        match (&mut self.state, access) {
            (State::Idle, _) => Admission::Pass,
            (State::Flushing { held, .. }, Access::Read(sector, len)) => wait_if(
                held.as_ref()
                    .is_some_and(|held| held.overlaps(sector, len, sector_size)),
            ),
            (State::Writing { held, .. }, Access::Read(sector, len)) => {
                wait_if(held.overlaps(sector, len, sector_size))
            }
            (State::Flushing { ordered: false, .. }, Access::Write(_)) => Admission::Pass,
            (State::Flushing { again, .. }, Access::Flush) if own && !*again => {
                *again = true;
                Admission::Held
            }
            (
                State::Flushing {
                    held: held @ None,
                    again: false,
                    ..
                },
                Access::Write([(sector, data)]),
            ) if own => {
                *held = HeldWrite::copy(*sector, data);
                match held {
                    Some(_) => Admission::Held,
                    None => Admission::Wait,
                }
            }
            _ => Admission::Wait,
        }
    }

    /// Records the completion of the flush, or of the write of [`Next::Write`], that the device got
    /// last.
    pub fn completed(&mut self, result: Result<(), BlockError>) -> Next {
        let state = core::mem::replace(&mut self.state, State::Idle);
        match (state, result) {
            (State::Idle, _) => Next::Done,
            (State::Flushing { held: None, .. }, Err(error)) => {
                self.loss = Loss::Flush(error);
                Next::Done
            }
            (
                State::Flushing {
                    held: Some(held), ..
                },
                Err(error),
            ) => {
                self.loss = Loss::Write(held, error);
                Next::Done
            }
            (State::Writing { held, .. }, Err(error)) => {
                self.loss = Loss::Refused(held, error);
                Next::Done
            }
            (
                State::Flushing {
                    held: Some(held),
                    again,
                    ..
                },
                Ok(()),
            ) => {
                self.state = State::Writing { held, again };
                Next::Write
            }
            (State::Flushing { again: true, .. } | State::Writing { again: true, .. }, Ok(())) => {
                self.begin(true);
                Next::Flush
            }
            (State::Flushing { .. } | State::Writing { .. }, Ok(())) => Next::Done,
        }
    }

    /// First sector and data of the write that [`Next::Write`] announces; they don't move until the
    /// write completes.
    pub fn held(&self) -> Option<(u64, &[u8])> {
        match &self.state {
            State::Writing { held, .. } => Some((held.sector, &held.data)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IO: BlockError = BlockError::Io;
    const BYTES: [u8; 4608] = [5; 4608];

    /// Decision about an access with 512-byte sectors: passes, held, waits, fails.
    fn admitted(barrier: &mut Barrier, own: bool, access: Access<'_>) -> char {
        match barrier.admit(access, own, 512) {
            Admission::Pass => 'p',
            Admission::Held => 'h',
            Admission::Wait => 'w',
            Admission::Fail(_) => 'f',
        }
    }

    fn read(sector: u64) -> Access<'static> {
        Access::Read(sector, 512)
    }

    /// Writes to sector 10.
    fn write(bytes: &[u8], check: impl FnOnce(Access<'_>)) {
        check(Access::Write(&[(10, bytes)]));
    }

    fn flushing(ordered: bool) -> Barrier {
        let mut barrier = Barrier::new();
        barrier.begin(ordered);
        barrier
    }

    /// Creates a barrier that holds a write of 4096 bytes to sector 10.
    fn holding() -> Barrier {
        let mut barrier = flushing(true);
        write(&BYTES[..4096], |access| {
            assert_eq!(admitted(&mut barrier, true, access), 'h');
        });
        barrier
    }

    #[test]
    fn a_read_of_held_sectors_is_distinguished() {
        let held = HeldWrite {
            sector: 10,
            data: alloc::vec![0; 4096],
        };
        for (first, sectors, expected) in [
            (2, 8, false),
            (2, 9, true),
            (9, 1, false),
            (10, 1, true),
            (12, 2, true),
            (17, 1, true),
            (18, 1, false),
            (18, 100, false),
            (0, 64, true),
            (u64::MAX, 8, false),
        ] {
            let found = held.overlaps(first, sectors * 512, 512);
            assert_eq!(found, expected, "{sectors} from {first}");
        }
        // The same bytes are one sector of a disk that has larger ones.
        let found = [9, 10, 11].map(|first| held.overlaps(first, 4096, 4096));
        assert_eq!(found, [false, true, false]);
    }

    /// A commit is one small write and the flush after it: the barrier holds both, and nothing else
    /// overtakes the flush.
    #[test]
    fn one_write_and_one_flush_are_held_behind_an_ordered_flush() {
        let mut barrier = flushing(true);
        let mut bytes = [5; 4096];
        assert_eq!(admitted(&mut barrier, true, read(10)), 'p');
        write(&bytes, |access| {
            assert_eq!(admitted(&mut barrier, true, access), 'h');
        });
        // It is a copy.
        bytes.fill(6);
        assert_eq!(admitted(&mut barrier, true, read(9)), 'p');
        assert_eq!(admitted(&mut barrier, true, read(10)), 'w');
        write(&bytes, |access| {
            assert_eq!(admitted(&mut barrier, true, access), 'w', "one is held");
        });
        assert_eq!(admitted(&mut barrier, true, Access::Flush), 'h');
        assert_eq!(admitted(&mut barrier, true, Access::Flush), 'w');
        assert_eq!(barrier.completed(Ok(())), Next::Write);
        assert_eq!(barrier.held(), Some((10, &[5; 4096][..])));
        for access in [read(10), Access::Flush] {
            assert_eq!(admitted(&mut barrier, true, access), 'w');
        }
        assert_eq!(barrier.completed(Ok(())), Next::Flush);
        assert_eq!(admitted(&mut barrier, true, read(10)), 'p');
        assert_eq!(barrier.completed(Ok(())), Next::Done);
        assert!(!barrier.is_pending() && barrier.loss().is_none());
    }

    #[test]
    fn a_write_without_a_flush_after_it_ends_the_barrier() {
        let mut barrier = holding();
        assert_eq!(barrier.completed(Ok(())), Next::Write);
        assert_eq!(barrier.completed(Ok(())), Next::Done);
        assert!(!barrier.is_pending());
    }

    #[test]
    fn what_is_large_or_of_others_waits_behind_an_ordered_flush() {
        let mut barrier = flushing(true);
        for (own, len) in [(true, 4608), (false, 512)] {
            write(&BYTES[..len], |access| {
                assert_eq!(admitted(&mut barrier, own, access), 'w');
            });
        }
        let several = [(3, &BYTES[..512]), (8, &BYTES[..512])];
        for writes in [&several[..], &several[..0]] {
            assert_eq!(admitted(&mut barrier, true, Access::Write(writes)), 'w');
        }
        assert_eq!(admitted(&mut barrier, false, Access::Flush), 'w');
        assert_eq!(admitted(&mut barrier, false, read(10)), 'p');
        // The barrier holds a flush without a write too, but no write after the flush.
        assert_eq!(admitted(&mut barrier, true, Access::Flush), 'h');
        write(&BYTES[..512], |access| {
            assert_eq!(admitted(&mut barrier, true, access), 'w');
        });
        assert_eq!(barrier.completed(Ok(())), Next::Flush);
    }

    #[test]
    fn writes_pass_where_the_order_does_not_count() {
        for own in [true, false] {
            let mut barrier = flushing(false);
            let two = [(3, &BYTES[..512]), (8, &BYTES[..512])];
            assert_eq!(admitted(&mut barrier, own, Access::Write(&two)), 'p');
            write(&BYTES[..512], |access| {
                assert_eq!(admitted(&mut barrier, own, access), 'p');
            });
            let flush = admitted(&mut barrier, own, Access::Flush);
            assert_eq!(flush, if own { 'h' } else { 'w' });
        }
    }

    /// The next write or flush reports a failed flush, once; or the device flushes again.
    #[test]
    fn a_failed_flush_is_reported_once() {
        for again in [false, true] {
            let mut barrier = flushing(true);
            assert_eq!(barrier.completed(Err(IO)), Next::Done);
            assert!(barrier.loss() == Some(IO) && !barrier.is_lost());
            assert_eq!(admitted(&mut barrier, true, read(10)), 'p');
            if again {
                assert!(barrier.take_failed_flush() && !barrier.take_failed_flush());
                barrier.fail(BlockError::ReadOnly);
                assert_eq!(barrier.loss(), Some(BlockError::ReadOnly));
            }
            assert_eq!(admitted(&mut barrier, true, Access::Flush), 'f');
            assert_eq!(admitted(&mut barrier, true, Access::Flush), 'p');
        }
    }

    /// The file system relies on the held write: all later writes fail, and the block can't be
    /// read. Without the flush before it, it can't be repeated either.
    #[test]
    fn a_lost_write_ends_all_writing() {
        for flushed in [false, true] {
            let mut barrier = holding();
            if flushed {
                assert_eq!(barrier.completed(Ok(())), Next::Write);
            }
            assert_eq!(barrier.completed(Err(IO)), Next::Done);
            assert!(barrier.is_lost() && !barrier.take_failed_flush());
            assert_eq!(barrier.is_refused(), flushed);
            assert!(flushed || !barrier.repeat());
            for _ in 0..2 {
                assert_eq!(barrier.loss(), Some(IO));
                assert_eq!(admitted(&mut barrier, true, Access::Flush), 'f');
                write(&BYTES[..512], |access| {
                    assert_eq!(admitted(&mut barrier, true, access), 'f');
                });
                let reads = [9, 10, 17, 18].map(|n| admitted(&mut barrier, true, read(n)));
                assert_eq!(reads, ['p', 'f', 'f', 'p']);
            }
        }
    }

    /// A device that is full at the held write: the same block is written again, and flushed, while
    /// other writes wait.
    #[test]
    fn a_refused_write_is_repeated_until_the_device_takes_it() {
        let mut barrier = holding();
        assert_eq!(barrier.completed(Ok(())), Next::Write);
        for _ in 0..3 {
            assert_eq!(barrier.completed(Err(BlockError::NoSpace)), Next::Done);
            assert_eq!(barrier.loss(), Some(BlockError::NoSpace));
            write(&BYTES[..512], |access| {
                let refused = barrier.admit(access, true, 512);
                assert_eq!(refused, Admission::Fail(BlockError::NoSpace));
            });
            assert!(barrier.repeat() && !barrier.repeat() && !barrier.is_lost());
            assert_eq!(barrier.held(), Some((10, &[5; 4096][..])));
            write(&BYTES[..512], |access| {
                assert_eq!(admitted(&mut barrier, true, access), 'w');
            });
            assert_eq!(admitted(&mut barrier, true, read(10)), 'w');
        }
        assert_eq!(barrier.completed(Ok(())), Next::Flush);
        assert_eq!(barrier.completed(Ok(())), Next::Done);
        assert!(!barrier.is_pending() && barrier.loss().is_none() && !barrier.repeat());
        assert_eq!(admitted(&mut barrier, true, Access::Flush), 'p');
    }
}
