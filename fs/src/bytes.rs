//! Numbers in metadata of a disk: little-endian, and big-endian in the journal. Reads beyond the
//! end of a slice return zeros, and writes there do nothing: data from a disk never causes a panic.

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

/// Reads a number whose lower 32 bits and upper 16 bits are at different offsets.
pub fn u48_at(data: &[u8], low: usize, high: usize) -> u64 {
    u64::from(u32_at(data, low)) | u64::from(u16_at(data, high)) << 32
}

/// Writes `bytes` at an offset.
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

/// Fills a range with zeros.
pub fn clear(data: &mut [u8], range: core::ops::Range<usize>) {
    if let Some(place) = data.get_mut(range) {
        place.fill(0);
    }
}

/// Returns a part of a slice; empty if it reaches past the end.
pub fn part(data: &[u8], from: usize, to: usize) -> &[u8] {
    data.get(from..to).unwrap_or_default()
}
