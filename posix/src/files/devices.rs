//! Devices without hardware: `/dev/null`, `/dev/zero` and `/dev/urandom`.

use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::Stat;
use alloc::string::String;

/// Takes everything, and is at its end.
pub struct Null;

/// Takes everything, and gives zeros.
pub struct Zero;

/// Takes everything, and gives random bytes.
pub struct Random;

/// The kernel's function: an image has a driver of entropy devices only if its program asks for
/// random numbers.
#[cfg(feature = "image")]
use kernel::random::fill;

#[cfg(not(feature = "image"))]
fn fill(into: &mut [u8]) -> bool {
    <resources::current::Current as platform::Entropy>::random(into).is_ok()
}

/// Attributes of a character device.
fn stat() -> Result<Stat> {
    Ok(Stat::special(libc::S_IFCHR, 0o666, 1))
}

impl File for Null {
    fn stat(&self) -> Result<Stat> {
        stat()
    }

    fn name(&self) -> String {
        "/dev/null".into()
    }

    fn read(&self, _: &mut [u8], _: Offset, _: i32) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, from: &[u8], _: Offset, _: i32) -> Result<usize> {
        Ok(from.len())
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    fn can_poll(&self) -> bool {
        false
    }
}

impl File for Zero {
    fn stat(&self) -> Result<Stat> {
        stat()
    }

    fn name(&self) -> String {
        "/dev/zero".into()
    }

    fn read(&self, into: &mut [u8], _: Offset, _: i32) -> Result<usize> {
        into.fill(0);
        Ok(into.len())
    }

    fn write(&self, from: &[u8], _: Offset, _: i32) -> Result<usize> {
        Ok(from.len())
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    fn can_poll(&self) -> bool {
        false
    }
}

impl File for Random {
    fn stat(&self) -> Result<Stat> {
        stat()
    }

    fn name(&self) -> String {
        "/dev/urandom".into()
    }

    fn read(&self, into: &mut [u8], _: Offset, _: i32) -> Result<usize> {
        match fill(into) {
            true => Ok(into.len()),
            false => Err(libc::EIO),
        }
    }

    fn write(&self, from: &[u8], _: Offset, _: i32) -> Result<usize> {
        Ok(from.len())
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }
}
