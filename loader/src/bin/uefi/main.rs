//! `EFI/BOOT/BOOTX64.EFI`: loads `soil/image.elf` from its own volume and enters it.
//!
//! Source: UEFI 2.10. The crate `uefi` calls the firmware's functions. `build.sh` links this as a
//! position-independent ELF file and takes the PE file out of it (`layout.ld`).

#![no_std]
#![no_main]

mod graphics;
mod memory;

use core::fmt;
use core::time::Duration;
use loader::digests::{Digests, MARKER, accepts};
use loader::elf::{self, Image};
use loader::handover::{self, Table};
use loader::settings::{self, MAX_LINE};
use loader::start_info::{Entry, Kind, Map, StartInfo};
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::mem::memory_map::MemoryMapMut;
use uefi::proto::media::file::{Directory, File as _, FileAttribute, FileMode, RegularFile};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{CStr16, Status, cstr16, entry, println, system};

// Enters with the Microsoft ABI (rcx, rdx), applies the ELF file's relative relocations, which
// touch the writable section only, and continues in `efi_main`.
core::arch::global_asm!(
    r#"
    .pushsection .text.soil_start, "ax", @progbits
    .globl soil_start
soil_start:
    lea r8, [rip + __image_base]
    lea r9, [rip + __rela_start]
    lea r10, [rip + __rela_end]
2:  cmp r9, r10
    jae 3f
    mov rax, [r9 + 16]
    add rax, r8
    mov r11, [r9]
    mov [r8 + r11], rax
    add r9, 24
    jmp 2b
3:  jmp efi_main
    .popsection
"#
);

/// The signer of the loader writes them.
#[used]
#[unsafe(link_section = ".data.digests")]
static DIGESTS: Digests = Digests {
    marker: MARKER,
    image: [0; 32],
    settings: [0; 32],
};

const IMAGE: &CStr16 = cstr16!("soil\\image.elf");
const SETTINGS: &CStr16 = cstr16!("soil\\settings.txt");
const PAGE: usize = 4096;
/// Ranges of memory that the image gets; firmware has a few dozen when neighbours are joined.
const MAX_ENTRIES: usize = 256;

/// Why the image can't be started, as *subject: reason: remedy*.
enum Failure {
    Volume(Status),
    File(&'static CStr16, Status),
    Size(&'static CStr16, u64),
    Image(elf::Error),
    Settings(settings::Error),
    Digest(&'static CStr16),
    LowMemory,
    Memory { start: u64, end: u64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(status) => {
                write!(f, "the boot volume: {status}: write the disk again")
            }
            Self::File(name, status) => write!(f, "{name}: {status}: write the disk again"),
            Self::Size(name, len) => write!(
                f,
                "{name}: {len} bytes don't fit into memory: give the machine more"
            ),
            Self::Image(error) => write!(f, "{IMAGE}: {error}: write the disk again"),
            Self::Settings(error) => write!(f, "{SETTINGS}: {error}: change it"),
            Self::Digest(name) => write!(
                f,
                "{name}: not what this loader was signed for: sign the loader again"
            ),
            Self::LowMemory => {
                f.write_str("the first MiB of memory: the firmware leaves too little: boot by BIOS")
            }
            Self::Memory { start, end } => write!(
                f,
                "{IMAGE}: the firmware has no free memory from {start:#x} to {end:#x}: give the \
                machine more memory, or boot by BIOS"
            ),
        }
    }
}

/// What the image gets, in memory below the first MiB: the kernel doesn't use that before it has
/// read all of it.
#[repr(C, align(4096))]
struct Area {
    code: [u8; PAGE],
    table: Table,
    info: StartInfo,
    map: [Entry; MAX_ENTRIES],
    line: [u8; MAX_LINE],
}

#[entry]
fn main() -> Status {
    let Err(failure) = start();
    println!("soil: {failure}");
    // Before the firmware clears the screen for its next choice.
    boot::stall(Duration::from_secs(5));
    Status::LOAD_ERROR
}

fn start() -> Result<core::convert::Infallible, Failure> {
    let mut root = boot::get_image_file_system(boot::image_handle())
        .and_then(|mut system| system.open_volume())
        .map_err(|error| Failure::Volume(error.status()))?;
    // SAFETY: volatile, because the file's bytes are changed after the compiler has seen them.
    let digests = unsafe { (&raw const DIGESTS).read_volatile() };

    let file = read(&mut root, IMAGE)?;
    if !accepts(&digests.image, file) {
        return Err(Failure::Digest(IMAGE));
    }
    let image = Image::parse(file).map_err(Failure::Image)?;
    let text: &[u8] = match read(&mut root, SETTINGS) {
        Ok(text) => text,
        Err(Failure::File(_, Status::NOT_FOUND)) => &[],
        Err(failure) => return Err(failure),
    };
    if !accepts(&digests.settings, text) {
        return Err(Failure::Digest(SETTINGS));
    }

    let pages = size_of::<Area>().div_ceil(PAGE);
    let area = pages_below(0xa_0000, MemoryType::LOADER_CODE, pages).ok_or(Failure::LowMemory)?;
    area.fill(0);
    // SAFETY: zeroed pages of its size; every field is valid as zeros.
    let area = unsafe { &mut *area.as_mut_ptr().cast::<Area>() };
    let word = graphics::frame_buffer().map_or(0, |buffer| buffer.write(&mut area.line));
    match settings::join(text, &mut area.line[word..]) {
        // The settings are what the user wrote.
        Err(settings::Error::TooLong) => settings::join(text, &mut area.line),
        joined => joined,
    }
    .map_err(Failure::Settings)?;
    let code = handover::code();
    area.code[..code.len()].copy_from_slice(code);
    let at = |field: *const u8| field as u64;
    let (line, info) = (at(area.line.as_ptr()), at((&raw const area.info).cast()));
    let map_at = at(area.map.as_ptr().cast());
    area.table = Table::new(&image, file.as_ptr() as u32, info as u32);

    let map = boot::memory_map(MemoryType::LOADER_DATA)
        .map_err(|error| Failure::File(IMAGE, error.status()))?;
    check(&image, file, &mut area.map, map)?;

    let rsdp = system::with_config_table(rsdp);
    // SAFETY: nothing of the firmware's is used from here on.
    let map = unsafe { boot::exit_boot_services(None) };
    let entries = convert(&mut area.map, map).count();
    area.info = StartInfo::new(line, rsdp, map_at, entries);
    // SAFETY: the code's contract: it is in executable low memory that is mapped at its own
    // address, as UEFI maps all memory, and the table is checked.
    unsafe {
        let run: extern "sysv64" fn(u64) -> ! = core::mem::transmute(area.code.as_ptr());
        run(at((&raw const area.table).cast()))
    }
}

/// Memory of the firmware below `limit`.
fn pages_below(limit: u64, kind: MemoryType, pages: usize) -> Option<&'static mut [u8]> {
    let start = boot::allocate_pages(AllocateType::MaxAddress(limit - 1), kind, pages).ok()?;
    // SAFETY: newly allocated, and never freed.
    Some(unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), pages * PAGE) })
}

