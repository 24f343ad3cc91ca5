//! For tests: builders of device trees and of ACPI's tables, and memory with such tables.

pub mod aml;

use crate::fdt::{Fdt, Token};
use crate::memory::Physical;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Memory with these bytes from address 0 on.
#[derive(Clone, Debug)]
pub struct Memory(pub Vec<u8>);

impl Physical for Memory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        self.0.get(usize::try_from(address).ok()?..)?.get(..len)
    }
}

/// Makes the sum of the bytes 0, by the byte at `at`.
pub fn sum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}

/// A table of ACPI of `len` bytes with these fields: offset and bytes.
pub fn table(signature: &[u8; 4], len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(signature);
    bytes[4..8].copy_from_slice(&(len as u32).to_le_bytes());
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    sum(&mut bytes, 9);
    bytes
}

/// The tree as text, a line for each node and each property.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut path = Vec::new();
    let tree = Fdt::parse(bytes).expect("a tree");
    for token in tree.tokens() {
        match token {
            Token::Begin(name) => {
                path.push(String::from_utf8_lossy(name).into_owned());
                let _ = writeln!(text, "{}/", path.join("/"));
            }
            Token::End => drop(path.pop()),
            Token::Property { name, value } => {
                let name = tree.name(name).expect("a name");
                let (path, name) = (path.join("/"), String::from_utf8_lossy(name));
                let is_text = value.ends_with(&[0])
                    && value
                        .iter()
                        .all(|byte| *byte == 0 || (32..127).contains(byte))
                    && value.first() != Some(&0);
                let _ = match is_text {
                    true => {
                        let value = String::from_utf8_lossy(value).replace('\0', "|");
                        writeln!(text, "{path}/{name} = {value}")
                    }
                    false => {
                        let words: Vec<String> = value
                            .chunks(4)
                            .map(|word| {
                                word.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))
                            })
                            .map(|word| format!("{word:x}"))
                            .collect();
                        writeln!(text, "{path}/{name} = <{}>", words.join(" "))
                    }
                };
            }
            Token::Last => assert!(path.is_empty()),
        }
    }
    text
}

/// Writes a tree, as loaders do.
#[derive(Debug, Default)]
pub struct Builder {
    structure: Vec<u8>,
    strings: Vec<u8>,
    reservations: Vec<[u64; 2]>,
}

impl Builder {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    fn align(&mut self) {
        while !self.structure.len().is_multiple_of(4) {
            self.structure.push(0);
        }
    }

    /// Adds an entry to the list of reserved memory.
    pub fn reserve(mut self, address: u64, len: u64) -> Self {
        self.reservations.push([address, len]);
        self
    }

    /// Begins a node.
    pub fn begin(mut self, name: &str) -> Self {
        self.word(1);
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.align();
        self
    }

    /// Ends the last node that began.
    pub fn end(mut self) -> Self {
        self.word(2);
        self
    }

    /// Adds a property.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        for word in [3, value.len() as u32, at] {
            self.word(word);
        }
        self.structure.extend(value);
        self.align();
        self
    }

    /// Adds a property with a string.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, format!("{value}\0").as_bytes())
    }

    /// Adds a property with words.
    pub fn words(self, name: &str, value: &[u32]) -> Self {
        let bytes: Vec<u8> = value.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.bytes(name, &bytes)
    }

    /// The bytes of the tree.
    pub fn finish(mut self) -> Vec<u8> {
        self.word(9);
        let reservations = self.reservations.iter().flatten();
        let mut reservations: Vec<u8> = reservations.flat_map(|half| half.to_be_bytes()).collect();
        reservations.extend([0; 16]);
        let structure = 40 + reservations.len();
        let strings = structure + self.structure.len();
        let total = strings + self.strings.len();
        let words = [
            0xd00d_feed,
            total,
            structure,
            strings,
            40,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let header = words.iter().flat_map(|word| (*word as u32).to_be_bytes());
        let parts = [reservations, self.structure, self.strings];
        header.chain(parts.into_iter().flatten()).collect()
    }
}

/// A tree like that of QEMU's `virt`.
pub fn virt() -> Vec<u8> {
    let root = Builder::new()
        .reserve(0x4800_0000, 0x1000)
        .begin("")
        .text("compatible", "linux,dummy-virt")
        .words("#address-cells", &[2])
        .words("#size-cells", &[2])
        .begin("reserved-memory")
        .words("#address-cells", &[2])
        .words("#size-cells", &[2])
        .begin("secret@47000000")
        .words("reg", &[0, 0x4700_0000, 0, 0x2000])
        .end()
        .end()
        .begin("memory@40000000")
        .text("device_type", "memory")
        .words("reg", &[0, 0x4000_0000, 0, 0x800_0000, 8, 0, 1, 0])
        .end()
        .begin("chosen")
        .text("bootargs", "A=1 -- x")
        .text("stdout-path", "/pl011@9000000")
        .end()
        .begin("intc@8000000")
        .words("phandle", &[0x8005])
        .words("#address-cells", &[2])
        .words("#size-cells", &[2])
        .bytes("compatible", b"arm,cortex-a15-gic\0arm,gic\0")
        .words(
            "reg",
            &[0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000],
        )
        .begin("v2m@8020000")
        .text("compatible", "arm,gic-v2m-frame")
        .words("reg", &[0, 0x802_0000, 0, 0x1000])
        .end()
        .end();
    root.begin("pl011@9000000")
        .bytes("compatible", b"arm,pl011\0arm,primecell\0")
        .words("reg", &[0, 0x900_0000, 0, 0x1000])
        .words("interrupts", &[0, 1, 4])
        .end()
        .begin("pl011@9040000")
        .text("status", "disabled")
        .text("compatible", "arm,pl011")
        .end()
        .begin("virtio_mmio@a000200")
        .text("compatible", "virtio,mmio")
        .words("reg", &[0, 0xa00_0200, 0, 0x200])
        .words("interrupts", &[0, 0x11, 1])
        .end()
        .end()
        .finish()
}
