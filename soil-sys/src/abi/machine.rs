//! The machine itself, virtual clocks, and random numbers.

use crate::ffi::{Bytes, Int, Ints};
use platform::error::Error;
use platform::{Clock, Memory, System};
use resources::clock;
use resources::current::Current;
use resources::metadata;
use resources::random;
use resources::runtime::call;
use resources::types::copy;
use resources::types::records::MachineMemory;

/// Fills `into` with a `MachineMemory`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_machine_memory(mut into: Ints) -> Int {
    call(|_| {
        let memory = Current::memory();
        let [total, in_use, free, high_water] =
            memory.map(|bytes| Int::try_from(bytes).unwrap_or(Int::MAX >> 1));
        let record = MachineMemory {
            total,
            in_use,
            free,
            high_water,
        };
        into.fill(&record.numbers());
        Ok(0)
    })
}

/// Copies a description of the machine's devices, one a line, to `into[off .. off + len]`, cut
/// where it doesn't fit; returns its whole length.
#[unsafe(no_mangle)]
pub extern "C" fn soil_machine_devices(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|_| {
        let text = Current::devices();
        let into = into.range(off, len)?;
        Ok(copy(text.as_bytes(), into))
    })
}

/// Copies what the machine's last start left to `into[off .. off + len]`, cut where it doesn't fit,
/// and returns its whole length: a line with the exit status, the number of failures in a row and
/// the seconds since 1970 (0: unknown), and the end of its error output. Errors: `Not_found`: it
/// didn't fail, or the machine keeps nothing (`SOIL_ON_FAILURE`).
#[unsafe(no_mangle)]
pub extern "C" fn soil_machine_last_failure(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|_| {
        let text = Current::last_failure().ok_or(Error::NotFound)?;
        let into = into.range(off, len)?;
        Ok(copy(&text, into))
    })
}

/// Copies one of the machine's metadata (`INSTANCE_*`; with an `index` those of which there are
/// several) to `into[off .. off + len]`, cut where it doesn't fit; returns its whole length. The
/// first call of a process reads the file that `SOIL_METADATA` names. Errors: `Not_found`: there
/// are no metadata, or not so many; others with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_instance_text(
    which: Int,
    index: Int,
    mut into: Bytes,
    off: Int,
    len: Int,
) -> Int {
    call(|rt| metadata::text(rt, which, index, into.range(off, len)?))
}

/// Starts the machine again. Errors: `Unsupported` in the process.
#[unsafe(no_mangle)]
pub extern "C" fn soil_machine_reboot() -> Int {
    call(|_| {
        Current::reboot();
        Err(Error::Unsupported.into())
    })
}

/// Fills `into[off .. off + len]` with random bytes fit for keys; returns `len`. `WOULD_BLOCK`:
/// entropy is being collected, see [`soil_random_seed`]. Errors: `No_entropy` with a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_random_fill(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| random::fill(rt, into.range(off, len)?))
}

/// Waits until [`soil_random_fill`] can answer: 0 at once, or `PENDING`. Errors: `No_entropy` with
/// a detail.
#[unsafe(no_mangle)]
pub extern "C" fn soil_random_seed(token: Int) -> Int {
    // Both platforms seed the generator with the first number.
    let _ = token;
    call(|_| Ok(0))
}

/// Gives the scheduler's thread, which calls it, virtual clocks that stand at these nanoseconds
/// until the next call: the one that never jumps, and the one since 1970-01-01 00:00 UTC. Both are
/// above 0; with 0 and 0 it has the machine's again. Waits still use the machine's. Returns 0.
/// Errors: `Invalid`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_clock_set_virtual(monotonic_ns: Int, wall_ns: Int) -> Int {
    call(|_| {
        let times = [monotonic_ns, wall_ns].map(u64::try_from);
        let [Ok(monotonic), Ok(wall)] = times else {
            return Err(Error::Invalid.into());
        };
        clock::set_virtual(monotonic, wall);
        Ok(0)
    })
}

/// Nanoseconds of the machine's clock that never jumps, also where the program's are virtual.
#[unsafe(no_mangle)]
pub extern "C" fn soil_clock_machine_ns() -> Int {
    Int::try_from(Current::monotonic_ns()).unwrap_or(Int::MAX >> 1)
}

/// Number of the scheduler's operations in progress that something besides its tasks may complete.
#[unsafe(no_mangle)]
pub extern "C" fn soil_operations_outside() -> Int {
    call(|rt| Ok(rt.outstanding_outside()))
}
