//! Call stacks: the words on a stack that point after a call.

use super::machine::{RETURN_AT, ends_with_call};
use super::maps::Modules;
use super::output::line;
use demangle::Demangled;

/// Limits of frames and words, on each of the two stacks.
const MAX_FRAMES: usize = 40;
const MAX_WORDS: u64 = 4096;
/// Pages by which a stack pointer may have passed the end of its stack.
const MAX_PASSED: u64 = 64;
const PAGE: u64 = 4096;
/// Words that are read at a time, from one page.
const CHUNK: usize = 64;

/// Reads words of this process's memory, from one page; `None` if it can't be read.
fn read(address: u64) -> Option<[u64; CHUNK]> {
    let mut words = [0u64; CHUNK];
    let part = |start: u64, len| libc::iovec {
        iov_base: core::ptr::without_provenance_mut(start as usize),
        iov_len: len,
    };
    let len = size_of_val(&words);
    let to = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: len,
    };
    let from = part(address, len);
    // SAFETY: the kernel checks both addresses, and writes within `words`.
    let n = unsafe { libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) };
    (usize::try_from(n) == Ok(len)).then_some(words)
}

/// The word at an address.
fn load(address: u64) -> Option<u64> {
    let len = (CHUNK * 8) as u64;
    let start = address & !(len - 1);
    read(start)?.get((address - start) as usize / 8).copied()
}

/// Whether the memory at an address can be read.
pub fn is_readable(address: u64) -> bool {
    load(address & !7).is_some()
}

fn is_return_address(modules: &Modules, address: u64) -> bool {
    if !modules.contains(address) || !modules.contains(address.wrapping_sub(8)) {
        return false;
    }
    let before = address.wrapping_sub(8);
    let (low, shift) = (load(before & !7), (before & 7) * 8);
    let high = if shift == 0 {
        Some(0)
    } else {
        load((before & !7).wrapping_add(8))
    };
    let (Some(low), Some(high)) = (low, high) else {
        return false;
    };
    let code = (u128::from(high) << 64 | u128::from(low)) >> shift;
    ends_with_call(&(code as u64).to_le_bytes())
}

/// Prints a frame: the address in its file, the library unless it is the program, and the function.
fn frame(modules: &Modules, address: u64, is_return: bool) {
    let Some(place) = modules.place(address) else {
        return line(format_args!("  frame {address:#x} ?"));
    };
    let probe = place.address.wrapping_sub(u64::from(is_return));
    let name = place.file.and_then(|file| file.name(probe));
    if is_return && name.is_none() && place.file.is_some_and(|file| file.is_complete()) {
        // Between functions: a pointer to the next one.
        return;
    }
    let name = Demangled(name.unwrap_or("?"));
    let address = place.address;
    match place.library {
        Some(library) => line(format_args!("  frame {address:#x} in {library}: {name}")),
        None => line(format_args!("  frame {address:#x} {name}")),
    }
}

/// Prints the call stack of a thread at `instruction`, with its stack pointer at `stack`. `leaf` is
/// what the register for return addresses has, if the processor has one.
pub fn print(modules: &Modules, instruction: u64, leaf: Option<u64>, stack: u64) {
    frame(modules, instruction, false);
    let mut last = None;
    // A jump to an address without code: the caller is what counts.
    if let Some(leaf) = leaf.filter(|leaf| is_return_address(modules, *leaf)) {
        frame(modules, leaf, true);
        last = Some(leaf);
    }
    let mut trace = Trace { modules, last };
    trace.scan(first_readable(stack & !7), true);
}

/// The first address of a stack that can be read: after an overflow the stack pointer has passed
/// its end.
fn first_readable(stack: u64) -> u64 {
    if is_readable(stack) {
        return stack;
    }
    let pages = (1..=MAX_PASSED).map(|number| (stack & !(PAGE - 1)).wrapping_add(number * PAGE));
    pages
        .into_iter()
        .find(|page| is_readable(*page))
        .unwrap_or(stack)
}

struct Trace<'a> {
    modules: &'a Modules,
    /// The frame printed last.
    last: Option<u64>,
}

impl Trace<'_> {
    /// Prints the return addresses on the stack from `stack` on. With `calls_c`, OCaml may have
    /// called C on this stack: the frames of OCaml's stack come where it has.
    fn scan(&mut self, stack: u64, mut calls_c: bool) {
        let len = (CHUNK * 8) as u64;
        let end = stack.saturating_add(MAX_WORDS * 8);
        let (mut at, mut frames) = (stack, 0);
        while at < end {
            let start = at & !(len - 1);
            let Some(words) = read(start) else { return };
            for (word, address) in words.iter().zip((start..).step_by(8)) {
                if address < at {
                    continue;
                }
                if is_return_address(self.modules, *word) {
                    if self.last.replace(*word) != Some(*word) {
                        frame(self.modules, *word, true);
                        frames += 1;
                    }
                    if frames == MAX_FRAMES {
                        return;
                    }
                } else if calls_c && let Some(other) = self.other_stack(*word, address) {
                    calls_c = false;
                    self.scan(other, false);
                }
            }
            at = start + len;
        }
    }

    /// OCaml's stack pointer, if OCaml has noted at `address`, which has the word `stack`, where it
    /// called C on this stack: its stack and the stack pointer (`struct c_stack_link` of its
    /// runtime). The stack (`struct stack_info`) has the address of its end as the third word.
    fn other_stack(&self, stack: u64, address: u64) -> Option<u64> {
        if !stack.is_multiple_of(8) || stack < PAGE || self.modules.contains(stack) {
            return None;
        }
        let end = load(stack.checked_add(16)?)?;
        let pointer = load(address.checked_add(8)?)?;
        if !pointer.is_multiple_of(8) || !(stack..end).contains(&pointer) {
            return None;
        }
        let to = load(pointer.checked_add(RETURN_AT)?)?;
        is_return_address(self.modules, to).then_some(pointer)
    }
}
