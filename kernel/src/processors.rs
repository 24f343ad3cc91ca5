//! The other processors: started on demand, they run the program's threads.
//!
//! A program that never calls [`start`] pays for the load of a flag, and its machine's other
//! processors stay as they were. Started ones begin with interrupts disabled but for their halts,
//! each on stacks of its own, until the program has threads. No interrupt of a device goes there.
//!
//! The first `Domain.spawn` starts them, a thread that asks for some of them, or the first thread
//! of a program that is linked so.

use crate::arch::interrupts::{disable, enable_and_halt, without_interrupts};
use crate::arch::local::{self, MAX, park};
use crate::arch::processor::Processor;
use crate::arch::{cpu, host};
use crate::board::processors as machine;
use crate::errno::Errno;
use crate::smp::{self, Set};
use crate::threads::affinity;
use crate::{console, memory, signals, threads, time, traps};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How long the next processor has to come, in nanoseconds.
const START_NS: u64 = 10_000_000_000;

/// How many run, without the first.
static SECONDARY: AtomicUsize = AtomicUsize::new(0);
/// [`start`] was called. Set once.
static STARTED: AtomicBool = AtomicBool::new(false);
/// The next thread starts the processors. Set once.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Number of processors that run, this one included.
pub fn count() -> usize {
    1 + SECONDARY.load(Ordering::Acquire)
}

/// The number of the processor that runs, from 0 on: that which booted is the first.
pub fn number() -> usize {
    local::get().number().into()
}

/// Starts the machine's processors, at most [`MAX`]. Only the first call starts some. It waits
/// until they have come, or for ten seconds after the last one: a host that is busy may run them
/// late. Those that come later run as well.
fn start() {
    if available() == 1 || STARTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let others = machine::find();
    let max = others.count().min(MAX - 1);
    let blocks: Vec<&'static Processor> = (1..=max as u8)
        .map_while(|number| Processor::make(number, memory::kernel_stack, run))
        .collect();
    if blocks.len() < max {
        console::line(format_args!(
            "too little memory for {} processors: give the machine more (soil run --mem)",
            max + 1
        ));
    }
    if blocks.is_empty() {
        return;
    }
    // Finds the clock's rate, which one processor does.
    time::monotonic_ns();
    // Where another processor might be the first to map video memory.
    cpu::enable_write_combining();
    begin();
    let started = without_interrupts(|| {
        smp::begin();
        threads::begin_smp();
        // SAFETY: `STARTED` admits one call.
        unsafe { machine::start(&others, &blocks) }
    });
    let expected = match started {
        Ok(expected) => expected,
        Err(reason) => {
            console::line(format_args!(
                "the other processors can't be started: {reason}; the program runs on one"
            ));
            return;
        }
    };
    await_all(expected);
    traps::report_skipped();
    if let Some(why) = time::conclude_comparison() {
        console::line(format_args!(
            "{why}: the time is the latest that any of them has seen, which costs each reading"
        ));
    }
    if SECONDARY.load(Ordering::Relaxed) < blocks.len() {
        console::line(format_args!(
            "{} of {} processors started: the others don't answer within {} s",
            count(),
            blocks.len() + 1,
            START_NS / 1_000_000_000,
        ));
    }
}

/// Waits until so many others have come, or none for [`START_NS`].
fn await_all(wanted: usize) {
    let mut came = 0;
    let mut until = time::monotonic_ns() + START_NS;
    while came < wanted && time::monotonic_ns() < until {
        if time::compares_counters() {
            time::observe_counter();
        }
        let now = SECONDARY.load(Ordering::Acquire);
        if now != came {
            came = now;
            until = time::monotonic_ns() + START_NS;
        }
        smp::relax();
    }
}

/// Enters the processor that runs into the list.
fn begin() {
    host::begin();
    let own = local::get();
    own.id.store(machine::id(), Ordering::Relaxed);
    local::publish();
}

