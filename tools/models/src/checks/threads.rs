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

/// A processor with a thread, and what another one shares with it.
struct Processor {
    /// In the kernel's cell for threads, which one processor uses at a time.
    scheduler: Mutex<Scheduler<()>>,
    /// The other one interrupts it.
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
            scheduler.add(()).expect("memory");
            scheduler.next();
        });
        // Begins the word.
        assert_eq!(processor.word.load(Ordering::Relaxed), 0);
        processor
    }

    fn with<R>(&self, f: impl Fn(&mut Scheduler<()>) -> R) -> R {
        f(&mut self.scheduler.lock().expect("no panic"))
    }

    /// Halts until the thread can run.
    fn run_next(&self) {
        while self.with(Scheduler::next).is_none() {
            self.interrupt.wait();
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
            if processor.with(Scheduler::event) {
                processor.interrupt.ring();
            }
        }
    });
    while processor.word.load(Ordering::Relaxed) == 0 {
        let wait =
            |scheduler: &mut Scheduler<()>| scheduler.wait_unless(take_pending, Wait::Event, None);
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
            if processor.with(|scheduler| scheduler.wake(address, 1, 1)) > 0 {
                processor.interrupt.ring();
            }
        }
    });
    while processor.word.load(Ordering::Acquire) == 0 {
        let wait = |scheduler: &mut Scheduler<()>| {
            scheduler.wait_while(&processor.word, 0, u32::MAX, None)
        };
        if processor.with(wait) {
            processor.run_next();
        }
    }
    // SAFETY: as above.
    assert_eq!(processor.data.with(|at| unsafe { *at }), 1);
    other.join().expect("no panic");
}
