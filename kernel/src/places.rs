//! Where things lie in memory: the program's mappings, its stack and the kernel's heap are
//! elsewhere at each boot, so that an address that was learnt from one run, or guessed, is of no
//! use in another. The image itself is linked for one place.

use crate::frames::PAGE;
use crate::{random, rtc, time};

/// Which of 2^24 pages a thing begins at: 64 GiB of address space, of which nothing is used but
/// what is touched.
const CHOICES: u64 = 1 << 24;

/// A distance in bytes, whole pages, that one random number stands for.
pub fn distance(number: u64) -> u64 {
    number % CHOICES * PAGE
}

/// Random numbers for the start: for [`distance`], and for the canary of musl's stack protector.
/// They are the processor's; where it has none they come from the date and from how long it takes
/// to ask for it, time and again, which is good enough against bugs and no source of keys.
pub fn numbers<const N: usize>() -> [u64; N] {
    let mut bytes = [[0; 8]; N];
    if random::hardware(bytes.as_flattened_mut()) {
        return bytes.map(u64::from_le_bytes);
    }
    let mut state = 0;
    bytes.map(|_| {
        for index in 0..16 {
            let date = u64::from(rtc::register(index));
            state = (state ^ date << 56 ^ time::counter())
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        state
    })
}
