//! Entries into the kernel: exceptions, interrupts, system calls (`svc`); and switches of threads.
//!
//! Exceptions of the program (EL1t) are taken on the kernel stack of its thread (SP_EL1), which is
//! empty then; their frame ends that stack. A fault of the kernel itself (EL1h), which touches the
//! program's memory, has a stack of its own, so that an overflow of a kernel stack can be reported.
//! Handlers of interrupts run on another, since ticks need more room than threads have.
//!
//! On a machine that is entered at EL2, its vectors pass exceptions on to these.
//!
//! No red zone exists on arm64, and the program's stack is never used. TPIDR_EL1 leads to the
//! processor's own memory ([`super::processor`]), which has its stacks' ends; TPIDRRO_EL0 holds a
//! register for a few instructions.

use super::processor::{self, Processor};
use super::stacks;
use super::syndrome::{self, FAST_INTERRUPT, INTERRUPT, SYSTEM_CALL};
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, Ordering};

pub use super::syndrome::Cause;

/// PSTATE.I.
const INTERRUPTS_MASKED: u64 = 1 << 7;
/// PSTATE of the program before interrupts are enabled: EL1t; I and F masked.
const PROGRAM_STATE: u64 = 0xc4;

/// Whether functions move the stack pointer before they use the memory.
pub const STACK_POINTER_LEADS: bool = true;

/// Where the runtime's stack has the return address of its call of C, from the stack pointer on
/// that it keeps meanwhile (`caml_c_call` of OCaml's runtime).
pub const RETURN_AT: u64 = 8;

/// The registers that an entry saved, in the order of the stack.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub(super) fpcr: u64,
    pub(super) fpsr: u64,
    /// ESR_EL1, or what stands for an interrupt.
    pub(super) syndrome: u64,
    /// FAR_EL1.
    pub(super) fault_address: u64,
    /// Q0 to Q31.
    pub(super) vectors: [u128; 32],
    /// X0 to X30.
    pub(super) x: [u64; 31],
    /// The interrupted code's stack pointer.
    pub(super) sp: u64,
    /// The interrupted instruction.
    pub(super) pc: u64,
    /// The flags and masks.
    pub(super) pstate: u64,
}

/// The registers of a system call that its entry saved: the end of a [`Frame`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SystemCallFrame {
    /// X0 to X30: the arguments from x0 on, the number in x8.
    pub(super) x: [u64; 31],
    /// The program's stack pointer.
    pub(super) sp: u64,
    /// The instruction after `svc`.
    pub(super) pc: u64,
    /// The flags and masks, restored on return.
    pub(super) pstate: u64,
}

/// Bytes of a frame.
const FRAME: usize = size_of::<Frame>();
/// The offset of the part that system calls use.
const GENERAL: usize = FRAME - size_of::<SystemCallFrame>();

const _: () = assert!(FRAME == 816 && GENERAL == 544);

const NAMES: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "x30",
];

impl Frame {
    /// Why the frame was saved.
    pub fn cause(&self) -> Cause {
        syndrome::cause(self.syndrome, self.fault_address)
    }

    /// Whether [`probe`] caused it; then the frame continues with that function's other result.
    pub fn ends_probe(&mut self) -> bool {
        let is_probe = self.pc == soil_probe as *const () as u64;
        if is_probe {
            self.pc = soil_probe_failed as *const () as u64;
        }
        is_probe
    }

    /// Whether another processor may have caused it, to stop this one: that is an interrupt here.
    #[inline(always)]
    pub fn may_be_stop(&self) -> bool {
        false
    }

