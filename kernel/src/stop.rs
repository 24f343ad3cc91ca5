//! The end of the machine on several processors: the one that ends it, or reports a crash, first
//! stops all others for good, wherever they are. Nothing of them comes after its last line.

use crate::arch::counter::counter;
use crate::arch::gates::Frame;
use crate::arch::interrupts::disable;
use crate::arch::ipi;
use crate::arch::local::{self, Local, park};
use crate::{cell, clock};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How long the others have to release the cells that they use before they are stopped there, and
/// how long to stop, in nanoseconds. One that can't be interrupted goes on.
const RELEASE_NS: u64 = 1_000_000_000;
const STOP_NS: u64 = 3_000_000_000;
/// How long after a request to stop the next one comes.
const REPEAT_NS: u64 = 1_000_000;

/// The number plus 1 of the processor that has stopped the others; 0 for none. Written once.
static STOPPER: AtomicU8 = AtomicU8::new(0);
/// The others are stopped whatever they use. Set by the same.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// Stops all other processors for good, if there are others. Doesn't return on a processor that
/// another one is about to stop. From any context; interrupts stay disabled.
pub fn others() {
    if !local::is_smp() {
        return;
    }
    disable();
    let own = local::get();
    let owner = local::owner();
    match STOPPER.compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => {}
        Err(stopper) if stopper == owner => return,
        Err(_) => {
            if cell::any_in_use() {
                cell::abandon();
            }
            // Release: others see that cells are abandoned.
            own.stopped.store(Local::ENDS, Ordering::Release);
            park();
        }
    }
    let running = || {
        let others = local::all();
        others.filter(|other| {
            !core::ptr::eq(*other, own) && other.stopped.load(Ordering::Acquire).is_null()
        })
    };
    // By the counter: corrections of the clock use a cell.
    let begin = counter();
    let mut next = begin;
    while running().next().is_some() {
        let now = counter();
        if now >= next {
            next = now + clock::ticks(REPEAT_NS);
            let waited = now - begin;
            if waited >= clock::ticks(STOP_NS) {
                break;
            }
            if waited >= clock::ticks(RELEASE_NS) {
                AT_ONCE.store(true, Ordering::Release);
                cell::abandon();
            }
            running().for_each(|other| ipi::stop(other.id.load(Ordering::Relaxed)));
        }
        core::hint::spin_loop();
    }
}

/// Stops this processor for good if another one wants that; `frame` has its registers. Returns true
/// where that has to wait until this processor has released its cells, which those need that end
/// the machine: the request comes again.
pub fn obey(frame: &Frame) -> bool {
    let stopper = STOPPER.load(Ordering::Acquire);
    if stopper == 0 || stopper == local::owner() {
        return false;
    }
    if cell::any_in_use() && !AT_ONCE.load(Ordering::Acquire) {
        return true;
    }
    let frame = core::ptr::from_ref(frame).cast_mut();
    local::get().stopped.store(frame.cast(), Ordering::Release);
    park()
}
