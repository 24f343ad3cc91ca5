//! Panic and allocator shims, in place of the standard library's.
//!
//! The prebuilt `core` and `alloc` were compiled to unwind and refer to the two functions below.
//! With panic=abort neither is called. The image's panic handler and allocator are the kernel's.

#[cfg(feature = "process")]
mod process;

/// Referenced by unwind tables (the personality routine of the Itanium C++ ABI, part 1.6).
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Referenced by the clean-up code of functions in `alloc`, which no panic reaches.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("a panic unwound");
}
