//! Counters for metrics: a part of its own, as a program that refers to it carries it.

use crate::ffi::{Bytes, Int};
use resources::runtime::call;
use resources::statistics;

/// Copies what the parts that are in use have counted to `into[off .. off + len]`, cut where it
/// doesn't fit, and returns its whole length. Lines of words: `net NAME VALUE`;
/// `socket PROTOCOL STATE NUMBER`, the state `-` for UDP; `disk REQUESTS NAME` for each disk in
/// use; and for each volume that is open
/// `volume HEALTH TOTAL AVAILABLE HITS MISSES DIRTY READ_AHEAD POINT`, sizes in bytes. `HEALTH` is
/// `writable`, `unflushed`, `read-only`, `corrupt` or, with sizes of 0, `busy`. Nothing is started
/// by asking.
#[unsafe(no_mangle)]
pub extern "C" fn soil_statistics(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| statistics::read(rt, into.range(off, len)?))
}
