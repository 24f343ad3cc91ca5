//! The linker script, with what depends on the processor.

use crate::arch::Arch;

/// The layout of all images, with words to replace.
const TEMPLATE: &str = include_str!("image.ld");

/// Returns the linker script for images of this processor.
pub fn script(arch: Arch) -> String {
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
        .fold(script, |script, (name, value)| script.replace(name, value))
}

#[cfg(test)]
mod tests {
    use super::script;
    use crate::arch::Arch;

    #[test]
    fn each_word_is_replaced() {
        for (arch, format) in [
            (Arch::X86_64, "OUTPUT_FORMAT(elf64-x86-64)"),
            (Arch::Aarch64, "OUTPUT_FORMAT(elf64-littleaarch64)"),
        ] {
            let script = script(arch);
            assert!(script.contains(format) && !script.contains('@'), "{script}");
        }
    }
}
