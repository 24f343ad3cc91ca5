//! The ACPI tables of this machine, read when first asked for.

use crate::acpi::Acpi;
use crate::memory;
use crate::pvh::Physical;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

static ROOT: AtomicU64 = AtomicU64::new(0);
static TABLES: AtomicPtr<Acpi> = AtomicPtr::new(core::ptr::null_mut());

/// Memory that firmware keeps its tables in.
struct FirmwareMemory;

// SAFETY: firmware's tables are changed by nobody.
unsafe impl Physical for FirmwareMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let bytes = memory::map_device(address, len)?;
        // SAFETY: just mapped, for good.
        Some(unsafe { core::slice::from_raw_parts(bytes, len) })
    }
}

/// Notes where the tables begin; 0 for a machine without.
pub fn set_root(rsdp: u64) {
    ROOT.store(rsdp, Ordering::Relaxed);
}

/// What the tables say; nothing, on a machine without.
pub fn acpi() -> &'static Acpi {
    // SAFETY: only set below, to a box that is never freed.
    if let Some(tables) = unsafe { TABLES.load(Ordering::Acquire).as_ref() } {
        return tables;
    }
    let tables = match ROOT.load(Ordering::Relaxed) {
        0 => Acpi::default(),
        rsdp => Acpi::parse(&FirmwareMemory, rsdp),
    };
    let tables: &'static Acpi = Box::leak(Box::new(tables));
    TABLES.store(core::ptr::from_ref(tables).cast_mut(), Ordering::Release);
    tables
}
