//! Names that the prebuilt `core` and `alloc` mention because they were compiled to unwind. With
//! panic=abort nothing does.

/// Named in unwind tables (the personality routine of the Itanium C++ ABI, part 1.6).
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Named in the clean-up of functions of `alloc`, which no panic reaches.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("a panic unwound");
}
