//! Random numbers that the loader hands over, as Linux uses them (`drivers/of/fdt.c`): `rng-seed`
//! of `/chosen` seeds a generator, `kaslr-seed` chooses the layout of memory.

use crate::seed::{self, mix};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use firmware::SEED;
use firmware::fdt::{Fdt, Node};

/// The number for the layout; 0 for none. Written once, at boot.
static LAYOUT: AtomicU64 = AtomicU64::new(0);

/// The loader's number for the layout of memory; 0 if it gave none.
pub fn layout() -> u64 {
    LAYOUT.load(Ordering::Relaxed)
}

/// Keeps the seeds of the tree in `bytes`, and erases them there: the tree stays in memory.
pub(super) fn keep(bytes: &mut [u8]) {
    let (seed, layout) = cut(bytes);
    seed::keep(&seed);
    LAYOUT.store(layout, Ordering::Relaxed);
}

/// Takes both seeds out of a tree. One that is too short for a generator counts as none.
fn cut(bytes: &mut [u8]) -> ([u8; SEED], u64) {
    let (mut seed, mut layout) = ([0; SEED], [0; 8]);
    let [generator, number] = places(bytes).unwrap_or_default();
    if let Some(value) = bytes.get_mut(generator) {
        if value.len() >= SEED {
            mix(&mut seed, value);
        }
        value.fill(0);
    }
    if let Some(value) = bytes.get_mut(number) {
        mix(&mut layout, value);
        value.fill(0);
    }
    (seed, u64::from_le_bytes(layout))
}

/// Where the values of `rng-seed` and `kaslr-seed` of `/chosen` lie in the tree; empty for none.
fn places(bytes: &[u8]) -> Option<[Range<usize>; 2]> {
    let tree = Fdt::parse(bytes)?;
    let is_chosen = |node: &Node<'_>| node.depth() == 1 && node.name() == b"chosen";
    let chosen = tree.nodes().find(is_chosen)?;
    Some(["rng-seed", "kaslr-seed"].map(|name| {
        let value = chosen.property(name);
        value.map_or(0..0, |value| {
            let start = value.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + value.len()
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::{cut, keep, layout, mix};
    use crate::seed::take;
    use firmware::fake::{Builder, virt};
    use firmware::fdt::Fdt;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn tree(seed: &[u8], layout: &[u8]) -> Vec<u8> {
        let root = Builder::new().begin("").begin("chosen");
        let chosen = root.bytes("rng-seed", seed).bytes("kaslr-seed", layout);
        chosen.text("bootargs", "a").end().end().finish()
    }

    #[test]
    fn seeds_leave_the_tree() {
        let seed: Vec<u8> = (1..=32).collect();
        let mut bytes = tree(&seed, &[7; 8]);
        let (found, number) = cut(&mut bytes);
        assert_eq!((&found[..], number), (&seed[..], 0x0707_0707_0707_0707));
        // Only the values have gone.
        assert_eq!(bytes, tree(&[0; 32], &[0; 8]));
        assert_eq!(cut(&mut bytes), ([0; 32], 0));
    }

    #[test]
    fn all_bytes_of_a_long_seed_count() {
        let mut seed = [1; 64];
        seed[63] = 3;
        let (found, _) = cut(&mut tree(&seed, &[]));
        assert_eq!(found[..31], [0; 31]);
        assert_eq!(found[31], 2);
    }

    #[test]
    fn a_short_seed_is_none() {
        let mut bytes = tree(&[1; 31], &[2]);
        assert_eq!(cut(&mut bytes), ([0; 32], 2));
        assert_eq!(bytes, tree(&[0; 31], &[0]));
        assert_eq!(cut(&mut virt()), ([0; 32], 0));
    }

    #[test]
    fn a_seed_is_given_once() {
        keep(&mut tree(&[5; 32], &[6; 8]));
        assert_eq!(layout(), 0x0606_0606_0606_0606);
        let mut seed = [1; 32];
        assert!(take(&mut seed));
        assert_eq!(seed, [4; 32]);
        assert!(!take(&mut seed));
        assert_eq!(seed, [4; 32]);
    }

    /// A value of the tree as its reader finds it; empty for none.
    fn chosen<'a>(bytes: &'a [u8], name: &str) -> &'a [u8] {
        let mut nodes = Fdt::parse(bytes).into_iter().flat_map(|tree| tree.nodes());
        let node = nodes.find(|node| node.depth() == 1 && node.name() == b"chosen");
        node.and_then(|node| node.property(name))
            .unwrap_or_default()
    }

    proptest! {
        #[test]
        fn takes_what_a_changed_tree_has(
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        ) {
            let mut bytes = tree(&[1; 40], &[2; 8]);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let before = bytes.clone();
            let values = ["rng-seed", "kaslr-seed"].map(|name| chosen(&before, name));
            let mut expected = ([0; 32], [0; 8]);
            if values[0].len() >= 32 {
                mix(&mut expected.0, values[0]);
            }
            mix(&mut expected.1, values[1]);
            prop_assert_eq!(cut(&mut bytes), (expected.0, u64::from_le_bytes(expected.1)));
            // Both values are erased, and nothing else.
            let changed: Vec<_> = before.iter().zip(&bytes).filter(|(a, b)| a != b).collect();
            prop_assert!(changed.iter().all(|(_, now)| **now == 0));
            let had = values.concat().iter().filter(|byte| **byte != 0).count();
            prop_assert_eq!(changed.len(), had);
        }
    }
}
