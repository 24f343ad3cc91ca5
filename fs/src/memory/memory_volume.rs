//! Operations of the file system in memory.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::contents::{CHUNK, Contents};
use super::nodes::{Content, Directory, NODE_COST, Node, Number, entry_cost};
use crate::handles::Handles;
use crate::memory_pressure::is_memory_short;
use crate::path::{self, MAX_PATH};
use crate::volume::range_end;
use crate::{
    Clock, Cursor, DirEntry, Error, Fallocate, FileId, Health, Kind, Lease, OpenFlags, Renaming,
    Seek, Space, Stat, Time, Volume, Walk,
};

type Result<T> = core::result::Result<T, Error>;

/// Maximum length of a name in bytes and number of names of a file, as on Linux's file systems.
const MAX_NAME: usize = 255;
const MAX_LINKS: u32 = 65_000;

/// Maximum file size: offsets fit 63-bit signed integers.
const MAX_FILE: u64 = (1 << 62) - 1;

/// Entries per call of `list`, after which other operations may run.
const LIST_STEP: usize = 256;

const ROOT: Number = 1;

#[derive(Debug, Clone, Copy)]
struct Handle {
    node: Number,
    flags: OpenFlags,
}

/// File system in memory; see [`super::new`].
#[derive(Debug)]
pub(super) struct Memory {
    nodes: BTreeMap<Number, Node>,
    last: Number,
    handles: Handles<Handle>,
    limit: u64,
    /// Bytes charged so far.
    used: u64,
    clock: Option<&'static Clock>,
}

impl Memory {
    pub fn new(limit: u64, clock: Option<&'static Clock>) -> Self {
        let mut volume = Self {
            nodes: BTreeMap::new(),
            last: ROOT,
            handles: Handles::default(),
            limit,
            used: NODE_COST,
            clock,
        };
        let root = Node::new(Content::Directory(Directory::default()), volume.now());
        volume.nodes.insert(ROOT, root);
        volume
    }

    fn now(&self) -> Time {
        Clock::time(self.clock)
    }

    fn node(&self, number: Number) -> Result<&Node> {
        self.nodes.get(&number).ok_or(Error::NotFound)
    }

    fn node_mut(&mut self, number: Number) -> Result<&mut Node> {
        self.nodes.get_mut(&number).ok_or(Error::NotFound)
    }

    fn child(&self, directory: Number, name: &str) -> Result<Option<Number>> {
        let directory = self.node(directory)?.directory()?;
        if name.len() > MAX_NAME {
            return Err(Error::NameTooLong);
        }
        Ok(directory.get(name))
    }

    fn lookup(&self, path: &str) -> Result<Number> {
        path::names(path).try_fold(ROOT, |directory, name| {
            self.child(directory, name)?.ok_or(Error::NotFound)
        })
    }

