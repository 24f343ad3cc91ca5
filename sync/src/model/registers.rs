//! The registers of a model's device.

use std::cell::Cell;

/// How a model's device answers accesses to its registers, by their addresses.
#[derive(Clone, Copy)]
pub struct Registers {
    /// A load.
    pub read: fn(usize) -> u64,
    /// A store.
    pub write: fn(usize, u64),
}

// Loom runs the threads of a model on the one of the system's that called it.
thread_local! {
    static REGISTERS: Cell<Option<Registers>> = const { Cell::new(None) };
}

/// The model has a device with these registers.
pub fn set(registers: Registers) {
    REGISTERS.set(Some(registers));
}

/// The registers of the model's device.
///
/// # Panics
/// If the model has none.
pub fn get() -> Registers {
    REGISTERS.get().expect("a device")
}
