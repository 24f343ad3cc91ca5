//! `flock`, and the records of `fcntl`.

use super::program::{bytes, bytes_mut};
use crate::errors::Result;
use crate::file::Description;
use crate::locks::Owner;
use crate::{locking, process};
use core::ops::Range;

/// `struct flock` of x86-64, except the process.
struct Record {
    kind: i32,
    range: Range<u64>,
}

/// Bytes of `struct flock`.
const RECORD: u64 = 32;
/// The offsets of `l_type`, `l_whence`, `l_start`, `l_len` and `l_pid`.
const KIND: usize = 0;
const WHENCE: usize = 2;
const START: usize = 8;
const LEN: usize = 16;
const PID: usize = 24;

/// The bytes at `at` of a record.
fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let bytes = record
        .get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.unwrap_or([0; N])
}

fn load(description: &Description, at: u64, of_description: bool) -> Result<Record> {
    let record = bytes(at, RECORD)?;
    let [kind, whence] = [KIND, WHENCE].map(|at| i32::from(i16::from_le_bytes(field(record, at))));
    let [start, len] = [START, LEN].map(|at| i64::from_le_bytes(field(record, at)));
    if of_description && i32::from_le_bytes(field(record, PID)) != 0 {
        return Err(libc::EINVAL);
    }
    let base = match whence {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => description.file().seek(0, libc::SEEK_CUR).unwrap_or(0) as i64,
        libc::SEEK_END => description.file().size().unwrap_or(0) as i64,
        _ => return Err(libc::EINVAL),
    };
    let start = base.checked_add(start).ok_or(libc::EOVERFLOW)?;
    let end = start.checked_add(len).ok_or(libc::EOVERFLOW)?;
    let (start, end) = (start.min(end), start.max(end));
    let start = u64::try_from(start).map_err(|_| libc::EINVAL)?;
    Ok(Record {
        kind,
        range: start..if len == 0 { u64::MAX } else { end as u64 },
    })
}

/// `F_GETLK`, `F_SETLK`, `F_SETLKW`, and those of open file descriptions.
pub fn control(descriptor: u64, command: i32, at: u64) -> Result<u64> {
    let description = process::get(descriptor)?;
    let of_description = matches!(
        command,
        libc::F_OFD_GETLK | libc::F_OFD_SETLK | libc::F_OFD_SETLKW
    );
    let record = load(&description, at, of_description)?;
    let owner = match of_description {
        true => Owner::of(&description),
        false => Owner::Process,
    };
    if matches!(command, libc::F_GETLK | libc::F_OFD_GETLK) {
        return get(&description, owner, record, at);
    }
    let kind = match record.kind {
        libc::F_RDLCK => {
            description.check_readable()?;
            Some(false)
        }
        libc::F_WRLCK => {
            description.check_writable()?;
            Some(true)
        }
        libc::F_UNLCK => None,
        _ => return Err(libc::EINVAL),
    };
    let waits = matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW);
    locking::set(&description, owner, record.range, kind, waits)
}

fn get(description: &Description, owner: Owner, record: Record, at: u64) -> Result<u64> {
    let exclusive = match record.kind {
        libc::F_RDLCK => false,
        libc::F_WRLCK => true,
        _ => return Err(libc::EINVAL),
    };
    let found = locking::conflict(description, owner, record.range, exclusive)?;
    let into = bytes_mut(at, RECORD)?;
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(into) = into.get_mut(at..at + bytes.len()) {
            into.copy_from_slice(bytes);
        }
    };
    let Some(lock) = found else {
        put(KIND, &(libc::F_UNLCK as i16).to_le_bytes());
        return Ok(0);
    };
    let kind = if lock.exclusive {
        libc::F_WRLCK
    } else {
        libc::F_RDLCK
    };
    let len = match lock.range.end {
        u64::MAX => 0,
        end => end - lock.range.start,
    };
    // A description's lock has no process.
    let process = if lock.owner == Owner::Process { 1 } else { -1 };
    put(KIND, &(kind as i16).to_le_bytes());
    put(WHENCE, &(libc::SEEK_SET as i16).to_le_bytes());
    put(START, &lock.range.start.to_le_bytes());
    put(LEN, &len.to_le_bytes());
    put(PID, &i32::to_le_bytes(process));
    Ok(0)
}

/// `flock`.
pub fn flock(descriptor: u64, operation: u64) -> Result<u64> {
    let description = process::get(descriptor)?;
    let operation = operation as i32;
    let kind = match operation & !libc::LOCK_NB {
        libc::LOCK_SH => Some(false),
        libc::LOCK_EX => Some(true),
        libc::LOCK_UN => None,
        _ => return Err(libc::EINVAL),
    };
    let owner = Owner::whole(&description);
    let waits = operation & libc::LOCK_NB == 0;
    locking::set(&description, owner, 0..u64::MAX, kind, waits)
}

/// Whether a command of `fcntl` is one of [`control`].
pub fn is_lock(command: u64) -> bool {
    matches!(
        command as i32,
        libc::F_GETLK
            | libc::F_SETLK
            | libc::F_SETLKW
            | libc::F_OFD_GETLK
            | libc::F_OFD_SETLK
            | libc::F_OFD_SETLKW
    )
}
