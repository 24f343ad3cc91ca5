//! ACPI's tables, as far as an image needs them: power off, power button, interrupt controllers,
//! virtio-mmio devices.
//!
//! Source: ACPI 6.5, chapters 5.2 (tables), 4.8 (fixed hardware), 4.1 (hardware-reduced).

use super::aml::{
    EventDevice, Gsi, VirtioMmio, event_device, machine_id, qemu_machine_id, sleep_type,
    virtio_mmio, vmclock,
};
use super::bytes::{u8_at, u16_at, u32_at, u64_at};
use crate::memory::Physical;
use alloc::vec::Vec;

/// Bytes of the header that every table begins with.
const HEADER: usize = 36;
/// No table of interest is longer; a longer one counts as damaged.
const MAX_TABLE: usize = 1 << 20;
const MAX_TABLES: usize = 64;
/// Entries of the MADT for processors beyond so many are left out.
const MAX_PROCESSORS: usize = 1024;
/// The signature of an RSDP.
const SIGNATURE: &[u8] = b"RSD PTR ";

/// A register, ACPI's "generic address structure".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// At a physical address.
    Memory(u64),
    /// At an I/O port.
    Port(u16),
}

/// The registers to switch the machine off, and to read its power button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    /// PM1 registers, as a PC has them.
    Fixed {
        /// Port of PM1a's status register; the enable register follows.
        event: u16,
        /// Half the length of the event block, that is the distance of the enable register.
        enable_offset: u16,
        /// Port of PM1a's control register.
        control: u16,
        /// Port and value that leave legacy mode, if it exists.
        enable: Option<(u16, u8)>,
        /// Interrupt of the event registers.
        irq: u8,
    },
    /// A machine without PM1 registers ("hardware-reduced"), as QEMU's microvm.
    Reduced {
        /// The sleep control register.
        sleep_control: Option<Register>,
        /// The generic event device.
        events: Option<EventDevice>,
    },
}

/// The contents of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acpi {
    /// Power, if there is a FADT.
    pub power: Option<Power>,
    /// The sleep type of state S5, soft off.
    pub sleep_type: Option<u8>,
    /// The reset register and the value to write.
    pub reset: Option<(Register, u8)>,
    /// Port of the power management timer.
    pub timer: Option<u16>,
    /// I/O APICs: address and first input.
    pub io_apics: Vec<(u64, Gsi)>,
    /// Legacy interrupts that are wired to an input of another number.
    pub overrides: Vec<(u8, Gsi)>,
    /// virtio-mmio devices.
    pub virtio_mmio: Vec<VirtioMmio>,
    /// Address of the 16 bytes that change when the machine resumes from a snapshot (VMGENID).
    pub machine_id: Option<u64>,
    /// Address of VMClock's page.
    pub vmclock: Option<u64>,
}

/// The whole table at `address`, if its length and checksum are valid.
fn table(memory: &impl Physical, address: u64) -> Option<&[u8]> {
    let len = u32_at(memory.read(address, HEADER)?, 4)? as usize;
    if !(HEADER..=MAX_TABLE).contains(&len) {
        return None;
    }
    memory.read(address, len).filter(|bytes| is_intact(bytes))
}

