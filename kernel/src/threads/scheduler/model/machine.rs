//! The machine of the model: processors that switch threads as `super::super::super::dispatch`
//! does, and whose idle threads halt as in `super::super::super::idle`, interrupted before any
//! access to memory and while they halt by their timers and the device, with interrupts between
//! processors that arrive late, and signals for threads that wait.
//!
//! The futex is futex(2)'s as in `super::super::super::futex`: a word is compared and its thread
//! queued in one step. A device notes its interrupt before it wakes the threads that wait for one,
//! and these take the note in the step in which they are queued.

use super::super::{Index, NOWHERE, Processors, READY, Scheduler, State, Wait, Woken, bit};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
use shuttle::thread::{self, JoinHandle};
use std::vec::Vec;

/// What the machine asserts.
pub const UNSAVED: &str = "a thread runs before it is saved";
pub const RECYCLED: &str = "a stack is recycled while it is in use";
pub const IDLE: &str = "threads are ready while a processor halts";
pub const ELSEWHERE: &str = "a thread runs where it may not";

/// The word that counts the device's interrupts.
pub const EVENTS: usize = 6;

/// Faults of the kernel around the scheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// A thread is queued without comparing the word.
    NoCompare,
    /// The word is compared in a step of its own, before the thread is queued.
    ComparedOutside,
    /// Threads aren't moved from one futex to the other.
    NoRequeue,
    /// A wake-up reaches no thread.
    NoWake,
    /// Another processor may take a thread before its registers are saved: the choice of the next
    /// one and the switch are two steps.
    PublishedUnsaved,
    /// The stack of a thread that ends is given on before another thread runs in its place.
    StackRecycled,
    /// A halted processor isn't kicked.
    KickLost,
    /// A processor halts though a thread was offered to it since it asked for one.
    HaltUnasked,
    /// The device's note is taken in a step of its own, before the thread is queued.
    NotedOutside,
    /// A thread that runs elsewhere isn't moved.
    NotMoved,
}

/// The registers of a thread.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Registers {
    Saved,
    /// In a processor.
    Loaded,
}

/// What a processor runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Runs {
    Thread(Index),
    /// A thread that has ended, on its stack.
    Ended,
    /// Its idle thread.
    Idle,
    /// A thread that was chosen and isn't switched to yet.
    Nothing,
}

/// The processors and the program's memory.
pub struct Machine<const N: usize> {
    scheduler: Scheduler<(), N>,
    running: [Runs; N],
    /// Processors that handle an interrupt of the timer or the device.
    interrupted: Processors,
    /// Processors that halt.
    halting: Processors,
    /// Processors with an interrupt for them on its way.
    sent: Processors,
    /// Those at which one has arrived.
    arrived: Processors,
    /// By thread: it is in a system call, which the timer doesn't interrupt.
    calls: Vec<bool>,
    registers: Vec<Registers>,
    /// The stacks of threads, and whether a processor or a suspended thread uses one.
    stacks: Vec<usize>,
    used: Vec<bool>,
    /// Stacks of threads that have ended.
    free: Vec<usize>,
    /// The stack of the thread that has ended on each processor.
    ended: [Option<usize>; N],
    now: u64,
    pub words: [u32; 8],
    /// The device has interrupted.
    noted: bool,
    /// All threads have ended.
    over: bool,
    fault: Fault,
    handles: Vec<JoinHandle<()>>,
}

impl<const N: usize> Machine<N> {
    /// A thread, as `clone` makes it.
    fn add(&mut self) -> Index {
        let stack = self.free.pop().unwrap_or_else(|| {
            self.used.push(false);
            self.used.len() - 1
        });
        assert!(!self.used[stack], "{RECYCLED}");
        self.used[stack] = true;
        let thread = self.scheduler.add(()).expect("memory");
        let count = self.calls.len().max(thread as usize + 1);
        self.calls.resize(count, false);
        self.registers.resize(count, Registers::Saved);
        self.stacks.resize(count, 0);
        self.calls[thread as usize] = false;
        self.registers[thread as usize] = Registers::Saved;
        self.stacks[thread as usize] = stack;
        thread
    }

