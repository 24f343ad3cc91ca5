//! Descriptor tables and the way into exceptions and interrupts.
//!
//! Every gate runs on a stack of its own (IST): code of the program, and Rust's own, keeps data in
//! the red zone below its stack pointer, which the processor would overwrite. For the same reason
//! the entry saves the XMM registers before any Rust code runs. Exceptions other than page faults
//! end in [`crate::crash`]; each kind that may come in the middle of another has its own stack, and
//! the second of a kind another. Interrupts are open while [`crate::wait`] halts, and in a program
//! with a network also while it computes: their handlers may come in the middle of Rust code, and
//! use nothing but atomics, ports and registers. Source: Intel SDM volume 3, chapters 6 and 8.

use crate::cell::Exclusive;
use crate::memory::Fault;
use crate::stacks;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};
use x86_64::VirtAddr;
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::registers::model_specific::{GsBase, LStar, Msr, SFMask};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::tss::TaskStateSegment;

/// The first vector of devices; those below are the processor's.
pub const FIRST_DEVICE: u8 = 32;
/// Vectors with a gate.
const VECTORS: usize = 96;
/// The vector of the local APIC's timer.
pub const TIMER: u8 = FIRST_DEVICE;
/// The vector of the power button.
pub const POWER: u8 = FIRST_DEVICE + 1;
/// The vector of the serial port.
pub const SERIAL: u8 = FIRST_DEVICE + 2;
/// Vectors for virtio devices.
pub const FIRST_FREE: u8 = FIRST_DEVICE + 3;
/// The last of them.
pub const LAST_FREE: u8 = SPURIOUS - 1;
/// The vector of interrupts that came to nothing.
pub const SPURIOUS: u8 = 95;
const NON_MASKABLE: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

/// Places in the TSS's table of stacks (IST), in which gates count from 1.
const PAGE_FAULTS: usize = 0;
const EXCEPTIONS: usize = 1;
const INTERRUPTS: usize = 2;
const NON_MASKABLES: usize = 3;
const DOUBLE_FAULTS: usize = 4;
const MACHINE_CHECKS: usize = 5;

const KERNEL_CODE: u16 = 8;
const KERNEL_DATA: u16 = 16;
const TASK_STATE: u16 = 24;

/// What the entry saved, as it lies on the stack.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
    /// r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax.
    pub general: [u64; 15],
    /// Which exception or interrupt.
    pub vector: u64,
    /// The processor's error code, 0 for vectors without one.
    pub error: u64,
    /// Where it happened.
    pub rip: u64,
    /// Code selector.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack selector.
    pub ss: u64,
}

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_interrupts, "ax", @progbits
    .balign 16
    .globl soil_gates
soil_gates:
    .set vector, 0
    .rept {vectors}
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp soil_gate
    .set vector, vector + 1
    .endr

soil_gate:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $256, %rsp
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps %xmm\n, 16*\n(%rsp)
    .endr
    cld
    movq %rsp, %rdi
    call {interrupt}
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movaps 16*\n(%rsp), %xmm\n
    .endr
    addq $256, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

    .globl soil_system_call
soil_system_call:
    movq %rsp, %gs:0
    movq %gs:8, %rsp
    pushq %gs:0
    pushq %rcx
    pushq %r11
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %r10
    pushq %r8
    pushq %r9
    pushq %rax
    subq $256, %rsp
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups %xmm\n, 16*\n(%rsp)
    .endr
    leaq 256(%rsp), %rdi
    call {system_call}
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movups 16*\n(%rsp), %xmm\n
    .endr
    addq $264, %rsp
    popq %r9
    popq %r8
    popq %r10
    popq %rdx
    popq %rsi
    popq %rdi
    popfq
    popq %rcx
    popq %rsp
    jmpq *%rcx
    .popsection
    "#,
    vectors = const VECTORS,
    interrupt = sym interrupt,
    system_call = sym crate::syscall::enter,
    options(att_syntax)
);

unsafe extern "C" {
    static soil_gates: [u8; 16];
    fn soil_system_call();
}