/// Whether the checksum of these bytes is right: their sum is 0.
fn is_intact(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// Whether `bytes` begin with an RSDP, by its signature and its checksums.
fn is_root(bytes: &[u8]) -> bool {
    let intact = |len| bytes.get(..len).is_some_and(is_intact);
    bytes.starts_with(SIGNATURE)
        && intact(20)
        && u8_at(bytes, 15).is_some_and(|revision| revision < 2 || intact(36))
}

/// Searches for the RSDP where a PC's firmware leaves it: in the first KiB of the extended BIOS
/// data area, and in the BIOS's own 128 KiB (ACPI 6.5, 5.2.5.1). Returns its physical address.
pub fn find_root(memory: &impl Physical) -> Option<u64> {
    /// Holds the segment of the extended BIOS data area.
    const EXTENDED_AREA: u64 = 0x40e;
    let segment = memory.read(EXTENDED_AREA, 2);
    let extended = segment.and_then(|word| u16_at(word, 0)).unwrap_or(0);
    let areas = [(u64::from(extended) << 4, 1 << 10), (0xe_0000, 128 << 10)];
    for (mut at, len) in areas {
        let mut rest = memory.read(at, len).unwrap_or_default();
        while !rest.is_empty() {
            if is_root(rest) {
                return Some(at);
            }
            rest = rest.get(16..).unwrap_or_default();
            at += 16;
        }
    }
    None
}

fn register_at(table: &[u8], at: usize) -> Option<Register> {
    let address = u64_at(table, at + 4)?;
    match (u8_at(table, at)?, address) {
        (_, 0) => None,
        (0, address) => Some(Register::Memory(address)),
        (1, address) => Some(Register::Port(address.try_into().ok()?)),
        _ => None,
    }
}

impl Acpi {
    /// Reads the tables that the root pointer at `rsdp` leads to. Missing and damaged tables are
    /// skipped.
    pub fn parse(memory: &impl Physical, rsdp: u64) -> Self {
        let mut acpi = Self::default();
        for_each_table(memory, rsdp, &mut |table| match &table[..4] {
            b"FACP" => acpi.fixed(memory, table),
            b"APIC" => acpi.interrupts(table),
            b"SSDT" => {
                acpi.machine_id = acpi.machine_id.or(qemu_machine_id(table));
                acpi.vmclock = acpi.vmclock.or(vmclock(table));
            }
            _ => {}
        });
        acpi
    }

    /// The FADT, and the DSDT that it points to.
    fn fixed(&mut self, memory: &impl Physical, fadt: &[u8]) {
        const HARDWARE_REDUCED: u32 = 1 << 20;
        const RESET_SUPPORTED: u32 = 1 << 10;
        let flags = u32_at(fadt, 112).unwrap_or(0);
        let long = u64_at(fadt, 140).filter(|address| *address != 0);
        let dsdt = long.or(u32_at(fadt, 40).map(u64::from));
        let dsdt = dsdt
            .and_then(|address| table(memory, address))
            .unwrap_or(&[]);
        self.sleep_type = sleep_type(dsdt);
        self.virtio_mmio = virtio_mmio(dsdt);
        self.machine_id = self.machine_id.or(machine_id(dsdt));
        self.vmclock = self.vmclock.or(vmclock(dsdt));
        let timer = u32_at(fadt, 76).and_then(|port| u16::try_from(port).ok());
        let extended = match register_at(fadt, 208) {
            Some(Register::Port(port)) => Some(port),
            _ => None,
        };
        self.timer = timer.filter(|port| *port != 0).or(extended);
        if flags & RESET_SUPPORTED != 0 {
            self.reset = register_at(fadt, 116).zip(u8_at(fadt, 128));
        }
        self.power = if flags & HARDWARE_REDUCED != 0 {
            Some(Power::Reduced {
                sleep_control: register_at(fadt, 244),
                events: event_device(dsdt),
            })
        } else {
            fixed_power(fadt)
        };
    }

    /// The MADT.
    fn interrupts(&mut self, madt: &[u8]) {
        const IO_APIC: u8 = 1;
        const OVERRIDE: u8 = 2;
        for_each_entry(madt, &mut |kind, entry| match kind {
            IO_APIC => {
                if let (Some(address), Some(gsi)) = (u32_at(entry, 4), u32_at(entry, 8)) {
                    self.io_apics.push((address.into(), gsi));
                }
            }
            OVERRIDE => {
                if let (Some(irq), Some(gsi)) = (u8_at(entry, 3), u32_at(entry, 4)) {
                    self.overrides.push((irq, gsi));
                }
            }
            _ => {}
        });
    }

    /// The input that legacy interrupt `irq` is wired to.
    pub fn legacy_gsi(&self, irq: u8) -> Gsi {
        let wired = self.overrides.iter().find(|(source, _)| *source == irq);
        wired.map_or(Gsi::from(irq), |(_, gsi)| *gsi)
    }
}

/// The IDs of the local APICs that the MADT lists as enabled, in its order; `None` without a MADT.
/// The ID of a processor that is listed twice comes twice.
pub fn processors(memory: &impl Physical, rsdp: u64) -> Option<Vec<u32>> {
    const LOCAL_APIC: u8 = 0;
    const LOCAL_X2APIC: u8 = 9;
    const ENABLED: u32 = 1;
    let id = |kind: u8, entry: &[u8]| {
        let (id, flags) = match kind {
            LOCAL_APIC => (u8_at(entry, 3)?.into(), u32_at(entry, 4)?),
            LOCAL_X2APIC => (u32_at(entry, 4)?, u32_at(entry, 8)?),
            _ => return None,
        };
        (flags & ENABLED != 0).then_some(id)
    };
    let mut ids: Option<Vec<u32>> = None;
    for_each_table(memory, rsdp, &mut |table| {
        if table.starts_with(b"APIC") && ids.is_none() {
            let ids = ids.insert(Vec::new());
            for_each_entry(table, &mut |kind, entry| {
                let id = id(kind, entry).filter(|_| ids.len() < MAX_PROCESSORS);
                ids.extend(id);
            });
        }
    });
    ids
}

/// Calls `f` with the kind of each entry of a MADT, and its bytes.
fn for_each_entry(madt: &[u8], f: &mut dyn FnMut(u8, &[u8])) {
    let mut rest = madt.get(HEADER + 8..).unwrap_or(&[]);
    while let [kind, len, ..] = *rest {
        let Some((entry, behind)) = rest.split_at_checked(usize::from(len.max(2))) else {
            break;
        };
        f(kind, entry);
        rest = behind;
    }
}

/// Calls `f` with the intact tables that the root pointer at `rsdp` leads to.
fn for_each_table(memory: &impl Physical, rsdp: u64, f: &mut dyn FnMut(&[u8])) {
    let (entries, width) = roots(memory, rsdp).unwrap_or((&[], 4));
    for entry in entries.chunks_exact(width).take(MAX_TABLES) {
        let address = u64_at(entry, 0).or(u32_at(entry, 0).map(u64::from));
        if let Some(table) = address.and_then(|address| table(memory, address)) {
            f(table);
        }
    }
}

/// The XSDT or RSDT of this RSDP without its header, and the bytes of an entry.
fn roots(memory: &impl Physical, rsdp: u64) -> Option<(&[u8], usize)> {
    let root = memory.read(rsdp, 20)?;
    if !root.starts_with(SIGNATURE) {
        return None;
    }
    let extended = if u8_at(root, 15)? >= 2 {
        u64_at(memory.read(rsdp, 36)?, 24)?
    } else {
        0
    };
    let (entries, width) = match (extended != 0).then(|| table(memory, extended)).flatten() {
        Some(xsdt) => (xsdt, 8),
        None => (table(memory, u64::from(u32_at(root, 16)?))?, 4),
    };
    Some((entries.get(HEADER..)?, width))
}

fn fixed_power(fadt: &[u8]) -> Option<Power> {
    let port = |at| {
        u32_at(fadt, at)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
    };
    Some(Power::Fixed {
        event: port(56)?,
        enable_offset: u16::from(u8_at(fadt, 88)? / 2),
        control: port(64)?,
        enable: port(48)
            .zip(u8_at(fadt, 52))
            .filter(|(_, value)| *value != 0),
        irq: u16_at(fadt, 46)?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests;
