//! The end of the machine: exit status, power off, reset; and what requests it, the power button
//! and Ctrl-Alt-Del.
//!
//! The status goes to `soil run` as a line on the control channel, whole; `isa-debug-exit` carries
//! seven bits of it in QEMU's own status. Without either, the last line of the console has it
//! (`soil: status N`), and ACPI or a reset ends the machine. A crash is also reported to a pvpanic
//! device.

mod button;
pub mod failure;

pub use button::{
    End, handle_requests, is_handled, leave_requests, listen, request, requested, take_unseen,
};

use crate::arch::counter::counter;
use crate::arch::interrupts;
use crate::arch::local::park;
use crate::board::power as machine;
use crate::{clock, console, stop};
use core::sync::atomic::{AtomicBool, Ordering};
use failure::Action;

/// How long a VMM has to end the machine, in nanoseconds. QEMU does it in another thread, while the
/// processor goes on.
const END_NS: u64 = 5_000_000_000;

/// A status was reported, and goes to `isa-debug-exit` next.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Ends the machine with `status`, as a process would end. From any context; interrupts stay
/// disabled.
pub fn exit(status: u8) -> ! {
    end_failed(status);
    prepare(status);
    match button::requested_end() {
        End::PowerOff => {}
        End::Halt => {
            console::status_line(status);
            halt()
        }
        End::Restart => {
            console::status_line(status);
            reboot()
        }
    }
    machine::write_exit(status);
    if machine::has_exit() {
        await_end();
    }
    console::status_line(status);
    off()
}

/// As [`exit`], after a crash, which a pvpanic device reports to the VMM: the VMM may end the
/// machine there, so the last line comes before it.
pub fn exit_crashed(status: u8) -> ! {
    end_failed(status);
    prepare(status);
    console::status_line(status);
    machine::report_crash();
    machine::write_exit(status);
    // QEMU ends in another thread. What comes next may need a cell of a stopped processor.
    if machine::has_exit() {
        await_end();
    }
    off()
}

/// Ends the machine of a program that failed in the way that `SOIL_ON_FAILURE` says, but for the
/// usual one. A program that was asked to stop doesn't fail.
fn end_failed(status: u8) {
    let has_failed = status != 0 && requested() == 0;
    match failure::action() {
        Action::Reboot if has_failed => {
            interrupts::disable();
            stop::others();
            failure::record(status);
            console::mirror(None);
            // A machine that keeps no count doesn't start again without end in a moment.
            spin(clock::NS);
            machine::reset()
        }
        Action::Halt if has_failed => {
            prepare(status);
            console::status_line(status);
            park()
        }
        Action::Reboot => failure::forget(),
        Action::Halt | Action::PowerOff => {}
    }
}

/// Completes the output, and reports the status to `soil run`.
fn prepare(status: u8) {
    interrupts::disable();
    stop::others();
    console::drain_now();
    console::mirror(None);
    write_control(status);
}

/// As [`exit`], after a second fault during the report of a first, or during the end after it:
/// without cells or tables, which may be broken. A status that was reported stays.
pub fn end_now(status: u8) -> ! {
    if !REPORTED.load(Ordering::Relaxed) {
        write_control(status);
        machine::write_exit(status);
    }
    machine::end_now()
}

/// Reports the status to `soil run`, with three digits. Without allocation or formatting, which may
/// be broken.
fn write_control(status: u8) {
    REPORTED.store(true, Ordering::Relaxed);
    let mut text = *b"SOIL-EXIT 000\n";
    let mut rest = status;
    for digit in text[10..13].iter_mut().rev() {
        *digit += rest % 10;
        rest /= 10;
    }
    console::write_control(&text);
}

/// Waits for the VMM to end the machine.
fn await_end() {
    spin(END_NS);
}

/// Waits for so long, without tables or interrupts.
fn spin(ns: u64) {
    let end = counter().saturating_add(clock::ticks(ns));
    while counter() < end {
        core::hint::spin_loop();
    }
}

/// Switches the machine off; if that fails, resets it.
pub fn off() -> ! {
    stop::others();
    if machine::off() {
        await_end();
    }
    reboot()
}

/// Stops the machine for good; the power stays on. Interrupts are disabled.
pub fn halt() -> ! {
    stop::others();
    park()
}

/// Resets the machine. Under QEMU with `-no-reboot` that ends it.
pub fn reboot() -> ! {
    stop::others();
    if failure::action() == Action::Reboot {
        failure::forget();
    }
    machine::reset()
}