/// The contents of a file, in memory below 4 GiB.
fn read(root: &mut Directory, name: &'static CStr16) -> Result<&'static [u8], Failure> {
    let failed = |status| Failure::File(name, status);
    let handle = root
        .open(name, FileMode::Read, FileAttribute::empty())
        .map_err(|error| failed(error.status()))?;
    let mut file = handle
        .into_regular_file()
        .ok_or(failed(Status::NOT_FOUND))?;
    let end = file
        .set_position(RegularFile::END_OF_FILE)
        .and_then(|()| file.get_position())
        .map_err(|error| failed(error.status()))?;
    file.set_position(0)
        .map_err(|error| failed(error.status()))?;
    if end == 0 {
        return Ok(&[]);
    }
    let len = usize::try_from(end)
        .ok()
        .filter(|len| *len < elf::BOUNDS.end as usize)
        .ok_or(Failure::Size(name, end))?;
    let memory = pages_below(1 << 32, MemoryType::LOADER_DATA, len.div_ceil(PAGE))
        .ok_or(Failure::Size(name, end))?;
    let memory = &mut memory[..len];
    let mut done = 0;
    while done < len {
        match file.read(&mut memory[done..]) {
            Ok(0) => return Err(failed(Status::END_OF_FILE)),
            Ok(count) => done += count,
            Err(error) => return Err(failed(error.status())),
        }
    }
    Ok(memory)
}

/// Checks that every segment gets memory that the firmware gives up, away from the file.
fn check(
    image: &Image,
    file: &[u8],
    entries: &mut [Entry],
    map: impl MemoryMapMut,
) -> Result<(), Failure> {
    let map = convert(entries, map);
    let file = file.as_ptr_range();
    for segment in image.segments() {
        let start = u64::from(segment.address);
        let end = start + u64::from(segment.len);
        let overlaps = start < file.end as u64 && (file.start as u64) < end;
        if overlaps || !map.holds(start, end) {
            return Err(Failure::Memory { start, end });
        }
    }
    Ok(())
}

/// The firmware's memory map as the image gets it. The firmware's order is arbitrary.
fn convert(entries: &mut [Entry], mut map: impl MemoryMapMut) -> Map<'_> {
    map.sort();
    let mut result = Map::new(entries);
    for range in map.entries() {
        let kind = match range.ty {
            MemoryType::CONVENTIONAL
            | MemoryType::LOADER_CODE
            | MemoryType::LOADER_DATA
            | MemoryType::BOOT_SERVICES_CODE
            | MemoryType::BOOT_SERVICES_DATA => Kind::Ram,
            MemoryType::ACPI_RECLAIM => Kind::Acpi,
            MemoryType::ACPI_NON_VOLATILE => Kind::AcpiNvs,
            _ => Kind::Reserved,
        };
        let len = range.page_count.saturating_mul(PAGE as u64);
        if !result.add(range.phys_start, len, kind) {
            break;
        }
    }
    // The map is the firmware's memory, which can't be freed any more.
    core::mem::forget(map);
    result
}

/// The address of ACPI's RSDP, the newer one if there are two; 0 if there is none.
fn rsdp(table: &[ConfigTableEntry]) -> u64 {
    [ConfigTableEntry::ACPI2_GUID, ConfigTableEntry::ACPI_GUID]
        .into_iter()
        .find_map(|guid| table.iter().find(|entry| entry.guid == guid))
        .map_or(0, |entry| entry.address as u64)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    println!("soil: {info}");
    uefi::runtime::reset(uefi::runtime::ResetType::COLD, Status::ABORTED, None)
}
