//! Calls on leases.

use super::descriptors::on_volume;
use crate::Runtime;
use crate::files::engine::{at_once, submit};
use crate::files::mounted_volume::job::request::Request;
use crate::files::mounted_volume::job::{Output, Waiter};
use crate::types::{Int, View};
use platform::error::{Answer, Error};
use reactor::table::Fd;

/// Maximum number of bytes in one lease.
pub const MAX_LEASE: usize = 1 << 20;

/// See `soil_file_lease`.
pub fn lend(rt: &mut Runtime, fd: Fd, position: Int, len: Int, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (volume, id, _) = on_volume(rt, fd)?;
    let position = u64::try_from(position).map_err(|_| Error::Invalid)?;
    let len = usize::try_from(len)
        .map_err(|_| Error::Invalid)?
        .min(MAX_LEASE);
    if len == 0 {
        return Err(Error::Invalid.into());
    }
    let request = || Request::Lend(id, position, len);
    if let Some(ended) = at_once(rt, volume, request(), Output::Lease) {
        return ended.or_else(|failure| rt.fail(failure));
    }
    submit(
        rt,
        volume,
        Waiter::Operation(token, Output::Lease),
        request(),
    )
}

/// See `soil_file_lease_next`.
pub fn lease_next(rt: &mut Runtime, lease: Int, into: &mut View<'_>) -> Answer {
    Ok(rt.resources.files.leases.show_next(lease, into)?)
}

/// See `soil_file_lease_end`.
pub fn lease_end(rt: &mut Runtime, lease: Int, buffer: &mut View<'_>) -> Answer {
    rt.resources.files.leases.end(lease, buffer)?;
    Ok(0)
}
