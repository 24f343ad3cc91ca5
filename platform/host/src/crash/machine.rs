//! The processor's part of a report: registers of a signal's context, calls before a return
//! address, and the switch to the report's stack.

use core::arch::asm;
use core::ffi::c_void;

/// The largest `si_code` of SIGSEGV that has an address (`SEGV_PKUERR`); the kernel's own is 128.
pub const LAST_OF_ADDRESSES: i32 = 4;

/// What the macro gives for 0 to 7 instructions without effect before the call.
#[cfg(test)]
macro_rules! at_each_alignment {
    ($after_call:ident) => {
        [
            $after_call!(0),
            $after_call!(1),
            $after_call!(2),
            $after_call!(3),
            $after_call!(4),
            $after_call!(5),
            $after_call!(6),
            $after_call!(7),
        ]
    };
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    /// The distance of a return address from the stack pointer that OCaml saves when it calls C.
    pub const RETURN_AT: u64 = 0;

    const NAMES: [(&str, i32); 17] = [
        ("rax", libc::REG_RAX),
        ("rbx", libc::REG_RBX),
        ("rcx", libc::REG_RCX),
        ("rdx", libc::REG_RDX),
        ("rsi", libc::REG_RSI),
        ("rdi", libc::REG_RDI),
        ("rbp", libc::REG_RBP),
        ("rsp", libc::REG_RSP),
        ("r8", libc::REG_R8),
        ("r9", libc::REG_R9),
        ("r10", libc::REG_R10),
        ("r11", libc::REG_R11),
        ("r12", libc::REG_R12),
        ("r13", libc::REG_R13),
        ("r14", libc::REG_R14),
        ("r15", libc::REG_R15),
        ("rip", libc::REG_RIP),
    ];

    fn get(context: &libc::ucontext_t, number: i32) -> u64 {
        let registers = &context.uc_mcontext.gregs;
        registers.get(number as usize).copied().unwrap_or(0) as u64
    }

    pub fn registers(context: &libc::ucontext_t, each: &mut dyn FnMut(&str, u64)) {
        for (name, number) in NAMES {
            each(name, get(context, number));
        }
    }

    /// The instruction that raised the signal.
    pub fn instruction(context: &libc::ucontext_t) -> u64 {
        get(context, libc::REG_RIP)
    }

    /// The stack pointer.
    pub fn stack(context: &libc::ucontext_t) -> u64 {
        get(context, libc::REG_RSP)
    }

    /// The return address, if a register has it.
    pub fn caller(_: &libc::ucontext_t) -> Option<u64> {
        None
    }

    /// What the instruction did (Intel SDM, volume 3, 4.7: the error code of a page fault).
    pub fn access(context: &libc::ucontext_t) -> &'static str {
        let code = get(context, libc::REG_ERR);
        match get(context, libc::REG_TRAPNO) {
            14 if code & 16 != 0 => "execution",
            14 if code & 2 != 0 => "write",
            14 => "read",
            _ => "an instruction",
        }
    }

    /// Whether these bytes of code end with a call: `e8 rel32`, or `ff /2` with its forms of
    /// operand.
    pub fn ends_with_call(before: &[u8; 8]) -> bool {
        let is_indirect = |at: usize| before[at] == 0xff && before[at + 1] & 0x38 == 0x10;
        before[3] == 0xe8 || [6, 5, 4, 2, 1].into_iter().any(is_indirect)
    }

    /// Addresses after a call, at each alignment.
    #[cfg(test)]
    pub fn after_calls() -> [u64; 8] {
        macro_rules! after_call {
            ($nops:literal) => {{
                let address: u64;
                // SAFETY: the call pushes the next instruction's address, which is popped at once.
                unsafe {
                    core::arch::asm!(
                        concat!(".p2align 3; .fill ", $nops, ", 1, 0x90"),
                        "call 2f; 2: pop {}",
                        out(reg) address,
                    );
                }
                address
            }};
        }
        at_each_alignment!(after_call)
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    /// The distance of a return address from the stack pointer that OCaml saves when it calls C.
    pub const RETURN_AT: u64 = 8;

    pub fn registers(context: &libc::ucontext_t, each: &mut dyn FnMut(&str, u64)) {
        const NAMES: [&str; 31] = [
            "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
            "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25",
            "x26", "x27", "x28", "x29", "x30",
        ];
        let values = &context.uc_mcontext.regs;
        NAMES
            .iter()
            .zip(values)
            .for_each(|(name, value)| each(name, *value));
        each("sp", stack(context));
        each("pc", instruction(context));
    }

    /// The instruction that raised the signal.
    pub fn instruction(context: &libc::ucontext_t) -> u64 {
        context.uc_mcontext.pc
    }

    /// The stack pointer.
    pub fn stack(context: &libc::ucontext_t) -> u64 {
        context.uc_mcontext.sp
    }

    /// The return address, if a register has it: x30, of a function that calls no other.
    pub fn caller(context: &libc::ucontext_t) -> Option<u64> {
        Some(context.uc_mcontext.regs[30])
    }

    /// What the instruction did.
    pub fn access(_: &libc::ucontext_t) -> &'static str {
        "an access"
    }

    /// Whether these bytes of code end with a call: BL, or BLR and its variants.
    pub fn ends_with_call(before: &[u8; 8]) -> bool {
        let word = u32::from_le_bytes([before[4], before[5], before[6], before[7]]);
        word & 0xfc00_0000 == 0x9400_0000
            || word & 0xffff_fc1f == 0xd63f_0000
            || word & 0xfeff_f800 == 0xd63f_0800
    }

    /// Addresses after a call, at each alignment.
    #[cfg(test)]
    pub fn after_calls() -> [u64; 8] {
        macro_rules! after_call {
            ($nops:literal) => {{
                let address: u64;
                // SAFETY: the call goes to the next instruction.
                unsafe {
                    core::arch::asm!(
                        concat!(".p2align 3; .fill ", $nops, ", 4, 0xd503201f"),
                        "bl 2f; 2: mov {}, x30",
                        out(reg) address,
                        out("x30") _,
                    );
                }
                address
            }};
        }
        at_each_alignment!(after_call)
    }
}

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// Calls `run(argument)` with its stack below `top`.
///
/// # Safety
/// The stack is this thread's alone, aligned to 16 bytes, and large enough for `run`, which takes
/// this argument and returns.
pub unsafe fn on_stack(top: *mut u8, run: extern "C" fn(*mut c_void), argument: *mut c_void) {
    // SAFETY: the caller's promise. A register that calls preserve has the stack pointer meanwhile.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {run}",
            "mov rsp, r12",
            top = in(reg) top,
            run = in(reg) run,
            in("rdi") argument,
            out("r12") _,
            clobber_abi("C"),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mov x20, sp",
            "mov sp, {top}",
            "blr {run}",
            "mov sp, x20",
            top = in(reg) top,
            run = in(reg) run,
            in("x0") argument,
            out("x20") _,
            clobber_abi("C"),
        );
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::ends_with_call;

    #[test]
    fn calls_end_before_return_addresses() {
        for (code, is_call) in [
            ([0, 0, 0, 0xe8, 1, 2, 3, 4], true),
            ([0, 0, 0, 0, 0, 0, 0xff, 0xd0], true),
            ([0, 0, 0, 0, 0, 0, 0xff, 0xe0], false),
            ([0; 8], false),
        ] {
            assert_eq!(ends_with_call(&code), is_call, "{code:x?}");
        }
    }
}
