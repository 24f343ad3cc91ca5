//! The kernel's notes of interrupts, and threads that wait for them or for a word, on two
//! processors.

use super::bell::Bell;
use crate::kernel::notes::{note, take_pending, take_pending_for_call};
use crate::kernel::scheduler::{Scheduler, Wait};
use core::sync::atomic::{AtomicU32, Ordering};
use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// Begins the flags.
fn begin_notes() {
    take_pending();
    take_pending_for_call();
}

/// Two processors note the interrupts of a device each: who takes the last note has seen what both
/// devices wrote.
pub fn notes() {
    begin_notes();
    let devices = Arc::new([const { AtomicU32::new(0) }; 2]);
    let noted = Arc::new(AtomicU32::new(0));
    let written = {
        let devices = devices.clone();
        move || {
            { devices.iter() }
                .map(|device| device.load(Ordering::Relaxed))
                .sum::<u32>()
        }
    };
    assert_eq!((written(), noted.load(Ordering::Relaxed)), (0, 0));
    let processors = [0, 1].map(|number| {
        let (devices, noted) = (devices.clone(), noted.clone());
        thread::spawn(move || {
            devices[number].store(1, Ordering::Relaxed);
            note();
            noted.fetch_add(1, Ordering::Relaxed);
        })
    });
    let mut seen = [0; 2];
    let mut take = || {
        if take_pending() {
            seen[0] = written();
        }
        if take_pending_for_call() {
            seen[1] = written();
        }
    };
    while noted.load(Ordering::Relaxed) < 2 {
        take();
        thread::yield_now();
    }
    take();
    assert_eq!(seen, [2; 2], "an event whose note is gone");
    for processor in processors {
        processor.join().expect("no panic");
    }
}

/// Number of processors.
const PROCESSORS: usize = 2;
/// The one whose thread waits.
const WAITING: usize = 0;

type Threads = Scheduler<(), PROCESSORS>;

/// A processor with a thread, and what another one shares with it.
struct Processor {
    /// In the kernel's cell for threads, which one processor uses at a time.
    scheduler: Mutex<Threads>,
    /// The other one kicks it.
    interrupt: Bell,
    word: AtomicU32,
    data: UnsafeCell<u32>,
}

impl Processor {
    fn new() -> Arc<Processor> {
        let processor = Arc::new(Processor {
            scheduler: Mutex::new(Scheduler::new()),
            interrupt: Bell::new(),
            word: AtomicU32::new(0),
            data: UnsafeCell::new(0),
        });
        processor.with(|scheduler| {
            scheduler.set_several();
            scheduler.add(()).expect("memory");
            scheduler.next(WAITING);
        });
        // Begins the word.
        assert_eq!(processor.word.load(Ordering::Relaxed), 0);
        processor
    }

    fn with<R>(&self, f: impl Fn(&mut Threads) -> R) -> R {
        f(&mut self.scheduler.lock().expect("no panic"))
    }

    /// Halts until the thread can run.
    fn run_next(&self) {
        while self.with(|scheduler| scheduler.next(WAITING)).is_none() {
            if self.with(|scheduler| scheduler.halt(WAITING)) {
                self.interrupt.wait();
                self.with(|scheduler| scheduler.wake_processor(WAITING));
            }
        }
    }

    /// The other processor uses the scheduler, and kicks this one if that is what it says.
    fn change(&self, f: impl Fn(&mut Threads)) {
        let kicks = self.with(|scheduler| {
            f(scheduler);
            scheduler.take_kicks()
        });
        if kicks != 0 {
            assert_eq!(kicks, 1 << WAITING, "the other one runs");
            self.interrupt.ring();
        }
    }
}

/// A thread waits for an interrupt that the other processor handles.
pub fn events() {
    begin_notes();
    let processor = Processor::new();
    let other = thread::spawn({
        let processor = processor.clone();
        move || {
            // The device.
            processor.word.store(1, Ordering::Relaxed);
            note();
            processor.change(|scheduler| _ = scheduler.event());
        }
    });
    while processor.word.load(Ordering::Relaxed) == 0 {
        let wait = |scheduler: &mut Threads| {
            scheduler.wait_unless(WAITING, take_pending, Wait::Event, None)
        };
        if processor.with(wait) {
            processor.run_next();
        }
    }
    other.join().expect("no panic");
}

/// A thread waits while a word is 0, which a thread of the other processor changes.
pub fn futex() {
    let processor = Processor::new();
    let other = thread::spawn({
        let processor = processor.clone();
        move || {
            // SAFETY: loom reports another access at the same time.
            processor.data.with_mut(|at| unsafe { *at = 1 });
            processor.word.store(1, Ordering::Release);
            let address = processor.word.as_ptr() as u64;
            processor.change(|scheduler| _ = scheduler.wake(address, 1, 1));
        }
    });
    while processor.word.load(Ordering::Acquire) == 0 {
        let wait = |scheduler: &mut Threads| {
            scheduler.wait_while(WAITING, &processor.word, 0, u32::MAX, None)
        };
        if processor.with(wait) {
            processor.run_next();
        }
    }
    // SAFETY: as above.
    assert_eq!(processor.data.with(|at| unsafe { *at }), 1);
    other.join().expect("no panic");
}