    /// Ends the running thread of `processor`.
    fn end(&mut self, processor: usize) {
        let thread = self.scheduler.current(processor);
        let stack = self.stacks[thread as usize];
        match self.fault {
            Fault::StackRecycled => self.free.push(stack),
            _ => self.ended[processor] = Some(stack),
        }
        self.running[processor] = Runs::Ended;
        self.scheduler.end(processor);
        self.over = self.scheduler.live_count() == 0;
    }

    /// Chooses what `processor` runs next.
    fn next(&mut self, processor: usize) -> Option<Index> {
        if let Some(stack) = self.ended[processor].take() {
            self.used[stack] = false;
            self.free.push(stack);
        }
        self.scheduler.expire(self.now);
        self.scheduler.next(processor)
    }

    /// Saves the registers of what `processor` ran before and loads those of `to`.
    fn switch(&mut self, processor: usize, from: Runs, to: Option<Index>) {
        if let Runs::Thread(from) = from {
            self.registers[from as usize] = Registers::Saved;
        }
        self.running[processor] = match to {
            Some(to) => {
                let registers = &mut self.registers[to as usize];
                let before = core::mem::replace(registers, Registers::Loaded);
                assert_eq!(before, Registers::Saved, "{UNSAVED}");
                assert!(self.scheduler.may_stay(processor), "{ELSEWHERE}");
                Runs::Thread(to)
            }
            None => Runs::Idle,
        };
    }

    /// Sends the interrupts that the scheduler asks for.
    fn kick(&mut self) {
        let kicks = self.scheduler.take_kicks();
        assert!(N > 1 || kicks == 0, "one processor kicks none");
        if self.fault != Fault::KickLost {
            self.sent |= kicks;
        }
    }

    /// Whether `processor` has to halt: time advances if all of them do.
    fn halts(&mut self, processor: usize) -> bool {
        let others = ((1 << N) - 1) & !bit(processor);
        let earliest = self.scheduler.earliest();
        if self.halting & others == others
            && self.sent | self.arrived == 0
            && let Some(earliest) = earliest
        {
            self.now = self.now.max(earliest);
            return false;
        }
        self.scheduler.halt(processor) || self.fault == Fault::HaltUnasked
    }

    /// Whether `processor` has interrupts enabled.
    fn is_open(&self, processor: usize) -> bool {
        let open = match self.running[processor] {
            Runs::Thread(running) => !self.calls[running as usize],
            Runs::Idle => self.halting & bit(processor) != 0,
            Runs::Ended | Runs::Nothing => false,
        };
        open && self.interrupted & bit(processor) == 0
    }

    /// No thread is ready that a processor could run which halts for good.
    fn check(&self) {
        let halted = self.halting & !self.sent & !self.arrived;
        let mut index = self.scheduler.lists[READY].first;
        let mut ready = 0;
        while let Some(entry) = self.scheduler.entries.get(index as usize) {
            assert_eq!(entry.state, State::Ready);
            ready += u32::from(entry.holder == NOWHERE && entry.allowed & halted != 0);
            index = entry.next;
        }
        let all = (1 << N) - 1;
        let running = (0..N).filter(|at| matches!(self.running[*at], Runs::Thread(_)));
        let running: Processors = running.map(bit).sum();
        let coming = (all & !running & !halted).count_ones();
        assert!(halted == 0 || ready <= coming, "{ready} {IDLE}");
    }
}

/// The machine as a thread of the program sees it.
#[derive(Clone)]
pub struct Program<const N: usize> {
    machine: Arc<(Mutex<Machine<N>>, Condvar)>,
    thread: Index,
}

pub type Body<const N: usize> = fn(&Program<N>);

