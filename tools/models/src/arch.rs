//! What `kernel` has for each processor; threads stand for processors.

/// As in `kernel`: what each processor has for itself.
pub mod local {
    use std::cell::Cell;
    use std::sync::atomic::AtomicU32;

    /// What the checks of the order use, which aren't part of a protocol.
    pub struct Local {
        /// Ranks of the cells in use.
        pub held: AtomicU32,
    }

    loom::thread_local! {
        static CELLS: Cell<u32> = Cell::new(0);
        static LOCAL: &'static Local = Box::leak(Box::new(Local { held: AtomicU32::new(0) }));
        static OWNER: Cell<u8> = Cell::new(1);
    }

    /// Whether there are several, with interrupts.
    pub fn several() -> bool {
        false
    }

    /// Makes the caller the processor with this number, from 0 on; without it, it is the first.
    pub fn begin(number: u8) {
        OWNER.with(|owner| owner.set(number + 1));
    }

    /// What the processor has.
    pub fn get() -> &'static Local {
        LOCAL.with(|local| *local)
    }

    /// Counts a cell that will be in use.
    pub fn enter() {
        CELLS.with(|cells| cells.set(cells.get() + 1));
    }

    /// Counts a cell that is no longer in use.
    pub fn leave() {
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

/// As in `kernel`: the models have no interrupts.
pub mod interrupts {
    /// Whether interrupts are enabled.
    pub fn are_enabled() -> bool {
        false
    }
}
