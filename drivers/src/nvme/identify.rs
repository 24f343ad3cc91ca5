//! What controllers and namespaces say about themselves (NVM Express Base 2.0, 5.17; NVM Command
//! Set 1.0, 4.1.5).

use alloc::vec::Vec;

use super::prp::PAGE;

/// Bytes of every answer to Identify.
pub(crate) const BYTES: usize = 4096;
/// Bytes of a serial number.
const SERIAL: usize = 20;

/// Amazon's PCI vendor id, the model of an EBS volume, and the bytes of the name that it is
/// attached under, in the vendor's part (Amazon EBS User Guide, "Map NVMe disks").
const AMAZON: u16 = 0x1d0f;
const EBS_MODEL: &[u8; 26] = b"Amazon Elastic Block Store";
const EBS_NAME: usize = 32;

/// `CNS`: which data structure Identify returns.
pub(crate) mod select {
    pub const NAMESPACE: u32 = 0x00;
    pub const CONTROLLER: u32 = 0x01;
    pub const ACTIVE_NAMESPACES: u32 = 0x02;
    pub const COMMAND_SET_CONTROLLER: u32 = 0x06;
}

/// Why a namespace isn't usable as a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There is no such namespace, or none that is attached.
    Inactive,
    /// Each block has bytes of metadata.
    Metadata(u16),
    /// Blocks of 2 to this power of bytes.
    BlockSize(u8),
}

/// The fields of an answer.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8; BYTES]);

impl Fields<'_> {
    /// The `N` bytes at `at`; zeros outside the answer.
    fn bytes<const N: usize>(self, at: usize) -> [u8; N] {
        let field = self.0.get(at..).and_then(<[u8]>::first_chunk);
        field.copied().unwrap_or([0; N])
    }

    fn u8(self, at: usize) -> u8 {
        u8::from_le_bytes(self.bytes(at))
    }

    fn u16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }
}

/// Identify Controller (Base 2.0, figure 275).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ControllerData {
    pub serial: [u8; SERIAL],
    /// The name under which an EBS volume is attached, for example `sdf` or `/dev/sdf`.
    pub attached: Option<[u8; EBS_NAME]>,
    /// Maximum bytes of a command's data; `None` for no limit.
    pub max_transfer: Option<usize>,
    /// It processes I/O commands: it isn't a discovery or administrative controller.
    pub has_io: bool,
    /// It takes commands of 64 bytes and returns completions of 16.
    pub entries: bool,
    /// Number of the last namespace that may exist.
    pub namespaces: u32,
    /// It offers Dataset Management.
    pub discard: bool,
    /// It offers Write Zeroes.
    pub write_zeroes: bool,
    /// It has a volatile write cache.
    pub flush: bool,
}

impl ControllerData {
    pub fn parse(answer: &[u8; BYTES]) -> ControllerData {
        let fields = Fields(answer);
        let takes = |at: usize, log: u8| {
            let sizes = fields.u8(at);
            sizes & 0xf <= log && sizes >> 4 >= log
        };
        let optional = fields.u16(520);
        let is_volume = fields.u16(0) == AMAZON && fields.bytes(24) == *EBS_MODEL;
        ControllerData {
            serial: fields.bytes(4),
            attached: is_volume.then(|| fields.bytes(3072)),
            max_transfer: match fields.u8(77) {
                0 => None,
                log => pages(log),
            },
            has_io: fields.u8(111) <= 1,
            entries: takes(512, 6) && takes(513, 4),
            namespaces: fields.u32(516),
            discard: optional & 1 << 2 != 0,
            write_zeroes: optional & 1 << 3 != 0,
            flush: fields.u8(525) & 1 != 0,
        }
    }
}

/// 2 to the power of `log` memory pages in bytes; `None` if that exceeds every memory.
fn pages(log: u8) -> Option<usize> {
    1usize
        .checked_shl(u32::from(log))
        .and_then(|pages| pages.checked_mul(PAGE))
}

/// The controller's limits of the NVM command set (NVM Command Set 1.0, figure 101).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandSetData {
    /// Maximum bytes of a Write Zeroes; `None`: as for data.
    pub max_zeroes: Option<usize>,
    /// Maximum blocks of a range of Dataset Management; `None` for no limit.
    pub max_discard: Option<u32>,
}

impl CommandSetData {
    pub fn parse(answer: &[u8; BYTES]) -> CommandSetData {
        let fields = Fields(answer);
        let blocks = fields.u32(4);
        CommandSetData {
            max_zeroes: match fields.u8(1) {
                0 => None,
                log => pages(log),
            },
            max_discard: (blocks > 0).then_some(blocks),
        }
    }
}

