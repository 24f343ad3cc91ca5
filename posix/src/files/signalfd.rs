//! signalfd(2): reads pending signals.

use crate::blocking::lent::Lent;
use crate::blocking::readiness::{self, Events};
use crate::blocking::signals::{self, Set, Taken};
use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::Stat;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering};
use resources::Runtime;

/// Bytes of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// The signals that a descriptor reads.
pub struct Signals {
    set: AtomicU64,
    /// Number of reads.
    reads: AtomicU64,
}

impl Signals {
    /// For the signals of `set`.
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

    fn get(&self) -> Set {
        self.set.load(Ordering::Relaxed)
    }

    /// Takes as many signals as there is room for; `None` if none is pending.
    fn take(&self, into: &mut [u8]) -> Result<Option<usize>> {
        if into.len() < RECORD {
            return Err(libc::EINVAL);
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut len = 0;
        for record in into.chunks_exact_mut(RECORD) {
            let Some(taken) = signals::take(self.get()) else {
                break;
            };
            record.fill(0);
            let Taken { code, sender, .. } = taken;
            let value = [taken.value as u32, (taken.value >> 32) as u32];
            // Word offsets: `ssi_signo`, `ssi_code`, then those of a timer (`ssi_tid`,
            // `ssi_overrun`, `ssi_int`, `ssi_ptr`) or of another sender (`ssi_pid`, `ssi_uid`).
            let mut words = [0; 14];
            (words[0], words[2]) = (taken.signal as u32, code);
            if code == libc::SI_TIMER as u32 {
                [words[6], words[8]] = sender;
                (words[11], words[12], words[13]) = (value[0], value[0], value[1]);
            } else {
                [words[3], words[4]] = sender;
            }
            for (into, word) in record.chunks_exact_mut(4).zip(words) {
                into.copy_from_slice(&word.to_le_bytes());
            }
            len += RECORD;
        }
        Ok(Some(len).filter(|len| *len > 0))
    }
}

impl File for Signals {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::special(0, 0o600, 1))
    }

    fn name(&self) -> String {
        "anon_inode:[signalfd]".into()
    }

    fn read(&self, into: &mut [u8], _: Offset, flags: i32) -> Result<usize> {
        readiness::retry(flags, Lent::to_write(into), |_| {
            readiness::await_signals(self.get());
            self.take(into)
        })
    }

    fn has_more(&self) -> bool {
        false
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    fn events(&self, _: &mut Runtime) -> Events {
        readiness::await_signals(self.get());
        Events::when(signals::is_pending(self.get()), Events::IN)
    }

    /// Every read changes it: a signal pending afterwards is new.
    fn changes(&self, _: &mut Runtime) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}
