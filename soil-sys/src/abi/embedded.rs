//! Files that are part of the program.

use crate::ffi::{Int, Text};
use resources::files::embedded as glue;
use resources::runtime::call;

/// Adds a file to the tree that [`soil_embed_mount`] mounts: `path` in the tree, and its contents.
/// A string that is static data of the program is used where it lies, for good; another one is
/// copied.
#[unsafe(no_mangle)]
pub extern "C" fn soil_embed_file(path: Text, contents: Text) -> Int {
    call(|rt| glue::add(rt, path.utf8()?, contents.for_good()))
}

/// Mounts the files that were added since the last call at `point`, unless `SOIL_MOUNT` names
/// something else for that. Errors: `Exists`, `Invalid_name`, `Out_of_memory`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_embed_mount(point: Text) -> Int {
    call(|rt| glue::mount(rt, point.utf8()?))
}
