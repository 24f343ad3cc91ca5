//! Lists of freed blocks of memory, by size class.

use core::ptr::{NonNull, null_mut};

/// A size of blocks: multiples of 16 bytes up to 128, then eight between a power of two and the
/// next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeClass(u8);

impl SizeClass {
    const UNIT: usize = 16;
    /// How many there are of each power of two.
    const STEPS: usize = 8;
    const MAX_SIZE: usize = 4 << 20;
    const COUNT: usize = {
        let powers = (Self::MAX_SIZE / (Self::UNIT * Self::STEPS)).ilog2() as usize;
        Self::STEPS * (1 + powers)
    };

    /// The smallest class for `size` bytes; none above 4 MiB.
    pub fn of(size: usize) -> Option<Self> {
        if size > Self::MAX_SIZE {
            return None;
        }
        // The last unit of the block.
        let last = size.saturating_sub(1) / Self::UNIT;
        let power = last.checked_ilog2().unwrap_or(0);
        let shift = power.saturating_sub(Self::STEPS.ilog2());
        let index = shift as usize * Self::STEPS + (last >> shift);
        Some(Self(index as u8))
    }

    /// The class of blocks of exactly `size` bytes.
    pub fn exactly(size: usize) -> Option<Self> {
        Self::of(size).filter(|class| class.size() == size)
    }

    /// In bytes.
    pub fn size(self) -> usize {
        let index = usize::from(self.0);
        let shift = (index / Self::STEPS).saturating_sub(1);
        ((index - shift * Self::STEPS + 1) * Self::UNIT) << shift
    }
}

/// What a kept block begins with.
#[repr(C)]
struct Kept {
    next: *mut Kept,
    mark: usize,
}

/// What a block that is in use has as its second word only by chance.
const MARK: usize = 0x5bd1_e995_9d1b_58d5;

/// Whether a block is perhaps free already.
///
/// # Safety
/// `block` has at least 16 bytes, and no thread writes there.
#[allow(clippy::disallowed_methods, reason = "memory, not registers")]
pub unsafe fn may_be_kept(block: NonNull<u8>) -> bool {
    let kept = block.cast::<Kept>().as_ptr();
    // SAFETY: the caller's promise. Volatile: the block may never have been written there.
    unsafe { (&raw const (*kept).mark).read_volatile() == MARK }
}

/// Free blocks of each class, of which the last freed is taken first.
pub struct FreeLists {
    blocks: [*mut Kept; SizeClass::COUNT],
    /// Bytes of all blocks.
    kept: usize,
    /// The class from which a block is given up next.
    next: usize,
}

// SAFETY: the blocks are the lists' own.
unsafe impl Send for FreeLists {}

impl FreeLists {
    /// Empty ones.
    pub const fn new() -> Self {
        Self {
            blocks: [null_mut(); SizeClass::COUNT],
            kept: 0,
            next: 0,
        }
    }

    /// Takes a block of this class, which is the caller's from now on.
    pub fn take(&mut self, class: SizeClass) -> Option<NonNull<u8>> {
        let first = self.blocks.get_mut(usize::from(class.0))?;
        let block = NonNull::new(*first)?;
        // SAFETY: `keep` has written it, and the block is this list's alone.
        unsafe {
            *first = block.as_ref().next;
            (*block.as_ptr()).mark = 0;
        }
        self.kept -= class.size();
        Some(block.cast())
    }

    /// Puts a block into its list.
    ///
    /// # Safety
    /// `block` has at least the size of `class`, is aligned to 16 bytes, and isn't used any more.
    pub unsafe fn keep(&mut self, block: NonNull<u8>, class: SizeClass) {
        if let Some(first) = self.blocks.get_mut(usize::from(class.0)) {
            let kept = block.cast::<Kept>();
            let next = core::mem::replace(first, kept.as_ptr());
            // SAFETY: the caller's promise.
            unsafe { kept.write(Kept { next, mark: MARK }) };
            self.kept += class.size();
        }
    }

    /// Gives up a block, of each class in turn, if more than `room` bytes are kept.
    pub fn give_up(&mut self, room: usize) -> Option<NonNull<u8>> {
        while self.kept > room {
            let class = SizeClass(self.next as u8);
            self.next = (self.next + 1) % SizeClass::COUNT;
            if let Some(block) = self.take(class) {
                return Some(block);
            }
        }
        None
    }

