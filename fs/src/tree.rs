//! Tree of names that is built once and then only read: tar disks and embedded files.
//!
//! A hash of the directory and the name finds an entry, so a lookup takes as long in a large tree
//! as in a small one.

mod read_only;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem::size_of;

use hashbrown::HashTable;

use crate::memory_pressure::is_memory_short;
use crate::path;
use crate::{Error, Kind, Stat, Time, Walk};

pub(crate) use read_only::{ReadOnly, Source};

/// Maximum length of a name in bytes, as on Linux's file systems.
const MAX_NAME: usize = 255;

/// Maximum number of failed comparisons per lookup: only deliberate collisions exceed it.
const COLLISIONS: u32 = 64;

/// Number of a node.
pub(crate) type NodeId = u32;
pub(crate) const ROOT: NodeId = 0;

/// No node: the root has no parent.
const NONE: NodeId = 0;

#[derive(Debug)]
struct Node {
    parent: NodeId,
    /// Next entry of the same directory.
    next: NodeId,
    item: u32,
    /// Offset of the name in `names`.
    start: u32,
    len: u8,
}

/// Metadata of a file, directory or link.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    pub modified: Time,
    /// Whether the node is marked read-only.
    pub read_only: bool,
}

#[derive(Debug)]
pub(crate) enum Content<F> {
    File(F),
    Directory { first: NodeId, last: NodeId },
    Link(Box<str>),
}

impl<F> Content<F> {
    pub const EMPTY: Self = Self::Directory {
        first: NONE,
        last: NONE,
    };
}

#[derive(Debug)]
struct Item<F> {
    content: Content<F>,
    known: Known,
    links: u32,
}

/// Reason for which an entry can't be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The name contains a `..` or a NUL, or is too long.
    Name,
    /// A directory where another kind of node is needed, or the other way round.
    Kind,
    /// A hard link to a missing target.
    Target,
    /// The index would exceed its limit of memory.
    Full,
    /// Memory is exhausted.
    Memory,
    /// More names share a hash than do by chance.
    Hash,
}

/// Names and their nodes; `F` is the contents of a file.
#[derive(Debug)]
pub(crate) struct Tree<F> {
    nodes: Vec<Node>,
    items: Vec<Item<F>>,
    names: String,
    table: HashTable<NodeId>,
    has_links: bool,
    /// Approximate bytes of memory in use, and their limit.
    used: usize,
    limit: usize,
}

