//! The other processors of a PC: by the MADT or, without one, all that a broadcast reaches.

use super::fw_cfg;
use super::start_up::start_by;
use crate::arch::apic::{self, Command};
use crate::arch::counter::counter;
use crate::arch::paging::PAGE;
use crate::arch::processor::Processor;
use crate::arch::{cpu, secondary};
use crate::memory::{self, DIRECT};
use crate::smp::Secondary;
use crate::{acpi, clock};
use alloc::vec::Vec;

/// Finds the other processors. Allocates; reads the firmware's tables.
pub fn find() -> Secondary {
    let Some(ids) = acpi::processors() else {
        return Secondary::Unlisted(fw_cfg::processors().map_or(0, |count| count - 1));
    };
    let mut others: Vec<u64> = Vec::new();
    for id in ids.into_iter().filter(|id| *id != apic::id()) {
        // Each is started once, whatever the table says.
        if !others.contains(&id.into()) {
            others.push(id.into());
        }
    }
    Secondary::Listed(others)
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
    let Some(page) = memory::start_page() else {
        return Err("no memory is free below 640 KiB, where they start");
    };
    // SAFETY: in the direct map; the allocator never has the page, nothing else uses it after the
    // boot, and this is the only call.
    unsafe { secondary::prepare((DIRECT + page) as *mut u8, blocks) };
    let start = Command::Start((page / PAGE) as u8);
    let is_virtual = cpu::is_virtual();
    match others {
        Secondary::Listed(ids) => {
            for id in ids.iter().take(blocks.len()) {
                let to = Some(*id as u32);
                start_by(
                    start,
                    is_virtual,
                    secondary::came,
                    |command| apic::send(to, command),
                    wait,
                );
            }
        }
        Secondary::Unlisted(_) => start_by(
            start,
            is_virtual,
            || 0,
            |command| apic::send(None, command),
            wait,
        ),
    }
    Ok(blocks.len())
}

/// Waits for so many nanoseconds, or until `done`.
fn wait(ns: u64, done: &dyn Fn() -> bool) {
    let end = counter().saturating_add(clock::ticks(ns));
    while counter() < end && !done() {
        core::hint::spin_loop();
    }
}

/// Lets the processor that runs be interrupted; false if it can't be.
pub fn set_up_secondary() -> bool {
    apic::set_up_secondary();
    true
}

/// What identifies the processor that runs.
pub fn id() -> u64 {
    apic::id().into()
}
