use super::fadt::Power;
use super::madt::Entries;
use super::{Acpi, HEADER, Register, Tables, VirtioMmio, find_root, is_intact};
use crate::aml::EventDevice;
use crate::fake::aml::{device, line, memory, name, resources, sized, text, window};
use crate::fake::{Memory, sum};
use crate::memory::Physical as _;
use proptest::prelude::{any, proptest};

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    crate::fake::table(signature, HEADER + body.len(), &[(HEADER, body)])
}

/// Makes the sums of the RSDP at 0 right.
fn mend(memory: &mut Memory) {
    sum(&mut memory.0[..20], 8);
    if memory.0[15] >= 2 {
        sum(&mut memory.0[..36], 32);
    }
}

/// The local APICs of the MADT.
fn processors(memory: &Memory, rsdp: u64) -> Option<Vec<u32>> {
    let madt = Tables::find(memory, rsdp)?.get(b"APIC")?;
    Some(Entries::new(madt).local_apics().collect())
}

/// RSDP at 0, RSDT at 0x100, FADT at 0x200, MADT at 0x400, DSDT at 0x500.
fn machine(fadt_flags: u32, dsdt: &[u8]) -> Memory {
    let mut memory = vec![0; 0x1000];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RSD PTR ");
    put(16, &0x100u32.to_le_bytes());
    let roots: Vec<u8> = [0x200u32, 0x400]
        .iter()
        .flat_map(|at| at.to_le_bytes())
        .collect();
    put(0x100, &table(b"RSDT", &roots));
    let mut fadt = vec![0; 268 - HEADER];
    let mut set = |at: usize, bytes: &[u8]| {
        fadt[at - HEADER..at - HEADER + bytes.len()].copy_from_slice(bytes);
    };
    set(40, &0x500u32.to_le_bytes());
    set(46, &9u16.to_le_bytes());
    set(48, &0xb2u32.to_le_bytes());
    set(52, &[2]);
    set(56, &0x600u32.to_le_bytes());
    set(64, &0x604u32.to_le_bytes());
    set(76, &0x608u32.to_le_bytes());
    set(88, &[4]);
    set(112, &fadt_flags.to_le_bytes());
    set(116, &[1, 8, 0, 1]);
    set(120, &0xcf9u64.to_le_bytes());
    set(128, &[0x0f]);
    set(244, &[0, 8, 0, 1]);
    set(248, &0xfea0_0200u64.to_le_bytes());
    put(0x200, &table(b"FACP", &fadt));
    // The local APIC's address, and flags.
    let mut madt = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
    madt.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    madt.extend([2, 10, 0, 9, 20, 0, 0, 0, 0xd, 0]);
    madt.extend([2, 10, 0, 10, 10, 0, 0, 0, 0xf, 0]);
    // Too short for its signal.
    madt.extend([2, 8, 0, 11, 16, 0, 0, 0]);
    put(0x400, &table(b"APIC", &madt));
    put(0x500, &table(b"DSDT", dsdt));
    let mut memory = Memory(memory);
    mend(&mut memory);
    memory
}

/// The same with an XSDT at 0x800 that lists these, beside an RSDT that leads nowhere.
fn extended(machine: Memory, tables: &[u64]) -> Memory {
    let mut memory = machine.0;
    memory[15] = 2;
    memory[16..20].copy_from_slice(&0xfffff0u32.to_le_bytes());
    memory[24..32].copy_from_slice(&0x800u64.to_le_bytes());
    let entries: Vec<u8> = tables.iter().flat_map(|at| at.to_le_bytes()).collect();
    let xsdt = table(b"XSDT", &entries);
    memory[0x800..0x800 + xsdt.len()].copy_from_slice(&xsdt);
    let mut memory = Memory(memory);
    mend(&mut memory);
    memory
}

