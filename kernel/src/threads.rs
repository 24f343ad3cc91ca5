//! POSIX threads as musl makes them: `clone`, futexes, exit, signals to threads.
//!
//! A thread is suspended on its kernel stack: in a system call that waits, or where the timer
//! interrupted it, whose frame is moved there. The runtime's own wait suspends it on its own stack.
//! Only `run_next` switches threads, with interrupts disabled. No thread is preempted while a cell
//! is in use ([`crate::cell::any_in_use`]), nor in a system call.
//!
//! All processors that the program has started take threads from one list. One that finds none runs
//! its idle thread. A switch belongs to the use of [`STATE`] that chose the thread: the thread that
//! runs next ends that use. So no other processor runs a thread that isn't suspended yet, and no
//! thread gets the stack of one that ends before that stack has been left.
//!
//! | what | which processor |
//! |---|---|
//! | interrupts of devices | the first |
//! | ticks of the network | that on which they began ([`crate::wait::start_ticks`]) |
//! | deadlines of waits and timers | the timer processor ([`State::alarm`]) |
//! | the end of a slice | each whose thread has made others ready, or runs while others are |
//!
//! A processor without a thread polls for a while before it halts, and is interrupted only then.
//!
//! The boot makes the program's first thread. The program is preempted from the first `clone`,
//! `setitimer` or `timer_create` on ([`has_threads`]); until then nothing here runs but what it
//! calls, and its waits halt the processor.
//!
//! Source: clone(2), futex(2), set_robust_list(2), tgkill(2), prctl(2); musl's `src/thread`.

pub mod affinity;
pub mod calls;
mod dispatch;
pub mod futex;
mod idle;
mod notify;
mod posix_timers;
mod preemption;
pub mod program_timers;
mod report;
pub mod scheduler;
mod timers;
mod waits;

use crate::arch::gates::{self, Context, SystemCallFrame};
use crate::arch::interrupts::without_interrupts;
use crate::arch::local::{self, Local, MAX};
use crate::arch::thread_pointer;
use crate::cell::{ExclusiveCell, rank};
use crate::errno::Errno;
use crate::halt::{self, For};
use crate::memory;
use crate::signals::{self, PID};
use crate::smp::{Set, resume_interrupts, suspend_interrupts};
use crate::{interrupts, time};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use dispatch::end_switch;
use idle::Idle;
use notify::{interrupt, with};
use program_timers::Timers;
use scheduler::{Index, Scheduler, bit};
use sync::atomic::AtomicU32;
use waits::{run_next, yield_now};

pub use calls::{begin as begin_call, begin_smp, end as end_call, set_in_call};
pub use idle::run_processor;
pub use preemption::{interrupted, preempted};
pub use program_timers::{timer_of, used_ns, used_time};
pub use report::suspended;
pub use waits::{await_change, await_release, pause};

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
pub type Name = [u8; 16];

struct State {
    scheduler: Scheduler<Thread, MAX>,
    /// Kernel stacks of threads that have ended.
    stacks: Vec<u64>,
    /// Of each processor.
    idle: [Idle; MAX],
    /// The number of the last thread.
    last: u64,
    /// The processors that run threads.
    busy: Set,
    /// Number of threads that wait to poll all devices.
    polling: usize,
    timers: Timers,
    /// The processor whose timer is set for the earliest deadline, and that deadline.
    timer_processor: usize,
    covered: u64,
}

/// Used by system calls, the runtime's wait and interrupts, all with interrupts disabled.
static STATE: ExclusiveCell<State, rank::Threads> = ExclusiveCell::new(State {
    scheduler: Scheduler::new(),
    stacks: Vec::new(),
    idle: [Idle::NONE; MAX],
    last: PID,
    busy: 0,
    polling: 0,
    timers: Timers::new(),
    timer_processor: 0,
    covered: 0,
});

/// The program is preempted. Set once.
static PREEMPTIBLE: AtomicBool = AtomicBool::new(false);

/// Whether the program has had more than one thread, or a timer: it is preempted.
#[inline(always)]
pub fn has_threads() -> bool {
    // Relaxed: the program's only thread sets it.
    PREEMPTIBLE.load(Ordering::Relaxed)
}

