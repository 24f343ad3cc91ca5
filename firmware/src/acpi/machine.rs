//! The contents of the tables, as far as an image needs them.

use super::Register;
use super::Tables;
use super::fadt::{self, Power};
use super::madt::{Entries, Override};
use crate::aml::{self, Gsi, Kind};
use crate::memory::Physical;
use alloc::vec::Vec;

/// A virtio-mmio device that the DSDT names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Physical address of the registers.
    pub address: u64,
    /// Their length in bytes.
    pub len: u64,
    /// The interrupt.
    pub gsi: Gsi,
    /// It is the line's rising edge; else its level.
    pub is_edge: bool,
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
    /// Legacy interrupts whose inputs or signals are others than usual.
    pub overrides: Vec<Override>,
    /// virtio-mmio devices.
    pub virtio_mmio: Vec<VirtioMmio>,
    /// Address of the 16 bytes that change when the machine resumes from a snapshot (VMGENID).
    pub machine_id: Option<u64>,
    /// Address of VMClock's page.
    pub vmclock: Option<u64>,
}

impl Acpi {
    /// Reads the tables that the root pointer at `rsdp` leads to. Missing and damaged tables are
    /// skipped.
    pub fn parse(memory: &impl Physical, rsdp: u64) -> Self {
        let mut acpi = Self::default();
        let Some(tables) = Tables::find(memory, rsdp) else {
            return acpi;
        };
        if let Some(fadt) = tables.get(b"FACP") {
            let dsdt = tables.dsdt(fadt);
            let events = acpi.devices(dsdt);
            acpi.sleep_type = aml::sleep_type(dsdt);
            acpi.timer = fadt::timer(fadt);
            acpi.reset = fadt::reset(fadt);
            acpi.power = fadt::power(fadt, || aml::event_device(dsdt, events?));
        }
        if let Some(madt) = tables.get(b"APIC") {
            acpi.io_apics = Entries::new(madt).io_apics().collect();
            acpi.overrides = Entries::new(madt).overrides().collect();
        }
        for ssdt in tables.all(b"SSDT") {
            acpi.machine_id = acpi.machine_id.or(aml::qemu_machine_id(ssdt));
            acpi.devices(ssdt);
        }
        acpi
    }

    /// Takes the devices of a DSDT or SSDT; returns the interrupt of the generic event device.
    fn devices(&mut self, table: &[u8]) -> Option<Gsi> {
        let mut events = None;
        for device in aml::devices(table) {
            match device.kind() {
                Some(Kind::VirtioMmio) => {
                    if let (Some((address, len)), Some((gsi, is_edge, _))) =
                        (device.registers(), device.interrupt())
                    {
                        self.virtio_mmio.push(VirtioMmio {
                            address,
                            len,
                            gsi,
                            is_edge,
                        });
                    }
                }
                Some(Kind::Events) => {
                    events = events.or(device.interrupt().map(|(gsi, ..)| gsi));
                }
                Some(Kind::MachineId) => self.machine_id = self.machine_id.or(device.machine_id()),
                Some(Kind::VmClock) => self.vmclock = self.vmclock.or(device.page()),
                _ => {}
            }
        }
        events
    }

    /// The input that legacy interrupt `irq` is wired to, and whether it is active low: if firmware
    /// doesn't say, only ACPI's own interrupt is (ACPI 6.5, 5.2.9, SCI_INT).
    pub fn legacy(&self, irq: u8) -> (Gsi, bool) {
        let is_own = matches!(self.power, Some(Power::Fixed { irq: own, .. }) if own == irq);
        let found = self.overrides.iter().find(|other| other.irq == irq);
        let gsi = found.map_or(irq.into(), |other| other.gsi);
        (gsi, found.and_then(|other| other.is_low).unwrap_or(is_own))
    }
}
