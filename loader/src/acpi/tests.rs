use crate::tree::Error;
use crate::tree::tests::ADDITIONS;
use firmware::acpi::{HEADER, Tables};
use firmware::fake::aml::{device, line, memory, resources, text, window};
use firmware::fake::{shown, sum, table};
use firmware::memory::Physical;
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

const BASE: u64 = 0x7f00_0000;
const ROOT: u64 = BASE;

/// Memory at [`BASE`].
struct Place(Vec<u8>);

impl Physical for Place {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(address.checked_sub(BASE)?).ok()?;
        self.0.get(at..)?.get(..len)
    }
}

/// An entry of the MADT.
fn entry(kind: u8, len: usize, fields: &[(usize, u64, usize)]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    (bytes[0], bytes[1]) = (kind, len as u8);
    for (at, value, size) in fields {
        bytes[*at..at + size].copy_from_slice(&value.to_le_bytes()[..*size]);
    }
    bytes
}

/// An RSDP with these tables; the FADT names the DSDT.
fn machine(dsdt: Vec<u8>, tables: Vec<Vec<u8>>) -> Place {
    let mut bytes = vec![0; 64];
    let mut add = |table: Vec<u8>| {
        let at = BASE + bytes.len() as u64;
        bytes.extend(table);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        at
    };
    let dsdt = add(table(b"DSDT", HEADER + dsdt.len(), &[(HEADER, &dsdt)]));
    let fadt = [(129, &[3, 0][..]), (140, &dsdt.to_le_bytes())];
    let mut addresses = vec![add(table(b"FACP", 276, &fadt))];
    addresses.extend(tables.into_iter().map(&mut add));
    let list: Vec<u8> = addresses
        .iter()
        .flat_map(|address| address.to_le_bytes())
        .collect();
    let xsdt = add(table(b"XSDT", HEADER + list.len(), &[(HEADER, &list)]));
    bytes[..8].copy_from_slice(b"RSD PTR ");
    bytes[15] = 2;
    bytes[24..32].copy_from_slice(&xsdt.to_le_bytes());
    sum(&mut bytes[..20], 8);
    sum(&mut bytes[..36], 32);
    Place(bytes)
}

fn madt(entries: &[Vec<u8>]) -> Vec<u8> {
    let entries = entries.concat();
    table(b"APIC", 44 + entries.len(), &[(44, &entries)])
}

fn gtdt() -> Vec<u8> {
    let numbers = [29_u32, 0, 30, 2, 27, 1, 26, 3]
        .map(u32::to_le_bytes)
        .concat();
    table(b"GTDT", 104, &[(48, &numbers)])
}

fn spcr(kind: u8, access: u8) -> Vec<u8> {
    let register = [0, 32, 0, access, 0, 0, 0, 9, 0, 0, 0, 0];
    let interrupt = [8, 0, 33, 0, 0, 0];
    table(
        b"SPCR",
        80,
        &[(36, &[kind]), (40, &register), (52, &interrupt)],
    )
}

/// Processors with version 2 of the controller.
fn old() -> Vec<Vec<u8>> {
    let processor = |flags, mpidr| {
        let interface = (32, 0x801_0000, 8);
        entry(
            super::GICC,
            80,
            &[(12, flags, 4), interface, (68, mpidr, 8)],
        )
    };
    vec![
        entry(super::GICD, 24, &[(8, 0x800_0000, 8), (20, 2, 1)]),
        processor(1, 0x8000_0000),
        processor(8, 0x8000_0101),
        // It can't be used.
        processor(0, 3),
        entry(
            super::MSI_FRAME,
            24,
            &[(8, 0x802_0000, 8), (16, 1, 4), (20, 64, 2), (22, 80, 2)],
        ),
    ]
}

/// A processor with version 3 of the controller.
fn new(own_redistributor: bool) -> Vec<Vec<u8>> {
    let address = if own_redistributor { 0x80a_0000 } else { 0 };
    let mut entries = vec![
        entry(super::GICD, 24, &[(8, 0x800_0000, 8), (20, 3, 1)]),
        entry(super::GICC, 80, &[(12, 1, 4), (60, address, 8)]),
        entry(super::ITS, 20, &[(8, 0x808_0000, 8)]),
    ];
    if !own_redistributor {
        entries.push(entry(
            super::GICR,
            16,
            &[(4, 0x80a_0000, 8), (12, 0xf6_0000, 4)],
        ));
    }
    entries
}

