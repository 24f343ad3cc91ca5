//! Random bytes: the processor's own source, and those that a driver collects.
//!
//! Where neither is there a request fails: predictable numbers are worse than none.

use crate::console;
use crate::errno::Errno;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicPtr, Ordering};

/// What `open("/dev/urandom")` answers: above all numbers that a descriptor table gives.
pub const DESCRIPTOR: u64 = 0x7fff_0000;

/// Fills the whole slice with entropy, or returns false.
pub type Source = fn(&mut [u8]) -> bool;

static SOURCE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Registers a source to ask where the processor has none.
pub fn set_source(source: Source) {
    SOURCE.store(source as *mut (), Ordering::Release);
}

/// Fills `buffer` from RDSEED or RDRAND; false where the processor has neither, or they fail.
pub fn hardware(buffer: &mut [u8]) -> bool {
    let has_seed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0;
    let has_rand = __cpuid(1).ecx & 1 << 30 != 0;
    if !has_seed && !has_rand {
        return false;
    }
    buffer
        .chunks_mut(8)
        .all(|chunk| match word(has_seed, has_rand) {
            Some(word) => {
                chunk
                    .iter_mut()
                    .zip(word.to_le_bytes())
                    .for_each(|(slot, byte)| *slot = byte);
                true
            }
            None => false,
        })
}

fn word(has_seed: bool, has_rand: bool) -> Option<u64> {
    /// RDSEED may be out of entropy for a while; RDRAND fails ten times in a row only when broken (Intel's guide).
    const TRIES: u32 = 64;
    for _ in 0..TRIES {
        let (value, ok): (u64, u8);
        // SAFETY: the instructions are there, as CPUID says, and change registers only.
        unsafe {
            if has_seed {
                core::arch::asm!("rdseed {}; setc {}", out(reg) value, out(reg_byte) ok);
            } else {
                core::arch::asm!("rdrand {}; setc {}", out(reg) value, out(reg_byte) ok);
            }
        }
        if ok != 0 {
            return Some(value);
        }
    }
    if has_seed && has_rand {
        word(false, true)
    } else {
        None
    }
}

/// Fills `buffer` from the first source that can; false where none can.
pub fn fill(buffer: &mut [u8]) -> bool {
    if hardware(buffer) {
        return true;
    }
    let source = SOURCE.load(Ordering::Acquire);
    // SAFETY: only `set_source` writes it, and a null pointer isn't a function.
    let source: Option<Source> = unsafe { core::mem::transmute(source) };
    source.is_some_and(|source| source(buffer))
}

/// `getrandom`, and reads of `/dev/urandom`.
pub fn fill_for_program(start: u64, len: u64) -> Result<u64, Errno> {
    let buffer = crate::syscall::bytes_mut(start, len)?;
    if fill(buffer) {
        return Ok(len);
    }
    console::line(format_args!(
        "no random numbers: this processor has no RDRAND or RDSEED and no virtio-rng is in use \
         (soil run adds one; -cpu max has RDRAND)"
    ));
    Err(Errno::EIO)
}
