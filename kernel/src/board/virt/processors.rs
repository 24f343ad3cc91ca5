//! The other processors by the device tree, which PSCI starts.

use super::{gic, handover, irq, power};
use crate::arch::processor::Processor;
use crate::arch::{secondary, timer};
use crate::smp::Secondary;
use alloc::vec::Vec;

/// Processors of the tree beyond so many are left out.
const MAX: usize = 1024;

/// Finds the other processors. Allocates; reads the tree.
pub fn find() -> Secondary {
    let tree = handover::tree();
    let mut others: Vec<u64> = Vec::new();
    for id in tree.iter().flat_map(|tree| tree.processors()).take(MAX) {
        if id != affinity() && !others.contains(&id) {
            others.push(id);
        }
    }
    Secondary::Listed(others)
}

/// The affinity of the processor that runs, as the tree has it.
fn affinity() -> u64 {
    let [first, second, third, fourth] = crate::arch::gic::affinity().map(u64::from);
    first | second << 8 | third << 16 | fourth << 32
}

/// Starts the first of `others`, as many as there are blocks. Each runs its block's function
/// soon, with interrupts disabled. Returns how many will come, or why none can. With interrupts
/// disabled.
///
/// # Safety
/// Called once.
pub unsafe fn start(
    others: &Secondary,
    blocks: &[&'static Processor],
) -> Result<usize, &'static str> {
    let Secondary::Listed(ids) = others else {
        return Err("the machine doesn't list them");
    };
    let [wake, stop, _] = irq::own();
    gic::enable(wake, true);
    gic::enable(stop, true);
    let entry = secondary::prepare();
    let mut blocks = blocks.iter();
    let mut block = blocks.next();
    let mut started = 0;
    for id in ids {
        let Some(next) = block else {
            break;
        };
        // SAFETY: the entry uses its own registers and the block.
        if unsafe { power::start(*id, entry, core::ptr::from_ref(*next) as u64) } {
            started += 1;
            block = blocks.next();
        }
    }
    match started {
        0 => Err("the firmware starts none (PSCI)"),
        started => Ok(started),
    }
}

/// Lets the processor that runs be interrupted; false if it can't be.
pub fn set_up_secondary() -> bool {
    timer::stop();
    gic::set_up_secondary(&irq::own())
}

/// What identifies the processor that runs.
pub fn id() -> u64 {
    gic::own_id()
}
