//! The functions of C's library that the compiler calls, for programs without that library.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;
