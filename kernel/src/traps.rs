//! Exceptions and interrupts, once their gate has saved the registers: page faults allocate pages,
//! interrupts go to [`crate::interrupts`], and everything else ends in [`crate::crash`].

use crate::arch::gates::{self, Cause, Frame};
use crate::arch::{mmu, start};
use crate::board::vectors::{TIMER, WAKE};
use crate::halt::Interrupt;
use crate::memory::{self, Fault};
use crate::{cell, console, crash, delivery, interrupts, smp, stop, threads};
use core::ptr::null_mut;

/// Handles the trap that saved `frame`, on the stack of its kind, with interrupts disabled.
pub extern "C" fn handle(frame: &mut Frame) -> *mut Frame {
    match frame.cause() {
        Cause::PageFault {
            address,
            write,
            fetch,
        } => {
            page_fault(frame, address, write, fetch);
            null_mut()
        }
        Cause::Exception if frame.ends_probe() => null_mut(),
        Cause::Exception => {
            if frame.may_be_stop() && stop::obey(frame) {
                return null_mut();
            }
            gates::begin_exception();
            crash::exception(frame)
        }
        Cause::Interrupt => cell::in_interrupt(|| {
            // First: another processor may wait for it.
            smp::serve();
            let interrupt = match interrupts::handle(frame) {
                Some(TIMER) => Interrupt::Timer,
                Some(WAKE) => Interrupt::Ipi,
                Some(_) => Interrupt::Device,
                None => return null_mut(),
            };
            threads::interrupted(frame, interrupt)
        }),
    }
}

/// Lets other threads run in place of the one that `frame` interrupted.
pub extern "C" fn preempted(frame: &mut Frame) {
    threads::preempted();
    delivery::deliver_interrupted(frame);
}

/// Reports an exception of a processor's first instructions, for which no report was possible then.
pub fn report_skipped() {
    if let Some(skipped) = start::take_skipped() {
        console::line(format_args!(
            "a processor's first instructions caused an exception, which was skipped: {} (syndrome \
            {:#x}) at {:#x}; report it with the kind of processor",
            skipped.name, skipped.syndrome, skipped.address
        ));
    }
}

fn page_fault(frame: &Frame, address: u64, write: bool, fetch: bool) {
    // A fault in here can only be a bug, and ends with a report.
    let outcome = if gates::begin_page_fault() {
        Fault::Denied
    } else {
        memory::fault(address, write, fetch)
    };
    match outcome {
        Fault::Mapped => gates::end_page_fault(),
        // Another processor has mapped it, for the kernel.
        Fault::Denied if !fetch && mmu::translates(address, write) => gates::end_page_fault(),
        outcome => crash::page_fault(frame, address, write, fetch, outcome),
    }
}
