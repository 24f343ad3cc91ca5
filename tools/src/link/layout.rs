//! The linker script, with the parts that depend on the processor and on C++.

use crate::arch::Arch;

/// The layout of all images, with words to replace.
const TEMPLATE: &str = include_str!("image.ld");

/// Whether exceptions unwind the stack of a program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unwinding {
    /// C++ does, by the tables of frames in the image.
    Cxx,
    /// OCaml's exceptions need none.
    None,
}

impl Unwinding {
    /// The words to replace.
    fn words(self) -> [(&'static str, &'static str); 3] {
        match self {
            Self::Cxx => [
                (
                    "@UNWINDING_HEADER@",
                    "  unwinding PT_GNU_EH_FRAME FLAGS(4);\n",
                ),
                (
                    "@UNWINDING@",
                    "  .eh_frame_hdr : {\n    soil_unwinding_start = .;\n    *(.eh_frame_hdr)\n    \
                    soil_unwinding_end = .;\n  } :read :unwinding\n  \
                    .eh_frame : { KEEP(*(.eh_frame)) } :read\n",
                ),
                ("@FRAMES@", ""),
            ],
            Self::None => [
                ("@UNWINDING_HEADER@", ""),
                (
                    "@UNWINDING@",
                    "  soil_unwinding_start = .;\n  soil_unwinding_end = .;\n",
                ),
                (
                    "@FRAMES@",
                    "  /* Nothing unwinds in this image. The name lets strip take it away; for a \
                    debugger, objcopy renames\n     it to .eh_frame. */\n  \
                    .debug_eh_frame 0 (INFO) : { KEEP(*(.eh_frame)) } :NONE\n",
                ),
            ],
        }
    }
}

/// Returns the linker script for images of this processor.
pub fn script(arch: Arch, unwinding: Unwinding) -> String {
    let words = match arch {
        // Loaded at 1 MiB, at the same physical and virtual address. The text is filled with INT3.
        Arch::X86_64 => [
            ("@FORMAT@", "elf64-x86-64"),
            ("@START@", "0x100000"),
            ("@NOTE@", ".note.Xen"),
            ("@FILL@", "0xcccccccc"),
            ("@INSTRUCTION@", "1"),
            ("@BSS@", ""),
        ],
        // Loaded at any multiple of 2 MiB, which the kernel's first page tables map here. The text
        // is filled with BRK #0. A loader reads only the file's bytes, so the kernel clears the
        // rest itself.
        Arch::Aarch64 => [
            ("@FORMAT@", "elf64-littleaarch64"),
            ("@START@", "0x200000"),
            ("@NOTE@", ".note.Soil"),
            ("@FILL@", "0x000020d4"),
            ("@INSTRUCTION@", "4"),
            ("@BSS@", "  . = ALIGN(16);\n  soil_bss_start = .;\n"),
        ],
    };
    let script = TEMPLATE.to_owned();
    words
        .iter()
        .chain(&unwinding.words())
        .fold(script, |script, (name, value)| script.replace(name, value))
}

#[cfg(test)]
mod tests {
    use super::{Unwinding, script};
    use crate::arch::Arch;

    #[test]
    fn each_word_is_replaced() {
        for (arch, format) in [
            (Arch::X86_64, "OUTPUT_FORMAT(elf64-x86-64)"),
            (Arch::Aarch64, "OUTPUT_FORMAT(elf64-littleaarch64)"),
        ] {
            for (unwinding, frames) in [
                (Unwinding::None, ".debug_eh_frame 0 (INFO)"),
                (Unwinding::Cxx, "} :read :unwinding"),
            ] {
                let script = script(arch, unwinding);
                assert!(
                    script.contains(format) && script.contains(frames),
                    "{script}"
                );
                assert!(!script.contains('@'), "{script}");
            }
        }
    }
}
