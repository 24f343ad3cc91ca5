//! Descriptor tables, and the entry points of exceptions, interrupts and system calls.
//!
//! Every gate has a stack of its own (IST): the program's code, and Rust's, keeps data in the red
//! zone below its stack pointer, which the processor would overwrite. For the same reason the entry
//! saves the XMM registers before any Rust code runs. Each kind of exception that may interrupt
//! another has its own stack, and a nested one of the same kind another. Source: Intel SDM volume
//! 3, chapters 6 and 8.
//!
//! Each processor has a GDT and a TSS of its own ([`super::processor`]); the gates are for all.

pub use super::processor::system_call_stack;
pub use crate::arch::cause::Cause;

use super::avx;
use super::mmu;
use super::processor::{self, Processor};
use super::stacks::{self, Stacks};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, Ordering};
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, SS, Segment};
use x86_64::registers::model_specific::{FsBase, LStar, Msr, SFMask};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::SegmentSelector;
use x86_64::structures::tss::TaskStateSegment;

/// Non-maskable interrupt.
const NON_MASKABLE: u64 = 2;
/// An exception during the delivery of another.
const DOUBLE_FAULT: u64 = 8;
/// Page fault; CR2 has the address.
const PAGE_FAULT: u64 = 14;
/// Interrupt 7 of the 8259 at the vector that a PC's firmware gives it: one that ended before it
/// was taken, since the 8259 is masked. Processors raise no such exception.
pub const PIC_SPURIOUS: u64 = 15;
/// Machine check.
pub(super) const MACHINE_CHECK: u64 = 18;
/// The first vector of interrupts; those below are the processor's exceptions.
pub const FIRST_INTERRUPT: u8 = 32;
/// Vectors with a gate.
pub const VECTORS: usize = 96;

/// Indexes of the TSS's table of stacks (IST); gates count them from 1.
const PAGE_FAULTS: usize = 0;
const EXCEPTIONS: usize = 1;
const INTERRUPTS: usize = 2;
const NON_MASKABLES: usize = 3;
const DOUBLE_FAULTS: usize = 4;
const MACHINE_CHECKS: usize = 5;

/// The selector of all code.
pub(super) const KERNEL_CODE: u16 = 8;
/// The selector of all data.
pub(super) const KERNEL_DATA: u16 = 16;
const TASK_STATE: u16 = 24;

/// Whether functions move the stack pointer before they use the memory: calls use it first.
pub const STACK_POINTER_LEADS: bool = false;

/// Where the runtime's stack has the return address of its call of C, from the stack pointer on
/// that it keeps meanwhile (`caml_c_call` of OCaml's runtime).
pub const RETURN_AT: u64 = 0;

/// The registers that the entry of a gate saved, in the order of the stack.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// XMM0 to XMM15.
    xmm: [u128; 16],
    /// r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax.
    pub(super) general: [u64; 15],
    /// The exception or interrupt.
    pub(super) vector: u64,
    /// The processor's error code, 0 for vectors without one.
    pub(super) error: u64,
    pub(super) rip: u64,
    cs: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
    ss: u64,
}

const REGISTERS: [&str; 15] = [
    "r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8", "rbp", "rdi", "rsi", "rdx", "rcx", "rbx",
    "rax",
];

impl Frame {
    /// Why the trap happened. Of a page fault before the next one.
    pub fn cause(&self) -> Cause {
        const INTERRUPTS: u64 = FIRST_INTERRUPT as u64;
        match self.vector {
            PAGE_FAULT => Cause::PageFault {
                address: mmu::fault_address(),
                write: self.error & 2 != 0,
                fetch: self.error & 16 != 0,
            },
            PIC_SPURIOUS => Cause::Interrupt,
            0..INTERRUPTS => Cause::Exception,
            _ => Cause::Interrupt,
        }
    }

    /// Whether another processor may have caused it, to stop this one.
    #[inline(always)]
    pub fn may_be_stop(&self) -> bool {
        self.vector == NON_MASKABLE
    }

    /// The exception or interrupt.
    pub fn vector(&self) -> u64 {
        self.vector
    }

    /// The interrupted instruction.
    pub fn program_counter(&self) -> u64 {
        self.rip
    }

    /// The stack pointer.
    pub fn stack_pointer(&self) -> u64 {
        self.rsp
    }

    /// No: a read of a device that is missing gives ones.
    pub fn ends_probe(&mut self) -> bool {
        false
    }

