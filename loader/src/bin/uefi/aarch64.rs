//! What is of arm64 in the UEFI loader: the image lies anywhere in memory, and gets a device tree.

use crate::{IMAGE, MAX_ENTRIES, PAGE, acpi_root, command_line, convert, pages_below, random};
use core::convert::Infallible;
use core::fmt;
use firmware::acpi::Tables;
use firmware::fdt::{self, Fdt};
use firmware::memory::Physical;
use firmware::pvh::{Entry, Kind};
use loader::acpi;
use loader::elf::Image;
use loader::handover;
use loader::map::Map;
use loader::place::{self, ALIGNMENT};
use loader::settings::MAX_LINE;
use loader::time::Time;
use loader::tree::{self, Additions};
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::mem::memory_map::{MemoryMap as _, MemoryMapMut as _};
use uefi::{Guid, Status, guid, runtime, system};

/// The files' memory may lie anywhere.
pub const LIMIT: u64 = u64::MAX;

/// The configuration table with the device tree (Devicetree's "EFI Boot", UEFI 2.10, 4.6).
const TREE: Guid = guid!("b1b621d5-f19c-41a5-830b-d9152c69aae0");

/// Bytes of a tree beside the firmware's own and the command line: what the loader adds, or all of
/// it where it comes from ACPI.
const TREE_ROOM: usize = 128 << 10;

// Enters with the ABI of the image (x0, x1), applies the ELF file's relative relocations, which
// touch the writable section only, and continues in `efi_main`.
core::arch::global_asm!(
    r#"
    .pushsection .text.soil_start, "ax", @progbits
    .globl soil_start
soil_start:
    adrp x2, __image_base
    add x2, x2, :lo12:__image_base
    adrp x3, __rela_start
    add x3, x3, :lo12:__rela_start
    adrp x4, __rela_end
    add x4, x4, :lo12:__rela_end
2:  cmp x3, x4
    b.hs 3f
    ldr x5, [x3]
    ldr x6, [x3, #16]
    add x6, x6, x2
    str x6, [x2, x5]
    add x3, x3, #24
    b 2b
3:  b efi_main
    .popsection
"#
);

/// What the loader needs memory for, beside the image and its tree.
#[repr(C, align(4096))]
struct Area {
    line: [u8; MAX_LINE],
    /// The firmware's memory, by its kind.
    map: [Entry; MAX_ENTRIES],
    /// All that the firmware's map has, joined.
    described: [Entry; MAX_ENTRIES],
    usable: [(u64, u64); MAX_ENTRIES],
}

/// The firmware's description of the machine.
enum Source<'a> {
    Tree(Fdt<'a>),
    Tables(Tables<'a, Described<'a>>),
}

/// Memory of the firmware's map.
struct Described<'a>(Map<'a>);

impl Physical for Described<'_> {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        // SAFETY: the firmware maps what is in its map at its own address, and keeps the tables.
        let bytes = || unsafe { core::slice::from_raw_parts(address as *const u8, len) };
        (address != 0 && self.0.holds(address, end)).then(bytes)
    }
}

impl<'a> Source<'a> {
    /// The firmware's tree, or else its ACPI.
    fn find(memory: &'a Described<'a>, acpi_root: u64) -> Result<Self, tree::Error> {
        let address = system::with_config_table(|table| {
            let entry = table.iter().find(|entry| entry.guid == TREE);
            entry.map_or(0, |entry| entry.address as u64)
        });
        let tree = memory
            .read(address, fdt::HEADER)
            .and_then(fdt::size)
            .and_then(|len| Fdt::parse(memory.read(address, len)?));
        let missing = match address {
            0 => tree::Error::None,
            _ => tree::Error::Damaged,
        };
        let tables = || Tables::find(memory, acpi_root).map(Self::Tables);
        tree.map(Self::Tree).or_else(tables).ok_or(missing)
    }

    /// The most bytes of a tree with so long a command line.
    fn room(&self, line: usize) -> usize {
        let own = match self {
            Self::Tree(tree) => tree.copy_len(),
            Self::Tables(_) => 0,
        };
        (own + line + TREE_ROOM).min(fdt::MAX_SIZE)
    }

    fn write(&self, additions: &Additions<'_>, buffer: &mut [u8]) -> Result<usize, tree::Error> {
        match self {
            Self::Tree(tree) => tree::amended(tree, additions, buffer),
            Self::Tables(tables) => acpi::tree(tables, additions, buffer),
        }
    }
}

