//! glibc shims: names that only glibc has, for objects that were compiled against its headers. The
//! program's runtime, libraries and C stubs are linked as the distribution has them, against musl.
//!
//! Three kinds: the `64` names of functions that musl has without (its `off_t` has 64 bits anyway),
//! the `__*_chk` names that `_FORTIFY_SOURCE` calls (Linux Standard Base 5.0, "Interface
//! Definitions for libc"), whose checks of buffer sizes are made here as well, and a few others.
//! All are assembly: jumps need no knowledge of the arguments, and a variadic C function can't be
//! written in stable Rust.
//!
//! Names that musl has in one object with `stdin` are omitted (`__isoc23_scanf`): every image would
//! have its buffer.

#![cfg(not(test))]

mod contexts;
mod functions;

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
    "__isoc23_strtoimax" = "strtoimax", "__isoc23_strtoumax" = "strtoumax",
    "__isoc23_sscanf" = "sscanf", "__isoc23_fscanf" = "fscanf",
    "__isoc23_vsscanf" = "vsscanf", "__isoc23_vfscanf" = "vfscanf",
    "__isoc23_wcstol" = "wcstol", "__isoc23_wcstoul" = "wcstoul",
    "__isoc23_wcstoll" = "wcstoll", "__isoc23_wcstoull" = "wcstoull",
    "__isoc23_swscanf" = "swscanf", "__isoc23_fwscanf" = "fwscanf",
    // musl has one numeric locale: the last argument is ignored.
    "__isoc23_strtol_l" = "strtol", "__isoc23_strtoul_l" = "strtoul",
    "__isoc23_strtoll_l" = "strtoll", "__isoc23_strtoull_l" = "strtoull",
    "fcntl64" = "fcntl", "fopen64" = "fopen", "freopen64" = "freopen",
    "fstat64" = "fstat", "fstatat64" = "fstatat", "ftruncate64" = "ftruncate",
    "getrlimit64" = "getrlimit", "lockf64" = "lockf", "lseek64" = "lseek", "lstat64" = "lstat",
    "mkstemp64" = "mkstemp", "mmap64" = "mmap", "open64" = "open", "openat64" = "openat",
    "pread64" = "pread", "pwrite64" = "pwrite", "readdir64" = "readdir",
    "preadv64" = "preadv", "pwritev64" = "pwritev",
    "stat64" = "stat", "truncate64" = "truncate", "fseeko64" = "fseeko", "ftello64" = "ftello",
    "creat64" = "creat", "posix_fallocate64" = "posix_fallocate", "sendfile64" = "sendfile",
    "statvfs64" = "statvfs", "fstatvfs64" = "fstatvfs",
    // musl had these by both names until 1.2.4. Those of `aio.h` are omitted: with them `close` of
    // every image would link the cancellation of a file's requests.
    "alphasort64" = "alphasort", "fallocate64" = "fallocate", "fgetpos64" = "fgetpos",
    "fsetpos64" = "fsetpos", "fstatfs64" = "fstatfs", "ftw64" = "ftw", "getdents64" = "getdents",
    "glob64" = "glob", "globfree64" = "globfree", "mkostemp64" = "mkostemp",
    "mkostemps64" = "mkostemps", "mkstemps64" = "mkstemps", "nftw64" = "nftw",
    "posix_fadvise64" = "posix_fadvise", "prlimit64" = "prlimit", "readdir64_r" = "readdir_r",
    "scandir64" = "scandir", "setrlimit64" = "setrlimit", "statfs64" = "statfs",
    "tmpfile64" = "tmpfile", "versionsort64" = "versionsort",
    "__fdelt_chk" = "soil_fdelt", "__strdup" = "strdup", "__strndup" = "strndup",
    "__strtok_r" = "strtok_r", "__mempcpy" = "mempcpy", "__sysconf" = "sysconf",
    "__secure_getenv" = "secure_getenv", "pthread_yield" = "sched_yield",
}

/// Functions with a fixed number of arguments that go to another with some of them.
macro_rules! rearranged {
    ($($glibc:literal: $moves:expr => $musl:literal,)*) => {
        core::arch::global_asm!($(
            concat!(".pushsection .text.compat.", $glibc, ",\"ax\",@progbits"),
            concat!(".globl ", $glibc),
            concat!(".type ", $glibc, ", @function"),
            concat!($glibc, ":"),
            $moves,
            concat!("jmp ", $musl),
            ".popsection",
        )*);
    };
}

