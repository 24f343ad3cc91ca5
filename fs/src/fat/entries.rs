//! Entries of one directory, read and written in their slots. The names are indexed once
//! ([`Index`]), and only the slots that the index points at are read.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::cluster_chains::{Chain, Reached};
use super::clusters::{Before, patch, put_back};
use super::geometry::{ENTRY_SIZE, Geometry};
use super::index::{Index, MAX_RUN, MAX_SLOTS};
use super::names;
use super::slots::{
    ATTR_READ_ONLY, Bytes, ENTRY_FREE, LFN_LAST_ENTRY, LFN_SEQUENCE_MASK, LongName, ShortEntry,
    Slot, long_name,
};
use crate::cache::{Cache, Run};
use crate::{DirEntry, Error, Kind};

/// Bytes of a directory to read at a time; no cluster is smaller.
const WINDOW: usize = 512;

/// File or directory: location of its short entry on the disk, and that entry. The root has none;
/// its location is 0, and its entry contains its first cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub place: u64,
    pub entry: ShortEntry,
}

impl Node {
    pub fn is_read_only(&self) -> bool {
        self.entry.attributes() & ATTR_READ_ONLY != 0
    }
}

/// Maximum size of a directory in bytes: 65,536 slots.
const MAX_DIRECTORY: u64 = (ENTRY_SIZE as u64) << 16;

/// Entries per call of [`Directory::list`].
const LIST_STEP: usize = 256;

/// New entry in the form of its slots.
pub(super) type Slots = Vec<Bytes>;

type Result<T> = core::result::Result<T, Error>;

/// Returns the stored bits of a name's hash, which ignores case.
fn tag(units: impl Iterator<Item = u16>) -> u16 {
    let hash = units.fold(0x811c_9dc5_u32, |hash, unit| {
        (hash ^ u32::from(names::fold(unit))).wrapping_mul(0x0100_0193)
    });
    (hash ^ hash >> 16) as u16
}

/// Iterates over the UTF-16 units of a short name as displayed; each character is one unit.
fn shown(entry: &ShortEntry) -> impl Iterator<Item = u16> {
    names::shown(entry).map(|letter| u32::from(letter) as u16)
}

/// Reader of a directory's slots in sequence.
struct Reader<'a> {
    runs: &'a [Run],
    cache: &'a mut Cache,
    window: [u8; WINDOW],
    /// Index of the window in the directory.
    piece: usize,
}

impl Reader<'_> {
    /// Returns the contents of a slot; `End` past the directory's end.
    fn get(&mut self, slot: usize) -> Result<Slot> {
        let at = slot * ENTRY_SIZE;
        if at / WINDOW != self.piece {
            self.piece = usize::MAX;
            let start = at / WINDOW * WINDOW;
            self.cache
                .read_runs(self.runs, start as u64, &mut self.window)?;
            self.piece = at / WINDOW;
        }
        let (slots, _) = self.window.as_chunks();
        Ok(slots
            .get(at % WINDOW / ENTRY_SIZE)
            .map_or(Slot::End, Slot::parse))
    }

    /// Returns the entry that begins in a slot: the slot of its short entry, and that entry. Leaves
    /// the long name in `long`.
    fn entry(&mut self, at: usize, long: &mut LongName) -> Result<Option<(usize, ShortEntry)>> {
        long.reset();
        for slot in at..at + MAX_RUN {
            match self.get(slot)? {
                Slot::Long(part) => long.push(&part),
                Slot::Short(entry) if entry.is_visible() => return Ok(Some((slot, entry))),
                _ => break,
            }
        }
        Ok(None)
    }

    /// Returns the first slot of the entry whose short entry is in `short`.
    fn first_of(&mut self, short: usize, checksum: u8) -> Result<usize> {
        for count in 1..MAX_RUN.min(short + 1) {
            let Slot::Long(part) = self.get(short - count)? else {
                break;
            };
            let number = usize::from(part[0] & LFN_SEQUENCE_MASK);
            if number != count || part[13] != checksum {
                break;
            }
            if part[0] & LFN_LAST_ENTRY != 0 {
                return Ok(short - count);
            }
        }
        Ok(short)
    }
}

/// Builds index entries from consecutive slots.
struct Named {
    long: LongName,
    /// First slot of the long name.
    start: usize,
}

impl Named {
    fn new() -> Self {
        Self {
            long: LongName::new(),
            start: 0,
        }
    }

    fn note(&mut self, slot: usize, what: &Slot, index: &mut Index) {
        match what {
            Slot::Free | Slot::End => self.long.reset(),
            Slot::Long(part) => {
                if part[0] & LFN_LAST_ENTRY != 0 {
                    self.start = slot;
                }
                self.long.push(part);
                index.take(slot, None);
            }
            Slot::Short(entry) => {
                let units = self.long.finish(entry.lfn_checksum());
                let visible = entry.is_visible();
                if let Some(units) = units.filter(|units| visible && !units.is_empty()) {
                    index.take(self.start, Some(tag(units.iter().copied())));
                }
                index.take(slot, visible.then(|| tag(shown(entry))));
            }
        }
    }
}

