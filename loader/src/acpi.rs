//! A device tree that is made of ACPI's tables, for firmware that has no tree.
//!
//! Sources: ACPI 6.5, chapters 5.2.5 to 5.2.25; Microsoft's SPCR, revision 4; for the nodes Linux's
//! Documentation/devicetree/bindings.

use crate::tree::{Additions, Error};
use firmware::acpi::madt::Entries;
use firmware::acpi::mcfg::{Segment, segments};
use firmware::acpi::{Tables, fadt};
use firmware::aml::{self, Device, Kind, Resource};
use firmware::bytes::{u16_at, u32_at, u64_at};
use firmware::fdt::Writer;
use firmware::memory::Physical;

/// The most processors in the tree.
const MAX_PROCESSORS: usize = 512;

/// Writes a tree with the additions to `buffer`, and returns its length.
pub fn tree<M: Physical>(
    tables: &Tables<'_, M>,
    additions: &Additions<'_>,
    buffer: &mut [u8],
) -> Result<usize, Error> {
    let madt = tables.get(b"APIC").ok_or(Error::NoTable("APIC"))?;
    let controllers = Entries::new(madt);
    let gic = Gic::find(controllers).ok_or(Error::NoTable("APIC"))?;
    let timers = tables
        .get(b"GTDT")
        .and_then(timers)
        .ok_or(Error::NoTable("GTDT"))?;
    let serial = tables.get(b"SPCR").and_then(Serial::find);
    let fadt = tables.get(b"FACP").unwrap_or_default();
    let dsdt = tables.dsdt(fadt);

    let mut tree = Writer::new(buffer, b"");
    tree.begin(b"");
    tree.words("#address-cells", &[2]);
    tree.words("#size-cells", &[2]);
    tree.words("interrupt-parent", &[GIC]);
    tree.text("compatible", &["soil,acpi"]);
    tree.begin(b"chosen");
    additions.chosen(&mut tree);
    // Firmware assigned the BARs and may have published one (SPCR): keep them.
    tree.words("linux,pci-probe-only", &[1]);
    if let Some(serial) = &serial {
        tree.path("stdout-path", Serial::NAME, serial.address);
    }
    tree.end();
    additions.memory(&mut tree, 2, 2);
    processors(&mut tree, controllers);
    psci(&mut tree, fadt::arm_flags(fadt));
    gic.write(&mut tree, controllers);
    tree.begin(b"timer");
    tree.text("compatible", &["arm,armv8-timer"]);
    tree.cells("interrupts", |tree| {
        for (number, edge, low) in timers {
            interrupt(tree, number, edge, low);
        }
    });
    tree.end();
    if let Some(serial) = &serial {
        serial.write(&mut tree);
    }
    if let Some(mcfg) = tables.get(b"MCFG") {
        for segment in segments(mcfg) {
            bus(&mut tree, segment, dsdt, gic.translator);
        }
    }
    for (kind, name, compatible) in [
        (Kind::VirtioMmio, "virtio_mmio", "virtio,mmio"),
        (Kind::FwCfg, "fw-cfg", "qemu,fw-cfg-mmio"),
    ] {
        for device in devices(dsdt, kind) {
            registers(&mut tree, device, name, compatible);
        }
    }
    tree.end();
    tree.finish().ok_or(Error::TooLarge)
}

/// The most devices of a kind in the tree.
const MAX_DEVICES: usize = 256;

/// The devices of a kind in a table.
fn devices(table: &[u8], kind: Kind) -> impl Iterator<Item = Device<'_>> {
    let devices = aml::devices(table).filter(move |device| device.kind() == Some(kind));
    devices.take(MAX_DEVICES)
}

/// The phandles of the interrupt controller and of what translates messages.
const GIC: u32 = 1;
const TRANSLATOR: u32 = 2;

