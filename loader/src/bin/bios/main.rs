//! Stage 2 of the BIOS loader: reads `soil/image.elf` from the disk that the BIOS booted, and
//! enters it. Runs in long mode, with the first 4 GiB mapped at their own addresses, and returns to
//! real mode for each call of the BIOS.
//!
//! | from | what |
//! |---|---|
//! | 0x08000 | this program; its stack ends at 0x50000 |
//! | 0x50000 | page tables, 6 pages |
//! | 0x58000 | E820's entries, 24 bytes each |
//! | 0x60000 | sectors that the BIOS read, 32 KiB |
//! | 0x70000 | what the image gets: [`Area`] |

#![no_std]
#![no_main]

use core::fmt::{self, Write as _};
use firmware::pvh::{Entry, Kind, StartInfo};
use loader::elf::{self, Image, Machine};
use loader::fat::{self, Disk, File, MAX_READ, SECTOR, Volume};
use loader::handover::{self, Table};
use loader::map::Map;
use loader::settings::{self, MAX_LINE};

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_start, "ax", @progbits
    .code16
    .globl soil_start
soil_start:
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    sti
    mov [soil_drive], dl
    mov eax, 0x80000000                 // long mode: CPUID 0x80000001, EDX bit 29
    cpuid
    cmp eax, 0x80000001
    jb soil_refuse
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc soil_refuse
    mov ax, 0x2401                      // A20 by the BIOS, then by port 0x92
    int 0x15
    in al, 0x92
    test al, 2
    jnz 2f
    or al, 2
    and al, 0xfe
    out 0x92, al
2:  xor ebx, ebx                        // E820: at most 128 entries
    mov bp, 128
    mov di, 0x5800
    mov es, di
    xor di, di
3:  mov eax, 0xe820
    mov edx, 0x534d4150
    mov ecx, 24
    mov dword ptr es:[di + 20], 1
    int 0x15
    jc 4f
    cmp eax, 0x534d4150
    jne 4f
    inc word ptr [soil_e820]
    add di, 24
    test ebx, ebx
    jz 4f
    dec bp
    jnz 3b
4:  mov ax, 0x5000                      // page tables: 4 GiB in 2 MiB pages
    mov es, ax
    xor edi, edi
    xor eax, eax
    mov ecx, 0x6000 / 4
    rep stosd es:[di], eax
    mov dword ptr es:[0], 0x51003
    mov eax, 0x52003
    mov di, 0x1000
5:  mov es:[di], eax
    add eax, 0x1000
    add di, 8
    cmp di, 0x1020
    jne 5b
    mov eax, 0x83
    mov di, 0x2000
6:  mov es:[di], eax
    add di, 8
    add eax, 0x200000
    jnc 6b
    mov dword ptr [soil_return], offset soil_first
soil_to_long:                           // real mode, interrupts off; continues at [soil_return]
    cli
    lgdt [soil_gdt_pointer]
    mov eax, cr4
    or eax, 0x620                       // PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, 0x50000
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    and eax, 0xfffffff3                 // no x87 emulation
    or eax, 0x80000003
    mov cr0, eax
    .byte 0xea                          // jmp 8:7f
    .short 7f, 8
    .code64
7:  mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov eax, [soil_return]
    jmp rax
    .code16
soil_refuse:
    mov si, offset soil_refusal
2:  lodsb
    test al, al
    jz 5f
    mov ah, 0x0e
    mov bx, 7
    int 0x10
    mov cx, 0xffff                      // COM1; without one the port reads as ready
3:  mov dx, 0x3fd
    in al, dx
    test al, 0x20
    loopz 3b
    mov al, [si - 1]
    mov dx, 0x3f8
    out dx, al
    jmp 2b
5:  hlt
    jmp 5b
soil_refusal:
    .asciz "soil: a processor without 64-bit mode: choose an x86-64 one\r\n"
    .code64
soil_first:
    mov esp, 0x50000
    lea rdi, [__bss]
    lea rcx, [__bss_end]
    sub rcx, rdi
    xor eax, eax
    rep stosb
    call {main}
    ud2

    // soil_bios(ax: edi, interrupt 0x13 or 0x10: esi): eax, whose bit 16 is the carry flag.
    .globl soil_bios
