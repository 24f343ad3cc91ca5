//! The image's entry, by the boot protocol of Linux for arm64: MMU off, x0 the physical address of
//! the device tree, at EL1 or EL2. [`soil_kernel_start`](crate::boot) continues at EL1, on the boot
//! tables.
//!
//! The image is linked at 2 MiB and lies in memory at any multiple of 2 MiB. The boot tables map
//! it at its link address, writable and executable; once more the GiB in which it lies at that
//! address's own, for the moment in which the MMU is switched on; and in the direct map the GiBs
//! of the image and of the device tree as memory, the others of the first 4 GiB as devices.
//! [`crate::memory`] replaces them by the real tables. Memory from 512 GiB on isn't supported as
//! the image's or the device tree's.
//!
//! Source: Linux's Documentation/arch/arm64/booting.rst.

pub use super::image::{boot_mapped, image_physical, take_skipped};

use super::image::IMAGE;

/// Leaves the kernel's boot for the program: jumps to `entry` on `stack`.
///
/// # Safety
/// `stack` points to the argument count, as in the System V ABI's "initial process stack"; nothing
/// on the main stack is used any more.
pub unsafe fn run(stack: u64, entry: unsafe extern "C" fn() -> !) -> ! {
    // SAFETY: the caller's promise. System calls and exceptions begin at the end of the main stack.
    unsafe {
        core::arch::asm!(
            "mov sp, x9",
            "msr spsel, #0",
            "mov sp, x10",
            "mov x0, xzr",
            "mov x29, xzr",
            "mov x30, xzr",
            "br x11",
            in("x9") super::stacks::MAIN.top(),
            in("x10") stack,
            in("x11") entry,
            options(noreturn)
        )
    }
}

/// Runs `f` on the program's `stack`, as the program would: its faults allocate pages.
///
/// # Safety
/// `stack` is aligned to 16 bytes, and nothing uses what lies below it.
pub unsafe fn call_on(stack: u64, f: extern "C" fn()) {
    // SAFETY: the caller's promise. A function of the C ABI keeps x20 to x22.
    unsafe {
        core::arch::asm!(
            "mrs x20, spsel",
            "msr spsel, #0",
            "mov x21, sp",
            "mov sp, x22",
            "blr {f}",
            "mov sp, x21",
            "msr spsel, x20",
            f = in(reg) f,
            in("x22") stack,
            out("x20") _,
            out("x21") _,
            clobber_abi("C"),
        );
    }
}

