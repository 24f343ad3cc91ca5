//! The state that each processor has for itself: its own, and those of all.

#[cfg(loom)]
pub use super::model::{cells, enter, get, leave, of, owner};
pub use super::per_cpu::{Local, MAX, Run, is_smp, set_smp};
pub use super::processor::set_up;
#[cfg(not(any(test, loom)))]
pub use super::processor::{cells, enter, get, leave, owner};
#[cfg(all(test, not(loom)))]
pub use host::{cells, enter, get, leave, owner};

use super::gates::Frame;
use super::interrupts;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Stops the processor for good, with interrupts disabled.
pub extern "C" fn park() -> ! {
    loop {
        interrupts::disable();
        interrupts::halt();
    }
}

/// The registers with which a processor was stopped for good.
pub fn frame(local: &Local) -> Option<&Frame> {
    // Acquire: the registers were stored before.
    match local.stopped.load(Ordering::Acquire) {
        Local::ENDS => None,
        // SAFETY: null, or a frame on a stack that stays as it is.
        frame => unsafe { frame.cast::<Frame>().as_ref() },
    }
}

/// The processors that the program has asked for, before it has threads on several.
pub static AFFINITY: AtomicU64 = AtomicU64::new(u64::MAX);

/// Of the processors by their numbers; null for one that doesn't run. Each stores its own.
static RUNNING: [AtomicPtr<Local>; MAX] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX];

/// Enters the processor that runs into the list.
pub fn publish() {
    let own = get();
    if let Some(place) = RUNNING.get(usize::from(own.number())) {
        // Release: what it is known by is there.
        place.store(core::ptr::from_ref(own).cast_mut(), Ordering::Release);
    }
}

/// The processor with this number, once it is in the list.
#[cfg(not(loom))]
pub fn of(number: usize) -> Option<&'static Local> {
    let place = RUNNING.get(number)?;
    // SAFETY: only `publish` stores there; no block is ever freed.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

/// All processors in the list: none before the program starts others.
pub fn all() -> impl Iterator<Item = &'static Local> {
    (0..MAX).filter_map(of)
}

/// Tests run as a process, whose threads stand for processors.
#[cfg(all(test, not(loom)))]
mod host {
    use super::{Local, Ordering};
    use std::sync::atomic::AtomicU8;

    /// The number of the last thread, modulo what processors can have.
    static LAST: AtomicU8 = AtomicU8::new(0);

    std::thread_local! {
        static LOCAL: &'static Local = {
            let local = Box::leak(Box::new(Local::new()));
            local.set_number(LAST.fetch_add(1, Ordering::Relaxed) % 64);
            local
        };
    }

    /// As on a machine.
    pub fn get() -> &'static Local {
        LOCAL.with(|local| *local)
    }

    /// As on a machine.
    pub fn enter() {
        get().cells.fetch_add(1, Ordering::Relaxed);
    }

    /// As on a machine.
    pub fn leave() {
        get().cells.fetch_sub(1, Ordering::Relaxed);
    }

    /// As on a machine.
    pub fn cells() -> u32 {
        get().cells.load(Ordering::Relaxed)
    }

    /// As on a machine.
    pub fn owner() -> u8 {
        get().owner.load(Ordering::Relaxed)
    }
}
