//! Random bytes: the processor's own source, and those that a driver collects.
//!
//! Where neither is there a request fails: predictable numbers are worse than none.

use crate::errno::Errno;
use crate::{console, firmware, memory};
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// What `open("/dev/urandom")` answers: above all numbers that a descriptor table gives.
pub const DESCRIPTOR: u64 = 0x7fff_0000;

/// Fills `len` bytes at the pointer with random numbers; false where it can't.
type Source = unsafe extern "C" fn(*mut u8, usize) -> bool;

unsafe extern "C" {
    // The linker script puts sources between the two: one, if the link driver saw that the program
    // may ask for random numbers and took the driver of entropy devices in, else none.
    static soil_entropy_start: Source;
    static soil_entropy_end: Source;
}

/// Places a source of random numbers for processors without one. It is linked only into programs
/// that ask for random numbers.
#[macro_export]
macro_rules! entropy_source {
    ($function:path) => {
        core::arch::global_asm!(
            ".pushsection .soil_entropy, \"a\", @progbits",
            ".balign 8",
            ".globl soil_with_entropy",
            "soil_with_entropy:",
            ".quad {}",
            ".popsection",
            sym $function,
        );
    };
}

/// The sources that were linked.
fn sources() -> &'static [Source] {
    let (start, end) = (&raw const soil_entropy_start, &raw const soil_entropy_end);
    let count = (end as usize - start as usize) / size_of::<Source>();
    // SAFETY: the linker script puts whole pointers to functions of this type, from the macro
    // above, between the two.
    unsafe { core::slice::from_raw_parts(start, count) }
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
    /// RDSEED may be out of entropy for a while; RDRAND fails ten times in a row only when broken
    /// (Intel's guide).
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
    // SAFETY: the pointer and the length are one slice's.
    let try_source = |source: &Source| unsafe { source(buffer.as_mut_ptr(), buffer.len()) };
    sources().iter().any(try_source) || hardware(buffer)
}

/// Where the machine's identifier is, once it was looked for; null where it has none.
static MACHINE_ID: AtomicPtr<u64> = AtomicPtr::new(null_mut());
static LOOKED: AtomicBool = AtomicBool::new(false);

/// What the machine calls itself, by ACPI's "VM generation ID": another number once it goes on from
/// a snapshot. `None` where it doesn't.
pub fn machine_id() -> Option<[u64; 2]> {
    if !LOOKED.swap(true, Ordering::Relaxed) {
        let place = firmware::acpi().machine_id.filter(|at| at % 8 == 0);
        let mapped = place.and_then(|at| memory::map_device(at, 16));
        MACHINE_ID.store(mapped.unwrap_or(null_mut()).cast(), Ordering::Release);
    }
    let id = MACHINE_ID.load(Ordering::Acquire);
    // SAFETY: 16 bytes, mapped for good and aligned.
    (!id.is_null()).then(|| unsafe { [id.read_volatile(), id.add(1).read_volatile()] })
}

static EXPLAINED: AtomicBool = AtomicBool::new(false);

/// `getrandom`, and reads of `/dev/urandom`.
pub fn fill_for_program(start: u64, len: u64) -> Result<u64, Errno> {
    let buffer = crate::syscall::bytes_mut(start, len)?;
    if fill(buffer) {
        return Ok(len);
    }
    if !EXPLAINED.swap(true, Ordering::Relaxed) {
        explain();
    }
    Err(Errno::EIO)
}

fn explain() {
    console::line(format_args!(
        "no random numbers: this processor has no RDRAND or RDSEED and no virtio-rng is in use \
         (soil run adds one; -cpu max has RDRAND)"
    ));
}
