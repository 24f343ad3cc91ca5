//! Names on the wire (RFC 1035, 3.1) and their compression (4.1.4).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::IpAddr;

/// Maximum length of a name with its terminator (RFC 1035, 3.1).
const NAME_MAX: usize = 255;
/// Maximum length of a label (RFC 1035, 3.1). Larger length bytes are pointers.
const LABEL_MAX: usize = 63;

/// A name with its length bytes and the terminator. Keeps the case of letters; comparison ignores
/// it (RFC 4343).
#[derive(Clone, Debug)]
pub(crate) struct Name(Vec<u8>);

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        // Length bytes are below all letters.
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Name {
    /// Parses a name from `text`; a final dot is allowed. `\` quotes the next character, `\DDD` is
    /// the byte with that decimal number (RFC 1035, 5.1). `None` if it isn't a name.
    pub(crate) fn from_text(text: &str) -> Option<Name> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = Vec::new();
        let mut rest = text.as_bytes();
        while let [byte, after @ ..] = rest {
            rest = after;
            match (*byte, rest) {
                (b'.', _) => put_label(&mut wire, &mut label)?,
                (b'\\', [a, b, c, after @ ..]) if a.is_ascii_digit() => {
                    rest = after;
                    let digits = [*a, *b, *c];
                    label.push(core::str::from_utf8(&digits).ok()?.parse().ok()?);
                }
                (b'\\', [escaped, after @ ..])
                    if escaped.is_ascii() && !escaped.is_ascii_digit() =>
                {
                    rest = after;
                    label.push(*escaped);
                }
                (byte, _) if byte.is_ascii_graphic() && byte != b'\\' => label.push(byte),
                _ => return None,
            }
        }
        if !label.is_empty() {
            put_label(&mut wire, &mut label)?;
        }
        wire.push(0);
        (wire.len() > 1 && wire.len() <= NAME_MAX).then_some(Name(wire))
    }

    /// The name for the reverse lookup of an address (RFC 1035, 3.5; RFC 3596, 2.5).
    pub(crate) fn reverse(address: IpAddr) -> Name {
        let mut wire = Vec::with_capacity(74);
        match address {
            IpAddr::V4(v4) => {
                for octet in v4.octets().into_iter().rev() {
                    let digits = [octet / 100, octet / 10 % 10, octet % 10];
                    let zeros = digits.iter().take(2).take_while(|d| **d == 0).count();
                    wire.push((3 - zeros) as u8);
                    wire.extend(digits.iter().skip(zeros).map(|digit| b'0' + digit));
                }
                wire.extend(b"\x07in-addr");
            }
            IpAddr::V6(v6) => {
                for octet in v6.octets().into_iter().rev() {
                    for nibble in [octet & 15, octet >> 4] {
                        let digit = if nibble < 10 { b'0' } else { b'a' - 10 };
                        wire.extend([1, digit + nibble]);
                    }
                }
                wire.extend(b"\x03ip6");
            }
        }
        wire.extend(b"\x04arpa\0");
        Name(wire)
    }

    /// The name at `at` in a message, and the offset after it. `None` if it is truncated, too long,
    /// or has a pointer that doesn't lead backwards: each leads further back, so this ends.
    pub(crate) fn read(message: &[u8], at: usize) -> Option<(Name, usize)> {
        let mut wire = Vec::with_capacity(32);
        let (mut at, mut start, mut end) = (at, at, None);
        loop {
            let len = *message.get(at)? as usize;
            if len > LABEL_MAX {
                if len < 0xc0 {
                    return None;
                }
                let target = (len & 0x3f) << 8 | *message.get(at + 1)? as usize;
                end = end.or(Some(at + 2));
                if target >= start {
                    return None;
                }
                (at, start) = (target, target);
                continue;
            }
            wire.extend(message.get(at..=at + len)?);
            if wire.len() > NAME_MAX {
                return None;
            }
            at += 1 + len;
            if len == 0 {
                return Some((Name(wire), end.unwrap_or(at)));
            }
        }
    }

    /// Its wire form, without compression.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Its labels, except the root.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        core::iter::from_fn(move || {
            let (len, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(*len as usize)?;
            rest = after;
            (!label.is_empty()).then_some(label)
        })
    }

    /// This name below `suffix`; `None` if that is too long.
    pub(crate) fn below(&self, suffix: &Name) -> Option<Name> {
        let mut wire = self.0.clone();
        wire.pop();
        wire.extend(&suffix.0);
        (wire.len() <= NAME_MAX).then_some(Name(wire))
    }

    /// Whether the last label is `label`, in lower case.
    pub(crate) fn ends_with(&self, label: &[u8]) -> bool {
        self.labels()
            .last()
            .is_some_and(|last| last.eq_ignore_ascii_case(label))
    }

    /// The same name with a random case of each letter: 0x20 more bits to guess
    /// (draft-vixie-dnsext-dns0x20).
    pub(crate) fn with_mixed_case(&self, random: &mut dyn FnMut() -> u64) -> Name {
        let mut bits = 0;
        let mix = |(n, byte): (usize, &u8)| {
            if n % 64 == 0 {
                bits = random();
            }
            // Length bytes are not letters.
            match byte.is_ascii_alphabetic() && bits >> (n % 64) & 1 == 1 {
                true => byte ^ 0x20,
                false => *byte,
            }
        };
        Name(self.0.iter().enumerate().map(mix).collect())
    }

    /// As text, without a final dot; unprintable bytes, and dots and backslashes in a label, are
    /// quoted as [`Name::from_text`] parses them.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            if !text.is_empty() {
                text.push('.');
            }
            for byte in label {
                // Writing to a string can't fail.
                let _ = match byte {
                    b'.' | b'\\' => write!(text, "\\{}", *byte as char),
                    byte if byte.is_ascii_graphic() => write!(text, "{}", *byte as char),
                    byte => write!(text, "\\{byte:03}"),
                };
            }
        }
        text
    }
}

