//! The PVH entry (32-bit protected mode, paging off, `ebx` = start info), and the switch to long
//! mode, where `soil_kernel_start` continues.
//!
//! The boot tables map the first GiB twice, at its own address and in the direct map, writable and
//! executable, in 2 MiB pages. The kernel replaces them by the real tables before anything
//! else runs. Source: Xen's "x86/HVM direct boot ABI" (docs/misc/pvh.pandoc) for the note and the
//! state at entry.

#[cfg(not(any(test, loom)))]
core::arch::global_asm!(
    r#"
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18                      // sizes of name and value, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad soil_pvh_start
    .popsection

    .pushsection .text.soil_boot, "ax", @progbits
    .globl soil_pvh_start
    .code32
soil_pvh_start:
    cli
    cld
    mov esp, offset {stack} + {stack_size}
    mov ebp, ebx
    mov edi, offset {tables}
    lea eax, [edi + 0x1003]             // both halves use one PDPT, which uses one PD
    mov [edi], eax
    mov [edi + 2048], eax
    lea eax, [edi + 0x2003]
    mov [edi + 0x1000], eax
    mov eax, 0x83                       // present, writable, 2 MiB
    xor ecx, ecx
2:  mov [edi + 0x2000 + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 512
    jne 2b
    mov eax, cr4
    or eax, {control_4}
    mov cr4, eax
    mov cr3, edi
    mov ecx, 0xc0000080
    rdmsr
    or eax, {features}
    wrmsr
    mov eax, cr0
    and eax, {control_0_kept}
    or eax, {control_0}
    mov cr0, eax
    lgdt [soil_boot_gdt_pointer]
    push 8
    mov eax, offset soil_long_mode
    push eax
    retf
    .code64
soil_long_mode:
    mov eax, 16
    mov ss, eax
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    fninit
    mov edi, ebp
    xor ebp, ebp
    call soil_kernel_start
    ud2

    // The ELF file's own entry, which loaders that boot by the note don't use: it reports that an
    // image was started as a Linux process.
    .globl soil_linux_start
soil_linux_start:
    mov eax, 1                          // write
    mov edi, 2
    mov esi, offset {message}
    mov edx, {message_len}
    syscall
    mov eax, 231                        // exit_group
    mov edi, 126                        // the shell's "command can't be run"
    syscall
    .balign 8
    .globl soil_boot_gdt
soil_boot_gdt:                          // null, code, stack as in the kernel's own (`gates.rs`)
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
soil_boot_gdt_pointer:
    .word 23
    .long soil_boot_gdt
    .popsection
    "#,
    tables = sym TABLES,
    control_4 = const CONTROL_4,
    features = const FEATURES,
    control_0_kept = const CONTROL_0_KEPT,
    control_0 = const CONTROL_0,
    stack = sym super::stacks::MAIN,
    stack_size = const super::stacks::MAIN_SIZE,
    message = sym NO_PROCESS,
    message_len = const NO_PROCESS.len(),
);

/// The bits of CR4: PAE, MCE, PGE, OSFXSR, OSXMMEXCPT. Without MCE a machine check resets the
/// processor without a report.
pub const CONTROL_4: u32 = 0x6e0;
/// The bits of EFER: SCE, LME, NXE.
pub const FEATURES: u32 = 0x901;
/// The bits of CR0 that aren't cleared: caches are on, x87 isn't emulated.
pub const CONTROL_0_KEPT: u32 = 0x9fff_fff3;
/// The bits of CR0 that are set: PG, WP, NE, MP, PE.
pub const CONTROL_0: u32 = 0x8001_0023;

static NO_PROCESS: [u8; 68] =
    *b"soil: this is a machine's image, not for Linux: use 'soil run FILE'\n";

/// Zeroed memory that only the processor and the assembly above use, during boot.
#[repr(C, align(4096))]
pub struct Opaque<const N: usize>(core::cell::UnsafeCell<[u8; N]>);

// SAFETY: nothing in Rust reads or writes the contents.
unsafe impl<const N: usize> Sync for Opaque<N> {}

/// The boot's tables: the first GiB at its own address and in the direct map.
pub static TABLES: Opaque<{ 3 * 4096 }> = Opaque(core::cell::UnsafeCell::new([0; 3 * 4096]));
