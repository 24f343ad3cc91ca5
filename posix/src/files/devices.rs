//! Devices without hardware: `/dev/null`, `/dev/zero` and `/dev/urandom`.

use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::Stat;
use alloc::string::String;

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Accepts all data, and is at its end.
    Null,
    /// Accepts all data, and yields zeros.
    Zero,
    /// Accepts all data, and yields random bytes.
    Random,
}

/// The kernel's function: an image has a driver of entropy devices only if its program requests
/// random numbers.
#[cfg(feature = "image")]
use kernel::random::fill;

#[cfg(not(feature = "image"))]
fn fill(into: &mut [u8]) -> bool {
    <resources::current::Current as platform::Entropy>::random(into).is_ok()
}

impl File for Device {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::special(libc::S_IFCHR, 0o666, 1))
    }

    fn name(&self) -> String {
        let name = match self {
            Device::Null => "/dev/null",
            Device::Zero => "/dev/zero",
            Device::Random => "/dev/urandom",
        };
        name.into()
    }

    fn read(&self, into: &mut [u8], _: Offset, _: i32) -> Result<usize> {
        match self {
            Device::Null => return Ok(0),
            Device::Zero => into.fill(0),
            Device::Random if fill(into) => {}
            Device::Random => return Err(libc::EIO),
        }
        Ok(into.len())
    }

    fn write(&self, from: &[u8], _: Offset, _: i32) -> Result<usize> {
        Ok(from.len())
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    /// As on Linux, of random bytes only.
    fn can_poll(&self) -> bool {
        *self == Device::Random
    }
}
