//! The kernel of a Soil image: boot, memory, interrupts, time, and the Linux system calls of one
//! program.
//!
//! The program's objects, musl and this crate are one executable in one address space, in ring 0.
//! The loader enters [`boot`], which jumps to musl's `_start` with the same initial stack as on
//! Linux. From then on the kernel runs when it is called: by a `syscall` instruction ([`syscall`]),
//! by a page fault or an interrupt ([`traps`]), and by the runtime above it.
//!
//! # Principles
//!
//! - **Layers.** A module uses only those below it: [`arch`] drives the processor and uses nothing
//!   else; [`memory`] builds on it; then [`acpi`], [`board`], which drives the machine around
//!   the processor, [`interrupts`], [`console`], [`time`],
//!   [`power`], [`signals`], [`threads`], [`wait`]; [`traps`], [`syscall`] and [`boot`] are on top.
//!   A trap and an interrupt's handler are functions that were registered. Calls of optional code
//!   go through the slots of [`part`].
//! - **Linux's terms and results.** The program can't distinguish the supported system calls from
//!   Linux's. An unknown one is ENOSYS and a line on the console, not a guess.
//! - **No trust in outside data**: lengths and addresses of the loader, of firmware and of devices
//!   are checked, and so are the program's pointers.
//! - **Rules are pure, and tested on the host.** Frames, page tables, VMAs, the timer, the clock,
//!   the line discipline, signals and every parser touch no register; the rest is small.
//! - **A program pays for what it calls.** Devices, clocks and tables are set up by their first
//!   use.
//!
//! # Who runs when
//!
//! Each processor runs one thread at a time; [`threads`] switches them. All but the first run only
//! if the program starts them ([`processors`]). Each static says which of these contexts use it:
//!
//! | context | interrupts | may use |
//! |---|---|---|
//! | boot | disabled | everything that is set up already |
//! | task: the program and the runtime | enabled from [`wait::start_ticks`] on | everything |
//! | system call | disabled but for its halts | everything |
//! | page fault | disabled | [`memory`], if no operation on memory was interrupted |
//! | thread change: the timer or a device during a task | disabled | all, unless a cell is in use |
//! | tick: the same, unless a cell is in use | disabled | all, unless it interrupted the runtime |
//! | interrupt of a device | disabled | atomics, ports and registers |
//! | crash | disabled | output, and cells that aren't in use |
//!
//! A value that isn't made of atomics is in an [`cell::ExclusiveCell`], which panics when two
//! contexts of a processor use it at once. Each processor's own state (descriptor tables, stacks,
//! the timer, the halt) is behind one of its registers: [`arch::local`].
#![cfg_attr(
    loom,
    allow(missing_docs, dead_code, reason = "models use private parts")
)]
#![cfg_attr(
    loom,
    allow(clippy::new_without_default, reason = "made at compile time")
)]
#![cfg_attr(not(any(test, loom)), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

extern crate alloc;

/// Protocols that `tools/models` runs.
#[cfg(loom)]
pub mod model {
    pub use crate::halt::polling;
    pub use crate::threads::scheduler;
}

pub mod acpi;
pub mod arch;
pub mod board;
pub mod boot;
pub mod cell;
pub mod clock;
pub mod console;
pub mod crash;
pub mod delivery;
pub mod devices;
mod ecam;
pub mod end;
pub mod environment;
pub mod errno;
pub mod guarded;
pub mod halt;
pub mod interrupts;
pub mod memory;
pub mod part;
pub mod power;
pub mod processors;
pub mod random;
pub mod seed;
pub mod signals;
pub mod smp;
mod stop;
pub mod syscall;
pub mod threads;
pub mod time;
pub mod traps;
pub mod vmclock;
pub mod wait;
