//! Elements of DER (X.690), as certificates and keys consist of.

const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The rest of a sequence of DER elements (X.690).
pub struct Der<'a>(pub &'a [u8]);

impl<'a> Der<'a> {
    /// Tag and contents of the next element; `None` at the end, or if it is malformed.
    pub fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let bytes = usize::from(first & 0x7f);
            if !(1..=4).contains(&bytes) {
                return None;
            }
            let (digits, after) = rest.split_at_checked(bytes)?;
            length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }

    /// Contents of the next element, which must have this tag.
    pub fn expect_tag(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, contents) = self.next()?;
        (found == tag).then_some(contents)
    }

    /// Contents of the next element, a sequence.
    pub fn sequence(&mut self) -> Option<&'a [u8]> {
        self.expect_tag(SEQUENCE)
    }

    /// The next element, an object identifier.
    pub fn object_identifier(&mut self) -> Option<&'a [u8]> {
        self.expect_tag(OBJECT_IDENTIFIER)
    }

    /// Skips the next element if it has this tag.
    pub fn optional(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}
