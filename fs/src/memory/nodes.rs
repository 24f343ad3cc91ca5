//! Files, directories and links in memory, and their cost.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::contents::Contents;
use crate::{Error, Kind, Stat, Time};

/// Bytes to charge for a file, directory or link, and for a directory entry besides its name: their
/// size in the maps here, rounded up.
pub(super) const NODE_COST: u64 = 256;
const ENTRY_COST: u64 = 160;

/// Number of a node; never reused.
pub(super) type Number = u64;

/// Bytes to charge for an entry of that name.
pub(super) fn entry_cost(name: &str) -> u64 {
    ENTRY_COST + name.len() as u64
}

#[derive(Debug)]
pub(super) enum Content {
    File(Contents),
    Directory(Directory),
    Link(Box<str>),
}

#[derive(Debug)]
pub(super) struct Node {
    pub content: Content,
    /// Number of names.
    pub links: u32,
    /// Number of handles.
    pub opens: u32,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
}

impl Node {
    pub fn new(content: Content, now: Time) -> Self {
        Self {
            content,
            links: 1,
            opens: 0,
            accessed: now,
            modified: now,
            changed: now,
        }
    }

    pub fn kind(&self) -> Kind {
        match self.content {
            Content::File(_) => Kind::File,
            Content::Directory(_) => Kind::Directory,
            Content::Link(_) => Kind::Symlink,
        }
    }

    /// Bytes charged for the node, without its names and entries.
    pub fn cost(&self) -> u64 {
        NODE_COST
            + match &self.content {
                Content::File(contents) => contents.held(),
                Content::Directory(_) => 0,
                Content::Link(target) => target.len() as u64,
            }
    }

    pub fn directory(&self) -> Result<&Directory, Error> {
        match &self.content {
            Content::Directory(directory) => Ok(directory),
            Content::File(_) | Content::Link(_) => Err(Error::NotDirectory),
        }
    }

    pub fn directory_mut(&mut self) -> Result<&mut Directory, Error> {
        match &mut self.content {
            Content::Directory(directory) => Ok(directory),
            Content::File(_) | Content::Link(_) => Err(Error::NotDirectory),
        }
    }

    pub fn stat(&self, number: Number) -> Stat {
        Stat {
            kind: self.kind(),
            size: match &self.content {
                Content::File(contents) => contents.size(),
                Content::Directory(_) => 0,
                Content::Link(target) => target.len() as u64,
            },
            modified: self.modified,
            accessed: self.accessed,
            changed: self.changed,
            links: self.links,
            inode: number,
            read_only: false,
        }
    }
}

/// Entries of a directory, by name and in order of creation.
#[derive(Debug, Default)]
pub(super) struct Directory {
    names: BTreeMap<Arc<str>, (u64, Number)>,
    order: BTreeMap<u64, (Arc<str>, Number)>,
    last: u64,
}

impl Directory {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<Number> {
        self.names.get(name).map(|(_, number)| *number)
    }

    /// Adds an entry for a new name.
    pub fn insert(&mut self, name: &str, number: Number) {
        self.last += 1;
        let name: Arc<str> = name.into();
        self.order.insert(self.last, (name.clone(), number));
        self.names.insert(name, (self.last, number));
    }

    /// Changes the node of an existing entry, which keeps its position.
    pub fn replace(&mut self, name: &str, number: Number) {
        if let Some((place, known)) = self.names.get_mut(name)
            && let Some((_, ordered)) = self.order.get_mut(place)
        {
            (*known, *ordered) = (number, number);
        }
    }

    pub fn remove(&mut self, name: &str) {
        if let Some((place, _)) = self.names.remove(name) {
            self.order.remove(&place);
        }
    }

    /// Iterates over the entries of a listing from a position on, with their positions; 0 is the
    /// start.
    pub fn from(&self, place: u64) -> impl Iterator<Item = (u64, &str, Number)> {
        self.order
            .range(place..)
            .map(|(place, (name, number))| (*place, &**name, *number))
    }
}
