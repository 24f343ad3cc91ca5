//! The metadata of a process: those on the disk image that `SOIL_METADATA` names.

use crate::folder::calls::stat;
use crate::owned_fd::OwnedFd;
use crate::{Host, check, errno};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use fs::{Block, BlockError};
use metadata::Instance;
use platform::System;
use platform::error::{Error, Failure};

/// The environment variable.
const VARIABLE: &str = "SOIL_METADATA";
/// Bytes of a sector.
const SECTOR: usize = 512;

/// The metadata, never freed; null before they are read. Written by calls only.
static INSTANCE: AtomicPtr<Option<Instance>> = AtomicPtr::new(null_mut());

impl platform::Metadata for Host {
    fn instance() -> Result<Option<&'static Instance>, Failure> {
        // Acquire: pairs with the store. SAFETY: only boxes that are never freed are stored there.
        if let Some(known) = unsafe { INSTANCE.load(Ordering::Acquire).as_ref() } {
            return Ok(known.as_ref());
        }
        let read: &'static Option<Instance> = Box::leak(Box::new(read()?));
        // Release: the box is complete for who loads its address.
        INSTANCE.store(core::ptr::from_ref(read).cast_mut(), Ordering::Release);
        if let Some(ignored) = read.as_ref().map(|instance| &instance.ignored)
            && !ignored.is_empty()
        {
            log::warn!("{VARIABLE}: ignored: {}", ignored.join("; "));
        }
        Ok(read.as_ref())
    }
}

fn read() -> Result<Option<Instance>, Failure> {
    let path = match Host::variable(VARIABLE) {
        Some(path) if path != "none" => path,
        _ => return Ok(None),
    };
    let wrong = |error, detail| Failure::new(error, format!("{VARIABLE}: {path}: {detail}"));
    let image = Image::open(&path).map_err(|detail| wrong(Error::BadConfiguration, detail))?;
    let found = metadata::disk::read(&mut || Box::new(image.clone()))
        .map_err(|error| wrong(Error::BadConfiguration, format!("{error}")))?;
    found.map(Some).ok_or_else(|| {
        let detail =
            "no file system with the label cidata or config-2: make one with cloud-localds";
        wrong(Error::BadConfiguration, String::from(detail))
    })
}

/// A file that is read as a disk.
#[derive(Clone)]
struct Image {
    fd: Arc<OwnedFd>,
    sectors: u64,
}

impl Image {
    fn open(path: &str) -> Result<Self, String> {
        let name = CString::new(path).map_err(|_| String::from("a NUL in the name"))?;
        // A pipe isn't waited for.
        let mode = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: `name` ends with a zero byte.
        let fd = OwnedFd(unsafe { libc::open(name.as_ptr(), mode) });
        if fd.0 < 0 {
            let reason = match errno() {
                libc::ENOENT => "no such file",
                libc::EACCES => "permission denied",
                _ => "the file can't be opened",
            };
            return Err(String::from(reason));
        }
        let kind = stat(&fd).map(|stat| stat.st_mode & libc::S_IFMT);
        // SAFETY: a plain query of a descriptor, whose file offset is unused.
        let size = check(unsafe { libc::lseek(fd.0, 0, libc::SEEK_END) } as isize);
        let size = size.ok().filter(|_| kind != Ok(libc::S_IFDIR));
        let size = size.ok_or_else(|| String::from("not a disk image, but a folder or a pipe"))?;
        Ok(Self {
            fd: Arc::new(fd),
            sectors: (size / SECTOR) as u64,
        })
    }
}

impl Block for Image {
    fn sector_size(&self) -> usize {
        SECTOR
    }

    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&mut self, first_sector: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        let mut offset = first_sector
            .checked_mul(SECTOR as u64)
            .and_then(|offset| i64::try_from(offset).ok())
            .ok_or(BlockError::OutOfRange)?;
        let mut rest = buffer;
        while !rest.is_empty() {
            // SAFETY: writes within `rest`.
            let read =
                unsafe { libc::pread(self.fd.0, rest.as_mut_ptr().cast(), rest.len(), offset) };
            match check(read) {
                Ok(0) => return Err(BlockError::OutOfRange),
                Ok(count) => {
                    offset += count as i64;
                    rest = rest.get_mut(count..).unwrap_or_default();
                }
                Err(_) => return Err(BlockError::Io),
            }
        }
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Image;
    use alloc::ffi::CString;
    use alloc::string::String;
    use std::path::Path;

    fn refused(path: &Path) -> String {
        let path = path.to_str().expect("UTF-8");
        Image::open(path).err().expect("no image")
    }

    #[test]
    fn what_is_no_disk_image_is_refused_at_once() {
        let folder =
            std::env::temp_dir().join(std::format!("soil-metadata-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let pipe = folder.join("pipe");
        let name = CString::new(pipe.to_str().expect("UTF-8")).expect("no NUL");
        // SAFETY: `name` ends with a zero byte.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let found = [&folder, &folder.join("none")].map(|path| refused(path));
        let of_pipe = refused(&pipe);
        std::fs::remove_dir_all(&folder).expect("removed");
        let none = "not a disk image, but a folder or a pipe";
        assert_eq!(found, [none, "no such file"]);
        assert_eq!(of_pipe, none);
    }
}
