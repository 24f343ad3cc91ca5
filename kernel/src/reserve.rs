//! Memory that the program can't take.
//!
//! The program may ask for memory until there is none, catch `Out_of_memory` and go on; the network's peers go on, too. What the
//! kernel's heap then needs for a packet, a timer or a page table must be there: the kernel can't do without. So the program's
//! requests are refused while a part is left, of which the heap alone may take. When the heap has begun to, memory *is short*: from
//! then on everything that can be refused is (connections, descriptors, what caches would keep), until there is more again.

/// The part of the memory that is kept, and its bounds in bytes. A machine of 8 MiB is left enough for a program, and in the largest
/// part fit the tables of 10 000 connections while they are made larger.
const PART: u64 = 16;
const LEAST: u64 = 256 << 10;
const MOST: u64 = 8 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Reserve {
    bytes: u64,
    /// Bytes that were promised to connections, and that they haven't taken.
    pub promised: u64,
}

impl Reserve {
    /// That of a machine with `total` bytes.
    pub fn new(total: u64) -> Self {
        Self {
            bytes: (total / PART).clamp(LEAST, MOST),
            promised: 0,
        }
    }

    /// Whether enough is left of `available` bytes when the program takes `bytes`.
    pub fn leaves(&self, available: u64, bytes: u64) -> bool {
        available
            .checked_sub(bytes)
            .is_some_and(|left| left >= self.bytes + self.promised)
    }

    /// Whether `available` bytes are so few that the rest is for what can't be refused.
    pub fn is_short(&self, available: u64) -> bool {
        available < self.bytes / 4 * 3 + self.promised
    }
}

#[cfg(test)]
mod tests {
    use super::Reserve;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_program_leaves_the_reserve() {
        let mut reserve = Reserve::new(64 * MIB);
        assert!(reserve.leaves(64 * MIB, 60 * MIB) && !reserve.leaves(64 * MIB, 60 * MIB + 1));
        assert!(!reserve.leaves(MIB, 2 * MIB));
        reserve.promised = 10 * MIB;
        assert!(reserve.leaves(64 * MIB, 50 * MIB) && !reserve.leaves(64 * MIB, 50 * MIB + 1));
        // Whatever it takes, memory isn't short by that alone.
        assert!(!reserve.is_short(14 * MIB) && reserve.is_short(13 * MIB - 1));
    }

    #[test]
    fn a_part_within_bounds() {
        for (total, kept) in [(MIB, 256 << 10), (8 * MIB, MIB / 2), (1 << 40, 8 * MIB)] {
            let reserve = Reserve::new(total);
            assert!(
                reserve.leaves(total, total - kept) && !reserve.leaves(total, total - kept + 1)
            );
        }
    }
}
