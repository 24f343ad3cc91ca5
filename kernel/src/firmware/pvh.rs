//! The PVH start info: memory map, command line and the address of ACPI's root pointer.
//!
//! Source: Xen's `xen/include/public/arch-x86/hvm/start_info.h`. The structure is the loader's, so
//! it is trusted only as far as its own lengths.

use super::seed::SEED;
use crate::memory::{MemoryMap, Physical, Region, word};

/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u32 = 0x336e_c578;
/// The type of usable memory in the memory map (E820's number).
const USABLE: u32 = 1;
/// Maximum number of entries, more than any loader reports; a longer map is truncated.
const MAX_REGIONS: usize = 128;
/// Maximum number of modules; a longer list is truncated.
const MAX_MODULES: usize = 16;
/// Bytes of an entry of their list (`struct hvm_modlist_entry`).
const MODULE: usize = 32;
/// The command line of the module that is a seed, as `loader` writes it.
const SEED_NAME: &[u8] = b"soil-rng-seed\0";
/// Bytes of an entry (`struct hvm_memmap_table_entry`).
const ENTRY: usize = 24;

/// The start info, as far as it is used.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo {
    cmdline: u64,
    /// The list of modules, and their number.
    modules: (u64, usize),
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
            modules: (
                word(head, 16)?,
                ((word(head, 8)? >> 32) as usize).min(MAX_MODULES),
            ),
            cmdline: word(head, 24)?,
            rsdp: word(head, 32)?,
            map: (
                word(head, 40)?,
                (word(head, 48)? as u32 as usize).min(MAX_REGIONS),
            ),
        })
    }

    /// The address and the bytes of the loader's seed for a generator: a module of that name, which
    /// Soil's UEFI loader gives. Another loader's modules are ignored.
    pub fn seed(&self, memory: &impl Physical) -> Option<(u64, [u8; SEED])> {
        let (address, count) = self.modules;
        let modules = memory.read(address, count * MODULE)?;
        modules.chunks_exact(MODULE).find_map(|module| {
            let [at, len, name] = [0, 8, 16].map(|field| word(module, field).unwrap_or(0));
            let is_seed = len == SEED as u64 && memory.read(name, SEED_NAME.len())? == SEED_NAME;
            let bytes = memory.read(at, SEED).filter(|_| is_seed)?;
            Some((at, *bytes.first_chunk()?))
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
            let end = (address as usize).checked_add(len)?;
            self.0.get(address as usize..end)
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
    fn finds_the_loaders_seed_among_modules() {
        let mut memory = machine();
        let info = StartInfo::parse(&memory, 0).unwrap();
        assert_eq!(info.seed(&memory), None);
        let mut put =
            |at: usize, bytes: &[u8]| memory.0[at..at + bytes.len()].copy_from_slice(bytes);
        put(12, &2u32.to_le_bytes());
        put(16, &0xa00u64.to_le_bytes());
        // Another loader's, which has no name, and the seed.
        for (i, (start, len, name)) in [(0xb00u64, 32u64, 0u64), (0xc00, 32, 0xd00)]
            .iter()
            .enumerate()
        {
            put(0xa00 + i * 32, &start.to_le_bytes());
            put(0xa08 + i * 32, &len.to_le_bytes());
            put(0xa10 + i * 32, &name.to_le_bytes());
        }
        put(0xc00, &[9; 32]);
        put(0xd00, b"soil-rng-seed\0");
        let found = |memory: &Fake| StartInfo::parse(memory, 0).unwrap().seed(memory);
        assert_eq!(found(&memory), Some((0xc00, [9; 32])));
        memory.0[0xa28] = 31;
        assert_eq!(found(&memory), None, "too short");
        memory.0[0xa28] = 32;
        memory.0[0xa20..0xa28].fill(0xff);
        assert_eq!(found(&memory), None, "out of memory");
        memory.0[12..16].fill(0xff);
        memory.0[16..24].fill(0xff);
        assert_eq!(found(&memory), None, "a list out of memory");
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