#[test]
fn reads_each_entry_of_an_xsdt() {
    let dsdt = b"\x08_S5_\x12\x06\x04\x0a\x05\0\0\0";
    let by_rsdt = Acpi::parse(&machine(1 << 10, dsdt), 0);
    for order in [[0x200, 0x400], [0x400, 0x200]] {
        let memory = extended(machine(1 << 10, dsdt), &order);
        assert_eq!(Acpi::parse(&memory, 0), by_rsdt);
    }
    // The first alone, and the last after a damaged one.
    let fadt = Acpi::parse(&extended(machine(1 << 10, dsdt), &[0x200]), 0);
    assert!(fadt.power.is_some() && fadt.io_apics.is_empty());
    let madt = Acpi::parse(&extended(machine(1 << 10, dsdt), &[0x300, 0x400]), 0);
    assert!(madt.power.is_none() && madt.io_apics.len() == 1);
    // An address above 4 GiB isn't the one below it.
    let high = Acpi::parse(&extended(machine(1 << 10, dsdt), &[0x1_0000_0200]), 0);
    assert_eq!(high, Acpi::default());
}

#[test]
fn an_old_root_has_no_xsdt() {
    let mut memory = extended(machine(0, b""), &[0x200, 0x400]);
    memory.0[15] = 1;
    mend(&mut memory);
    assert_eq!(Acpi::parse(&memory, 0), Acpi::default());
    memory.0[15] = 2;
    // Without an address the RSDT is used.
    memory.0[24..32].fill(0);
    memory.0[16..20].copy_from_slice(&0x100u32.to_le_bytes());
    mend(&mut memory);
    assert_eq!(Acpi::parse(&memory, 0).io_apics.len(), 1);
}

#[test]
fn finds_the_machines_identifier() {
    // QEMU: an SSDT of its own.
    let body = b"\x08VGIA\x0c\x00\x30\xfd\x07\x10\x4c\x08_SB_";
    let mut memory = extended(machine(0, b""), &[0x200, 0x900]);
    let ssdt = table(b"SSDT", body);
    memory.0[0x900..0x900 + ssdt.len()].copy_from_slice(&ssdt);
    assert_eq!(Acpi::parse(&memory, 0).machine_id, Some(0x7fd_3028));
    // Before the firmware has filled in the address there is none.
    let ssdt = table(b"SSDT", b"\x08VGIA\x0c\0\0\0\0");
    memory.0[0x900..0x900 + ssdt.len()].copy_from_slice(&ssdt);
    assert_eq!(Acpi::parse(&memory, 0).machine_id, None);
    // Firecracker: a device in the DSDT.
    let id = |numbers: &[u8]| {
        let list = [&[0x12][..], &sized(&[&[2], numbers].concat())].concat();
        let own = [text(b"_CID", b"VM_Gen_Counter"), name(b"ADDR", &list)].concat();
        Acpi::parse(&machine(0, &device(b"VGEN", &[&own])), 0).machine_id
    };
    assert_eq!(id(&[0x0c, 0, 0xf0, 0xff, 0x7f, 0]), Some(0x7fff_f000));
    assert_eq!(id(&[0x0b, 0, 0x10, 1]), Some(0x1_0000_1000));
    assert_eq!(id(&[0x0a, 0x80, 0x0a, 2]), Some(0x2_0000_0080));
    assert_eq!(id(&[0, 0]), None);
    assert_eq!(id(&[0x0c, 0, 0]), None);
    assert_eq!(id(&[0x0d, 0, 0]), None);
}

#[test]
fn finds_a_vmclock() {
    // QEMU's SSDT; Firecracker has the same device in its DSDT.
    let own = |id: &[u8]| {
        let page = resources(&[window(0, 0xfeff_b000, 0x1000, 0)]);
        device(
            b"VCLK",
            &[&text(b"_CID", id), &text(b"_DDN", b"VMCLOCK"), &page],
        )
    };
    let found = |dsdt: &[u8]| Acpi::parse(&machine(0, dsdt), 0).vmclock;
    let clock = own(b"VMCLOCK");
    assert_eq!(found(&clock), Some(0xfeff_b000));
    let mut memory = extended(machine(0, b""), &[0x200, 0x900]);
    let ssdt = table(b"SSDT", &clock);
    memory.0[0x900..0x900 + ssdt.len()].copy_from_slice(&ssdt);
    assert_eq!(Acpi::parse(&memory, 0).vmclock, Some(0xfeff_b000));
    // Cut off before the address, and another device with a page.
    for end in [clock.len() - 33, 40, 10] {
        assert_eq!(found(&clock[..end]), None, "{end}");
    }
    assert_eq!(found(&own(b"VMCLOCX")), None);
}

