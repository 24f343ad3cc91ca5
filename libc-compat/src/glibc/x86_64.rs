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

/// A system call whose fourth argument is an offset and whose fifth goes to the sixth.
macro_rules! positioned_call {
    () => {
        "mov eax, {number}; jmp soil_positioned"
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
        "cmp rcx, rdx; jb soil_buffer_overflow; mov ecx, r8d; mov r8, r9; \
        mov r9, [rsp + 8]" => "recvfrom",
    // Groups have four bytes, and a negative number of them is an error of the call's own.
    "__getgroups_chk":
        "movsxd rax, edi; shl rax, 2; js 2f; cmp rdx, rax; jb soil_buffer_overflow; \
        2:" => "getgroups",
    "__fgets_chk":
        "test edx, edx; jle 2f; mov eax, edx; cmp rsi, rax; jb soil_buffer_overflow; \
        2: mov esi, edx; mov rdx, rcx" => "fgets",
    "__fread_chk":
        "mov r9, rsi; mov rsi, rdx; mov rax, rdx; mul rcx; jo soil_buffer_overflow; cmp r9, rax; \
        jb soil_buffer_overflow; mov rdx, rcx; mov rcx, r8" => "fread",
    "__fgets_unlocked_chk":
        "test edx, edx; jle 2f; mov eax, edx; cmp rsi, rax; jb soil_buffer_overflow; \
        2: mov esi, edx; mov rdx, rcx" => "fgets_unlocked",
    "__fread_unlocked_chk":
        "mov r9, rsi; mov rsi, rdx; mov rax, rdx; mul rcx; jo soil_buffer_overflow; cmp r9, rax; \
        jb soil_buffer_overflow; mov rdx, rcx; mov rcx, r8" => "fread_unlocked",
    "__ppoll_chk": "shr r8, 3; cmp r8, rsi; jb soil_buffer_overflow" => "ppoll",
    "__poll_chk": "shr rcx, 3; cmp rcx, rsi; jb soil_buffer_overflow" => "poll",
    // realpath may fill a buffer of PATH_MAX.
    "__realpath_chk": "cmp rdx, 4096; jb soil_buffer_overflow" => "realpath",
    // The target of a jump lies above, on the same stack: a function that has returned is below.
    // musl stores the stack pointer seventh.
    "__longjmp_chk": "cmp [rdi + 48], rsp; jb soil_buffer_overflow" => "longjmp",
    // Without a mode, which only a created file has.
    "__open_2": "xor edx, edx" => "open",
    "__open64_2": "xor edx, edx" => "open",
    "__openat_2": "xor ecx, ecx" => "openat",
    "__openat64_2": "xor ecx, ecx" => "openat",
    "rawmemchr": "mov rdx, -1" => "memchr",
    "__rawmemchr": "mov rdx, -1" => "memchr",
    "canonicalize_file_name": "xor esi, esi" => "realpath",
    // musl's allocator has no counters: a structure of zeros, which the caller allocated.
    "mallinfo": "xor esi, esi; mov edx, 40" => "memset",
    "mallinfo2": "xor esi, esi; mov edx, 80" => "memset",
    "soil_positioned":
        "mov r9, r8; xor r8d, r8d; mov r10, rcx; syscall; mov rdi, rax" => "__syscall_ret",
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

/// Functions that copy a string of unknown length: measured first.
macro_rules! measured {
    ($($glibc:literal: $measure:literal -> $musl:literal,)*) => {$(
        function!($glibc, [
            "push rdi",
            "push rsi",
            "push rdx",
            $measure,
            "pop rdx",
            "pop rsi",
            "pop rdi",
            jump!($musl),
        ]);
    )*};
}

// On the stack, from its top: room (for strncat the maximum, with the room above), source,
// destination.
measured! {
    "__strcpy_chk":
        "mov rdi, rsi; call strlen; cmp rax, [rsp]; jae soil_buffer_overflow" -> "strcpy",
    "__stpcpy_chk":
        "mov rdi, rsi; call strlen; cmp rax, [rsp]; jae soil_buffer_overflow" -> "stpcpy",
    "__strcat_chk":
        "call strlen; sub [rsp], rax; jb soil_buffer_overflow; mov rdi, [rsp + 8]; call strlen; \
        cmp rax, [rsp]; \
        jae soil_buffer_overflow" -> "strcat",
    "__strncat_chk":
        "push rcx; push rcx; call strlen; sub [rsp], rax; jb soil_buffer_overflow; \
        mov rdi, [rsp + 24]; mov rsi, [rsp + 16]; \
        call strnlen; pop rcx; pop rdx; cmp rax, rcx; jae soil_buffer_overflow" -> "strncat",
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

// Their names are global since the compiler may put the macros' functions into another object.
core::arch::global_asm!(
    r#"
    .pushsection .text.compat.soil_buffer_overflow, "ax", @progbits
    .globl soil_buffer_overflow
    .hidden soil_buffer_overflow
soil_buffer_overflow:
    and rsp, -16
    call {overflow}
    .popsection
    .pushsection .text.compat.__vsprintf_chk, "ax", @progbits
    .globl __vsprintf_chk
__vsprintf_chk:
    mov rsi, rdx
    mov rdx, rcx
    mov rcx, r8
    jmp soil_vsprintf
    .popsection
    .pushsection .text.compat.soil_vsprintf, "ax", @progbits
    .globl soil_vsprintf
    .hidden soil_vsprintf
soil_vsprintf:
    // vsnprintf(destination, room, format, list), with room limited to an int; the whole output
    // must have fitted.
    push rsi
    mov eax, 0x7fffffff
    cmp rsi, rax
    cmova rsi, rax
    call vsnprintf
    pop rsi
    movsxd rcx, eax
    test ecx, ecx
    js 2f
    cmp rcx, rsi
    jae soil_buffer_overflow
2:  ret
    .popsection
    .pushsection .text.compat.soil_fdelt, "ax", @progbits
    .globl soil_fdelt
    .hidden soil_fdelt
soil_fdelt:
    mov rax, rdi
    shr rax, 6
    cmp rdi, 1024
    jae soil_buffer_overflow
    ret
    .popsection
    "#,
    overflow = sym buffer_overflow,
);