#[cfg(not(test))]
core::arch::global_asm!(
    r#"
    .pushsection .note.Soil, "a", @note
    .balign 4
    .long 5, 8, 1                       // sizes of name and value; the entry of a machine's image
    .asciz "Soil"
    .balign 4
    .quad soil_image_entry
    .popsection

    // Continues at EL1, with the MMU off and interrupts disabled.
    .macro soil_begin
    msr daifset, #15
    mrs x1, currentel
    cmp x1, #8
    b.ne 1f

    // EL2: EL1 is 64-bit, and uses timers, units and interrupt controller without traps.
    adrp x1, soil_level_2
    add x1, x1, :lo12:soil_level_2
    msr vbar_el2, x1
    mov x1, #(1 << 31)                  // HCR_EL2.RW
    movk x1, #0x300, lsl #32            // APK, API
    msr hcr_el2, x1
    isb
    ldr x3, ={control_off}
    mrs x1, hcr_el2
    tbz x1, #34, 15f
    // E2H is always set here (no FEAT_E2H0): these have the layouts of CPACR_EL1 and CNTKCTL_EL1,
    // and the names of EL1's registers mean those of EL2.
    mov x1, #(3 << 10)
    msr cnthctl_el2, x1
    mov x1, #(3 << 20)
    msr cptr_el2, x1
    msr s3_5_c1_c0_0, x3                // SCTLR_EL12
    b 16f
15: mov x1, #3
    msr cnthctl_el2, x1
    mov x1, #0x33ff
    msr cptr_el2, x1
    msr sctlr_el1, x3
16: msr cntvoff_el2, xzr
    msr hstr_el2, xzr
    // All counters of a PMU are EL1's (HPMN); no traps of debugging.
    mov x2, xzr
    mrs x1, id_aa64dfr0_el1
    ubfx x1, x1, #8, #4
    sub x1, x1, #1
    cmp x1, #13                         // neither none (0) nor an unknown one (15)
    b.hi 17f
    mrs x2, pmcr_el0
    ubfx x2, x2, #11, #5
17: msr mdcr_el2, x2
    mrs x1, id_aa64mmfr1_el1
    ubfx x1, x1, #40, #4
    cbz x1, 18f
    msr s3_4_c1_c2_2, xzr               // HCRX_EL2
18:
    msr vttbr_el2, xzr
    mrs x1, midr_el1
    msr vpidr_el2, x1
    mrs x1, mpidr_el1
    msr vmpidr_el2, x1
    mrs x1, id_aa64pfr0_el1
    ubfx x1, x1, #24, #4
    cbz x1, 2f
    mrs x1, s3_4_c12_c9_5               // ICC_SRE_EL2: Enable, SRE
    orr x1, x1, #1
    orr x1, x1, #8
    msr s3_4_c12_c9_5, x1
    isb
    mrs x1, s3_4_c12_c9_5
    tbz x1, #0, 2f
    msr s3_4_c12_c11_0, xzr             // ICH_HCR_EL2
    // No traps of single registers, which are unknown at reset where they exist.
2:  mrs x1, id_aa64mmfr0_el1
    lsr x1, x1, #56
    tst x1, #15
    b.eq 14f
    msr s3_4_c1_c1_4, xzr               // HFGRTR_EL2
    msr s3_4_c1_c1_5, xzr               // HFGWTR_EL2
    msr s3_4_c1_c1_6, xzr               // HFGITR_EL2
    msr s3_4_c3_c1_4, xzr               // HDFGRTR_EL2
    msr s3_4_c3_c1_5, xzr               // HDFGWTR_EL2
    mrs x1, id_aa64pfr0_el1
    ubfx x1, x1, #44, #4
    cbz x1, 14f
    msr s3_4_c3_c1_6, xzr               // HAFGRTR_EL2
14: mov x1, #0x3c5                      // EL1h, all masked
    msr spsr_el2, x1
    adr x1, 1f
    msr elr_el2, x1
    eret

1:  msr vbar_el1, xzr                   // none yet, see soil_level_2
    ldr x1, ={control_off}
    msr sctlr_el1, x1
    isb
    mov x1, #(3 << 20)                  // no traps of the floating-point unit
    msr cpacr_el1, x1
    .endm

    // Switches the MMU on, on the tables at x21, and continues at the link address.
    .macro soil_map to
    ldr x1, ={memory_types}
    msr mair_el1, x1
    ldr x1, ={translation}
    mrs x2, id_aa64mmfr0_el1
    and x2, x2, #15
    mov x3, #5                          // 48 bits: more need other tables
    cmp x2, x3
    csel x2, x2, x3, lo
    orr x1, x1, x2, lsl #32
    msr tcr_el1, x1
    msr ttbr0_el1, x21
    msr ttbr1_el1, x21
    ic iallu
    tlbi vmalle1
    dsb nsh
    isb
    ldr x1, ={control_on}
    ldr x2, =\to
    msr sctlr_el1, x1
    isb
    br x2
    .endm

    .pushsection .text.soil_boot, "ax", @progbits
    .globl soil_image_entry
soil_image_entry:
    mov x19, x0
    soil_begin

    // x20: where the image lies; x21: the tables; x22: the end of the image; x23: its length.
    adrp x20, soil_image_start
    adrp x22, soil_image_end
    add x22, x22, :lo12:soil_image_end
    sub x23, x22, x20
    adrp x21, {tables}
    // A place that isn't as the header asks for: nothing can be said there.
    tst x20, #0x1fffff
    b.ne 9f
    lsr x1, x22, #39
    cbnz x1, 9f
    lsr x1, x20, #30
    cbz x1, 9f

    mov x1, x21
    add x2, x21, #0x4000
3:  stp xzr, xzr, [x1], #16
    cmp x1, x2
    b.lo 3b
    orr x1, x21, #3
    add x2, x1, #0x1000                 // the lower half's table of level 1
    str x2, [x21]
    add x2, x1, #0x2000                 // the direct map's
    str x2, [x21, #2048]
    add x2, x1, #0x3000                 // the image's of level 2
    add x3, x21, #0x1000
    str x2, [x3]
    mov x4, #{memory}
    // The image at its link address.
    add x5, x21, #0x3000
    ldr x6, =soil_image_start
    lsr x6, x6, #21
    add x5, x5, x6, lsl #3
    orr x6, x20, x4
    add x7, x22, #0x1000
4:  str x6, [x5], #8
    add x6, x6, #0x200000
    cmp x6, x7
    b.lo 4b
    // The direct map: devices, then memory.
    add x2, x21, #0x2000
    mov x6, xzr
    ldr x7, ={devices}
5:  orr x8, x7, x6, lsl #30
    str x8, [x2, x6, lsl #3]
    add x6, x6, #1
    cmp x6, #4
    b.lo 5b
    ldr x7, ={data}
    mov x8, x20
    bl 8f
    lsr x9, x19, #39
    cbnz x9, 6f
    mov x8, x19
    bl 8f
    add x8, x19, #0x200000
    bl 8f
    // The GiB in which this code runs.
6:  lsr x6, x20, #30
    orr x8, x4, x6, lsl #30
    add x1, x21, #0x1000
    str x8, [x1, x6, lsl #3]

    // The writes went to memory: caches may hold what was there before.
    dmb sy
    mov x1, x21
    add x2, x21, #0x4000
    mrs x3, ctr_el0
    ubfx x3, x3, #16, #4
    mov x5, #4
    lsl x3, x5, x3
7:  dc ivac, x1
    add x1, x1, x3
    cmp x1, x2
    b.lo 7b
    dsb sy

    soil_map soil_mapped

    // Maps the GiB of x8 in the direct map with the bits of x7.
8:  lsr x6, x8, #30
    orr x8, x7, x6, lsl #30
    str x8, [x2, x6, lsl #3]
    ret
9:  wfi
    b 9b

    // At the link address. What is zero at the start isn't in the file; the tables are in use.
soil_mapped:
    adrp x1, soil_bss_start
    add x1, x1, :lo12:soil_bss_start
    adrp x2, {tables}
    add x3, x2, #0x4000
    b 11f
10: stp xzr, xzr, [x1], #16
11: cmp x1, x2
    b.lo 10b
    adrp x2, soil_image_end
    add x2, x2, :lo12:soil_image_end
    mov x1, x3
    b 13f
12: stp xzr, xzr, [x1], #16
13: cmp x1, x2
    b.lo 12b
    adrp x1, {image}
    str x20, [x1, :lo12:{image}]
    adrp x1, {stack}
    add x1, x1, :lo12:{stack}
    mov x2, #{stack_size}
    add sp, x1, x2
    mov x0, x19
    mov x29, xzr
    mov x30, xzr
    bl soil_kernel_start
    b .

    // The ELF file's own entry, which reports that an image was started as a Linux process.
    .globl soil_linux_start
soil_linux_start:
    mov x8, #64                         // write
    mov x0, #2
    adrp x1, {message}
    add x1, x1, :lo12:{message}
    mov x2, #{message_len}
    svc #0
    mov x8, #94                         // exit_group
    mov x0, #126                        // the shell's "command can't be run"
    svc #0
    .ltorg
    .popsection

    // Of another processor: x0 is its block, at its virtual address.
    .pushsection .text.soil_secondary, "ax", @progbits
    .globl soil_secondary
soil_secondary:
    mov x19, x0
    soil_begin
    adrp x21, {tables}
    soil_map soil_secondary_entry
soil_secondary_entry:
    adrp x1, {root}
    ldr x0, [x1, :lo12:{root}]
    bl soil_tables
    ldr x1, [x19, #{idle_stack}]
    mov sp, x1
    mov x0, x19
    mov x29, xzr
    mov x30, xzr
    bl {begin}
    b .
    .ltorg
    .popsection
    "#,
    root = sym super::secondary::ROOT,
    begin = sym super::secondary::begin,
    idle_stack = const core::mem::offset_of!(super::processor::Processor, idle_stack),
    tables = sym TABLES,
    image = sym IMAGE,
    stack = sym super::stacks::MAIN,
    stack_size = const super::stacks::MAIN_SIZE,
    message = sym NO_PROCESS,
    message_len = const NO_PROCESS.len(),
    control_off = const CONTROL,
    control_on = const CONTROL | MMU_AND_CACHES,
    memory = const MEMORY,
    data = const MEMORY | NO_EXECUTE,
    devices = const DEVICES | NO_EXECUTE,
    memory_types = const MEMORY_TYPES,
    translation = const TRANSLATION,
);

/// SCTLR_EL1: the bits that are always one, and SPAN. Written as a whole, whatever firmware left.
const CONTROL: u64 = 0x30d0_0800;
/// EnIA, EnIB, EnDA, EnDB: pointer authentication. BT0, BT1: branch targets. A, nAA: alignment.
/// WXN.
const NOT_USED: u64 =
    1 << 31 | 1 << 30 | 1 << 27 | 1 << 13 | 1 << 35 | 1 << 36 | 1 << 1 | 1 << 6 | 1 << 19;
const _: () = assert!((CONTROL | MMU_AND_CACHES) & NOT_USED == 0);
/// M, C, SA, I.
const MMU_AND_CACHES: u64 = 1 | 1 << 2 | 1 << 3 | 1 << 12;
/// A block of memory: valid, accessed, inner shareable, type 0.
const MEMORY: u64 = 0x701 | NOT_GLOBAL;
/// A block of devices: valid, accessed, type 1.
const DEVICES: u64 = 0x405 | NOT_GLOBAL;
/// nG: of the current ASID only; see `mmu::activate`.
const NOT_GLOBAL: u64 = 1 << 11;
/// PXN and UXN.
const NO_EXECUTE: u64 = 3 << 53;
/// MAIR_EL1: write-back memory, Device-nGnRE.
const MEMORY_TYPES: u64 = 0x04_ff;
/// TCR_EL1: for both halves 48-bit addresses, 4 KiB pages, tables in write-back, inner shareable
/// memory.
const TRANSLATION: u64 = 0xb510_3510;

static NO_PROCESS: [u8; 68] =
    *b"soil: this is a machine's image, not for Linux: use 'soil run FILE'\n";

/// Zeroed memory that only the processor and the assembly above use, during boot.
#[repr(C, align(4096))]
struct Opaque<const N: usize>(core::cell::UnsafeCell<[u8; N]>);

// SAFETY: nothing in Rust reads or writes the contents.
unsafe impl<const N: usize> Sync for Opaque<N> {}

static TABLES: Opaque<{ 4 * 4096 }> = Opaque(core::cell::UnsafeCell::new([0; 4 * 4096]));
