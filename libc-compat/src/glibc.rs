//! glibc shims: names that only glibc has, for objects that were compiled against its headers. The
//! program's runtime, libraries and C stubs are linked as the distribution has them, against musl.
//!
//! Three kinds: the `64` names of functions that musl has without (its `off_t` has 64 bits anyway),
//! the `__*_chk` names that `_FORTIFY_SOURCE` calls (Linux Standard Base 5.0, "Interface
//! Definitions for libc"), whose checks of buffer sizes are made here as well, and a few others.
//! Most are jumps in assembly, which need no knowledge of the arguments; a variadic C function can't
//! be written in stable Rust.
//!
//! Names that musl has in one object with `stdin` are omitted (`__isoc23_scanf`): every image would
//! have its buffer.

/// A function of this name, by lines of assembly and their operands.
macro_rules! function {
    ($name:expr, [$($line:expr),* $(,)?] $(, $($operands:tt)+)?) => {
        core::arch::global_asm!(
            concat!(".pushsection .text.compat.", $name, ",\"ax\",@progbits"),
            concat!(".globl ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            $($line,)*
            ".popsection",
            $($($operands)+)?
        );
    };
}

/// Makes an argument that of another number.
macro_rules! copy {
    ($to:tt, $from:tt) => {
        concat!("mov ", register!($to), ", ", register!($from))
    };
}

/// Functions that do more with their arguments before another.
macro_rules! prepared {
    ($($glibc:literal: $moves:expr => $musl:literal,)*) => {$(
        function!($glibc, [$moves, jump!($musl)]);
    )*};
}

// Each defines the macros that the tables below use, and what is more than a jump.
#[cfg(target_arch = "aarch64")]
#[macro_use]
mod aarch64;
#[cfg(target_arch = "x86_64")]
#[macro_use]
mod x86_64;

/// Gives functions of a module their glibc names.
macro_rules! defined {
    ($($glibc:literal = $function:path,)*) => {$(
        function!($glibc, [jump!("{function}")], function = sym $function);
    )*};
}

mod checked;
mod cxx;
mod functions;

use kernel::arch::numbers as n;

/// Functions that are another one of musl's.
macro_rules! same {
    ($($glibc:literal = $musl:literal,)*) => {$(
        function!($glibc, [jump!($musl)]);
    )*};
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
    "__strdup" = "strdup", "__strndup" = "strndup",
    "__strtok_r" = "strtok_r", "__mempcpy" = "mempcpy", "__sysconf" = "sysconf",
    "__secure_getenv" = "secure_getenv", "pthread_yield" = "sched_yield",
}

/// Functions with a fixed number of arguments that go to another with some of them: which argument
/// (counted from 0) must not be less than which other, each with its new number and its old.
macro_rules! rearranged {
    ($(
        $glibc:literal: [$($room:tt < $needed:tt)?] [$($to:tt = $from:tt),*] => $musl:literal,
    )*) => {
        $(function!($glibc, [
            $(refuse_less!($room, $needed),)?
            $(copy!($to, $from),)*
            jump!($musl),
        ]);)*
    };
}

rearranged! {
    "__vfprintf_chk": [] [1 = 2, 2 = 3] => "vfprintf",
    "__vprintf_chk": [] [0 = 1, 1 = 2] => "vprintf",
    "__vasprintf_chk": [] [1 = 2, 2 = 3] => "vasprintf",
    "__vdprintf_chk": [] [1 = 2, 2 = 3] => "vdprintf",
    "__vsyslog_chk": [] [1 = 2, 2 = 3] => "vsyslog",
    "__vfwprintf_chk": [] [1 = 2, 2 = 3] => "vfwprintf",
    "__vwprintf_chk": [] [0 = 1, 1 = 2] => "vwprintf",
    "__vswprintf_chk": [3 < 1] [2 = 4, 3 = 5] => "vswprintf",
    // Sizes of wide strings are counts of characters.
    "__wmemcpy_chk": [3 < 2] [] => "wmemcpy",
    "__wmemmove_chk": [3 < 2] [] => "wmemmove",
    "__wmemset_chk": [3 < 2] [] => "wmemset",
    "__wcsncpy_chk": [3 < 2] [] => "wcsncpy",
    "__mbstowcs_chk": [3 < 2] [] => "mbstowcs",
    "__wcstombs_chk": [3 < 2] [] => "wcstombs",
    "__mbsrtowcs_chk": [4 < 2] [] => "mbsrtowcs",
    "__wcsrtombs_chk": [4 < 2] [] => "wcsrtombs",
    "__mbsnrtowcs_chk": [5 < 3] [] => "mbsnrtowcs",
    "__wcsnrtombs_chk": [5 < 3] [] => "wcsnrtombs",
    "__vsnprintf_chk": [3 < 1] [2 = 4, 3 = 5] => "vsnprintf",
    "__memcpy_chk": [3 < 2] [] => "memcpy",
    "__memmove_chk": [3 < 2] [] => "memmove",
    "__mempcpy_chk": [3 < 2] [] => "mempcpy",
    "__strlcpy_chk": [3 < 2] [] => "strlcpy",
    "__strlcat_chk": [3 < 2] [] => "strlcat",
    "__memset_chk": [3 < 2] [] => "memset",
    "__strncpy_chk": [3 < 2] [] => "strncpy",
    "__stpncpy_chk": [3 < 2] [] => "stpncpy",
    "__explicit_bzero_chk": [2 < 1] [] => "explicit_bzero",
    "__read_chk": [3 < 2] [] => "read",
    "__pread_chk": [4 < 2] [] => "pread",
    "__pread64_chk": [4 < 2] [] => "pread",
    "__confstr_chk": [3 < 2] [] => "confstr",
    "__ptsname_r_chk": [3 < 2] [] => "ptsname_r",
    "__ttyname_r_chk": [3 < 2] [] => "ttyname_r",
    "__getlogin_r_chk": [2 < 1] [] => "getlogin_r",
    "__getdomainname_chk": [2 < 1] [] => "getdomainname",
    "__recv_chk": [3 < 2] [3 = 4] => "recv",
    "__readlink_chk": [3 < 2] [] => "readlink",
    "__readlinkat_chk": [4 < 3] [] => "readlinkat",
    "__getcwd_chk": [2 < 1] [] => "getcwd",
    "__gethostname_chk": [2 < 1] [] => "gethostname",
}

/// Functions that return a constant.
macro_rules! constant {
    ($($glibc:literal = $value:literal,)*) => {$(
        function!($glibc, [result!($value)]);
    )*};
}

// Without unwinding tables no frame is found, and the allocator has nothing to trace, trim or set.
constant! {
    "backtrace" = 0, "backtrace_symbols" = 0, "backtrace_symbols_fd" = 0,
    "mtrace" = 0, "muntrace" = 0,
    "malloc_stats" = 0, "malloc_trim" = 0, "mallopt" = 0, "malloc_info" = -1,
}

/// Linux's system calls of at most five arguments that this musl has no function for.
macro_rules! system_call {
    ($($glibc:literal = $number:path,)*) => {$(
        function!($glibc, [shift!(), jump!("syscall")], number = const $number);
    )*};
}

system_call! {
    "tgkill" = n::TGKILL, "getcpu" = n::GETCPU, "renameat2" = n::RENAMEAT2,
    "execveat" = n::EXECVEAT, "statx" = n::STATX, "pidfd_open" = n::PIDFD_OPEN,
    "close_range" = n::CLOSE_RANGE,
}

/// A checked function found that its destination is too small.
extern "C" fn buffer_overflow() -> ! {
    panic!(
        "a C function was about to write beyond its buffer, or to jump into one that has returned \
        (_FORTIFY_SOURCE)"
    )
}