/// The three words of an interrupt with this number in the GIC.
fn interrupt(tree: &mut Writer<'_>, number: u32, edge: bool, low: bool) {
    let (kind, first) = if number < 32 { (1, 16) } else { (0, 32) };
    tree.cell(kind);
    tree.cell(number.saturating_sub(first));
    tree.cell(match (edge, low) {
        (true, false) => 1,
        (true, true) => 2,
        (false, false) => 4,
        (false, true) => 8,
    });
}

/// The interfaces of processors that run or can be started.
fn interfaces(entries: Entries<'_>) -> impl Iterator<Item = &[u8]> {
    // "Enabled", "online capable".
    let is_usable = |entry: &&[u8]| u32_at(entry, 12).is_some_and(|flags| flags & 9 != 0);
    entries.of(GICC).filter(is_usable)
}

/// Types of the MADT's entries.
const GICC: u8 = 0x0b;
const GICD: u8 = 0x0c;
const MSI_FRAME: u8 = 0x0d;
const GICR: u8 = 0x0e;
const ITS: u8 = 0x0f;

/// The interrupt controller.
#[derive(Clone, Copy, Debug)]
struct Gic {
    distributor: u64,
    /// The address of the processors' interface; `None` for version 3 and later.
    interface: Option<u64>,
    /// The ITS, or the frame of messages.
    translator: Option<u64>,
}

impl Gic {
    fn find(entries: Entries<'_>) -> Option<Self> {
        let distributor = entries.of(GICD).next()?;
        let interface = interfaces(entries)
            .find_map(|entry| u64_at(entry, 32))
            .filter(|at| *at != 0);
        let redistributor = entries.of(GICR).next().is_some()
            || interfaces(entries).any(|entry| u64_at(entry, 60).is_some_and(|at| at != 0));
        let is_new = match distributor.get(20) {
            Some(0) | None => redistributor,
            Some(version) => *version >= 3,
        };
        if is_new && !redistributor || !is_new && interface.is_none() {
            return None;
        }
        let address = |kind| entries.of(kind).find_map(|entry| u64_at(entry, 8));
        Some(Self {
            distributor: u64_at(distributor, 8)?,
            interface: interface.filter(|_| !is_new),
            translator: if is_new {
                address(ITS)
            } else {
                address(MSI_FRAME)
            },
        })
    }

    fn write(&self, tree: &mut Writer<'_>, entries: Entries<'_>) {
        tree.begin_at("intc", self.distributor);
        let compatible = match self.interface {
            Some(_) => "arm,cortex-a15-gic",
            None => "arm,gic-v3",
        };
        tree.text("compatible", &[compatible]);
        tree.words("#interrupt-cells", &[3]);
        tree.text("interrupt-controller", &[]);
        tree.words("phandle", &[GIC]);
        tree.words("#address-cells", &[2]);
        tree.words("#size-cells", &[2]);
        tree.text("ranges", &[]);
        match self.interface {
            Some(interface) => {
                tree.numbers("reg", &[self.distributor, 0x1000, interface, 0x2000]);
                for (number, frame) in entries.of(MSI_FRAME).enumerate() {
                    self.write_frame(tree, frame, number);
                }
            }
            None => {
                let mut regions = 0;
                tree.cells("reg", |tree| {
                    tree.number(self.distributor, 2);
                    tree.number(0x1_0000, 2);
                    regions = redistributors(tree, entries);
                });
                tree.words("#redistributor-regions", &[regions]);
                for (number, its) in entries
                    .of(ITS)
                    .filter_map(|entry| u64_at(entry, 8))
                    .enumerate()
                {
                    tree.begin_at("its", its);
                    tree.text("compatible", &["arm,gic-v3-its"]);
                    tree.text("msi-controller", &[]);
                    tree.words("#msi-cells", &[1]);
                    tree.numbers("reg", &[its, 0x2_0000]);
                    if number == 0 {
                        tree.words("phandle", &[TRANSLATOR]);
                    }
                    tree.end();
                }
            }
        }
        tree.end();
    }

