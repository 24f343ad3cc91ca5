//! ACPI's tables of this machine, read on first use.

use crate::memory::{self, DirectMemory};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use firmware::acpi::madt::Entries;
use firmware::acpi::mcfg::segments;
use firmware::acpi::{Acpi, Tables, find_root};
use firmware::aml::{self, Kind, Resources};
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

/// All tables, for what few programs need and [`tables`] leaves out.
fn all() -> Option<Tables<'static, FirmwareMemory>> {
    let root = Some(ROOT.load(Ordering::Relaxed)).filter(|root| *root != 0)?;
    Tables::find(&FirmwareMemory, root)
}

/// The IDs of the processors' local APICs, see [`Entries::local_apics`]; `None` on a machine
/// without the table. Allocates.
pub fn processors() -> Option<Vec<u32>> {
    Some(Entries::new(all()?.get(b"APIC")?).local_apics().collect())
}

/// PCI's first segment.
pub struct Pci {
    /// Physical address of the configuration space of bus 0.
    pub base: u64,
    /// The last bus.
    pub last_bus: u8,
    /// The windows of its bridge.
    pub windows: Resources<'static>,
}

/// PCI's first segment, if its configuration space is in memory: by the MCFG, or by the bridge that
/// the DSDT names (QEMU's microvm).
pub fn pci() -> Option<Pci> {
    let tables = all()?;
    let dsdt = tables.get(b"FACP").map(|fadt| tables.dsdt(fadt));
    let bridge = aml::devices(dsdt.unwrap_or_default()).find(|device| {
        device.kind() == Some(Kind::HostBridge) && device.number(b"_SEG").unwrap_or(0) == 0
    });
    let mut segments = tables.get(b"MCFG").into_iter().flat_map(segments);
    let segment = segments.find(|segment| segment.number == 0 && segment.first == 0);
    let (base, last_bus) = match segment {
        Some(segment) => (segment.base, segment.last),
        None => (bridge?.configuration_base()?, u8::MAX),
    };
    Some(Pci {
        base,
        last_bus,
        windows: bridge.map(|bridge| bridge.resources()).unwrap_or_default(),
    })
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
