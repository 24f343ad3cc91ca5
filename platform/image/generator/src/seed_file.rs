//! Seeds in a file: what one boot leaves to the next.
//!
//! A boot uses what the file holds only once, and only after a successor is durably in its place
//! (systemd's `random-seed` does the same): a machine that is reset, or a file that can't be
//! written, would draw the same numbers again. The successor doesn't reveal the seed.

use crate::{Generator, SEED};

/// A seed, as a file holds it.
pub type Seed = [u8; SEED];

/// Of a file's contents: the seed of this boot, and the file's next contents. `own` is what
/// distinguishes this boot and this machine, such as its times; it needn't be secret.
pub fn split(old: &Seed, own: Seed) -> [Seed; 2] {
    let mut chain = Generator::new(*old);
    chain.reseed(own);
    let mut both = [[0; SEED]; 2];
    for one in &mut both {
        chain.fill(one, |_| false);
    }
    both
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn neither_half_is_the_other_s_or_another_boot_s() {
        let [seed, next] = split(&[1; 32], [0; 32]);
        let [later_seed, later] = split(&next, [0; 32]);
        // A copy of the disk boots at another time.
        let [copy_seed, copy] = split(&[1; 32], [2; 32]);
        let all = [[1; 32], seed, next, later_seed, later, copy_seed, copy];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
            assert!(one.iter().any(|byte| *byte != one[0]) || index == 0);
        }
        assert_eq!(split(&[1; 32], [0; 32]), [seed, next]);
    }
}
