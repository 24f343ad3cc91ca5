//! Functions of files that few programs call: times, ranges, and the statistics of caches.

use crate::ffi::{Int, Ints, Text};
use platform::error::Error;
use reactor::table::Fd;
use resources::files::cache;
use resources::files::file as glue;
use resources::runtime::call;

/// Sets when the contents of what `path` names were last read and last changed, each in seconds
/// since 1970 and nanoseconds of that; -1 nanoseconds leave it as it is. A symbolic link at the end
/// is followed if `follow` is 1. A moment that the file system can't say becomes the nearest that
/// it can. Errors: `Not_found`, `Read_only`, `Unsupported`, `Invalid`, …
#[unsafe(no_mangle)]
pub extern "C" fn soil_fs_set_times(
    path: Text,
    follow: Int,
    accessed: Int,
    accessed_ns: Int,
    modified: Int,
    modified_ns: Int,
    token: Int,
) -> Int {
    call(|rt| {
        let times = [
            glue::time(accessed, accessed_ns)?,
            glue::time(modified, modified_ns)?,
        ];
        glue::set_times(rt, path.utf8()?, follow == 1, times, token)
    })
}

/// Changes the room of `len` bytes of the file from `position` on: `how` 0 gives it room, and the
/// file grows to its end; 1 does so and leaves the size; 2 makes it a hole; 3 makes it zeros that
/// have room, and the file grows to its end. Errors: `No_space`, `Too_large`, `Read_only`,
/// `Unsupported`, `Invalid` for no bytes.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_allocate(
    fd: Int,
    how: Int,
    position: Int,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::allocate(rt, Fd::decode(fd)?, how, (position, len), token))
}

/// The first byte of the file from `position` on that is data, or in a hole if `hole` is 1; the
/// result is the byte after that, or 0 where there is none. The end of the file is a hole unless
/// `position` is there or past it.
#[unsafe(no_mangle)]
pub extern "C" fn soil_file_next(fd: Int, position: Int, hole: Int, token: Int) -> Int {
    call(|rt| glue::next(rt, Fd::decode(fd)?, position, hole == 1, token))
}

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
