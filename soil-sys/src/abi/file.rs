//! What few programs do with files: a part of its own, so that other programs don't carry it.

use crate::files::file as glue;
use crate::runtime::call;
use crate::ty::{Int, Text};

/// Sets when the contents of what `path` names were last read and last changed, each in seconds since 1970 and nanoseconds of that; -1
/// nanoseconds leave it as it is. A symbolic link at the end is followed if `follow` is 1. A moment that the file system can't say
/// becomes the nearest that it can. Errors: `Not_found`, `Read_only`, `Unsupported`, `Invalid`, …
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
