//! Address space layout randomization: the program's mappings, its stack and the kernel's heap are
//! at random addresses at each boot, so that an address learned from one run, or guessed, is
//! useless in another. The image itself is linked for one address.

use crate::arch::paging::PAGE;
use crate::arch::{counter, random};

/// Number of pages that a range may begin at: 64 GiB of address space, of which only touched pages
/// cost memory.
const CHOICES: u64 = 1 << 24;

/// Maps a random number to a distance in bytes, a multiple of the page size.
pub fn distance(number: u64) -> u64 {
    number % CHOICES * PAGE
}

/// Numbers, by an index, that differ from boot to boot, such as the digits of the date.
pub type Noise = fn(u8) -> u64;

/// Random numbers at boot: for [`distance`], and for the canary of musl's stack protector. They are
/// the processor's. Without such instructions they come from `noise` and the jitter of reading it
/// repeatedly, which is sufficient against bugs, but no source of keys.
pub fn numbers<const N: usize>(noise: Noise) -> [u64; N] {
    let mut bytes = [[0; 8]; N];
    if random::fill(bytes.as_flattened_mut()) {
        return bytes.map(u64::from_le_bytes);
    }
    let mut state = 0;
    bytes.map(|_| {
        for index in 0..16 {
            state = (state ^ noise(index) << 56 ^ counter::counter())
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        state
    })
}
