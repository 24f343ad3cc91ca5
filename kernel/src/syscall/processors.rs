//! Sets of processors in the program's memory, as of `sched_setaffinity`.

use crate::errno::Errno;
use crate::memory::{bytes, copy_out};
use crate::peers::Set;

/// Bytes of a set.
const LEN: u64 = size_of::<Set>() as u64;

/// The set of `len` bytes at `start`, as far as there can be processors.
pub fn load_set(len: u64, start: u64) -> Result<Set, Errno> {
    let mut set = [0; LEN as usize];
    let given = bytes(start, len.min(LEN))?;
    set.iter_mut().zip(given).for_each(|(to, from)| *to = *from);
    Ok(Set::from_le_bytes(set))
}

/// Stores a set in the `room` bytes at `start`; returns its length.
pub fn store_set(set: Set, room: u64, start: u64) -> Result<u64, Errno> {
    if room < LEN || !room.is_multiple_of(LEN) {
        return Err(Errno::EINVAL);
    }
    copy_out(start, room, &set.to_le_bytes()).map(|()| LEN)
}