#[test]
fn lists_the_enabled_processors() {
    let local = |id: u8, flags: u8| vec![0, 8, 0, id, flags, 0, 0, 0];
    let high = |id: u32, flags: u8| {
        let id = id.to_le_bytes();
        [&[9, 16, 0, 0][..], &id, &[flags, 0, 0, 0], &[0; 4]].concat()
    };
    let list = |entries: &[Vec<u8>]| {
        let mut memory = machine(0, b"");
        let madt = table(b"APIC", &[vec![0; 8], entries.concat()].concat());
        memory.0[0x400..0x400 + madt.len()].copy_from_slice(&madt);
        processors(&memory, 0)
    };
    let (enabled, online_capable) = (1, 2);
    let entries = [
        local(0, enabled),
        // Of another kind, and one that could be added.
        vec![1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
        local(1, online_capable),
        local(2, enabled),
        high(0x1_0000, enabled),
        high(7, 0),
    ];
    assert_eq!(list(&entries), Some(vec![0, 2, 0x1_0000]));
    assert_eq!(list(&[]), Some(vec![]));
    // Cut off, and too short for its kind.
    assert_eq!(list(&[local(3, 1), vec![0, 8, 0, 4, 1]]), Some(vec![3]));
    assert_eq!(list(&[vec![0, 4, 0, 4], local(3, 1)]), Some(vec![3]));
    // As many as fill a table.
    assert_eq!(
        list(&vec![local(1, 1); 50]).map(|list| list.len()),
        Some(50)
    );
    assert_eq!(processors(&machine(0, b""), 1), None);
}

#[test]
fn reads_a_pc() {
    let dsdt = b"\x08_S5_\x12\x06\x04\x0a\x05\0\0\0";
    let acpi = Acpi::parse(&machine(1 << 10, dsdt), 0);
    let power = Power::Fixed {
        event: 0x600,
        enable_offset: 2,
        control: 0x604,
        enable: Some((0xb2, 2)),
        irq: 9,
    };
    assert_eq!(acpi.power, Some(power));
    assert_eq!(acpi.sleep_type, Some(5));
    assert_eq!(acpi.reset, Some((Register::Port(0xcf9), 0x0f)));
    assert_eq!(acpi.timer, Some(0x608));
    assert_eq!(acpi.io_apics, [(0xfec0_0000, 0)]);
    let lines = [4, 9, 10, 11].map(|irq| acpi.legacy(irq));
    assert_eq!(lines, [(4, false), (20, false), (10, true), (16, false)]);
}

/// Its firmware may leave out the entry, or its polarity.
#[test]
fn the_interrupt_of_acpi_is_active_low_unless_firmware_says_otherwise() {
    let dsdt = b"\x08_S5_\x12\x06\x04\x0a\x05\0\0\0";
    let without = Acpi::parse(&extended(machine(1 << 10, dsdt), &[0x200]), 0);
    assert_eq!(
        [4, 9, 10].map(|irq| without.legacy(irq)),
        [(4, false), (9, true), (10, false)]
    );
    // As on the bus; high; a reserved value; low.
    for (polarity, is_low) in [(0, true), (1, false), (2, true), (3, true)] {
        let mut madt = vec![0; 8];
        madt.extend([2, 10, 0, 9, 20, 0, 0, 0, 0xc | polarity, 0]);
        let mut memory = machine(1 << 10, dsdt);
        let table = table(b"APIC", &madt);
        memory.0[0x400..0x400 + table.len()].copy_from_slice(&table);
        assert_eq!(
            Acpi::parse(&memory, 0).legacy(9),
            (20, is_low),
            "{polarity}"
        );
    }
}

#[test]
fn reads_a_microvm() {
    let mut dsdt = qemus_events(b"\x0c\x00\x00\xa0\xfe");
    // The second as Firecracker has its devices.
    for (address, gsi, flags) in [(0xfeb0_0000, 16, 1), (0xfeb0_0200, 17, 3)] {
        let own = resources(&[memory(address, 512), line(gsi, flags)]);
        dsdt.extend(device(b"VR00", &[&text(b"_HID", b"LNRO0005"), &own]));
    }
    let acpi = Acpi::parse(&machine(1 << 20, &dsdt), 0);
    let power = Power::Reduced {
        sleep_control: Some(Register::Memory(0xfea0_0200)),
        events: Some(EventDevice {
            address: 0xfea0_0000,
            is_byte: false,
            mask: 2,
            gsi: 9,
        }),
    };
    assert_eq!(acpi.power, Some(power));
    let device = |address, gsi, is_edge| VirtioMmio {
        address,
        len: 512,
        gsi,
        is_edge,
    };
    assert_eq!(
        acpi.virtio_mmio,
        [
            device(0xfeb0_0000, 16, false),
            device(0xfeb0_0200, 17, true)
        ]
    );
    assert_eq!(acpi.reset, None);
}

#[test]
fn numbers_of_sleep_take_one_byte_or_two() {
    let sleep = |rest: &[u8]| {
        let dsdt = [b"\x08_S5_", rest].concat();
        Acpi::parse(&machine(0, &dsdt), 0).sleep_type
    };
    assert_eq!(sleep(&[0x12, 0x06, 4, 0x0a, 5, 0, 0, 0]), Some(5));
    // The constants Zero and One, and a package whose length takes two bytes.
    assert_eq!(sleep(&[0x12, 0x06, 4, 1, 0x0a, 5, 0, 0]), Some(1));
    assert_eq!(sleep(&[0x12, 0x06, 4, 0, 0x0a, 5, 0, 0]), Some(0));
    assert_eq!(sleep(&[0x12, 0x46, 0, 4, 0x0a, 7, 0, 0]), Some(7));
    assert_eq!(sleep(&[0x12, 0x06, 4, 2, 0x0a, 5]), None);
    assert_eq!(sleep(&[0x12, 0x06, 4]), None);
    assert_eq!(sleep(&[0x13, 0x06, 4, 0x0a, 5, 0, 0, 0]), None);
}

fn events(dsdt: &[u8]) -> Option<EventDevice> {
    match Acpi::parse(&machine(1 << 20, dsdt), 0).power {
        Some(Power::Reduced { events, .. }) => events,
        other => panic!("{other:?}"),
    }
}

/// QEMU's generic event device with this address of its selector, an integer of AML.
fn qemus_events(address: &[u8]) -> Vec<u8> {
    let region = [b"\x5b\x80EREG\x00", address, b"\x0a\x04"].concat();
    let method = b"\x5b\x81\x0bEREG\x43ESEL\x20\x14\x1e_EVT\x09\x70ESEL\x60\
        \xa0\x11\x93\x7b\x60\x0a\x02\0\x0a\x02\x86PWRB\x0a\x80";
    let own = [text(b"_HID", b"ACPI0013"), resources(&[line(9, 1)])].concat();
    device(b"GED_", &[&own, &region, method])
}

/// Of Cloud Hypervisor: `AcpiGedDevice::to_aml_bytes` in devices/src/acpi.rs.
fn cloud_hypervisors_events(address: &[u8]) -> Vec<u8> {
    let region = [b"\x5b\x80GDST\x00", address, b"\x01"].concat();
    let method = b"\x5b\x81\x0bGDST\x41GDAT\x08\x14\x4eESCN\x08\x70GDAT\x60\
        \x7b\x60\x0a\x04\x61\xa0\x13\x93\x61\x0a\x04\x5c\x2f\x03_SB_PHPRPSCN\
        \x7b\x60\x0a\x08\x61\xa0\x11\x93\x61\x0a\x08\x86\x5c\x2e_SB_PWRB\x0a\x80";
    let controller = device(b"GEC_", &[b"\x08_HID\x0c\x41\xd0\x0a\x06", &region, method]);
    let own = [
        text(b"_HID", b"ACPI0013"),
        name(b"_UID", &[0]),
        resources(&[line(5, 3)]),
    ];
    let call = b"\x14\x11_EVT\x09\\._SB_GEC_ESCN";
    [controller, device(b"\x2e_SB_GED_", &[&own.concat(), call])].concat()
}

#[test]
fn a_selector_of_events_may_lie_high() {
    let high = 0x12_fea0_0000u64;
    let address = [&[0x0e][..], &high.to_le_bytes()].concat();
    let found = events(&qemus_events(&address)).expect("a device");
    assert_eq!((found.address, found.gsi, found.is_byte), (high, 9, false));
}

/// Another bit than QEMU's, in a byte, in a device of its own.
#[test]
fn reads_the_button_of_cloud_hypervisor() {
    let expected = EventDevice {
        address: 0xe900_0000,
        is_byte: true,
        mask: 8,
        gsi: 5,
    };
    let dsdt = cloud_hypervisors_events(b"\x0c\0\0\0\xe9");
    assert_eq!(events(&dsdt), Some(expected));
}

#[test]
fn an_event_device_without_a_button_is_none() {
    let dsdt = qemus_events(b"\x0c\x00\x00\xa0\xfe");
    assert_eq!(events(&dsdt[..dsdt.len() - 1]), None);
    let mut without_region = dsdt.clone();
    let region = dsdt.windows(2).position(|bytes| bytes == [0x5b, 0x80]);
    without_region[region.expect("a region")] = 0;
    assert_eq!(events(&without_region), None);
}

#[test]
fn a_register_without_an_address_is_none() {
    let mut memory = machine(1 << 10 | 1 << 20, b"");
    let whole = Acpi::parse(&memory, 0);
    assert!(whole.reset.is_some());
    // Both registers' addresses; the sum of the table's bytes stays.
    for at in [120, 248] {
        let lost = memory.0[0x200 + at..][..8].iter().copied();
        let lost = lost.fold(0u8, u8::wrapping_add);
        memory.0[0x200 + at..][..8].fill(0);
        memory.0[0x209] = memory.0[0x209].wrapping_add(lost);
    }
    let without = Acpi::parse(&memory, 0);
    let power = Power::Reduced {
        sleep_control: None,
        events: None,
    };
    assert_eq!((without.reset, without.power), (None, Some(power)));
}

#[test]
fn the_timer_may_have_an_extended_address_only() {
    let timer = |port: u32, space: u8, address: u64| {
        let mut memory = machine(0, b"");
        let fadt = &mut memory.0[0x200..0x200 + 268];
        fadt[76..80].copy_from_slice(&port.to_le_bytes());
        fadt[208..212].copy_from_slice(&[space, 32, 0, 3]);
        fadt[212..220].copy_from_slice(&address.to_le_bytes());
        fadt[9] = 0;
        fadt[9] = fadt.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        Acpi::parse(&memory, 0).timer
    };
    assert_eq!(timer(0x508, 1, 0x608), Some(0x508));
    assert_eq!(timer(0, 1, 0x608), Some(0x608));
    assert_eq!(timer(0x1_0000, 0, 0x608), None);
    assert_eq!(timer(0, 1, 0x1_0000), None);
    assert_eq!(timer(0, 0, 0), None);
}

#[test]
fn leaves_out_a_damaged_table() {
    let mut memory = machine(0, b"");
    memory.0[0x210] ^= 1;
    let acpi = Acpi::parse(&memory, 0);
    assert_eq!(acpi.power, None);
    assert_eq!(acpi.io_apics.len(), 1);
    assert_eq!(Acpi::parse(&memory, 1), Acpi::default());
}

/// An RSDP of this revision, with valid checksums.
fn root(revision: u8) -> [u8; 36] {
    let mut root = [0; 36];
    root[..8].copy_from_slice(b"RSD PTR ");
    root[9..15].copy_from_slice(b"FIRECK");
    root[15] = revision;
    root[20] = 36;
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    root[8] = sum(&root[..20]);
    root[32] = sum(&root);
    root
}

/// Where an RSDP is found in a memory of more than 1 MiB, from 0 on, with these bytes.
fn found(contents: &[(usize, &[u8])]) -> Option<u64> {
    let mut memory = vec![0; (1 << 20) + 512];
    for (at, bytes) in contents {
        memory[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    find_root(&Memory(memory))
}

#[test]
fn finds_the_root_where_firmware_leaves_it() {
    let (old, new) = (root(0), root(2));
    assert_eq!(found(&[]), None);
    // Firecracker's place, SeaBIOS's, and the last one.
    for at in [0xe_0000, 0xf_5a40, 0xf_ffd0] {
        assert_eq!(found(&[(at, &new)]), Some(at as u64), "{at:#x}");
    }
    assert_eq!(found(&[(0xe_0010, &old), (0xf_0000, &new)]), Some(0xe_0010));
    // Not outside of that memory, between two bounds, or partly behind the end.
    for at in [0xd_fff0, 0xe_0008, 0xf_fff0 - 0x10] {
        assert_eq!(found(&[(at, &new)]), None, "{at:#x}");
    }
    // The 20 bytes of the old form fit where 36 don't.
    assert_eq!(found(&[(0xf_ffe0, &old[..20])]), Some(0xf_ffe0));
    // The extended BIOS data area is first, its first KiB only.
    let area: (usize, &[u8]) = (0x40e, &[0xc0, 0x9f]);
    let bios: (usize, &[u8]) = (0xe_0000, &new);
    assert_eq!(found(&[area, bios, (0x9_ffd0, &new)]), Some(0x9_ffd0));
    assert_eq!(found(&[area, bios, (0xa_0000, &new)]), Some(0xe_0000));
    assert_eq!(found(&[(0x9_fc00, &new)]), None);
    // An area that isn't all memory is left out.
    assert_eq!(found(&[(0x40e, &[0xff; 2]), bios]), Some(0xe_0000));
}

#[test]
fn a_damaged_root_is_passed_over() {
    for (revision, covered) in [(0, 20), (1, 20), (2, 36), (255, 36)] {
        let good = root(revision);
        for at in 0..36 {
            let mut bad = good;
            bad[at] ^= 0x40;
            let places: [(usize, &[u8]); 2] = [(0xe_0100, &bad), (0xf_0000, &good)];
            let first = if at < covered { 0xf_0000 } else { 0xe_0100 };
            assert_eq!(found(&places), Some(first), "{revision} {at}");
        }
    }
}

proptest! {
    #[test]
    fn a_found_root_is_intact(
        segment in any::<u16>(),
        roots in proptest::collection::vec(
            (0usize..1 << 16, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let mut memory = vec![0; 1 << 20];
        memory[0x40e..0x410].copy_from_slice(&segment.to_le_bytes());
        for (at, bytes) in &roots {
            let mut bytes = [b"RSD PTR ", &bytes[..]].concat();
            let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
            bytes.push(sum);
            let at = (at << 4).min(memory.len() - bytes.len());
            memory[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        let memory = Memory(memory);
        if let Some(at) = find_root(&memory) {
            let area = u64::from(segment) << 4;
            let places = [area..area + 1024, 0xe_0000..0x10_0000];
            assert!(at % 16 == 0 && places.iter().any(|place| place.contains(&at)));
            assert!(is_intact(memory.read(at, 20).unwrap()));
            Acpi::parse(&memory, at);
        }
    }

    #[test]
    fn survives_any_dsdt(dsdt in proptest::collection::vec(any::<u8>(), 0..300)) {
        let list = [&[0x12][..], &sized(&[&[2], &dsdt[..dsdt.len().min(9)]].concat())].concat();
        let patterns = [
            qemus_events(b"\x0c\x00\x00\xa0\xfe"),
            b"\x02\x86PWRB\x0a\x80".to_vec(),
            name(b"_S5_", &[0x12]),
            device(b"VR00", &[&text(b"_HID", b"LNRO0005"), &name(b"_CRS", &[0x11])]),
            device(b"VGEN", &[&text(b"_CID", b"VM_Gen_Counter"), &name(b"ADDR", &list)]),
        ];
        for pattern in patterns {
            // After the pattern, and in its place from each quarter on.
            for part in 1..=4 {
                let kept = &pattern[..pattern.len() * part / 4];
                Acpi::parse(&machine(1 << 20, &[kept, &dsdt].concat()), 0);
            }
        }
    }
}
