//! What few programs do with files (`Soil.File`): nothing here is named by what all have.

use super::on_path;
use super::volumes::Then;
use super::work::Op;
use crate::error::{Answer, Error};
use crate::runtime::Runtime;
use crate::ty::Int;
use ::fs::Time;

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
    on_path(rt, path, follow, op, Then::Answer, token)
}
