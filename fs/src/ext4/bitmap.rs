//! Bit operations on bitmaps (kernel documentation, "Block and inode Bitmaps").

/// Returns the first bit from `from` to before `end` that is `wanted`; `end` if there is none.
fn next(bitmap: &[u8], from: usize, end: usize, wanted: bool) -> usize {
    let mut at = from;
    while at < end {
        let word = bitmap
            .get(at / 64 * 8..)
            .and_then(|rest| rest.first_chunk());
        let Some(word) = word else {
            return end;
        };
        let word = u64::from_le_bytes(*word);
        let word = if wanted { word } else { !word };
        let rest = word >> (at % 64);
        if rest != 0 {
            return (at + rest.trailing_zeros() as usize).min(end);
        }
        at = (at / 64 + 1) * 64;
    }
    end
}

pub fn next_clear(bitmap: &[u8], from: usize, end: usize) -> usize {
    next(bitmap, from, end, false)
}

pub fn next_set(bitmap: &[u8], from: usize, end: usize) -> usize {
    next(bitmap, from, end, true)
}

/// Sets or clears bits.
pub fn fill(bitmap: &mut [u8], from: usize, count: usize, value: bool) {
    let mut at = from;
    while at < from + count {
        if at.is_multiple_of(8) && from + count - at >= 8 {
            let bytes = (from + count - at) / 8;
            if let Some(whole) = bitmap.get_mut(at / 8..at / 8 + bytes) {
                whole.fill(if value { 0xff } else { 0 });
            }
            at += bytes * 8;
            continue;
        }
        if let Some(byte) = bitmap.get_mut(at / 8) {
            if value {
                *byte |= 1 << (at % 8);
            } else {
                *byte &= !(1 << (at % 8));
            }
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_found_and_filled() {
        for (from, count) in [(0, 1), (3, 4), (5, 20), (63, 2), (100, 28), (0, 128)] {
            let mut bits = [0; 16];
            fill(&mut bits, from, count, true);
            assert_eq!(next_set(&bits, 0, 128), from);
            assert_eq!(next_clear(&bits, from, 128), from + count);
            let set: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(set as usize, count);
            fill(&mut bits, from, count, false);
            assert_eq!(next_set(&bits, 0, 128), 128);
        }
    }
}
