//! glibc shims: names that only glibc has, for objects that were compiled against its headers. The
//! program's runtime, libraries and C stubs are linked as the distribution has them, against musl.
//!
//! Three kinds: the `64` names of functions that musl has without (its `off_t` has 64 bits anyway),
//! the `__*_chk` names that `_FORTIFY_SOURCE` calls (Linux Standard Base 5.0, "Interface
//! Definitions for libc"), whose checks of buffer sizes are made here too, and a few others. All in
//! assembly: jumps need no knowledge of the arguments, and a C function with a variable number of
//! arguments can't be written in stable Rust.

#![cfg(not(test))]

macro_rules! same {
    ($($glibc:literal = $musl:literal,)*) => {
        core::arch::global_asm!($(
            concat!(".pushsection .text.compat.", $glibc, ",\"ax\",@progbits"),
            concat!(".globl ", $glibc),
            concat!(".type ", $glibc, ", @function"),
            concat!($glibc, ": jmp ", $musl),
            ".popsection",
        )*);
    };
}

same! {
    "__isoc23_strtol" = "strtol", "__isoc23_strtoul" = "strtoul",
    "__isoc23_strtoll" = "strtoll", "__isoc23_strtoull" = "strtoull",
    "__isoc23_sscanf" = "sscanf", "__isoc23_fscanf" = "fscanf",
    "fcntl64" = "fcntl", "fopen64" = "fopen", "freopen64" = "freopen",
    "fstat64" = "fstat", "fstatat64" = "fstatat", "ftruncate64" = "ftruncate",
    "getrlimit64" = "getrlimit", "lockf64" = "lockf", "lseek64" = "lseek", "lstat64" = "lstat",
    "mkstemp64" = "mkstemp", "mmap64" = "mmap", "open64" = "open", "openat64" = "openat",
    "pread64" = "pread", "pwrite64" = "pwrite", "readdir64" = "readdir",
    "stat64" = "stat", "truncate64" = "truncate", "fseeko64" = "fseeko", "ftello64" = "ftello",
    "creat64" = "creat", "posix_fallocate64" = "posix_fallocate", "sendfile64" = "sendfile",
    "statvfs64" = "statvfs", "fstatvfs64" = "fstatvfs",
    "__fdelt_chk" = "soil_fdelt", "__strdup" = "strdup",
}

/// Functions with a fixed number of arguments that go to another with some of them.
macro_rules! rearranged {
    ($($glibc:literal: $moves:literal -> $musl:literal,)*) => {
        core::arch::global_asm!($(
            concat!(".pushsection .text.compat.", $glibc, ",\"ax\",@progbits"),
            concat!(".globl ", $glibc),
            concat!(".type ", $glibc, ", @function"),
            concat!($glibc, ": ", $moves, "; jmp ", $musl),
            ".popsection",
        )*);
    };
}

rearranged! {
    "__vfprintf_chk": "mov rsi, rdx; mov rdx, rcx" -> "vfprintf",
    "__vprintf_chk": "mov rdi, rsi; mov rsi, rdx" -> "vprintf",
    "__vasprintf_chk": "mov rsi, rdx; mov rdx, rcx" -> "vasprintf",
    "__vsnprintf_chk":
        "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8; mov rcx, r9" -> "vsnprintf",
    "__memcpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "memcpy",
    "__memmove_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "memmove",
    "__memset_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "memset",
    "__strncpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "strncpy",
    "__stpncpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "stpncpy",
    "__explicit_bzero_chk": "cmp rdx, rsi; jb soil_buffer_overflow" -> "explicit_bzero",
    "__read_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "read",
    "__recv_chk": "cmp rcx, rdx; jb soil_buffer_overflow; mov ecx, r8d" -> "recv",
    "__recvfrom_chk":
        "cmp rcx, rdx; jb soil_buffer_overflow; mov ecx, r8d; mov r8, r9; \
        mov r9, [rsp + 8]" -> "recvfrom",
    "__readlink_chk": "cmp rcx, rdx; jb soil_buffer_overflow" -> "readlink",
    "__getcwd_chk": "cmp rdx, rsi; jb soil_buffer_overflow" -> "getcwd",
    "__gethostname_chk": "cmp rdx, rsi; jb soil_buffer_overflow" -> "gethostname",
    // Groups have four bytes, and a number of them below 0 is an error of the call's own.
    "__getgroups_chk":
        "movsxd rax, edi; shl rax, 2; js 2f; cmp rdx, rax; jb soil_buffer_overflow; \
        2:" -> "getgroups",
    "__fgets_chk":
        "test edx, edx; jle 2f; mov eax, edx; cmp rsi, rax; jb soil_buffer_overflow; \
        2: mov esi, edx; mov rdx, rcx" -> "fgets",
    "__fread_chk":
        "mov r9, rsi; mov rsi, rdx; mov rax, rdx; mul rcx; jo soil_buffer_overflow; cmp r9, rax; \
        jb soil_buffer_overflow; mov rdx, rcx; mov rcx, r8" -> "fread",
    "__poll_chk": "shr rcx, 3; cmp rcx, rsi; jb soil_buffer_overflow" -> "poll",
    // A buffer of PATH_MAX is what realpath may fill.
    "__realpath_chk": "cmp rdx, 4096; jb soil_buffer_overflow" -> "realpath",
    // The target of a jump lies above, on the same stack: a function that has returned is below.
    // musl keeps the pointer seventh.
    "__longjmp_chk": "cmp [rdi + 48], rsp; jb soil_buffer_overflow" -> "longjmp",
}

