//! POSIX threads as musl makes them: `clone`, futexes, exit, signals to threads.
//!
//! A thread is suspended on its kernel stack: in a system call that waits, or where the timer
//! interrupted it, whose frame is moved there. The runtime's own wait suspends it on its own stack.
//! Only `run_next` switches threads, with interrupts disabled. No thread is preempted while a cell
//! is in use ([`crate::cell::any_in_use`]), nor in a system call.
//!
//! All processors that the program has started take threads from one list. One without a thread
//! idles on the stack of the thread that ran there last, and resumes that one without a switch.
//! After a switch the next thread reports that the one before is suspended, or that its stack is no
//! longer in use ([`State::switched`]): only then may other processors run it, or another thread
//! get the stack.
//!
//! | what | which processor |
//! |---|---|
//! | interrupts of devices | the first |
//! | ticks of the network | that on which they began ([`wait::start_ticks`]) |
//! | deadlines of waits and timers | the steward, which found one earlier than those seen to ([`State::alarm`]) |
//! | the end of a slice | each whose thread has made others ready, or runs beside ready ones |
//!
//! A processor without a thread polls for a while before it halts, and is interrupted only then.
//!
//! The part is linked into programs that can create threads or set timers
//! (`soil_with_threads`), and starts with the first `clone`, `setitimer` or `timer_create`.
//! Source: clone(2), futex(2), set_robust_list(2), tgkill(2), prctl(2); musl's `src/thread`.

mod affinity;
pub mod calls;
mod dispatch;
mod futex;
mod posix_timers;
mod preemption;
mod report;
pub mod scheduler;
mod timer_calls;
mod timers;
mod waits;

use crate::arch::gates::{self, Context, SystemCallFrame};
use crate::arch::interrupts::without_interrupts;
use crate::arch::local::{self, Local, MAX};
use crate::arch::numbers as n;
use crate::arch::thread_pointer;
use crate::cell::{ExclusiveCell, rank};
use crate::crash;
use crate::errno::Errno;
use crate::memory::{self, bytes, bytes_mut};
use crate::peers::Set;
use crate::signals::{self, PID};
use crate::wait::{self, Threads};
use crate::{console, time};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use dispatch::{begun, run, run_next};
use preemption::{interrupted, preempted};
use report::suspended;
use scheduler::{Index, Scheduler, bit};
use timer_calls::Timers;
use waits::{await_change, await_release, interrupt, pause, with, yield_now};

crate::system_call_extension!("soil_with_threads", system_call);

/// The number of the processor that runs. With interrupts disabled.
fn own() -> usize {
    local::get().number().into()
}

/// What the processor with this number has for itself, if it runs.
fn local_of(processor: usize) -> Option<&'static Local> {
    match processor == own() {
        true => Some(local::get()),
        false => local::of(processor),
    }
}

/// A thread's state in the kernel; the scheduler has the reason for its wait.
struct Thread {
    number: u64,
    /// Valid while it doesn't run.
    context: Context,
    /// The address of its thread-local data.
    pointer: u64,
    /// The end of its kernel stack.
    kernel_stack: u64,
    /// Its own stack, if the kernel knows it.
    stack: Range<u64>,
    /// Valid while it doesn't run; else they are with [`signals`].
    signals: signals::Thread,
    /// Zeroed at its end, and a futex then; 0 for none.
    clear_at_exit: u64,
    /// The head of the list of its robust futexes; 0 for none.
    robust: u64,
    /// It was interrupted, and its frame ends its kernel stack.
    interrupted: bool,
    /// Processor time until it stopped running, in nanoseconds.
    used: u64,
    name: Name,
}

/// A thread's name, which ends with zero.
type Name = [u8; 16];

