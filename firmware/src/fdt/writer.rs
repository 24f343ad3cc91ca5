//! The writer of a tree.

use super::{BEGIN_NODE, COMPATIBLE, END, END_NODE, HEADER, MAGIC, MAX_SIZE, PROPERTY, VERSION};

/// Bytes for the names of properties that the writer adds.
const NAMES: usize = 1024;

/// Writes a tree to a buffer. What doesn't fit makes [`Writer::finish`] fail; until then it is
/// dropped.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
    /// Names of another tree, which keep their offsets.
    given: &'b [u8],
    names: [u8; NAMES],
    names_len: usize,
    /// Something didn't fit.
    full: bool,
}

/// Where the structure begins: behind the header and an empty list of reserved memory.
const STRUCTURE: usize = HEADER + 16;

impl<'b> Writer<'b> {
    /// A writer to `buffer`; the tree's strings begin with those in `given`.
    pub fn new(buffer: &'b mut [u8], given: &'b [u8]) -> Self {
        Self {
            full: buffer.len() < STRUCTURE,
            buffer,
            at: STRUCTURE,
            given,
            names: [0; NAMES],
            names_len: 0,
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let room = self.buffer.get_mut(self.at..);
        match room.and_then(|room| room.get_mut(..bytes.len())) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.full = true,
        }
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn align(&mut self) {
        let zeros = self.at.next_multiple_of(4) - self.at;
        self.bytes(&[0; 4][..zeros]);
    }

    /// Begins a node.
    pub fn begin(&mut self, name: &[u8]) {
        self.word(BEGIN_NODE);
        self.bytes(name);
        self.bytes(&[0]);
        self.align();
    }

    /// Begins a node of this name and unit address.
    pub fn begin_at(&mut self, name: &str, address: u64) {
        self.word(BEGIN_NODE);
        self.named(name, address);
        self.align();
    }

    /// Adds a property with the path of such a node below the root.
    pub fn path(&mut self, property: &str, name: &str, address: u64) {
        self.cells(property, |tree| {
            tree.bytes(b"/");
            tree.named(name, address);
        });
    }

    /// A name with a unit address in hexadecimal, and its end.
    fn named(&mut self, name: &str, address: u64) {
        self.bytes(name.as_bytes());
        self.bytes(b"@");
        let digits = (u64::BITS - address.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let value = (address >> (4 * digit) & 15) as u32;
            let digit = char::from_digit(value, 16).unwrap_or('0');
            self.bytes(&[digit as u8]);
        }
        self.bytes(&[0]);
    }

    /// Ends the last node that began.
    pub fn end(&mut self) {
        self.word(END_NODE);
    }

    /// Adds a property to the node that began, before its children; its name is at this offset of
    /// the given strings.
    pub fn property_at(&mut self, at: u32, value: &[u8]) {
        self.property_head(at, value.len());
        self.bytes(value);
        self.align();
    }

    fn property_head(&mut self, at: u32, len: usize) {
        self.word(PROPERTY);
        self.word(len as u32);
        self.word(at);
    }

    /// Adds a property whose value is these parts in a row.
    pub fn parts(&mut self, name: &str, parts: &[&[u8]]) {
        let at = self.name_offset(name.as_bytes());
        self.property_head(at, parts.iter().map(|part| part.len()).sum());
        for part in parts {
            self.bytes(part);
        }
        self.align();
    }

    /// Adds a property of words.
    pub fn words(&mut self, name: &str, words: &[u32]) {
        let at = self.name_offset(name.as_bytes());
        self.property_head(at, 4 * words.len());
        for word in words {
            self.word(*word);
        }
    }

    /// Adds a property of numbers with two words each.
    pub fn numbers(&mut self, name: &str, numbers: &[u64]) {
        let at = self.name_offset(name.as_bytes());
        self.property_head(at, 8 * numbers.len());
        for number in numbers {
            self.bytes(&number.to_be_bytes());
        }
    }

    /// Adds a property whose words `write` writes by [`Writer::cell`].
    pub fn cells(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        let at = self.name_offset(name.as_bytes());
        self.property_head(at, 0);
        let start = self.at;
        write(self);
        let len = (self.at - start) as u32;
        if let Some(field) = self.buffer.get_mut(start - 8..start - 4) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        self.align();
    }

    /// A word of a property.
    pub fn cell(&mut self, word: u32) {
        self.word(word);
    }

    /// A number of a property in one or two words.
    pub fn number(&mut self, number: u64, words: u32) {
        match words {
            1 => self.word(number as u32),
            _ => self.bytes(&number.to_be_bytes()),
        }
    }

    /// Adds a property of strings.
    pub fn text(&mut self, name: &str, strings: &[&str]) {
        let at = self.name_offset(name.as_bytes());
        let len = strings.iter().map(|one| one.len() + 1).sum();
        self.property_head(at, len);
        for string in strings {
            self.bytes(string.as_bytes());
            self.bytes(&[0]);
        }
        self.align();
    }

    /// The offset of a name in the strings; adds it if it is new.
    fn name_offset(&mut self, name: &[u8]) -> u32 {
        let known = self.names.get(..self.names_len).unwrap_or_default();
        let mut start = 0;
        for other in known.split_inclusive(|byte| *byte == 0) {
            if other.strip_suffix(&[0]) == Some(name) {
                return (self.given.len() + start) as u32;
            }
            start += other.len();
        }
        let end = self.names_len + name.len() + 1;
        match self.names.get_mut(self.names_len..end) {
            Some(room) => {
                room[..name.len()].copy_from_slice(name);
                self.names_len = end;
            }
            None => self.full = true,
        }
        (self.given.len() + start) as u32
    }

    /// Ends the tree; returns its length in bytes, or `None` if the buffer is too small.
    pub fn finish(mut self) -> Option<usize> {
        self.word(END);
        let strings = self.at;
        self.bytes(self.given);
        let names = self.names;
        self.bytes(names.get(..self.names_len)?);
        let total = self.at;
        if self.full || total > MAX_SIZE {
            return None;
        }
        self.at = 0;
        let header = [
            MAGIC,
            total as u32,
            STRUCTURE as u32,
            strings as u32,
            HEADER as u32,
            VERSION,
            COMPATIBLE,
            0,
            (total - strings) as u32,
            (strings - STRUCTURE) as u32,
        ];
        for field in header {
            self.word(field);
        }
        self.bytes(&[0; 16]);
        Some(total)
    }
}
