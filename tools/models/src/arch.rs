//! What `kernel` has for each processor; threads stand for processors.

/// As in `kernel`: what each processor has for itself.
pub mod local {
    use crate::image::threads::{Fault, has};
    use core::sync::atomic::AtomicBool;
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
    use weak::interrupts;

    /// As in `kernel`.
    pub const MAX: usize = 2;

    /// What a processor has. What only it uses is no object of loom's.
    pub struct Local {
        number: u8,
        /// Ranks of the cells in use.
        pub held: AtomicU32,
        /// As in `kernel`.
        pub called: Called,
        /// The same.
        pub poll_ns: AtomicU64,
        /// The same.
        pub thread: AtomicU64,
        /// The same.
        pub since: AtomicU64,
        /// The same.
        pub limited: std::sync::atomic::AtomicBool,
        polls: AtomicU8,
    }

    /// Written by other processors.
    pub struct Called(AtomicBool);

    impl Called {
        /// As an atomic's.
        pub fn load(&self, ordering: Ordering) -> bool {
            self.0.load(ordering)
        }

        /// As an atomic's.
        pub fn store(&self, called: bool, ordering: Ordering) {
            if !(called && has(Fault::CallLost)) {
                self.0.store(called, ordering);
            }
        }
    }

    impl Local {
        fn new(number: u8) -> Local {
            Local {
                number,
                held: AtomicU32::new(0),
                called: Called(AtomicBool::new(false)),
                poll_ns: AtomicU64::new(0),
                thread: AtomicU64::new(0),
                since: AtomicU64::new(0),
                limited: std::sync::atomic::AtomicBool::new(false),
                polls: AtomicU8::new(0),
            }
        }

        /// From 0 on.
        pub fn number(&self) -> u8 {
            self.number
        }

        /// No slice ends.
        pub fn used_ns(&self, _: u64) -> u64 {
            0
        }

        /// Counts turns of polling. Others run in between, and soon end it.
        pub fn count_poll(&self) {
            let polls = self.polls.fetch_add(1, Ordering::Relaxed);
            assert!(polls < 100, "a processor polls for good");
        }
    }

    loom::lazy_static! {
        static ref LOCALS: [Local; MAX] =
            std::array::from_fn(|number| Local::new(number as u8));
    }

    loom::thread_local! {
        static CELLS: Cell<u32> = Cell::new(0);
        static OWNER: Cell<u8> = Cell::new(1);
    }

    /// Whether there are several, with interrupts.
    pub fn several() -> bool {
        true
    }

    /// Makes the caller the processor with this number, from 0 on; without it, it is the first.
    pub fn begin(number: u8) {
        OWNER.with(|owner| owner.set(number + 1));
    }

    /// What the processor has.
    pub fn get() -> &'static Local {
        &LOCALS[usize::from(owner() - 1)]
    }

    /// What the processor with this number has.
    pub fn of(number: usize) -> Option<&'static Local> {
        LOCALS.get(number)
    }

    /// Counts a cell that will be in use.
    pub fn enter() {
        interrupts::point();
        if has(Fault::Uncounted) {
            return;
        }
        CELLS.with(|cells| cells.set(cells.get() + 1));
    }

    /// Counts a cell that is no longer in use.
    pub fn leave() {
        interrupts::point();
        if has(Fault::Uncounted) {
            return;
        }
        CELLS.with(|cells| cells.set(cells.get() - 1));
    }

    /// Number of cells in use by the processor.
    pub fn cells() -> u32 {
        CELLS.with(Cell::get)
    }

    /// The processor's number plus 1.
    pub fn owner() -> u8 {
        OWNER.with(Cell::get)
    }
}

/// As in `kernel`: the models have no interrupts that come by themselves.
#[expect(missing_docs, reason = "as in `kernel`")]
pub mod interrupts {
    pub fn are_enabled() -> bool {
        false
    }

    pub fn enable() {}

    pub fn disable() {}

    pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// As in `kernel`: no thread is switched to.
#[expect(missing_docs, reason = "as in `kernel`")]
pub mod gates {
    pub struct Frame;

    #[derive(Clone, Copy)]
    pub struct Context;

    impl Context {
        pub const RUNNING: Context = Context;
    }

    /// # Safety
    /// It has no preconditions.
    pub unsafe fn switch(_: *mut Context, _: Context, _: u64, _: u64) {
        unreachable!("each thread stays on its processor")
    }

    /// # Safety
    /// It has no preconditions.
    pub unsafe fn move_frame(frame: &mut Frame, _: u64) -> *mut Frame {
        frame
    }

    pub fn system_call_stack() -> u64 {
        0
    }
}

/// As in `kernel`.
pub mod float {
    /// Runs `f`.
    pub fn preserving(f: fn()) {
        f();
    }
}
