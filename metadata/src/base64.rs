//! Base64 (RFC 4648, section 4), with line breaks (RFC 2045, section 6.8).

use alloc::vec::Vec;
use base64::alphabet::STANDARD;
use base64::engine::{Engine as _, GeneralPurpose, GeneralPurposeConfig};

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Decodes `text`; `None` for a character outside the alphabet, or a wrong end.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    ENGINE.decode(text.copied().collect::<Vec<u8>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::decode;
    use proptest::prelude::{any, proptest};

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9v\r\nYmFy\n", "foobar"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in [
            "Z", "Zg", "Zg=", "Zg===", "Zm9v=", "Zg==Zg==", "Zm9*", "-_==",
        ] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn accepts_anything(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let decoded = decode(&text);
            assert!(decoded.is_none_or(|bytes| bytes.len() <= text.len()));
        }
    }
}