rearranged! {
    "__vfprintf_chk": "mov rsi, rdx; mov rdx, rcx" => "vfprintf",
    "__vprintf_chk": "mov rdi, rsi; mov rsi, rdx" => "vprintf",
    "__vasprintf_chk": "mov rsi, rdx; mov rdx, rcx" => "vasprintf",
    "__vdprintf_chk": "mov rsi, rdx; mov rdx, rcx" => "vdprintf",
    "__vsyslog_chk": "mov rsi, rdx; mov rdx, rcx" => "vsyslog",
    "__vfwprintf_chk": "mov rsi, rdx; mov rdx, rcx" => "vfwprintf",
    "__vwprintf_chk": "mov rdi, rsi; mov rsi, rdx" => "vwprintf",
    "__vswprintf_chk":
        "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8; mov rcx, r9" => "vswprintf",
    // Sizes of wide strings are counts of characters.
    "__wmemcpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "wmemcpy",
    "__wmemmove_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "wmemmove",
    "__wmemset_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "wmemset",
    "__wcsncpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "wcsncpy",
    "__mbstowcs_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "mbstowcs",
    "__wcstombs_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "wcstombs",
    "__mbsrtowcs_chk": "cmp r8, rdx; jb soil_buffer_overflow" => "mbsrtowcs",
    "__wcsrtombs_chk": "cmp r8, rdx; jb soil_buffer_overflow" => "wcsrtombs",
    "__mbsnrtowcs_chk": "cmp r9, rcx; jb soil_buffer_overflow" => "mbsnrtowcs",
    "__wcsnrtombs_chk": "cmp r9, rcx; jb soil_buffer_overflow" => "wcsnrtombs",
    "__vsnprintf_chk":
        "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8; mov rcx, r9" => "vsnprintf",
    "__memcpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "memcpy",
    "__memmove_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "memmove",
    "__mempcpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "mempcpy",
    "__strlcpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "strlcpy",
    "__strlcat_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "strlcat",
    "__memset_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "memset",
    "__strncpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "strncpy",
    "__stpncpy_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "stpncpy",
    "__explicit_bzero_chk": "cmp rdx, rsi; jb soil_buffer_overflow" => "explicit_bzero",
    "__read_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "read",
    "__pread_chk": "cmp r8, rdx; jb soil_buffer_overflow" => "pread",
    "__pread64_chk": "cmp r8, rdx; jb soil_buffer_overflow" => "pread",
    "__confstr_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "confstr",
    "__ptsname_r_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "ptsname_r",
    "__ttyname_r_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "ttyname_r",
    "__getlogin_r_chk": "cmp rdx, rsi; jb soil_buffer_overflow" => "getlogin_r",
    "__getdomainname_chk": "cmp rdx, rsi; jb soil_buffer_overflow" => "getdomainname",
    "__recv_chk": "cmp rcx, rdx; jb soil_buffer_overflow; mov ecx, r8d" => "recv",
    "__recvfrom_chk":
        "cmp rcx, rdx; jb soil_buffer_overflow; mov ecx, r8d; mov r8, r9; \
        mov r9, [rsp + 8]" => "recvfrom",
    "__readlink_chk": "cmp rcx, rdx; jb soil_buffer_overflow" => "readlink",
    "__readlinkat_chk": "cmp r8, rcx; jb soil_buffer_overflow" => "readlinkat",
    "__getcwd_chk": "cmp rdx, rsi; jb soil_buffer_overflow" => "getcwd",
    "__gethostname_chk": "cmp rdx, rsi; jb soil_buffer_overflow" => "gethostname",
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
}

/// Functions that return a constant.
macro_rules! constant {
    ($($glibc:literal = $value:literal,)*) => {
        core::arch::global_asm!($(
            concat!(".pushsection .text.compat.", $glibc, ",\"ax\",@progbits"),
            concat!(".globl ", $glibc),
            concat!(".type ", $glibc, ", @function"),
            concat!($glibc, ": mov rax, ", $value),
            "ret",
            ".popsection",
        )*);
    };
}

// Without unwinding tables no frame is found, and the allocator has nothing to trace, trim or set.
constant! {
    "backtrace" = "0", "backtrace_symbols" = "0", "backtrace_symbols_fd" = "0",
    "mtrace" = "0", "muntrace" = "0",
    "malloc_stats" = "0", "malloc_trim" = "0", "mallopt" = "0", "malloc_info" = "-1",
}

/// Linux's system calls of at most five arguments that this musl has no function for.
macro_rules! system_call {
    ($($glibc:literal = $number:literal,)*) => {
        rearranged! {$(
            $glibc: concat!(
                "mov r9, r8; mov r8, rcx; mov rcx, rdx; mov rdx, rsi; mov rsi, rdi; mov edi, ",
                $number
            ) => "syscall",
        )*}
    };
}

system_call! {
    "tgkill" = "234", "getcpu" = "309", "renameat2" = "316", "execveat" = "322", "statx" = "332",
    "pidfd_open" = "434", "close_range" = "436",
}

// Those of six arguments, the fifth of which is 0 on 64-bit machines.
rearranged! {
    "preadv2": "mov eax, 327" => "soil_positioned",
    "preadv64v2": "mov eax, 327" => "soil_positioned",
    "pwritev2": "mov eax, 328" => "soil_positioned",
    "pwritev64v2": "mov eax, 328" => "soil_positioned",
    "soil_positioned":
        "mov r9, r8; xor r8d, r8d; mov r10, rcx; syscall; mov rdi, rax" => "__syscall_ret",
}

// `pthread_cleanup_push` of glibc's header jumps: it fills a buffer (8 words of setjmp, a flag and
// 4 words of padding, which hold musl's record of 3 words), and the code after it runs the function
// and continues. `pthread_exit` has then stored the thread's result in musl's `struct pthread`,
// before the list of the records.
rearranged! {
    "__pthread_register_cancel":
        "mov rdx, rdi; add rdi, 72; lea rsi, [rip + soil_cancelled]" => "_pthread_cleanup_push",
    "__pthread_unregister_cancel": "add rdi, 72; xor esi, esi" => "_pthread_cleanup_pop",
    "soil_cancelled": "mov esi, 1" => "longjmp",
    "__pthread_unwind_next": "mov rdi, fs:[112]" => "pthread_exit",
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
    "__fwprintf_chk"(3): "mov rsi, rdx", "rdx" -> "vfwprintf",
    "__wprintf_chk"(2): "mov rdi, rsi", "rsi" -> "vwprintf",
    "__swprintf_chk"(5): "cmp rcx, rsi; jb soil_buffer_overflow; mov rdx, r8", "rcx" -> "vswprintf",
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

// GCC's unwinder, which Rust's std is linked with, looks up tables that an image doesn't have: "not
// found".
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
