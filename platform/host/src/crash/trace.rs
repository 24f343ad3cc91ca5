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
    trace.scan(first_readable(stack & !7), true, &mut |address| {
        frame(modules, address, true);
    });
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
    /// Calls `each` with the return addresses on the stack from `stack` on. With `calls_c`, OCaml
    /// may have called C on this stack: the frames of OCaml's stack come where it has.
    fn scan(&mut self, stack: u64, mut calls_c: bool, each: &mut impl FnMut(u64)) {
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
                        each(*word);
                        frames += 1;
                    }
                    if frames == MAX_FRAMES {
                        return;
                    }
                } else if calls_c && let Some(other) = self.other_stack(*word, address) {
                    calls_c = false;
                    self.scan(other, false, each);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::machine::after_calls;
    use std::vec;
    use std::vec::Vec;

    fn modules() -> Modules {
        let mut modules = Modules::new();
        modules.read();
        modules
    }

    fn scanned(modules: &Modules, stack: &[u64], calls_c: bool) -> Vec<u64> {
        let mut found = Vec::new();
        let mut trace = Trace {
            modules,
            last: None,
        };
        trace.scan(stack.as_ptr() as u64, calls_c, &mut |word| found.push(word));
        found
    }

    /// Room before and after a stack, so that a scan reads nothing else.
    fn stack(words: usize) -> Vec<u64> {
        vec![0; words + MAX_WORDS as usize + 2 * CHUNK]
    }

    #[test]
    fn words_of_this_process_are_read() {
        let words: Vec<u64> = (0..3 * CHUNK as u64).collect();
        for (address, number) in (words.as_ptr() as u64..)
            .step_by(8)
            .zip(0..2 * CHUNK as u64)
        {
            assert_eq!(load(address), Some(number));
        }
        assert!(is_readable(words.as_ptr() as u64 + 3));
        assert!(!is_readable(0) && !is_readable(8) && load(u64::MAX - 7).is_none());
    }

    #[test]
    fn an_address_after_a_call_is_a_return_address() {
        let modules = modules();
        for address in after_calls() {
            assert!(is_return_address(&modules, address), "{address:#x}");
            assert!(!is_return_address(&modules, address + 1), "{address:#x}");
        }
        let data = [0u64; 2];
        assert!(!is_return_address(&modules, data.as_ptr() as u64 + 8));
        assert!(!is_return_address(&modules, 0) && !is_return_address(&modules, u64::MAX));
    }

    #[test]
    fn the_call_is_in_the_code_as_well() {
        let call = after_calls()[0];
        for (code, is_return) in [
            (call - 8..call + 8, true),
            (call..call + 8, false),
            (call - 8..call, false),
        ] {
            let modules = Modules::only(code);
            assert_eq!(is_return_address(&modules, call), is_return);
        }
    }

    #[test]
    fn return_addresses_of_a_stack_come_in_their_order() {
        let modules = modules();
        let [a, b, c, ..] = after_calls();
        let mut words = stack(300);
        (words[0], words[1], words[63], words[64], words[299]) = (a, a, b, 7, c);
        assert_eq!(scanned(&modules, &words, true), [a, b, c]);
        assert_eq!(scanned(&modules, &words[1..], true), [a, b, c]);
        assert_eq!(scanned(&modules, &words[2..], true), [b, c]);
    }

    #[test]
    fn a_scan_ends() {
        let modules = modules();
        let [a, b, ..] = after_calls();
        let mut words = stack(2 * CHUNK);
        words[MAX_WORDS as usize - 1] = a;
        words[MAX_WORDS as usize + CHUNK] = b;
        assert_eq!(scanned(&modules, &words, true), [a]);
        let mut many = stack(200);
        for (at, word) in many.iter_mut().take(200).enumerate() {
            *word = [a, b][at % 2];
        }
        assert_eq!(scanned(&modules, &many, true).len(), MAX_FRAMES);
    }

    #[test]
    fn the_stack_of_ocaml_comes_where_it_called_c() {
        let modules = modules();
        let [a, b, c, ..] = after_calls();
        let ocaml = {
            let mut words = stack(40);
            words[2] = words.as_ptr() as u64 + 40 * 8;
            words[10 + RETURN_AT as usize / 8] = b;
            words
        };
        let at = ocaml.as_ptr() as u64;
        let of = |stack, pointer, words: &mut Vec<u64>| {
            (words[0], words[5], words[6], words[9]) = (a, stack, pointer, c);
            scanned(&modules, words, true)
        };
        let mut words = stack(10);
        assert_eq!(of(at, at + 10 * 8, &mut words), [a, b, c]);
        assert_eq!(scanned(&modules, &words, false), [a, c]);
        // Not on the stack, not a multiple of words, no call there.
        for (stack, pointer) in [
            (at, at + 40 * 8),
            (at + 8, at),
            (at, at + 10 * 8 + 1),
            (at + 1, at + 10 * 8),
            (at, at + 8 * 8),
            (0, at),
            (u64::MAX - 7, at),
            (at, u64::MAX - 7),
        ] {
            assert_eq!(of(stack, pointer, &mut words), [a, c], "{stack:#x}");
        }
    }

    #[test]
    fn a_stack_that_has_overflowed_begins_at_its_end() {
        let pages = 4 * PAGE as usize;
        // SAFETY: a new mapping, whose first half loses its rights, and which is unmapped below.
        let start = unsafe {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(core::ptr::null_mut(), pages, rights, flags, -1, 0);
            libc::mprotect(start, pages / 2, libc::PROT_NONE);
            start
        };
        let first = start as u64;
        assert_eq!(first_readable(first + 8), first + 2 * PAGE);
        assert_eq!(first_readable(first + 3 * PAGE + 8), first + 3 * PAGE + 8);
        // SAFETY: the mapping of above.
        unsafe { libc::munmap(start, pages) };
    }
}