/// What the processor finds through GS: the system call entry knows no other way to a stack.
#[repr(C)]
struct PerProcessor {
    program_stack: core::cell::UnsafeCell<u64>,
    system_call_stack: core::cell::UnsafeCell<u64>,
}

// SAFETY: there is one processor, and only the entry above writes.
unsafe impl Sync for PerProcessor {}

static PROCESSOR: PerProcessor = PerProcessor {
    program_stack: core::cell::UnsafeCell::new(0),
    system_call_stack: core::cell::UnsafeCell::new(0),
};

/// Memory for tables that the processor reads.
struct Table<T>(core::cell::UnsafeCell<T>);

// SAFETY: written once, in `set_up`.
unsafe impl<T> Sync for Table<T> {}

#[repr(C, align(16))]
struct Gates([[u64; 2]; VECTORS]);

static GATES: Table<Gates> = Table(core::cell::UnsafeCell::new(Gates([[0; 2]; VECTORS])));
static SEGMENTS: Table<[u64; 5]> = Table(core::cell::UnsafeCell::new([0; 5]));
static TASK: Table<TaskStateSegment> = Table(core::cell::UnsafeCell::new(TaskStateSegment::new()));

/// Loads GDT, TSS and IDT and opens the `syscall` instruction.
///
/// # Safety
/// Called once, after the real page tables are in place.
pub unsafe fn set_up() {
    // SAFETY: nobody else refers to the tables, and they are static as the processor needs them to
    // be.
    unsafe {
        let task = &mut *TASK.0.get();
        task.interrupt_stack_table = [
            stacks::PAGE_FAULT.top(),
            stacks::EXCEPTION.top(),
            stacks::INTERRUPT.top(),
            stacks::NON_MASKABLE.top(),
            stacks::DOUBLE_FAULT.top(),
            stacks::MACHINE_CHECK.top(),
            0,
        ]
        .map(VirtAddr::new_truncate);
        let base = TASK.0.get() as u64;
        *SEGMENTS.0.get() = [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x67 | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56,
            base >> 32,
        ];
        x86_64::instructions::tables::lgdt(&DescriptorTablePointer {
            limit: size_of::<[u64; 5]>() as u16 - 1,
            base: VirtAddr::new_truncate(SEGMENTS.0.get() as u64),
        });
        CS::set_reg(x86_64::structures::gdt::SegmentSelector(KERNEL_CODE));
        SS::set_reg(x86_64::structures::gdt::SegmentSelector(KERNEL_DATA));
        x86_64::instructions::tables::load_tss(x86_64::structures::gdt::SegmentSelector(
            TASK_STATE,
        ));
        let gates = &mut *GATES.0.get();
        let first = (&raw const soil_gates) as u64;
        for (vector, gate) in (0u64..).zip(&mut gates.0) {
            let stack = match vector {
                PAGE_FAULT => PAGE_FAULTS,
                NON_MASKABLE => NON_MASKABLES,
                DOUBLE_FAULT => DOUBLE_FAULTS,
                MACHINE_CHECK => MACHINE_CHECKS,
                0..32 => EXCEPTIONS,
                _ => INTERRUPTS,
            };
            let stack = stack as u64 + 1;
            let handler = first + vector * 16;
            *gate = [
                handler & 0xffff
                    | u64::from(KERNEL_CODE) << 16
                    | stack << 32
                    | 0x8e << 40
                    | (handler >> 16 & 0xffff) << 48,
                handler >> 32,
            ];
        }
        x86_64::instructions::tables::lidt(&DescriptorTablePointer {
            limit: size_of::<Gates>() as u16 - 1,
            base: VirtAddr::new_truncate(GATES.0.get() as u64),
        });
        *PROCESSOR.system_call_stack.get() = stacks::MAIN.top();
        GsBase::write(VirtAddr::new_truncate((&raw const PROCESSOR) as u64));
        // STAR: the kernel's code selector for `syscall`; there is no `sysret` here.
        Msr::new(0xc000_0081).write(u64::from(KERNEL_CODE) << 32);
        LStar::write(VirtAddr::new_truncate(soil_system_call as *const () as u64));
        SFMask::write(RFlags::DIRECTION_FLAG | RFlags::INTERRUPT_FLAG | RFlags::TRAP_FLAG);
    }
}

