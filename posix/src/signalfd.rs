//! signalfd(2): pending signals that are read.

use crate::errors::Result;
use crate::readiness::Events;
use crate::signal::{self, Set};
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// The signals that a descriptor reads.
pub struct Signals {
    set: AtomicU64,
    /// Number of reads.
    reads: AtomicU64,
}

impl Signals {
    /// Those of `set`.
    pub const fn new(set: Set) -> Signals {
        Signals {
            set: AtomicU64::new(set),
            reads: AtomicU64::new(0),
        }
    }

    /// Changes the set.
    pub fn set(&self, set: Set) {
        self.set.store(set, Ordering::Relaxed);
    }

    /// The set.
    pub fn get(&self) -> Set {
        self.set.load(Ordering::Relaxed)
    }

    /// The events that it has.
    pub fn events(&self) -> Events {
        Events::when(signal::is_pending(self.get()), Events::IN)
    }

    /// A number that every read changes: what is pending afterwards is news.
    pub fn changes(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// `read`: takes as many signals as there is room for; `None` if none is pending.
    pub fn read(&self, into: &mut [u8]) -> Result<Option<usize>> {
        if into.len() < RECORD {
            return Err(libc::EINVAL);
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut len = 0;
        for record in into.chunks_exact_mut(RECORD) {
            let Some((signal, code)) = signal::take(self.get()) else {
                break;
            };
            record.fill(0);
            // `ssi_signo`, `ssi_errno`, `ssi_code`, `ssi_pid`, `ssi_uid`.
            let words = [signal as u32, 0, code as u32, 1, 0];
            for (into, word) in record.chunks_exact_mut(4).zip(words) {
                into.copy_from_slice(&word.to_le_bytes());
            }
            len += RECORD;
        }
        Ok(Some(len).filter(|len| *len > 0))
    }
}
