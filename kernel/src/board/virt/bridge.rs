//! The bridge to PCI by the device tree: its windows, and the lines of its pins.
//!
//! Source: "PCI Bus Binding to Open Firmware" 2.1.

use crate::board::resources::{Space, Windows};
use drivers::pci::Address;
use firmware::fdt::{Line, line as line_of_words, number};

/// Bytes of a 16550's ports.
pub const PORTS: usize = 8;

/// The entries of `ranges`: addresses of three words on the bus, of two for the processor, lengths
/// of two: (space, first address on the bus, first physical address, length).
fn ranges(ranges: &[u8]) -> impl Iterator<Item = (Space, u64, u64, u64)> {
    ranges.chunks_exact(28).filter_map(|entry| {
        let space = match number(entry, 0, 1)? >> 24 & 3 {
            1 => Space::Ports,
            2 => Space::Memory,
            3 => Space::Large,
            _ => return None,
        };
        let (bus, physical) = (number(entry, 4, 2)?, number(entry, 12, 2)?);
        Some((space, bus, physical, number(entry, 20, 2)?))
    })
}

/// The windows in `ranges` of the bridge; `None` if there is none of memory.
pub fn windows(bytes: &[u8]) -> Option<Windows> {
    Windows::new(ranges(bytes).map(|(space, bus, _, len)| (space, bus, len)))
}

/// The `number`th [`PORTS`] ports in `ranges` that are never assigned to others, of a few: (bus
/// address, physical address).
pub fn reserved_ports(bytes: &[u8], number: u32) -> Option<(u32, u64)> {
    const FIRST: u64 = 0x100;
    let (_, bus, physical, len) = ranges(bytes).find(|(space, ..)| *space == Space::Ports)?;
    let offset = FIRST + u64::from(number) * PORTS as u64;
    let port = u32::try_from(bus.checked_add(offset)?).ok()?;
    (offset + PORTS as u64 <= len).then_some((port, physical.checked_add(offset)?))
}

/// The line of pin `pin` (1 to 4) of a function on the first bus, by `interrupt-map` and its mask.
/// `parent_cells` returns the number of words of an address of the controller with this phandle.
pub fn line(
    map: &[u8],
    mask: &[u8],
    address: Address,
    pin: u32,
    parent_cells: &dyn Fn(u32) -> Option<u32>,
) -> Option<Line> {
    let word = |bytes, at| number(bytes, at, 1).map(|word| word as u32);
    let function = u32::from(address.device) << 11 | u32::from(address.function) << 8;
    let wanted = (function & word(mask, 0)?, pin & word(mask, 12)?);
    let mut rest = map;
    while !rest.is_empty() {
        let found = (word(rest, 0)?, word(rest, 12)?);
        let cells = parent_cells(word(rest, 16)?)?;
        let interrupt = 20 + 4 * cells.min(4) as usize;
        if found == wanted {
            return line_of_words(rest.get(interrupt..)?);
        }
        rest = rest.get(interrupt + 12..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Line, line, reserved_ports, windows};
    use drivers::pci::Address;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, proptest};

    /// Words of `ranges`, as QEMU's `virt` has them: ports, memory, 64-bit memory.
    const RANGES: [u32; 21] = [
        0x0100_0000,
        0,
        0,
        0,
        0x3eff_0000,
        0,
        0x1_0000, //
        0x0200_0000,
        0,
        0x1000_0000,
        0,
        0x1000_0000,
        0,
        0x2eff_0000, //
        0x0300_0000,
        0x80,
        0,
        0x80,
        0,
        0x80,
        0,
    ];

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_few_ports_are_reserved() {
        let reserved = [0, 1].map(|number| reserved_ports(&bytes(&RANGES), number).unwrap());
        assert_eq!(reserved, [(0x100, 0x3eff_0100), (0x108, 0x3eff_0108)]);
        assert!(windows(&bytes(&RANGES)).is_some());
        assert!(windows(&bytes(&RANGES[..7])).is_none(), "no memory");
    }

    #[test]
    fn pins_have_the_lines_of_the_map() {
        let mut map = Vec::new();
        for slot in 0..4u32 {
            for pin in 0..4u32 {
                map.extend([
                    slot << 11,
                    0,
                    0,
                    pin + 1,
                    0x8005,
                    0,
                    0,
                    0,
                    3 + (slot + pin) % 4,
                    4,
                ]);
            }
        }
        let (map, mask) = (bytes(&map), bytes(&[0x1800, 0, 0, 7]));
        let at = |device, pin| {
            let address = Address {
                bus: 0,
                device,
                function: 0,
            };
            let cells = |phandle| (phandle == 0x8005).then_some(2);
            line(&map, &mask, address, pin, &cells)
        };
        let level = |number| {
            Some(Line {
                number,
                edge: false,
            })
        };
        assert_eq!(at(0, 1), level(35));
        assert_eq!(at(5, 2), level(37));
        assert_eq!(at(7, 4), level(37));
        assert_eq!(at(7, 5), None);
    }

    proptest! {
        #[test]
    fn survives_any_map(words in vec(any::<u32>(), 0..60), device in 0u8..32, pin in 0u32..6) {
        let address = Address { bus: 0, device, function: 0 };
        let map = bytes(&words);
        let found = line(&map, &bytes(&[0, 0, 0, 7]), address, pin, &|cells| Some(cells));
        prop_assert!(found.is_none_or(|line| line.number < 1020));
        let _ = windows(&map);
        let _ = reserved_ports(&map, 0);
    }

    }
}
