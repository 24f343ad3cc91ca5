//! ACPI's tables of this machine, read on first use.

use crate::memory::{self, DirectMemory};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use firmware::acpi::madt::Entries;
use firmware::acpi::mcfg::{Segment, segments};
use firmware::acpi::{Acpi, Tables, find_root};
use firmware::memory::Physical;

/// Physical address of the RSDP. Written once, at boot.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// The parsed tables, never freed; null before the first use. Not for interrupts before that.
static TABLES: AtomicPtr<Acpi> = AtomicPtr::new(core::ptr::null_mut());

/// The memory of firmware's tables.
struct FirmwareMemory;

impl Physical for FirmwareMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let bytes = memory::map_firmware(address, len)?;
        // SAFETY: just mapped, for good; nothing changes firmware's tables.
        Some(unsafe { core::slice::from_raw_parts(bytes, len) })
    }
}

/// Sets the physical address of the RSDP. Where the loader gives none (0) it is searched for as on
/// a PC, since Firecracker leaves it there; a machine without ACPI has none. Low memory still holds
/// what the loader left.
pub fn set_root(rsdp: u64) {
    let rsdp = match rsdp {
        0 => find_root(&DirectMemory).unwrap_or(0),
        rsdp => rsdp,
    };
    ROOT.store(rsdp, Ordering::Relaxed);
}

/// The first intact table with this signature. For those that few programs need, which
/// [`tables`] leaves out.
fn table(signature: &'static [u8; 4]) -> Option<&'static [u8]> {
    let root = Some(ROOT.load(Ordering::Relaxed)).filter(|root| *root != 0)?;
    Tables::find(&FirmwareMemory, root)?.get(signature)
}

/// The IDs of the processors' local APICs, see [`Entries::local_apics`]; `None` on a machine
/// without the table. Allocates.
pub fn processors() -> Option<Vec<u32>> {
    Some(Entries::new(table(b"APIC")?).local_apics().collect())
}

/// Where the configuration space of PCI's first segment is in memory; `None` on a machine without
/// the table.
pub fn pci_segment() -> Option<Segment> {
    segments(table(b"MCFG")?).find(|segment| segment.number == 0)
}

/// The tables; empty on a machine without ACPI. The first call reads them and allocates.
pub fn tables() -> &'static Acpi {
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
