//! What the caches of volumes have done: a part of its own, for programs that look.

use crate::error::Error;
use crate::ffi::{Int, Ints, Text};
use crate::files::cache;
use crate::runtime::call;

/// Fills `into` with the `CacheStatistics` of the volume mounted at `point`, or, if that is empty,
/// of all volumes since the program started. The result is 0. Errors: `Not_found` if nothing is
/// mounted there.
#[unsafe(no_mangle)]
pub extern "C" fn soil_cache_statistics(point: Text, mut into: Ints) -> Int {
    call(|rt| {
        let point = point.utf8()?;
        let statistics = cache::statistics(rt, point).ok_or(Error::NotFound)?;
        into.fill(&statistics.numbers());
        Ok(0)
    })
}
