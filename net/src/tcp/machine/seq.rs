//! Sequence numbers (RFC 9293, 3.4): 32 bits that wrap around.

use core::ops::{Add, AddAssign, Sub};

/// A sequence number. Comparison is modulo 2^32, so it orders numbers less than 2^31 apart; it is
/// no total order, hence methods and not `Ord`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// `self < other`.
    pub(crate) fn before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self > other`.
    pub(crate) fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// `self <= other`.
    pub(crate) fn at_most(self, other: Seq) -> bool {
        !other.before(self)
    }

    /// `self >= other`.
    pub(crate) fn at_least(self, other: Seq) -> bool {
        !self.before(other)
    }

    /// `first <= self < end`.
    pub(crate) fn within(self, first: Seq, end: Seq) -> bool {
        self.0.wrapping_sub(first.0) < end.0.wrapping_sub(first.0)
    }

    /// The later of two.
    pub(crate) fn max(self, other: Seq) -> Seq {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two.
    pub(crate) fn min(self, other: Seq) -> Seq {
        if other.before(self) { other } else { self }
    }

    /// The distance of `self` beyond `from`; 0 if it isn't beyond.
    pub(crate) fn beyond(self, from: Seq) -> u32 {
        if self.before(from) { 0 } else { self - from }
    }
}

impl Add<u32> for Seq {
    type Output = Seq;

    fn add(self, bytes: u32) -> Seq {
        Seq(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;

    fn sub(self, bytes: u32) -> Seq {
        Seq(self.0.wrapping_sub(bytes))
    }
}

impl Sub for Seq {
    type Output = u32;

    /// The distance from `other` up to `self`, modulo 2^32.
    fn sub(self, other: Seq) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn comparison_wraps_around() {
        let (a, b) = (Seq(0xffff_fff0), Seq(0x10));
        assert!(a.before(b) && b.after(a) && a.at_most(b) && b.at_least(a));
        assert!(a.at_most(a) && a.at_least(a) && !a.before(a));
        assert_eq!(b - a, 0x20);
        assert_eq!(a + 0x20, b);
        assert_eq!(b - 0x20u32, a);
        assert_eq!((a.max(b), a.min(b)), (b, a));
        assert_eq!((b.beyond(a), a.beyond(b)), (0x20, 0));
        assert!(Seq(3).within(a, b) && a.within(a, b) && !b.within(a, b));
    }
}
