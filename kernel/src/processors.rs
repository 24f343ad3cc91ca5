//! The other processors: started on demand, they run the program's threads, and stop before the
//! machine ends.
//!
//! A program that never calls [`start`] contains nothing of this, and its machine's other
//! processors stay as they were. Started ones begin with interrupts disabled but for their halts,
//! each on stacks of its own, until the program has threads. No interrupt of a device goes there.
//!
//! The part `soil_with_processors` starts them when the program creates its first thread.
//!
//! Before the end, or the report of a crash, the processor that ends the machine stops all others
//! for good, wherever they are: nothing of them comes after its last line.

mod malloc;

use crate::arch::counter::counter;
use crate::arch::cpu;
use crate::arch::gates::{Frame, SystemCallFrame};
use crate::arch::interrupts::{are_enabled, disable, enable, enable_and_halt, without_interrupts};
use crate::arch::local::{self, Local, MAX};
use crate::arch::mmu;
use crate::arch::numbers as n;
use crate::arch::processor::Processor;
use crate::board::processors::{self as machine, Others};
use crate::errno::Errno;
use crate::peers::shootdown::Requests;
use crate::peers::{self, Peers, Set};
use crate::syscall::{beside, load_set, store_set};
use crate::{cell, clock, console, memory, power, signals, time, traps, wait};
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// How long the next processor has to come, in nanoseconds; and where there may be none.
const START_NS: u64 = 10_000_000_000;
const UNKNOWN_NS: u64 = 1_000_000_000;
/// How long the others have to release the cells that they use before they are stopped there, and
/// how long to stop, in nanoseconds. One that can't be interrupted goes on.
const RELEASE_NS: u64 = 1_000_000_000;
const STOP_NS: u64 = 3_000_000_000;
/// How long after a request to stop the next one comes.
const REPEAT_NS: u64 = 1_000_000;

/// How often to look before the others are interrupted for a request: one that waits for a cell
/// sees it without that.
const LOOKS: usize = 50;

/// What a processor runs when it is woken.
pub type Work = extern "C" fn();

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
    report_own,
    report: report_others,
};

static PEERS: Peers = Peers {
    interrupt,
    flush,
    serve,
    relax,
    set_idle,
    begin_call: wait::begin_call,
    used_ns,
};

/// Requests to forget translations.
static REQUESTS: Requests<MAX> = Requests::new();

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
    let started = without_interrupts(|| {
        memory::set_several();
        signals::set_several();
        peers::set(&PEERS);
        REQUESTS.set_busy(number(), mmu::flush_all);
        // SAFETY: `STARTED` admits one call.
        unsafe { machine::start(&others, &blocks, run) }
    });
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
    traps::report_skipped();
    if let Some(why) = time::conclude_comparison() {
        console::line(format_args!(
            "{why}: the time is the latest that any of them has seen, which costs each reading"
        ));
    }
    malloc::begin(count());
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
        if time::compares_counters() {
            time::observe_counter();
        }
        let now = OTHERS.load(Ordering::Acquire);
        if now != came {
            came = now;
            until = time::monotonic_ns() + patience;
        }
        peers::relax();
    }
}

/// Enters the processor that runs into the list.
fn begin() {
    let own = local::get();
    own.id.store(machine::id(), Ordering::Relaxed);
    local::publish();
}

/// Runs a processor that was started, for good.
extern "C" fn run() -> ! {
    if !machine::set_up_other() {
        power::park();
    }
    let own = local::get();
    own.set_started(time::monotonic_ns());
    if time::compares_counters() {
        time::compare_counters();
    }
    begin();
    OTHERS.fetch_add(1, Ordering::Release);
    loop {
        // Doesn't return once there are threads.
        wait::run_threads();
        // Acquire: what the work needs was written before.
        let work = own.work.swap(null_mut(), Ordering::Acquire);
        if work.is_null() {
            // An interrupt since the exchange is pending, and ends the halt at once.
            enable_and_halt();
            disable();
        } else {
            set_idle(false);
            // SAFETY: only `wake` stores there, a function of this type.
            let work = unsafe { core::mem::transmute::<*mut (), Work>(work) };
            work();
            set_idle(true);
        }
    }
}

/// See [`Peers::interrupt`].
fn interrupt(processors: Set) {
    let mut rest = processors;
    while rest != 0 {
        if let Some(other) = local::of(rest.trailing_zeros() as usize) {
            machine::wake(other.id.load(Ordering::Relaxed));
        }
        rest &= rest - 1;
    }
}

/// See [`Peers::flush`].
fn flush(range: Range<u64>) {
    let own = number();
    let request = REQUESTS.post(range, own);
    let others = local::all().map(|other| usize::from(other.number()));
    let others = others.filter(|other| *other != own);
    let mut awaited = others.fold(0, |set, other| set | 1 << other);
    let mut looks = 0;
    loop {
        let mut rest: Set = awaited;
        while rest != 0 {
            let other = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if !REQUESTS.is_awaited(other, request) {
                awaited &= !(1 << other);
            }
        }
        if awaited == 0 {
            return;
        }
        if looks == LOOKS {
            interrupt(awaited);
        }
        looks += usize::from(looks <= LOOKS);
        spin();
    }
}

/// See [`Peers::serve`].
fn serve() {
    REQUESTS.serve(number(), mmu::flush_range);
}