    /// The name of the exception.
    pub fn name(&self) -> &'static str {
        syndrome::name(self.syndrome)
    }

    /// The processor's numbers for the exception, with their names.
    pub fn details(&self) -> [(&'static str, u64); 2] {
        [
            ("class", syndrome::class(self.syndrome)),
            ("syndrome", self.syndrome),
        ]
    }

    /// The number of the signal that Linux sends a process with this exception.
    pub fn signal(&self) -> u8 {
        syndrome::signal(self.syndrome)
    }

    /// The interrupted instruction.
    pub fn program_counter(&self) -> u64 {
        self.pc
    }

    /// The interrupted code's stack pointer.
    pub fn stack_pointer(&self) -> u64 {
        self.sp
    }

    /// The place after the last call, which is in a register until the function makes calls itself.
    pub fn caller(&self) -> Option<u64> {
        Some(self.x[30])
    }

    /// Calls `visit` with the name and the value of each register, in the order of the report.
    pub fn registers(&self, visit: &mut dyn FnMut(&str, u64)) {
        for (name, value) in NAMES.into_iter().zip(self.x) {
            visit(name, value);
        }
        visit("sp", self.sp);
        visit("pc", self.pc);
    }

    /// The name and the value of the register of flags.
    pub fn flags(&self) -> (&'static str, u64) {
        ("pstate", self.pstate)
    }
}

impl SystemCallFrame {
    /// A call with this number and first argument; the others are 0.
    pub const fn new(number: u64, argument: u64) -> Self {
        let mut x = [0; 31];
        x[0] = argument;
        x[8] = number;
        Self {
            x,
            sp: 0,
            pc: 0,
            pstate: PROGRAM_STATE,
        }
    }

    /// The call's number.
    pub fn number(&self) -> u64 {
        self.x[8]
    }

    /// Its arguments.
    pub fn arguments(&self) -> [u64; 6] {
        let [first, second, third, fourth, fifth, sixth, ..] = self.x;
        [first, second, third, fourth, fifth, sixth]
    }

    /// The arguments of `clone` by their meaning: flags, stack, the addresses of the number for the
    /// parent and for the child, the thread pointer.
    pub fn clone_arguments(&self) -> [u64; 5] {
        let [flags, stack, parent, pointer, child, ..] = self.x;
        [flags, stack, parent, child, pointer]
    }

    /// The instruction that the program continues with.
    pub fn program_counter(&self) -> u64 {
        self.pc
    }

    /// The program's stack pointer.
    pub fn stack_pointer(&self) -> u64 {
        self.sp
    }

    /// Sets the program's stack pointer.
    pub fn set_stack_pointer(&mut self, pointer: u64) {
        self.sp = pointer;
    }

    /// Makes the program run with interrupts enabled after the return.
    pub fn enable_interrupts(&mut self) {
        self.pstate &= !INTERRUPTS_MASKED;
    }
}

/// Handles an exception or an interrupt. If it returns a frame, which lies at the end of a kernel
/// stack, [`Preempted`] runs on that stack next, and then the code that the frame interrupted.
pub type Trap = extern "C" fn(&mut Frame) -> *mut Frame;
/// Lets other threads run in place of the one that the frame interrupted.
pub type Preempted = extern "C" fn(&mut Frame);
/// Runs after the [`switch`] to a new thread, on its kernel stack, before the thread's own code.
pub type Begun = extern "C" fn();
/// Handles a system call; the result goes to x0.
pub type SystemCall = extern "C" fn(&mut SystemCallFrame) -> i64;

/// The functions that the entries call. Written once, by [`set_up`].
static TRAP: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static SYSTEM_CALL_HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static PREEMPTED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

