//! The shims of glibc's names on x86-64.

mod contexts;

use super::buffer_overflow;

/// The register of an argument.
macro_rules! register {
    (0) => {
        "rdi"
    };
    (1) => {
        "rsi"
    };
    (2) => {
        "rdx"
    };
    (3) => {
        "rcx"
    };
    (4) => {
        "r8"
    };
    (5) => {
        "r9"
    };
}

/// Continues in another function.
macro_rules! jump {
    ($to:expr) => {
        concat!("jmp ", $to)
    };
}

/// Ends the program if an argument is less than another.
macro_rules! refuse_less {
    ($room:tt, $needed:tt) => {
        concat!(
            "cmp ",
            register!($room),
            ", ",
            register!($needed),
            "; jb soil_buffer_overflow"
        )
    };
}

/// Returns a constant.
macro_rules! result {
    ($value:literal) => {
        concat!("mov rax, ", $value, "; ret")
    };
}

/// Inserts the number of a system call as the first argument.
macro_rules! shift {
    () => {
        "mov r9, r8; mov r8, rcx; mov rcx, rdx; mov rdx, rsi; mov rsi, rdi; mov edi, {number}"
    };
}

prepared! {
    // The target of a jump lies above, on the same stack: a function that has returned is below.
    // musl stores the stack pointer seventh.
    "__longjmp_chk": "cmp [rdi + 48], rsp; jb soil_buffer_overflow" => "longjmp",
}

// `pthread_cleanup_push` of glibc's header jumps: it fills a buffer (8 words of setjmp, a flag and
// 4 words of padding, which hold musl's record of 3 words), and the code after it runs the function
// and continues. `pthread_exit` has then stored the thread's result in musl's `struct pthread`,
// before the list of the records.
prepared! {
    "__pthread_register_cancel":
        "mov rdx, rdi; add rdi, 72; lea rsi, [rip + soil_cancelled]" => "_pthread_cleanup_push",
    "__pthread_unregister_cancel": "add rdi, 72; xor esi, esi" => "_pthread_cleanup_pop",
    "soil_cancelled": "mov esi, 1" => "longjmp",
    "__pthread_unwind_next": "mov rdi, fs:[112]" => "pthread_exit",
}

/// `name(fixed…, format, ...)`: collects the variable arguments into a `va_list` (System V ABI,
/// AMD64 supplement, figure 3.34) and calls the `v` form. `$list` is the register for the list's
/// address.
macro_rules! variadic {
    ($($glibc:literal($fixed:literal): $moves:literal, $list:literal -> $musl:literal,)*) => {$(
        function!($glibc, [
            "sub rsp, 216",
            "mov [rsp], rdi",
            "mov [rsp + 8], rsi",
            "mov [rsp + 16], rdx",
            "mov [rsp + 24], rcx",
            "mov [rsp + 32], r8",
            "mov [rsp + 40], r9",
            "test al, al",
            "je 2f",
            ".irp n, 0,1,2,3,4,5,6,7",
            "movaps [rsp + 48 + 16*\\n], xmm\\n",
            ".endr",
            concat!("2: mov dword ptr [rsp + 176], 8 * ", $fixed),
            "mov dword ptr [rsp + 180], 48",
            "lea rax, [rsp + 224]",
            "mov [rsp + 184], rax",
            "mov [rsp + 192], rsp",
            $moves,
            concat!("lea ", $list, ", [rsp + 176]"),
            concat!("call ", $musl),
            "add rsp, 216",
            "ret",
        ]);
    )*};
}

variadic! {
    "__fprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vfprintf",
    "__printf_chk"(2): "mov rdi, rsi", "rsi" -> "vprintf",
    "__asprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vasprintf",
    "__fwprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vfwprintf",
    "__wprintf_chk"(2): "mov rdi, rsi", "rsi" -> "vwprintf",
    "__swprintf_chk"(5): "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8", "rcx" -> "vswprintf",
    "__dprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vdprintf",
    "__snprintf_chk"(5): "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8", "rcx" -> "vsnprintf",
    "__sprintf_chk"(4): "mov rsi, rdx; mov rdx, rcx", "rcx" -> "soil_vsprintf",
    "__syslog_chk"(3): "mov rsi, rdx", "rdx" -> "vsyslog",
}

// The name is global since the compiler may put the macros' functions into another object.
core::arch::global_asm!(
    r#"
    .pushsection .text.compat.soil_buffer_overflow, "ax", @progbits
    .globl soil_buffer_overflow
    .hidden soil_buffer_overflow
soil_buffer_overflow:
    and rsp, -16
    call {overflow}
    .popsection
    "#,
    overflow = sym buffer_overflow,
);
