//! `futex`.

use super::time::{absolute_deadline, deadline};
use crate::errors::Result;
use kernel::threads::futex;

/// The bits of an operation without its options.
const OPERATION: i32 = 0x7f;
const ALL_BITS: u32 = u32::MAX;

/// Whether a call waits for no time that it loads from the program's memory.
pub fn has_no_timeout([_, operation, _, timeout, ..]: [u64; 6]) -> bool {
    let operation = operation as i32 & OPERATION;
    timeout == 0 || !matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET)
}

/// `futex`: the wait of one thread, and wake-ups of others.
pub fn call([address, operation, value, fourth, other, sixth]: [u64; 6]) -> Result<u64> {
    let is_real = operation as i32 & libc::FUTEX_CLOCK_REALTIME != 0;
    let count = u64::from(value as u32);
    let bits = Some(sixth as u32).filter(|bits| *bits != 0);
    let bits = bits.ok_or(libc::EINVAL);
    let move_ = u64::from(fourth as u32);
    match operation as i32 & OPERATION {
        libc::FUTEX_WAIT => futex::wait(address, value as u32, ALL_BITS, deadline(fourth, 1)?)?,
        libc::FUTEX_WAIT_BITSET => {
            let deadline = absolute_deadline(fourth, is_real)?;
            futex::wait(address, value as u32, bits?, deadline)?;
        }
        libc::FUTEX_WAKE => return Ok(futex::wake(address, ALL_BITS, count)?),
        libc::FUTEX_WAKE_BITSET => return Ok(futex::wake(address, bits?, count)?),
        libc::FUTEX_REQUEUE => return Ok(futex::requeue(address, other, count, move_, None)?),
        libc::FUTEX_CMP_REQUEUE => {
            let expected = Some(sixth as u32);
            return Ok(futex::requeue(address, other, count, move_, expected)?);
        }
        _ => return Err(libc::ENOSYS),
    }
    Ok(0)
}
