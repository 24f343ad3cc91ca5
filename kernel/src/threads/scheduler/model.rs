//! Mutexes, condition variables and waits with deadlines over the real scheduler, under a model
//! checker: one processor, whose timer interrupts a thread before any access to memory, and signals
//! for threads that wait. Shuttle tries interleavings, and reports a deadlock.
//!
//! The futex is futex(2)'s as in `super::super::futex`: a word is compared and its thread queued in
//! one step.

use super::{Index, Scheduler, Wait, Woken};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;
use std::panic::catch_unwind;
use std::vec::Vec;

/// Schedules that each test tries.
const SCHEDULES: usize = 1000;

/// Faults of the futex.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// A thread is queued without comparing the word.
    NoCompare,
    /// Threads aren't moved from one futex to the other.
    NoRequeue,
    /// A wake-up reaches no thread.
    NoWake,
}

/// The processor and the program's memory.
struct Machine {
    scheduler: Scheduler<()>,
    /// None while the processor halts.
    running: Option<Index>,
    /// By thread: it is in a system call, which the timer doesn't interrupt.
    calls: Vec<bool>,
    now: u64,
    words: [u32; 8],
    fault: Fault,
}

impl Machine {
    /// Runs the next thread; time advances if all of them wait.
    fn dispatch(&mut self) {
        loop {
            self.scheduler.expire(self.now);
            self.running = self.scheduler.next();
            match self.scheduler.earliest() {
                Some(at) if self.running.is_none() => self.now = at,
                _ => return,
            }
        }
    }
}

/// The machine as a thread of the program sees it.
#[derive(Clone)]
struct Program {
    machine: Arc<(Mutex<Machine>, Condvar)>,
    thread: Index,
}

impl Program {
    /// One access to memory, or a system call: once this thread runs.
    fn step<R>(&self, f: impl FnOnce(&mut Machine) -> R) -> R {
        let (machine, changed) = &*self.machine;
        let mut machine = machine.lock().expect("no panic");
        while machine.running != Some(self.thread) {
            machine = changed.wait(machine).expect("no panic");
        }
        let result = f(&mut machine);
        changed.notify_all();
        result
    }

    fn swap(&self, word: usize, value: u32) -> u32 {
        self.step(|machine| core::mem::replace(&mut machine.words[word], value))
    }

    fn compare_and_swap(&self, word: usize, old: u32, new: u32) -> bool {
        self.step(|machine| {
            let equal = machine.words[word] == old;
            if equal {
                machine.words[word] = new;
            }
            equal
        })
    }

    /// `FUTEX_WAIT`: returns whether it expired.
    fn wait(&self, word: usize, value: u32, deadline: Option<u64>) -> bool {
        loop {
            let queued = self.step(|machine| {
                let waits = machine.words[word] == value || machine.fault == Fault::NoCompare;
                if waits {
                    machine
                        .scheduler
                        .wait(Wait::Futex(8 * word as u64, u32::MAX), deadline);
                    machine.calls[self.thread as usize] = true;
                    machine.dispatch();
                }
                waits
            });
            let woken = |machine: &mut Machine| {
                machine.calls[self.thread as usize] = false;
                machine.scheduler.woken()
            };
            match queued.then(|| self.step(woken)) {
                None | Some(Woken::Done) => return false,
                Some(Woken::Expired) => return true,
                Some(Woken::Interrupted) => {}
            }
        }
    }

    /// `FUTEX_WAKE`: returns the number of threads woken.
    fn wake(&self, word: usize, count: u64) -> u64 {
        self.step(|machine| match machine.fault {
            Fault::NoWake => 0,
            _ => machine.scheduler.wake(8 * word as u64, u32::MAX, count),
        })
    }

    /// `FUTEX_REQUEUE` of all waiters, the first of which is woken.
    fn requeue(&self, from: usize, to: usize) {
        self.step(|machine| {
            let (from, to) = (8 * from as u64, 8 * to as u64);
            machine.scheduler.wake(from, u32::MAX, 1);
            if machine.fault != Fault::NoRequeue {
                machine.scheduler.requeue(from, to, u64::MAX);
            }
        });
    }

    /// Locks a mutex: 0 is free, 1 locked, 2 locked with possible waiters.
    fn lock(&self, mutex: usize) {
        if !self.compare_and_swap(mutex, 0, 1) {
            self.lock_contended(mutex);
        }
    }

    fn lock_contended(&self, mutex: usize) {
        while self.swap(mutex, 2) != 0 {
            self.wait(mutex, 2, None);
        }
    }

    fn unlock(&self, mutex: usize) {
        if self.swap(mutex, 0) == 2 {
            self.wake(mutex, 1);
        }
    }

