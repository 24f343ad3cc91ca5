//! QEMU's device for firmware: numbered items, some of which are named files.
//!
//! Source: QEMU's docs/specs/fw_cfg.rst.

use alloc::vec;
use alloc::vec::Vec;

/// The device's registers, on ports or in memory.
pub trait Registers {
    /// Selects an item: the next read begins with its first byte.
    fn select(&mut self, item: u16);
    /// Reads the item's next bytes; zeros behind its end.
    fn read(&mut self, to: &mut [u8]);
}

const SIGNATURE: u16 = 0;
const DIRECTORY: u16 = 0x19;
/// Maximum number of files among which one is searched; QEMU has a few dozen.
const MAX_FILES: u32 = 1024;
/// Bytes of a file's name, with a zero at its end.
const NAME: usize = 56;

/// Whether there is such a device.
pub fn exists(device: &mut impl Registers) -> bool {
    let mut signature = [0; 4];
    device.select(SIGNATURE);
    device.read(&mut signature);
    signature == *b"QEMU"
}

/// The first bytes of an item; `None` where there is no such device.
pub fn item<const N: usize>(device: &mut impl Registers, item: u16) -> Option<[u8; N]> {
    if !exists(device) {
        return None;
    }
    let mut bytes = [0; N];
    device.select(item);
    device.read(&mut bytes);
    Some(bytes)
}

/// The contents of the file `name`; `None` if there is none, or a longer one than `max`.
pub fn file(device: &mut impl Registers, name: &[u8], max: usize) -> Option<Vec<u8>> {
    let count = u32::from_be_bytes(item(device, DIRECTORY)?);
    for _ in 0..count.min(MAX_FILES) {
        let (mut numbers, mut entry) = ([0; 8], [0; NAME]);
        device.read(&mut numbers);
        device.read(&mut entry);
        let [a, b, c, d, high, low, ..] = numbers;
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if entry.split(|byte| *byte == 0).next() == Some(name) {
            if len > max {
                return None;
            }
            device.select(u16::from_be_bytes([high, low]));
            let mut contents = vec![0; len];
            device.read(&mut contents);
            return Some(contents);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Registers, file, item};

    /// A numbered item.
    const NUMBERED: u16 = 5;

    /// A device with these items.
    struct Fake {
        items: Vec<(u16, Vec<u8>)>,
        selected: (u16, usize),
        /// Bytes read.
        count: usize,
    }

    impl Registers for Fake {
        fn select(&mut self, item: u16) {
            self.selected = (item, 0);
        }

        fn read(&mut self, to: &mut [u8]) {
            let (item, at) = &mut self.selected;
            let found = self.items.iter().find(|(number, _)| number == item);
            for byte in to {
                let value = found.and_then(|(_, bytes)| bytes.get(*at));
                *byte = value.copied().unwrap_or(0);
                *at += 1;
                self.count += 1;
            }
        }
    }

    fn fake(count: u32, files: &[(&str, &[u8])]) -> Fake {
        let mut directory = count.to_be_bytes().to_vec();
        let mut items = vec![(0, b"QEMU".to_vec()), (NUMBERED, vec![3, 0])];
        for (number, (name, contents)) in files.iter().enumerate() {
            let number = 0x20 + number as u16;
            directory.extend((contents.len() as u32).to_be_bytes());
            directory.extend(number.to_be_bytes());
            directory.extend([0; 2]);
            directory.extend(name.bytes());
            directory.resize(directory.len().next_multiple_of(64) + 4, 0);
            items.push((number, contents.to_vec()));
        }
        items.push((0x19, directory));
        Fake {
            items,
            selected: (0, 0),
            count: 0,
        }
    }

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let files: [(&str, &[u8]); 3] = [("etc/a", b"1"), ("opt/a", b"A=1"), ("opt/ab", b"2")];
        let mut device = fake(3, &files);
        assert_eq!(file(&mut device, b"opt/a", 3).as_deref(), Some(&b"A=1"[..]));
        for (name, max) in [(&b"opt/a"[..], 2), (b"opt", 9), (b"opt/abc", 9), (b"", 9)] {
            assert_eq!(file(&mut device, name, max), None, "{name:?}");
        }
        assert_eq!(item(&mut device, NUMBERED), Some([3, 0]));
    }

    #[test]
    fn what_the_device_says_is_bounded() {
        let mut device = fake(u32::MAX, &[("a", b"1")]);
        assert_eq!(file(&mut device, b"b", 9), None);
        assert!(device.count < 1025 * 64 + 16, "{}", device.count);
        // A length that it doesn't have.
        device = fake(1, &[("a", b"1")]);
        let directory = &mut device.items.last_mut().expect("there").1;
        directory[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(file(&mut device, b"a", 64 << 10), None);
    }

    #[test]
    fn no_device_has_no_files() {
        for bytes in [vec![], vec![0xff; 4], b"QEMV".to_vec()] {
            let items = vec![(0, bytes), (0x19, vec![0xff; 256])];
            let mut device = Fake {
                items,
                selected: (0, 0),
                count: 0,
            };
            assert_eq!(file(&mut device, b"a", 9), None);
            assert_eq!(item::<2>(&mut device, NUMBERED), None);
        }
    }
}
