//! The files that are names of Unix-domain sockets. A volume stores an empty file for such a name;
//! that it is one is known for as long as the program runs.

use crate::attributes::Stat;
use alloc::vec::Vec;
use spin::Mutex;

/// A file: the numbers of its volume and of itself.
pub type File = (u64, u64);

static NAMES: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Whether there is any.
pub fn any() -> bool {
    !NAMES.lock().is_empty()
}

/// Whether the file is the name of a socket.
pub fn contains(file: File) -> bool {
    NAMES.lock().contains(&file)
}

/// Notes that the file is the name of a socket.
pub fn add(file: File) {
    NAMES.lock().push(file);
}

/// Runs `operation`, which takes the file of these attributes away if it succeeds.
pub fn remove_with<T>(
    stat: impl FnOnce() -> crate::errors::Result<Stat>,
    operation: impl FnOnce() -> crate::errors::Result<T>,
) -> crate::errors::Result<T> {
    let file = if any() { stat().ok() } else { None };
    let done = operation()?;
    if let Some(stat) = file {
        NAMES.lock().retain(|name| *name != stat.file());
    }
    Ok(done)
}