/// See [`Peers::relax`].
fn relax() {
    // An interrupt would do it, too.
    if !are_enabled() {
        serve();
    }
    spin();
}

/// A hint of the processor in a loop that waits for another one, of which few take long.
fn spin() {
    /// An emulator leaves the translated code for each hint, and takes a lock that interrupts need,
    /// too. Without any hint one that runs the processors in turn would run none of the others.
    const TURNS: u32 = 64;
    let turns = &local::get().turns;
    let turn = turns.load(Ordering::Relaxed).wrapping_add(1);
    turns.store(turn, Ordering::Relaxed);
    if turn.is_multiple_of(TURNS) || !cpu::is_emulated() {
        core::hint::spin_loop();
    }
}

/// See [`Peers::set_idle`].
fn set_idle(idle: bool) {
    if idle {
        REQUESTS.set_idle(number());
    } else {
        REQUESTS.set_busy(number(), mmu::flush_all);
    }
}

/// See [`Peers::used_ns`].
fn used_ns(now: u64) -> u64 {
    local::all().map(|each| each.used_ns(now)).sum()
}

/// Has the processor with this number run `work`, with interrupts disabled, once it has ended what
/// it does; false if it doesn't run, is the caller's, or has work that it hasn't begun. For
/// programs without threads: their processors run those.
pub fn wake(number: usize, work: Work) -> bool {
    let Some(other) = local::of(number).filter(|other| !core::ptr::eq(*other, local::get())) else {
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

/// See [`power::Others::report_own`].
fn report_own(report: &mut dyn power::Report) {
    report.add(format_args!("processor {}", number()), None);
}

/// See [`power::Others::report`].
fn report_others(report: &mut dyn power::Report) {
    let own = local::get();
    for other in local::all().filter(|other| !core::ptr::eq(*other, own)) {
        let (number, frame) = (other.number(), other.frame());
        match other.thread.load(Ordering::Relaxed) {
            0 => report.add(format_args!("processor {number}"), frame),
            thread => report.add(format_args!("processor {number}, thread {thread}"), frame),
        }
        if other.stopped.load(Ordering::Relaxed) == Local::ENDS {
            console::line(format_args!("it was about to end the machine as well"));
        } else if frame.is_none() {
            console::line(format_args!("it could not be stopped"));
        }
    }
}

crate::system_call_extension!("soil_with_processors", system_call);

/// Starts the processors before the program's second thread; knows which the machine has, and which
/// of them the program has asked for before that. Answers the calls that run beside others.
extern "C" fn system_call(call: &mut SystemCallFrame, result: &mut Result<u64, Errno>) -> bool {
    match call.number() {
        n::CLONE => {
            if !STARTED.load(Ordering::Relaxed) {
                start(available());
            }
            false
        }
        n::SCHED_GETAFFINITY | n::SCHED_SETAFFINITY if wait::has_threads() => false,
        n::SCHED_GETAFFINITY => {
            let [_, room, at, ..] = call.arguments();
            let asked_for = local::AFFINITY.load(Ordering::Relaxed);
            *result = store_set(all() & asked_for, room, at);
            true
        }
        n::SCHED_SETAFFINITY => {
            let [process, len, at, ..] = call.arguments();
            *result = ask_for(process, len, at);
            true
        }
        _ if peers::several() && wait::has_threads() => match beside::answer(call) {
            Some(answer) => {
                *result = answer;
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// `sched_setaffinity` before the program has threads: for the first one.
fn ask_for(process: u64, len: u64, at: u64) -> Result<u64, Errno> {
    let wanted = load_set(len, at)?;
    if !matches!(u64::from(process as u32), 0 | signals::PID) {
        return Err(Errno::ESRCH);
    }
    match wanted & all() {
        0 => return Err(Errno::EINVAL),
        same if same == all() => local::AFFINITY.store(Set::MAX, Ordering::Relaxed),
        some => local::AFFINITY.store(some, Ordering::Relaxed),
    }
    Ok(0)
}

/// The processors that the machine has.
fn all() -> Set {
    Set::MAX >> (MAX - available())
}

/// The program is about to have so many domains of OCaml: says once that they outnumber the
/// processors. OCaml's collections wait until each domain has run.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
pub extern "C" fn soil_processors_expect(domains: usize) {
    static SAID: AtomicBool = AtomicBool::new(false);
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
fn available() -> usize {
    /// 0 before the first call.
    static AVAILABLE: AtomicUsize = AtomicUsize::new(0);
    match AVAILABLE.load(Ordering::Relaxed) {
        0 => {
            let found = match machine::find() {
                Others::Listed(ids) => 1 + ids.len(),
                Others::Unlisted(others) => 1 + others.unwrap_or(0),
            };
            let found = found.clamp(1, MAX);
            AVAILABLE.store(found, Ordering::Relaxed);
            found
        }
        found => found,
    }
}

/// For programs that are written for it: see [`start`]. Interrupts are enabled from then on, so
/// that any processor can be stopped; not in a system call.
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
pub extern "C" fn soil_processors_start(wanted: usize) -> usize {
    let running = start(wanted);
    enable();
    running
}

/// See [`number`].
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
pub extern "C" fn soil_processors_number() -> usize {
    number()
}

/// See [`wake`].
#[cfg_attr(not(any(test, loom)), unsafe(no_mangle))]
pub extern "C" fn soil_processors_wake(number: usize, work: Work) -> bool {
    wake(number, work)
}