    /// A frame to which devices write their messages.
    fn write_frame(&self, tree: &mut Writer<'_>, frame: &[u8], number: usize) {
        let fields = (
            u64_at(frame, 8),
            u32_at(frame, 16),
            u16_at(frame, 20),
            u16_at(frame, 22),
        );
        let (Some(address), Some(flags), Some(count), Some(first)) = fields else {
            return;
        };
        tree.begin_at("v2m", address);
        tree.text("compatible", &["arm,gic-v2m-frame"]);
        tree.text("msi-controller", &[]);
        tree.numbers("reg", &[address, 0x1000]);
        // Else the frame's own register says which.
        if flags & 1 != 0 {
            tree.words("arm,msi-base-spi", &[u32::from(first)]);
            tree.words("arm,msi-num-spis", &[u32::from(count)]);
        }
        if number == 0 {
            tree.words("phandle", &[TRANSLATOR]);
        }
        tree.end();
    }
}

/// Writes the regions of the redistributors; returns their number. Where the processors name them,
/// each has its own.
fn redistributors(tree: &mut Writer<'_>, entries: Entries<'_>) -> u32 {
    let mut count = 0;
    let mut region = |address: u64, len: u64| {
        tree.number(address, 2);
        tree.number(len, 2);
        count += 1;
    };
    for entry in entries.of(GICR) {
        if let (Some(address), Some(len)) = (u64_at(entry, 4), u32_at(entry, 12)) {
            region(address, u64::from(len));
        }
    }
    if entries.of(GICR).next().is_none() {
        for address in interfaces(entries).filter_map(|entry| u64_at(entry, 60)) {
            region(address, 0x2_0000);
        }
    }
    count
}

/// The processors, by the affinity of their MPIDR.
fn processors(tree: &mut Writer<'_>, entries: Entries<'_>) {
    const AFFINITY: u64 = 0xff_00ff_ffff;
    tree.begin(b"cpus");
    tree.words("#address-cells", &[2]);
    tree.words("#size-cells", &[0]);
    let affinities = interfaces(entries).filter_map(|entry| u64_at(entry, 68));
    for affinity in affinities
        .take(MAX_PROCESSORS)
        .map(|mpidr| mpidr & AFFINITY)
    {
        tree.begin_at("cpu", affinity);
        tree.text("device_type", &["cpu"]);
        tree.text("compatible", &["arm,armv8"]);
        tree.text("enable-method", &["psci"]);
        tree.numbers("reg", &[affinity]);
        tree.end();
    }
    tree.end();
}

/// PSCI, by the FADT's flags for Arm (ACPI 6.5, table 5.11).
fn psci(tree: &mut Writer<'_>, flags: u16) {
    const COMPLIANT: u16 = 1;
    const HVC: u16 = 2;
    if flags & COMPLIANT != 0 {
        tree.begin(b"psci");
        tree.text("compatible", &["arm,psci-1.0", "arm,psci-0.2"]);
        tree.text("method", &[if flags & HVC != 0 { "hvc" } else { "smc" }]);
        tree.end();
    }
}

/// The timers of the secure EL1, the non-secure EL1, the virtual one and that of EL2: number, edge,
/// low.
fn timers(gtdt: &[u8]) -> Option<[(u32, bool, bool); 4]> {
    let mut timers = [(0, false, false); 4];
    for (timer, at) in timers.iter_mut().zip([48, 56, 64, 72]) {
        let flags = u32_at(gtdt, at + 4)?;
        *timer = (u32_at(gtdt, at)?, flags & 1 != 0, flags & 2 != 0);
    }
    let [.., (virtual_timer, ..), _] = timers;
    (16..32).contains(&virtual_timer).then_some(timers)
}

/// The console's serial port.
#[derive(Clone, Copy, Debug)]
struct Serial {
    /// SPCR's number of the kind.
    kind: u8,
    address: u64,
    /// Bytes of an access, and from one register to the next.
    width: u32,
    interrupt: Option<u32>,
    clock: Option<u32>,
}

