//! From the loader to the program: sets up each part of the kernel once, from the bottom up.

mod hooks;
mod recovery;
mod stack;

pub use hooks::{Hook, Hooks};

use crate::arch::start::run;
use crate::arch::{gates, local, strings};
use crate::board::handover::{self, NAME};
use crate::board::set_up;
use crate::board::vectors::TIMER;
use crate::board::{clock, control};
use crate::memory::{DirectMemory, SetupError};
use crate::{console, environment, interrupts, memory, power, syscall, threads, time, traps, wait};

/// The exit status if the machine can't be started: the shell's "command can't be run".
const STATUS_CANNOT_RUN: u8 = 126;

/// From the boot assembly to the program. `argument` is the physical address of the loader's
/// structure.
#[cfg_attr(not(test), unsafe(export_name = "soil_kernel_start"))]
pub extern "C" fn start(argument: u64) -> ! {
    local::set_up();
    time::set_up();
    let loader = handover::read(argument);
    if let Some(loader) = &loader {
        set_up::early(loader);
    }
    console::set_up();
    let Some(loader) = loader else {
        stop(format_args!("the loader gave no {NAME}"));
    };
    // SAFETY: this is the only call, on the boot tables.
    match unsafe { memory::set_up(&loader, loader.initrd, clock::noise) } {
        Ok(()) => {}
        Err(SetupError::NoMemory | SetupError::TooLittle) => stop_without_memory(),
    }
    // SAFETY: once, on the real tables.
    unsafe { gates::set_up(traps::handle, traps::preempted, syscall::enter) };
    if !threads::set_up() {
        stop_without_memory();
    }
    strings::set_up();
    set_up::late(&loader);
    if control::IS_LATE {
        console::find_control();
    }
    traps::report_skipped();
    interrupts::set_handler(TIMER, wait::timer_interrupt);
    clock::set_up();
    let line = match environment::set_up(loader.command_line(&DirectMemory)) {
        Ok(line) => line,
        Err(name) => stop(format_args!(
            "SOIL_FW_CFG={name}: no such file of at most 64 KiB: give QEMU -fw_cfg \
            name={name},file=FILE"
        )),
    };
    // `soil run` says at which step a boot without output is.
    console::write_control(b"SOIL-START\n");
    hooks::run();
    let stack = stack::set_up(environment::command_line().unwrap_or(line));
    memory::release_low(&loader);
    // SAFETY: the stack is as `_start` requires it.
    unsafe { run(stack, _start) }
}

fn stop_without_memory() -> ! {
    stop(format_args!(
        "too little memory: nothing is left behind the image; give the machine more (soil run \
        --mem)"
    ))
}

fn stop(reason: core::fmt::Arguments) -> ! {
    console::line(reason);
    power::exit(STATUS_CANNOT_RUN)
}

unsafe extern "C" {
    fn _start() -> !;
}
