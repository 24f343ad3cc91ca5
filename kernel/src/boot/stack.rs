//! The program's initial stack: arguments, environment and auxiliary vector.
//!
//! Source: System V ABI, AMD64 supplement, 3.4.1 "Initial Stack and Register State", which Linux
//! follows on all processors.

use crate::arch::cpu;
use crate::board::clock::noise;
use crate::memory::{self, aslr};
use alloc::vec::Vec;
use firmware::command_line::CommandLine;

/// The program headers in the image, from the linker script: address, size of each, number. The ELF
/// header, before them, isn't in memory on each processor.
fn program_headers() -> (u64, u64, u64) {
    const ELF_HEADER: u64 = 64;
    const ENTRY: u64 = 56;
    /// Offset of `p_memsz`.
    const MEMORY_SIZE: u64 = 40;
    let start = memory::image::all().start + ELF_HEADER;
    // SAFETY: the first header is that of the headers themselves; the linker script includes it.
    let size = unsafe { ((start + MEMORY_SIZE) as *const u64).read_unaligned() };
    (start, ENTRY, size / ENTRY)
}

const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_PAGESZ: u64 = 6;
const AT_HWCAP: u64 = 16;
const AT_CLKTCK: u64 = 17;
const AT_SECURE: u64 = 23;
const AT_RANDOM: u64 = 25;

/// Builds the stack from the command line; returns its pointer.
pub fn set_up(line: &CommandLine) -> u64 {
    let [offset, canary @ ..] = aslr::numbers::<3>(noise);
    let canary = canary.map(u64::to_le_bytes);
    let mut stack = Stack {
        pointer: memory::stack_end() - 16 - (offset & 0xff0),
    };
    let environment: Vec<u64> = line
        .environment
        .iter()
        .map(|word| stack.string(word))
        .collect();
    let name = line.program().unwrap_or(b"main.exe");
    let arguments: Vec<u64> = core::iter::once(name)
        .chain(line.arguments.iter().map(|word| &word[..]))
        .map(|word| stack.string(word))
        .collect();
    let seed = stack.bytes(canary.as_flattened());
    let (headers, size, count) = program_headers();
    let auxiliary = [
        (AT_PHDR, headers),
        (AT_PHENT, size),
        (AT_PHNUM, count),
        (AT_PAGESZ, 4096),
        (AT_HWCAP, cpu::features()),
        (AT_CLKTCK, 100),
        (AT_SECURE, 0),
        (AT_RANDOM, seed),
        (0, 0),
    ];
    let words = 1 + arguments.len() + 1 + environment.len() + 1 + 2 * auxiliary.len();
    stack.pointer = (stack.pointer - 8 * words as u64) & !15;
    let start = stack.pointer;
    stack.pointer += 8 * words as u64;
    for (tag, value) in auxiliary.into_iter().rev() {
        stack.word(value);
        stack.word(tag);
    }
    stack.word(0);
    environment.iter().rev().for_each(|word| stack.word(*word));
    stack.word(0);
    arguments.iter().rev().for_each(|word| stack.word(*word));
    stack.word(arguments.len() as u64);
    start
}

/// A stack pointer: writes downwards.
struct Stack {
    pointer: u64,
}

impl Stack {
    fn bytes(&mut self, bytes: &[u8]) -> u64 {
        self.pointer -= bytes.len() as u64;
        // SAFETY: the program's stack, which nothing uses yet; the command line is shorter than it.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.pointer as *mut u8, bytes.len());
        }
        self.pointer
    }

    fn string(&mut self, text: &[u8]) -> u64 {
        self.bytes(&[0]);
        self.bytes(text)
    }

    fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }
}
