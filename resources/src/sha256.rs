//! SHA-256 and HMAC by the crates `sha2` and `hmac`, without the platform or the runtime.

use crate::types::Int;
use hmac::{Hmac, KeyInit, Mac};
use platform::error::{Answer, Error};
use sha2::{Digest, Sha256};

/// The length of a digest in bytes.
pub const LENGTH: Int = 32;

/// Copies a digest, which must have the length of `into`.
fn write(digest: &[u8], into: &mut [u8]) -> Answer {
    if digest.len() != into.len() {
        return Err(Error::Invalid.into());
    }
    into.copy_from_slice(digest);
    Ok(digest.len())
}

/// See `soil_sha256`.
pub fn digest(data: &[u8], into: &mut [u8]) -> Answer {
    write(&Sha256::digest(data), into)
}

/// See `soil_hmac_sha256`.
pub fn hmac(key: &[u8], data: &[u8], into: &mut [u8]) -> Answer {
    // Keys of any length are valid.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::Invalid)?;
    mac.update(data);
    write(&mac.finalize().into_bytes(), into)
}
