//! The shims of glibc's names on arm64.

mod contexts;

use super::buffer_overflow;

/// The register of an argument.
macro_rules! register {
    ($number:tt) => {
        concat!("x", $number)
    };
}

/// Continues in another function.
macro_rules! jump {
    ($to:expr) => {
        concat!("b ", $to)
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
            "; b.hs 9f; b soil_buffer_overflow; 9:"
        )
    };
}

/// Returns a constant.
macro_rules! result {
    ($value:literal) => {
        concat!("mov x0, #", $value, "; ret")
    };
}

/// Inserts the number of a system call as the first argument.
macro_rules! shift {
    () => {
        "mov x5, x4; mov x4, x3; mov x3, x2; mov x2, x1; mov x1, x0; mov x0, #{number}"
    };
}

prepared! {
    // The target of a jump lies above, on the same stack: a function that has returned is below.
    // musl stores the stack pointer fourteenth.
    "__longjmp_chk":
        "ldr x2, [x0, #104]; mov x3, sp; cmp x2, x3; b.hs 9f; b soil_buffer_overflow; \
        9:" => "longjmp",
}

// `pthread_cleanup_push` of glibc's header jumps: it fills a buffer (22 words of setjmp, a flag and
// 4 words of padding, which hold musl's record of 3 words), and the code after it runs the function
// and continues. `pthread_exit` has then stored the thread's result in musl's `struct pthread`,
// which ends at the thread pointer, before the list of the records.
prepared! {
    "__pthread_register_cancel":
        "mov x2, x0; add x0, x0, #184; adrp x1, soil_cancelled; \
        add x1, x1, :lo12:soil_cancelled" => "_pthread_cleanup_push",
    "__pthread_unregister_cancel": "add x0, x0, #184; mov w1, #0" => "_pthread_cleanup_pop",
    "soil_cancelled": "mov w1, #1" => "longjmp",
    "__pthread_unwind_next": "mrs x0, tpidr_el0; ldr x0, [x0, #-104]" => "pthread_exit",
}

/// `name(fixed…, format, ...)`: collects the variable arguments into a `va_list` (AAPCS64, appendix
/// B) and calls the `v` form. `$list` is the register for the list's address.
macro_rules! variadic {
    ($($glibc:literal($fixed:literal): $moves:literal, $list:literal -> $musl:literal,)*) => {$(
        function!($glibc, [
            "sub sp, sp, #240",
            "stp x29, x30, [sp, #224]",
            "stp x0, x1, [sp, #32]",
            "stp x2, x3, [sp, #48]",
            "stp x4, x5, [sp, #64]",
            "stp x6, x7, [sp, #80]",
            "stp q0, q1, [sp, #96]",
            "stp q2, q3, [sp, #128]",
            "stp q4, q5, [sp, #160]",
            "stp q6, q7, [sp, #192]",
            "add x16, sp, #240",
            "add x17, sp, #96",
            "stp x16, x17, [sp]",
            "add x16, sp, #224",
            concat!("mov w17, #8 * (", $fixed, " - 8)"),
            "str x16, [sp, #16]",
            "mov w16, #-128",
            "stp w17, w16, [sp, #24]",
            $moves,
            concat!("mov ", $list, ", sp"),
            concat!("bl ", $musl),
            "ldp x29, x30, [sp, #224]",
            "add sp, sp, #240",
            "ret",
        ]);
    )*};
}

variadic! {
    "__fprintf_chk"(3): "mov x1, x2", "x2" -> "vfprintf",
    "__printf_chk"(2): "mov x0, x1", "x1" -> "vprintf",
    "__asprintf_chk"(3): "mov x1, x2", "x2" -> "vasprintf",
    "__fwprintf_chk"(3): "mov x1, x2", "x2" -> "vfwprintf",
    "__wprintf_chk"(2): "mov x0, x1", "x1" -> "vwprintf",
    "__swprintf_chk"(5):
        "cmp x3, x1; b.hs 9f; b soil_buffer_overflow; 9: mov x2, x4", "x3" -> "vswprintf",
    "__dprintf_chk"(3): "mov x1, x2", "x2" -> "vdprintf",
    "__snprintf_chk"(5):
        "cmp x3, x1; b.hs 9f; b soil_buffer_overflow; 9: mov x2, x4", "x3" -> "vsnprintf",
    "__sprintf_chk"(4): "mov x1, x2; mov x2, x3", "x3" -> "soil_vsprintf",
    "__syslog_chk"(3): "mov x1, x2", "x2" -> "vsyslog",
}

// The name is global since the compiler may put the macros' functions into another object.
core::arch::global_asm!(
    r#"
    .pushsection .text.compat.soil_buffer_overflow, "ax", @progbits
    .globl soil_buffer_overflow
    .hidden soil_buffer_overflow
soil_buffer_overflow:
    bl {overflow}
    .popsection
    "#,
    overflow = sym buffer_overflow,
);