impl<const N: usize> Program<N> {
    fn locked(&self) -> MutexGuard<'_, Machine<N>> {
        self.machine.0.lock().expect("no panic")
    }

    /// Ends a use of the machine.
    fn release(&self, mut machine: MutexGuard<'_, Machine<N>>) {
        machine.kick();
        machine.check();
        drop(machine);
        self.machine.1.notify_all();
    }

    /// Waits until `found` of the machine returns a value.
    fn once<R>(
        &self,
        mut found: impl FnMut(&mut Machine<N>) -> Option<R>,
    ) -> (MutexGuard<'_, Machine<N>>, R) {
        let mut machine = self.locked();
        loop {
            if let Some(result) = found(&mut machine) {
                return (machine, result);
            }
            machine = self.machine.1.wait(machine).expect("no panic");
        }
    }

    /// One access to memory, or a step of a system call: once this thread runs, on the processor
    /// that `f` gets.
    pub fn step<R>(&self, f: impl FnOnce(&mut Machine<N>, usize) -> R) -> R {
        let runs = |machine: &mut Machine<N>| {
            let mut running = machine.running.iter();
            let at = running.position(|running| *running == Runs::Thread(self.thread))?;
            (machine.interrupted & bit(at) == 0).then_some(at)
        };
        let (mut machine, processor) = self.once(runs);
        let result = f(&mut machine, processor);
        self.release(machine);
        result
    }

    pub fn swap(&self, word: usize, value: u32) -> u32 {
        self.step(|machine, _| core::mem::replace(&mut machine.words[word], value))
    }

    fn compare_and_swap(&self, word: usize, old: u32, new: u32) -> bool {
        self.step(|machine, _| {
            let equal = machine.words[word] == old;
            if equal {
                machine.words[word] = new;
            }
            equal
        })
    }

    /// As the kernel's. The thread's next step waits until it runs again.
    fn run_next(&self, processor: usize) {
        switch(self, self.locked(), processor);
    }

    /// Waits for `wait`, unless `is_over` in the same step. Returns the reason why it resumes.
    fn wait_unless(
        &self,
        wait: Wait,
        deadline: Option<u64>,
        outside: bool,
        mut is_over: impl FnMut(&mut Machine<N>) -> bool,
    ) -> Option<Woken> {
        self.step(|machine, _| machine.calls[self.thread as usize] = true);
        let over = outside && self.step(|machine, _| is_over(machine));
        let processor = self.step(|machine, processor| {
            let over = over || !outside && is_over(machine);
            (!over).then(|| {
                machine.scheduler.wait(processor, wait, deadline);
                processor
            })
        });
        if let Some(processor) = processor {
            self.run_next(processor);
        }
        self.step(|machine, at| {
            machine.calls[self.thread as usize] = false;
            processor.map(|_| machine.scheduler.woken(at))
        })
    }

    /// `FUTEX_WAIT`: returns whether it expired.
    pub fn wait(&self, word: usize, value: u32, deadline: Option<u64>) -> bool {
        let fault = self.step(|machine, _| machine.fault);
        let futex = Wait::Futex(8 * word as u64, u32::MAX);
        let is_over =
            |machine: &mut Machine<N>| machine.words[word] != value && fault != Fault::NoCompare;
        loop {
            let outside = fault == Fault::ComparedOutside;
            match self.wait_unless(futex, deadline, outside, is_over) {
                None | Some(Woken::Done) => return false,
                Some(Woken::Expired) => return true,
                Some(Woken::Interrupted) => {}
            }
        }
    }

    /// Waits for the device's interrupt.
    pub fn await_device(&self) {
        let outside = self.step(|machine, _| machine.fault) == Fault::NotedOutside;
        self.wait_unless(Wait::Event, None, outside, |machine| {
            core::mem::take(&mut machine.noted)
        });
    }

    /// `FUTEX_WAKE`: returns the number of threads woken.
    pub fn wake(&self, word: usize, count: u64) -> u64 {
        self.step(|machine, _| match machine.fault {
            Fault::NoWake => 0,
            _ => machine.scheduler.wake(8 * word as u64, u32::MAX, count),
        })
    }

    /// `FUTEX_REQUEUE` of all waiters, the first of which is woken.
    fn requeue(&self, from: usize, to: usize) {
        self.step(|machine, _| {
            let (from, to) = (8 * from as u64, 8 * to as u64);
            machine.scheduler.wake(from, u32::MAX, 1);
            if machine.fault != Fault::NoRequeue {
                machine.scheduler.requeue(from, to, u64::MAX);
            }
        });
    }

    /// Locks a mutex: 0 is free, 1 locked, 2 locked with possible waiters.
    pub fn lock(&self, mutex: usize) {
        if !self.compare_and_swap(mutex, 0, 1) {
            self.lock_contended(mutex);
        }
    }

    fn lock_contended(&self, mutex: usize) {
        while self.swap(mutex, 2) != 0 {
            self.wait(mutex, 2, None);
        }
    }

    pub fn unlock(&self, mutex: usize) {
        if self.swap(mutex, 0) == 2 {
            self.wake(mutex, 1);
        }
    }

    /// Waits for a condition, a count of its broadcasts; wakes up with the mutex.
    pub fn await_condition(&self, condition: usize, mutex: usize) {
        let count = self.step(|machine, _| machine.words[condition]);
        self.unlock(mutex);
        self.wait(condition, count, None);
        // Others may have been moved to the mutex.
        self.lock_contended(mutex);
    }

    pub fn broadcast(&self, condition: usize, mutex: usize) {
        self.step(|machine, _| machine.words[condition] += 1);
        self.requeue(condition, mutex);
    }

    /// `sched_setaffinity` of this thread, whose processor has no other way to go on than the
    /// scheduler's. Returns on one of the processors.
    pub fn restrict(&self, allowed: Processors) {
        self.step(|machine, _| machine.calls[self.thread as usize] = true);
        let restrict = |machine: &mut Machine<N>, processor: usize| {
            let elsewhere = machine.scheduler.restrict(self.thread, allowed);
            if elsewhere.is_some() && machine.fault != Fault::NotMoved {
                machine.scheduler.yield_now(processor);
                return Some(processor);
            }
            None
        };
        if let Some(processor) = self.step(restrict) {
            self.run_next(processor);
        }
        self.step(|machine, processor| {
            assert!(allowed & bit(processor) != 0, "{ELSEWHERE}");
            machine.calls[self.thread as usize] = false;
        });
    }

    /// Creates a thread, as `clone` does.
    pub fn spawn(&self, body: Body<N>) {
        self.step(|machine, _| {
            let thread = machine.add();
            begin(machine, self.machine.clone(), thread, body);
        });
    }

    fn end(&self) {
        let processor = self.step(|machine, processor| {
            machine.calls[self.thread as usize] = true;
            machine.end(processor);
            processor
        });
        self.run_next(processor);
    }
}