    /// Returns the directory of `path`, the name there, and its node. [`Error::Invalid`] for the
    /// root.
    fn place<'a>(&self, path: &'a str) -> Result<(Number, &'a str, Option<Number>)> {
        let (parent, name) = path::split_last(path).ok_or(Error::Invalid)?;
        let parent = self.lookup(parent)?;
        Ok((parent, name, self.child(parent, name)?))
    }

    fn check_room(&self, bytes: u64) -> Result<()> {
        if is_memory_short() {
            return Err(Error::OutOfMemory);
        }
        let fits = self
            .used
            .checked_add(bytes)
            .is_some_and(|used| used <= self.limit);
        if fits { Ok(()) } else { Err(Error::NoSpace) }
    }

    /// Adds an entry that is already charged, and marks the directory as changed.
    fn add_entry(&mut self, parent: Number, name: &str, number: Number) -> Result<()> {
        let now = self.now();
        let directory = self.node_mut(parent)?;
        directory.directory_mut()?.insert(name, number);
        directory.modified = now;
        directory.changed = now;
        self.used += entry_cost(name);
        Ok(())
    }

    fn remove_entry(&mut self, parent: Number, name: &str) -> Result<()> {
        let now = self.now();
        let directory = self.node_mut(parent)?;
        directory.directory_mut()?.remove(name);
        directory.modified = now;
        directory.changed = now;
        self.used -= entry_cost(name);
        Ok(())
    }

    fn create(&mut self, parent: Number, name: &str, content: Content) -> Result<Number> {
        let node = Node::new(content, self.now());
        self.check_room(node.cost() + entry_cost(name))?;
        self.last += 1;
        let number = self.last;
        self.add_entry(parent, name, number)?;
        self.used += node.cost();
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Removes one name from a node.
    fn unnamed(&mut self, number: Number) -> Result<()> {
        let now = self.now();
        let node = self.node_mut(number)?;
        node.links -= 1;
        node.changed = now;
        self.forget_unused(number);
        Ok(())
    }

    fn forget_unused(&mut self, number: Number) {
        let unused = |node: &Node| node.links == 0 && node.opens == 0;
        if self.nodes.get(&number).is_some_and(unused)
            && let Some(node) = self.nodes.remove(&number)
        {
            self.used -= node.cost();
        }
    }

    fn file(&mut self, file: FileId, needed: OpenFlags) -> Result<(&mut Node, Handle)> {
        let handle = *self.handles.get(file)?;
        if handle.flags.contains(OpenFlags::DIRECTORY) {
            return Err(Error::IsDirectory);
        }
        if !handle.flags.contains(needed) {
            return Err(Error::PermissionDenied);
        }
        Ok((self.node_mut(handle.node)?, handle))
    }

    fn truncate_node(&mut self, number: Number, size: u64) -> Result<()> {
        if size > MAX_FILE {
            return Err(Error::TooLarge);
        }
        let now = self.now();
        let node = self.node_mut(number)?;
        let before = node.cost();
        if let Content::File(contents) = &mut node.content {
            contents.truncate(size)?;
        }
        node.modified = now;
        node.changed = now;
        let freed = before - node.cost();
        self.used -= freed;
        Ok(())
    }

    /// Sets the node of each name to the one given with it.
    fn exchange(&mut self, places: [(Number, &str, Number); 2]) -> Result<()> {
        let now = self.now();
        for (parent, name, number) in places {
            let directory = self.node_mut(parent)?;
            directory.directory_mut()?.replace(name, number);
            (directory.modified, directory.changed) = (now, now);
            self.node_mut(number)?.changed = now;
        }
        Ok(())
    }

    fn rename_to(
        &mut self,
        (from_parent, from_name, node): (Number, &str, Number),
        (to_parent, to_name, replaced): (Number, &str, Option<Number>),
    ) -> Result<()> {
        let is_directory = self.node(node)?.kind() == Kind::Directory;
        if let Some(replaced) = replaced {
            let other = self.node(replaced)?;
            match (&other.content, is_directory) {
                (Content::Directory(_), false) => return Err(Error::IsDirectory),
                (Content::File(_) | Content::Link(_), true) => return Err(Error::NotDirectory),
                (Content::Directory(entries), true) if !entries.is_empty() => {
                    return Err(Error::NotEmpty);
                }
                _ => {}
            }
        } else {
            let longer = entry_cost(to_name).saturating_sub(entry_cost(from_name));
            self.check_room(longer)?;
        }
        if let Some(replaced) = replaced {
            self.remove_entry(to_parent, to_name)?;
            self.unnamed(replaced)?;
        }
        self.remove_entry(from_parent, from_name)?;
        self.add_entry(to_parent, to_name, node)?;
        let now = self.now();
        self.node_mut(node)?.changed = now;
        Ok(())
    }
}

