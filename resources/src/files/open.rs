//! Calls on open files and directories.

use super::execute::{at_once, submit};
use super::job::{OpenId, Output, Waiter};
use super::lease;
use super::open_files::{APPEND, DIRECTORY, FILE, OpenFile, moved};
use super::request::{Request, Value};
use crate::Runtime;
use crate::types::{Int, IntsPiece, Piece};
use ::fs::{Fallocate, FileId, Seek};
use alloc::rc::Rc;
use platform::error::{Answer, Error};
use reactor::table::Fd;

/// More bytes than these are not read without a job: it can be cancelled, and other jobs have their
/// turn.
const MAX_AT_ONCE: usize = 1 << 20;

/// The open file with this key.
fn find(rt: &mut Runtime, key: u32) -> Result<(OpenId, &mut OpenFile), Error> {
    let files = rt.resources.files.as_deref_mut().ok_or(Error::Closed)?;
    files.open.find(key)
}

/// The volume, the file on it and the open file of a descriptor.
pub fn on_volume(rt: &mut Runtime, fd: Fd) -> Result<(usize, FileId, OpenId), Error> {
    let key = rt.table.key_of(fd, &FILE)?;
    let (open, file) = find(rt, key)?;
    let (volume, id) = file.on.ok_or(Error::WrongKind)?;
    Ok((volume, id, open))
}

/// Where a transfer begins, and whether the file's position moves: -1 stands for that.
fn offset(position: Int, open: OpenId) -> Result<(u64, Output), Error> {
    match position {
        -1 => Ok((0, Output::Position(open))),
        position => Ok((
            u64::try_from(position).map_err(|_| Error::Invalid)?,
            Output::Number,
        )),
    }
}

/// See `soil_file_read`. What is in memory is read here: no job, no completion, one copy.
pub fn read(rt: &mut Runtime, fd: Fd, into: Piece, position: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, open) = on_volume(rt, fd)?;
    let (offset, output) = offset(position, open)?;
    if into.len() <= MAX_AT_ONCE
        && let Some(Value::Number(n)) = at_once(rt, volume, Request::Read(id, offset, into), output)
    {
        if let (Output::Position(open), Some(files)) = (output, rt.resources.files.as_deref_mut()) {
            files.open.advance(open, n);
        }
        return Ok(n as usize);
    }
    let request = Request::Read(id, offset, into);
    submit(rt, volume, Waiter::Operation(token, output), request)
}

/// See `soil_file_write`.
pub fn write(rt: &mut Runtime, fd: Fd, from: Piece, position: Int, token: Int) -> Answer {
    let (_, _, open) = on_volume(rt, fd)?;
    let append = find(rt, open.key)?.1.append;
    write_at(rt, fd, from, position, append, token)
}

/// As [`write`], at the end of the file if `append`, whatever the descriptor's flag says.
pub fn write_at(
    rt: &mut Runtime,
    fd: Fd,
    from: Piece,
    position: Int,
    append: bool,
    token: Int,
) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, open) = on_volume(rt, fd)?;
    let (offset, output) = offset(position, open)?;
    let offset = if append { APPEND } else { offset };
    let request = Request::Write(id, offset, from);
    submit(rt, volume, Waiter::Operation(token, output), request)
}

/// Sets whether writes go to the file's end, wherever they are to begin.
pub fn set_append(rt: &mut Runtime, fd: Fd, append: bool) -> Answer {
    let (_, _, open) = on_volume(rt, fd)?;
    find(rt, open.key)?.1.append = append;
    Ok(0)
}

/// Asks the volume of a descriptor about its file.
fn ask(
    rt: &mut Runtime,
    fd: Fd,
    token: Int,
    output: Output,
    request: impl FnOnce(FileId) -> Request,
) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    submit(rt, volume, Waiter::Operation(token, output), request(id))
}

/// See `soil_file_size`.
pub fn size(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    ask(rt, fd, token, Output::Number, Request::Size)
}

/// See `soil_file_truncate`.
pub fn truncate(rt: &mut Runtime, fd: Fd, size: u64, token: Int) -> Answer {
    ask(rt, fd, token, Output::Number, |id| {
        Request::Truncate(id, size)
    })
}

