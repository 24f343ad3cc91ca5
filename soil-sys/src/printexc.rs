//! `soil_printexc()`: the block of OCaml's module `Printexc`, or `()` in a program that doesn't
//! have it.
//!
//! The reference is weak, so that it links nothing: the module and what it brings are 300 KB.

core::arch::global_asm!(
    ".section .text.soil_printexc,\"ax\",@progbits",
    ".weak camlStdlib__Printexc",
    ".globl soil_printexc",
    ".type soil_printexc,@function",
    "soil_printexc:",
    "mov rax, [rip + camlStdlib__Printexc@GOTPCREL]",
    "test rax, rax",
    "jnz 2f",
    "mov eax, 1", // OCaml's ()
    "2:",
    "ret",
    ".size soil_printexc, . - soil_printexc",
);
