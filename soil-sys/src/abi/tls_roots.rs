//! The roots of TLS that Mozilla trusts: a part of its own, because they are large.

use crate::ffi::Int;
use resources::tls::{self as glue, call};

/// Adds Mozilla's roots, as of the build of this library, to options of TLS. Errors: `Invalid`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tls_trust_mozilla(options: Int) -> Int {
    call(|| glue::trust_mozilla(options))
}