/// Gives interrupts the stack that ends at `top`, from the next one on.
pub fn set_stack(top: u64) {
    replace_stack(INTERRUPTS, top);
}

/// Lets what comes on stack `place` begin at `top`, from the next time on; where it began until
/// now.
fn replace_stack(place: usize, top: u64) -> u64 {
    // SAFETY: the processor reads the entry when it takes an interrupt or an exception; what is
    // being served keeps its stack.
    unsafe {
        let entry = &raw mut (*TASK.0.get()).interrupt_stack_table[place];
        let old = entry.read_unaligned();
        entry.write_unaligned(VirtAddr::new_truncate(top));
        old.as_u64()
    }
}

/// The stack pointer of the program at its last system call.
pub fn program_stack() -> u64 {
    // SAFETY: written by the entry of the system call, which isn't running now.
    unsafe { *PROCESSOR.program_stack.get() }
}

/// What an interrupt runs before it is ended; null for nothing.
static HANDLERS: [AtomicPtr<()>; VECTORS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; VECTORS];

/// Runs `handler` at each interrupt `vector`. It may interrupt Rust code: see the head of this
/// file.
pub fn set_handler(vector: u8, handler: fn()) {
    if let Some(slot) = HANDLERS.get(usize::from(vector)) {
        slot.store(handler as *mut (), Ordering::Release);
    }
}

/// Handles to take level-triggered interrupts back at their devices, with the vectors they come by.
static ACKNOWLEDGE: Exclusive<Vec<(u8, drivers::Interrupt)>> = Exclusive::new(Vec::new());

/// Acknowledges interrupts of `vector` by `interrupt` from now on. Several devices may share a
/// vector.
pub fn add_acknowledge(vector: u8, interrupt: drivers::Interrupt) {
    if interrupt.needs_acknowledge() {
        without_interrupts(|| ACKNOWLEDGE.with(|list| list.push((vector, interrupt))));
        set_handler(vector, acknowledge_all);
    }
}

/// The handler of lines that devices share.
fn acknowledge_all() {
    ACKNOWLEDGE.with(|list| {
        for (_, interrupt) in list.iter() {
            interrupt.acknowledge();
        }
    });
}

extern "C" fn interrupt(frame: &mut Frame) {
    match frame.vector {
        PAGE_FAULT => {
            let address = x86_64::registers::control::Cr2::read_raw();
            let write = frame.error & 2 != 0;
            let fetch = frame.error & 16 != 0;
            // Until this one is over, another has a stack of its own: it can only be a mistake in
            // here, and ends with a report.
            let second = stacks::SECOND_PAGE_FAULT.top();
            let outcome = if replace_stack(PAGE_FAULTS, second) == second {
                Fault::Denied
            } else {
                crate::memory::fault(address, write, fetch)
            };
            match outcome {
                Fault::Mapped => replace_stack(PAGE_FAULTS, stacks::PAGE_FAULT.top()),
                outcome => crate::crash::page_fault(frame, address, outcome),
            };
        }
        0..32 => {
            replace_stack(EXCEPTIONS, stacks::SECOND_EXCEPTION.top());
            crate::crash::exception(frame)
        }
        vector => device(vector as usize),
    }
}

fn device(vector: usize) {
    if vector == usize::from(TIMER) {
        crate::wait::timer_interrupt();
    } else {
        crate::wait::note();
    }
    let handler = HANDLERS
        .get(vector)
        .map_or(core::ptr::null_mut(), |slot| slot.load(Ordering::Acquire));
    // SAFETY: only `set_handler` stores there, functions of this type; null is `None`.
    if let Some(handler) = unsafe { core::mem::transmute::<*mut (), Option<fn()>>(handler) } {
        handler();
    }
    if vector != usize::from(SPURIOUS) {
        crate::apic::end_of_interrupt();
    }
}