// `pthread_cleanup_push` of glibc's header jumps: it fills a buffer (8 words of setjmp, a flag and
// 4 words of padding, in which musl's record of 3 words goes), and the code behind it runs the
// function and goes on. A thread that ends itself inside such a block ends as a cancelled one.
rearranged! {
    "__pthread_register_cancel":
        "mov rdx, rdi; add rdi, 72; lea rsi, [rip + soil_cancelled]" -> "_pthread_cleanup_push",
    "__pthread_unregister_cancel": "add rdi, 72; xor esi, esi" -> "_pthread_cleanup_pop",
    "soil_cancelled": "mov esi, 1" -> "longjmp",
    "__pthread_unwind_next": "mov rdi, -1" -> "pthread_exit",
}

/// Functions that copy a string of unknown length: measured first.
macro_rules! measured {
    ($($glibc:literal: $measure:literal -> $musl:literal,)*) => {
        core::arch::global_asm!($(
            concat!(".pushsection .text.compat.", $glibc, ",\"ax\",@progbits"),
            concat!(".globl ", $glibc),
            concat!(".type ", $glibc, ", @function"),
            concat!($glibc, ":"),
            "push rdi",
            "push rsi",
            "push rdx",
            $measure,
            "pop rdx",
            "pop rsi",
            "pop rdi",
            concat!("jmp ", $musl),
            ".popsection",
        )*);
    };
}

// On the stack, from its top: room (for strncat the most bytes, with the room above), source,
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
    ($($glibc:literal($fixed:literal): $moves:literal, $list:literal -> $musl:literal,)*) => {
        core::arch::global_asm!($(
            concat!(".pushsection .text.compat.", $glibc, ",\"ax\",@progbits"),
            concat!(".globl ", $glibc),
            concat!(".type ", $glibc, ", @function"),
            concat!($glibc, ":"),
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
            ".popsection",
        )*);
    };
}

variadic! {
    "__fprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vfprintf",
    "__printf_chk"(2): "mov rdi, rsi", "rsi" -> "vprintf",
    "__asprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vasprintf",
    "__dprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vdprintf",
    "__snprintf_chk"(5): "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8", "rcx" -> "vsnprintf",
    "__sprintf_chk"(4): "mov rsi, rdx; mov rdx, rcx", "rcx" -> "soil_vsprintf",
    "__syslog_chk"(3): "mov rsi, rdx", "rdx" -> "vsyslog",
}

core::arch::global_asm!(
    r#"
    .pushsection .text.compat.soil_buffer_overflow, "ax", @progbits
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
soil_vsprintf:
    // vsnprintf(destination, room, format, list), as far as an int goes; what it would have written
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

// The unwinder of GCC, which Rust's std is linked with, asks for tables that an image doesn't have:
// "not found".
core::arch::global_asm!(
    r#"
    .pushsection .text.compat._dl_find_object, "ax", @progbits
    .globl _dl_find_object
_dl_find_object:
    mov eax, -1
    ret
    .popsection
    "#
);

/// A checked function found that its destination is too small.
extern "C" fn buffer_overflow() -> ! {
    panic!(
        "a C function was about to write beyond its buffer, or to jump into one that has returned \
        (_FORTIFY_SOURCE)"
    )
}
