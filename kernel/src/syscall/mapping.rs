//! Memory: `mmap`, `mremap` and `madvise`.

use crate::errno::Errno;
use crate::memory::{self, MapError};

pub(super) fn map(
    [address, len, protection, flags, descriptor, _]: [u64; 6],
) -> Result<u64, Errno> {
    const FIXED: u64 = 0x10;
    const ANONYMOUS: u64 = 0x20;
    const FIXED_NO_REPLACE: u64 = 0x10_0000;
    if flags & ANONYMOUS == 0 {
        return Err(if descriptor < 3 {
            Errno::ENODEV
        } else {
            Errno::EBADF
        });
    }
    if flags & FIXED_NO_REPLACE != 0 && !memory::is_free(address, len) {
        return Err(Errno::EEXIST);
    }
    let fixed = (flags & (FIXED | FIXED_NO_REPLACE) != 0).then_some(address);
    Ok(memory::map(fixed, len, memory::protection(protection)?)?)
}

pub(super) fn remap(start: u64, old_len: u64, new_len: u64, flags: u64) -> Result<u64, Errno> {
    const MAY_MOVE: u64 = 1;
    if flags & !MAY_MOVE != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(memory::remap(
        start,
        old_len,
        new_len,
        flags & MAY_MOVE != 0,
    )?)
}

pub(super) fn advise(start: u64, len: u64, advice: u64) -> Result<u64, Errno> {
    const DONT_NEED: u64 = 4;
    const FREE: u64 = 8;
    if matches!(advice, DONT_NEED | FREE) {
        memory::discard(start, len)?;
    }
    Ok(0)
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Invalid => Self::EINVAL,
            MapError::OutOfMemory | MapError::NotMapped => Self::ENOMEM,
            MapError::Denied => Self::EACCES,
        }
    }
}