/// Identify Namespace (NVM Command Set 1.0, figure 97).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamespaceData {
    pub blocks: u64,
    /// Bytes of a block: a power of two from 512 to [`MAX_BLOCK`](crate::disk::MAX_BLOCK).
    pub block_size: usize,
    pub read_only: bool,
    /// A Write Zeroes may deallocate, and deallocated blocks read as zeros.
    pub zeroes_deallocate: bool,
    /// Preferred alignment of deallocations in blocks; 0 for none.
    pub discard_alignment: u32,
}

impl NamespaceData {
    pub fn parse(answer: &[u8; BYTES]) -> Result<NamespaceData, Unusable> {
        let fields = Fields(answer);
        let blocks = fields.u64(0);
        if blocks == 0 {
            return Err(Unusable::Inactive);
        }
        // The upper two bits were reserved, and are zero, while there were at most 16 formats.
        let selected = fields.u8(26);
        let format = usize::from(selected & 0xf | selected >> 1 & 0x30);
        let format = fields.u32(128 + 4 * format);
        let metadata = format as u16;
        if metadata != 0 {
            return Err(Unusable::Metadata(metadata));
        }
        let log = (format >> 16) as u8;
        if !(9..=crate::disk::MAX_BLOCK.ilog2()).contains(&u32::from(log)) {
            return Err(Unusable::BlockSize(log));
        }
        let features = fields.u8(24);
        let deallocated = fields.u8(33);
        Ok(NamespaceData {
            blocks,
            block_size: 1 << log,
            read_only: fields.u8(99) & 1 != 0,
            zeroes_deallocate: deallocated & 7 == 1 && deallocated & 1 << 3 != 0,
            // NPDG, which OPTPERF says is there; zero-based.
            discard_alignment: match features & 1 << 4 {
                0 => 0,
                _ => u32::from(fields.u16(68)) + 1,
            },
        })
    }
}

