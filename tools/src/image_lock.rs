//! Locks images that a command works on, and finds the process that holds a lock.

use crate::failure::Failure;
use crate::messages::say;
use lock::{InUse, Refusal, Usage};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// A lock on an image, released on drop.
#[derive(Default)]
pub struct Held {
    _file: Option<File>,
}

/// Locks the image. Returns no lock if the file isn't an image or can't be opened, which the
/// command reports itself; and, after a warning, if it can't be locked.
pub fn take(path: &Path, usage: Usage) -> Result<Held, Failure> {
    match taken(path, usage) {
        Ok(file) => Ok(Held { _file: file }),
        Err(Refusal::Unsupported(number)) => {
            let error = std::io::Error::from_raw_os_error(number);
            say(&format!(
                "{}: can't be locked ({error}): see to it that no program uses it",
                path.display()
            ));
            Ok(Held { _file: None })
        }
        Err(Refusal::InUse(other)) => Err(Failure::on(path, other.text()).remedy("end that first")),
    }
}

/// Finds a conflicting use of the image by another process.
pub fn other_use(path: &Path, usage: Usage) -> Option<InUse> {
    match taken(path, usage) {
        Err(Refusal::InUse(other)) => Some(other),
        Ok(_) | Err(Refusal::Unsupported(_)) => None,
    }
}

/// Opens and locks the image. `None` if the file isn't an image.
fn taken(path: &Path, usage: Usage) -> Result<Option<File>, Refusal> {
    let is_image = |kind: std::fs::FileType| kind.is_file() || kind.is_block_device();
    // Opening other kinds of files could block or have side effects.
    if !std::fs::metadata(path).is_ok_and(|known| is_image(known.file_type())) {
        return Ok(None);
    }
    let Ok(file) = File::open(path) else {
        return Ok(None);
    };
    lock::take(file.as_raw_fd(), usage)?;
    Ok(Some(file))
}