soil_bios:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov [soil_ax], edi
    mov [soil_interrupt], esi
    mov [soil_rsp], rsp
    mov dword ptr [soil_return], offset soil_back
    push 24
    lea rax, [rip + 2f]
    push rax
    rex64 retf
    .code16
2:  mov ax, 32
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    and eax, 0xfffffeff
    wrmsr
    mov eax, cr0
    and eax, 0xfffffffe
    mov cr0, eax
    .byte 0xea                          // jmp 0:3f
    .short 3f, 0
3:  xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    lidt [soil_vectors]
    sti
    mov ax, [soil_ax]
    mov dl, [soil_drive]
    mov si, offset soil_packet
    mov bx, 7
    cmp byte ptr [soil_interrupt], 0x13
    je 4f
    int 0x10
    jmp 5f
4:  int 0x13
5:  cli
    cld
    mov bx, 0
    mov ds, bx
    mov [soil_ax], ax
    setc [soil_ax + 2]
    jmp soil_to_long
    .code64
soil_back:
    mov rsp, [soil_rsp]
    mov eax, [soil_ax]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

    .balign 8
    .globl soil_e820, soil_packet
soil_rsp: .quad 0
soil_return: .long 0
soil_ax: .long 0
soil_interrupt: .long 0
soil_e820: .short 0
soil_drive: .byte 0, 0
soil_packet:
    .byte 16, 0
    .short 0, 0, 0x6000
    .quad 0
soil_vectors:
    .short 0x3ff
    .long 0
    .balign 8
soil_gdt:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00009a000000ffff, 0x000092000000ffff
soil_gdt_pointer:
    .short 39
    .long soil_gdt
    .popsection
"#,
    main = sym main,
);

/// The packet of INT 13h, AH=42h (Enhanced Disk Drive 3.0).
#[repr(C)]
struct Packet {
    len: u16,
    sectors: u16,
    offset: u16,
    segment: u16,
    first: u64,
}

unsafe extern "C" {
    fn soil_bios(ax: u32, interrupt: u32) -> u32;
    static soil_e820: u16;
    static mut soil_packet: Packet;
}

/// The disk that the BIOS booted.
struct Bios;

impl Disk for Bios {
    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), fat::Error> {
        let sectors = (to.len() / SECTOR).min(MAX_READ);
        // SAFETY: the BIOS writes to the buffer at 0x60000, which nothing else uses.
        let (answer, read) = unsafe {
            let packet = &raw mut soil_packet;
            (*packet).sectors = sectors as u16;
            (*packet).first = first;
            let answer = soil_bios(0x4200, 0x13);
            let buffer = core::slice::from_raw_parts(0x6_0000 as *const u8, sectors * SECTOR);
            (answer, buffer)
        };
        if answer & 0x1_0000 != 0 {
            return Err(fat::Error::Read((answer >> 8) as u8));
        }
        to.copy_from_slice(read);
        Ok(())
    }
}

/// The first serial port, and the BIOS's screen.
struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the status and a byte of the UART at 0x3f8, and the BIOS's teletype.
            unsafe {
                // A port without a UART reads as ones; one that stays busy loses the byte.
                for _ in 0..100_000 {
                    let status: u8;
                    core::arch::asm!("in al, dx", in("dx") 0x3fdu16, out("al") status);
                    if status & 0x20 != 0 {
                        break;
                    }
                }
                core::arch::asm!("out dx, al", in("dx") 0x3f8u16, in("al") byte);
                soil_bios(0x0e00 | u32::from(byte), 0x10);
            }
        }
        Ok(())
    }
}

/// Why the image can't be started, as *subject: reason: remedy*.
enum Failure {
    File(&'static str, fat::Error),
    Image(elf::Error),
    Settings(settings::Error),
    Memory { start: u64, end: u64 },
}

const IMAGE: &str = "soil/image.elf";
const SETTINGS: &str = "soil/settings.txt";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name, error) => write!(f, "{name}: {error}: write the disk again"),
            Self::Image(error) => write!(f, "{IMAGE}: {error}: write the disk again"),
            Self::Settings(error) => write!(f, "{SETTINGS}: {error}: change it"),
            Self::Memory { start, end } => write!(
                f,
                "{IMAGE}: the machine has no free memory for it from {start:#x} to {end:#x}: give \
                it more"
            ),
        }
    }
}