    /// Waits for a condition, a count of its broadcasts; wakes up with the mutex.
    fn await_condition(&self, condition: usize, mutex: usize) {
        let count = self.step(|machine| machine.words[condition]);
        self.unlock(mutex);
        self.wait(condition, count, None);
        // Others may have been moved to the mutex.
        self.lock_contended(mutex);
    }

    fn broadcast(&self, condition: usize, mutex: usize) {
        self.step(|machine| machine.words[condition] += 1);
        self.requeue(condition, mutex);
    }

    fn end(&self) {
        self.step(|machine| {
            machine.scheduler.end();
            machine.dispatch();
        });
    }
}

/// Runs threads with these bodies, `ticks` interrupts of the timer and as many signals, until all
/// have ended.
fn run(fault: Fault, ticks: usize, bodies: Vec<fn(&Program)>) -> [u32; 8] {
    let mut scheduler = Scheduler::new();
    let indices: Vec<Index> = bodies
        .iter()
        .map(|_| scheduler.add(()).expect("memory"))
        .collect();
    let mut machine = Machine {
        scheduler,
        running: None,
        calls: vec![false; indices.len()],
        now: 0,
        words: [0; 8],
        fault,
    };
    machine.dispatch();
    let machine = Arc::new((Mutex::new(machine), Condvar::new()));
    let mut threads = Vec::new();
    for (body, thread) in bodies.into_iter().zip(indices.clone()) {
        let program = Program {
            machine: machine.clone(),
            thread,
        };
        threads.push(thread::spawn(move || {
            body(&program);
            program.end();
        }));
    }
    let interrupts = machine.clone();
    threads.push(thread::spawn(move || {
        for _ in 0..ticks {
            let (machine, changed) = &*interrupts;
            let mut machine = machine.lock().expect("no panic");
            machine.now += 1;
            let signalled = indices[thread_rng().gen_range(0..indices.len())];
            machine.scheduler.interrupt(signalled);
            match machine.running {
                Some(running) if machine.calls[running as usize] => continue,
                Some(_) => machine.scheduler.yield_now(),
                None => {}
            }
            machine.dispatch();
            changed.notify_all();
        }
    }));
    for thread in threads {
        thread.join().expect("no panic");
    }
    machine.0.lock().expect("no panic").words
}

const MUTEX: usize = 0;
const CHANGED: usize = 1;
const ITEMS: usize = 2;
const TAKEN: usize = 3;
const WOKEN: usize = 4;
const EXPIRED: usize = 5;

/// Items that each producer makes.
const EACH: u32 = 2;

/// Makes an item, or takes it, once there are `before` of them.
fn change(program: &Program, before: u32) {
    program.lock(MUTEX);
    while program.step(|machine| machine.words[ITEMS]) != before {
        program.await_condition(CHANGED, MUTEX);
    }
    program.swap(ITEMS, 1 - before);
    if before == 1 {
        program.step(|machine| machine.words[TAKEN] += 1);
    }
    program.broadcast(CHANGED, MUTEX);
    program.unlock(MUTEX);
}

fn produce(program: &Program) {
    (0..EACH).for_each(|_| change(program, 0));
}

fn consume(program: &Program) {
    (0..EACH).for_each(|_| change(program, 1));
}

fn hand_over(fault: Fault) {
    let words = run(fault, 12, vec![produce, consume, produce, consume]);
    assert_eq!(words[TAKEN], 2 * EACH);
}

fn wait_until_two(program: &Program) {
    let counter = match program.wait(CHANGED, 0, Some(2)) {
        true => EXPIRED,
        false => WOKEN,
    };
    program.step(|machine| machine.words[counter] += 1);
}

fn wake_one(program: &Program) {
    let woken = program.wake(CHANGED, 1) as u32;
    program.step(|machine| machine.words[TAKEN] += woken);
}

fn expiry(fault: Fault) {
    let words = run(fault, 4, vec![wait_until_two, wake_one, wait_until_two]);
    assert_eq!(words[WOKEN], words[TAKEN], "woken and told so");
    assert_eq!(words[WOKEN] + words[EXPIRED], 2);
}

#[test]
fn mutexes_and_conditions_lose_no_wake_up() {
    shuttle::check_random(|| hand_over(Fault::None), SCHEDULES);
    shuttle::check_pct(|| hand_over(Fault::None), SCHEDULES, 3);
}

#[test]
fn a_wait_either_expires_or_takes_its_wake_up() {
    shuttle::check_random(|| expiry(Fault::None), SCHEDULES);
    shuttle::check_pct(|| expiry(Fault::None), SCHEDULES, 3);
}

#[test]
fn the_model_sees_faults_of_a_futex() {
    for fault in [Fault::NoCompare, Fault::NoRequeue, Fault::NoWake] {
        let seen = catch_unwind(|| shuttle::check_random(move || hand_over(fault), SCHEDULES));
        assert!(seen.is_err(), "fault {}", fault as u8);
    }
}
