//! EDID, the identification data of a monitor (VESA E-EDID 1.4). Invalid data is ignored.
//!
//! Modes are read from detailed, standard and established timings, and from the detailed timings of
//! CTA-861 blocks. Not read: established timings III (descriptor 0xf7), the video codes of CTA-861,
//! and interlaced modes.

use alloc::string::String;
use alloc::vec::Vec;

use device_types::display::Mode;

/// Bytes of a block.
const BLOCK: usize = 128;
const MAGIC: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
/// Offsets of the four descriptors of the base block, and bytes per descriptor.
const DESCRIPTORS: [usize; 4] = [54, 72, 90, 108];
const DESCRIPTOR: usize = 18;
/// Type of the descriptor of the monitor's name.
const NAME: u8 = 0xfc;
/// Tag of a CTA-861 extension block.
const CTA: u8 = 2;
/// Maximum number of reported modes.
const MAX_MODES: usize = 64;

/// The established timings (3.8) with square pixels: byte, bit, width, height, hertz.
const ESTABLISHED: [(usize, u8, u32, u32, u32); 14] = [
    (35, 5, 640, 480, 60),
    (35, 4, 640, 480, 67),
    (35, 3, 640, 480, 72),
    (35, 2, 640, 480, 75),
    (35, 1, 800, 600, 56),
    (35, 0, 800, 600, 60),
    (36, 7, 800, 600, 72),
    (36, 6, 800, 600, 75),
    (36, 5, 832, 624, 75),
    (36, 3, 1024, 768, 60),
    (36, 2, 1024, 768, 70),
    (36, 1, 1024, 768, 75),
    (36, 0, 1280, 1024, 75),
    (37, 7, 1152, 870, 75),
];

/// A monitor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    /// Its name.
    pub name: Option<String>,
    /// Width and height of its picture in millimetres.
    pub size_mm: Option<(u32, u32)>,
    /// Its modes, the preferred one first; at most 64, without duplicates.
    pub modes: Vec<Mode>,
}

/// Parses an EDID; `None` if the base block is invalid. Invalid or truncated extension blocks are
/// skipped.
pub fn parse(edid: &[u8]) -> Option<Monitor> {
    let (base, mut rest) = edid.split_first_chunk::<BLOCK>()?;
    if !base.starts_with(&MAGIC) || !is_checksum_valid(base) {
        return None;
    }
    let mut monitor = Monitor::default();
    for at in DESCRIPTORS {
        let Some(descriptor) = base.get(at..at + DESCRIPTOR) else {
            continue;
        };
        if let Some((mode, size)) = timing(descriptor) {
            // The size of the preferred mode is more precise than that in centimetres.
            monitor.size_mm = monitor.size_mm.or(size);
            add(&mut monitor.modes, mode);
        } else if descriptor.starts_with(&[0, 0, 0, NAME]) {
            monitor.name = monitor.name.or_else(|| text(descriptor.get(5..)?));
        }
    }
    if monitor.size_mm.is_none() && base[21] > 0 && base[22] > 0 {
        monitor.size_mm = Some((u32::from(base[21]) * 10, u32::from(base[22]) * 10));
    }
    for _ in 0..base[126] {
        let Some((block, after)) = rest.split_first_chunk::<BLOCK>() else {
            break;
        };
        rest = after;
        if block[0] != CTA || !is_checksum_valid(block) {
            continue;
        }
        // Detailed timings begin at the offset in byte 2, after the data blocks.
        let first = usize::from(block[2]);
        let timings = block.get(first..BLOCK - 1).filter(|_| first >= 4);
        for descriptor in timings.unwrap_or_default().chunks_exact(DESCRIPTOR) {
            // A pixel clock of 0 ends the list.
            if descriptor.starts_with(&[0, 0]) {
                break;
            }
            if let Some((mode, _)) = timing(descriptor) {
                add(&mut monitor.modes, mode);
            }
        }
    }
    for pair in base[38..54].chunks_exact(2) {
        if let Some(mode) = standard(pair[0], pair[1], base[19]) {
            add(&mut monitor.modes, mode);
        }
    }
    for (byte, bit, width, height, hertz) in ESTABLISHED {
        if base[byte] >> bit & 1 == 1 {
            let refresh_mhz = hertz * 1000;
            add(
                &mut monitor.modes,
                Mode {
                    width,
                    height,
                    refresh_mhz,
                },
            );
        }
    }
    Some(monitor)
}

