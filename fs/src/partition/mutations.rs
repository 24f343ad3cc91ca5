//! Randomly damaged tables, with and without corrected CRCs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::tests::{ALL, image, places, sign};
use super::{Slice, table};
use crate::Block;
use crate::fake::Disk;

/// Reading any table ends, and a partition that can be opened lies on the disk.
fn survives(bytes: Vec<u8>, sector: usize) {
    let disk = Disk::new(bytes, sector);
    if let Ok(found) = table(&mut disk.clone()) {
        for number in 0..found.partitions.len().min(20) {
            let name: String = found.partitions[number].number.to_string();
            if let Ok(partition) = found.find(&name) {
                let slice = Slice::new(disk.clone(), partition.first, partition.sectors);
                assert_eq!(slice.sectors(), partition.sectors);
            }
        }
    }
    let state = disk.state();
    assert!(state.bytes_read < 1 << 20 && state.writes == 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn mutated_tables_do_no_harm(
        which in 0_usize..8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        signed in any::<bool>(),
    ) {
        let (mut bytes, sector) = image(ALL[which]);
        let used = places(ALL[which], sector);
        for (at, value) in changes {
            bytes[used[at.index(used.len())]] = value;
        }
        if signed {
            sign(&mut bytes, sector);
        }
        survives(bytes, sector);
    }

    #[test]
    fn headers_that_are_right_by_their_crc_only_do_no_harm(
        fields in prop::collection::vec(any::<u8>(), 68),
        sane in 0_u32..4,
        array in any::<u32>(),
    ) {
        let (mut bytes, sector) = image(ALL[0]);
        bytes[sector + 24..sector + 92].copy_from_slice(&fields);
        bytes[sector + 24..sector + 32].copy_from_slice(&1_u64.to_le_bytes());
        if sane > 0 {
            bytes[sector + 84..sector + 88].copy_from_slice(&(64_u32 << sane).to_le_bytes());
        }
        if sane > 1 {
            bytes[sector + 80..sector + 84].copy_from_slice(&(array % 2000).to_le_bytes());
            bytes[sector + 72..sector + 80].copy_from_slice(&u64::from(array >> 16).to_le_bytes());
        }
        sign(&mut bytes, sector);
        survives(bytes, sector);
    }

    #[test]
    fn noise_does_no_harm(
        noise in prop::collection::vec(any::<u8>(), 512..8192),
        signed in any::<bool>(),
    ) {
        let mut bytes = noise;
        bytes.truncate(bytes.len() / 512 * 512);
        if signed {
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        }
        survives(bytes, 512);
    }
}