fn tree(place: &Place) -> Result<String, Error> {
    let mut buffer = vec![0; 1 << 14];
    let tables = Tables::find(place, ROOT).ok_or(Error::None)?;
    let len = super::tree(&tables, &ADDITIONS, &mut buffer)?;
    Ok(shown(&buffer[..len]))
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|one| one == *line), "{line} in\n{text}");
    }
}

/// QEMU's machine `virt`, in short.
fn virt() -> Place {
    let windows = resources(&[
        window(0, 0x1000_0000, 0x2eff_0000, 0),
        window(1, 0, 0x1_0000, 0x3eff_0000),
        window(0, 0x80_0000_0000, 0x80_0000_0000, 0),
    ]);
    let virtio = resources(&[memory(0xa00_0000, 0x200), line(48, 3)]);
    let other = device(
        b"PCI1",
        &[&text(b"_HID", b"PNP0A08"), b"\x08_SEG\x01", &windows],
    );
    let dsdt = [
        device(b"PCI0", &[&text(b"_HID", b"PNP0A08"), &windows]),
        other,
        device(b"VR00", &[&text(b"_HID", b"LNRO0005"), &virtio]),
        device(
            b"FWCF",
            &[
                &text(b"_HID", b"QEMU0002"),
                &resources(&[memory(0x902_0000, 24)]),
            ],
        ),
        device(
            b"VR01",
            &[&text(b"_HID", b"LNRO0005"), &resources(&[line(49, 3)])],
        ),
    ];
    let base = 0x40_1000_0000_u64.to_le_bytes();
    let mcfg = table(b"MCFG", 60, &[(44, &base), (54, &[0, 255])]);
    machine(
        dsdt.concat(),
        vec![madt(&new(false)), gtdt(), spcr(3, 3), mcfg],
    )
}

#[test]
fn tables_become_a_tree() {
    let expected = "/
/#address-cells = <2>
/#size-cells = <2>
/interrupt-parent = <1>
/compatible = soil,acpi|
/chosen/
/chosen/bootargs = A=b -- c|
/chosen/soil,acpi-root = <0 7f000010>
/chosen/soil,time = <1 6a000000>
/chosen/linux,pci-probe-only = <1>
/chosen/stdout-path = /serial@9000000|
/memory@40000000/
/memory@40000000/device_type = memory|
/memory@40000000/reg = <0 40000000 0 10000000 8 0 0 40000000>
/cpus/
/cpus/#address-cells = <2>
/cpus/#size-cells = <0>
/cpus/cpu@0/
/cpus/cpu@0/device_type = cpu|
/cpus/cpu@0/compatible = arm,armv8|
/cpus/cpu@0/enable-method = psci|
/cpus/cpu@0/reg = <0 0>
/psci/
/psci/compatible = arm,psci-1.0|arm,psci-0.2|
/psci/method = hvc|
/intc@8000000/
/intc@8000000/compatible = arm,gic-v3|
/intc@8000000/#interrupt-cells = <3>
/intc@8000000/interrupt-controller = <>
/intc@8000000/phandle = <1>
/intc@8000000/#address-cells = <2>
/intc@8000000/#size-cells = <2>
/intc@8000000/ranges = <>
/intc@8000000/reg = <0 8000000 0 10000 0 80a0000 0 f60000>
/intc@8000000/#redistributor-regions = <1>
/intc@8000000/its@8080000/
/intc@8000000/its@8080000/compatible = arm,gic-v3-its|
/intc@8000000/its@8080000/msi-controller = <>
/intc@8000000/its@8080000/#msi-cells = <1>
/intc@8000000/its@8080000/reg = <0 8080000 0 20000>
/intc@8000000/its@8080000/phandle = <2>
/timer/
/timer/compatible = arm,armv8-timer|
/timer/interrupts = <1 d 4 1 e 8 1 b 1 1 a 2>
/serial@9000000/
/serial@9000000/compatible = arm,pl011|arm,primecell|
/serial@9000000/reg = <0 9000000 0 1000>
/serial@9000000/interrupts = <0 1 4>
/pcie@4010000000/
/pcie@4010000000/compatible = pci-host-ecam-generic|
/pcie@4010000000/device_type = pci|
/pcie@4010000000/#address-cells = <3>
/pcie@4010000000/#size-cells = <2>
/pcie@4010000000/reg = <40 10000000 0 10000000>
/pcie@4010000000/bus-range = <0 ff>
/pcie@4010000000/linux,pci-domain = <0>
/pcie@4010000000/dma-coherent = <>
/pcie@4010000000/msi-map = <0 2 0 10000>
/pcie@4010000000/ranges = <2000000 0 10000000 0 10000000 0 2eff0000 \
1000000 0 0 0 3eff0000 0 10000 3000000 80 0 80 0 80 0>
/virtio_mmio@a000000/
/virtio_mmio@a000000/compatible = virtio,mmio|
/virtio_mmio@a000000/reg = <0 a000000 0 200>
/virtio_mmio@a000000/dma-coherent = <>
/virtio_mmio@a000000/interrupts = <0 10 1>
/fw-cfg@9020000/
/fw-cfg@9020000/compatible = qemu,fw-cfg-mmio|
/fw-cfg@9020000/reg = <0 9020000 0 18>
/fw-cfg@9020000/dma-coherent = <>
";
    assert_eq!(tree(&virt()).unwrap(), expected);
}

