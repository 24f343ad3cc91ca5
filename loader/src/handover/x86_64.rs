//! The last step on x86-64: code that leaves long mode and paging, puts the image's segments into
//! place and jumps to its entry. It runs from its own page below the first MiB, since the segments
//! may replace the loader and what the firmware left.

use crate::elf::{Image, MAX_SEGMENTS};

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_handover, "ax", @progbits
    .globl soil_handover
soil_handover:                          // rdi: physical address of the table
    cli
    cld
    mov rax, cr4
    and eax, 0x1020                     // PAE and LA57 stay until paging ends
    mov cr4, rax
    lea rax, [rip + 8f]
    mov [rip + 7f + 2], rax
    lgdt [rip + 7f]
    lea rax, [rip + 2f]
    push 8
    push rax
    rex64 retf
    .code32
2:  mov eax, 16
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    mov eax, cr0
    and eax, 0x7fffffff                 // PG
    mov cr0, eax
    mov ecx, 0xc0000080                 // EFER: LME
    rdmsr
    and eax, 0xfffffeff
    wrmsr
    xor eax, eax
    mov cr4, eax
    mov ebp, edi
    mov ebx, [ebp]
    mov edx, [ebp + 4]
    mov esp, [ebp + 8]                  // the number of copies: nothing is pushed
    add ebp, 12
3:  test esp, esp
    jz 4f
    mov edi, [ebp]
    mov esi, [ebp + 4]
    mov ecx, [ebp + 8]
    rep movsb
    mov ecx, [ebp + 12]
    xor eax, eax
    rep stosb
    add ebp, 16
    dec esp
    jmp 3b
4:  jmp edx
    .code64
    .balign 8
7:  .short 23
    .quad 0
    .balign 8
8:  .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
    .globl soil_handover_end
soil_handover_end:
    .popsection
"#
);

unsafe extern "C" {
    static soil_handover: u8;
    static soil_handover_end: u8;
}

/// The code, to be copied to memory that is executable, writable and mapped at its own address.
pub fn code() -> &'static [u8] {
    let (start, end) = (&raw const soil_handover, &raw const soil_handover_end);
    // SAFETY: both are labels of one section, in this order.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// What the code reads.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Table {
    start_info: u32,
    entry: u32,
    count: u32,
    copies: [Copy; MAX_SEGMENTS],
}

/// One segment: `len` bytes are copied, then `zeros` bytes cleared.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Copy {
    to: u32,
    from: u32,
    len: u32,
    zeros: u32,
}

impl Table {
    /// The table for an image whose file is at the physical address `file`, below 4 GiB.
    pub fn new(image: &Image, file: u32, start_info: u32) -> Self {
        let mut copies = [Copy::default(); MAX_SEGMENTS];
        for (copy, segment) in copies.iter_mut().zip(image.segments()) {
            *copy = Copy {
                to: segment.address,
                from: file + segment.offset,
                len: segment.file_len,
                zeros: segment.len - segment.file_len,
            };
        }
        Self {
            start_info,
            entry: image.entry,
            count: image.segments().len() as u32,
            copies,
        }
    }
}
