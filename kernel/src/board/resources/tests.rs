use super::{Space, Windows, assign};
use drivers::pci::{Address, ConfigAccess};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The windows of QEMU's `virt`.
const RANGES: [(Space, u64, u64); 3] = [
    (Space::Ports, 0, 0x1_0000),
    (Space::Memory, 0x1000_0000, 0x2eff_0000),
    (Space::Large, 0x80_0000_0000, 0x80_0000_0000),
];

/// Functions with registers: those that can be written, by a mask for each.
#[derive(Default)]
struct Bus {
    functions: Mutex<HashMap<(u8, u8, u8), [u32; 16]>>,
    masks: HashMap<(u8, u8, u8), [u32; 16]>,
    /// Number of reads so far.
    reads: AtomicUsize,
}

impl Bus {
    /// Adds a function with base address registers of these masks.
    fn add(&mut self, at: (u8, u8, u8), header: u32, bars: &[(u32, u32)]) {
        let (mut registers, mut masks) = ([0; 16], [0; 16]);
        registers[0] = 0x1041_1af4;
        registers[3] = header << 16;
        masks[1] = 0xffff;
        for (index, (flags, mask)) in bars.iter().enumerate() {
            registers[4 + index] = *flags;
            masks[4 + index] = *mask;
        }
        if header & 0x7f == 1 {
            masks[6..12].fill(u32::MAX);
        }
        self.functions.get_mut().unwrap().insert(at, registers);
        self.masks.insert(at, masks);
    }

    fn bar(&self, at: (u8, u8, u8), index: usize) -> u32 {
        self.functions.lock().unwrap()[&at][4 + index]
    }
}

impl ConfigAccess for Bus {
    fn read(&self, at: Address, offset: u16) -> u32 {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let functions = self.functions.lock().unwrap();
        let registers = functions.get(&(at.bus, at.device, at.function));
        registers.map_or(u32::MAX, |registers| {
            registers[usize::from(offset / 4) % 16]
        })
    }

    fn write(&self, at: Address, offset: u16, value: u32) {
        let key = (at.bus, at.device, at.function);
        let mut functions = self.functions.lock().unwrap();
        if let Some(registers) = functions.get_mut(&key) {
            let index = usize::from(offset / 4) % 16;
            let mask = self.masks[&key][index];
            registers[index] = registers[index] & !mask | value & mask;
        }
    }
}

fn windows() -> Windows {
    Windows::new(RANGES.into_iter()).unwrap()
}

#[test]
fn functions_get_addresses_by_their_kind() {
    let mut bus = Bus::default();
    // Ports, 32-bit memory, and 64-bit prefetchable memory, as virtio's have them.
    let bars = [
        (1, !0x7f),
        (0, !0xfff),
        (0, 0),
        (0, 0),
        (0xc, !0x3fff),
        (0, u32::MAX),
    ];
    bus.add((0, 1, 0), 0, &bars);
    bus.add((0, 2, 0), 0, &bars);
    assign(&bus, &mut windows(), 255);
    assert_eq!(bus.bar((0, 1, 0), 0), 0x1001);
    assert_eq!(bus.bar((0, 2, 0), 0), 0x1081);
    assert_eq!(bus.bar((0, 1, 0), 1), 0x1000_0000);
    assert_eq!(bus.bar((0, 2, 0), 1), 0x1000_1000);
    assert_eq!([4, 5].map(|index| bus.bar((0, 1, 0), index)), [0xc, 0x80]);
    assert_eq!(
        [4, 5].map(|index| bus.bar((0, 2, 0), index)),
        [0x400c, 0x80]
    );
}

/// A read is an exit of a virtual machine.
#[test]
fn a_bus_is_searched_once() {
    let mut bus = Bus::default();
    bus.add((0, 1, 0), 0, &[(0, !0xfff), (0, !0xfff)]);
    assign(&bus, &mut windows(), 255);
    // 32 devices; the function's header four times, and each register once before it is known
    // whether firmware has assigned any, twice afterwards.
    assert_eq!(bus.reads.into_inner(), 32 + 4 + 3 * 6);
}

#[test]
fn registers_have_pages_of_their_own() {
    let mut bus = Bus::default();
    bus.add((0, 1, 0), 0, &[(0, !0xf), (0, !0x1f)]);
    assign(&bus, &mut windows(), 255);
    let bars = [0, 1].map(|index| bus.bar((0, 1, 0), index));
    assert_eq!(bars, [0x1000_0000, 0x1000_1000]);
}

#[test]
fn what_firmware_assigned_stays() {
    let mut bus = Bus::default();
    bus.add((0, 1, 0), 0, &[(0x1230_0000, !0xfff)]);
    bus.add((0, 2, 0), 0, &[(0, !0xfff)]);
    assign(&bus, &mut windows(), 255);
    assert_eq!(bus.bar((0, 1, 0), 0), 0x1230_0000);
    assert_eq!(bus.bar((0, 2, 0), 0), 0);
}