    /// Whether this block is in a list.
    pub fn has(&self, block: NonNull<u8>, class: SizeClass) -> bool {
        let first = self.blocks.get(usize::from(class.0)).copied();
        let mut next = first.and_then(NonNull::new);
        while let Some(kept) = next {
            if kept.cast() == block {
                return true;
            }
            // SAFETY: as in `take`.
            next = NonNull::new(unsafe { kept.as_ref() }.next);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{FreeLists, SizeClass, may_be_kept};
    use core::ptr::NonNull;
    use proptest::prelude::*;

    #[test]
    fn classes_rise_to_the_largest_size() {
        let mut before = 0;
        for index in 0..SizeClass::COUNT {
            let class = SizeClass(index as u8);
            assert!(class.size() > before, "{class:?}");
            assert_eq!(SizeClass::exactly(class.size()), Some(class));
            assert_eq!(SizeClass::of(before + 1), Some(class));
            assert_eq!(class.size() % SizeClass::UNIT, 0);
            before = class.size();
        }
        assert_eq!(before, SizeClass::MAX_SIZE);
        assert_eq!(SizeClass::of(0), Some(SizeClass(0)));
        assert_eq!(SizeClass::of(SizeClass::MAX_SIZE + 1), None);
        assert_eq!(SizeClass::of(usize::MAX), None);
        assert_eq!(SizeClass::exactly(129), None);
    }

    #[test]
    fn blocks_of_every_class_are_given_up() {
        let mut lists = FreeLists::new();
        let mut memory = [0u128; SizeClass::COUNT];
        let blocks = memory.each_mut().map(|block| NonNull::from(block).cast());
        for (index, block) in blocks.into_iter().enumerate() {
            // SAFETY: the lists use no more of a block than 16 bytes, and nobody takes these.
            unsafe { lists.keep(block, SizeClass(index as u8)) };
        }
        for block in blocks {
            assert_eq!(lists.give_up(0), Some(block), "each class in its turn");
        }
        assert_eq!(lists.give_up(0), None);
    }

    proptest! {
        #[test]
        fn a_class_exceeds_a_size_by_an_eighth_at_most(size in 1..=SizeClass::MAX_SIZE) {
            let class = SizeClass::of(size).unwrap().size();
            prop_assert!(class >= size && class - size <= (size / 8).max(15), "{size}: {class}");
        }

        /// Against a list: lists give each block once, of its class the last kept first, and
        /// keep no more than they may.
        #[test]
        fn lists_give_each_block_once(
            steps in proptest::collection::vec((any::<bool>(), 0..200_usize), 1..300),
            room in 0..4000_usize,
        ) {
            let mut lists = FreeLists::new();
            let mut kept: Vec<(SizeClass, NonNull<u8>)> = Vec::new();
            let mut memory: Vec<Box<[u128; 13]>> = Vec::new();
            for (takes, size) in steps {
                let class = SizeClass::of(size).unwrap();
                if takes {
                    let last = kept.iter().rposition(|(of, _)| *of == class);
                    let taken = lists.take(class);
                    prop_assert_eq!(taken, last.map(|at| kept.remove(at).1));
                    // SAFETY: all blocks are in `memory`.
                    let marked = taken.is_some_and(|block| unsafe { may_be_kept(block) });
                    prop_assert!(!marked);
                    continue;
                }
                memory.push(Box::new([0; 13]));
                let block = NonNull::from(&mut **memory.last_mut().unwrap()).cast();
                // SAFETY: the block has 208 bytes, as much as the largest class of these sizes.
                unsafe { lists.keep(block, class) };
                // SAFETY: as above.
                let marked = unsafe { may_be_kept(block) };
                prop_assert!(marked && lists.has(block, class));
                kept.push((class, block));
                while let Some(block) = lists.give_up(room) {
                    let at = kept.iter().position(|(_, kept)| *kept == block);
                    prop_assert!(at.is_some(), "a block that they didn't have");
                    let (class, _) = kept.remove(at.unwrap());
                    prop_assert!(!lists.has(block, class));
                }
                let bytes: usize = kept.iter().map(|(class, _)| class.size()).sum();
                prop_assert_eq!(lists.kept, bytes);
                prop_assert!(bytes <= room);
            }
        }
    }
}