    /// The place after the last call, which only the stack has.
    #[inline(always)]
    pub fn caller(&self) -> Option<u64> {
        None
    }

    /// Calls `report` with the name and value of each register, in the order of a report, but for
    /// the flags.
    pub fn registers(&self, report: &mut dyn FnMut(&str, u64)) {
        for (name, value) in REGISTERS.iter().zip(&self.general).rev() {
            report(name, *value);
        }
        report("rip", self.rip);
        report("rsp", self.rsp);
    }

    /// The name and value of the flags.
    pub fn flags(&self) -> (&'static str, u64) {
        ("rflags", self.rflags)
    }
}

/// The registers of a system call that its entry saved: the number, the arguments, and where the
/// program continues.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SystemCallFrame {
    /// rax.
    number: u64,
    r9: u64,
    r8: u64,
    r10: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    /// Flags, restored on return.
    pub(super) rflags: u64,
    /// The instruction after `syscall`.
    pub(super) rip: u64,
    /// The program's stack pointer.
    pub(super) rsp: u64,
}

impl SystemCallFrame {
    /// A call with this number and first argument; the others are 0.
    pub const fn new(number: u64, argument: u64) -> Self {
        Self {
            number,
            r9: 0,
            r8: 0,
            r10: 0,
            rdx: 0,
            rsi: 0,
            rdi: argument,
            rflags: 0,
            rip: 0,
            rsp: 0,
        }
    }

    /// The call's number.
    #[inline(always)]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its arguments.
    #[inline(always)]
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// The arguments of `clone` by their meaning: flags, stack, the addresses of the number for the
    /// parent and for the child, the thread pointer.
    #[inline(always)]
    pub fn clone_arguments(&self) -> [u64; 5] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8]
    }

    /// The instruction that the program continues with.
    pub fn program_counter(&self) -> u64 {
        self.rip
    }

    /// The program's stack pointer.
    #[inline(always)]
    pub fn stack_pointer(&self) -> u64 {
        self.rsp
    }

    /// Makes the program continue on another stack.
    pub fn set_stack_pointer(&mut self, stack: u64) {
        self.rsp = stack;
    }

    /// Makes the program run with interrupts enabled after the return.
    pub fn enable_interrupts(&mut self) {
        self.rflags |= RFlags::INTERRUPT_FLAG.bits();
    }
}

/// Makes a system call without arguments, whose result is dropped. It changes no other register.
#[inline(always)]
pub fn call(number: u64) {
    // SAFETY: the registers that the instruction and the result change are named.
    unsafe {
        core::arch::asm!(
            "syscall",
            inout("rax") number => _, out("rcx") _, out("r11") _,
        );
    }
}

/// Handles an exception or an interrupt. If it returns a frame, which lies at the end of an empty
/// stack, [`Preempted`] runs on that stack next, and then the code that the frame interrupted.
pub type Trap = extern "C" fn(&mut Frame) -> *mut Frame;
/// Lets other threads run in place of the one that the frame interrupted.
pub type Preempted = extern "C" fn(&mut Frame);
/// Runs after the [`switch`] to a new thread, on its kernel stack, before the thread's own code.
pub type Begun = extern "C" fn();
/// Handles a system call; the result goes to rax.
pub type SystemCall = extern "C" fn(&mut SystemCallFrame) -> i64;

/// The functions that the entries call. Written once, by [`set_up`].
static TRAP: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static SYSTEM_CALL: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static PREEMPTED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

core::arch::global_asm!(
    r#"
    .pushsection .text.soil_interrupts, "ax", @progbits
    .balign 16
    .globl soil_gates
soil_gates:
    .set vector, 0
    .rept {vectors}
    .balign 16
    .set has_error, (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17)
    .set has_error, has_error || (vector == 21) || (vector == 29) || (vector == 30)
    .if has_error
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
    call *{trap}(%rip)
    testq %rax, %rax
    jz soil_gate_end
    movq %rax, %rsp
    movq %rax, %rdi
    call *{preempted}(%rip)
soil_gate_end:
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
    movq %rsp, %gs:{program_stack}
    movq %gs:{system_call_stack}, %rsp
    pushq %gs:{program_stack}
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
    call *{system_call}(%rip)
soil_system_call_end:
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
    // An interrupt must not find this stack in use: none before the jump, after which `sti` enables
    // them.
    testl ${interrupts}, (%rsp)
    jnz 1f
    popfq
    popq %rcx
    popq %rsp
    jmpq *%rcx
1:
    andl $~{interrupts}, (%rsp)
    popfq
    popq %rcx
    popq %rsp
    sti
    jmpq *%rcx

    .globl soil_thread_start
soil_thread_start:
    call *%r12
    xorl %eax, %eax
    jmp soil_system_call_end

    .globl soil_switch
soil_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .popsection
    "#,
    vectors = const VECTORS,
    trap = sym TRAP,
    preempted = sym PREEMPTED,
    system_call = sym SYSTEM_CALL,
    interrupts = const RFlags::INTERRUPT_FLAG.bits(),
    program_stack = const Processor::PROGRAM_STACK,
    system_call_stack = const Processor::SYSTEM_CALL_STACK,
    options(att_syntax)
);

