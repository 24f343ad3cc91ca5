//! Ping.

use super::errors::stop;
use super::sockets::{close, open as open_descriptor, ready, socket};
use super::{address, needs_stack, stack};
use crate::Operations;
use crate::Runtime;
use crate::types::Int;
use crate::types::records::EchoReply;
use platform::error::{Answer, Error, Stop};
use reactor::table::{Fd, Kind};

static REQUEST: Operations = Operations::without_data(Kind::Echo, ready, close);

/// See `soil_echo`.
pub fn send(rt: &mut Runtime, endpoint: &[u8], len: Int) -> Answer {
    let endpoint = address::decode(endpoint)?;
    let len = usize::try_from(len).map_err(|_| Error::Invalid)?;
    needs_stack(rt, "ping")?;
    let handle = stack(rt)?.stack.ping(endpoint, len).map_err(stop)?;
    open_descriptor(rt, handle, &REQUEST)
}

/// See `soil_echo_result`.
pub fn result(rt: &mut Runtime, fd: Fd) -> Result<EchoReply, Stop> {
    let key = rt.table.key_of(fd, &REQUEST)?;
    let (stack, socket) = socket(rt, key)?;
    let reply = stack.ping_result(socket.handle).map_err(stop)?;
    Ok(EchoReply {
        time: Int::try_from(reply.rtt_ns).unwrap_or(Int::MAX >> 1),
        hop_limit: reply.hop_limit.into(),
    })
}
