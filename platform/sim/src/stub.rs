//! The one place whose system calls are not trapped.

#[cfg(target_arch = "x86_64")]
use core::arch::global_asm;
use core::ffi::c_void;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .text.soil_sim_call,\"ax\",@progbits",
    ".globl soil_sim_call",
    ".hidden soil_sim_call",
    ".type soil_sim_call,@function",
    "soil_sim_call:",
    "mov rax, rdi",
    "mov rdi, [rsi]",
    "mov rdx, [rsi + 16]",
    "mov r10, [rsi + 24]",
    "mov r8, [rsi + 32]",
    "mov r9, [rsi + 40]",
    "mov rsi, [rsi + 8]",
    "syscall",
    ".globl soil_sim_called",
    ".hidden soil_sim_called",
    "soil_sim_called:",
    "ret",
    ".popsection",
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    /// Makes a system call with six arguments.
    fn soil_sim_call(number: i64, arguments: *const usize) -> isize;
    /// The instruction after it.
    safe static soil_sim_called: u8;
}

#[cfg(target_arch = "x86_64")]
/// The address that the kernel has for the stub's calls.
pub fn address() -> usize {
    (&raw const soil_sim_called).addr()
}

/// Makes a system call; the result is minus an error number if it fails.
///
/// # Safety
/// As the call.
pub unsafe fn call(number: i64, arguments: [usize; 6]) -> isize {
    // SAFETY: by the caller.
    #[cfg(target_arch = "x86_64")]
    return unsafe { soil_sim_call(number, arguments.as_ptr()) };
    #[cfg(not(target_arch = "x86_64"))]
    {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: by the caller.
        let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) } as isize;
        // SAFETY: the C library gives every thread its own.
        if answer < 0 {
            -(unsafe { *libc::__errno_location() } as isize)
        } else {
            answer
        }
    }
}

/// A trapped system call.
#[derive(Clone, Copy)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: [usize; 6],
}

/// Makes the trapped call.
pub fn pass(call: &Call) -> isize {
    // SAFETY: the program's own call.
    unsafe { self::call(call.number, call.arguments) }
}

/// read(2).
///
/// # Safety
/// `into` has room for `len` bytes.
pub unsafe fn read(fd: i32, into: *mut c_void, len: usize) -> isize {
    let arguments = [fd as usize, into.expose_provenance(), len, 0, 0, 0];
    // SAFETY: by the caller.
    unsafe { call(libc::SYS_read, arguments) }
}

/// write(2).
///
/// # Safety
/// `from` has `len` bytes.
pub unsafe fn write(fd: i32, from: *const c_void, len: usize) -> isize {
    let arguments = [fd as usize, from.expose_provenance(), len, 0, 0, 0];
    // SAFETY: by the caller.
    unsafe { call(libc::SYS_write, arguments) }
}

/// exit_group(2).
///
/// # Safety
/// The process can end here.
pub unsafe fn exit(status: i32) -> ! {
    loop {
        // SAFETY: by the caller.
        unsafe { call(libc::SYS_exit_group, [status as usize, 0, 0, 0, 0, 0]) };
    }
}
