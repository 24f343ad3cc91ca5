//! Lists of domain names as in DHCP (RFC 3397), DHCPv6 and router advertisements (RFC 8106).

use alloc::string::String;
use alloc::vec::Vec;

/// Maximum number of names from one list, and their length (RFC 1035, 2.3.4).
pub(super) const NAMES: usize = 8;
pub(super) const NAME_MAX: usize = 253;

/// The names of a list in the form of RFC 1035, 4.1.4: pointers lead backwards into the list
/// itself. Skips padding, and stops at the first error.
pub(crate) fn domain_names(list: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < list.len() && found.len() < NAMES {
        match name(list, &mut at) {
            Some(name) if !name.is_empty() => found.push(name),
            Some(_) => {}
            None => break,
        }
    }
    found
}

fn name(list: &[u8], at: &mut usize) -> Option<String> {
    let mut name = String::new();
    let mut place = *at;
    let mut jumped = false;
    loop {
        let len = usize::from(*list.get(place)?);
        match len >> 6 {
            0 if len == 0 => {
                if !jumped {
                    *at = place + 1;
                }
                return Some(name);
            }
            0 => {
                let label = list.get(place + 1..place + 1 + len)?;
                if !label.iter().all(u8::is_ascii_graphic) || label.contains(&b'.') {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|byte| char::from(*byte)));
                place += 1 + len;
            }
            3 => {
                let target = (len & 0x3f) << 8 | usize::from(*list.get(place + 1)?);
                if !jumped {
                    *at = place + 2;
                }
                // Only backwards, so that it ends.
                if target >= place {
                    return None;
                }
                jumped = true;
                place = target;
            }
            _ => return None,
        }
        if name.len() > NAME_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::domain_names;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            domain_names(&bytes);
        }

        #[test]
        fn pointers_end(
            bytes in proptest::collection::vec(prop_oneof![Just(0xc0u8), 0..64u8], 0..300),
        ) {
            domain_names(&bytes);
        }
    }

    #[test]
    fn rfc3397_section_3_example() {
        let list = b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04";
        assert_eq!(domain_names(list), ["eng.apple.com", "marketing.apple.com"]);
        assert_eq!(domain_names(b"\x01a\0\0\0\0"), ["a"]);
        assert!(domain_names(b"\xc0\0").is_empty() && domain_names(b"\x05ab").is_empty());
    }
}
