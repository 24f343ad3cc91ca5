//! The flattened device tree: its tokens, its nodes, and a writer.
//!
//! The reader trusts no offset, length or nesting of the tree; a damaged part counts as absent.
//! Source: Devicetree Specification 0.4, chapters 2 and 5.

mod writer;

use crate::bytes::be_u32_at as word;
pub use writer::Writer;

/// Bytes of a header.
pub const HEADER: usize = 40;
/// Maximum size of a tree in bytes, by the boot protocol of Linux on arm64.
pub const MAX_SIZE: usize = 2 << 20;

const MAGIC: u32 = 0xd00d_feed;
/// The version that the writer writes.
const VERSION: u32 = 17;
/// The version that both read: trees name the version that they are compatible with.
const COMPATIBLE: u32 = 16;
/// Maximum nesting, the root included; deeper nodes are skipped.
const MAX_DEPTH: usize = 16;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// The size of the tree that begins with `header`, in bytes; `None` if it is no tree.
pub fn size(header: &[u8]) -> Option<usize> {
    let total = word(header, 4)? as usize;
    let is_tree = word(header, 0)? == MAGIC && (HEADER..=MAX_SIZE).contains(&total);
    is_tree.then_some(total)
}

/// A device tree.
#[derive(Clone, Copy, Debug)]
pub struct Fdt<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
    used: usize,
}

impl<'a> Fdt<'a> {
    /// The tree in `bytes`, of which those from [`Fdt::used`] on may be missing; `None` if its
    /// header is invalid.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.get(..size(bytes)?.min(bytes.len()))?;
        if word(bytes, 24)? > COMPATIBLE || word(bytes, 20)? < COMPATIBLE {
            return None;
        }
        let [structure, strings, reservations] = [8, 12, 16].map(|at| word(bytes, at));
        let (structure, strings) = (structure? as usize, strings? as usize);
        let strings_end = strings.checked_add(word(bytes, 32)? as usize)?;
        // Version 16 has no length of the structure; its end token ends it.
        let end = match word(bytes, 20)? {
            COMPATIBLE => bytes.len(),
            _ => structure.checked_add(word(bytes, 36)? as usize)?,
        };
        // Pairs of two words each, of which zeros end the list.
        let entries = bytes.get(reservations? as usize..)?;
        let count = entries
            .chunks_exact(16)
            .take_while(|entry| **entry != [0; 16]);
        let entries = entries.get(..16 * count.count())?;
        let entries_end = reservations? as usize + entries.len();
        Some(Self {
            structure: bytes.get(structure..end)?,
            strings: bytes.get(strings..strings_end)?,
            reservations: entries,
            used: end.max(strings_end).max(entries_end + 16).min(bytes.len()),
        })
    }

    /// Bytes from the beginning of the tree up to the last that is in use. Loaders leave room
    /// behind, of up to a MiB.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Its tokens, up to the end or the first that is damaged.
    pub fn tokens(&self) -> Tokens<'a> {
        Tokens {
            structure: self.structure,
            at: 0,
        }
    }

    /// The maximum size of a copy without reservations, in bytes.
    pub fn copy_len(&self) -> usize {
        HEADER + self.structure.len() + self.strings.len()
    }

    /// The names of properties, by whose offsets [`Token::Property`] has its name.
    pub fn strings(&self) -> &'a [u8] {
        self.strings
    }

    /// The name at this offset of the strings.
    pub fn name(&self, at: u32) -> Option<&'a [u8]> {
        terminated(self.strings.get(at as usize..)?)
    }

    /// All nodes, parents before their children.
    pub fn nodes(&self) -> Nodes<'a> {
        Nodes {
            tree: *self,
            tokens: self.tokens(),
            depth: 0,
            open: [(&[], 0); MAX_DEPTH],
        }
    }

    /// The first enabled node that is compatible with one of these.
    pub fn compatible(&self, names: &[&str]) -> Option<Node<'a>> {
        self.nodes()
            .find(|node| node.is_one_of(names) && node.is_enabled())
    }

    /// The node with this `phandle`.
    pub fn phandle(&self, number: u32) -> Option<Node<'a>> {
        self.nodes()
            .find(|node| node.u32("phandle") == Some(number))
    }

    /// The affinities of the processors (MPIDR_EL1 without its flags), in the tree's order. Soil's
    /// loader makes the nodes of ACPI's MADT where there is no tree.
    pub fn processors(&self) -> impl Iterator<Item = u64> + use<'a> {
        /// Aff3, and Aff2 to Aff0.
        const AFFINITY: u64 = 0xff_00ff_ffff;
        let is_processor =
            |node: &Node<'_>| node.string("device_type") == Some(b"cpu") && node.is_enabled();
        let nodes = self.nodes().filter(is_processor);
        nodes.filter_map(|node| Some(node.registers().next()?.0 & AFFINITY))
    }

    /// Memory that must stay as it is, by the list before the structure: (address, length).
    pub fn reserved_entries(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        self.reservations.chunks_exact(16).map(|entry| {
            let half = |at| number(entry, at, 2).unwrap_or(0);
            (half(0), half(8))
        })
    }

    /// The same, and by nodes.
    pub fn reserved(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let nodes = self.nodes().filter(|node| node.is_reserved_memory());
        self.reserved_entries()
            .chain(nodes.flat_map(|node| node.registers()))
    }

    /// Whether the string at this offset is `name`.
    fn is_string(&self, at: usize, name: &str) -> bool {
        let rest = self.strings.get(at..).unwrap_or(&[]);
        rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&0)
    }

    /// The value of the property `name` among those from offset `at` of the structure on.
    fn property(&self, at: usize, name: &str) -> Option<&'a [u8]> {
        let structure = self.structure;
        for token in (Tokens { structure, at }) {
            let Token::Property { name: found, value } = token else {
                return None;
            };
            if self.is_string(found as usize, name) {
                return Some(value);
            }
        }
        None
    }
}