/// FNV-1a, with the high bits mixed, which the table uses first.
fn hash(parent: NodeId, name: &str) -> u64 {
    let bytes = parent.to_le_bytes().into_iter().chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<F> Tree<F> {
    /// Creates a tree with only the root, which may take `limit` bytes of memory for names and
    /// nodes.
    pub fn new(limit: usize) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            items: Vec::new(),
            names: String::new(),
            table: HashTable::new(),
            has_links: false,
            used: 0,
            limit,
        };
        tree.items.push(Item {
            content: Content::EMPTY,
            known: Known::default(),
            links: 1,
        });
        tree.nodes.push(Node {
            parent: ROOT,
            next: NONE,
            item: 0,
            start: 0,
            len: 0,
        });
        tree
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    fn item(&self, id: NodeId) -> Option<&Item<F>> {
        self.items.get(self.node(id)?.item as usize)
    }

    fn item_mut(&mut self, id: NodeId) -> Option<&mut Item<F>> {
        let item = self.node(id)?.item;
        self.items.get_mut(item as usize)
    }

    pub fn name(&self, id: NodeId) -> &str {
        let known = self.node(id).and_then(|node| {
            let start = node.start as usize;
            self.names.get(start..start + usize::from(node.len))
        });
        known.unwrap_or("")
    }

    pub fn content(&self, id: NodeId) -> Option<&Content<F>> {
        self.item(id).map(|item| &item.content)
    }

    fn kind(&self, id: NodeId) -> Option<Kind> {
        self.content(id).map(|content| match content {
            Content::File(_) => Kind::File,
            Content::Directory { .. } => Kind::Directory,
            Content::Link(_) => Kind::Symlink,
        })
    }

    pub fn stat(&self, id: NodeId, size: impl FnOnce(&F) -> u64) -> Result<Stat, Error> {
        let item = self.item(id).ok_or(Error::NotFound)?;
        let (kind, size) = match &item.content {
            Content::File(file) => (Kind::File, size(file)),
            Content::Directory { .. } => (Kind::Directory, 0),
            Content::Link(target) => (Kind::Symlink, target.len() as u64),
        };
        Ok(Stat {
            kind,
            size,
            modified: item.known.modified,
            accessed: item.known.modified,
            changed: item.known.modified,
            links: item.links,
            inode: u64::from(self.node(id).map_or(0, |node| node.item)) + 1,
            read_only: item.known.read_only,
        })
    }

    /// Returns the entry `name` of a directory. Decrements the count for every other name with the
    /// same hash.
    fn find(&self, parent: NodeId, name: &str, collisions_left: &Cell<u32>) -> Option<NodeId> {
        let same = |id: &NodeId| {
            let same =
                self.node(*id).is_some_and(|node| node.parent == parent) && self.name(*id) == name;
            let ended = collisions_left.get() == 0;
            collisions_left.set(collisions_left.get().saturating_sub(u32::from(!same)));
            same || ended
        };
        let found = self.table.find(hash(parent, name), same).copied();
        found.filter(|_| collisions_left.get() > 0)
    }

    pub fn lookup(&self, path: &str) -> Result<NodeId, Error> {
        path::names(path).try_fold(ROOT, |parent, name| {
            if self.kind(parent) != Some(Kind::Directory) {
                return Err(Error::NotDirectory);
            }
            if name.len() > MAX_NAME {
                return Err(Error::NameTooLong);
            }
            self.find(parent, name, &Cell::new(u32::MAX))
                .ok_or(Error::NotFound)
        })
    }

    /// Resolves a path; see [`crate::Volume::resolve`].
    pub fn resolve(&self, path: &str, last: bool) -> Walk {
        let mut node = ROOT;
        let mut names = path::names_with_ends(path).peekable();
        if !self.has_links {
            return Walk::Plain;
        }
        while let Some((end, name)) = names.next() {
            let Some(next) = self.find(node, name, &Cell::new(u32::MAX)) else {
                return Walk::Plain;
            };
            if let Some(Content::Link(target)) = self.content(next)
                && (last || names.peek().is_some())
            {
                let target = target.clone().into_string();
                return Walk::Link { end, target };
            }
            node = next;
        }
        Walk::Plain
    }

    /// Returns the entry of `directory` at a position in its listing, 0 for the start, and the next
    /// position, 0 at the end.
    pub fn entry(&self, directory: NodeId, place: u64) -> Option<(NodeId, u64)> {
        let id = match (u32::try_from(place).ok()?, self.content(directory)?) {
            (0, Content::Directory { first, .. }) => *first,
            (place, _) => place,
        };
        let node = self.node(id)?;
        (id != NONE && node.parent == directory).then_some((id, u64::from(node.next)))
    }

    /// Adds a file, directory or link, and its missing parent directories. A file or link replaces
    /// an earlier one; an existing directory gets the metadata `known`.
    pub fn add(&mut self, path: &str, content: Content<F>, known: Known) -> Result<(), Refusal> {
        let Some((parent, name)) = path::split_last(path) else {
            return self.replace(ROOT, content, known);
        };
        let parent = self.directory(parent, known)?;
        match self.child(parent, name)? {
            Some(id) => self.replace(id, content, known),
            None => self.insert(parent, name, content, known).map(|_| ()),
        }
    }

    /// Adds a second name for the file at `target`.
    pub fn add_hard_link(&mut self, path: &str, target: &str, known: Known) -> Result<(), Refusal> {
        let target = self.lookup(target).map_err(|_| Refusal::Target)?;
        let (Some((parent, name)), Some(node)) = (path::split_last(path), self.node(target)) else {
            return Err(Refusal::Kind);
        };
        let item = node.item;
        if self.kind(target) == Some(Kind::Directory) {
            return Err(Refusal::Kind);
        }
        let parent = self.directory(parent, known)?;
        let id = match self.child(parent, name)? {
            Some(id) if id == target => return Ok(()),
            Some(id) if self.kind(id) == Some(Kind::Directory) => return Err(Refusal::Kind),
            Some(id) => id,
            None => self.insert_node(parent, name, item)?,
        };
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.item = item;
        }
        if let Some(item) = self.items.get_mut(item as usize) {
            item.links += 1;
        }
        Ok(())
    }

    fn replace(&mut self, id: NodeId, content: Content<F>, known: Known) -> Result<(), Refusal> {
        self.charge(size_of::<Item<F>>())?;
        let Some(item) = self.item_mut(id) else {
            return Err(Refusal::Kind);
        };
        match (&item.content, &content) {
            (Content::Directory { .. }, Content::Directory { .. }) => {
                item.known = known;
                Ok(())
            }
            (Content::Directory { .. }, _) | (_, Content::Directory { .. }) => Err(Refusal::Kind),
            _ => {
                // The other names keep the file.
                item.links -= 1;
                let item = self.new_item(content, known)?;
                if let Some(node) = self.nodes.get_mut(id as usize) {
                    node.item = item;
                }
                Ok(())
            }
        }
    }

    /// Returns the directory at that path; makes it if it is missing.
    fn directory(&mut self, path: &str, known: Known) -> Result<NodeId, Refusal> {
        let mut directory = ROOT;
        for name in path::names(path) {
            directory = match self.child(directory, name)? {
                Some(id) if self.kind(id) == Some(Kind::Directory) => id,
                Some(_) => return Err(Refusal::Kind),
                None => self.insert(directory, name, Content::EMPTY, known)?,
            };
        }
        Ok(directory)
    }

    fn child(&self, parent: NodeId, name: &str) -> Result<Option<NodeId>, Refusal> {
        if name.len() > MAX_NAME || !path::is_name(name.as_bytes()) {
            return Err(Refusal::Name);
        }
        let collisions_left = Cell::new(COLLISIONS);
        let found = self.find(parent, name, &collisions_left);
        if collisions_left.get() == 0 {
            return Err(Refusal::Hash);
        }
        Ok(found)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.limit {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    fn new_item(&mut self, content: Content<F>, known: Known) -> Result<u32, Refusal> {
        if let Content::Link(target) = &content {
            self.used = self.used.saturating_add(target.len());
            self.has_links = true;
        }
        if is_memory_short() {
            return Err(Refusal::Memory);
        }
        self.items.try_reserve(1).map_err(|_| Refusal::Memory)?;
        self.items.push(Item {
            content,
            known,
            links: 1,
        });
        u32::try_from(self.items.len() - 1).map_err(|_| Refusal::Full)
    }

    fn insert(
        &mut self,
        parent: NodeId,
        name: &str,
        content: Content<F>,
        known: Known,
    ) -> Result<NodeId, Refusal> {
        self.charge(size_of::<Item<F>>())?;
        let item = self.new_item(content, known)?;
        self.insert_node(parent, name, item)
    }

    fn insert_node(&mut self, parent: NodeId, name: &str, item: u32) -> Result<NodeId, Refusal> {
        self.charge(size_of::<Node>() + 2 * size_of::<NodeId>() + name.len())?;
        self.nodes.try_reserve(1).map_err(|_| Refusal::Memory)?;
        self.names
            .try_reserve(name.len())
            .map_err(|_| Refusal::Memory)?;
        let id = NodeId::try_from(self.nodes.len()).map_err(|_| Refusal::Full)?;
        let start = u32::try_from(self.names.len()).map_err(|_| Refusal::Full)?;
        let len = u8::try_from(name.len()).map_err(|_| Refusal::Name)?;
        let Self {
            table,
            nodes,
            names,
            ..
        } = self;
        let rehash = |id: &NodeId| {
            let node = nodes.get(*id as usize);
            let name = |node: &Node| {
                let start = node.start as usize;
                names.get(start..start + usize::from(node.len))
            };
            node.map_or(0, |node| hash(node.parent, name(node).unwrap_or("")))
        };
        table.try_reserve(1, rehash).map_err(|_| Refusal::Memory)?;
        table.insert_unique(hash(parent, name), id, rehash);
        self.names.push_str(name);
        self.nodes.push(Node {
            parent,
            next: NONE,
            item,
            start,
            len,
        });
        if let Some(Content::Directory { first, last }) =
            self.item_mut(parent).map(|item| &mut item.content)
        {
            let before = *last;
            *last = id;
            if before == NONE {
                *first = id;
            } else if let Some(node) = self.nodes.get_mut(before as usize) {
                node.next = id;
            }
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
