//! The machine's descriptions by its firmware and its loader: ACPI's tables, the PVH start info,
//! the command line, QEMU's device for firmware, the seed that the loader hands over, and the page
//! of a VMClock that the tables name.
//!
//! The parsers are pure and trust no length or address they read. The tables are read on first use.

pub(crate) mod acpi;
mod aml;
mod bytes;
pub mod command_line;
pub mod fw_cfg;
pub mod pvh;
pub(crate) mod seed;
pub mod vmclock;

pub use acpi::{Acpi, Power, Register};

use crate::memory::{self, DirectMemory, Physical};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Physical address of the RSDP. Written once, at boot.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// The parsed tables, never freed; null before the first use. Not for interrupts before that.
static TABLES: AtomicPtr<Acpi> = AtomicPtr::new(core::ptr::null_mut());

/// The memory of firmware's tables.
struct FirmwareMemory;

// SAFETY: nothing changes firmware's tables.
unsafe impl Physical for FirmwareMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let bytes = memory::map_firmware(address, len)?;
        // SAFETY: just mapped, for good.
        Some(unsafe { core::slice::from_raw_parts(bytes, len) })
    }
}

/// Sets the physical address of the RSDP. Where the loader gives none (0) it is searched for as on
/// a PC, since Firecracker leaves it there; a machine without ACPI has none. Low memory still holds
/// what the loader left.
pub fn set_root(rsdp: u64) {
    let rsdp = match rsdp {
        0 => acpi::find_root(&DirectMemory).unwrap_or(0),
        rsdp => rsdp,
    };
    ROOT.store(rsdp, Ordering::Relaxed);
}

/// The IDs of the processors' local APICs, see [`acpi::processors`]; `None` on a machine without
/// the table. Allocates.
pub fn processors() -> Option<alloc::vec::Vec<u32>> {
    match ROOT.load(Ordering::Relaxed) {
        0 => None,
        rsdp => acpi::processors(&FirmwareMemory, rsdp),
    }
}

/// The tables; empty on a machine without ACPI. The first call reads them and allocates.
pub fn acpi() -> &'static Acpi {
    // Acquire: pairs with the store. SAFETY: only set below, to a box that is never freed.
    if let Some(tables) = unsafe { TABLES.load(Ordering::Acquire).as_ref() } {
        return tables;
    }
    let tables = match ROOT.load(Ordering::Relaxed) {
        0 => Acpi::default(),
        rsdp => Acpi::parse(&FirmwareMemory, rsdp),
    };
    let tables: &'static Acpi = Box::leak(Box::new(tables));
    // Release: the box is complete for who loads its address.
    TABLES.store(core::ptr::from_ref(tables).cast_mut(), Ordering::Release);
    tables
}