struct State {
    scheduler: Scheduler<Thread, MAX>,
    /// Kernel stacks of threads that have ended.
    stacks: Vec<u64>,
    /// The number of the last thread.
    last: u64,
    /// The processors that run threads.
    busy: Set,
    /// Number of threads that wait to poll all devices.
    polling: usize,
    timers: Timers,
    /// The processor that sees to deadlines, and the earliest that it has seen to.
    steward: usize,
    covered: u64,
    /// Name of the first thread, before [`STARTED`].
    name: Name,
}

/// Used by system calls, the runtime's wait and interrupts, all with interrupts disabled.
static STATE: ExclusiveCell<State, rank::Threads> = ExclusiveCell::new(State {
    scheduler: Scheduler::new(),
    stacks: Vec::new(),
    last: PID,
    busy: 0,
    polling: 0,
    timers: Timers::new(),
    steward: 0,
    covered: 0,
    name: [0; 16],
});

/// A second thread was created. Set once.
static STARTED: AtomicBool = AtomicBool::new(false);
/// Of the first thread, before [`STARTED`]. Written by system calls.
static CLEAR_AT_EXIT: AtomicU64 = AtomicU64::new(0);
/// See above.
static ROBUST: AtomicU64 = AtomicU64::new(0);

static FUNCTIONS: Threads = Threads {
    pause,
    interrupted,
    earliest: || without_interrupts(|| with(State::alarm)),
    has_ready: || without_interrupts(|| with(|state| state.scheduler.has_ready())),
    number: || without_interrupts(number),
    event: || {
        without_interrupts(|| {
            if with(|state| state.scheduler.event()) {
                wait::limit_turn();
            }
        });
    },
    await_change,
    await_release,
    wake: |word| {
        without_interrupts(|| {
            with(|state| state.scheduler.wake_next(word.as_ptr() as u64));
            wait::limit_turn();
        });
    },
    run,
    begin_call: calls::begin,
    end_call: calls::end,
};

impl State {
    fn running(&mut self) -> Option<&mut Thread> {
        let current = self.scheduler.current(own());
        self.scheduler.thread(current)
    }

    /// The processor that runs the thread at `index`.
    fn processor_of(&self, index: Index) -> Option<usize> {
        let holder = self.scheduler.holder(index)?;
        (self.busy & bit(holder) != 0).then_some(holder)
    }

    /// The running thread's name.
    fn name(&mut self) -> &mut Name {
        let current = self.scheduler.current(own());
        match self.scheduler.thread(current) {
            Some(thread) => &mut thread.name,
            None => &mut self.name,
        }
    }

    /// The earliest deadline of a thread or a timer.
    fn earliest(&self) -> Option<u64> {
        let timers = self.timers.earliest(&self.clocks());
        let times = [self.scheduler.earliest(), timers];
        times.into_iter().flatten().min()
    }

    /// The same, if this processor has to see to it: another one doesn't, or not in time.
    fn alarm(&mut self) -> Option<u64> {
        let earliest = self.earliest();
        let at = earliest.unwrap_or(u64::MAX);
        // Without any the steward sees to none: the next one is earlier than that.
        if self.steward == own() || at < self.covered {
            (self.steward, self.covered) = (own(), at);
            return earliest;
        }
        None
    }

    /// Charges the thread at `previous`, if it exists, for having run until now.
    fn charge(&mut self, previous: Index, now: u64) {
        let local = local::get();
        let used = local.used_ns(now);
        if let Some(thread) = self.scheduler.thread(previous) {
            thread.used += used.saturating_sub(local.since.load(Ordering::Relaxed));
        }
        local.since.store(used, Ordering::Relaxed);
    }

    /// Reports that the processor has left the thread that ran before: another one runs now.
    fn switched(&mut self) {
        if self.scheduler.saved(own()) {
            // There is room since that thread's creation.
            let stack = local::get().ended_stack.load(Ordering::Relaxed);
            self.stacks.push(stack);
        }
    }
}

