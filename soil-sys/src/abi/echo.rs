//! Ping: a part of its own, so that other programs don't carry it.

use crate::ffi::{Int, Ints, Text};
use crate::net as glue;
use crate::runtime::call;
use crate::table::Fd;

/// Sends an echo request with `len` bytes to the address of `endpoint`, whose port is of no
/// meaning; returns a descriptor that is readable once it is answered. Errors: `Invalid` (a group,
/// or no address), `Unreachable`, `Message_too_long` (more than 65 000 bytes), `Out_of_memory`
/// (more than 64 at a time).
#[unsafe(no_mangle)]
pub extern "C" fn soil_echo(endpoint: Text, len: Int) -> Int {
    call(|rt| glue::echo::send(rt, endpoint.all(), len))
}

/// Fills `into` with an `EchoReply`. `WOULD_BLOCK`. Errors: `Unreachable`, `Wrong_kind`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_echo_result(fd: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::echo::result(rt, Fd::decode(fd)?)?.numbers());
        Ok(0)
    })
}
