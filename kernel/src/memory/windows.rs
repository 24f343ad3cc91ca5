//! The windows of the address space in which device memory is mapped.

use super::layout::{DEVICE_WINDOW, DEVICE_WINDOWS, DEVICES};

/// Where device memory is mapped: in windows of 16 TiB, since a processor may have more physical
/// addresses (up to 2^52) than the upper half of the address space. The first window is always that
/// of the addresses from 0 on; another belongs to the 16 TiB of its first use, for good. A machine
/// has its 64-bit BARs in one or two places.
///
/// The numbers of the others, in units of 16 TiB; 0 for a free one.
pub struct Windows([u8; DEVICE_WINDOWS - 1]);

impl Windows {
    /// All free but the first.
    pub const fn new() -> Self {
        Self([0; DEVICE_WINDOWS - 1])
    }

    /// The virtual address of `physical`; `None` if the range up to `end` is in two windows, or no
    /// window is left. `end` is 2^52 at most.
    pub fn address(&mut self, physical: u64, end: u64) -> Option<u64> {
        let number = (physical / DEVICE_WINDOW) as u8;
        if end > (u64::from(number) + 1) * DEVICE_WINDOW {
            return None;
        }
        let mut address = DEVICES + physical % DEVICE_WINDOW;
        if number == 0 {
            return Some(address);
        }
        for window in &mut self.0 {
            address += DEVICE_WINDOW;
            if *window == 0 || *window == number {
                *window = number;
                return Some(address);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Windows;
    use crate::memory::layout::{DEVICE_WINDOW, DEVICE_WINDOWS, DEVICES};
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::collections::HashMap;

    #[test]
    fn low_addresses_have_the_first_window() {
        let mut windows = Windows::new();
        let high = 1 << 46;
        assert_eq!(
            windows.address(high, high + 1),
            Some(DEVICES + DEVICE_WINDOW)
        );
        assert_eq!(
            windows.address(0xfee0_0123, 0xfee0_0124),
            Some(DEVICES + 0xfee0_0123)
        );
        let last = DEVICE_WINDOW - 4096;
        assert_eq!(windows.address(last, DEVICE_WINDOW), Some(DEVICES + last));
        assert_eq!(windows.address(last, DEVICE_WINDOW + 1), None);
        // The last addresses of a processor that has them all.
        let last = (1 << 52) - 4096;
        let second = DEVICES + 3 * DEVICE_WINDOW - 4096;
        assert_eq!(windows.address(last, 1 << 52), Some(second));
        assert_eq!(
            windows.address(high + 5, high + 6),
            Some(DEVICES + DEVICE_WINDOW + 5)
        );
    }

    proptest! {
        #[test]
        fn each_address_has_one_place(
            ranges in vec((0u64..12, 0..DEVICE_WINDOW, 0u64..1 << 20), 1..40),
        ) {
            let (mut windows, mut places) = (Windows::new(), HashMap::new());
            for (number, offset, len) in ranges {
                let number = number * 23;
                let physical = number * DEVICE_WINDOW + offset;
                let Some(address) = windows.address(physical, physical + len) else {
                    let first = usize::from(!places.contains_key(&0));
                    let is_new = !places.contains_key(&number);
                    let full = is_new && places.len() + first == DEVICE_WINDOWS;
                    prop_assert!(full || offset + len > DEVICE_WINDOW);
                    continue;
                };
                prop_assert!(address.checked_add(len).is_some_and(|_| address >= DEVICES));
                let base = *places.entry(number).or_insert(address - offset);
                prop_assert_eq!(address, base + offset);
                let others = places.iter().filter(|(other, _)| **other != number);
                prop_assert!(others.clone().all(|(_, other)| *other != base));
            }
        }
    }
}
