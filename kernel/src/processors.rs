//! The other processors: started on demand, they halt until they get work, and stop before the
//! machine ends.
//!
//! A program that never calls [`start`] contains nothing of this, and its machine's other
//! processors stay as they were. Started ones run with interrupts disabled but for their halts,
//! each on stacks of its own; no thread runs there yet, and no interrupt of a device goes there.
//!
//! Before the end, or the report of a crash, the processor that ends the machine stops all others
//! for good, wherever they are: nothing of them comes after its last line.

use crate::arch::counter::counter;
use crate::arch::cpu;
use crate::arch::gates::Frame;
use crate::arch::interrupts::{disable, enable, enable_and_halt, without_interrupts};
use crate::arch::local::{self, Local};
use crate::arch::mmu;
use crate::arch::processor::Processor;
use crate::board::processors::{self as machine, Others};
use crate::power::{self, Other};
use crate::{cell, clock, console, memory, time};
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

/// Maximum number of processors.
pub const MAX: usize = 64;
/// How long the next processor has to come, in nanoseconds; and where there may be none.
const START_NS: u64 = 10_000_000_000;
const UNKNOWN_NS: u64 = 1_000_000_000;
/// How long the others have to release the cells that they use before they are stopped there, and
/// how long to stop, in nanoseconds. One that can't be interrupted goes on.
const RELEASE_NS: u64 = 1_000_000_000;
const STOP_NS: u64 = 3_000_000_000;
/// How long after a request to stop the next one comes.
const REPEAT_NS: u64 = 1_000_000;

/// What a processor runs when it is woken.
pub type Work = extern "C" fn();

/// Of the processors by their numbers; null for one that doesn't run. Each stores its own.
static RUNNING: [AtomicPtr<Local>; MAX] = [const { AtomicPtr::new(null_mut()) }; MAX];
/// How many run, without the first.
static OTHERS: AtomicUsize = AtomicUsize::new(0);
/// [`start`] was called. Set once.
static STARTED: AtomicBool = AtomicBool::new(false);
/// The number plus 1 of the processor that has stopped the others; 0 for none. Written once.
static STOPPER: AtomicU8 = AtomicU8::new(0);
/// The others are stopped whatever they use. Set by the same.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

static FUNCTIONS: power::Others = power::Others {
    stop: stop_others,
    visit,
};

/// Number of processors that run, this one included.
pub fn count() -> usize {
    1 + OTHERS.load(Ordering::Acquire)
}

/// The number of the processor that runs, from 0 on: that which booted is the first.
pub fn number() -> usize {
    local::get().number().into()
}

/// Starts processors until `wanted` run, as far as the machine has as many, and at most [`MAX`];
/// returns how many do. Only the first call starts some. It waits until they have come, or for ten
/// seconds after the last one: a host that is busy may run them late. Where their number is unknown
/// it waits for a second only. Those that come later run as well.
pub fn start(wanted: usize) -> usize {
    let wanted = wanted.min(MAX);
    if wanted <= count() || STARTED.swap(true, Ordering::Relaxed) {
        return count();
    }
    let others = machine::find();
    let known = match &others {
        Others::Listed(ids) => Some(ids.len()),
        Others::Unlisted(count) => *count,
    };
    let max = known.unwrap_or(MAX).min(wanted - 1);
    let blocks: Vec<&'static Processor> = (1..=max as u8)
        .map_while(|number| Processor::make(number, memory::kernel_stack))
        .collect();
    if blocks.len() < max {
        console::line(format_args!(
            "too little memory for {} processors: give the machine more (soil run --mem)",
            max + 1
        ));
    }
    if blocks.is_empty() {
        return count();
    }
    // Finds the clock's rate, which one processor does.
    time::monotonic_ns();
    if !time::is_for_all() {
        console::line(format_args!(
            "the host's clock differs between processors: the program runs on one"
        ));
        return count();
    }
    // Where another processor might be the first to map video memory.
    cpu::enable_write_combining();
    begin();
    local::set_obey(obey);
    power::set_others(&FUNCTIONS);
    // SAFETY: `STARTED` admits one call.
    let started = without_interrupts(|| unsafe { machine::start(&others, &blocks, run) });
    let expected = match started {
        Ok(expected) => expected,
        Err(reason) => {
            console::line(format_args!(
                "the other processors can't be started: {reason}; the program runs on one"
            ));
            return count();
        }
    };
    let patience = match known {
        Some(_) => START_NS,
        None => UNKNOWN_NS,
    };
    await_all(expected, patience);
    if known.is_some() && OTHERS.load(Ordering::Relaxed) < blocks.len() {
        console::line(format_args!(
            "{} of {} processors started: the others don't answer within {} s",
            count(),
            blocks.len() + 1,
            START_NS / 1_000_000_000,
        ));
    }
    count()
}

