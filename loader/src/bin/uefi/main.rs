//! `EFI/BOOT/BOOTX64.EFI` and `EFI/BOOT/BOOTAA64.EFI`: loads `soil/image.elf` from its own volume
//! and enters it.
//!
//! Source: UEFI 2.10. The crate `uefi` calls the firmware's functions. `build.sh` links this as a
//! position-independent ELF file and takes the PE file out of it (`layout.ld`).

#![no_std]
#![no_main]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod graphics;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use firmware::pvh::{Entry, Kind};
use loader::digests::{Digests, MARKER, accepts};
use loader::elf::{self, Image, Machine};
use loader::map::Map;
use loader::settings;
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::mem::memory_map::MemoryMapMut;
use uefi::proto::media::file::{Directory, File as _, FileAttribute, FileMode, RegularFile};
use uefi::proto::rng::Rng;
use uefi::table::cfg::ConfigTableEntry;
use uefi::{CStr16, Status, cstr16, entry, println, system};

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
    Machine(machine::Failure),
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
            Self::Machine(failure) => failure.fmt(f),
        }
    }
}

impl From<machine::Failure> for Failure {
    fn from(failure: machine::Failure) -> Self {
        Self::Machine(failure)
    }
}

#[entry]
fn main() -> Status {
    let Err(failure) = start();
    println!("soil: {failure}");
    // Before the firmware clears the screen for its next choice.
    boot::stall(Duration::from_secs(5));
    Status::LOAD_ERROR
}

fn start() -> Result<Infallible, Failure> {
    let mut root = boot::get_image_file_system(boot::image_handle())
        .and_then(|mut system| system.open_volume())
        .map_err(|error| Failure::Volume(error.status()))?;
    #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
    // SAFETY: volatile, because the file's bytes are changed after the compiler has seen them.
    let digests = unsafe { (&raw const DIGESTS).read_volatile() };

    let file = read(&mut root, IMAGE)?;
    if !accepts(&digests.image, file) {
        return Err(Failure::Digest(IMAGE));
    }
    let image = Image::parse(file, Machine::HERE).map_err(Failure::Image)?;
    let text: &[u8] = match read(&mut root, SETTINGS) {
        Ok(text) => text,
        Err(Failure::File(_, Status::NOT_FOUND)) => &[],
        Err(failure) => return Err(failure),
    };
    if !accepts(&digests.settings, text) {
        return Err(Failure::Digest(SETTINGS));
    }
    machine::enter(&image, file, text)
}

/// Writes the command line and a zero to `line`: the frame buffer's word and the settings. Returns
/// the length without the zero.
fn command_line(text: &[u8], line: &mut [u8]) -> Result<usize, Failure> {
    let word = graphics::frame_buffer().map_or(0, |buffer| buffer.write(line));
    match settings::join(text, &mut line[word..]) {
        // The settings are what the user wrote.
        Err(settings::Error::TooLong) => settings::join(text, line),
        joined => joined.map(|len| word + len),
    }
    .map_err(Failure::Settings)
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
    let memory = pages_below(machine::LIMIT, MemoryType::LOADER_DATA, len.div_ceil(PAGE))
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

/// Random bytes of the firmware, by the processor or by virtio-rng; `None` without either.
fn random() -> Option<[u8; 32]> {
    let handle = boot::get_handle_for_protocol::<Rng>().ok()?;
    let mut source = boot::open_protocol_exclusive::<Rng>(handle).ok()?;
    let mut bytes = [0; 32];
    source.get_rng(None, &mut bytes).ok()?;
    Some(bytes)
}

/// The address of ACPI's RSDP, the newer one if there are two; 0 if there is none.
fn acpi_root() -> u64 {
    let guids = [ConfigTableEntry::ACPI2_GUID, ConfigTableEntry::ACPI_GUID];
    system::with_config_table(|table| {
        guids
            .into_iter()
            .find_map(|guid| table.iter().find(|entry| entry.guid == guid))
            .map_or(0, |entry| entry.address as u64)
    })
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    println!("soil: {info}");
    uefi::runtime::reset(uefi::runtime::ResetType::COLD, Status::ABORTED, None)
}