/// Directory entry that a lookup found.
pub(super) struct FoundEntry {
    /// Slot of its short entry.
    pub short: usize,
    pub node: Node,
}

/// Directory whose names are indexed.
pub(super) struct Directory {
    /// First cluster; 0 for a root directory of fixed size.
    pub first: u32,
    /// Time of the last use.
    pub used: u64,
    /// The chain is invalid or loops; the part before the error is indexed.
    pub damaged: bool,
    chain: Chain,
    index: Index,
}

impl Directory {
    /// Reads the whole directory that begins with cluster `first`; `None` when memory is short.
    pub fn read(first: u32, geometry: &Geometry, cache: &mut Cache) -> Result<Option<Self>> {
        let mut chain = Chain::new(first);
        let mut damaged = false;
        if first == 0 {
            chain = Chain::fixed(geometry.tables_end, geometry.root_len);
        } else {
            damaged = chain.reach(0, MAX_DIRECTORY, geometry, cache)? != Reached::End;
        }
        let slots = (chain.len() / ENTRY_SIZE as u64) as usize;
        // In a directory of the maximum size the last two slot numbers collide with the marks of
        // list ends.
        damaged &= slots <= MAX_SLOTS;
        let slots = slots.min(MAX_SLOTS);
        let Some(mut index) = Index::new(slots) else {
            return Ok(None);
        };
        let mut reader = Reader {
            runs: chain.runs(),
            cache,
            window: [0; WINDOW],
            piece: usize::MAX,
        };
        let mut named = Named::new();
        for slot in 0..slots {
            let what = reader.get(slot)?;
            if matches!(what, Slot::End) {
                break;
            }
            named.note(slot, &what, &mut index);
        }
        Ok(Some(Self {
            first,
            used: 0,
            damaged,
            chain,
            index,
        }))
    }

    /// Returns the memory of the index in bytes.
    pub fn bytes(&self) -> usize {
        let chain = size_of_val(self.chain.runs());
        Index::cost(self.index.len()) + chain + size_of::<Self>()
    }

    fn reader<'a>(&'a self, cache: &'a mut Cache) -> Reader<'a> {
        Reader {
            runs: self.chain.runs(),
            cache,
            window: [0; WINDOW],
            piece: usize::MAX,
        }
    }

    /// Returns the entry with this long or short name, ignoring case.
    pub fn find(&self, name: &str, cache: &mut Cache) -> Result<Option<FoundEntry>> {
        let mut reader = self.reader(cache);
        let mut long = LongName::new();
        let folded = || name.encode_utf16().map(names::fold);
        for at in self.index.find(tag(name.encode_utf16())) {
            let Some((short, entry)) = reader.entry(at, &mut long)? else {
                continue;
            };
            let units = long.finish(entry.lfn_checksum()).unwrap_or_default();
            if folded().eq(units.iter().copied().map(names::fold))
                || folded().eq(shown(&entry).map(names::fold))
            {
                let place = self.place(short)?;
                let node = Node { place, entry };
                return Ok(Some(FoundEntry { short, node }));
            }
        }
        Ok(None)
    }