/// Waits until so many others have come, or none for `patience` nanoseconds.
fn await_all(wanted: usize, patience: u64) {
    let mut came = 0;
    let mut until = time::monotonic_ns() + patience;
    while came < wanted && time::monotonic_ns() < until {
        let now = OTHERS.load(Ordering::Acquire);
        if now != came {
            came = now;
            until = time::monotonic_ns() + patience;
        }
        core::hint::spin_loop();
    }
}

/// Enters the processor that runs into the list.
fn begin() {
    let own = local::get();
    own.id.store(machine::id(), Ordering::Relaxed);
    if let Some(place) = RUNNING.get(number()) {
        // Release: its number and ID are there.
        place.store(core::ptr::from_ref(own).cast_mut(), Ordering::Release);
    }
}

/// The processor with this number, if it runs.
fn find(number: usize) -> Option<&'static Local> {
    let place = RUNNING.get(number)?;
    // SAFETY: only `begin` stores there; no block is ever freed.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

/// Runs a processor that was started, for good.
extern "C" fn run() -> ! {
    if !machine::set_up_other() {
        power::park();
    }
    begin();
    OTHERS.fetch_add(1, Ordering::Release);
    let own = local::get();
    loop {
        // Acquire: what the work needs was written before.
        let work = own.work.swap(null_mut(), Ordering::Acquire);
        if work.is_null() {
            // An interrupt since the exchange is pending, and ends the halt at once.
            enable_and_halt();
            disable();
        } else {
            // Pages that were taken away meanwhile.
            mmu::flush_all();
            // SAFETY: only `wake` stores there, a function of this type.
            let work = unsafe { core::mem::transmute::<*mut (), Work>(work) };
            work();
        }
    }
}

/// Has the processor with this number run `work`, with interrupts disabled, once it has ended what
/// it does; false if it doesn't run, is the caller's, or has work that it hasn't begun.
pub fn wake(number: usize, work: Work) -> bool {
    let Some(other) = find(number).filter(|other| !core::ptr::eq(*other, local::get())) else {
        return false;
    };
    let place = &other.work;
    // Release: pairs with the exchange in `run`.
    let given = place.compare_exchange(
        null_mut(),
        work as *mut (),
        Ordering::Release,
        Ordering::Relaxed,
    );
    if given.is_ok() {
        without_interrupts(|| machine::wake(other.id.load(Ordering::Relaxed)));
    }
    given.is_ok()
}

/// Stops all other processors for good. Doesn't return on a processor that another one is about to
/// stop.
fn stop_others() {
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
            power::park();
        }
    }
    let running = || {
        let others = (0..MAX).filter_map(find);
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
            running().for_each(|other| machine::stop(other.id.load(Ordering::Relaxed)));
        }
        core::hint::spin_loop();
    }
}

/// Stops this processor for good if another one wants that; `frame` has its registers. Returns true
/// where that has to wait until this processor has released its cells, which those need that end
/// the machine.
fn obey(frame: &Frame) -> bool {
    let stopper = STOPPER.load(Ordering::Acquire);
    if stopper == 0 || stopper == local::owner() {
        return false;
    }
    if cell::any_in_use() && !AT_ONCE.load(Ordering::Acquire) {
        return true;
    }
    let frame = core::ptr::from_ref(frame).cast_mut();
    local::get().stopped.store(frame.cast(), Ordering::Release);
    power::park()
}

/// Calls `report` with each other processor that was started. Returns the number of the caller's.
fn visit(report: power::Visitor<'_>) -> u8 {
    let own = local::get();
    for other in (0..MAX).filter_map(find) {
        if !core::ptr::eq(other, own) {
            let stopped = other.stopped.load(Ordering::Acquire);
            let state = if stopped == Local::ENDS {
                Other::Ends
            } else {
                // SAFETY: of `obey`, whose caller's stack stays as it is.
                let frame = unsafe { stopped.cast::<Frame>().as_ref() };
                frame.map_or(Other::Runs, Other::Stopped)
            };
            report(other.number(), state);
        }
    }
    own.number()
}

/// For programs that are written for it: see [`start`]. Interrupts are enabled from then on, so
/// that any processor can be stopped; not in a system call.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn soil_processors_start(wanted: usize) -> usize {
    let running = start(wanted);
    enable();
    running
}

/// See [`number`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn soil_processors_number() -> usize {
    number()
}

/// See [`wake`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn soil_processors_wake(number: usize, work: Work) -> bool {
    wake(number, work)
}