impl Volume for Memory {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        flags.check()?;
        self.handles.check_room()?;
        let found = match path::split_last(path) {
            None => (0, "", Some(ROOT)),
            Some(_) => self.place(path)?,
        };
        let node = match found {
            (_, _, Some(_)) if flags.contains(OpenFlags::EXCLUSIVE) => return Err(Error::Exists),
            (_, _, Some(node)) => {
                let is_directory = flags.contains(OpenFlags::DIRECTORY);
                match (self.node(node)?.kind(), is_directory) {
                    (Kind::Directory, false) => return Err(Error::IsDirectory),
                    (Kind::File | Kind::Symlink, true) => return Err(Error::NotDirectory),
                    // `resolve` returns its target.
                    (Kind::Symlink, false) => return Err(Error::Unsupported),
                    (Kind::Directory, true) | (Kind::File, false) => {}
                }
                if flags.contains(OpenFlags::TRUNCATE) {
                    self.truncate_node(node, 0)?;
                }
                node
            }
            (parent, name, None) if flags.contains(OpenFlags::CREATE) => {
                self.create(parent, name, Content::File(Contents::default()))?
            }
            (_, _, None) => return Err(Error::NotFound),
        };
        self.node_mut(node)?.opens += 1;
        Ok(self.handles.add(Handle { node, flags }))
    }

    fn close(&mut self, file: FileId) -> Result<()> {
        let handle = self.handles.remove(file)?;
        self.node_mut(handle.node)?.opens -= 1;
        self.forget_unused(handle.node);
        Ok(())
    }

    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        match &self.file(file, OpenFlags::READ)?.0.content {
            Content::File(contents) => Ok(contents.read(offset, buf)),
            Content::Directory(_) | Content::Link(_) => Err(Error::IsDirectory),
        }
    }

    fn lend(&mut self, file: FileId, offset: u64, len: usize, out: &mut Vec<Lease>) -> Result<()> {
        match &self.file(file, OpenFlags::READ)?.0.content {
            Content::File(contents) => {
                let left = contents.size().saturating_sub(offset);
                let count = len.min(usize::try_from(left).unwrap_or(usize::MAX));
                contents.lend(offset, count, out)
            }
            Content::Directory(_) | Content::Link(_) => Err(Error::IsDirectory),
        }
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        let now = self.now();
        let room = self.limit.saturating_sub(self.used);
        let (node, handle) = self.file(file, OpenFlags::WRITE)?;
        let before = node.cost();
        let Content::File(contents) = &mut node.content else {
            return Err(Error::IsDirectory);
        };
        let offset = if handle.flags.contains(OpenFlags::APPEND) {
            contents.size()
        } else {
            offset
        };
        if buf.is_empty() {
            return Ok(0);
        }
        let most = MAX_FILE.saturating_sub(offset);
        let fits = buf.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if fits == 0 {
            return Err(Error::TooLarge);
        }
        let written = contents.write(offset, buf.get(..fits).unwrap_or_default(), room);
        let taken = node.cost() - before;
        if written.is_ok() {
            node.modified = now;
            node.changed = now;
        }
        self.used += taken;
        written
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        let (node, handle) = self.file(file, OpenFlags::empty())?;
        Ok(node.stat(handle.node).size)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<()> {
        let (_, handle) = self.file(file, OpenFlags::WRITE)?;
        self.truncate_node(handle.node, size)
    }

    fn fallocate(&mut self, file: FileId, how: Fallocate, offset: u64, len: u64) -> Result<()> {
        let end = range_end(offset, len)?;
        if end > MAX_FILE {
            return Err(Error::TooLarge);
        }
        let now = self.now();
        let room = self.limit.saturating_sub(self.used);
        let (node, handle) = self.file(file, OpenFlags::WRITE)?;
        let before = node.cost();
        let Content::File(contents) = &mut node.content else {
            return Err(Error::IsDirectory);
        };
        let size = contents.size();
        let mut done = Ok(());
        if matches!(how, Fallocate::PunchHole | Fallocate::ZeroRange) {
            done = contents.punch(offset, end);
            node.modified = now;
        }
        if how != Fallocate::PunchHole && done.is_ok() {
            let freed = before - contents.held() - NODE_COST;
            done = contents.allocate(offset, end, room + freed);
        }
        node.changed = now;
        self.used = self.used - before + self.node(handle.node)?.cost();
        done?;
        if end > size && matches!(how, Fallocate::Allocate | Fallocate::ZeroRange) {
            self.truncate_node(handle.node, end)?;
        }
        Ok(())
    }

    fn seek(&mut self, file: FileId, to: Seek, offset: u64) -> Result<Option<u64>> {
        match &self.file(file, OpenFlags::empty())?.0.content {
            Content::File(contents) => Ok(contents.next(to, offset)),
            Content::Directory(_) | Content::Link(_) => Err(Error::IsDirectory),
        }
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        let number = self.handles.get(file)?.node;
        Ok(self.node(number)?.stat(number))
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        let number = self.lookup(path)?;
        Ok(self.node(number)?.stat(number))
    }

    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        let number = self.handles.get(directory)?.node;
        let entries = self.node(number)?.directory()?.from(from);
        for (n, (place, name, number)) in entries.enumerate() {
            let kind = self.node(number)?.stat(number).kind;
            if n == LIST_STEP || !visit(&DirEntry { name, kind }) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        match self.place(path)? {
            (_, _, Some(_)) => Err(Error::Exists),
            (parent, name, None) => self
                .create(parent, name, Content::Directory(Directory::default()))
                .map(|_| ()),
        }
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::Busy);
        }
        let (parent, name, found) = self.place(path)?;
        let number = found.ok_or(Error::NotFound)?;
        let node = self.node(number)?;
        if !node.directory()?.is_empty() {
            return Err(Error::NotEmpty);
        }
        self.remove_entry(parent, name)?;
        self.unnamed(number)
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        if path::split_last(path).is_none() {
            return Err(Error::IsDirectory);
        }
        let (parent, name, found) = self.place(path)?;
        let number = found.ok_or(Error::NotFound)?;
        if self.node(number)?.kind() == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        self.remove_entry(parent, name)?;
        self.unnamed(number)
    }

    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<()> {
        let (from_parent, from_name, node) = self.place(from)?;
        let (to_parent, to_name, replaced) = self.place(to)?;
        let node = node.ok_or(Error::NotFound)?;
        if how == Renaming::NoReplace && replaced.is_some() {
            return Err(Error::Exists);
        }
        if replaced == Some(node) {
            return Ok(()); // both are names of it already
        }
        if path::is_below(to, from) {
            return Err(Error::Invalid);
        }
        if how == Renaming::Exchange {
            let other = replaced.ok_or(Error::NotFound)?;
            if path::is_below(from, to) {
                return Err(Error::Invalid);
            }
            let places = [(from_parent, from_name, other), (to_parent, to_name, node)];
            return self.exchange(places);
        }
        self.rename_to(
            (from_parent, from_name, node),
            (to_parent, to_name, replaced),
        )
    }

    fn link(&mut self, path: &str, new: &str) -> Result<()> {
        let number = self.lookup(path)?;
        let node = self.node(number)?;
        if node.kind() == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        if path::split_last(new).is_none() {
            return Err(Error::Exists);
        }
        let (parent, name, None) = self.place(new)? else {
            return Err(Error::Exists);
        };
        if node.links >= MAX_LINKS {
            return Err(Error::TooManyLinks);
        }
        self.check_room(entry_cost(name))?;
        self.add_entry(parent, name, number)?;
        let now = self.now();
        let node = self.node_mut(number)?;
        node.links += 1;
        node.changed = now;
        Ok(())
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        if target.is_empty() || target.contains('\0') {
            return Err(Error::Invalid);
        }
        if target.len() > MAX_PATH {
            return Err(Error::NameTooLong);
        }
        if path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        let (parent, name, None) = self.place(path)? else {
            return Err(Error::Exists);
        };
        self.create(parent, name, Content::Link(target.into()))
            .map(|_| ())
    }

    fn set_times(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<()> {
        let now = self.now();
        let number = self.lookup(path)?;
        let node = self.node_mut(number)?;
        node.accessed = accessed.unwrap_or(node.accessed);
        node.modified = modified.unwrap_or(node.modified);
        node.changed = now;
        Ok(())
    }

    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk> {
        let mut node = ROOT;
        let mut names = path::names_with_ends(path).peekable();
        while let Some((end, name)) = names.next() {
            let Ok(Some(next)) = self.child(node, name) else {
                return Ok(Walk::Plain);
            };
            if let Content::Link(target) = &self.node(next)?.content
                && (last || names.peek().is_some())
            {
                let target = target.to_string();
                return Ok(Walk::Link { end, target });
            }
            node = next;
        }
        Ok(Walk::Plain)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn sync_file(&mut self, file: FileId) -> Result<()> {
        self.handles.get(file).map(|_| ())
    }

    fn space(&mut self) -> Result<Space> {
        let free = self.limit.saturating_sub(self.used);
        Ok(Space {
            total: self.limit,
            free,
            available: free,
            unit: CHUNK as u32,
        })
    }

    fn health(&self) -> Health {
        Health::Writable
    }
}