/// Why the image can't be started on arm64.
pub enum Failure {
    /// No free memory of so many bytes.
    Memory(u64),
    Map(Status),
    Tree(tree::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(len) => write!(
                f,
                "{IMAGE}: the firmware has no {len} free bytes from 1 GiB on: give the machine \
                more memory"
            ),
            Self::Map(status) => write!(f, "the firmware's memory map: {status}"),
            Self::Tree(error) => write!(f, "the firmware: {error}: update it"),
        }
    }
}

/// Puts an image into memory with its settings, and enters it.
pub fn enter(image: &Image, file: &[u8], text: &[u8]) -> Result<Infallible, crate::Failure> {
    let pages = size_of::<Area>().div_ceil(PAGE);
    let area = pages_below(LIMIT, MemoryType::LOADER_DATA, pages)
        .ok_or(Failure::Memory((pages * PAGE) as u64))?;
    area.fill(0);
    // SAFETY: zeroed pages of its size; every field is valid as zeros.
    let area = unsafe { &mut *area.as_mut_ptr().cast::<Area>() };
    let len = command_line(text, &mut area.line)?;

    let mut described = Map::new(&mut area.described);
    let mut all =
        boot::memory_map(MemoryType::LOADER_DATA).map_err(|error| Failure::Map(error.status()))?;
    all.sort();
    for range in all.entries() {
        described.add(range.phys_start, bytes(range.page_count), Kind::Ram);
    }
    let acpi_root = acpi_root();
    let memory = Described(described);
    let source = Source::find(&memory, acpi_root).map_err(Failure::Tree)?;

    // The tree lies below the image, so that the memory behind the image is whole.
    let span = image.span(ALIGNMENT as u32);
    let image_len = (span.end - span.start).next_multiple_of(PAGE as u64);
    let room = source.room(len).next_multiple_of(PAGE);
    let all_len = room as u64 + image_len;
    let free = all
        .entries()
        .filter(|range| range.ty == MemoryType::CONVENTIONAL);
    let free = free.map(|range| (range.phys_start, bytes(range.page_count)));
    let start = place::choose(free, room as u64, image_len).ok_or(Failure::Memory(all_len))?;
    let first = start - room as u64;
    let to = AllocateType::Address(first);
    boot::allocate_pages(to, MemoryType::LOADER_DATA, all_len as usize / PAGE)
        .map_err(|_| Failure::Memory(all_len))?;
    // SAFETY: just allocated, and never freed.
    let to = unsafe { core::slice::from_raw_parts_mut(first as *mut u8, all_len as usize) };
    to.fill(0);
    let (tree, loaded) = to.split_at_mut(room);
    for segment in image.segments() {
        let at = segment.address as usize - span.start as usize;
        let (from, len) = (segment.offset as usize, segment.file_len as usize);
        loaded[at..at + len].copy_from_slice(&file[from..from + len]);
    }

    let time = runtime::get_time().ok().and_then(|time| unix(&time));
    let mut additions = Additions {
        line: &area.line[..len],
        acpi_root,
        time,
        seed: random(),
        memory: &[],
    };
    // Errors are reported while the firmware can print; what changes later is the memory, for which
    // there is room.
    source.write(&additions, tree).map_err(Failure::Tree)?;
    // SAFETY: nothing of the firmware's is used from here on but its tables.
    let last = unsafe { boot::exit_boot_services(None) };
    let usable = convert(&mut area.map, last);
    let mut count = 0;
    for (slot, range) in area.usable.iter_mut().zip(usable.usable()) {
        *slot = range;
        count += 1;
    }
    let count = place::keep_largest(&mut area.usable[..count], start);
    additions.memory = &area.usable[..count];
    if source.write(&additions, tree).is_err() {
        runtime::reset(runtime::ResetType::COLD, Status::ABORTED, None);
    }
    let entry = start + (u64::from(image.entry) - span.start);
    // SAFETY: the firmware maps this program at its own address. The image, its entry and its tree
    // are where they say.
    unsafe { handover::enter(entry, first, first, first + all_len) }
}

/// Bytes of so many pages.
fn bytes(pages: u64) -> u64 {
    pages.saturating_mul(PAGE as u64)
}

/// The firmware's time in seconds since 1970.
fn unix(time: &runtime::Time) -> Option<u64> {
    Time {
        year: time.year(),
        month: time.month(),
        day: time.day(),
        hour: time.hour(),
        minute: time.minute(),
        second: time.second(),
        to_utc: time.time_zone(),
    }
    .unix()
}
