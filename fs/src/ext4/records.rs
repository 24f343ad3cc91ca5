//! Records in a directory block (kernel documentation, "Directory Entries").

use super::filesystem::Result;
use crate::Error;
use crate::bytes::{part, put, put_u16, put_u32, u16_at, u32_at};

/// Bytes of a record before the name.
pub const HEADER: usize = 8;

/// Bytes at the end of a block for its checksum, disguised as an unused record.
pub const TAIL: usize = 12;

/// Maximum length of a name in bytes.
pub const MAX_NAME: usize = 255;

/// Length of a record with a name of `name` bytes.
pub fn record_len(name: usize) -> usize {
    (HEADER + name).next_multiple_of(4)
}

/// Record in a directory block.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub at: usize,
    pub len: usize,
    /// Inode number; 0 for an unused record.
    pub inode: u32,
    /// File type of the entry, if the file system stores it.
    pub kind: u8,
    pub name: &'a [u8],
}

/// Location of a directory entry.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub inode: u32,
    /// As in [`Record`].
    pub kind: u8,
    /// Block on the disk, offset of the record in it, and offset of the preceding record.
    pub block: u64,
    pub at: usize,
    pub before: Option<usize>,
}

/// Whether a block ends in a record for the checksum.
pub fn has_tail(data: &[u8]) -> bool {
    let at = data.len() - TAIL;
    u32_at(data, at) == 0 && u16_at(data, at + 4) == TAIL as u16 && u16_at(data, at + 6) == 0xde00
}

pub fn record(data: &[u8], at: usize) -> Record<'_> {
    let name = usize::from(data.get(at + 6).copied().unwrap_or(0));
    Record {
        at,
        len: u16_at(data, at + 4).into(),
        inode: u32_at(data, at),
        kind: data.get(at + 7).copied().unwrap_or(0),
        name: part(data, at + HEADER, at + HEADER + name),
    }
}

/// Iterates over the records of a sound block.
pub fn all(data: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        if at + HEADER > data.len() {
            return None;
        }
        let found = record(data, at);
        at += found.len.max(HEADER);
        Some(found)
    })
}

/// Whether the records fill the block and are valid.
pub fn is_valid(data: &[u8], inodes: u32) -> bool {
    let mut at = 0;
    while at < data.len() {
        let found = record(data, at);
        let name = usize::from(data.get(at + 6).copied().unwrap_or(0));
        let is_whole = found.len >= record_len(name) && found.len.is_multiple_of(4);
        let is_named = found.inode == 0 || name > 0;
        if !is_whole || found.len < TAIL || !is_named || found.inode > inodes {
            return false;
        }
        at += found.len;
    }
    at == data.len()
}

/// Initialises a block without entries.
pub fn begin(data: &mut [u8], with_tail: bool) {
    let end = data.len() - if with_tail { TAIL } else { 0 };
    put_u16(data, 4, end as u16);
    if with_tail {
        put_u16(data, end + 4, TAIL as u16);
        put_u16(data, end + 6, 0xde00);
    }
}

/// Writes a record.
pub fn put_record(data: &mut [u8], at: usize, len: usize, name: &[u8], (inode, kind): (u32, u8)) {
    put_u32(data, at, inode);
    put_u16(data, at + 4, len as u16);
    put(data, at + 6, &[name.len() as u8, kind]);
    put(data, at + HEADER, name);
}

/// Room for an entry in a block: a record that is longer than its used part.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    at: usize,
    len: usize,
    used: usize,
}

/// Finds room for a name in a block.
pub fn room(data: &[u8], name: usize) -> Option<Room> {
    let needed = record_len(name);
    let end = data.len() - if has_tail(data) { TAIL } else { 0 };
    let mut rest = data.get(..end)?;
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let len = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let is_used = header[0] | header[1] | header[2] | header[3] != 0;
        let used = if is_used {
            record_len(header[6].into())
        } else {
            0
        };
        if len >= used + needed {
            let at = end - rest.len();
            return Some(Room { at, len, used });
        }
        rest = rest.get(len.max(HEADER)..)?;
    }
    None
}

/// Inserts an entry into the room; returns the room after the entry.
pub fn insert(data: &mut [u8], room: Room, name: &[u8], entry: (u32, u8)) -> Result<Room> {
    let Room { at, len, used } = room;
    let new = record_len(name.len());
    if len < used + new {
        return Err(Error::NoSpace);
    }
    if used > 0 {
        put_u16(data, at + 4, used as u16);
    }
    put_record(data, at + used, len - used, name, entry);
    Ok(Room {
        at: at + used,
        len: len - used,
        used: new,
    })
}

/// Removes the entry at `at`: the preceding record in the block, if there is one, absorbs its
/// space.
pub fn remove(data: &mut [u8], at: usize, before: Option<usize>) {
    if let Some(before) = before {
        let len = u16_at(data, before + 4) + u16_at(data, at + 4);
        put_u16(data, before + 4, len);
    }
    put_u32(data, at, 0);
}

/// Finds the entry of that name in a sound block, which is `block` on the disk.
pub fn find(data: &[u8], name: &[u8], block: u64) -> Option<Found> {
    let (mut rest, mut before) = (data, None);
    // Comparing length and last byte first is cheap and tells most names apart.
    let (len, last) = (name.len(), name.last()?);
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let inode = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let at = data.len() - rest.len();
        if usize::from(header[6]) == len
            && inode != 0
            && after.get(len - 1) == Some(last)
            && after.get(..len) == Some(name)
        {
            return Some(Found {
                inode,
                kind: header[7],
                block,
                at,
                before,
            });
        }
        let record = usize::from(u16::from_le_bytes([header[4], header[5]]));
        rest = rest.get(record.max(HEADER)..)?;
        before = Some(at);
    }
    None
}