/// Switches `processor` to the next thread, or to its idle one.
fn switch<'a, const N: usize>(
    program: &'a Program<N>,
    mut machine: MutexGuard<'a, Machine<N>>,
    processor: usize,
) {
    let from = core::mem::replace(&mut machine.running[processor], Runs::Nothing);
    let next = machine.next(processor);
    let stays = match next {
        Some(next) => from == Runs::Thread(next),
        None => from == Runs::Idle,
    };
    if stays {
        machine.running[processor] = from;
        return program.release(machine);
    }
    if machine.fault == Fault::PublishedUnsaved {
        program.release(machine);
        machine = program.locked();
    }
    machine.switch(processor, from, next);
    program.release(machine);
}

/// The idle thread of `processor`.
fn idle<const N: usize>(program: &Program<N>, processor: usize) {
    switch(program, program.locked(), processor);
    loop {
        let (mut machine, ()) = program.once(|machine| {
            (machine.over || machine.running[processor] == Runs::Idle).then_some(())
        });
        if machine.over {
            return program.release(machine);
        }
        if !machine.halts(processor) {
            switch(program, machine, processor);
            continue;
        }
        machine.halting |= bit(processor);
        program.release(machine);
        let (mut machine, ()) = program.once(|machine| {
            let arrived = machine.arrived & !machine.interrupted;
            let wakes = machine.over || arrived & bit(processor) != 0;
            wakes.then_some(())
        });
        machine.halting &= !bit(processor);
        machine.arrived &= !bit(processor);
        machine.scheduler.wake_processor(processor);
        program.release(machine);
        switch(program, program.locked(), processor);
    }
}

/// Runs `body` as the thread at `thread`.
fn begin<const N: usize>(
    machine: &mut Machine<N>,
    shared: Arc<(Mutex<Machine<N>>, Condvar)>,
    thread: Index,
    body: Body<N>,
) {
    let program = Program {
        machine: shared,
        thread,
    };
    machine.handles.push(thread::spawn(move || {
        body(&program);
        program.end();
    }));
}

