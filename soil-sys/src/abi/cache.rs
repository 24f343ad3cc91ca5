//! What the caches of volumes have done: a part of its own, for programs that look.

use crate::error::Error;
use crate::ffi::{Int, Ints, Text};
use crate::files::cache;
use crate::runtime::call;

/// Fills `into` with dirty bytes, reads that needed no device, reads that did, and bytes read
/// ahead, of the volume mounted at `point`; or with an empty `point` those of all volumes since the
/// program started, and then the bytes that what was read takes and may take. The result is 0.
/// Errors: `Not_found` if nothing is mounted there.
#[unsafe(no_mangle)]
pub extern "C" fn soil_cache_statistics(point: Text, mut into: Ints) -> Int {
    call(|rt| {
        let point = point.utf8()?;
        let numbers = cache::statistics(rt, point).ok_or(Error::NotFound)?;
        into.fill(&numbers);
        Ok(0)
    })
}
