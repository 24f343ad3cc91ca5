//! In models: loom's threads stand for processors, whose interrupts don't come by themselves.

use super::per_cpu::Local;
use std::cell::Cell;
use sync::model::interrupts::point;

/// Number of processors.
pub const PROCESSORS: usize = 2;

loom::lazy_static! {
    static ref LOCALS: [Local; PROCESSORS] = std::array::from_fn(|number| {
        let local = Local::new();
        local.set_number(number as u8);
        local
    });
}

loom::thread_local! {
    static CELLS: Cell<u32> = Cell::new(0);
    static OWNER: Cell<u8> = Cell::new(1);
}

std::thread_local! {
    /// Cells in use aren't counted: a fault.
    static UNCOUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether cells in use aren't counted.
pub fn set_uncounted(uncounted: bool) {
    UNCOUNTED.set(uncounted);
}

/// Makes the caller the processor with this number, from 0 on; without it, it is the first.
pub fn begin(number: u8) {
    OWNER.with(|owner| owner.set(number + 1));
}

/// As on a machine.
pub fn get() -> &'static Local {
    &LOCALS[usize::from(owner() - 1)]
}

/// As on a machine.
pub fn of(number: usize) -> Option<&'static Local> {
    LOCALS.get(number)
}

/// As on a machine.
pub fn enter() {
    point();
    if !UNCOUNTED.get() {
        CELLS.with(|cells| cells.set(cells.get() + 1));
    }
}

/// As on a machine.
pub fn leave() {
    point();
    if !UNCOUNTED.get() {
        CELLS.with(|cells| cells.set(cells.get() - 1));
    }
}

/// As on a machine.
pub fn cells() -> u32 {
    CELLS.with(Cell::get)
}

/// As on a machine.
pub fn owner() -> u8 {
    OWNER.with(Cell::get)
}

/// As on a machine; they stay disabled.
#[expect(missing_docs, reason = "as on a machine")]
pub mod interrupts {
    pub fn are_enabled() -> bool {
        false
    }

    pub fn enable() {}

    pub fn disable() {}

    pub fn halt() {}

    pub fn enable_and_halt() {}

    pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}