#[test]
fn buses_behind_bridges_get_numbers_and_windows() {
    let mut bus = Bus::default();
    bus.add((0, 1, 0), 1, &[]);
    bus.add((0, 2, 0), 1, &[]);
    bus.add((1, 0, 0), 0, &[(0, !0xfff), (0xc, !0x3fff), (0, u32::MAX)]);
    bus.add((2, 0, 0), 0, &[(0, !0xfff)]);
    // Beside the bridges, which begin at the next multiple of a MiB.
    bus.add((0, 3, 0), 0, &[(0xc, !0x3fff), (0, u32::MAX)]);
    assign(&bus, &mut windows(), 255);
    assert_eq!(bus.bar((1, 0, 0), 0), 0x1000_0000);
    assert_eq!(
        [1, 2].map(|index| bus.bar((1, 0, 0), index)),
        [0x10_000c, 0x80]
    );
    assert_eq!(bus.bar((2, 0, 0), 0), 0x1010_0000);
    let functions = bus.functions.lock().unwrap();
    let first = functions[&(0, 1, 0)];
    assert_eq!(first[6] & 0xff_ffff, 0x01_0100);
    assert_eq!(first[8], 0x1000_1000);
    assert_eq!(
        (first[9] & 0xfff0_fff0, first[10], first[11]),
        (0x10_0010, 0x80, 0x80)
    );
    let second = functions[&(0, 2, 0)];
    assert_eq!(second[6] & 0xff_ffff, 0x02_0200);
    // No prefetchable memory is behind it.
    assert!(second[9] & 0xfff0 > second[9] >> 16 & 0xfff0);
}

/// A bridge's last bus is that of the bridges behind it, and the next bridge's come after it.
#[test]
fn buses_behind_several_bridges_are_reached_through_all_of_them() {
    let mut bus = Bus::default();
    for at in [(0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0)] {
        bus.add(at, 1, &[]);
    }
    for at in [(3, 0, 0), (4, 0, 0), (5, 0, 0)] {
        bus.add(at, 0, &[(0, !0xfff)]);
    }
    assign(&bus, &mut windows(), 255);
    let bars = [3, 4, 5].map(|number| bus.bar((number, 0, 0), 0));
    assert_eq!(bars, [0x1000_0000, 0x1010_0000, 0x1020_0000]);
    let functions = bus.functions.lock().unwrap();
    let numbers = |at| functions[&at][6] & 0xff_ffff;
    // Last bus, first bus, own bus.
    assert_eq!(numbers((0, 1, 0)), 0x04_0100);
    assert_eq!(numbers((1, 0, 0)), 0x03_0201);
    assert_eq!(numbers((2, 0, 0)), 0x03_0302);
    assert_eq!(numbers((1, 1, 0)), 0x04_0401);
    assert_eq!(numbers((0, 2, 0)), 0x05_0500);
    // Each forwards the memory of all that is behind it.
    let window = |at| functions[&at][8];
    assert_eq!(window((0, 1, 0)), 0x1010_1000);
    assert_eq!(window((2, 0, 0)), 0x1000_1000);
}

#[test]
fn bridges_need_no_64_bit_memory() {
    let mut bus = Bus::default();
    bus.add((0, 1, 0), 1, &[]);
    bus.add((1, 0, 0), 0, &[(0xc, !0x3fff), (0, u32::MAX)]);
    let mut windows = Windows::new(RANGES.into_iter().take(2)).unwrap();
    assign(&bus, &mut windows, 255);
    let bars = [0, 1].map(|index| bus.bar((1, 0, 0), index));
    assert_eq!(bars, [0x1000_000c, 0]);
    let bridge = bus.functions.lock().unwrap()[&(0, 1, 0)];
    assert!(bridge[9] & 0xfff0 > bridge[9] >> 16 & 0xfff0);
}

proptest! {
    /// Assigned memory lies in its window, aligned, and no two pieces overlap.
    #[test]
    fn addresses_are_apart(sizes in vec((12u32..28, any::<bool>()), 1..40)) {
        let mut bus = Bus::default();
        for (device, pair) in (0u8..).zip(sizes.chunks(2)) {
            let bars: Vec<_> = pair
                .iter()
                .flat_map(|(shift, wide)| match wide {
                    true => vec![(0xc, u32::MAX << shift), (0, u32::MAX)],
                    false => vec![(0, u32::MAX << shift)],
                })
                .collect();
            bus.add((0, device, 0), 0, &bars);
        }
        assign(&bus, &mut windows(), 0);
        let mut pieces = Vec::new();
        for (device, pair) in (0u8..).zip(sizes.chunks(2)) {
            let mut index = 0;
            for (shift, wide) in pair {
                let mut start = u64::from(bus.bar((0, device, 0), index) & !0xf);
                if *wide {
                    start |= u64::from(bus.bar((0, device, 0), index + 1)) << 32;
                    index += 1;
                }
                index += 1;
                if start != 0 {
                    pieces.push((start, start + (1 << shift)));
                    prop_assert!(start.is_multiple_of(1 << shift));
                    prop_assert!(*wide || start + (1 << shift) <= 0x3eff_0000);
                }
            }
        }
        pieces.sort_unstable();
        prop_assert!(pieces.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        prop_assert!(!pieces.is_empty());
    }
}
