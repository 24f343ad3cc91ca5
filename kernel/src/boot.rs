//! From the loader to the program: sets up each part of the kernel once, from the bottom up.

mod entry;
mod hooks;
mod stack;

pub use hooks::{Hook, keep};

use crate::arch::vectors::TIMER;
use crate::arch::{apic, gates, strings};
use crate::firmware::pvh::StartInfo;
use crate::memory::{BootMemory, DirectMemory, SetupError};
use crate::{
    console, environment, firmware, interrupts, memory, power, syscall, time, traps, wait,
};

/// The exit status if the machine can't be started: the shell's "command can't be run".
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
    // SAFETY: this is the only call, on the boot tables.
    match unsafe { memory::set_up(&info.map) } {
        Ok(()) => {}
        Err(SetupError::NoMemory | SetupError::TooLittle) => stop(format_args!(
            "too little memory: nothing is left behind the image; give the machine more (soil run \
            --mem)"
        )),
    }
    // SAFETY: once, on the real tables.
    unsafe { gates::set_up(traps::handle, syscall::enter) };
    firmware::set_root(info.rsdp);
    strings::set_up();
    apic::set_up(memory::map_device);
    interrupts::set_handler(TIMER, wait::timer_interrupt);
    time::note_bus();
    let line = environment::set_up(info.command_line(&DirectMemory));
    hooks::run();
    let stack = stack::set_up(environment::command_line().unwrap_or(line));
    memory::release_low(&info.map);
    // SAFETY: the stack is as `_start` requires it.
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
/// `stack` points to the argument count, as in the System V ABI's "initial process stack".
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
