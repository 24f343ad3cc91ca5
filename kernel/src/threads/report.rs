//! Threads in the report of a crash.

use super::{STATE, Thread, own};
use crate::arch::gates::{Frame, SystemCallFrame};
use crate::signals::PID;

/// A thread that doesn't run.
pub struct Suspended {
    /// Its number.
    pub number: u64,
    /// Where it continues, if that is known.
    pub instruction: Option<u64>,
    /// Its stack pointer.
    pub stack: u64,
}

/// Calls `report` with each thread that doesn't run, for the report of a crash; returns the number of the
/// running one.
pub fn suspended(report: &mut dyn FnMut(Suspended)) -> u64 {
    STATE
        .try_with(|state| {
            let current = state.scheduler.current(own());
            let mut number = PID;
            for (index, thread) in state.scheduler.threads() {
                if index == current {
                    number = thread.number;
                }
                // The processors' registers are reported.
                if state.scheduler.holder(index).is_some() {
                    continue;
                }
                let (instruction, stack) = thread.place();
                report(Suspended {
                    number: thread.number,
                    instruction,
                    stack,
                });
            }
            number
        })
        .unwrap_or(PID)
}

impl Thread {
    /// Where it continues: the instruction, if that is known, and its stack pointer.
    fn place(&self) -> (Option<u64>, u64) {
        /// Maximum size of a kernel stack.
        const MAX_SIZE: u64 = 32 << 10;
        let pointer = self.context.stack_pointer();
        if !(self.kernel_stack - MAX_SIZE..self.kernel_stack).contains(&pointer) {
            return (None, pointer);
        }
        // SAFETY: a suspended thread's frame ends its kernel stack.
        unsafe {
            if self.interrupted {
                let frame = &*(self.kernel_stack as *const Frame).sub(1);
                (Some(frame.program_counter()), frame.stack_pointer())
            } else {
                let call = &*(self.kernel_stack as *const SystemCallFrame).sub(1);
                (Some(call.program_counter()), call.stack_pointer())
            }
        }
    }
}
