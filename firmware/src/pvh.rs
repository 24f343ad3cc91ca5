//! The PVH start info, as a loader writes it and the kernel reads it: memory map, command line, the
//! address of ACPI's root pointer, and a seed.
//!
//! Source: Xen's `xen/include/public/arch-x86/hvm/start_info.h`, version 1. The reader trusts the
//! structure only as far as its own lengths.

use crate::SEED;
use crate::bytes::{u32_at, u64_at};
use crate::memory::{MemoryMap, Physical, Region};
use core::mem::offset_of;

/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u32 = 0x336e_c578;
/// Maximum number of entries, more than any loader reports; a longer map is truncated.
const MAX_REGIONS: usize = 128;
/// Maximum number of modules; a longer list is truncated.
const MAX_MODULES: usize = 16;

/// The kinds of memory, with E820's numbers, which PVH uses as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Usable.
    Ram = 1,
    /// Not to be used.
    Reserved = 2,
    /// ACPI's tables.
    Acpi = 3,
    /// Memory that the firmware keeps during sleep.
    AcpiNvs = 4,
}

/// `hvm_start_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    modules_at: u64,
    command_line: u64,
    rsdp: u64,
    map: u64,
    entries: u32,
    reserved: u32,
}

impl StartInfo {
    /// A start info. Addresses are physical; `rsdp` is 0 if there is none, and `seed` is the
    /// address of the only module, or 0.
    pub fn new(command_line: u64, rsdp: u64, map: u64, entries: u32, seed: u64) -> Self {
        Self {
            magic: MAGIC,
            version: 1,
            flags: 0,
            modules: u32::from(seed != 0),
            modules_at: seed,
            command_line,
            rsdp,
            map,
            entries,
            reserved: 0,
        }
    }
}

/// `hvm_modlist_entry`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Module {
    start: u64,
    len: u64,
    name: u64,
    reserved: u64,
}

impl Module {
    /// The command line of the module that is a seed for the image's generator of random numbers.
    pub const SEED_NAME: [u8; 14] = *b"soil-rng-seed\0";

    /// The seed of so many bytes at a physical address, and its name at another.
    pub fn seed(start: u64, len: u64, name: u64) -> Self {
        Self {
            start,
            len,
            name,
            reserved: 0,
        }
    }
}

/// `hvm_memmap_table_entry`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The first physical address.
    pub start: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The number of its [`Kind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

impl Entry {
    /// One past its last address.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// The start info as the kernel reads it.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    command_line: u64,
    /// The address of the loader's seed, 0 if there is none.
    seed: u64,
    /// The place of the initrd, empty without one: the last module that isn't the seed.
    pub initrd: Region,
    /// Physical address of ACPI's RSDP, 0 if there is none.
    pub rsdp: u64,
    /// The memory map's address and number of entries.
    map: (u64, usize),
}

impl Info {
    /// Parses the structure at `address`; `None` if it is invalid or has no memory map (version 0).
    pub fn parse(memory: &impl Physical, address: u64) -> Option<Self> {
        let info = memory.read(address, size_of::<StartInfo>())?;
        let magic = u32_at(info, offset_of!(StartInfo, magic))?;
        let version = u32_at(info, offset_of!(StartInfo, version))?;
        if magic != MAGIC || version < 1 {
            return None;
        }
        let list = |at, count, max| {
            let count = u32_at(info, count)? as usize;
            Some((u64_at(info, at)?, count.min(max)))
        };
        let (modules, count) = list(
            offset_of!(StartInfo, modules_at),
            offset_of!(StartInfo, modules),
            MAX_MODULES,
        )?;
        let mut parsed = Self {
            command_line: u64_at(info, offset_of!(StartInfo, command_line))?,
            seed: 0,
            initrd: Region::default(),
            rsdp: u64_at(info, offset_of!(StartInfo, rsdp))?,
            map: list(
                offset_of!(StartInfo, map),
                offset_of!(StartInfo, entries),
                MAX_REGIONS,
            )?,
        };
        parsed.find_modules(memory, modules, count);
        Some(parsed)
    }

    /// Finds the seed and the initrd among the loader's modules.
    fn find_modules(&mut self, memory: &impl Physical, address: u64, count: usize) {
        const NAME: &[u8] = &Module::SEED_NAME;
        let modules = memory.read(address, count * size_of::<Module>());
        for module in modules
            .unwrap_or_default()
            .chunks_exact(size_of::<Module>())
        {
            let number = |at| u64_at(module, at).unwrap_or(0);
            let start = number(offset_of!(Module, start));
            let len = number(offset_of!(Module, len));
            let name = memory.read(number(offset_of!(Module, name)), NAME.len());
            if name != Some(NAME) {
                let end = start.saturating_add(len);
                self.initrd = Region { start, end };
            } else if len == SEED as u64 {
                self.seed = start;
            }
        }
    }

    /// The address and the bytes of the loader's seed for a generator: a module of that name, which
    /// Soil's UEFI loader gives.
    pub fn seed(&self, memory: &impl Physical) -> Option<(u64, [u8; SEED])> {
        let bytes = memory.read(self.seed, SEED).filter(|_| self.seed != 0)?;
        Some((self.seed, *bytes.first_chunk()?))
    }

    /// The command line without its terminating zero; empty if there is none.
    pub fn command_line<'a>(&self, memory: &'a impl Physical) -> &'a [u8] {
        const MAX: usize = 64 << 10;
        if self.command_line == 0 {
            return &[];
        }
        // The bytes after a short command line may not be mapped: use the largest readable piece.
        let bytes = [MAX, 4096, 256]
            .into_iter()
            .find_map(|len| memory.read(self.command_line, len))
            .unwrap_or(&[]);
        bytes.split(|byte| *byte == 0).next().unwrap_or(&[])
    }
}

impl MemoryMap for Info {
    fn usable<M: Physical>(&self, memory: &M) -> impl Iterator<Item = Region> {
        let (address, count) = self.map;
        let map = memory.read(address, count * size_of::<Entry>());
        let entries = map.unwrap_or(&[]).chunks_exact(size_of::<Entry>());
        entries.filter_map(|entry| {
            let start = u64_at(entry, offset_of!(Entry, start))?;
            let end = start.checked_add(u64_at(entry, offset_of!(Entry, len))?)?;
            let kind = u32_at(entry, offset_of!(Entry, kind))?;
            (kind == Kind::Ram as u32 && start < end).then_some(Region { start, end })
        })
    }
}

#[cfg(test)]
mod tests;