/// Handles the system calls of threads.
extern "C" fn system_call(call: &mut SystemCallFrame, result: &mut Result<u64, Errno>) -> bool {
    let [a, b, c, d, ..] = call.arguments();
    let started = STARTED.load(Ordering::Relaxed);
    if started {
        // Also where a handler of a signal began before the first `clone`.
        call.enable_interrupts();
    }
    *result = match call.number() {
        n::CLONE => clone(call),
        n::SET_TID_ADDRESS => {
            set_own(&CLEAR_AT_EXIT, a, |thread| &mut thread.clear_at_exit);
            Ok(number())
        }
        n::SET_ROBUST_LIST => {
            set_own(&ROBUST, a, |thread| &mut thread.robust);
            Ok(0)
        }
        n::GET_ROBUST_LIST => robust_list(a, b, c),
        n::PRCTL => control(a, b),
        number if !started && timer_calls::needs_threads(number, a) => match start(call) {
            Ok(()) => return system_call(call, result),
            Err(errno) => Err(errno),
        },
        _ if !started => return false,
        n::FUTEX => futex::call(call),
        n::EXIT => {
            end_thread();
            // The last one ends the program.
            return false;
        }
        n::SCHED_YIELD => {
            yield_now();
            Ok(0)
        }
        n::GETTID => Ok(number()),
        n::GETCPU => processor(a, b),
        n::SCHED_SETAFFINITY => affinity::set(a, b, c),
        n::SCHED_GETAFFINITY => affinity::get(a, b, c),
        n::KILL => {
            let sent = signals::send_to(a, b, false);
            interrupt_for_process();
            sent.map(|_| 0)
        }
        n::TKILL => send_and_nudge(a, b),
        n::TGKILL if a == PID => send_and_nudge(b, c),
        n::TGKILL => Err(Errno::ESRCH),
        number => match timer_calls::call(number, [a, b, c, d]) {
            Some(answer) => answer,
            None => return false,
        },
    };
    true
}

/// `getcpu`: this processor, of the first node.
fn processor(number_at: u64, node_at: u64) -> Result<u64, Errno> {
    for (at, number) in [(number_at, own() as u32), (node_at, 0)] {
        if at != 0 {
            store(at, number)?;
        }
    }
    Ok(0)
}

/// The number of the running thread.
fn number() -> u64 {
    match local::get().thread.load(Ordering::Relaxed) {
        0 => PID,
        number => number,
    }
}

/// Sets a field of the running thread; `before` holds it until there are others.
fn set_own(before: &AtomicU64, value: u64, field: fn(&mut Thread) -> &mut u64) {
    with(|state| match state.running() {
        Some(thread) => *field(thread) = value,
        None => before.store(value, Ordering::Relaxed),
    });
}

