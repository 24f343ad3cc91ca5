//! The PVH start info: memory map, command line and the address of ACPI's root pointer.
//!
//! Source: Xen's `xen/include/public/arch-x86/hvm/start_info.h`. The structure is the loader's, so
//! it is trusted only as far as its own lengths.

use crate::memory::{MemoryMap, Physical, Region, word};

/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u32 = 0x336e_c578;
/// The type of usable memory in the memory map (E820's number).
const USABLE: u32 = 1;
/// Maximum number of entries, more than any loader reports; a longer map is truncated.
const MAX_REGIONS: usize = 128;
/// Bytes of an entry (`struct hvm_memmap_table_entry`).
const ENTRY: usize = 24;

/// The start info, as far as it is used.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo {
    cmdline: u64,
    /// Physical address of ACPI's RSDP, 0 if there is none.
    pub rsdp: u64,
    /// The memory map's address and number of entries.
    map: (u64, usize),
}

impl StartInfo {
    /// Parses the structure at `address`; `None` if it is invalid or has no memory map (version 0).
    pub fn parse(memory: &impl Physical, address: u64) -> Option<Self> {
        let head = memory.read(address, 56)?;
        let first = word(head, 0)?;
        let (magic, version) = (first as u32, first >> 32);
        if magic != MAGIC || version < 1 {
            return None;
        }
        Some(Self {
            cmdline: word(head, 24)?,
            rsdp: word(head, 32)?,
            map: (
                word(head, 40)?,
                (word(head, 48)? as u32 as usize).min(MAX_REGIONS),
            ),
        })
    }

    /// The command line without its terminating zero; empty if there is none.
    pub fn command_line<'a>(&self, memory: &'a impl Physical) -> &'a [u8] {
        const MAX: usize = 64 << 10;
        if self.cmdline == 0 {
            return &[];
        }
        // The bytes after a short command line may not be mapped: use the largest readable piece.
        let bytes = [MAX, 4096, 256]
            .into_iter()
            .find_map(|len| memory.read(self.cmdline, len))
            .unwrap_or(&[]);
        bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
    }
}

impl MemoryMap for StartInfo {
    fn usable<M: Physical>(&self, memory: &M) -> impl Iterator<Item = Region> {
        let (address, entries) = self.map;
        let map = memory.read(address, entries * ENTRY).unwrap_or(&[]);
        map.chunks_exact(ENTRY).filter_map(|entry| {
            let start = word(entry, 0)?;
            let end = start.checked_add(word(entry, 8)?)?;
            (word(entry, 16)? as u32 == USABLE && start < end).then_some(Region { start, end })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, StartInfo};
    use crate::memory::{MemoryMap as _, Physical, Region};

    struct Fake(Vec<u8>);

    // SAFETY: the vector isn't changed while it is borrowed.
    unsafe impl Physical for Fake {
        fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
            self.0.get(address as usize..address as usize + len)
        }
    }

    fn machine() -> Fake {
        let mut memory = vec![0; 8192];
        let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(24, &0x800u64.to_le_bytes());
        put(32, &0xe0000u64.to_le_bytes());
        put(40, &0x400u64.to_le_bytes());
        put(48, &3u32.to_le_bytes());
        for (i, (start, len, kind)) in [
            (0u64, 0x9fc00u64, 1u32),
            (0x9fc00, 0x400, 2),
            (0x10_0000, 0x70_0000, 1),
        ]
        .iter()
        .enumerate()
        {
            put(0x400 + i * 24, &start.to_le_bytes());
            put(0x408 + i * 24, &len.to_le_bytes());
            put(0x410 + i * 24, &kind.to_le_bytes());
        }
        put(0x800, b"A=1 -- x\0junk");
        Fake(memory)
    }

    #[test]
    fn reads_what_qemu_writes() {
        let memory = machine();
        let info = StartInfo::parse(&memory, 0).unwrap();
        assert_eq!(info.rsdp, 0xe0000);
        assert_eq!(info.command_line(&memory), b"A=1 -- x");
        let usable: Vec<_> = info.usable(&memory).collect();
        let expected = [
            Region {
                start: 0,
                end: 0x9fc00,
            },
            Region {
                start: 0x10_0000,
                end: 0x80_0000,
            },
        ];
        assert_eq!(usable, expected);
    }

    #[test]
    fn refuses_another_structure() {
        let mut memory = machine();
        memory.0[0] ^= 1;
        assert!(StartInfo::parse(&memory, 0).is_none());
        assert!(StartInfo::parse(&memory, 1 << 40).is_none());
    }

    #[test]
    fn survives_lying_lengths() {
        let mut memory = machine();
        memory.0[48..52].copy_from_slice(&u32::MAX.to_le_bytes());
        memory.0[0x408..0x410].copy_from_slice(&u64::MAX.to_le_bytes());
        let info = StartInfo::parse(&memory, 0).unwrap();
        assert!(info.usable(&memory).all(|region| region.start < region.end));
    }
}
