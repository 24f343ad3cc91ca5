//! Parts of AML.

use crate::aml::{BUFFER, BYTE, DEVICE, NAME, STRING};
use alloc::vec;
use alloc::vec::Vec;

/// A package of AML with these contents.
pub fn sized(contents: &[u8]) -> Vec<u8> {
    let len = contents.len();
    let head = match len + 1 {
        0..64 => vec![(len + 1) as u8],
        _ => vec![0x40 | ((len + 2) & 15) as u8, ((len + 2) >> 4) as u8],
    };
    [&head, contents].concat()
}

/// `Device (name) { contents }`.
pub fn device(name: &[u8], contents: &[&[u8]]) -> Vec<u8> {
    [&DEVICE[..], &sized(&[name, &contents.concat()].concat())].concat()
}

/// `Name (name, value)`.
pub fn name(name: &[u8; 4], value: &[u8]) -> Vec<u8> {
    [&[NAME], &name[..], value].concat()
}

/// `Name (name, "text")`.
pub fn text(own: &[u8; 4], text: &[u8]) -> Vec<u8> {
    name(own, &[&[STRING], text, &[0]].concat())
}

/// `Name (_CRS, ResourceTemplate () { descriptors })`.
pub fn resources(descriptors: &[Vec<u8>]) -> Vec<u8> {
    let template = [&descriptors.concat()[..], &[0x79, 0]].concat();
    let contents = [&[BYTE, template.len() as u8], &template[..]].concat();
    [&[NAME], &b"_CRS"[..], &[BUFFER], &sized(&contents)].concat()
}

/// The descriptor of registers.
pub fn memory(address: u32, len: u32) -> Vec<u8> {
    [
        &[0x86, 9, 0, 1][..],
        &address.to_le_bytes(),
        &len.to_le_bytes(),
    ]
    .concat()
}

/// The descriptor of an interrupt.
pub fn line(number: u32, flags: u8) -> Vec<u8> {
    [&[0x89, 6, 0, flags, 1][..], &number.to_le_bytes()].concat()
}

/// A window of memory (0) or of ports (1), with 64-bit numbers.
pub fn window(kind: u8, start: u64, len: u64, offset: u64) -> Vec<u8> {
    let numbers = [
        0,
        start,
        start.wrapping_add(len).wrapping_sub(1),
        offset,
        len,
    ];
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    [&[0x8a, 43, 0, kind, 0, 0][..], &bytes].concat()
}