/// The numbers in a list of active namespaces (Base 2.0, 5.17.2.2), at most `most` of them; `None`
/// if they don't increase.
pub(super) fn active_namespaces(answer: &[u8; BYTES], most: usize) -> Option<Vec<u32>> {
    let fields = Fields(answer);
    let mut last = 0;
    let mut namespaces = Vec::new();
    for at in (0..BYTES).step_by(4) {
        let number = fields.u32(at);
        if number == 0 || namespaces.len() == most {
            break;
        }
        if number <= last {
            return None;
        }
        last = number;
        namespaces.push(number);
    }
    Some(namespaces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec;

    use super::*;

    /// An answer of zeros but for the bytes at these offsets.
    fn answer(fields: &[(usize, &[u8])]) -> [u8; BYTES] {
        let mut answer = [0; BYTES];
        for (at, bytes) in fields {
            answer[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        answer
    }

    #[test]
    fn the_fields_of_a_controller_are_the_standard_s() {
        let nothing = ControllerData::parse(&answer(&[]));
        assert_eq!(nothing.max_transfer, None);
        assert!(nothing.has_io && !nothing.entries && !nothing.flush);
        let data = ControllerData::parse(&answer(&[
            (4, b"0123456789abcdefghij"),
            (77, &[5]),
            (111, &[1]),
            (512, &[0x66, 0x44]),
            (516, &[4, 3, 2, 1]),
            (520, &[0b1100, 0]),
            (525, &[0b111]),
        ]));
        let expected = ControllerData {
            serial: *b"0123456789abcdefghij",
            attached: None,
            max_transfer: Some(128 << 10),
            has_io: true,
            entries: true,
            namespaces: 0x0102_0304,
            discard: true,
            write_zeroes: true,
            flush: true,
        };
        assert_eq!(data, expected);
        let [discards, zeroes] =
            [0b0100, 0b1000].map(|optional| ControllerData::parse(&answer(&[(520, &[optional])])));
        assert_eq!((discards.discard, discards.write_zeroes), (true, false));
        assert_eq!((zeroes.discard, zeroes.write_zeroes), (false, true));
        // Discovery and administrative controllers; entries that are larger, or smaller, only.
        for (at, bytes) in [(111, [2, 0]), (111, [3, 0])] {
            assert!(!ControllerData::parse(&answer(&[(at, &bytes)])).has_io);
        }
        for sizes in [[0x77, 0x44], [0x55, 0x44], [0x66, 0x55], [0x66, 0x33]] {
            assert!(!ControllerData::parse(&answer(&[(512, &sizes)])).entries);
        }
        assert!(ControllerData::parse(&answer(&[(512, &[0x76, 0x64])])).entries);
    }

    #[test]
    fn only_a_volume_of_ebs_has_the_name_of_its_attachment() {
        let parse = |vendor: &[u8], model: &[u8]| {
            ControllerData::parse(&answer(&[(0, vendor), (24, model), (3072, b"/dev/sdf")]))
        };
        let name = parse(&[0x0f, 0x1d], EBS_MODEL).attached;
        assert_eq!(
            name.as_ref().map(|name| &name[..9]),
            Some(&b"/dev/sdf\0"[..])
        );
        assert_eq!(
            parse(&[0x0f, 0x1d], b"Amazon EC2 NVMe Instance Storage").attached,
            None
        );
        assert_eq!(parse(&[0x36, 0x1b], EBS_MODEL).attached, None);
    }

    #[test]
    fn a_limit_beyond_every_memory_is_none() {
        for (log, expected) in [
            (1, Some(8192)),
            (51, Some(1 << 63)),
            (52, None),
            (255, None),
        ] {
            assert_eq!(pages(log), expected);
        }
    }

    #[test]
    fn the_fields_of_the_command_set_are_the_standard_s() {
        let limits = |fields: &[_]| CommandSetData::parse(&answer(fields));
        assert_eq!(limits(&[]), CommandSetData::default());
        let expected = CommandSetData {
            max_zeroes: Some(16384),
            max_discard: Some(0x0201),
        };
        assert_eq!(limits(&[(1, &[2]), (4, &[1, 2])]), expected);
    }

    #[test]
    fn the_fields_of_a_namespace_are_the_standard_s() {
        let size: (usize, &[u8]) = (0, &[0, 1]);
        let parse =
            |fields: &[(usize, &[u8])]| NamespaceData::parse(&answer(&[&[size], fields].concat()));
        let plain = NamespaceData {
            blocks: 256,
            block_size: 512,
            read_only: false,
            zeroes_deallocate: false,
            discard_alignment: 0,
        };
        assert_eq!(parse(&[(130, &[9])]), Ok(plain));
        // The third format; the 17th, whose number has a bit of its own; the last.
        for (selected, at) in [(0x02, 128 + 8), (0x20, 128 + 64), (0x6f, 128 + 252)] {
            let fields: [(usize, &[u8]); 2] = [(26, &[selected]), (at + 2, &[12])];
            let expected = NamespaceData {
                block_size: 4096,
                ..plain
            };
            assert_eq!(parse(&fields), Ok(expected), "format {selected:#x}");
        }
        let all = parse(&[
            (24, &[1 << 4]),
            (33, &[0b1001]),
            (68, &[7, 1]),
            (99, &[1]),
            (130, &[16]),
        ]);
        let expected = NamespaceData {
            block_size: 65536,
            read_only: true,
            zeroes_deallocate: true,
            discard_alignment: 264,
            ..plain
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(
            NamespaceData::parse(&answer(&[(130, &[9])])),
            Err(Unusable::Inactive)
        );
        assert_eq!(parse(&[(128, &[8, 0, 9])]), Err(Unusable::Metadata(8)));
        for log in [0, 8, 17, 63, 64, 255] {
            assert_eq!(parse(&[(130, &[log])]), Err(Unusable::BlockSize(log)));
        }
    }

    #[test]
    fn a_list_of_namespaces_ends_with_a_zero_or_a_page() {
        let list = |numbers: &[u32], most| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            active_namespaces(&answer(&[(0, &bytes)]), most)
        };
        assert_eq!(list(&[], 9), Some(vec![]));
        assert_eq!(list(&[1, 2, 70, 0, 71], 9), Some(vec![1, 2, 70]));
        assert_eq!(list(&[1, 2, 70], 2), Some(vec![1, 2]));
        let full: Vec<u32> = (1..=1024).collect();
        assert_eq!(list(&full, 5000).as_ref(), Some(&full));
        for wrong in [[2, 2, 3], [3, 2, 5], [7, 8, 1]] {
            assert_eq!(list(&wrong, 9), None);
        }
    }

    proptest! {
        /// Answers are any bytes: sizes that are used are possible ones.
        #[test]
        fn any_answer_is_parsed(bytes in prop::collection::vec(any::<u8>(), BYTES)) {
            let answer: [u8; BYTES] = bytes.try_into().expect("as many");
            let limits = [
                ControllerData::parse(&answer).max_transfer,
                CommandSetData::parse(&answer).max_zeroes,
            ];
            prop_assert!(limits.iter().flatten().all(|limit| limit.is_multiple_of(PAGE)));
            if let Ok(found) = NamespaceData::parse(&answer) {
                prop_assert!((512..=65536).contains(&found.block_size));
                prop_assert!(found.block_size.is_power_of_two() && found.blocks > 0);
            }
            let _ = active_namespaces(&answer, 32);
        }
    }
}