/// Runs a processor that was started, for good.
extern "C" fn run() -> ! {
    if !machine::set_up_secondary() {
        park();
    }
    let own = local::get();
    time::set_up_secondary();
    own.set_started(time::monotonic_ns());
    if time::compares_counters() {
        time::compare_counters();
    }
    begin();
    SECONDARY.fetch_add(1, Ordering::Release);
    loop {
        // Doesn't return once there are threads.
        if threads::has_threads() {
            threads::run_processor();
        }
        // An interrupt since then is pending, and ends the halt at once.
        enable_and_halt();
        disable();
    }
}

unsafe extern "C" {
    /// 1 if the program is linked so that its first thread starts the processors, else 0.
    safe static soil_early_processors: u8;
}

/// The program is about to create a thread: starts the processors if it has domains.
pub fn expect_thread() {
    if (WANTED.load(Ordering::Relaxed) || soil_early_processors != 0)
        && !STARTED.load(Ordering::Relaxed)
    {
        start();
        if threads::has_threads() && threads::number() == signals::PID {
            affinity::restrict_first_thread();
        }
    }
}

/// The processors that may run a thread; 0 is the running one. Before [`start`] a thread may run on
/// all processors that the machine has, the first one on those that it has asked for.
///
/// # Errors
/// ESRCH.
pub fn affinity(thread: u64) -> Result<Set, Errno> {
    if STARTED.load(Ordering::Relaxed) {
        return affinity::get(thread);
    }
    let asked_for = match affinity::number_of(thread)? {
        signals::PID => local::AFFINITY.load(Ordering::Relaxed),
        _ => Set::MAX,
    };
    Ok(all() & asked_for)
}

/// Sets the processors that may run a thread; 0 is the running one. A program that asks for some of
/// the processors has them started: at once if it has threads, else with the next one.
///
/// # Errors
/// ESRCH; EINVAL for a set without a processor; EAGAIN: memory is short.
pub fn set_affinity(thread: u64, wanted: Set) -> Result<(), Errno> {
    if !STARTED.load(Ordering::Relaxed) {
        let asked_for = match wanted & all() {
            0 => return Err(Errno::EINVAL),
            same if same == all() => Set::MAX,
            some => some,
        };
        let number = affinity::number_of(thread)?;
        if number == signals::PID {
            local::AFFINITY.store(asked_for, Ordering::Relaxed);
        }
        if asked_for == Set::MAX {
            return Ok(());
        }
        if !threads::has_threads() {
            WANTED.store(true, Ordering::Relaxed);
            return Ok(());
        }
        start();
    }
    affinity::set(thread, wanted)
}

/// The processors that the machine has.
fn all() -> Set {
    Set::MAX >> (MAX - available())
}

/// The program is about to have so many domains of OCaml: its next thread starts the processors.
/// Says once that the domains outnumber these. OCaml's collections wait until each domain has run.
pub fn expect_domains(domains: usize) {
    static SAID: AtomicBool = AtomicBool::new(false);
    WANTED.store(true, Ordering::Relaxed);
    let processors = available();
    if domains > processors && !SAID.swap(true, Ordering::Relaxed) {
        console::line(format_args!(
            "{domains} domains, and {processors} processor{}: each collection of garbage waits \
             until all domains have run; give the machine more (soil run --cpus {domains}), or \
             spawn Domain.recommended_domain_count () - 1",
            if processors == 1 { "" } else { "s" },
        ));
    }
}

/// Number of processors that the machine has, as far as it says, at most [`MAX`].
pub fn available() -> usize {
    /// 0 before the first call.
    static AVAILABLE: AtomicUsize = AtomicUsize::new(0);
    match AVAILABLE.load(Ordering::Relaxed) {
        0 => {
            let found = (1 + machine::find().count()).min(MAX);
            AVAILABLE.store(found, Ordering::Relaxed);
            found
        }
        found => found,
    }
}