/// Takes this thread's note of an event that ends such a wait, if it has one. Any number of
/// threads may wait for an event after the events that they know of.
pub fn take_note(wait: For) -> bool {
    match wait {
        For::Interrupt(seen) => interrupts::events() != seen,
        For::Time if has_threads() => false,
        For::Call if has_threads() => interrupts::take_pending_for_call(),
        _ => interrupts::take_pending(),
    }
}

/// Whether another thread could run, for which no processor is free.
pub fn has_ready() -> bool {
    has_threads() && without_interrupts(|| with(|state| state.scheduler.has_ready()))
}

/// Ends the wait of the thread that waits for devices, at once if it is about to begin.
pub fn nudge() {
    interrupts::note();
    if has_threads() {
        without_interrupts(|| {
            if with(|state| state.scheduler.event()) {
                limit_turn();
            }
        });
    }
}

/// Wakes the threads that wait for a change of `word`: they run next.
pub fn wake(word: &AtomicU32) {
    if has_threads() {
        without_interrupts(|| {
            with(|state| state.scheduler.wake_next(word.as_ptr() as u64));
            limit_turn();
        });
    }
}

/// Sets the timer for the next tick, or an earlier deadline of another thread, or the end of a
/// slice if one is ready, when the program resumes at time `now` or has made a thread ready.
pub fn resume(now: u64) {
    if !has_threads() && !local::get().ticks.load(Ordering::Relaxed) {
        return;
    }
    let suspended = suspend_interrupts();
    let (earliest, contended) = match has_threads() {
        true => without_interrupts(|| with(|state| (state.alarm(), state.scheduler.has_ready()))),
        false => (None, false),
    };
    halt::resume_with(now, earliest, contended);
    resume_interrupts(suspended);
}

