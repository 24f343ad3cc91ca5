//! The machine's name on its links (RFC 6762): a part of its own, so that other programs don't
//! carry it.

use crate::ffi::{Bytes, Int, Text};
use resources::net as glue;
use resources::runtime::call;

/// Answers for `name`.local, or for the value of `SOIL_MDNS` if `name` is empty, on all links from
/// now on; returns 1, or 0 if both are empty. The first name stays. Errors: `Invalid_name`, with a
/// detail; `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_mdns_start(name: Text) -> Int {
    call(|rt| glue::mdns::start(rt, name.utf8()?))
}

/// Copies the name, such as `soil-2.local`, to `into[off .. off + len]`, cut where it doesn't fit,
/// and returns its whole length; 0 as long as it isn't known to be this machine's alone.
#[unsafe(no_mangle)]
pub extern "C" fn soil_mdns_name(mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| Ok(glue::mdns::name(rt, into.range(off, len)?)))
}
