//! What is of x86-64 in the UEFI loader: the image gets PVH's start info.

use crate::{IMAGE, MAX_ENTRIES, PAGE, acpi_root, command_line, convert, pages_below, random};
use core::arch::x86_64::__cpuid;
use core::convert::Infallible;
use core::fmt;
use firmware::pvh::{Entry, Module, StartInfo};
use loader::confidential;
use loader::elf::Image;
use loader::handover::{self, Table};
use loader::settings::MAX_LINE;
use uefi::boot::{self, MemoryType};
use uefi::mem::memory_map::MemoryMapMut;

/// The files' memory ends here: the last step has 32-bit addresses.
pub const LIMIT: u64 = 1 << 32;

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

/// What the image gets, in memory below the first MiB: the kernel doesn't use that before it has
/// read all of it.
#[repr(C, align(4096))]
struct Area {
    code: [u8; PAGE],
    table: Table,
    info: StartInfo,
    map: [Entry; MAX_ENTRIES],
    module: Module,
    seed: [u8; 32],
    seed_name: [u8; Module::SEED_NAME.len()],
    line: [u8; MAX_LINE],
}

/// Why the image can't be started on x86-64.
pub enum Failure {
    Confidential(confidential::Kind),
    LowMemory,
    Memory { start: u64, end: u64 },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confidential(kind) => kind.fmt(f),
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

fn cpuid(leaf: u32) -> [u32; 4] {
    let found = __cpuid(leaf);
    [found.eax, found.ebx, found.ecx, found.edx]
}

/// The MSR SEV_STATUS of a processor that has it.
fn sev_status() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the processor has the register; reading it has no effect.
    unsafe {
        core::arch::asm!(
            "rdmsr",
            in("ecx") 0xc001_0131_u32, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags)
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Puts an image into memory with its settings, and enters it.
pub fn enter(image: &Image, file: &[u8], text: &[u8]) -> Result<Infallible, crate::Failure> {
    // Here the firmware, which supports that, still has a console.
    if let Some(kind) = confidential::find(cpuid, sev_status) {
        return Err(Failure::Confidential(kind).into());
    }
    let pages = size_of::<Area>().div_ceil(PAGE);
    let area = pages_below(0xa_0000, MemoryType::LOADER_CODE, pages).ok_or(Failure::LowMemory)?;
    area.fill(0);
    // SAFETY: zeroed pages of its size; every field is valid as zeros.
    let area = unsafe { &mut *area.as_mut_ptr().cast::<Area>() };
    command_line(text, &mut area.line)?;
    let code = handover::code();
    area.code[..code.len()].copy_from_slice(code);
    let at = |field: *const u8| field as u64;
    let (line, info) = (at(area.line.as_ptr()), at((&raw const area.info).cast()));
    let map_at = at(area.map.as_ptr().cast());
    area.table = Table::new(image, file.as_ptr() as u32, info as u32);

    let mut seed = 0;
    if let Some(bytes) = random() {
        area.seed = bytes;
        area.seed_name = Module::SEED_NAME;
        let (start, name) = (at(area.seed.as_ptr()), at(area.seed_name.as_ptr()));
        area.module = Module::seed(start, area.seed.len() as u64, name);
        seed = at((&raw const area.module).cast());
    }

    let map = boot::memory_map(MemoryType::LOADER_DATA)
        .map_err(|error| crate::Failure::File(IMAGE, error.status()))?;
    check(image, file, &mut area.map, map)?;

    let rsdp = acpi_root();
    // SAFETY: nothing of the firmware's is used from here on.
    let map = unsafe { boot::exit_boot_services(None) };
    let entries = convert(&mut area.map, map).count();
    area.info = StartInfo::new(line, rsdp, map_at, entries, seed);
    // SAFETY: the code's contract: it is in executable low memory that is mapped at its own
    // address, as UEFI maps all memory, and the table is checked.
    unsafe {
        let run: extern "sysv64" fn(u64) -> ! = core::mem::transmute(area.code.as_ptr());
        run(at((&raw const area.table).cast()))
    }
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
