//! `soil_printexc()` and `soil_format()`: return the block of OCaml's module `Printexc` or
//! `Format`, or `()` in a program without it.
//!
//! The references are weak, so that they link nothing: `Printexc` and its dependencies take 300 KB,
//! `Format` 200.

macro_rules! weak {
    ($function:literal, $module:literal, $($instruction:expr),* $(,)?) => {
        core::arch::global_asm!(
            concat!(".section .text.", $function, ",\"ax\",@progbits"),
            concat!(".weak camlStdlib__", $module),
            concat!(".globl ", $function),
            concat!(".type ", $function, ",@function"),
            concat!($function, ":"),
            $($instruction,)*
            concat!(".size ", $function, ", . - ", $function),
        );
    };
    // Returns the module's address, or 1, which is OCaml's `()`.
    ($function:literal, $module:literal) => {
        #[cfg(target_arch = "x86_64")]
        weak!(
            $function,
            $module,
            concat!("mov rax, [rip + camlStdlib__", $module, "@GOTPCREL]"),
            "test rax, rax",
            "jnz 2f",
            "mov eax, 1",
            "2:",
            "ret",
        );
        #[cfg(target_arch = "aarch64")]
        weak!(
            $function,
            $module,
            concat!("adrp x0, :got:camlStdlib__", $module),
            concat!("ldr x0, [x0, :got_lo12:camlStdlib__", $module, "]"),
            "cmp x0, #0",
            "csinc x0, x0, xzr, ne",
            "ret",
        );
    };
}

weak!("soil_printexc", "Printexc");
weak!("soil_format", "Format");
