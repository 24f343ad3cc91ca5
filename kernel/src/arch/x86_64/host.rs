//! What KVM tells of the virtual processors, and does for those that it doesn't run.
//!
//! A host with more to run than processors takes these from virtual ones for milliseconds. In a
//! record for each of them KVM says whether it runs, and adds up the time that it was taken; and it
//! flushes the translations of one that doesn't run, which nothing needs to wait for then.
//!
//! There are no hypercalls. One that has KVM run the processor which another one waits for would
//! add little: KVM does that, too, for a virtual processor that pauses in a loop.
//!
//! Source: Linux's Documentation/virt/kvm/x86/cpuid.rst and msr.rst.

use super::cpu::{self, Answer};
use crate::arch::local::{self, MAX};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use sync::atomic::AtomicU8;
use x86_64::registers::model_specific::Msr;

/// Features, in EAX: the records, and flushes by them.
const STEAL_TIME: u32 = 1 << 5;
const FLUSHES: u32 = 1 << 9;
/// A hint, in EDX: no virtual processor is preempted.
const REALTIME: u32 = 1;
const KVM_STEAL_TIME: Msr = Msr::new(0x4b56_4d03);

/// Whether the host runs a processor. It swaps the byte for 0 before it runs the processor again,
/// and flushes all of its translations first where that finds [`Preempted::FLUSH`].
#[repr(transparent)]
pub struct Preempted(AtomicU8);

impl Preempted {
    /// The host doesn't run the processor.
    pub const PREEMPTED: u8 = 1;
    /// It flushes before it does.
    pub const FLUSH: u8 = 2;

    /// The processor runs.
    #[expect(clippy::new_without_default, reason = "a constant")]
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// As [`flush_later`].
    pub fn flush_later(&self) -> bool {
        let state = self.0.load(Ordering::Relaxed);
        if state & Self::PREEMPTED == 0 {
            return false;
        }
        let new = state | Self::FLUSH;
        // Release: what the processor translates after the flush is by the changed tables.
        // Acquire: what it did by old translations comes before what the caller does next.
        let set = self
            .0
            .compare_exchange(state, new, Ordering::AcqRel, Ordering::Relaxed);
        set.is_ok()
    }

    /// For a model of the host.
    #[cfg(any(test, loom))]
    pub fn byte(&self) -> &AtomicU8 {
        &self.0
    }
}

/// `struct kvm_steal_time`. Written by the host.
#[repr(C, align(64))]
struct Record {
    taken_ns: AtomicU64,
    version: AtomicU32,
    flags: AtomicU32,
    preempted: Preempted,
}

/// Of each processor by its number. All zeros while the host doesn't write it.
static RECORDS: [Record; MAX] = [const {
    Record {
        taken_ns: AtomicU64::new(0),
        version: AtomicU32::new(0),
        flags: AtomicU32::new(0),
        preempted: Preempted::new(),
    }
}; MAX];

/// Whether a host with these features and hints may preempt processors, and then says so and
/// flushes.
fn preempts(features: u32, hints: u32) -> bool {
    features & (STEAL_TIME | FLUSHES) == STEAL_TIME | FLUSHES && hints & REALTIME == 0
}

/// Lets the host write the record of the processor that runs, if it may preempt it. Reads CPUID:
/// exits from the virtual machine.
pub fn begin() {
    let features = cpu::kvm_features();
    if !preempts(features.eax, features.edx) {
        return;
    }
    if let Some(record) = RECORDS.get(usize::from(local::get().number())) {
        let mut register = KVM_STEAL_TIME;
        // SAFETY: KVM has the MSR; the record is static, at its physical address, and made of
        // atomics.
        unsafe { register.write((&raw const *record) as u64 | 1) };
    }
}

/// Has the host flush all translations of a processor before it runs that again, after the page
/// tables have changed; false if the processor may be running.
pub fn flush_later(number: usize) -> bool {
    let record = RECORDS.get(number);
    record.is_some_and(|record| record.preempted.flush_later())
}

/// How long the host has kept the processor that runs from running, in nanoseconds, as far as it
/// says.
pub fn taken_ns() -> u64 {
    let record = RECORDS.get(usize::from(local::get().number()));
    record.map_or(0, |record| record.taken_ns.load(Ordering::Relaxed))
}

/// Whether the host promises to run the virtual processors all the time. Reads CPUID once.
pub fn is_dedicated() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| cpu::kvm_features().edx & REALTIME != 0)
}

#[cfg(test)]
mod tests {
    use super::{FLUSHES, Preempted, REALTIME, Record, STEAL_TIME, preempts};
    use core::mem::{offset_of, size_of};
    use sync::atomic::Ordering;

    #[test]
    fn the_record_is_laid_out_as_the_host_writes_it() {
        assert_eq!(size_of::<Record>(), 64);
        assert_eq!(offset_of!(Record, taken_ns), 0);
        assert_eq!(offset_of!(Record, preempted), 16);
    }

    #[test]
    fn the_host_flushes_for_those_that_it_does_not_run() {
        let state = Preempted::new();
        let after = |byte: u8| {
            state.byte().store(byte, Ordering::Relaxed);
            (state.flush_later(), state.byte().load(Ordering::Relaxed))
        };
        assert_eq!(after(0), (false, 0));
        let (preempted, both) = (Preempted::PREEMPTED, 3);
        assert_eq!(after(preempted), (true, both));
        assert_eq!(after(both), (true, both));
        // Never by the host alone.
        assert_eq!(after(Preempted::FLUSH), (false, Preempted::FLUSH));
    }

    #[test]
    fn both_features_are_needed_and_no_promise() {
        assert!(preempts(STEAL_TIME | FLUSHES | 1, 0));
        for (features, hints) in [
            (STEAL_TIME, 0),
            (FLUSHES, 0),
            (STEAL_TIME | FLUSHES, REALTIME),
        ] {
            assert!(!preempts(features, hints), "{features:#x}, {hints:#x}");
        }
    }
}