unsafe extern "C" {
    static soil_gates: [u8; 16];
    fn soil_system_call();
    fn soil_thread_start();
    fn soil_switch(from: *mut u64, to: u64);
}

/// Copies the frame of an interrupt to the end of the empty stack that ends at `top`.
///
/// # Safety
/// `top` ends a kernel stack that nothing uses.
pub unsafe fn move_frame(frame: &Frame, top: u64) -> *mut Frame {
    let to = (top as *mut Frame).wrapping_sub(1);
    // SAFETY: the caller's promise; the frame is smaller than any stack.
    unsafe { core::ptr::copy_nonoverlapping(frame, to, 1) };
    to
}

/// The registers of a suspended thread: the stack pointer at which they are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(u64);

/// The words on a new thread's kernel stack, from its initial stack pointer up.
#[repr(C)]
struct NewThread {
    /// MXCSR and the control word of the x87 unit, as the ABI has them at a program's start.
    control: [u32; 2],
    /// r15, r14, r13, r12, rbx, rbp.
    kept: [u64; 6],
    start: unsafe extern "C" fn(),
    xmm: [u128; 16],
    call: SystemCallFrame,
}

impl Context {
    /// For the running thread: [`switch`] writes it.
    pub const RUNNING: Self = Self(0);

    /// Prepares the kernel stack that ends at `top` for a thread that begins with `begun`, and then
    /// by returning from `call` with 0.
    ///
    /// # Safety
    /// `top` ends a kernel stack that nothing uses, aligned to 16 bytes.
    pub unsafe fn new(call: SystemCallFrame, top: u64, begun: Begun) -> Self {
        // 8 bytes of `control` and 56 up to the XMM registers: these are aligned as the stack is.
        let frame = (top as *mut NewThread).wrapping_sub(1);
        // SAFETY: the caller's promise; the frame is smaller than any stack.
        unsafe {
            frame.write(NewThread {
                control: [0x1f80, 0x37f],
                kept: [0, 0, 0, begun as *const () as u64, 0, 0],
                start: soil_thread_start,
                xmm: [0; 16],
                call,
            });
        }
        Self(frame as u64)
    }

    /// The stack pointer.
    pub fn stack_pointer(self) -> u64 {
        self.0
    }
}

/// Suspends the running thread, whose registers go to `from`, and resumes that of `to`, whose
/// kernel stack ends at `top` and whose thread-local data is at `thread_pointer`. Returns when
/// another switch resumes the first.
///
/// # Safety
/// With interrupts disabled; `to` was suspended by this function or is new, and `from` doesn't move
/// until this returns.
pub unsafe fn switch(from: *mut Context, to: Context, top: u64, thread_pointer: u64) {
    // SAFETY: the caller's promise; the entry of system calls isn't running.
    unsafe {
        processor::set_system_call_stack(top);
        FsBase::write(VirtAddr::new_truncate(thread_pointer));
        avx::preserving(&mut || soil_switch(from.cast(), to.0));
    }
}

/// Memory for the table of gates, which the processors read.
struct Gates(UnsafeCell<[[u64; 2]; VECTORS]>);

// SAFETY: written once, in `set_up`.
unsafe impl Sync for Gates {}

static GATES: Gates = Gates(UnsafeCell::new([[0; 2]; VECTORS]));

