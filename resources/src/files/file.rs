//! Operations on files that few programs use (`Soil.File`): no code that is always linked names
//! them.

use super::execute::submit;
use super::job::{Output, Waiter};
use super::open::on_volume;
use super::paths::on_path;
use super::request::{Op, Request, Special, Value};
use crate::Runtime;
use crate::types::Int;
use ::fs::{Fallocate, FileId, Seek, Time, Volume};
use platform::error::{Answer, Error};
use reactor::table::Fd;

/// A moment; nanoseconds below 0 say that there is none.
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
    let op = Op::SetTimes(::fs::set_times, times);
    on_path(rt, path, follow, op, Output::Number, token)
}

/// One form of `fallocate`, as what a volume is asked.
macro_rules! form {
    ($how:ident) => {
        |volume, file, offset, len| {
            let done = volume.fallocate(file, Fallocate::$how, offset, len as u64);
            done.map(|()| Value::Number(0))
        }
    };
}

/// The forms by their numbers.
const FORMS: [Special; 4] = [
    form!(Allocate),
    form!(KeepSize),
    form!(PunchHole),
    form!(ZeroRange),
];

/// The place after the one that was found, or 0.
fn sought(
    volume: &mut dyn Volume,
    file: FileId,
    to: Seek,
    offset: u64,
) -> Result<Value, ::fs::Error> {
    let found = volume.seek(file, to, offset)?;
    Ok(Value::Number(found.map_or(0, |found| found + 1)))
}

/// See `soil_file_allocate`.
pub fn allocate(rt: &mut Runtime, fd: Fd, how: Int, range: (Int, Int), token: Int) -> Answer {
    let form = usize::try_from(how).ok().and_then(|how| FORMS.get(how));
    let form = form.ok_or(Error::Invalid)?;
    let position = u64::try_from(range.0).map_err(|_| Error::Invalid)?;
    let len = usize::try_from(range.1).map_err(|_| Error::Invalid)?;
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    let request = Request::Special(id, position, len, *form);
    submit(
        rt,
        volume,
        Waiter::Operation(token, Output::Number),
        request,
    )
}

/// See `soil_file_next`.
pub fn next(rt: &mut Runtime, fd: Fd, position: Int, hole: bool, token: Int) -> Answer {
    let position = u64::try_from(position).map_err(|_| Error::Invalid)?;
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    let what: Special = if hole {
        |volume, file, offset, _| sought(volume, file, Seek::Hole, offset)
    } else {
        |volume, file, offset, _| sought(volume, file, Seek::Data, offset)
    };
    let request = Request::Special(id, position, 0, what);
    submit(
        rt,
        volume,
        Waiter::Operation(token, Output::Number),
        request,
    )
}