/// The bytes before the first zero.
fn terminated(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..bytes.iter().position(|byte| *byte == 0)?)
}

/// A token of a tree's structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A node begins; the root's name is empty.
    Begin(&'a [u8]),
    /// The last node that began ends.
    End,
    /// A property of the last node that began.
    Property {
        /// The offset of its name in the strings, see [`Fdt::name`].
        name: u32,
        /// Its value.
        value: &'a [u8],
    },
    /// The structure ends.
    Last,
}

/// Iterator of [`Fdt::tokens`].
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    structure: &'a [u8],
    /// The offset of the next token.
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let token = word(self.structure, self.at)?;
            let contents = self.at + 4;
            self.at = contents;
            return match token {
                NOP => continue,
                END_NODE => Some(Token::End),
                END => Some(Token::Last),
                BEGIN_NODE => {
                    let name = terminated(self.structure.get(contents..)?)?;
                    self.at = after(contents, name.len() + 1)?;
                    Some(Token::Begin(name))
                }
                PROPERTY => {
                    let len = word(self.structure, contents)? as usize;
                    let name = word(self.structure, contents + 4)?;
                    let value = self.structure.get(contents + 8..)?.get(..len)?;
                    self.at = after(contents + 8, len)?;
                    Some(Token::Property { name, value })
                }
                _ => None,
            };
        }
    }
}

/// A node with its properties.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    tree: Fdt<'a>,
    name: &'a [u8],
    /// Offset of the first property's token.
    properties: usize,
    /// 0 for the root.
    depth: usize,
    /// The parent's name, and the offset of its first property's token; the root's own for the
    /// root.
    parent: (&'a [u8], usize),
}

/// Iterator of [`Fdt::nodes`].
#[derive(Clone, Debug)]
pub struct Nodes<'a> {
    tree: Fdt<'a>,
    tokens: Tokens<'a>,
    /// Open nodes.
    depth: usize,
    /// Of the open nodes: the name, and the offset of the first property's token.
    open: [(&'a [u8], usize); MAX_DEPTH],
}

/// Offset of the token after one with `len` bytes of contents at `at`.
fn after(at: usize, len: usize) -> Option<usize> {
    // Rather than `checked_next_multiple_of`, a call of a function that divides.
    Some(at.checked_add(len)?.checked_add(3)? & !3)
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            match self.tokens.next()? {
                Token::Last => return None,
                Token::End => self.depth = self.depth.checked_sub(1)?,
                Token::Property { .. } => {}
                Token::Begin(name) => {
                    let depth = self.depth;
                    self.depth += 1;
                    let properties = self.tokens.at;
                    let Some(open) = self.open.get_mut(depth) else {
                        continue;
                    };
                    *open = (name, properties);
                    return Some(Node {
                        tree: self.tree,
                        name,
                        properties,
                        depth,
                        parent: self.open[depth.saturating_sub(1)],
                    });
                }
            }
        }
    }
}