/// Makes the gates, and loads what the first processor needs. From then on `trap` handles
/// exceptions and interrupts, and `system_call` handles system calls, all with interrupts disabled.
///
/// # Safety
/// Called once, after the real page tables are in place.
pub unsafe fn set_up(trap: Trap, preempted: Preempted, system_call: SystemCall) {
    TRAP.store(trap as *mut (), Ordering::Relaxed);
    PREEMPTED.store(preempted as *mut (), Ordering::Relaxed);
    SYSTEM_CALL.store(system_call as *mut (), Ordering::Relaxed);
    // SAFETY: nothing else refers to the table.
    let gates = unsafe { &mut *GATES.0.get() };
    let first = (&raw const soil_gates) as u64;
    for (vector, gate) in (0u64..).zip(gates) {
        let stack = match vector {
            PAGE_FAULT => PAGE_FAULTS,
            NON_MASKABLE => NON_MASKABLES,
            DOUBLE_FAULT => DOUBLE_FAULTS,
            MACHINE_CHECK => MACHINE_CHECKS,
            PIC_SPURIOUS => INTERRUPTS,
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
    avx::find();
    // SAFETY: the caller's promise; these stacks are the first processor's.
    unsafe {
        *processor::block().stacks.get() = Stacks::first();
        processor::set_system_call_stack(stacks::MAIN.top());
        load();
    }
}

/// Loads GDT, TSS and IDT of the processor that runs and enables its `syscall` instruction and AVX.
///
/// # Safety
/// Called once on each processor, after [`set_up`] on the first; its block is in place, with its
/// stacks.
pub(super) unsafe fn load() {
    avx::enable();
    let own = processor::block();
    // SAFETY: only this processor uses its tables, which stay where they are.
    unsafe {
        let stacks = &*own.stacks.get();
        let task = (&mut *own.task.get()).write(TaskStateSegment::new());
        task.interrupt_stack_table = [
            stacks.page_fault,
            stacks.exception,
            stacks.interrupt,
            stacks.non_maskable,
            stacks.double_fault,
            stacks.machine_check,
            0,
        ]
        .map(VirtAddr::new_truncate);
        let base = own.task.get() as u64;
        let segments = own.segments.get();
        *segments = [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x67 | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56,
            base >> 32,
        ];
        x86_64::instructions::tables::lgdt(&DescriptorTablePointer {
            limit: size_of_val(&*segments) as u16 - 1,
            base: VirtAddr::new_truncate(segments as u64),
        });
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(KERNEL_DATA));
        x86_64::instructions::tables::load_tss(SegmentSelector(TASK_STATE));
        x86_64::instructions::tables::lidt(&DescriptorTablePointer {
            limit: size_of::<Gates>() as u16 - 1,
            base: VirtAddr::new_truncate(GATES.0.get() as u64),
        });
        // STAR: the kernel's code selector for `syscall`; there is no `sysret` here.
        Msr::new(0xc000_0081).write(u64::from(KERNEL_CODE) << 32);
        LStar::write(VirtAddr::new_truncate(soil_system_call as *const () as u64));
        SFMask::write(RFlags::DIRECTION_FLAG | RFlags::INTERRUPT_FLAG | RFlags::TRAP_FLAG);
    }
}

/// Sets this processor's stack of interrupts to the one that ends at `top`, from the next interrupt
/// on.
pub fn set_interrupt_stack(top: u64) {
    replace_stack(INTERRUPTS, top);
}

/// Whether a page fault occurs during another. Until [`end_page_fault`] a further one has a stack
/// of its own.
pub fn begin_page_fault() -> bool {
    let second = stacks().second_page_fault;
    replace_stack(PAGE_FAULTS, second) == second
}

/// The page fault is handled.
pub fn end_page_fault() {
    replace_stack(PAGE_FAULTS, stacks().page_fault);
}

/// Gives further exceptions another stack: this one ends in a report.
pub fn begin_exception() {
    replace_stack(EXCEPTIONS, stacks().second_exception);
}

/// The stacks of the processor that runs. With interrupts disabled.
fn stacks() -> &'static Stacks {
    // SAFETY: written by `load`, before any trap.
    unsafe { &*processor::block().stacks.get() }
}

/// Replaces the stack at `index` of the table, from the next trap on; returns the old one.
fn replace_stack(index: usize, top: u64) -> u64 {
    let task = processor::block().task.get().cast::<TaskStateSegment>();
    // SAFETY: the processor reads the entry when it takes an interrupt or an exception; one in
    // progress keeps its stack.
    unsafe {
        let entry = &raw mut (*task).interrupt_stack_table[index];
        let old = entry.read_unaligned();
        entry.write_unaligned(VirtAddr::new_truncate(top));
        old.as_u64()
    }
}