core::arch::global_asm!(
    r#"
    // Saves all but x0 and x1, which are saved already, and makes the stack pointer that of the
    // whole frame; x1 is the interrupted stack pointer.
    .macro soil_save
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    stp x30, x1, [sp, #240]
    mrs x2, elr_el1
    mrs x3, spsr_el1
    stp x2, x3, [sp, #256]
    sub sp, sp, #{general}
    stp q0, q1, [sp, #32]
    stp q2, q3, [sp, #64]
    stp q4, q5, [sp, #96]
    stp q6, q7, [sp, #128]
    stp q8, q9, [sp, #160]
    stp q10, q11, [sp, #192]
    stp q12, q13, [sp, #224]
    stp q14, q15, [sp, #256]
    stp q16, q17, [sp, #288]
    stp q18, q19, [sp, #320]
    stp q20, q21, [sp, #352]
    stp q22, q23, [sp, #384]
    stp q24, q25, [sp, #416]
    stp q26, q27, [sp, #448]
    stp q28, q29, [sp, #480]
    stp q30, q31, [sp, #512]
    .endm

    // Restores all but x0 and x1, which are at the stack pointer then.
    .macro soil_restore
    ldp q0, q1, [sp, #32]
    ldp q2, q3, [sp, #64]
    ldp q4, q5, [sp, #96]
    ldp q6, q7, [sp, #128]
    ldp q8, q9, [sp, #160]
    ldp q10, q11, [sp, #192]
    ldp q12, q13, [sp, #224]
    ldp q14, q15, [sp, #256]
    ldp q16, q17, [sp, #288]
    ldp q18, q19, [sp, #320]
    ldp q20, q21, [sp, #352]
    ldp q22, q23, [sp, #384]
    ldp q24, q25, [sp, #416]
    ldp q26, q27, [sp, #448]
    ldp q28, q29, [sp, #480]
    ldp q30, q31, [sp, #512]
    add sp, sp, #{general}
    ldp x2, x3, [sp, #256]
    msr elr_el1, x2
    msr spsr_el1, x3
    ldr x30, [sp, #240]
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    .endm

    // The state of an exception: x0 is the syndrome. C code begins with default rounding.
    .macro soil_save_state
    mrs x1, far_el1
    stp x0, x1, [sp, #16]
    mrs x2, fpcr
    mrs x3, fpsr
    stp x2, x3, [sp]
    msr fpcr, xzr
    .endm

    .macro soil_restore_state
    ldp x2, x3, [sp]
    msr fpcr, x2
    msr fpsr, x3
    .endm

    // Of the program: on its kernel stack.
    .macro soil_enter
    sub sp, sp, #{call}
    stp x0, x1, [sp]
    mrs x1, sp_el0
    .endm

    // Of the kernel, on the processor's stack of faults.
    .macro soil_enter_from_kernel
    msr tpidrro_el0, x0
    mrs x0, tpidr_el1
    str x1, [x0, #{register}]
    mov x1, sp
    ldr x0, [x0, #{fault_stack}]
    sub sp, x0, #{call}
    mrs x0, tpidr_el1
    ldr x0, [x0, #{register}]
    str x0, [sp, #8]
    mrs x0, tpidrro_el0
    str x0, [sp]
    .endm

    // Of an exception from EL1 at EL2: leaves it to the vectors of EL1, which report it. Continues
    // at 2 if EL1 has none yet. x1 is kept in SP_EL2, x0 in TPIDR_EL2: nothing else uses these.
    .macro soil_pass_on vectors, address, state, syndrome, fault
    mrs x1, \vectors
    cbz x1, 2f
    mrs x0, spsr_el2
    msr \state, x0
    and x0, x0, #1                      // EL1h, whose vectors are the second four
    add x1, x1, x0, lsl #9
    mrs x0, elr_el2
    msr \address, x0
    msr elr_el2, x1
    mrs x0, esr_el2
    msr \syndrome, x0
    mrs x0, far_el2
    msr \fault, x0
    mov x0, #0x3c5                      // EL1h, all masked
    msr spsr_el2, x0
    b 3f
    .endm

    .pushsection .text.soil_gates, "ax", @progbits
    .balign 2048
    .globl soil_gates
soil_gates:
    // EL1t: the program.
    soil_enter
    b soil_program_exception
    .balign 128
    soil_enter
    b soil_program_interrupt
    .balign 128
    soil_enter
    b soil_program_fast_interrupt
    .balign 128
    soil_enter
    b soil_program_error
    // EL1h: the kernel.
    .balign 128
    soil_enter_from_kernel
    b soil_kernel_exception
    .balign 128
    sub sp, sp, #{call}
    stp x0, x1, [sp]
    add x1, sp, #{call}
    b soil_kernel_interrupt
    .balign 128
    soil_enter_from_kernel
    b soil_kernel_fast_interrupt
    .balign 128
    soil_enter_from_kernel
    b soil_kernel_exception
    // EL0: nothing runs there.
    .rept 8
    .balign 128
    b .
    .endr
    .balign 128

    // The vectors of EL2, on which nothing runs once EL1 does. An exception there is unexpected: an
    // access traps by a register that the entry doesn't know, or the program calls a hypervisor.
    // Those of EL1 are passed on to its vectors, which report them. Of the entry's own, and of those
    // before EL1 has vectors, the first is kept until there is a console, and the instruction is
    // skipped. This runs with EL2's MMU off.
    .globl soil_level_2
soil_level_2:
    .rept 16
    .balign 128
    b 1f
    .endr
1:  msr tpidr_el2, x0
    mov sp, x1
    mrs x0, spsr_el2
    tbnz x0, #3, 2f
    mrs x0, hcr_el2
    tbnz x0, #34, 4f
    soil_pass_on vbar_el1, elr_el1, spsr_el1, esr_el1, far_el1
    // With E2H, EL1's registers have other names: VBAR_EL12 and so on.
4:  soil_pass_on s3_5_c12_c0_0, s3_5_c4_c0_1, s3_5_c4_c0_0, s3_5_c5_c2_0, s3_5_c6_c0_0
2:  adrp x1, {unexpected}
    add x1, x1, :lo12:{unexpected}
    ldr x0, [x1]
    cbnz x0, 5f
    mrs x0, esr_el2
    str x0, [x1, #8]
    mrs x0, elr_el2
    str x0, [x1]
    dmb sy                              // to memory: a cache may hold what was there before
    dc ivac, x1
    dsb sy
5:  mrs x0, elr_el2
    add x0, x0, #4
    msr elr_el2, x0
3:  mov x1, sp
    mrs x0, tpidr_el2
    eret

soil_program_exception:
    soil_save
    mrs x0, esr_el1
    lsr x2, x0, #26
    cmp x2, #{system_call_class}
    b.eq soil_system_call
    b 2f
soil_program_fast_interrupt:
    soil_save
    mov x0, #{fast_interrupt}
    b 2f
soil_program_error:
    soil_save
    mrs x0, esr_el1
2:  soil_save_state
    mov x0, sp
    adrp x1, {trap}
    ldr x1, [x1, :lo12:{trap}]
    blr x1
    b soil_return

soil_system_call:
    add x0, sp, #{general}
    adrp x1, {system_call}
    ldr x1, [x1, :lo12:{system_call}]
    blr x1
soil_system_call_end:
    str x0, [sp, #{general}]
    b 3f

soil_program_interrupt:
    soil_save
    mov x0, #{interrupt}
    soil_save_state
    mov x19, sp
    mrs x1, tpidr_el1
    ldr x1, [x1, #{interrupt_stack}]
    mov sp, x1
    mov x0, x19
    adrp x1, {trap}
    ldr x1, [x1, :lo12:{trap}]
    blr x1
    mov sp, x19
    cbz x0, soil_return
    mov sp, x0
    adrp x1, {preempted}
    ldr x1, [x1, :lo12:{preempted}]
    blr x1
soil_return:
    soil_restore_state
3:  ldr x1, [sp, #{general} + 248]
    msr sp_el0, x1
    soil_restore
    ldp x0, x1, [sp], #{call}
    eret

    // Interrupts are enabled in the kernel only where it halts.
soil_kernel_interrupt:
    soil_save
    mov x0, #{interrupt}
    soil_save_state
    mov x19, sp
    mrs x1, tpidr_el1
    ldr x1, [x1, #{interrupt_stack}]
    mov sp, x1
    mov x0, x19
    adrp x1, {trap}
    ldr x1, [x1, :lo12:{trap}]
    blr x1
    mov sp, x19
    soil_restore_state
    soil_restore
    ldp x0, x1, [sp], #{call}
    eret

soil_kernel_fast_interrupt:
    soil_save
    mov x0, #{fast_interrupt}
    b 4f
soil_kernel_exception:
    soil_save
    mrs x0, esr_el1
4:  soil_save_state
    mov x0, sp
    adrp x1, {trap}
    ldr x1, [x1, :lo12:{trap}]
    blr x1
    soil_restore_state
    soil_restore
    ldp x0, x1, [sp]
    msr tpidrro_el0, x0
    ldr x0, [sp, #248]
    mov sp, x0
    mrs x0, tpidrro_el0
    eret

    // An access that aborts continues at the second label.
    .globl soil_probe
soil_probe:
    ldr w0, [x0]
    ret
    .globl soil_probe_failed
soil_probe_failed:
    mov x0, #-1
    ret

    .globl soil_thread_start
soil_thread_start:
    blr x19
    mov x0, xzr
    b soil_system_call_end

    // The lowest bit of a saved stack pointer is the stack that it is of, as in SPSel.
    .globl soil_switch
soil_switch:
    sub sp, sp, #{kept}
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mrs x9, fpcr
    str x9, [sp, #160]
    mrs x9, spsel
    mov x10, sp
    orr x10, x10, x9
    str x10, [x0]
    msr spsel, #1
    tbz x1, #0, 5f
    sub x1, x1, #1
    mov sp, x1
    b 6f
5:  mov sp, x2
    msr spsel, #0
    mov sp, x1
6:  ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    ldr x9, [sp, #160]
    msr fpcr, x9
    add sp, sp, #{kept}
    ret
    .popsection
    "#,
    general = const GENERAL,
    call = const size_of::<SystemCallFrame>(),
    kept = const size_of::<Kept>(),
    system_call_class = const SYSTEM_CALL,
    interrupt = const INTERRUPT,
    fast_interrupt = const FAST_INTERRUPT,
    register = const offset_of!(Processor, register),
    fault_stack = const offset_of!(Processor, fault_stack),
    interrupt_stack = const offset_of!(Processor, interrupt_stack),
    trap = sym TRAP,
    system_call = sym SYSTEM_CALL_HANDLER,
    preempted = sym PREEMPTED,
    unexpected = sym super::image::UNEXPECTED,
);

unsafe extern "C" {
    static soil_gates: [u8; 2048];
    fn soil_thread_start();
    fn soil_probe(register: *const u8) -> u64;
    fn soil_probe_failed();
    fn soil_switch(from: *mut u64, to: u64, top: u64);
}

/// Makes the frame of an interrupt end the kernel stack that ends at `top`. An interrupt of the
/// program has left it there.
///
/// # Safety
/// `top` ends a kernel stack that nothing but this frame uses.
pub unsafe fn move_frame(frame: &Frame, top: u64) -> *mut Frame {
    let to = (top as *mut Frame).wrapping_sub(1);
    if !core::ptr::eq(frame, to) {
        // SAFETY: the caller's promise; the frame is smaller than any stack.
        unsafe { core::ptr::copy(frame, to, 1) };
    }
    to
}

/// The registers of a suspended thread: the stack pointer at which they are saved. The lowest bit
/// is set for the kernel stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(u64);

/// What a switch saves, from the stack pointer up: x19 to x30, d8 to d15, FPCR.
#[repr(C, align(16))]
struct Kept {
    general: [u64; 11],
    link: u64,
    vectors: [u64; 8],
    fpcr: u64,
}

/// The words on a new thread's kernel stack, from its initial stack pointer up.
#[repr(C, align(16))]
struct NewThread {
    kept: Kept,
    /// The part of the frame below the call's.
    vectors: [u64; GENERAL / 8],
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
        let frame = (top as *mut NewThread).wrapping_sub(1);
        let mut general = [0; 11];
        general[0] = begun as *const () as u64;
        // SAFETY: the caller's promise; the frame is smaller than any stack.
        unsafe {
            frame.write(NewThread {
                kept: Kept {
                    general,
                    link: soil_thread_start as *const () as u64,
                    vectors: [0; 8],
                    fpcr: 0,
                },
                vectors: [0; GENERAL / 8],
                call,
            });
        }
        Self(frame as u64 | 1)
    }

    /// The stack pointer.
    pub fn stack_pointer(self) -> u64 {
        self.0 & !1
    }
}

/// Suspends the running thread, whose registers go to `from`, and resumes that of `to`, whose
/// kernel stack ends at `top` and whose thread-local data is at `thread_pointer`. Returns when
/// another switch resumes the first. Each is suspended on the program's stack or on its kernel
/// stack.
///
/// # Safety
/// With interrupts disabled; `to` was suspended by this function or is new, and `from` doesn't move
/// until this returns.
pub unsafe fn switch(from: *mut Context, to: Context, top: u64, thread_pointer: u64) {
    processor::block()
        .kernel_stack
        .store(top, Ordering::Relaxed);
    super::thread_pointer::write(thread_pointer);
    // SAFETY: the caller's promise.
    unsafe { soil_switch(from.cast(), to.0, top) };
}

/// The end of the running thread's kernel stack.
pub fn system_call_stack() -> u64 {
    processor::block().kernel_stack.load(Ordering::Relaxed)
}

/// Reads a register of a device that may be missing; `None` if the access aborts.
///
/// # Safety
/// `register` is mapped, a multiple of 4, and reading it has no side effect where there is a
/// device.
pub unsafe fn probe(register: *const u8) -> Option<u32> {
    // SAFETY: the caller's promise; `Frame::ends_probe` takes the fault.
    let value = unsafe { soil_probe(register) };
    u32::try_from(value).ok()
}

/// Makes system call `number`, without arguments; keeps all registers.
pub fn call(number: u64) {
    // SAFETY: a system call that has no arguments affects no memory of the caller's.
    unsafe { core::arch::asm!("svc #0", in("x8") number, inout("x0") 0u64 => _) };
}

/// Sets the vectors. From then on `trap` handles exceptions and interrupts, and `system_call`
/// handles system calls, all with interrupts disabled.
///
/// # Safety
/// Called once, on the main stack, after the real page tables are in place.
pub unsafe fn set_up(trap: Trap, preempted: Preempted, system_call: SystemCall) {
    TRAP.store(trap as *mut (), Ordering::Relaxed);
    PREEMPTED.store(preempted as *mut (), Ordering::Relaxed);
    SYSTEM_CALL_HANDLER.store(system_call as *mut (), Ordering::Relaxed);
    let own = processor::block();
    for (place, top) in [
        (&own.fault_stacks[0], stacks::FAULT.top()),
        (&own.fault_stacks[1], stacks::SECOND_FAULT.top()),
        (&own.interrupt_stack, stacks::INTERRUPT.top()),
        (&own.kernel_stack, stacks::MAIN.top()),
    ] {
        place.store(top, Ordering::Relaxed);
    }
    load();
}

/// Sets the vectors of the processor that runs, whose block has its stacks.
pub(super) fn load() {
    end_page_fault();
    // SAFETY: the table has an entry for each exception. System errors, which were masked until
    // now, are reported.
    unsafe {
        core::arch::asm!(
            "msr vbar_el1, {}", "isb", "msr daifclr, #4", in(reg) &raw const soil_gates,
        );
    }
}

/// Sets this processor's stack of interrupts to the one that ends at `top`, from the next interrupt
/// on.
pub fn set_interrupt_stack(top: u64) {
    processor::block()
        .interrupt_stack
        .store(top, Ordering::Relaxed);
}

/// Whether a page fault occurs during another. Until [`end_page_fault`] a further one has a stack
/// of its own.
pub fn begin_page_fault() -> bool {
    let own = processor::block();
    let before = own.fault_stack.load(Ordering::Relaxed);
    begin_exception();
    before == own.fault_stack.load(Ordering::Relaxed)
}

/// The page fault is handled.
pub fn end_page_fault() {
    use_fault_stack(0);
}

/// Gives further exceptions another stack: this one ends in a report.
pub fn begin_exception() {
    use_fault_stack(1);
}

fn use_fault_stack(index: usize) {
    let own = processor::block();
    let top = own.fault_stacks[index].load(Ordering::Relaxed);
    own.fault_stack.store(top, Ordering::Relaxed);
}
