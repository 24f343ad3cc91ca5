//! Random numbers.

use crate::ffi::{Bytes, Int};
use crate::platform::{Current, Platform};
use crate::random;
use crate::runtime::call;

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
    call(|rt| Current::seed(rt, token))
}
