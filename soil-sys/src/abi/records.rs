//! Records of names other than addresses: a part of its own, so that a program that only connects
//! doesn't carry it.

use crate::ffi::{Buffer, Int, Text};
use crate::net as glue;
use crate::runtime::call;

/// Looks records of `name` up whose type has the number `kind` (1 A, 5 CNAME, 12 PTR, 16 TXT, 28
/// AAAA, 33 SRV) and writes as many as fit to `results`; the result is the number of bytes. Each
/// record is its time to live in seconds (4 bytes, the highest first), the length of what follows
/// (2 bytes), and: the 16 bytes of an address; a name as text; priority, weight and port (2 bytes
/// each) and a name; or strings with a byte before each that says its length. Usually `PENDING`.
/// Errors: as [`soil_dns_lookup`](super::soil_dns_lookup).
#[unsafe(no_mangle)]
pub extern "C" fn soil_dns_query(
    name: Text,
    kind: Int,
    results: Buffer,
    len: Int,
    token: Int,
) -> Int {
    call(|rt| glue::dns::query(rt, name.utf8()?, kind, results.piece(0, len)?, token))
}
