//! Random bytes: from the processor, from the loader, and from a driver of entropy devices, which
//! falls back on the jitter of the processor's counter.
//!
//! Without any a request fails: predictable numbers are worse than none.

pub use crate::arch::random::{fill as hardware, refresh};
pub use crate::firmware::seed::take as take_seed;

use crate::arch::random::instructions;
use crate::board::handover;
use crate::{console, firmware, memory};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Fills `len` bytes at the pointer with random numbers; false on failure.
type Source = unsafe extern "C" fn(*mut u8, usize) -> bool;

unsafe extern "C" {
    // The linker script places sources between the two: one, if the link driver saw that the
    // program may request random numbers and linked the driver of entropy devices, else none.
    static soil_entropy_start: Source;
    static soil_entropy_end: Source;
}

/// Places a source of random numbers for processors without one. It is linked only into programs
/// that request random numbers.
#[macro_export]
macro_rules! entropy_source {
    ($function:path) => {
        $crate::place!(".soil_entropy", "soil_with_entropy", $function);
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

macro_rules! remedy {
    () => {
        concat!(
            "give the machine a virtio-rng (QEMU: -device virtio-rng-pci; soil run adds one) or a \
            processor with ",
            instructions!(one),
            " (-cpu max has it)"
        )
    };
}

/// What a machine lacks that has no source of random numbers.
pub const REMEDY: &str = remedy!();

/// Why there are no random numbers, with the remedy.
pub const NONE: &str = concat!(
    "no random numbers: this processor has no ",
    instructions!(all),
    ", no virtio-rng is in use, and the processor's counter is too regular: ",
    remedy!()
);

/// A failure was logged.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Fills `buffer` from the first source that can; false if none can, which is logged once.
pub fn fill(buffer: &mut [u8]) -> bool {
    // SAFETY: the pointer and the length are one slice's.
    let try_source = |source: &Source| unsafe { source(buffer.as_mut_ptr(), buffer.len()) };
    let filled = sources().iter().any(try_source) || hardware(buffer);
    if !filled {
        report();
    }
    filled
}

/// Logs [`NONE`], once.
pub fn report() {
    if !LOGGED.swap(true, Ordering::Relaxed) {
        console::line(format_args!("{NONE}"));
    }
}

/// The mapped identifier of the machine; null if it has none. Written once, by [`machine_id`].
static MACHINE_ID: AtomicPtr<u64> = AtomicPtr::new(null_mut());
/// [`MACHINE_ID`] was probed for.
static PROBED: AtomicBool = AtomicBool::new(false);

/// The machine's identifier, which changes when it resumes from a snapshot: ACPI's "VM generation
/// ID", else VMClock's counter of generations. `None` if it has neither.
#[expect(clippy::disallowed_methods, reason = "memory, not registers")]
pub fn machine_id() -> Option<[u64; 2]> {
    if !PROBED.swap(true, Ordering::Relaxed) {
        let place = handover::machine_id().filter(|at| at % 8 == 0);
        let mapped = place.and_then(|at| memory::map_firmware(at, 16));
        // Release: the mapping exists for who loads its address.
        MACHINE_ID.store(mapped.unwrap_or(null_mut()).cast(), Ordering::Release);
    }
    // Acquire: pairs with the store.
    let id = MACHINE_ID.load(Ordering::Acquire);
    // SAFETY: 16 bytes, mapped for good and aligned.
    let id = (!id.is_null()).then(|| unsafe { [id.read_volatile(), id.add(1).read_volatile()] });
    id.or_else(|| Some([firmware::vmclock::generation()?, 0]))
}
