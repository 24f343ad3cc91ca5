//! Files, directories and links in memory, and what they cost.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::contents::Contents;
use crate::{Error, Kind, Stat, Time};

/// Bytes that are counted for a file, directory or link, and for an entry of a directory besides
/// its name: what they take in the maps here, rounded up.
pub(super) const NODE_COST: u64 = 256;
const ENTRY_COST: u64 = 160;

/// The number of a node; never used for another one.
pub(super) type Number = u64;

/// What is counted for an entry of that name.
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
    /// Names that lead to it.
    pub links: u32,
    /// Handles on it.
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

    /// Bytes that are counted for it, without its names and entries.
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

/// The entries of a directory, by name and in the order in which they came.
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

    /// Adds an entry, whose name isn't there yet.
    pub fn insert(&mut self, name: &str, number: Number) {
        self.last += 1;
        let name: Arc<str> = name.into();
        self.order.insert(self.last, (name.clone(), number));
        self.names.insert(name, (self.last, number));
    }

    /// Has an entry that is there lead to another node; it keeps its place.
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

    /// Entries from a place in the listing on, with their own; 0 is the start.
    pub fn from(&self, place: u64) -> impl Iterator<Item = (u64, &str, Number)> {
        self.order
            .range(place..)
            .map(|(place, (name, number))| (*place, &**name, *number))
    }
}
