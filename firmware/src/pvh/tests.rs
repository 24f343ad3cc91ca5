use super::{Entry, Info, MAGIC, Module, StartInfo};
use crate::fake::Memory;
use crate::memory::{MemoryMap as _, Region};
use core::mem::offset_of;

fn machine() -> Memory {
    let mut memory = vec![0; 8192];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC.to_le_bytes());
    put(4, &1u32.to_le_bytes());
    put(24, &0x800u64.to_le_bytes());
    put(32, &0xe0000u64.to_le_bytes());
    put(40, &0x400u64.to_le_bytes());
    put(48, &3u32.to_le_bytes());
    for (i, (start, len, kind)) in [
        (0u64, 0x9fc00u64, 1u32),
        (0x9fc00, 0x400, 2),
        (0x10_0000, 0x70_0000, 1),
    ]
    .iter()
    .enumerate()
    {
        put(0x400 + i * 24, &start.to_le_bytes());
        put(0x408 + i * 24, &len.to_le_bytes());
        put(0x410 + i * 24, &kind.to_le_bytes());
    }
    put(0x800, b"A=1 -- x\0junk");
    Memory(memory)
}

#[test]
fn reads_what_qemu_writes() {
    let memory = machine();
    let info = Info::parse(&memory, 0).unwrap();
    assert_eq!(info.rsdp, 0xe0000);
    assert_eq!(info.command_line(&memory), b"A=1 -- x");
    let usable: Vec<_> = info.usable(&memory).collect();
    let expected = [
        Region {
            start: 0,
            end: 0x9fc00,
        },
        Region {
            start: 0x10_0000,
            end: 0x80_0000,
        },
    ];
    assert_eq!(usable, expected);
}

#[test]
fn finds_the_loaders_seed_among_modules() {
    let mut memory = machine();
    let info = Info::parse(&memory, 0).unwrap();
    assert_eq!(info.seed(&memory), None);
    let mut put = |at: usize, bytes: &[u8]| memory.0[at..at + bytes.len()].copy_from_slice(bytes);
    put(12, &2u32.to_le_bytes());
    put(16, &0xa00u64.to_le_bytes());
    // Another loader's, which has no name, and the seed.
    for (i, (start, len, name)) in [(0xb00u64, 32u64, 0u64), (0xc00, 32, 0xd00)]
        .iter()
        .enumerate()
    {
        put(0xa00 + i * 32, &start.to_le_bytes());
        put(0xa08 + i * 32, &len.to_le_bytes());
        put(0xa10 + i * 32, &name.to_le_bytes());
    }
    put(0xc00, &[9; 32]);
    put(0xd00, b"soil-rng-seed\0");
    let found = |memory: &Memory| Info::parse(memory, 0).unwrap().seed(memory);
    assert_eq!(found(&memory), Some((0xc00, [9; 32])));
    let initrd = |memory: &Memory| Info::parse(memory, 0).unwrap().initrd;
    let place = Region {
        start: 0xb00,
        end: 0xb20,
    };
    assert_eq!(initrd(&memory), place);
    let mut other = machine();
    assert_eq!(initrd(&other), Region::default());
    other.0[..0xe00].copy_from_slice(&memory.0[..0xe00]);
    // Only the seed; one up to the last address.
    other.0[12] = 1;
    other.0[16..24].copy_from_slice(&0xa20u64.to_le_bytes());
    assert_eq!(initrd(&other), Region::default());
    other.0[16..24].copy_from_slice(&0xa00u64.to_le_bytes());
    other.0[0xa08..0xa10].fill(0xff);
    assert_eq!(initrd(&other).end, u64::MAX);
    memory.0[0xa28] = 31;
    assert_eq!(found(&memory), None, "too short");
    memory.0[0xa28] = 32;
    memory.0[0xa20..0xa28].fill(0xff);
    assert_eq!(found(&memory), None, "out of memory");
    memory.0[12..16].fill(0xff);
    memory.0[16..24].fill(0xff);
    assert_eq!(found(&memory), None, "a list out of memory");
}

#[test]
fn refuses_another_structure() {
    let mut memory = machine();
    memory.0[0] ^= 1;
    assert!(Info::parse(&memory, 0).is_none());
    assert!(Info::parse(&memory, 1 << 40).is_none());
}

#[test]
fn survives_lying_lengths() {
    let mut memory = machine();
    memory.0[48..52].copy_from_slice(&u32::MAX.to_le_bytes());
    memory.0[0x408..0x410].copy_from_slice(&u64::MAX.to_le_bytes());
    let info = Info::parse(&memory, 0).unwrap();
    assert!(info.usable(&memory).all(|region| region.start < region.end));
}

#[test]
fn a_seed_is_the_only_module() {
    for (at, count) in [(0, 0), (0x5000, 1)] {
        let info = StartInfo::new(1, 2, 3, 4, at);
        assert_eq!((info.modules, info.modules_at), (count, at));
    }
}

#[test]
fn has_the_layout_of_version_1() {
    assert_eq!(size_of::<StartInfo>(), 56);
    assert_eq!(size_of::<Entry>(), 24);
    assert_eq!(size_of::<Module>(), 32);
    assert_eq!(offset_of!(StartInfo, modules), 12);
    assert_eq!(offset_of!(StartInfo, modules_at), 16);
    assert_eq!(offset_of!(StartInfo, rsdp), 32);
    assert_eq!(offset_of!(StartInfo, map), 40);
}
