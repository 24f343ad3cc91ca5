//! The kernel of a Soil image: boot, memory, interrupts, time and the system calls of one OCaml
//! program.
//!
//! The program's objects, musl and this crate are one executable in one address space, in ring 0.
//! The way in is [`boot`] (PVH), then [`start`], then musl's `_start`, which finds on its stack
//! what Linux would have put there. From then on the kernel runs when it is called: by a `syscall`
//! instruction ([`syscall`]), by a page fault that gives a page its memory ([`memory`]), and by the
//! functions below.
//!
//! # For `soil-sys`
//! - [`time`]: `monotonic_ns() -> u64`, `wall_ns() -> u64`
//! - [`wait`]: `wait_until(deadline_ns: Option<u64>)` halts until any interrupt (device, console,
//!   button) or the deadline; `start_ticks(fn(), stack)` lets the timer interrupt the program from
//!   then on, `resume(now)` sets it before the program runs on
//! - [`memory`]: `statistics() -> Statistics`; `is_short() -> bool`, `set_promised(bytes)`
//! - [`devices`]: `MEMORY: drivers::MemoryRef`, `find(&mut dyn FnMut(String)) -> Vec<Found>` (once)
//! - [`console`]: `try_write(Stream, &[u8]) -> usize`, `has_room() -> bool`, `try_read(&mut [u8])
//!   -> Option<usize>`, `has_input() -> bool` (input ends a wait from then on)
//! - [`power`]: `exit(status) -> !`, `off() -> !`, `reboot() -> !`, `handle_requests()`,
//!   `requested() -> usize`
//! - [`random`]: `hardware(&mut [u8]) -> bool`; [`entropy_source!`] places a source of its own
//! - [`environment`]: `variable(name) -> Option<&'static [u8]>`
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod acpi;
#[cfg(not(test))]
pub mod apic;
pub mod areas;
#[cfg(not(test))]
pub mod boot;
pub mod cell;
mod clock;
pub mod cmdline;
#[cfg(not(test))]
pub mod compat;
#[cfg(not(test))]
pub mod console;
#[cfg(not(test))]
pub mod crash;
#[cfg(not(test))]
pub mod devices;
#[cfg(not(test))]
pub mod environment;
pub mod errno;
#[cfg(not(test))]
pub mod firmware;
pub mod frames;
#[cfg(not(test))]
mod heap;
#[cfg(not(test))]
pub mod interrupts;
#[cfg(not(test))]
mod io_apic;
#[cfg(not(test))]
pub mod machine;
#[cfg(not(test))]
pub mod memory;
pub mod paging;
#[cfg(not(test))]
mod places;
pub mod polling;
#[cfg(not(test))]
pub mod power;
pub mod pvh;
#[cfg(not(test))]
pub mod random;
mod reserve;
pub mod rtc;
#[cfg(not(test))]
pub mod serial;
#[cfg(not(test))]
mod signals;
#[cfg(not(test))]
mod stacks;
#[cfg(not(test))]
mod strings;
#[cfg(not(test))]
pub mod syscall;
pub mod syscall_names;
#[cfg(not(test))]
pub mod time;
pub mod timer;
pub mod tlb;
pub mod typing;
#[cfg(not(test))]
pub mod wait;

#[cfg(not(test))]
pub use start::start;

#[cfg(not(test))]
mod start {
    use crate::memory::{BootMemory, SetUpError};
    use crate::pvh::StartInfo;
    use crate::{apic, console, environment, firmware, interrupts, memory, power, strings, time};

    /// What a machine that can't be started reports: the shell's "command can't be run".
    const STATUS_CANNOT_RUN: u8 = 126;

    /// From the boot assembly to the program. `start_info` is the physical address of the loader's
    /// structure.
    pub extern "C" fn start(start_info: u64) -> ! {
        time::set_up();
        console::set_up();
        let Some(info) = StartInfo::parse(&BootMemory, start_info) else {
            stop(format_args!(
                "the loader gave no PVH start info with a memory map"
            ));
        };
        // SAFETY: this is the one call, on the boot tables.
        match unsafe { memory::set_up(&info) } {
            Ok(()) => {}
            Err(SetUpError::NoMemory | SetUpError::TooLittle) => stop(format_args!(
                "too little memory: nothing is left behind the image; give the machine more (soil run --mem)"
            )),
        }
        // SAFETY: once, on the real tables.
        unsafe { interrupts::set_up() };
        firmware::set_root(info.rsdp);
        strings::set_up();
        apic::set_up();
        time::note_bus();
        let stack = environment::set_up(&info);
        memory::release_low(&info);
        // SAFETY: the stack is as `_start` wants it.
        unsafe { run(stack) }
    }

    fn stop(reason: core::fmt::Arguments) -> ! {
        console::line(reason);
        power::exit(STATUS_CANNOT_RUN)
    }

    unsafe extern "C" {
        fn _start() -> !;
    }

    /// Jumps to musl's start.
    ///
    /// # Safety
    /// `stack` points to the argument count, as the System V ABI's "initial process stack" has it.
    unsafe fn run(stack: u64) -> ! {
        // SAFETY: the caller's promise. rdx is the function to call at exit: none.
        unsafe {
            core::arch::asm!(
                "mov rsp, {}",
                "xor ebp, ebp",
                "xor edx, edx",
                "jmp {}",
                in(reg) stack,
                sym _start,
                options(noreturn)
            )
        }
    }
}
