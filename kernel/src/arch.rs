//! The machine that this kernel runs on. There is one architecture so far: the rest of the kernel
//! names `arch::apic`, not the folder.

mod x86_64;

pub use self::x86_64::*;
