//! The flattened device tree, by which the loader describes the machine.
//!
//! The parser trusts no offset, length or nesting of the tree; what it can't read is absent.
//! Source: Devicetree Specification 0.4, chapters 2 and 5.

/// Bytes of a header.
pub const HEADER: usize = 40;

const MAGIC: u32 = 0xd00d_feed;
/// The layout that the parser reads: trees say which they are compatible with.
const VERSION: u32 = 16;
/// Maximum nesting, the root included; deeper nodes are skipped.
const MAX_DEPTH: usize = 16;
/// Bytes of a tree that the arm64 boot protocol allows.
const MAX_SIZE: u32 = 2 << 20;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// The big-endian word at offset `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The size of the tree that begins with `header`, in bytes; `None` if it is no tree.
pub fn size(header: &[u8]) -> Option<usize> {
    let total = word(header, 4)?;
    let is_tree = word(header, 0)? == MAGIC && (HEADER as u32..=MAX_SIZE).contains(&total);
    is_tree.then_some(total as usize)
}

/// A device tree.
#[derive(Clone, Copy)]
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
        if word(bytes, 24)? > VERSION || word(bytes, 20)? < VERSION {
            return None;
        }
        let [structure, strings, reservations] = [8, 12, 16].map(|at| word(bytes, at));
        let (structure, strings) = (structure? as usize, strings? as usize);
        let strings_end = strings.checked_add(word(bytes, 32)? as usize)?;
        // Version 16 has no length of the structure; its end token ends it.
        let end = match word(bytes, 20)? {
            VERSION => bytes.len(),
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

    /// All nodes, parents before their children.
    pub fn nodes(&self) -> Nodes<'a> {
        Nodes {
            tree: *self,
            at: 0,
            depth: 0,
            open: [(0, 0); MAX_DEPTH],
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

    /// The value of the property `name` among those from offset `at` on.
    fn property(&self, mut at: usize, name: &str) -> Option<&'a [u8]> {
        loop {
            match word(self.structure, at)? {
                NOP => at += 4,
                PROPERTY => {
                    let len = word(self.structure, at + 4)? as usize;
                    let value = at.checked_add(12)?;
                    if self.is_string(word(self.structure, at + 8)? as usize, name) {
                        return self.structure.get(value..value.checked_add(len)?);
                    }
                    at = after(value, len)?;
                }
                _ => return None,
            }
        }
    }
}

/// A node with its properties.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: Fdt<'a>,
    name: &'a [u8],
    /// Offset of the first property's token.
    properties: usize,
    /// 0 for the root.
    depth: usize,
    /// Offset of the parent's name, and of its first property's token; the root's own for the root.
    parent: (usize, usize),
}

/// Iterator of [`Fdt::nodes`].
pub struct Nodes<'a> {
    tree: Fdt<'a>,
    at: usize,
    /// Open nodes.
    depth: usize,
    /// Of the open nodes: offsets of the name and of the first property's token.
    open: [(usize, usize); MAX_DEPTH],
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
            let token = word(self.tree.structure, self.at)?;
            let contents = self.at + 4;
            match token {
                NOP => self.at = contents,
                END_NODE => {
                    self.at = contents;
                    self.depth = self.depth.checked_sub(1)?;
                }
                PROPERTY => {
                    let len = word(self.tree.structure, contents)? as usize;
                    self.at = after(contents.checked_add(8)?, len)?;
                }
                BEGIN_NODE => {
                    let name = self.tree.structure.get(contents..)?;
                    let name = name.split(|byte| *byte == 0).next()?;
                    self.at = after(contents, name.len() + 1)?;
                    let depth = self.depth;
                    self.depth += 1;
                    if depth >= MAX_DEPTH {
                        continue;
                    }
                    self.open[depth] = (contents, self.at);
                    let node = Node {
                        tree: self.tree,
                        name,
                        properties: self.at,
                        depth,
                        parent: self.open[depth.saturating_sub(1)],
                    };
                    return Some(node);
                }
                _ => return None,
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
        const PARENT: &[u8] = b"reserved-memory\0";
        let parent = self.tree.structure.get(self.parent.0..).unwrap_or(&[]);
        self.depth == 2 && parent.starts_with(PARENT)
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
pub(super) mod tests;
