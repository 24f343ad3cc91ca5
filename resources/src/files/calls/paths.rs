//! Calls on paths.

use super::descriptors::{DIRECTORY, FILE};
use crate::Runtime;
use crate::files::engine::driver::begin;
use crate::files::engine::submit_path;
use crate::files::mounted_volume::job::Output;
use crate::files::mounted_volume::job::request::Op;
use crate::files::mounted_volume::job::resolution::Resolution;
use crate::types::{Int, IntsPiece, Piece};
use ::fs::{OpenFlags, Renaming, Time};
use alloc::boxed::Box;
use alloc::string::String;
use platform::error::{Answer, Error};

/// Starts an operation: finds the volume of the path, and submits a request to it.
fn start(rt: &mut Runtime, token: u64, output: Output, resolution: Box<Resolution>) -> Answer {
    begin(rt)?;
    submit_path(rt, token, output, resolution)
}

/// Starts an operation on one path.
fn on_path(
    rt: &mut Runtime,
    path: &str,
    follow: bool,
    op: Op,
    output: Output,
    token: Int,
) -> Answer {
    let token = rt.new_token(token)?;
    start(rt, token, output, Resolution::new(path, follow, op)?)
}

/// Decodes a time; nanoseconds below 0 mean none.
pub fn time(seconds: Int, nanoseconds: Int) -> Result<Option<Time>, Error> {
    if nanoseconds < 0 {
        return Ok(None);
    }
    let nanoseconds = u32::try_from(nanoseconds).map_err(|_| Error::Invalid)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(Error::Invalid);
    }
    Ok(Some(Time {
        seconds: seconds as i64,
        nanoseconds,
    }))
}

/// See `soil_fs_set_times`.
pub fn set_times(
    rt: &mut Runtime,
    path: &str,
    follow: bool,
    times: [Option<Time>; 2],
    token: Int,
) -> Answer {
    on_path(rt, path, follow, Op::SetTimes(times), Output::Number, token)
}

/// See `soil_fs_open`.
pub fn open(rt: &mut Runtime, path: &str, flags: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let bits = u32::try_from(flags).map_err(|_| Error::Invalid)?;
    let flags = OpenFlags::from_bits(bits).ok_or(Error::Invalid)?;
    if flags.contains(OpenFlags::DIRECTORY) {
        return Err(Error::Invalid.into());
    }
    let output = Output::Descriptor {
        operations: &FILE,
        directory: false,
        append: flags.contains(OpenFlags::APPEND),
    };
    // An exclusive create never follows a link (POSIX, `O_CREAT` with `O_EXCL`).
    let follow = !flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    let resolution = Resolution::new(path, follow, Op::Open(flags))?;
    start(rt, token, output, resolution)
}

/// See `soil_fs_directory`.
pub fn directory(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    let output = Output::Descriptor {
        operations: &DIRECTORY,
        directory: true,
        append: false,
    };
    let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
    on_path(rt, path, true, Op::Open(flags), output, token)
}

/// See `soil_fs_stat`.
pub fn stat(rt: &mut Runtime, path: &str, follow: bool, into: IntsPiece, token: Int) -> Answer {
    on_path(rt, path, follow, Op::Stat, Output::Numbers(into), token)
}

/// See `soil_fs_space`.
pub fn space(rt: &mut Runtime, path: &str, into: IntsPiece, text: Piece, token: Int) -> Answer {
    on_path(rt, path, true, Op::Space, Output::Space(into, text), token)
}

/// See `soil_fs_sync_volume`.
pub fn sync_volume(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, true, Op::Sync, Output::Number, token)
}

/// See `soil_fs_mkdir`.
pub fn mkdir(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, false, Op::Mkdir, Output::Number, token)
}

/// See `soil_fs_remove_directory`.
pub fn remove_directory(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, false, Op::Rmdir, Output::Number, token)
}

/// See `soil_fs_unlink`.
pub fn unlink(rt: &mut Runtime, path: &str, token: Int) -> Answer {
    on_path(rt, path, false, Op::Unlink, Output::Number, token)
}

/// See `soil_fs_readlink`.
pub fn readlink(rt: &mut Runtime, path: &str, into: Piece, token: Int) -> Answer {
    on_path(rt, path, false, Op::Readlink, Output::Text(into), token)
}

/// See `soil_fs_realpath`.
pub fn realpath(rt: &mut Runtime, path: &str, into: Piece, token: Int) -> Answer {
    on_path(rt, path, true, Op::Stat, Output::Text(into), token)
}

/// See `soil_fs_symlink`.
pub fn symlink(rt: &mut Runtime, target: &str, path: &str, token: Int) -> Answer {
    if target.is_empty() || target.len() > ::fs::path::MAX_PATH || target.contains('\0') {
        return Err(Error::Invalid.into());
    }
    let op = Op::Symlink(target.into());
    on_path(rt, path, false, op, Output::Number, token)
}

/// See `soil_fs_rename`.
pub fn rename(rt: &mut Runtime, from: &str, to: &str, how: Int, token: Int) -> Answer {
    let how = match how {
        0 => Renaming::Replace,
        1 => Renaming::NoReplace,
        2 => Renaming::Exchange,
        _ => return Err(Error::Invalid.into()),
    };
    on_pair(rt, from, to, Op::Rename(String::new(), how), token)
}

/// See `soil_fs_link`.
pub fn link(rt: &mut Runtime, path: &str, new: &str, token: Int) -> Answer {
    on_pair(rt, path, new, Op::Link(String::new()), token)
}

/// Starts an operation that gives a file a new path.
fn on_pair(rt: &mut Runtime, old: &str, new: &str, op: Op, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let resolution = Resolution::pair(old, new, op)?;
    start(rt, token, Output::Number, resolution)
}