impl Serial {
    const NAME: &str = "serial";

    fn find(spcr: &[u8]) -> Option<Self> {
        const GIC_INTERRUPT: u8 = 8;
        let [space, bits, _, access] = *spcr.get(40..)?.first_chunk()?;
        let address = u64_at(spcr, 44)?;
        if space != 0 || address == 0 {
            return None;
        }
        Some(Self {
            kind: *spcr.get(36)?,
            address,
            width: match (access, bits) {
                (1..=3, _) => 1 << (access - 1),
                (_, 32) => 4,
                (_, 16) => 2,
                _ => 1,
            },
            interrupt: u32_at(spcr, 54)
                .filter(|number| spcr.get(52) == Some(&GIC_INTERRUPT) && *number >= 32),
            clock: u32_at(spcr, 76).filter(|hz| *hz != 0),
        })
    }

    fn write(&self, tree: &mut Writer<'_>) {
        let compatible: &[&str] = match self.kind {
            0 | 1 | 0x12 => &["ns16550a"],
            3 => &["arm,pl011", "arm,primecell"],
            0x0d | 0x0e => &["arm,sbsa-uart"],
            _ => return,
        };
        tree.begin_at(Self::NAME, self.address);
        tree.text("compatible", compatible);
        tree.numbers("reg", &[self.address, 0x1000]);
        if let Some(number) = self.interrupt {
            tree.cells("interrupts", |tree| interrupt(tree, number, false, false));
        }
        if matches!(self.kind, 0 | 1 | 0x12) {
            tree.words("reg-io-width", &[self.width]);
            tree.words("reg-shift", &[self.width.trailing_zeros()]);
        }
        if let Some(hz) = self.clock {
            tree.words("clock-frequency", &[hz]);
        }
        tree.end();
    }
}

/// A PCI Express segment, with the windows of the DSDT's bridges of it.
fn bus(tree: &mut Writer<'_>, segment: Segment, dsdt: &[u8], translator: Option<u64>) {
    tree.begin_at("pcie", segment.start());
    tree.text("compatible", &["pci-host-ecam-generic"]);
    tree.text("device_type", &["pci"]);
    tree.words("#address-cells", &[3]);
    tree.words("#size-cells", &[2]);
    tree.numbers("reg", &[segment.start(), segment.size()]);
    tree.words("bus-range", &[segment.first.into(), segment.last.into()]);
    tree.words("linux,pci-domain", &[u32::from(segment.number)]);
    tree.text("dma-coherent", &[]);
    if translator.is_some() {
        tree.words("msi-map", &[0, TRANSLATOR, 0, 0x1_0000]);
    }
    tree.cells("ranges", |tree| {
        let bridges = devices(dsdt, Kind::HostBridge)
            .filter(|bridge| bridge.number(b"_SEG").unwrap_or(0) == u64::from(segment.number));
        for resource in bridges.flat_map(|bridge| bridge.resources()) {
            if let Resource::Window {
                io,
                start,
                len,
                physical,
            } = resource
            {
                // I/O ports, memory below 4 GiB, memory.
                tree.cell(match io {
                    true => 0x0100_0000,
                    false if start + len <= 1 << 32 => 0x0200_0000,
                    false => 0x0300_0000,
                });
                tree.number(start, 2);
                tree.number(physical, 2);
                tree.number(len, 2);
            }
        }
    });
    tree.end();
}

/// A device with registers, and an interrupt if it has one.
fn registers(tree: &mut Writer<'_>, device: Device<'_>, name: &str, compatible: &str) {
    let Some((address, len)) = device.registers() else {
        return;
    };
    tree.begin_at(name, address);
    tree.text("compatible", &[compatible]);
    tree.numbers("reg", &[address, len]);
    tree.text("dma-coherent", &[]);
    if let Some((number, edge, low)) = device.interrupt() {
        tree.cells("interrupts", |tree| interrupt(tree, number, edge, low));
    }
    tree.end();
}

#[cfg(test)]
mod tests;
