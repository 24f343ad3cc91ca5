//! The machine around the processor: interrupt controller, timer, clocks, serial ports, PCI, power.
//!
//! The rest of the kernel names `board::uart`, not the folder. Each folder has the same modules and
//! functions, which keep these promises; a function that isn't named here may be called from any
//! context, and neither allocates, waits nor changes whether interrupts are enabled.
//!
//! - `handover`: the loader's data. `read` accesses memory only, and moves the loader's random
//!   bytes to [`crate::seed`].
//! - `set_up`: calls the other modules. `early` runs on the boot tables before the console, `late`
//!   once on the real tables, with interrupts disabled.
//! - `vectors`: the numbers of interrupts' handlers, below `COUNT`.
//! - `irq`: `begin` and `end` are called once each for an interrupt, in it; one that `begin`
//!   doesn't know has no end, nor has that of another processor (`vectors::WAKE`). `route` and
//!   `has_input` may map memory: not for interrupts. The write of a message is ordered after the
//!   device's writes before it.
//! - `processors`: starts the others, and interrupts them. `start` is called once; the functions
//!   have interrupts disabled, but for `find`.
//! - `timer`: one interrupt, at the time or earlier; a later call replaces it. After the clock's
//!   `begin`.
//! - `clock`: `begin`, `compare` and `time_of_day` have interrupts disabled, as some devices take
//!   two accesses; `begin` comes before the other two.
//! - `fw_cfg`: after `set_up::late`; may map memory, and allocates.
//! - `uart`, `control`: no state. The console serializes the accesses.
//! - `nvram`: a few bytes that a reset leaves alone.
//! - `pci`: configuration space, for one caller at a time and not for interrupts; `set_up` comes
//!   before the first access, and may allocate. `resources` is shared.
//! - `mmio`: may read firmware's tables, and allocates then: not for interrupts.
//! - `power`: `end_now` uses neither tables nor locks; the others may map memory.
//! - `button`, `keyboard`: `enable` may map memory; `pressed` and `requests` are for their
//!   interrupts, or with these disabled.

mod resources;

#[cfg(target_arch = "x86_64")]
mod pc;
#[cfg(target_arch = "x86_64")]
pub use self::pc::*;

#[cfg(target_arch = "aarch64")]
mod virt;
#[cfg(target_arch = "aarch64")]
pub use self::virt::*;

/// What touches no register is tested on every host.
#[cfg(all(test, not(target_arch = "aarch64")))]
#[allow(dead_code)]
mod virt {
    mod bridge;
    mod its {
        mod commands;
    }
    mod registers;
    mod seed;
    mod survey;
    mod uart;
}
