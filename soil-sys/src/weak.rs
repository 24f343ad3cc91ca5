//! `soil_printexc()` and `soil_format()`: return the block of OCaml's module `Printexc` or
//! `Format`, or `()` in a program without it.
//!
//! The references are weak, so that they link nothing: `Printexc` and its dependencies take 300 KB,
//! `Format` 200.

macro_rules! weak {
    ($function:literal, $module:literal) => {
        core::arch::global_asm!(
            concat!(".section .text.", $function, ",\"ax\",@progbits"),
            concat!(".weak camlStdlib__", $module),
            concat!(".globl ", $function),
            concat!(".type ", $function, ",@function"),
            concat!($function, ":"),
            concat!("mov rax, [rip + camlStdlib__", $module, "@GOTPCREL]"),
            "test rax, rax",
            "jnz 2f",
            "mov eax, 1", // OCaml's ()
            "2:",
            "ret",
            concat!(".size ", $function, ", . - ", $function),
        );
    };
}

weak!("soil_printexc", "Printexc");
weak!("soil_format", "Format");
