//! The first instructions of the other processors: from real mode, where an interrupt starts them
//! with a page of low memory as their code, to [`begin`].
//!
//! They use the boot's tables, which map what the boot needed, until the first load of the real
//! ones. Each takes the next of the prepared blocks; one for which there is none halts for good.
//! Source: Intel SDM volume 3, 8.4 (start by INIT and SIPI) and 9.8.5 (IA-32e mode).

#[cfg(not(any(test, loom)))]
use super::entry;
use super::processor::Processor;
use super::{cpu, gates};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use x86_64::registers::control::Cr3;

/// Number of blocks at most.
const MAX: usize = 64;

/// The blocks to take, by the order of arrival. Written by [`prepare`].
static BLOCKS: [AtomicPtr<Processor>; MAX] = [const { AtomicPtr::new(null_mut()) }; MAX];
/// Number of blocks. Written last.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Number of processors that have come. Changed by the assembly.
static CAME: AtomicU32 = AtomicU32::new(0);
/// The root of the page tables. Written by [`prepare`].
static ROOT: AtomicU64 = AtomicU64::new(0);

#[cfg(not(any(test, loom)))]
core::arch::global_asm!(
    r#"
    .pushsection .text.soil_secondary, "ax", @progbits
    .code16
    .globl soil_secondary
soil_secondary:
    cli
    movl ${control}, %eax
    movl %eax, %cr4
    movl ${tables}, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl ${features}, %eax
    wrmsr
    lgdtl %cs:soil_secondary_table - soil_secondary
    movl %cr0, %eax
    andl ${cleared}, %eax
    orl ${set}, %eax
    movl %eax, %cr0
    ljmpl $8, $soil_secondary_entry
    .balign 8
soil_secondary_table:
    .word 23
    .long soil_boot_gdt
    .globl soil_secondary_end
soil_secondary_end:
    .code64
soil_secondary_entry:
    movl $16, %eax
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    fninit
    movl $1, %eax
    lock xaddl %eax, {came}(%rip)
    cmpl {count}(%rip), %eax
    jae 1f
    movq {root}(%rip), %rdx
    movq %rdx, %cr3
    leaq {blocks}(%rip), %rdx
    movq (%rdx, %rax, 8), %rdi
    movq {stack}(%rdi), %rsp
    xorl %ebp, %ebp
    call {begin}
1:  cli
    hlt
    jmp 1b
    .popsection
    "#,
    control = const entry::CONTROL_4,
    features = const entry::FEATURES,
    cleared = const entry::CONTROL_0_KEPT,
    set = const entry::CONTROL_0,
    tables = sym entry::TABLES,
    came = sym CAME,
    count = sym COUNT,
    root = sym ROOT,
    blocks = sym BLOCKS,
    stack = const Processor::PROGRAM_STACK,
    begin = sym begin,
    options(att_syntax)
);

unsafe extern "C" {
    static soil_secondary: [u8; 0];
    static soil_secondary_end: [u8; 0];
}

/// Prepares the start of as many processors as there are blocks, at most 64: copies their first
/// instructions to `page`. Each runs its block's function, with interrupts disabled, after it has
/// loaded its descriptor tables.
///
/// # Safety
/// `page` is a page of memory below 640 KiB, at another address than 0, and used for nothing else.
/// Called once.
pub unsafe fn prepare(page: *mut u8, blocks: &[&'static Processor]) {
    ROOT.store(
        Cr3::read_raw().0.start_address().as_u64(),
        Ordering::Relaxed,
    );
    let mut count = 0;
    for (place, block) in BLOCKS.iter().zip(blocks) {
        place.store(core::ptr::from_ref(*block).cast_mut(), Ordering::Relaxed);
        count += 1;
    }
    // Release: who sees the number sees the rest; the interrupt that starts them comes later yet.
    COUNT.store(count, Ordering::Release);
    let (start, end) = (&raw const soil_secondary, &raw const soil_secondary_end);
    // SAFETY: the instructions lie between the two, in much less than a page; the rest is the
    // caller's promise.
    unsafe {
        let len = end as usize - start as usize;
        core::ptr::copy_nonoverlapping(start.cast::<u8>(), page, len);
    }
}

/// Number of processors that have come.
pub fn came() -> u32 {
    CAME.load(Ordering::Relaxed)
}

/// Begins a processor, on its own stack and the real tables.
extern "C" fn begin(block: &'static Processor) -> ! {
    block.begin();
    // SAFETY: once, with the stacks that `Processor::make` has given.
    unsafe { gates::load() };
    cpu::enable_write_combining();
    block.run()
}
