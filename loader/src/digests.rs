//! The digests that a signed loader carries, so that it starts one image with one file of settings.

use sha2::{Digest as _, Sha256};

/// What the maker of a disk searches for in the loader, to write the digests behind it.
pub const MARKER: [u8; 8] = *b"SOILDIGS";

/// The block in the loader's file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Digests {
    /// [`MARKER`].
    pub marker: [u8; 8],
    /// SHA-256 of `soil/image.elf`; zeros: any.
    pub image: [u8; 32],
    /// SHA-256 of `soil/settings.txt`, of the empty file where it is missing; zeros: any.
    pub settings: [u8; 32],
}

/// Returns the digest of `contents`.
pub fn of(contents: &[u8]) -> [u8; 32] {
    Sha256::digest(contents).into()
}

/// Whether `contents` may be used: `expected` is its digest, or zeros.
pub fn accepts(expected: &[u8; 32], contents: &[u8]) -> bool {
    *expected == [0; 32] || *expected == of(contents)
}

#[cfg(test)]
mod tests {
    use super::accepts;

    /// FIPS 180-4's example "abc".
    const ABC: [u8; 32] = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22,
        0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00,
        0x15, 0xad,
    ];

    #[test]
    fn accepts_the_contents_of_the_digest_only() {
        assert!(accepts(&ABC, b"abc"));
        assert!(!accepts(&ABC, b"abd"));
        assert!(accepts(&[0; 32], b"abd"));
    }
}
