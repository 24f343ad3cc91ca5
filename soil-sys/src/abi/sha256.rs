//! SHA-256 and HMAC. They need no memory of Soil's: every domain can call them.

use crate::ffi::{Bytes, Int, Text};
use resources::runtime::encode;
use resources::sha256 as glue;

/// Writes SHA-256 (FIPS 180-4) of `data` to the first 32 bytes of `into`; returns 32. Errors:
/// `Invalid` (`into` is shorter).
#[unsafe(no_mangle)]
pub extern "C" fn soil_sha256(data: Text, mut into: Bytes) -> Int {
    encode((|| glue::digest(data.all(), into.range(0, glue::LENGTH)?))())
}

/// Writes HMAC (RFC 2104) with SHA-256 of `data` under `key`, as [`soil_sha256`].
#[unsafe(no_mangle)]
pub extern "C" fn soil_hmac_sha256(key: Text, data: Text, mut into: Bytes) -> Int {
    encode((|| {
        glue::hmac(key.all(), data.all(), into.range(0, glue::LENGTH)?)
    })())
}
