//! Urgent data of TCP connections.

use super::errors::error;
use super::needs_stack;
use super::sockets::socket;
use super::tcp;
use crate::Runtime;
use crate::types::Int;
use platform::error::{Answer, Error};
use reactor::table::Fd;

/// See `soil_tcp_send_urgent`.
pub fn send(rt: &mut Runtime, fd: Fd, len: Int) -> Answer {
    let len = usize::try_from(len).map_err(|_| Error::Invalid)?;
    let key = rt.table.key_of(fd, &tcp::CONNECTION)?;
    needs_stack(rt, "urgent data")?;
    let (stack, socket) = socket(rt, key)?;
    stack.tcp_send_urgent(socket.handle, len).map_err(error)?;
    Ok(0)
}

/// See `soil_tcp_urgent`.
pub fn left(rt: &mut Runtime, fd: Fd, back: Int) -> Answer {
    let back = u32::try_from(back).map_err(|_| Error::Invalid)?;
    let key = rt.table.key_of(fd, &tcp::CONNECTION)?;
    needs_stack(rt, "urgent data")?;
    let (stack, socket) = socket(rt, key)?;
    // Reports urgent data from now on, even if it arrives before the task parks.
    let _ = stack.readiness(socket.handle);
    socket.noticed = false;
    let left = stack.tcp_urgent_behind(socket.handle, back);
    Ok(left.map_err(error)?)
}
