//! Positions in rings whose entries have a phase bit.

/// The next entry of a ring. The phase of the first round is 1, and each round inverts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of entries, a power of two.
    depth: u16,
    /// Number of all entries before, modulo 2^16.
    count: u16,
    phase: bool,
}

impl Position {
    /// The start of a ring of `depth` entries, a power of two up to 2^15.
    pub fn new(depth: u16) -> Position {
        debug_assert!(depth.is_power_of_two());
        Position {
            depth,
            count: 0,
            phase: true,
        }
    }

    pub fn depth(self) -> u16 {
        self.depth
    }

    pub fn count(self) -> u16 {
        self.count
    }

    pub fn phase(self) -> bool {
        self.phase
    }

    /// Index of the entry in the ring.
    pub fn slot(self) -> usize {
        usize::from(self.count & (self.depth - 1))
    }

    pub fn advance(&mut self) {
        self.count = self.count.wrapping_add(1);
        self.phase ^= self.slot() == 0;
    }
}