    /// Calls `visit` with entries from slot `from` on, until it returns `false`. Returns the slot
    /// to continue with, and `None` at the end.
    pub fn list(
        &self,
        from: usize,
        cache: &mut Cache,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<usize>> {
        let mut reader = self.reader(cache);
        let (mut long, mut text) = (LongName::new(), String::new());
        let (mut next, mut count) = (from, 0);
        for slot in from..self.index.end() {
            match reader.get(slot)? {
                Slot::Long(part) => long.push(&part),
                Slot::Short(entry) if entry.is_visible() => {
                    let units = long.finish(entry.lfn_checksum()).unwrap_or_default();
                    let letters = char::decode_utf16(units.iter().copied());
                    text.clear();
                    text.extend(letters.map(|letter| letter.unwrap_or('\u{fffd}')));
                    if !names::is_shown(&text) {
                        text.clear();
                        text.extend(names::shown(&entry));
                    }
                    if !names::is_shown(&text) {
                        return Err(Error::Corrupt);
                    }
                    let kind = match entry.is_dir() {
                        true => Kind::Directory,
                        false => Kind::File,
                    };
                    let name = text.as_str();
                    if count == LIST_STEP || !visit(&DirEntry { name, kind }) {
                        return Ok(Some(next));
                    }
                    (next, count) = (slot + 1, count + 1);
                }
                _ => long.reset(),
            }
        }
        Ok(None)
    }

    fn has_short(&self, short: &ShortEntry, except: &[usize], cache: &mut Cache) -> Result<bool> {
        let mut reader = self.reader(cache);
        for slot in self.index.find(tag(shown(short))) {
            if matches!(reader.get(slot)?, Slot::Short(entry) if entry.name() == short.name())
                && !except.contains(&slot)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the slots of a new entry called `name`, with the fields of `entry`. The name must be
    /// new, except for the entries whose short entry is in one of `except`. `None` when no short
    /// name is left.
    pub fn slots_for(
        &self,
        name: &str,
        mut entry: ShortEntry,
        except: &[usize],
        cache: &mut Cache,
    ) -> Result<Option<Slots>> {
        // The name itself, if a short name can express it apart from its case.
        entry.set_nt_case(0);
        entry.set_name(names::short_name(name, 0));
        let upper = name.encode_utf16().map(names::fold);
        let is_itself = name.is_ascii() && upper.eq(shown(&entry));
        let alone = names::case_bits(name).filter(|_| is_itself);
        let mut tails = if is_itself { 0 } else { 1 }..=u8::MAX;
        loop {
            let tail = tails.next().filter(|tail| *tail == 0 || alone.is_none());
            let Some(tail) = tail else {
                return Ok(None);
            };
            entry.set_name(names::short_name(name, tail));
            if !self.has_short(&entry, except, cache)? {
                break;
            }
        }
        entry.set_nt_case(alone.unwrap_or(0));
        let mut slots = match alone {
            Some(_) => Slots::new(),
            None => long_name(name, entry.lfn_checksum()),
        };
        slots.push(entry.0);
        Ok(Some(slots))
    }

    /// Writes a new entry into free slots; `None` when the directory hasn't enough consecutive
    /// ones. Returns its node, and the old contents.
    pub fn add(&mut self, mut slots: Slots, cache: &mut Cache) -> Result<Option<(Node, Before)>> {
        let Some(at) = self.index.room(slots.len()) else {
            return Ok(None);
        };
        let end = at + slots.len();
        // The slot after the last entry must begin with zero, whatever it contained.
        if end > self.index.end() && end < self.index.len() {
            slots.push([0; ENTRY_SIZE]);
        }
        let before = self.replace(at, &slots, cache)?;
        // The index is updated from memory, so it must contain what was written.
        let mut named = Named::new();
        for (slot, bytes) in (at..end).zip(&slots) {
            named.note(slot, &Slot::parse(bytes), &mut self.index);
        }
        let entry = slots.get(end - at - 1).ok_or(Error::Io)?;
        let (place, entry) = (self.place(end - 1)?, ShortEntry(*entry));
        Ok(Some((Node { place, entry }, before)))
    }

    /// Whether `count` consecutive slots are free.
    pub fn has_room(&mut self, count: usize) -> bool {
        self.index.room(count).is_some()
    }

    /// Marks the slots of an entry as free. Returns their old contents.
    pub fn remove(&mut self, found: &FoundEntry, cache: &mut Cache) -> Result<Before> {
        let at = self.start_of(found, cache)?;
        let mut free = [0; ENTRY_SIZE];
        free[0] = ENTRY_FREE;
        let slots = vec![free; found.short + 1 - at];
        let before = self.replace(at, &slots, cache)?;
        (at..=found.short).for_each(|slot| self.index.release(slot));
        Ok(before)
    }

    /// Whether the directory has no entries except `.` and `..`.
    pub fn is_empty(&self, cache: &mut Cache) -> Result<bool> {
        let mut reader = self.reader(cache);
        for slot in 0..self.index.end() {
            if matches!(reader.get(slot)?, Slot::Short(entry) if entry.is_visible()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a cluster may be appended: not to a root of fixed size.
    pub fn may_grow(&self, geometry: &Geometry) -> bool {
        let larger = self.index.len() + geometry.unit as usize / ENTRY_SIZE;
        self.first != 0 && larger <= MAX_SLOTS && !self.damaged
    }

    pub fn last_cluster(&self) -> u32 {
        self.chain.last()
    }

    /// Takes note of a cluster that was appended. `false` when the index needs a rebuild.
    pub fn note_growth(&mut self, geometry: &Geometry, cache: &mut Cache) -> Result<bool> {
        self.chain.reach(0, MAX_DIRECTORY, geometry, cache)?;
        Ok(self
            .index
            .grow((self.chain.len() / ENTRY_SIZE as u64) as usize))
    }

    /// Returns the first slot of an entry.
    pub fn start_of(&self, found: &FoundEntry, cache: &mut Cache) -> Result<usize> {
        self.reader(cache)
            .first_of(found.short, found.node.entry.lfn_checksum())
    }

    /// Writes other bytes into slots from `at` on, and returns the old ones. If one can't be
    /// written, restores those before it.
    pub fn replace(&self, at: usize, slots: &[Bytes], cache: &mut Cache) -> Result<Before> {
        let mut before = Before::new();
        for (slot, bytes) in slots.iter().enumerate() {
            let place = self.place(at + slot);
            let replaced = place.and_then(|place| Ok((place, patch(place, bytes, cache)?)));
            match replaced {
                Ok(old) => before.push(old),
                Err(error) => {
                    put_back(&before, cache);
                    return Err(error);
                }
            }
        }
        Ok(before)
    }

    /// Returns the location of a slot as a byte of the disk.
    fn place(&self, slot: usize) -> Result<u64> {
        let at = (slot * ENTRY_SIZE) as u64;
        let runs = self.chain.runs();
        let run = runs.get(runs.partition_point(|run| run.file + run.len <= at));
        run.map(|run| run.disk + at - run.file)
            .ok_or(Error::Corrupt)
    }
}

#[cfg(test)]
mod tests;
