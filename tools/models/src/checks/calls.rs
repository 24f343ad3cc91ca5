//! The lock of system calls, for which the threads of two processors wait in the scheduler.

use super::bell::Bell;
use crate::kernel::lock::Lock;
use crate::kernel::scheduler::Scheduler;
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// Number of processors, of a thread each.
const PROCESSORS: usize = 2;

type Threads = Scheduler<(), PROCESSORS>;

struct Machine {
    lock: Lock,
    /// In the kernel's cell for threads, which one processor uses at a time.
    scheduler: Mutex<Threads>,
    /// Kicks of each processor.
    interrupts: [Bell; PROCESSORS],
    data: UnsafeCell<u32>,
}

impl Machine {
    /// Uses the scheduler, and kicks who is to run.
    fn with<R>(&self, f: impl Fn(&mut Threads) -> R) -> R {
        let mut scheduler = self.scheduler.lock().expect("no panic");
        let result = f(&mut scheduler);
        let kicks = scheduler.take_kicks();
        drop(scheduler);
        for (processor, interrupt) in self.interrupts.iter().enumerate() {
            if kicks & 1 << processor != 0 {
                interrupt.ring();
            }
        }
        result
    }

    /// Waits while the lock is marked.
    fn pause(&self, processor: usize) {
        let (word, marked) = self.lock.word();
        let wait =
            |threads: &mut Threads| threads.wait_while(processor, word, marked, u32::MAX, None);
        if !self.with(wait) {
            return;
        }
        while self.with(|threads| threads.next(processor)).is_none() {
            if self.with(|threads| threads.halt(processor)) {
                self.interrupts[processor].wait();
                self.with(|threads| threads.wake_processor(processor));
            }
        }
        self.with(|threads| threads.saved(processor));
    }

    /// A system call.
    fn call(&self, processor: usize) {
        if !self.lock.take() {
            while !self.lock.take_or_mark() {
                self.pause(processor);
            }
        }
        // SAFETY: loom reports another access at the same time.
        self.data.with_mut(|at| unsafe { *at += 1 });
        if self.lock.release() {
            self.with(|threads| threads.wake(self.lock.address(), u32::MAX, 1));
        }
    }
}

/// Two processors make a system call each.
pub fn calls() {
    let machine = Arc::new(Machine {
        lock: Lock::new(),
        scheduler: Mutex::new(Scheduler::new()),
        interrupts: [(); PROCESSORS].map(|()| Bell::new()),
        data: UnsafeCell::new(0),
    });
    // Begins the word.
    assert!(machine.lock.is_free());
    machine.with(|threads| {
        threads.set_several();
        for processor in 0..PROCESSORS {
            threads.add(()).expect("memory");
            threads.next(processor);
            threads.saved(processor);
        }
    });
    let other = thread::spawn({
        let machine = machine.clone();
        move || machine.call(1)
    });
    machine.call(0);
    other.join().expect("no panic");
    // SAFETY: as above.
    assert_eq!(machine.data.with(|at| unsafe { *at }), 2);
}