/// The forms of [`allocate`] by their numbers.
const FORMS: [Fallocate; 4] = [
    Fallocate::Allocate,
    Fallocate::KeepSize,
    Fallocate::PunchHole,
    Fallocate::ZeroRange,
];

/// See `soil_file_allocate`.
pub fn allocate(rt: &mut Runtime, fd: Fd, how: Int, range: (Int, Int), token: Int) -> Answer {
    let form = usize::try_from(how).ok().and_then(|how| FORMS.get(how));
    let form = *form.ok_or(Error::Invalid)?;
    let position = u64::try_from(range.0).map_err(|_| Error::Invalid)?;
    let len = u64::try_from(range.1).map_err(|_| Error::Invalid)?;
    ask(rt, fd, token, Output::Number, |id| {
        Request::Allocate(id, form, position, len)
    })
}

/// See `soil_file_next`.
pub fn next(rt: &mut Runtime, fd: Fd, position: Int, hole: bool, token: Int) -> Answer {
    let position = u64::try_from(position).map_err(|_| Error::Invalid)?;
    let to = if hole { Seek::Hole } else { Seek::Data };
    ask(rt, fd, token, Output::Number, |id| {
        Request::Seek(id, to, position)
    })
}

/// See `soil_file_lease`.
pub fn lend(rt: &mut Runtime, fd: Fd, position: Int, len: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    let position = u64::try_from(position).map_err(|_| Error::Invalid)?;
    let len = usize::try_from(len)
        .map_err(|_| Error::Invalid)?
        .min(lease::MAX_LEASE);
    if len == 0 {
        return Err(Error::Invalid.into());
    }
    let request = || Request::Lend(id, position, len);
    if let Some(value) = at_once(rt, volume, request(), Output::Lease) {
        let taken = lease::take(rt, value);
        return taken.or_else(|failure| rt.fail(failure));
    }
    submit(
        rt,
        volume,
        Waiter::Operation(token, Output::Lease),
        request(),
    )
}

/// See `soil_file_sync`.
pub fn file_sync(rt: &mut Runtime, fd: Fd, token: Int) -> Answer {
    ask(rt, fd, token, Output::Number, Request::SyncFile)
}

/// See `soil_file_stat`.
pub fn file_stat(rt: &mut Runtime, fd: Fd, into: IntsPiece, token: Int) -> Answer {
    ask(rt, fd, token, Output::Numbers(into), Request::StatFile)
}

/// See `soil_file_contents`.
pub fn contents(rt: &mut Runtime, fd: Fd, into: IntsPiece, token: Int) -> Answer {
    ask(rt, fd, token, Output::Numbers(into), Request::Contents)
}

/// See `soil_file_seek`.
pub fn seek(rt: &mut Runtime, fd: Fd, offset: Int, whence: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, open) = on_volume(rt, fd)?;
    let (_, file) = find(rt, open.key)?;
    let offset = offset as i64;
    let base = match whence {
        0 => 0,
        1 => file.position,
        2 => {
            let output = Output::End { file: open, offset };
            let waiter = Waiter::Operation(token, output);
            return submit(rt, volume, waiter, Request::Size(id));
        }
        _ => return Err(Error::Invalid.into()),
    };
    file.position = moved(base, offset)?;
    Ok(file.position as usize)
}

/// See `soil_directory_next`.
pub fn directory_next(rt: &mut Runtime, fd: Fd, into: Piece, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let key = rt.table.key_of(fd, &DIRECTORY)?;
    let (open, file) = find(rt, key)?;
    match file.on {
        Some((volume, id)) => {
            let request = Request::List(id, 0, into, Rc::clone(&file.names));
            let waiter = Waiter::Operation(token, Output::Entries(open, into));
            submit(rt, volume, waiter, request)
        }
        None => {
            let files = rt.resources.files.as_deref_mut().ok_or(Error::Closed)?;
            Ok(files.open.list_mounted(open, into)?)
        }
    }
}
