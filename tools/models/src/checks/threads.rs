//! The kernel's notes of interrupts, and threads that wait for them or for a word, on two
//! processors.

use crate::arch::local;
use crate::image::threads::{self, Fault, await_device, await_interrupt, pause_while};
use kernel::interrupts::{events as noted_events, note, take_pending, take_pending_for_call};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use sync::atomic::{AtomicU32, Ordering};

/// Begins the flags.
pub(super) fn begin_notes() {
    take_pending();
    take_pending_for_call();
    noted_events();
}

/// Two processors note the interrupts of a device each: who takes the last note has seen what both
/// devices wrote.
pub fn notes() {
    begin_notes();
    let before = noted_events();
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
        if noted_events() == before + 2 {
            assert_eq!(written(), 2, "a count without what came before");
        }
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

/// How a thread waits for an interrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// As the one that polls all devices.
    ForDevices,
    /// As any other.
    ForEvents,
}

/// A thread waits for an interrupt that the other processor handles.
fn await_event(waiting: Waiting, fault: Fault) {
    begin_notes();
    let word = Arc::new(AtomicU32::new(0));
    assert_eq!(word.load(Ordering::Relaxed), 0);
    threads::begin(fault, false);
    let other = thread::spawn({
        let word = word.clone();
        move || {
            local::begin(1);
            // The device.
            word.store(1, Ordering::Relaxed);
            if fault != Fault::NotedLate {
                note();
            }
            threads::interrupt();
            if fault == Fault::NotedLate {
                note();
            }
        }
    });
    loop {
        let seen = noted_events();
        if word.load(Ordering::Relaxed) != 0 {
            break;
        }
        match (waiting, fault) {
            (Waiting::ForEvents, Fault::CountedLate) => await_interrupt(noted_events()),
            (Waiting::ForEvents, _) => await_interrupt(seen),
            (Waiting::ForDevices, Fault::NotedOutside) if take_pending() => {}
            (Waiting::ForDevices, _) => await_device(),
        }
    }
    other.join().expect("no panic");
}

/// [`await_event`] without a fault.
pub fn events() {
    await_event(Waiting::ForDevices, Fault::None);
}

/// The same of a thread that waits beside others.
pub fn any_event() {
    await_event(Waiting::ForEvents, Fault::None);
}

/// A word that a thread changes for another one, and what it wrote before.
struct Word {
    word: AtomicU32,
    data: UnsafeCell<u32>,
}

impl Word {
    fn new() -> Word {
        Word {
            word: AtomicU32::new(0),
            data: UnsafeCell::new(0),
        }
    }

    fn change(&self, fault: Fault) {
        let wake = || threads::wake(&self.word);
        // SAFETY: loom reports another access at the same time.
        self.data.with_mut(|at| unsafe { *at = 1 });
        if fault == Fault::ChangedLate {
            wake();
        }
        self.word.store(1, Ordering::Release);
        if fault != Fault::ChangedLate {
            wake();
        }
    }

    fn wait(&self) {
        while self.word.load(Ordering::Acquire) == 0 {
            pause_while(&self.word, 0);
        }
        // SAFETY: as above.
        assert_eq!(self.data.with(|at| unsafe { *at }), 1);
    }
}

/// Threads on two processors wait for each other, and these for threads.
fn exchange(fault: Fault, polls: bool) {
    let words = Arc::new([Word::new(), Word::new()]);
    // Begins them.
    assert!(
        words
            .iter()
            .all(|word| word.word.load(Ordering::Relaxed) == 0)
    );
    threads::begin(fault, polls);
    let other = thread::spawn({
        let words = words.clone();
        move || {
            local::begin(1);
            words[0].wait();
            words[1].change(fault);
        }
    });
    words[0].change(fault);
    words[1].wait();
    other.join().expect("no panic");
}

/// Processors halt at once.
pub fn halting() {
    exchange(Fault::None, false);
}

/// Processors poll until they have a thread.
pub fn polling() {
    exchange(Fault::None, true);
}

/// Each fault in a model that shows it.
pub const FAULTY: [fn(); 8] = [
    || await_event(Waiting::ForDevices, Fault::NotedOutside),
    || await_event(Waiting::ForDevices, Fault::NotedLate),
    || await_event(Waiting::ForDevices, Fault::KickLost),
    || await_event(Waiting::ForEvents, Fault::CountedLate),
    || await_event(Waiting::ForEvents, Fault::NotedLate),
    || exchange(Fault::ChangedLate, false),
    || exchange(Fault::KickLost, false),
    || exchange(Fault::CallLost, true),
];