/// Appends `label` to `wire` and empties it.
fn put_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Option<()> {
    if label.is_empty() || label.len() > LABEL_MAX {
        return None;
    }
    wire.push(label.len() as u8);
    wire.append(label);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::Name;
    use proptest::prelude::{any, proptest};
    use proptest::{prop_assert, prop_assert_eq};

    fn name(text: &str) -> Name {
        Name::from_text(text).expect("a name")
    }

    #[test]
    fn text_and_wire() {
        assert_eq!(
            name("www.Example.org.").wire(),
            b"\x03www\x07Example\x03org\0"
        );
        assert_eq!(name("a\\.b\\032c.local").wire(), b"\x05a.b c\x05local\0");
        assert_eq!(name("a\\.b\\032c.local").text(), "a\\.b\\032c.local");
        assert_eq!(name("WWW.example.ORG"), name("www.EXAMPLE.org"));
        let long = "x.".repeat(128);
        for wrong in ["", ".", "a..b", ".a", "a b", "a\\", "\\25", "\\999", &long] {
            assert!(Name::from_text(wrong).is_none(), "{wrong}");
        }
        assert!(name("a.LOCAL").ends_with(b"local") && !name("local.a").ends_with(b"local"));
        assert_eq!(name("a").below(&name("b.c")), Some(name("a.b.c")));
        assert_eq!(
            name(&"x.".repeat(100)).below(&name(&"y.".repeat(100))),
            None
        );
    }

    #[test]
    fn names_of_addresses() {
        let of = |address: &str| Name::reverse(address.parse().expect("an address")).text();
        assert_eq!(of("192.0.2.101"), "101.2.0.192.in-addr.arpa");
        assert_eq!(of("10.20.0.5"), "5.0.20.10.in-addr.arpa");
        let v6 = of("2001:db8::567:89ab");
        assert!(
            v6.starts_with("b.a.9.8.7.6.5.0.0.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa")
        );
        assert_eq!(v6.len(), 72);
    }

    #[test]
    fn pointers_lead_backwards_only() {
        let message = b"\x01a\0\x01b\xc0\x00\xc0\x07\xc0\x03";
        assert_eq!(Name::read(message, 3), Some((name("b.a"), 7)));
        assert_eq!(Name::read(message, 9), Some((name("b.a"), 11)));
        // To itself.
        assert_eq!(Name::read(message, 7), None);
        // Forwards, cut off, and a length that isn't one.
        assert_eq!(Name::read(b"\xc0\x02\x01a\0", 0), None);
        assert_eq!(Name::read(b"\x03ab", 0), None);
        assert_eq!(Name::read(b"\x80a\0", 0), None);
        // A label, and then a pointer to its own beginning: endless if it were followed.
        assert_eq!(Name::read(b"\x01a\xc0\x00", 0), None);
    }

    proptest! {
        #[test]
        fn reading_ends_within_its_limits(message in any::<Vec<u8>>(), at in 0..64usize) {
            if let Some((name, end)) = Name::read(&message, at) {
                prop_assert!(name.wire().len() <= 255 && end <= message.len());
                prop_assert_eq!(
                    Name::read(name.wire(), 0),
                    Some((name.clone(), name.wire().len())),
                );
            }
        }

        #[test]
        fn text_survives(
            labels in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..20),
                1..8,
            ),
        ) {
            let mut wire = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend(label);
            }
            wire.push(0);
            let (read, _) = Name::read(&wire, 0).expect("a name");
            let again = Name::from_text(&read.text());
            prop_assert_eq!(again.as_ref().map(Name::wire), Some(wire.as_slice()));
        }

        #[test]
        fn mixing_case_keeps_the_name(
            text in "[a-z0-9]{1,20}(\\.[a-zA-Z]{1,20}){0,4}",
            seed in any::<u64>(),
        ) {
            let name = name(&text);
            prop_assert_eq!(name.with_mixed_case(&mut || seed), name);
        }
    }
}
