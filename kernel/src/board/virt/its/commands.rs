//! Commands and registers of an ITS by their bits (Arm IHI 0069, 5.3 and 12.19).

/// A command: four little-endian words.
pub type Command = [u64; 4];

const MAP_DEVICE: u64 = 0x08;
const MAP_COLLECTION: u64 = 0x09;
const MAP_EVENT: u64 = 0x0a;
const INVALIDATE: u64 = 0x0c;
const SYNC: u64 = 0x05;

const VALID: u64 = 1 << 63;
/// Write-back memory, inner shareable.
const CACHEABLE: u64 = 7 << 59;
const OUTER_CACHEABLE: u64 = 7 << 53;
const SHAREABLE: u64 = 1 << 10;

/// The kind of a table of devices.
pub const DEVICES: u64 = 1;
/// The kind of a table of collections.
pub const COLLECTIONS: u64 = 4;

/// The only collection: interrupts of the one processor.
const COLLECTION: u64 = 0;

/// Maps the collection to the redistributor `target`.
pub const fn map_collection(target: u64) -> Command {
    [MAP_COLLECTION, 0, VALID | target | COLLECTION, 0]
}

/// Gives `device` a table of 2^`bits` events at a physical address, a multiple of 256.
pub const fn map_device(device: u32, table: u64, bits: u32) -> Command {
    [
        MAP_DEVICE | (device as u64) << 32,
        bits as u64 - 1,
        VALID | table,
        0,
    ]
}

/// Makes an event of `device` the interrupt `number`.
pub const fn map_event(device: u32, event: u32, number: u32) -> Command {
    let words = event as u64 | (number as u64) << 32;
    [MAP_EVENT | (device as u64) << 32, words, COLLECTION, 0]
}

/// Makes the service read the priority of an event's interrupt.
pub const fn invalidate(device: u32, event: u32) -> Command {
    [INVALIDATE | (device as u64) << 32, event as u64, 0, 0]
}

/// Waits until what came before is visible at `target`.
pub const fn sync(target: u64) -> Command {
    [SYNC, 0, target, 0]
}

/// The kind of the table of a register GITS_BASER.
pub const fn table_kind(register: u64) -> u64 {
    register >> 56 & 7
}

/// GITS_BASER for a table of `len` bytes, in pages of 64 KiB, below 2^48.
pub const fn table(physical: u64, len: usize) -> u64 {
    const PAGES_64K: u64 = 2 << 8;
    let pages = len as u64 >> 16;
    VALID | CACHEABLE | OUTER_CACHEABLE | SHAREABLE | PAGES_64K | physical | (pages - 1)
}

/// GITS_CBASER for a ring of one page of 4 KiB.
pub const fn ring(physical: u64) -> u64 {
    VALID | CACHEABLE | OUTER_CACHEABLE | SHAREABLE | physical
}

/// GICR_PROPBASER for a table for interrupts of `bits` bits.
pub const fn properties(physical: u64, bits: u32) -> u64 {
    const OUTER: u64 = 7 << 56;
    const INNER: u64 = 7 << 7;
    physical | OUTER | INNER | SHAREABLE | (bits as u64 - 1)
}

/// GICR_PENDBASER for a zeroed table.
pub const fn pending(physical: u64) -> u64 {
    const ZEROED: u64 = 1 << 62;
    const OUTER: u64 = 7 << 56;
    const INNER: u64 = 7 << 7;
    physical | ZEROED | OUTER | INNER | SHAREABLE
}

#[cfg(test)]
mod tests {
    use super::{
        DEVICES, invalidate, map_collection, map_device, map_event, pending, properties, ring,
        sync, table, table_kind,
    };

    #[test]
    fn commands_are_as_specified() {
        assert_eq!(
            map_device(0x18, 0x4_5000, 6),
            [0x18_0000_0008, 5, 1 << 63 | 0x4_5000, 0]
        );
        assert_eq!(
            map_event(0x18, 7, 8199),
            [0x18_0000_000a, 0x2007_0000_0007, 0, 0]
        );
        assert_eq!(map_collection(0x1_0000), [9, 0, 1 << 63 | 0x1_0000, 0]);
        assert_eq!(invalidate(0x18, 7), [0x18_0000_000c, 7, 0, 0]);
        assert_eq!(sync(0x1_0000), [5, 0, 0x1_0000, 0]);
    }

    #[test]
    fn registers_are_as_specified() {
        assert_eq!(ring(0x4_0000), 0xb8e0_0000_0004_0400);
        assert_eq!(table(0x4_0000, 0x2_0000), 0xb8e0_0000_0004_0601);
        assert_eq!(table_kind(0x0107_0000_0000_0000), DEVICES);
        assert_eq!(properties(0x4_1000, 14), 0x0700_0000_0004_178d);
        assert_eq!(pending(0x4_0000), 0x4700_0000_0004_0780);
    }
}
