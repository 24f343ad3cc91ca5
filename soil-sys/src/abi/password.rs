//! Hashes of passwords: a part of its own, since few programs need them. Every domain can call it.

use crate::ffi::{Buffer, Int, Text};
use resources::password as glue;
use resources::runtime::encode;

/// A parameter of a hash in the PHC string format: 0 for its memory in KiB, 1 for its passes, 2 for
/// its lanes. Errors: `Invalid` (not a hash of argon2id, version 19).
#[unsafe(no_mangle)]
pub extern "C" fn soil_password_parameter(hash: Text, which: Int) -> Int {
    encode((|| glue::parameter(hash.utf8()?, which))())
}

/// Hashes a password by argon2id (RFC 9106). The hash, in the PHC string format, is at the
/// beginning of `work` then; returns its length. `work` has 64 bytes more than `memory` and the
/// length of the password. Other OCaml threads run meanwhile. Errors: `Invalid` (`work` is shorter,
/// or the parameters or the length of `salt` are out of range).
/// @ocaml blocking
#[unsafe(no_mangle)]
pub extern "C" fn soil_password_hash(
    mut work: Buffer,
    len: Int,
    password: Text,
    salt: Text,
    memory: Int,
    passes: Int,
    lanes: Int,
) -> Int {
    encode((|| {
        let work = work.range(0, len)?;
        glue::hash(work, password.all(), salt.all(), [memory, passes, lanes])
    })())
}

/// Whether `hash` is one of this password: 1, or 0. `work` as in [`soil_password_hash`], by the
/// memory of `hash`. Errors: `Invalid`.
/// @ocaml blocking
#[unsafe(no_mangle)]
pub extern "C" fn soil_password_verify(
    mut work: Buffer,
    len: Int,
    password: Text,
    hash: Text,
) -> Int {
    encode((|| {
        glue::verify(work.range(0, len)?, password.all(), hash.utf8()?)
    })())
}
