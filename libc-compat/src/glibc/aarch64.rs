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

/// Makes an argument that of another number.
macro_rules! copy {
    ($to:tt, $from:tt) => {
        concat!("mov ", register!($to), ", ", register!($from))
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

/// A system call whose fourth argument is an offset and whose fifth goes to the sixth.
macro_rules! positioned_call {
    () => {
        "mov x5, x4; mov x4, #0; mov x8, #{number}; svc #0; b __syscall_ret"
    };
}

/// Functions that do more with their arguments before another.
macro_rules! prepared {
    ($($glibc:literal: $moves:expr => $musl:literal,)*) => {$(
        function!($glibc, [$moves, jump!($musl)]);
    )*};
}

prepared! {
    "__recvfrom_chk":
        "cmp x3, x2; b.hs 9f; b soil_buffer_overflow; 9: mov x3, x4; mov x4, x5; \
        mov x5, x6" => "recvfrom",
    // Groups have four bytes, and a negative number of them is an error of the call's own.
    "__getgroups_chk":
        "sbfiz x3, x0, #2, #32; tbnz x3, #63, 2f; cmp x2, x3; b.hs 2f; b soil_buffer_overflow; \
        2:" => "getgroups",
    "__fgets_chk":
        "cmp w2, #0; b.le 2f; mov w4, w2; cmp x1, x4; b.hs 2f; b soil_buffer_overflow; \
        2: mov w1, w2; mov x2, x3" => "fgets",
    "__fread_chk":
        "umulh x5, x2, x3; mul x6, x2, x3; cbnz x5, 8f; cmp x1, x6; b.hs 9f; \
        8: b soil_buffer_overflow; 9: mov x1, x2; mov x2, x3; mov x3, x4" => "fread",
    "__fgets_unlocked_chk":
        "cmp w2, #0; b.le 2f; mov w4, w2; cmp x1, x4; b.hs 2f; b soil_buffer_overflow; \
        2: mov w1, w2; mov x2, x3" => "fgets_unlocked",
    "__fread_unlocked_chk":
        "umulh x5, x2, x3; mul x6, x2, x3; cbnz x5, 8f; cmp x1, x6; b.hs 9f; \
        8: b soil_buffer_overflow; 9: mov x1, x2; mov x2, x3; mov x3, x4" => "fread_unlocked",
    "__ppoll_chk":
        "lsr x4, x4, #3; cmp x4, x1; b.hs 9f; b soil_buffer_overflow; 9:" => "ppoll",
    "__poll_chk":
        "lsr x3, x3, #3; cmp x3, x1; b.hs 9f; b soil_buffer_overflow; 9:" => "poll",
    // realpath may fill a buffer of PATH_MAX.
    "__realpath_chk":
        "cmp x2, #1, lsl #12; b.hs 9f; b soil_buffer_overflow; 9:" => "realpath",
    // The target of a jump lies above, on the same stack: a function that has returned is below.
    // musl stores the stack pointer fourteenth.
    "__longjmp_chk":
        "ldr x2, [x0, #104]; mov x3, sp; cmp x2, x3; b.hs 9f; b soil_buffer_overflow; \
        9:" => "longjmp",
    // Without a mode, which only a created file has.
    "__open_2": "mov w2, #0" => "open",
    "__open64_2": "mov w2, #0" => "open",
    "__openat_2": "mov w3, #0" => "openat",
    "__openat64_2": "mov w3, #0" => "openat",
    "rawmemchr": "mov x2, #-1" => "memchr",
    "__rawmemchr": "mov x2, #-1" => "memchr",
    "canonicalize_file_name": "mov x1, #0" => "realpath",
    // musl's allocator has no counters: a structure of zeros, which the caller allocated.
    "mallinfo": "mov x0, x8; mov w1, #0; mov x2, #40" => "memset",
    "mallinfo2": "mov x0, x8; mov w1, #0; mov x2, #80" => "memset",
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

/// Functions that copy a string of unknown length: measured first.
macro_rules! measured {
    ($($glibc:literal: $measure:literal -> $musl:literal,)*) => {$(
        function!($glibc, [
            "stp x29, x30, [sp, #-48]!",
            "stp x0, x1, [sp, #16]",
            "stp x2, x3, [sp, #32]",
            $measure,
            "b.lo 9f",
            "8: b soil_buffer_overflow",
            "9: ldp x2, x3, [sp, #32]",
            "ldp x0, x1, [sp, #16]",
            "ldp x29, x30, [sp], #48",
            jump!($musl),
        ]);
    )*};
}

// On the stack, from 16 bytes above its pointer on: destination, source, room (for strncat the
// maximum and the room). The last comparison is that of a length with the room.
measured! {
    "__strcpy_chk": "mov x0, x1; bl strlen; ldr x2, [sp, #32]; cmp x0, x2" -> "strcpy",
    "__stpcpy_chk": "mov x0, x1; bl strlen; ldr x2, [sp, #32]; cmp x0, x2" -> "stpcpy",
    "__strcat_chk":
        "bl strlen; ldr x2, [sp, #32]; subs x2, x2, x0; b.lo 8f; str x2, [sp, #32]; \
        ldr x0, [sp, #24]; bl strlen; ldr x2, [sp, #32]; cmp x0, x2" -> "strcat",
    "__strncat_chk":
        "bl strlen; ldr x3, [sp, #40]; subs x3, x3, x0; b.lo 8f; str x3, [sp, #40]; \
        ldp x0, x1, [sp, #24]; bl strnlen; ldr x3, [sp, #40]; cmp x0, x3" -> "strncat",
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

prepared! {
    "__vsprintf_chk": "mov x1, x2; mov x2, x3; mov x3, x4" => "soil_vsprintf",
}

// Their names are global since the compiler may put the macros' functions into another object.
core::arch::global_asm!(
    r#"
    .pushsection .text.compat.soil_buffer_overflow, "ax", @progbits
    .globl soil_buffer_overflow
    .hidden soil_buffer_overflow
soil_buffer_overflow:
    bl {overflow}
    .popsection
    .pushsection .text.compat.soil_vsprintf, "ax", @progbits
    .globl soil_vsprintf
    .hidden soil_vsprintf
soil_vsprintf:
    // vsnprintf(destination, room, format, list), with room limited to an int; the whole output
    // must have fitted.
    stp x29, x30, [sp, #-32]!
    str x1, [sp, #16]
    mov w4, #0x7fffffff
    cmp x1, x4
    csel x1, x4, x1, hi
    bl vsnprintf
    ldr x1, [sp, #16]
    ldp x29, x30, [sp], #32
    tbnz w0, #31, 2f
    mov w2, w0
    cmp x2, x1
    b.lo 2f
    b soil_buffer_overflow
2:  ret
    .popsection
    .pushsection .text.compat.soil_fdelt, "ax", @progbits
    .globl soil_fdelt
    .hidden soil_fdelt
soil_fdelt:
    cmp x0, #1024
    b.lo 2f
    b soil_buffer_overflow
2:  lsr x0, x0, #6
    ret
    .popsection
    "#,
    overflow = sym buffer_overflow,
);