#[test]
fn the_controller_has_two_versions() {
    let text = tree(&machine(vec![], vec![madt(&old()), gtdt()])).unwrap();
    let lines = [
        "/cpus/cpu@0/",
        "/cpus/cpu@101/reg = <0 101>",
        "/intc@8000000/compatible = arm,cortex-a15-gic|",
        "/intc@8000000/reg = <0 8000000 0 1000 0 8010000 0 2000>",
        "/intc@8000000/v2m@8020000/arm,msi-base-spi = <50>",
        "/intc@8000000/v2m@8020000/arm,msi-num-spis = <40>",
        "/intc@8000000/v2m@8020000/phandle = <2>",
    ];
    has(&text, &lines);
    assert!(
        !text.contains("cpu@3") && !text.contains("pcie") && !text.contains("serial"),
        "{text}"
    );
    let text = tree(&machine(vec![], vec![madt(&new(true)), gtdt()])).unwrap();
    has(
        &text,
        &["/intc@8000000/reg = <0 8000000 0 10000 0 80a0000 0 20000>"],
    );
}

#[test]
fn serial_ports_have_kinds() {
    for (kind, access, lines) in [
        (0x0e, 3, vec!["/serial@9000000/compatible = arm,sbsa-uart|"]),
        (
            0x12,
            3,
            vec![
                "/serial@9000000/compatible = ns16550a|",
                "/serial@9000000/reg-io-width = <4>",
                "/serial@9000000/reg-shift = <2>",
            ],
        ),
        (0, 1, vec!["/serial@9000000/reg-shift = <0>"]),
    ] {
        let place = machine(vec![], vec![spcr(kind, access), madt(&new(true)), gtdt()]);
        has(&tree(&place).unwrap(), &lines);
    }
}

#[test]
fn a_missing_table_is_named() {
    let missing = |tables| tree(&machine(vec![], tables)).unwrap_err();
    assert_eq!(missing(vec![gtdt()]), Error::NoTable("APIC"));
    assert_eq!(missing(vec![madt(&new(true))]), Error::NoTable("GTDT"));
    assert_eq!(
        missing(vec![madt(&new(true)[..2]), madt(&old()[1..])]),
        Error::NoTable("GTDT")
    );
    assert_eq!(
        missing(vec![madt(&old()[..1]), gtdt()]),
        Error::NoTable("APIC")
    );
    assert_eq!(
        missing(vec![madt(&old()[1..]), gtdt()]),
        Error::NoTable("APIC")
    );
    // A wrong sum counts as missing.
    let mut damaged = gtdt();
    damaged[50] ^= 1;
    assert_eq!(
        missing(vec![damaged, madt(&new(true))]),
        Error::NoTable("GTDT")
    );
    let mut place = virt();
    place.0[33] ^= 1;
    assert_eq!(tree(&place), Err(Error::None));
    assert!(Tables::find(&virt(), ROOT + 8).is_none());
}

proptest! {
    /// Damaged tables are refused, or make a tree that can be read.
    #[test]
    fn damaged_tables_end(
        changes in vec((any::<u16>(), any::<u8>()), 1..12),
        mend in any::<bool>(),
    ) {
        let mut place = virt();
        let len = place.0.len();
        for (at, byte) in changes {
            place.0[usize::from(at) % len] = byte;
        }
        if mend {
            // Right sums, where lengths still fit: damage that sums don't show.
            for at in (64..len - HEADER).step_by(8) {
                let size = u32::from_le_bytes(place.0[at + 4..at + 8].try_into().unwrap()) as usize;
                let is_table = place.0[at..at + 4].iter().all(u8::is_ascii_uppercase);
                if is_table && size >= HEADER && at + size <= len {
                    sum(&mut place.0[at..at + size], 9);
                }
            }
            sum(&mut place.0[..36], 32);
        }
        let _ = tree(&place);
    }
}