/// Gives the running thread no more than a slice from now on, if it has made another one ready.
/// With interrupts disabled.
fn limit_turn() {
    // Threads wake each other far more often than slices end: without the clocks.
    if !local::get().limited.load(Ordering::Relaxed) {
        resume(time::monotonic_ns());
    }
}

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
    fn name(&mut self) -> Name {
        self.running().map_or([0; 16], |thread| thread.name)
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
        // `u64::MAX` without any: the next deadline is earlier.
        if self.timer_processor == own() || at < self.covered {
            (self.timer_processor, self.covered) = (own(), at);
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

    /// Keeps the stack of the thread that has ended on this processor, which is about to leave it.
    fn keep_stack(&mut self) {
        let ended = &local::get().ended_stack;
        match ended.load(Ordering::Relaxed) {
            0 => {}
            stack => {
                ended.store(0, Ordering::Relaxed);
                // There is room since that thread's creation.
                self.stacks.push(stack);
            }
        }
    }
}

/// The number of the processor that runs the call.
pub fn processor() -> usize {
    own()
}

/// The number of the running thread.
pub fn number() -> u64 {
    match local::get().thread.load(Ordering::Relaxed) {
        0 => PID,
        number => number,
    }
}

/// Sets the word that is zeroed at the end of the running thread, and is a futex then: its address,
/// or 0.
pub fn set_clear_at_exit(at: u64) {
    with(|state| {
        if let Some(thread) = state.running() {
            thread.clear_at_exit = at;
        }
    });
}

/// Sets the head of the running thread's list of robust futexes: its address, or 0.
pub fn set_robust(head: u64) {
    with(|state| {
        if let Some(thread) = state.running() {
            thread.robust = head;
        }
    });
}

/// Lets other threads run.
pub fn yield_to_others() {
    if has_threads() {
        yield_now();
    }
}

/// The running thread's name: empty at first, and then its creator's.
pub fn name() -> Name {
    with(State::name)
}

/// Sets the running thread's name.
pub fn set_name(name: Name) {
    with(|state| {
        if let Some(thread) = state.running() {
            thread.name = name;
        }
    });
}

/// The head of the list of robust futexes of thread `of`; 0 is the running one.
///
/// # Errors
/// ESRCH.
pub fn robust_list(of: u64) -> Result<u64, Errno> {
    with(|state| {
        let current = state.scheduler.current(own());
        let is_it = |(index, thread): &(Index, &Thread)| match of {
            0 => *index == current,
            of => thread.number == of,
        };
        let found = state.scheduler.threads().find(is_it);
        found.map(|(_, thread)| thread.robust).ok_or(Errno::ESRCH)
    })
}

/// A thread to be created.
pub struct NewThread {
    /// The end of its stack.
    pub stack: u64,
    /// The address of its thread-local data.
    pub pointer: u64,
    /// See [`set_clear_at_exit`].
    pub clear_at_exit: u64,
}

/// Creates a thread, which continues with the registers of `call` but its stack; returns its number.
/// `announce` gets the number before the thread may run.
///
/// # Errors
/// EAGAIN, ENOMEM: memory is short.
pub fn create(
    call: &SystemCallFrame,
    new: NewThread,
    announce: impl FnOnce(u64),
) -> Result<u64, Errno> {
    be_preempted()?;
    let reused = with(|state| {
        let wanted = state.scheduler.live_count() + 1;
        let room = wanted.saturating_sub(state.stacks.len());
        state.stacks.try_reserve(room).map_err(|_| Errno::EAGAIN)?;
        Ok::<_, Errno>(state.stacks.pop())
    })?;
    let kernel_stack = reused.or_else(memory::kernel_stack).ok_or(Errno::EAGAIN)?;
    let own = memory::grow_on_demand(new.stack);
    let mut child = *call;
    child.set_stack_pointer(new.stack);
    child.enable_interrupts();
    // SAFETY: nothing else uses the stack.
    let context = unsafe { Context::new(child, kernel_stack, end_switch) };
    let signals = signals::of_child();
    let number = with(|state| {
        state.last += 1;
        state.last
    });
    announce(number);
    with(|state| {
        let thread = Thread {
            number,
            context,
            pointer: new.pointer,
            kernel_stack,
            stack: own.unwrap_or(new.stack..new.stack),
            signals,
            clear_at_exit: new.clear_at_exit,
            robust: 0,
            interrupted: false,
            used: 0,
            name: state.name(),
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
    limit_turn();
    Ok(number)
}

/// Makes the program's first thread; false if memory is short. Called by the boot, once.
pub fn set_up() -> bool {
    let thread = Thread {
        number: PID,
        context: Context::RUNNING,
        pointer: 0,
        kernel_stack: gates::system_call_stack(),
        stack: memory::stack(),
        signals: signals::Thread::ENDED,
        clear_at_exit: 0,
        robust: 0,
        interrupted: false,
        used: 0,
        name: [0; 16],
    };
    with(|state| {
        let added = state.scheduler.add(thread).is_ok();
        if added {
            state.scheduler.next(own());
            state.busy = bit(own());
        }
        added
    })
}

/// The program is preempted from now on: its first thread creates another one, or a timer.
fn be_preempted() -> Result<(), Errno> {
    if has_threads() {
        return Ok(());
    }
    idle::make()?;
    with(|state| {
        if let Some(thread) = state.running() {
            // What a switch doesn't save.
            thread.pointer = thread_pointer::read();
            thread.stack = memory::stack();
        }
        state.timer_processor = own();
    });
    local::get().thread.store(PID, Ordering::Relaxed);
    PREEMPTIBLE.store(true, Ordering::Relaxed);
    begin_smp();
    // The thread may continue without a system call that waits.
    resume(time::monotonic_ns());
    // Processors that were started before.
    interrupt(Set::MAX);
    affinity::restrict_first_thread();
    Ok(())
}

/// Ends the running thread, unless it is the last one.
pub fn end_thread() {
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
        let _ = futex::wake_only(clear_at_exit, u32::MAX, 1);
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

/// Sends `signal` to a process; returns whether it is pending now.
///
/// # Errors
/// ESRCH, EINVAL.
pub fn send_to_process(process: u64, signal: u64) -> Result<bool, Errno> {
    let sent = signals::send_to(process, signal, false);
    if has_threads() {
        interrupt_for_process();
    }
    sent
}

/// Sends `signal` to the thread with this number; returns whether it is pending now.
///
/// # Errors
/// ESRCH, EINVAL.
pub fn send_to_thread(number: u64, signal: u64) -> Result<bool, Errno> {
    let sent = send(number, signal);
    // It may wait to take it while it blocks it.
    nudge();
    sent
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
    nudge();
}
