//! The processor that this kernel runs on: its entry points, page tables, registers and counter.
//!
//! The rest of the kernel names `arch::gates`, not the folder. Each folder has the same modules and
//! functions, which keep these promises; a function that isn't named here may be called from any
//! context, touches one register and neither allocates, waits nor changes whether interrupts are
//! enabled.
//!
//! - `cpu`, `counter`, `random`, `thread_pointer` have no state. `cpu::barrier` orders all accesses
//!   before it, for devices too, before all after it.
//! - `interrupts`: `enable_and_halt` loses no interrupt between the two; `without_interrupts`
//!   restores what it found.
//! - `paging`: entries of page tables as values, by pure functions. An entry of 0 maps nothing.
//! - `mmu`: a flush returns when no later access of this processor uses the old entry. Entries that
//!   became valid need none, but [`paging::publish`].
//! - `gates`: traps and system calls run with interrupts disabled; [`gates::Frame`] and
//!   [`gates::SystemCallFrame`] end the stack that they are on. `switch` is called with interrupts
//!   disabled, and returns in the thread that it suspends.
//! - `host`: what runs the virtual processors. `begin` is called once on each that uses the others.
//! - `stacks`: an unmapped page is below each; traps that may interrupt each other have one each.
//! - `processor`: the memory that each processor has for itself, and the register that leads to it
//!   from [`local::set_up`] on. [`local`] is the part of it that the rest of the kernel uses.
//! - `signals`: the frame and the return of a signal's [`handler`], on the program's stack.
//! - `float`: the program's floating-point state is as it was when the function returns.
//! - `start`: the first instructions, which call `soil_kernel_start` on [`stacks::MAIN`] with
//!   interrupts disabled and [`start::boot_mapped`] mapped; and the program's first. An exception
//!   that the former cause and skip is [`start::take_skipped`]'s.
//! - `numbers`: Linux's numbers of system calls, by names, of which each processor has a table.
//!
//! The devices around the processor are [`crate::board`]'s.

pub mod cause;
pub mod handler;
pub mod local;
#[cfg(loom)]
pub mod model;
#[cfg(loom)]
pub use model::interrupts;
pub mod numbers;
pub mod page;
mod per_cpu;
mod stack;
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use self::x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use self::aarch64::*;

/// What touches no register is tested on every host.
#[cfg(all(test, not(target_arch = "aarch64")))]
#[allow(dead_code)]
mod aarch64 {
    mod entries;
    mod features;
    mod syndrome;
}

/// An exception of a processor's first instructions.
pub struct Skipped {
    /// Its name.
    pub name: &'static str,
    /// What the processor says of it.
    pub syndrome: u64,
    /// The instruction.
    pub address: u64,
}
