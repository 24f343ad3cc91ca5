//! A processor takes pages away from under another one, which has cached their translations.

use kernel::arch::host::Preempted;
use kernel::smp::shootdown::Requests;
use loom::cell::UnsafeCell;
use loom::thread;
use std::ops::Range;
use std::sync::Arc;
use sync::atomic::{AtomicBool, Ordering};

/// Number of pages.
const PAGES: usize = 2;
/// The processor that takes them away, and the one that uses them.
const TAKER: usize = 0;
const USER: usize = 1;

struct Memory {
    requests: Requests<2>,
    /// Whether the tables map a page.
    mapped: [AtomicBool; PAGES],
    frames: [UnsafeCell<u32>; PAGES],
}

impl Memory {
    /// All pages are mapped.
    fn new() -> Self {
        Self {
            requests: Requests::new(),
            mapped: [const { AtomicBool::new(true) }; PAGES],
            frames: [0; PAGES].map(UnsafeCell::new),
        }
    }

    /// Begins the atomics, where they stay; the user is busy.
    fn begin(&self) {
        (0..PAGES).for_each(|page| assert!(self.is_mapped(page)));
        let first = self.requests.post(0..0, TAKER);
        self.requests.set_busy(USER, || ());
        assert!(!self.requests.is_awaited(USER, first));
    }

    /// The tables' entry of a page.
    fn is_mapped(&self, page: usize) -> bool {
        self.mapped[page].load(Ordering::Relaxed)
    }

    /// Uses the pages whose translations are cached.
    fn touch(&self, cached: &[bool; PAGES]) {
        for (frame, _) in self
            .frames
            .iter()
            .zip(cached)
            .filter(|(_, cached)| **cached)
        {
            // SAFETY: loom reports another access at the same time.
            frame.with(|at| unsafe { assert_eq!(*at, 0) });
        }
    }

    /// Forgets the translations of `pages`.
    fn flush(&self, pages: Range<usize>, cached: &mut [bool; PAGES]) {
        for page in pages {
            cached[page] = self.is_mapped(page);
        }
    }

    /// Takes pages away, and gives the frames on.
    fn take(&self, pages: Range<usize>) {
        for page in pages.clone() {
            self.mapped[page].store(false, Ordering::Relaxed);
        }
        let addresses = pages.start as u64..pages.end as u64;
        let request = self.requests.post(addresses, TAKER);
        while self.requests.is_awaited(USER, request) {
            thread::yield_now();
        }
        for page in pages {
            // SAFETY: as above.
            self.frames[page].with_mut(|at| unsafe { *at = 1 });
        }
    }
}

/// The user is interrupted, idles, and is busy again, while two pages are taken away.
pub fn requests() {
    let memory = Arc::new(Memory::new());
    memory.begin();
    let other = thread::spawn({
        let memory = memory.clone();
        move || {
            let mut cached = [true; PAGES];
            memory.touch(&cached);
            memory.requests.serve(USER, |addresses| {
                assert_eq!(addresses.end, addresses.start + 1);
                memory.flush(
                    addresses.start as usize..addresses.end as usize,
                    &mut cached,
                );
            });
            memory.touch(&cached);
            memory.requests.set_idle(USER);
            memory
                .requests
                .set_busy(USER, || memory.flush(0..PAGES, &mut cached));
            memory.touch(&cached);
            memory.requests.set_idle(USER);
        }
    });
    (0..PAGES).for_each(|page| memory.take(page..page + 1));
    other.join().expect("no panic");
}

/// A processor whose host takes it away twice, and the host.
struct Virtual {
    memory: Memory,
    preempted: Preempted,
}

impl Virtual {
    /// As [`Memory::take`], by the record of the host.
    fn take(&self, page: usize) {
        self.memory.mapped[page].store(false, Ordering::Relaxed);
        // With a gap between those of two pages.
        let address = 2 * page as u64;
        let request = self.memory.requests.post(address..address + 1, TAKER);
        while self.memory.requests.is_awaited(USER, request) && !self.preempted.flush_later() {
            thread::yield_now();
        }
        // SAFETY: as above.
        self.memory.frames[page].with_mut(|at| unsafe { *at = 1 });
    }

    /// The host runs something else, and then the processor again.
    fn preempt(&self, cached: &mut [bool; PAGES]) {
        let byte = self.preempted.byte();
        // Stronger in KVM.
        byte.store(Preempted::PREEMPTED, Ordering::Release);
        if byte.swap(0, Ordering::Acquire) & Preempted::FLUSH != 0 {
            self.memory.flush(0..PAGES, cached);
        }
    }
}

/// The host takes the user away, in between and while it serves a request, while two pages are
/// taken away.
pub fn preempted() {
    let machine = Arc::new(Virtual {
        memory: Memory::new(),
        preempted: Preempted::new(),
    });
    machine.memory.begin();
    // Begins the atomic: one that runs is waited for.
    assert!(!machine.preempted.flush_later());
    let other = thread::spawn({
        let machine = machine.clone();
        move || {
            let memory = &machine.memory;
            let mut cached = [true; PAGES];
            memory.touch(&cached);
            machine.preempt(&mut cached);
            memory.touch(&cached);
            memory.requests.serve(USER, |addresses| {
                machine.preempt(&mut cached);
                assert!(addresses.start <= addresses.end);
                for page in (0..PAGES).filter(|page| addresses.contains(&(2 * *page as u64))) {
                    memory.flush(page..page + 1, &mut cached);
                }
            });
            memory.touch(&cached);
            memory.requests.set_idle(USER);
        }
    });
    (0..PAGES).rev().for_each(|page| machine.take(page));
    other.join().expect("no panic");
}
