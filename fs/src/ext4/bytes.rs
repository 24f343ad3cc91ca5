//! Numbers in blocks of metadata: little-endian, and big-endian in the journal. Beyond the end of a
//! slice there are zeros, and nothing is written there: what is read from a disk is never indexed.

fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    let found = data.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}

pub fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(data, at))
}

pub fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(data, at))
}

pub fn be16_at(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(data, at))
}

pub fn be32_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(data, at))
}

/// A number of which the lower half is at one place and the upper 16 bits at another.
pub fn u48_at(data: &[u8], low: usize, high: usize) -> u64 {
    u64::from(u32_at(data, low)) | u64::from(u16_at(data, high)) << 32
}

/// Puts `bytes` at a place.
pub fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    let place = data
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    if let Some(place) = place {
        place.copy_from_slice(bytes);
    }
}

pub fn put_u16(data: &mut [u8], at: usize, value: u16) {
    put(data, at, &value.to_le_bytes());
}

pub fn put_u32(data: &mut [u8], at: usize, value: u32) {
    put(data, at, &value.to_le_bytes());
}

pub fn put_be16(data: &mut [u8], at: usize, value: u16) {
    put(data, at, &value.to_be_bytes());
}

pub fn put_be32(data: &mut [u8], at: usize, value: u32) {
    put(data, at, &value.to_be_bytes());
}

/// Fills a part with zeros.
pub fn clear(data: &mut [u8], range: core::ops::Range<usize>) {
    if let Some(place) = data.get_mut(range) {
        place.fill(0);
    }
}

/// A part of a slice; empty if it reaches past the end.
pub fn part(data: &[u8], from: usize, to: usize) -> &[u8] {
    data.get(from..to).unwrap_or_default()
}
