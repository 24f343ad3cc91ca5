//! Random bytes: from the processor, from the loader, and from a driver of entropy devices, which
//! falls back on the jitter of the processor's counter.
//!
//! Without any a request fails: predictable numbers are worse than none.

pub use crate::arch::random::{fill as hardware, refresh};
pub use crate::seed::{Seed, take as take_seed};

use crate::arch::random::instructions;
use crate::board::handover;
use crate::part::Slot as _;
use crate::{console, memory, vmclock};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// A source of random numbers, and its use of a seed in a file.
pub trait Source: Sync {
    /// Fills a slice with random numbers; false on failure.
    fn fill(&self, into: &mut [u8]) -> bool;
    /// See [`wants_seed`].
    fn wants_seed(&self) -> bool;
    /// See [`next_seed`].
    fn next_seed(&self, old: Option<&Seed>) -> Option<Seed>;
    /// See [`admit_seed`].
    fn admit_seed(&self);
}

crate::slot! {
    /// The source: one, if the link driver saw that the program may request random numbers and
    /// linked the driver of entropy devices, else none.
    pub enum Sources: &'static dyn Source = "random";
}

/// Whether a seed in a file is of use: this program requests random numbers, this machine has no
/// source of them but the jitter of its counter, and no seed was admitted yet.
pub fn wants_seed() -> bool {
    Sources::parts().iter().any(|source| source.wants_seed())
}

/// Mixes in `old`, what the seed's file holds, and returns what it is to hold next. `None`: the
/// machine has other sources, or there was nothing to derive it from.
pub fn next_seed(old: Option<&Seed>) -> Option<Seed> {
    Sources::parts().first()?.next_seed(old)
}

/// The result of [`next_seed`] is on stable storage in place of `old`: only then `old` counts as a
/// source.
pub fn admit_seed() {
    for source in Sources::parts() {
        source.admit_seed();
    }
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
    let filled = Sources::parts().iter().any(|source| source.fill(buffer)) || hardware(buffer);
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
    id.or_else(|| Some([vmclock::generation()?, 0]))
}