/// The reaction of an interrupt controller to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The interrupt's number in the GIC ("INTID").
    pub number: u32,
    /// It is signalled by an edge; else by a level.
    pub edge: bool,
}

impl<'a> Node<'a> {
    /// Its name, with the unit address.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Its name without the unit address.
    pub fn base_name(&self) -> &'a [u8] {
        self.name.split(|byte| *byte == b'@').next().unwrap_or(&[])
    }

    /// 0 for the root.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The value of the property `name`.
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        self.tree.property(self.properties, name)
    }

    /// The number of words of addresses or lengths, by this property of the parent.
    fn cells(&self, name: &str, default: u32) -> u32 {
        let value = self.tree.property(self.parent.1, name);
        value.and_then(|value| word(value, 0)).unwrap_or(default)
    }

    /// Whether it names memory that must stay as it is.
    fn is_reserved_memory(&self) -> bool {
        self.depth == 2 && self.parent.0 == b"reserved-memory"
    }

    /// The word of a property that has one.
    pub fn u32(&self, name: &str) -> Option<u32> {
        word(self.property(name)?, 0)
    }

    /// The number in a property of one or two words.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.property(name)?;
        number(value, 0, (value.len() / 4) as u32)
    }

    /// The string in a property, without its end.
    pub fn string(&self, name: &str) -> Option<&'a [u8]> {
        self.property(name)?.split(|byte| *byte == 0).next()
    }

    /// Whether `name` is one of the strings of `compatible`.
    pub fn is_compatible(&self, name: &str) -> bool {
        self.is_one_of(&[name])
    }

    /// Whether one of `names` is one of the strings of `compatible`.
    fn is_one_of(&self, names: &[&str]) -> bool {
        let value = self.property("compatible").unwrap_or(&[]);
        value
            .split(|byte| *byte == 0)
            .any(|one| names.iter().any(|name| one == name.as_bytes()))
    }

    /// Whether `status` allows its use.
    pub fn is_enabled(&self) -> bool {
        matches!(self.string("status"), None | Some(b"okay" | b"ok"))
    }

    /// The addresses and lengths of `reg`, in order. Buses between the node and the root are taken
    /// to translate nothing.
    pub fn registers(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let address = self.cells("#address-cells", 2);
        let size = self.cells("#size-cells", 1);
        let value = self.property("reg").unwrap_or(&[]);
        // Numbers of more than two words aren't addresses of this machine.
        let entry = match (address, size) {
            (1..=2, 0..=2) => 4 * (address + size) as usize,
            _ => usize::MAX,
        };
        value.chunks_exact(entry).map(move |entry| {
            let start = number(entry, 0, address).unwrap_or(0);
            (
                start,
                number(entry, 4 * address as usize, size).unwrap_or(0),
            )
        })
    }

    /// The interrupt at `index` of `interrupts`, in the three words of a GIC.
    pub fn interrupt(&self, index: usize) -> Option<Line> {
        line(self.property("interrupts")?.chunks_exact(12).nth(index)?)
    }
}

/// An interrupt in the three words of a GIC: shared or of the processor, number, flags.
pub fn line(words: &[u8]) -> Option<Line> {
    let (first, count) = match word(words, 0)? {
        0 => (32, 988),
        1 => (16, 16),
        _ => return None,
    };
    let number = word(words, 4)?;
    let edge = word(words, 8)? & 3 != 0;
    (number < count).then_some(Line {
        number: first + number,
        edge,
    })
}

/// The big-endian number of `words` words at offset `at`: 0 to 2.
pub fn number(bytes: &[u8], at: usize, words: u32) -> Option<u64> {
    match words {
        0 => Some(0),
        1 => word(bytes, at).map(u64::from),
        2 => Some(u64::from(word(bytes, at)?) << 32 | u64::from(word(bytes, at.checked_add(4)?)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