/// Interrupts `processor`: the handler runs in two steps, and then other threads may run in place
/// of the program's.
fn interrupt<const N: usize>(
    program: &Program<N>,
    processor: usize,
    begin: impl FnOnce(&mut Machine<N>),
    end: impl FnOnce(&mut Machine<N>),
) {
    let (mut machine, ()) =
        program.once(|machine| (machine.over || machine.is_open(processor)).then_some(()));
    if machine.over {
        return;
    }
    machine.interrupted |= bit(processor);
    begin(&mut machine);
    program.release(machine);
    let mut machine = program.locked();
    machine.scheduler.wake_processor(processor);
    end(&mut machine);
    machine.arrived |= machine.halting & bit(processor);
    let preempts = matches!(machine.running[processor], Runs::Thread(_));
    if preempts {
        machine.scheduler.yield_now(processor);
        switch(program, machine, processor);
        machine = program.locked();
    }
    machine.interrupted &= !bit(processor);
    program.release(machine);
}

/// Runs threads with these bodies on `N` processors, `ticks` interrupts of the timers and as many
/// signals, and `events` interrupts of a device, until all have ended.
pub fn run<const N: usize>(
    fault: Fault,
    ticks: usize,
    events: usize,
    bodies: Vec<Body<N>>,
) -> [u32; 8] {
    let mut scheduler = Scheduler::new();
    if N > 1 {
        scheduler.set_smp();
    }
    let mut machine = Machine {
        scheduler,
        running: [Runs::Idle; N],
        interrupted: 0,
        halting: 0,
        sent: 0,
        arrived: 0,
        calls: Vec::new(),
        registers: Vec::new(),
        stacks: Vec::new(),
        used: Vec::new(),
        free: Vec::new(),
        ended: [None; N],
        now: 0,
        words: [0; 8],
        noted: false,
        over: false,
        fault,
        handles: Vec::new(),
    };
    let threads: Vec<Index> = bodies.iter().map(|_| machine.add()).collect();
    let count = threads.len() as Index;
    let shared = Arc::new((Mutex::new(machine), Condvar::new()));
    let program = Program {
        machine: shared.clone(),
        thread: Index::MAX,
    };
    {
        let mut machine = program.locked();
        for (body, thread) in bodies.into_iter().zip(threads) {
            begin(&mut machine, shared.clone(), thread, body);
        }
    }
    let spawn = |f: fn(Program<N>, usize), number| {
        let program = program.clone();
        thread::spawn(move || f(program, number))
    };
    let mut others: Vec<_> = (0..N)
        .map(|processor| spawn(|program, at| idle(&program, at), processor))
        .collect();
    // Interrupts between processors.
    others.push(spawn(
        |program, _| {
            loop {
                let sends = |machine: &mut Machine<N>| {
                    (machine.over || machine.sent != 0).then_some(machine.sent)
                };
                let (mut machine, sent) = program.once(sends);
                if machine.over {
                    return program.release(machine);
                }
                let which: Vec<usize> = (0..N).filter(|at| sent & bit(*at) != 0).collect();
                let which = which[thread_rng().gen_range(0..which.len())];
                machine.sent &= !bit(which);
                machine.arrived |= bit(which);
                program.release(machine);
            }
        },
        0,
    ));
    // The device.
    others.push(spawn(
        |program, events| {
            for _ in 0..events {
                // The device writes before it interrupts.
                let note = |machine: &mut Machine<N>| {
                    machine.words[EVENTS] += 1;
                    machine.noted = true;
                };
                interrupt(&program, thread_rng().gen_range(0..N), note, |machine| {
                    machine.scheduler.event();
                });
            }
        },
        events,
    ));
    let timer = program.clone();
    others.push(thread::spawn(move || {
        for _ in 0..ticks {
            let advance = |machine: &mut Machine<N>| machine.now += 1;
            interrupt(&timer, thread_rng().gen_range(0..N), advance, |machine| {
                let signalled = thread_rng().gen_range(0..count);
                if machine.scheduler.thread(signalled).is_some() {
                    machine.scheduler.interrupt(signalled);
                }
            });
        }
    }));
    loop {
        let handle = program.locked().handles.pop();
        let Some(handle) = handle else { break };
        handle.join().expect("no panic");
    }
    for other in others {
        other.join().expect("no panic");
    }
    program.locked().words
}