/// Whether the checksum of a block is valid.
fn is_checksum_valid(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

fn add(modes: &mut Vec<Mode>, mode: Mode) {
    let same = |other: &Mode| {
        // Rates of the same mode differ by rounding.
        let difference = other.refresh_mhz.abs_diff(mode.refresh_mhz);
        (other.width, other.height) == (mode.width, mode.height) && difference < 500
    };
    if modes.len() < MAX_MODES && !modes.iter().any(same) {
        modes.push(mode);
    }
}

/// A detailed timing (3.10.2) that isn't interlaced, with the size of the picture in millimetres.
fn timing(bytes: &[u8]) -> Option<(Mode, Option<(u32, u32)>)> {
    let bytes: &[u8; DESCRIPTOR] = bytes.first_chunk()?;
    let clock = u64::from(u16::from_le_bytes([bytes[0], bytes[1]])) * 10_000;
    let twelve = |low: usize, high: u8| u32::from(bytes[low]) | u32::from(high) << 8;
    let (width, height) = (twelve(2, bytes[4] >> 4), twelve(5, bytes[7] >> 4));
    let total =
        u64::from(width + twelve(3, bytes[4] & 15)) * u64::from(height + twelve(6, bytes[7] & 15));
    let interlaced = bytes[17] & 0x80 != 0;
    if clock == 0 || width == 0 || height == 0 || interlaced {
        return None;
    }
    let refresh_mhz = u32::try_from((clock * 1000 + total / 2) / total).ok()?;
    let size = (twelve(12, bytes[14] >> 4), twelve(13, bytes[14] & 15));
    let size = Some(size).filter(|(width, height)| *width > 0 && *height > 0);
    let mode = Mode {
        width,
        height,
        refresh_mhz,
    };
    Some((mode, size))
}

/// A standard timing (3.9) of an EDID 1.`revision`.
fn standard(width: u8, rest: u8, revision: u8) -> Option<Mode> {
    if (width, rest) == (1, 1) || width == 0 {
        return None;
    }
    let width = (u32::from(width) + 31) * 8;
    let height = match rest >> 6 {
        0 if revision < 3 => width,
        0 => width * 10 / 16,
        1 => width * 3 / 4,
        2 => width * 4 / 5,
        _ => width * 9 / 16,
    };
    let refresh_mhz = (u32::from(rest & 63) + 60) * 1000;
    Some(Mode {
        width,
        height,
        refresh_mhz,
    })
}

/// The printable text of a descriptor, up to a line feed.
fn text(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let line = core::str::from_utf8(line).ok()?.trim_end();
    let printable = !line.is_empty() && line.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    printable.then(|| String::from(line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fake::edid;

    #[test]
    fn a_monitor_tells_its_name_size_and_modes() {
        let monitor = parse(&edid("Test screen", 1280, 800)).unwrap();
        assert_eq!(monitor.name.as_deref(), Some("Test screen"));
        assert_eq!(monitor.size_mm, Some((325, 203)));
        let mode = |width, height, refresh_mhz| Mode {
            width,
            height,
            refresh_mhz,
        };
        assert_eq!(
            monitor.modes,
            [
                mode(1280, 800, 75_000),
                mode(1920, 1080, 60_000),
                mode(1024, 768, 60_000),
                mode(640, 480, 60_000),
            ]
        );
    }

    #[test]
    fn a_damaged_block_says_nothing() {
        let good = edid("Test screen", 1280, 800);
        for at in 0..BLOCK {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
        let mut bad = good.clone();
        bad[BLOCK + 50] ^= 4;
        let modes = parse(&bad).unwrap().modes;
        assert!(modes.iter().all(|mode| mode.width != 1920), "{modes:?}");
        assert_eq!(parse(&good[..BLOCK]).unwrap().modes.len(), 3);
        assert_eq!(parse(&good[..BLOCK - 1]), None);
        assert_eq!(parse(&[]), None);
    }

    #[test]
    fn timings_that_are_none_are_left_out() {
        let good = edid("Test screen", 1280, 800);
        let descriptor = &good[54..72];
        assert!(timing(descriptor).is_some());
        let with = |at: usize, value| {
            let mut changed = descriptor.to_vec();
            changed[at] = value;
            changed
        };
        assert!(timing(&with(17, 0x80)).is_none(), "interlaced");
        // No pixels at all, shown or blank.
        let mut empty = with(0, 1);
        empty[2..8].fill(0);
        assert!(timing(&empty).is_none());
        assert!(timing(&descriptor[1..]).is_none());
        // The extension has none: a descriptor at its start would be its header.
        let mut header = good.clone();
        header[BLOCK + 2..BLOCK + 6].copy_from_slice(&[0, 0, 0x50, 100]);
        mend(&mut header);
        assert_eq!(parse(&header).unwrap().modes.len(), 3);
    }

    #[test]
    fn an_interlaced_timing_is_one_of_many() {
        let mut edid = edid("Test screen", 1280, 800);
        let block = &mut edid[BLOCK..];
        let full: [u8; DESCRIPTOR] = *block[4..].first_chunk().unwrap();
        let mut times = [full; 3];
        times[0][17] |= 0x80;
        // 1664 and 1408 pixels wide.
        for (time, high) in times[1..].iter_mut().zip([6, 5]) {
            time[4] = time[4] & 15 | high << 4;
        }
        // The end of the timings.
        let end = 4 + 3 * DESCRIPTOR;
        block[4..end].copy_from_slice(times.as_flattened());
        block[end..end + DESCRIPTOR].fill(0);
        block[end + DESCRIPTOR..end + 2 * DESCRIPTOR].copy_from_slice(&full);
        mend(&mut edid);
        let modes = parse(&edid).unwrap().modes;
        let widths: Vec<u32> = modes.iter().map(|mode| mode.width).collect();
        assert_eq!(widths, [1280, 1664, 1408, 1024, 640]);
    }

    #[test]
    fn all_established_timings_of_square_pixels_are_read() {
        let mut edid = edid("Test screen", 1280, 800);
        edid[35..38].fill(0xff);
        mend(&mut edid);
        let modes = parse(&edid).unwrap().modes;
        for (width, height, hertz) in [
            (640, 480, 67),
            (640, 480, 72),
            (800, 600, 56),
            (832, 624, 75),
        ] {
            let mode = Mode {
                width,
                height,
                refresh_mhz: hertz * 1000,
            };
            assert!(modes.contains(&mode), "{mode:?}");
        }
    }

    #[test]
    fn the_first_aspect_of_a_standard_timing_was_once_square() {
        let mode = |revision| standard(97, 0, revision).map(|mode| (mode.width, mode.height));
        assert_eq!(mode(2), Some((1024, 1024)));
        assert_eq!(mode(3), Some((1024, 640)));
    }

    #[test]
    fn unprintable_names_are_none() {
        assert_eq!(text(b"QEMU Monitor\n").as_deref(), Some("QEMU Monitor"));
        assert_eq!(text(b"a\x1b[2J\n      "), None);
        assert_eq!(text(b"\n            "), None);
        assert_eq!(text(b"\xff\xfe"), None);
    }

    /// Corrects the checksums of all blocks.
    fn mend(bytes: &mut [u8]) {
        for block in bytes.chunks_exact_mut(BLOCK) {
            let sum = block[..BLOCK - 1].iter();
            block[BLOCK - 1] = sum.fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(
            mut bytes in prop::collection::vec(any::<u8>(), 0..1024), sound in any::<bool>(),
        ) {
            if sound && bytes.len() >= BLOCK {
                bytes[..8].copy_from_slice(&MAGIC);
                mend(&mut bytes);
            }
            if let Some(monitor) = parse(&bytes) {
                prop_assert!(monitor.modes.len() <= MAX_MODES);
                let usable = |mode: &Mode| mode.width > 0 && mode.height > 0;
                prop_assert!(monitor.modes.iter().all(usable));
            }
        }
    }
}