/// `prctl`, which supports only the running thread's name: empty at first, and then its creator's.
fn control(option: u64, at: u64) -> Result<u64, Errno> {
    const SET_NAME: u64 = 15;
    const GET_NAME: u64 = 16;
    match option {
        SET_NAME => {
            let mut name = Name::default();
            for (offset, place) in (0..15).zip(&mut name) {
                // The last one isn't read: it stays zero.
                match bytes(at.wrapping_add(offset), 1)? {
                    [byte] if *byte != 0 => *place = *byte,
                    _ => break,
                }
            }
            with(|state| *state.name() = name);
            Ok(0)
        }
        GET_NAME => {
            let name = with(|state| *state.name());
            bytes_mut(at, name.len() as u64)?.copy_from_slice(&name);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `get_robust_list`: the list of thread `of` (0: the running one) and the size of its head.
fn robust_list(of: u64, head_at: u64, size_at: u64) -> Result<u64, Errno> {
    const HEAD_SIZE: u64 = 24;
    let head = with(|state| {
        let current = state.scheduler.current(own());
        let is_it = |(index, thread): &(Index, &Thread)| match of {
            0 => *index == current,
            of => thread.number == of,
        };
        match state.scheduler.threads().find(is_it) {
            Some((_, thread)) => Some(thread.robust),
            None => matches!(of, 0 | PID).then(|| ROBUST.load(Ordering::Relaxed)),
        }
    });
    memory::store(head_at, &[head.ok_or(Errno::ESRCH)?])?;
    memory::store(size_at, &[HEAD_SIZE])
}

fn clone(call: &mut SystemCallFrame) -> Result<u64, Errno> {
    /// `CLONE_VM`, `CLONE_SIGHAND`, `CLONE_THREAD`: the flags of a thread.
    const THREAD: u64 = 0x100 | 0x800 | 0x1_0000;
    const SET_POINTER: u64 = 0x8_0000;
    const SET_NUMBER: u64 = 0x10_0000;
    const CLEAR_NUMBER: u64 = 0x20_0000;
    const SET_NUMBER_IN_CHILD: u64 = 0x100_0000;
    let [flags, stack, number_at, number_in_child_at, pointer] = call.clone_arguments();
    if flags & THREAD != THREAD || stack == 0 {
        console::line(format_args!(
            "processes can't be created: an image is one process (use threads or tasks)"
        ));
        return Err(Errno::ENOSYS);
    }
    start(call)?;
    let reused = with(|state| {
        let wanted = state.scheduler.live_count() + 1;
        let room = wanted.saturating_sub(state.stacks.len());
        state.stacks.try_reserve(room).map_err(|_| Errno::EAGAIN)?;
        Ok::<_, Errno>(state.stacks.pop())
    })?;
    let kernel_stack = reused.or_else(memory::kernel_stack).ok_or(Errno::EAGAIN)?;
    let own = memory::grow_on_demand(stack);
    let mut child = *call;
    child.set_stack_pointer(stack);
    child.enable_interrupts();
    // SAFETY: nothing else uses the stack.
    let context = unsafe { Context::new(child, kernel_stack, begun) };
    let signals = signals::of_child();
    let number = with(|state| {
        state.last += 1;
        state.last
    });
    // Before it may run.
    for (flag, at) in [
        (SET_NUMBER, number_at),
        (SET_NUMBER_IN_CHILD, number_in_child_at),
    ] {
        if flags & flag != 0 {
            // As on Linux: nothing says that it can't be written.
            let _ = store(at, number as u32);
        }
    }
    with(|state| {
        let thread = Thread {
            number,
            context,
            pointer: if flags & SET_POINTER != 0 { pointer } else { 0 },
            kernel_stack,
            stack: own.unwrap_or(stack..stack),
            signals,
            clear_at_exit: match flags & CLEAR_NUMBER {
                0 => 0,
                _ => number_in_child_at,
            },
            robust: 0,
            interrupted: false,
            used: 0,
            name: *state.name(),
        };
        let allowed = state
            .scheduler
            .allowed(state.scheduler.current(self::own()));
        if state.scheduler.add_for(thread, allowed).is_err() {
            state.stacks.push(kernel_stack);
            return Err(Errno::EAGAIN);
        }
        Ok(())
    })?;
    wait::limit_turn();
    Ok(number)
}

fn store(at: u64, value: u32) -> Result<(), Errno> {
    bytes_mut(at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Makes the caller of the first `clone`, or the like, the first thread.
fn start(call: &mut SystemCallFrame) -> Result<(), Errno> {
    if STARTED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let thread = Thread {
        number: PID,
        context: Context::RUNNING,
        pointer: thread_pointer::read(),
        kernel_stack: gates::system_call_stack(),
        stack: memory::stack(),
        signals: signals::of_child(),
        clear_at_exit: CLEAR_AT_EXIT.load(Ordering::Relaxed),
        robust: ROBUST.load(Ordering::Relaxed),
        interrupted: false,
        used: 0,
        name: with(|state| state.name),
    };
    with(|state| {
        state.scheduler.add(thread).map_err(|_| Errno::EAGAIN)?;
        state.scheduler.next(own());
        state.busy = bit(own());
        local::get().thread.store(PID, Ordering::Relaxed);
        state.steward = own();
        Ok::<_, Errno>(())
    })?;
    call.enable_interrupts();
    gates::set_preempted(preempted);
    crash::set_threads(suspended);
    wait::set_threads(&FUNCTIONS);
    STARTED.store(true, Ordering::Relaxed);
    // The first thread may continue without a system call that waits.
    wait::resume(time::monotonic_ns());
    // Processors that were started before.
    interrupt(Set::MAX);
    affinity::restrict_first_thread()
}

/// Ends the running thread, unless it is the last one.
fn end_thread() {
    let ended = with(|state| {
        let last = state.scheduler.live_count() == 1;
        let thread = state.running().filter(|_| !last)?;
        Some((thread.number, thread.robust, thread.clear_at_exit))
    });
    let Some((number, robust, clear_at_exit)) = ended else {
        return;
    };
    if robust != 0 {
        futex::release_robust(robust, number);
    }
    if clear_at_exit != 0
        && let Ok(word) = memory::atomic_word(clear_at_exit, true)
    {
        // Release: musl holds its list of threads by this word.
        word.store(0, Ordering::Release);
        let _ = futex::wake(clear_at_exit, u32::MAX, 1);
    }
    // Signals that are pending for the process are for others.
    signals::exchange(&mut signals::Thread::ENDED.clone());
    with(|state| {
        if let Some(thread) = state.scheduler.end(own()) {
            let place = &local::get().ended_stack;
            place.store(thread.kernel_stack, Ordering::Relaxed);
        }
    });
    interrupt_for_process();
    run_next();
}

/// `tkill`.
fn send_and_nudge(number: u64, signal: u64) -> Result<u64, Errno> {
    let sent = send(number, signal);
    // It may wait to take it while it blocks it.
    wait::nudge();
    sent.map(|_| 0)
}

/// Sends `signal` to the thread with this number; returns whether it is pending now.
fn send(number: u64, signal: u64) -> Result<bool, Errno> {
    let (sent, running) = with(|state| {
        let mut threads = state.scheduler.threads();
        let found = threads.find(|(_, thread)| thread.number == number);
        let index = found.map(|(index, _)| index).ok_or(Errno::ESRCH)?;
        drop(threads);
        signals::note_sent_to_thread(signal);
        let sent = match (state.scheduler.holder(index), state.scheduler.thread(index)) {
            (Some(holder), _) => signals::send_on(holder, signal)?,
            (None, Some(thread)) => signals::send_to_thread(signal, &mut thread.signals)?,
            (None, None) => return Err(Errno::ESRCH),
        };
        // One that is about to wait sees the signal first: it uses the state for both.
        if index != state.scheduler.current(own()) {
            state.scheduler.interrupt(index);
        }
        Ok((sent, state.processor_of(index)))
    })?;
    if let Some(processor) = running {
        interrupt(bit(processor));
    }
    Ok(sent)
}

/// Interrupts another thread for signals to the process, if the running one blocks them.
fn interrupt_for_process() {
    let signals = signals::for_others();
    if signals == 0 {
        return;
    }
    let running = with(|state| {
        let current = state.scheduler.current(own());
        let scheduler = &state.scheduler;
        let accepts = |(index, thread): &(Index, &Thread)| match scheduler.holder(*index) {
            _ if *index == current => false,
            Some(holder) => signals::accepts_on(holder, signals),
            None => thread.signals.accepts(signals),
        };
        let index = scheduler.threads().find(accepts)?.0;
        state.scheduler.interrupt(index);
        state.processor_of(index)
    });
    if let Some(processor) = running {
        interrupt(bit(processor));
    }
    // Or a thread waits to take it, by `sigwait` or a descriptor of `signalfd`.
    wait::nudge();
}
