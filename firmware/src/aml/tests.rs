use super::{Device, Kind, Resource, package};
use crate::fake::aml::{device, line, memory, resources, sized, text, window};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};

/// The devices of a kind.
fn devices(table: &[u8], kind: Kind) -> impl Iterator<Item = Device<'_>> {
    super::devices(table).filter(move |device| device.kind() == Some(kind))
}

/// The same with 32-bit numbers.
fn small_window(start: u32, len: u32, offset: u32) -> Vec<u8> {
    let numbers = [0, start, start + len - 1, offset, len];
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    [&[0x87, 23, 0, 0, 0, 0][..], &bytes].concat()
}

fn found(table: &[u8], kind: Kind) -> Vec<Vec<Resource>> {
    devices(table, kind)
        .map(|device| device.resources().collect())
        .collect()
}

#[test]
fn devices_have_resources() {
    let first = resources(&[memory(0xa00_0000, 0x200), line(48, 3)]);
    let second = resources(&[memory(0xa00_0200, 0x200), line(49, 5)]);
    let table = [
        device(b"VR00", &[&text(b"_HID", b"LNRO0005"), &first]),
        device(b"VR01", &[&second, &text(b"_HID", b"LNRO0005")]),
        device(
            b"FWCF",
            &[&text(b"_HID", b"QEMU0002"), &resources(&[memory(9, 24)])],
        ),
        device(b"NONE", &[&text(b"_HID", b"LNRO0006"), &first]),
    ]
    .concat();
    let interrupt = |number, edge, low| Resource::Interrupt { number, edge, low };
    let expected = [
        vec![
            Resource::Memory(0xa00_0000, 0x200),
            interrupt(48, true, false),
        ],
        vec![
            Resource::Memory(0xa00_0200, 0x200),
            interrupt(49, false, true),
        ],
    ];
    assert_eq!(found(&table, Kind::VirtioMmio), expected);
    assert_eq!(found(&table, Kind::FwCfg), [vec![Resource::Memory(9, 24)]]);
    assert_eq!(found(&table, Kind::HostBridge), Vec::<Vec<_>>::new());
}

#[test]
fn a_bridge_has_windows() {
    // By its number, with a device inside that has resources of its own, first.
    let number = b"\x08_HID\x0c\x41\xd0\x0a\x08";
    let inner = device(b"RES0", &[&resources(&[memory(1, 2)]), b"\x08_SEG\x0a\x07"]);
    let windows = resources(&[
        vec![0x88, 13, 0, 2, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 1],
        small_window(0x1000_0000, 0x2eff_0000, 0),
        window(1, 0, 0x1_0000, 0x3eff_0000),
        window(0, 0x80_0000_0000, 0x80_0000_0000, 0),
        // None: empty, and beyond all addresses.
        window(0, 0x1000, 0, 0),
        window(0, u64::MAX, 2, 0x1000),
        window(0, 0x1000, 0x1000, u64::MAX - 0x1800),
    ]);
    let table = device(
        b"PCI0",
        &[&inner, number, b"\x08_SEG\x0b\x02\x01", &windows],
    );
    let window = |io, start, len, physical| Resource::Window {
        io,
        start,
        len,
        physical,
    };
    let expected = [
        window(false, 0x1000_0000, 0x2eff_0000, 0x1000_0000),
        window(true, 0, 0x1_0000, 0x3eff_0000),
        window(false, 0x80_0000_0000, 0x80_0000_0000, 0x80_0000_0000),
    ];
    assert_eq!(found(&table, Kind::HostBridge), [expected]);
    let segments = |table: &[u8]| {
        let bridges = devices(table, Kind::HostBridge);
        bridges
            .map(|bridge| bridge.number(b"_SEG"))
            .collect::<Vec<_>>()
    };
    assert_eq!(segments(&table), [Some(0x102)]);
    let table = device(b"PCI0", &[&text(b"_HID", b"PNP0A08"), b"\x08_SEG\x00"]);
    assert_eq!(segments(&table), [Some(0)]);
    let table = device(b"PCI0", &[&text(b"_HID", b"PNP0A08"), b"\x14\x05_SEG\x00"]);
    assert_eq!(segments(&table), [None]);
}

#[test]
fn a_bridge_says_where_its_configuration_space_is() {
    let base = |method: &[u8]| {
        let table = device(b"PCI0", &[&text(b"_HID", b"PNP0A08"), method]);
        let mut bridges = devices(&table, Kind::HostBridge);
        bridges
            .next()
            .and_then(|bridge| bridge.configuration_base())
    };
    // Method (_CBA) { Return (0xe0000000) }, as QEMU's microvm has it.
    let returns = |value: &[u8]| [&b"\x14\x0c_CBA\x00\xa4"[..], value].concat();
    assert_eq!(base(&returns(b"\x0c\x00\x00\x00\xe0")), Some(0xe000_0000));
    assert_eq!(
        base(&returns(b"\x0e\x00\x00\x00\x00\x40\x00\x00\x00")),
        Some(0x40_0000_0000)
    );
    // Another object's value, none, and no method.
    assert_eq!(base(&returns(b"BASE")), None);
    assert_eq!(base(&returns(b"\x00")), None);
    assert_eq!(base(b"\x14\x06_CBA\x00"), None);
    assert_eq!(base(b""), None);
}

#[test]
fn a_package_is_as_long_as_it_says() {
    assert_eq!(package(&[3, 1, 2, 3]), Some(&[1, 2][..]));
    assert_eq!(package(&[1]), Some(&[][..]));
    assert_eq!(package(&[0]), None);
    assert_eq!(package(&[3, 1]), None);
    let long = sized(&[7; 300]);
    assert_eq!(package(&long), Some(&[7; 300][..]));
    assert_eq!(package(&[0xc0, 0xff, 0xff, 0xff]), None);
}

proptest! {
    #[test]
    fn damaged_tables_end(
        changes in vec((any::<u16>(), any::<u8>()), 0..20),
        noise in vec(any::<u8>(), 0..300),
    ) {
        let windows = resources(&[window(0, 1, 2, 3), memory(1, 2), line(1, 2)]);
        let mut table = device(b"PCI0", &[&text(b"_HID", b"PNP0A08"), &windows]);
        let len = table.len();
        for (at, byte) in changes {
            table[usize::from(at) % len] = byte;
        }
        for table in [table, noise] {
            for kind in [Kind::HostBridge, Kind::VirtioMmio, Kind::FwCfg] {
                let all: usize = devices(&table, kind)
                    .map(|device| device.resources().count())
                    .sum();
                prop_assert!(all <= table.len() * table.len());
            }
            let whole = Device { body: &table };
            let _ = (whole.number(b"_SEG"), whole.resources().count());
        }
    }
}
