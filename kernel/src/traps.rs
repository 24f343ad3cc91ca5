//! Exceptions and interrupts, once their gate has saved the registers: page faults allocate pages,
//! interrupts go to [`crate::interrupts`], and everything else ends in [`crate::crash`].

use crate::arch::gates::{self, Frame};
use crate::arch::mmu;
use crate::arch::vectors::{FIRST_DEVICE, PAGE_FAULT};
use crate::memory::{self, Fault};
use crate::{crash, interrupts, wait};
use core::ptr::null_mut;

/// Handles the trap that saved `frame`, on the stack of its kind, with interrupts disabled.
pub extern "C" fn handle(frame: &mut Frame) -> *mut Frame {
    const DEVICES: u64 = FIRST_DEVICE as u64;
    match frame.vector {
        PAGE_FAULT => {
            page_fault(frame);
            null_mut()
        }
        0..DEVICES => {
            gates::begin_exception();
            crash::exception(frame)
        }
        vector => {
            interrupts::handle(vector as usize);
            wait::interrupted(frame)
        }
    }
}

fn page_fault(frame: &Frame) {
    let address = mmu::fault_address();
    let write = frame.error & 2 != 0;
    let fetch = frame.error & 16 != 0;
    // A fault in here can only be a bug, and ends with a report.
    let outcome = if gates::begin_page_fault() {
        Fault::Denied
    } else {
        memory::fault(address, write, fetch)
    };
    match outcome {
        Fault::Mapped => gates::end_page_fault(),
        outcome => crash::page_fault(frame, address, outcome),
    }
}
