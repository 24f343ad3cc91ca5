//! The other processors of a PC: by the MADT or, without one, all that a broadcast reaches.

use super::apic::{self, Command};
use super::vectors::WAKE;
use crate::arch::others;
use crate::arch::paging::PAGE;
use crate::arch::processor::Processor;
use crate::firmware;
use crate::memory::{DIRECT, is_ram};
use alloc::vec::Vec;
use x86_64::instructions::port::Port;

/// The other processors.
pub enum Others {
    /// These, by what identifies them to [`wake`] and [`stop`].
    Listed(Vec<u64>),
    /// All that a broadcast reaches: so many, if the machine has a count.
    Unlisted(Option<usize>),
}

/// Finds the other processors. Allocates; reads the firmware's tables.
pub fn find() -> Others {
    let Some(ids) = firmware::processors() else {
        return Others::Unlisted(count_by_qemu().map(|count| count - 1));
    };
    let mut others: Vec<u64> = Vec::new();
    for id in ids.into_iter().filter(|id| *id != apic::id()) {
        // Each is started once, whatever the table says.
        if !others.contains(&id.into()) {
            others.push(id.into());
        }
    }
    Others::Listed(others)
}

/// The number of processors by QEMU's device for firmware, which `microvm` has without tables, too;
/// `None` elsewhere. Source: QEMU's docs/specs/fw_cfg.rst.
fn count_by_qemu() -> Option<usize> {
    const SELECT: u16 = 0x510;
    const DATA: u16 = 0x511;
    const SIGNATURE: u16 = 0;
    const PROCESSORS: u16 = 5;
    fn read<const N: usize>(item: u16) -> [u8; N] {
        // SAFETY: the ports select and read an item of the device, or belong to none.
        unsafe { Port::new(SELECT).write(item) };
        // SAFETY: likewise.
        [(); N].map(|()| unsafe { Port::new(DATA).read() })
    }
    if read(SIGNATURE) != *b"QEMU" {
        return None;
    }
    let count: usize = u16::from_le_bytes(read(PROCESSORS)).into();
    (count != 0).then_some(count)
}

/// Starts the first of `others`, as many as there are blocks. Each runs `then` soon, with
/// interrupts disabled. Returns how many will come, or why none can. With interrupts disabled.
///
/// # Safety
/// Called once.
pub unsafe fn start(
    others: &Others,
    blocks: &[&'static Processor],
    then: extern "C" fn() -> !,
) -> Result<usize, &'static str> {
    // The allocator never has that page (`memory::release_low`).
    const FIRST_PAGE: u8 = 0;
    if !is_ram(0, PAGE as usize) {
        return Err("no memory is at address 0, where they start");
    }
    // SAFETY: in the direct map; nothing else uses it after the boot, and this is the only call.
    unsafe { others::prepare(DIRECT as *mut u8, blocks, then) };
    let start = |to| {
        apic::send(to, Command::Init);
        apic::send(to, Command::Start(FIRST_PAGE));
    };
    match others {
        Others::Listed(ids) => {
            let ids = ids.iter().take(blocks.len());
            ids.for_each(|id| start(Some(*id as u32)));
        }
        Others::Unlisted(_) => start(None),
    }
    Ok(blocks.len())
}

/// Lets the processor that runs be interrupted; false if it can't be.
pub fn set_up_other() -> bool {
    apic::set_up_other();
    true
}

/// What identifies the processor that runs.
pub fn id() -> u64 {
    apic::id().into()
}

/// Ends a halt of the processor `id`, or its next one. With interrupts disabled.
pub fn wake(id: u64) {
    apic::send(Some(id as u32), Command::Interrupt(WAKE));
}

/// Interrupts the processor `id` to stop it, whatever it does: [`crate::traps`] finds out that it
/// is to stop. With interrupts disabled.
pub fn stop(id: u64) {
    apic::send(Some(id as u32), Command::NonMaskable);
}