/// What the image gets; see the UEFI program's.
#[repr(C, align(4096))]
struct Area {
    code: [u8; 4096],
    table: Table,
    info: StartInfo,
    map: [Entry; 128],
    line: [u8; MAX_LINE],
}

extern "C" fn main() -> ! {
    let Err(failure) = start();
    let _ = write!(Console, "soil: {failure}\r\n");
    loop {
        // SAFETY: interrupts are off, so this is the end until a reset.
        unsafe { core::arch::asm!("hlt") };
    }
}

fn start() -> Result<core::convert::Infallible, Failure> {
    // SAFETY: low memory that only this value uses; every field is valid as zeros.
    let area = unsafe {
        let area = 0x7_0000 as *mut Area;
        area.write_bytes(0, 1);
        &mut *area
    };
    let mut map = Map::new(&mut area.map);
    // SAFETY: the start code wrote that many entries.
    let ranges =
        unsafe { core::slice::from_raw_parts(0x5_8000 as *const [u32; 6], usize::from(soil_e820)) };
    for range in ranges {
        let long = |at| u64::from(range[at]) | u64::from(range[at + 1]) << 32;
        // Bit 0 of the last word: not to be ignored (ACPI 6.5, 15.1).
        let kind = match range[4] {
            1 => Kind::Ram,
            3 => Kind::Acpi,
            4 => Kind::AcpiNvs,
            _ => Kind::Reserved,
        };
        if range[5] & 1 != 0 && long(2) > 0 {
            map.add(long(0), long(2), kind);
        }
    }
    let mut volume = Volume::open(Bios).map_err(|error| Failure::File(IMAGE, error))?;
    let found = volume
        .find(b"SOIL       ", b"IMAGE   ELF")
        .map_err(|error| Failure::File(IMAGE, error))?;
    let file = read(&mut volume, &map, IMAGE, found, 1 << 32)?;
    let image = Image::parse(file, Machine::X86_64).map_err(Failure::Image)?;
    let text: &[u8] = match volume.find(b"SOIL       ", b"SETTINGSTXT") {
        Ok(found) => read(&mut volume, &map, SETTINGS, found, file.as_ptr() as u64)?,
        Err(fat::Error::NotFound) => &[],
        Err(error) => return Err(Failure::File(SETTINGS, error)),
    };
    settings::join(text, &mut area.line).map_err(Failure::Settings)?;
    for segment in image.segments() {
        let start = u64::from(segment.address);
        let end = start + u64::from(segment.len);
        let range = file.as_ptr_range();
        let overlaps = start < range.end as u64 && (range.start as u64) < end;
        if overlaps || !map.holds(start, end) {
            return Err(Failure::Memory { start, end });
        }
    }
    let count = map.count();
    let code = handover::code();
    area.code[..code.len()].copy_from_slice(code);
    let at = |field: *const u8| field as u64;
    let line = at(area.line.as_ptr());
    // The kernel searches for the RSDP where the BIOS left it.
    area.info = StartInfo::new(line, 0, at(area.map.as_ptr().cast()), count, 0);
    let info = at((&raw const area.info).cast()) as u32;
    area.table = Table::new(&image, file.as_ptr() as u32, info);
    // SAFETY: the code's contract: low memory, mapped at its own address; the table is checked.
    unsafe {
        let run: extern "sysv64" fn(u64) -> ! = core::mem::transmute(area.code.as_ptr());
        run(at((&raw const area.table).cast()))
    }
}

/// The file's contents, at the end of the highest memory below `limit` that has room.
fn read(
    volume: &mut Volume<Bios>,
    map: &Map,
    name: &'static str,
    found: File,
    limit: u64,
) -> Result<&'static [u8], Failure> {
    let len = found.len as usize;
    let room = len.next_multiple_of(SECTOR);
    let start = map
        .below(limit, room as u64)
        .filter(|start| *start >= elf::BOUNDS.start)
        .ok_or(Failure::Memory {
            start: elf::BOUNDS.start,
            end: elf::BOUNDS.start + room as u64,
        })?;
    // SAFETY: usable memory above the first MiB. Each call gets memory below the one before, so
    // nothing else uses it.
    let to = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, room) };
    volume
        .read(found, to)
        .map_err(|error| Failure::File(name, error))?;
    Ok(&to[..len])
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let _ = write!(Console, "soil: {info}\r\n");
    loop {
        // SAFETY: as in `main`.
        unsafe { core::arch::asm!("hlt") };
    }
}
