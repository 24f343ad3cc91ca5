//! Entries of one directory, read and written in their slots.
//!
//! hadris-fat reads a directory from its start for every name. This module indexes the names once
//! ([`Index`]), and reads only the slots that the index points at. hadris-fat still handles the
//! records themselves: their fields, checksums, the letters of long names, and short names.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hadris_fat::{Geometry, RootLocation};
use hadris_fat_raw::lfn::{Assembler, Encoded};
use hadris_fat_raw::{
    ENTRY_FREE, ENTRY_SIZE, LFN_LAST_ENTRY, LFN_SEQUENCE_MASK, LongEntry, ShortEntry, Slot,
};
use hadris_fat_raw::{MAX_DIR_ENTRIES, fold_unicode, short_name};
use hadris_fs::CodePage;

use super::cluster_chains::{Chain, Reached};
use super::clusters::{Before, Bytes, clear_cluster, link, patch, put_back};
use super::index::{Index, MAX_RUN, MAX_SLOTS};
use crate::BlockError;
use crate::cache::{Cache, Run};

/// Bytes of a directory to read at a time; no cluster is smaller.
const WINDOW: usize = 512;

/// Maximum size of a directory in bytes.
const MAX_DIRECTORY: u64 = MAX_DIR_ENTRIES as u64 * ENTRY_SIZE as u64;

/// New entry in the form of its slots.
pub(super) type Slots = Vec<Bytes>;

type Result<T> = core::result::Result<T, BlockError>;

/// Returns the stored bits of a name's hash, which ignores case.
fn tag(units: impl Iterator<Item = u16>) -> u16 {
    let hash = units.fold(0x811c_9dc5_u32, |hash, unit| {
        (hash ^ u32::from(fold_unicode(unit))).wrapping_mul(0x0100_0193)
    });
    (hash ^ hash >> 16) as u16
}

/// Short name in the form for display.
struct Shown {
    text: [u8; short_name::DISPLAY_MAX],
    len: usize,
}

impl Shown {
    fn new(stored: &[u8; 11], nt_case: u8, page: &dyn CodePage) -> Self {
        let mut text = [0; short_name::DISPLAY_MAX];
        let len = short_name::display(stored, nt_case, |byte| page.decode(byte), &mut text);
        Self { text, len }
    }

    fn units(&self) -> impl Iterator<Item = u16> {
        let text = self.text.get(..self.len).unwrap_or_default();
        str::from_utf8(text).unwrap_or_default().encode_utf16()
    }
}

/// Reader of a directory's slots in sequence.
struct Reader<'a> {
    runs: &'a [Run],
    cache: &'a mut Cache,
    window: [u8; WINDOW],
    /// Number of the window in the directory.
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
    fn entry(&mut self, at: usize, long: &mut Assembler) -> Result<Option<(usize, ShortEntry)>> {
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
            let number = usize::from(part.sequence() & LFN_SEQUENCE_MASK);
            if number != count || part.checksum() != checksum {
                break;
            }
            if part.sequence() & LFN_LAST_ENTRY != 0 {
                return Ok(short - count);
            }
        }
        Ok(short)
    }
}

/// Builds index entries from consecutive slots.
struct Named {
    long: Assembler,
    /// First slot of the long name.
    start: usize,
}

impl Named {
    fn new() -> Self {
        Self {
            long: Assembler::new(),
            start: 0,
        }
    }

    fn note(&mut self, slot: usize, what: &Slot, page: &dyn CodePage, index: &mut Index) {
        match what {
            Slot::Free | Slot::End => self.long.reset(),
            Slot::Long(part) => {
                if part.sequence() & LFN_LAST_ENTRY != 0 {
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
                let shown = Shown::new(&entry.name(), entry.nt_case(), page);
                index.take(slot, visible.then(|| tag(shown.units())));
            }
        }
    }
}

/// Directory entry that a lookup found.
pub(super) struct FoundEntry {
    /// First slot of its long name, or of the short one.
    pub at: usize,
    /// Slot of its short entry.
    pub short: usize,
    pub entry: ShortEntry,
}

/// Directory whose names are indexed.
pub(super) struct Directory {
    /// First cluster; 0 for a root directory of fixed size.
    pub first: u32,
    /// Time of the last use.
    pub used: u64,
    /// The chain is invalid or loops; the part before that is known.
    pub damaged: bool,
    chain: Chain,
    index: Index,
    page: &'static dyn CodePage,
}

impl Directory {
    /// Reads the whole directory that begins with cluster `first`; `None` when memory is short.
    pub fn read(
        first: u32,
        geometry: &Geometry,
        page: &'static dyn CodePage,
        cache: &mut Cache,
    ) -> Result<Option<Self>> {
        let mut chain = Chain::new(first);
        let mut damaged = false;
        match geometry.root() {
            RootLocation::Fixed { start, size } if first == 0 => chain = Chain::fixed(start, size),
            _ => damaged = chain.reach(0, MAX_DIRECTORY, geometry, cache)? != Reached::End,
        }
        let slots = (chain.len() / ENTRY_SIZE as u64) as usize;
        // In a directory of the maximum size the last two slots can't be told from the ends of
        // lists.
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
            named.note(slot, &what, page, &mut index);
        }
        Ok(Some(Self {
            first,
            used: 0,
            damaged,
            chain,
            index,
            page,
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
        let mut long = Assembler::new();
        let folded = || name.encode_utf16().map(fold_unicode);
        for at in self.index.find(tag(name.encode_utf16())) {
            let Some((short, entry)) = reader.entry(at, &mut long)? else {
                continue;
            };
            let units = long.finish(entry.lfn_checksum()).unwrap_or_default();
            let shown = Shown::new(&entry.name(), entry.nt_case(), self.page);
            if folded().eq(units.iter().copied().map(fold_unicode))
                || folded().eq(shown.units().map(fold_unicode))
            {
                return Ok(Some(FoundEntry { at, short, entry }));
            }
        }
        Ok(None)
    }

    fn has_short(&self, stored: &[u8; 11], except: &[usize], cache: &mut Cache) -> Result<bool> {
        let mut reader = self.reader(cache);
        let shown = Shown::new(stored, 0, self.page);
        for slot in self.index.find(tag(shown.units())) {
            if matches!(reader.get(slot)?, Slot::Short(entry) if entry.name() == *stored)
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
        let made = |suffix| {
            let fold = |letter: char| {
                let unit = u16::try_from(u32::from(letter)).ok();
                unit.and_then(|unit| char::from_u32(fold_unicode(unit).into()))
            };
            let encode = |letter| self.page.encode(fold(letter).unwrap_or(letter));
            let mut stored = short_name::generate(name, suffix, encode)?;
            short_name::to_disk(&mut stored);
            Some(stored)
        };
        // The name itself, if a short name expresses all but its case.
        let itself = made(0).filter(|stored| {
            let shown = Shown::new(stored, 0, self.page);
            let upper = name.encode_utf16().map(fold_unicode);
            name.is_ascii() && upper.eq(shown.units())
        });
        let alone = itself.and(short_name::case_bits(name));
        let mut found = None;
        for stored in itself.into_iter().chain((1..=u8::MAX).filter_map(made)) {
            if !self.has_short(&stored, except, cache)? {
                found = Some(stored);
                break;
            }
            if alone.is_some() {
                break;
            }
        }
        let (Some(stored), Some(encoded)) = (found, Encoded::new(name)) else {
            return Ok(None);
        };
        entry.set_name(stored);
        entry.set_nt_case(alone.unwrap_or(0));
        let parts = if alone.is_some() {
            0
        } else {
            encoded.entries()
        };
        let long = (0..parts).map(|part| {
            let (sequence, units) = encoded.entry(part);
            LongEntry::new(sequence, entry.lfn_checksum(), &units).encode()
        });
        Ok(Some(long.chain([entry.encode()]).collect()))
    }

    /// Writes a new entry into free slots; `None` when the directory hasn't enough in a row.
    /// Returns the first slot, and the old contents.
    pub fn add(&mut self, mut slots: Slots, cache: &mut Cache) -> Result<Option<(usize, Before)>> {
        let Some(at) = self.index.room(slots.len()) else {
            return Ok(None);
        };
        let end = at + slots.len();
        // The slot after the last entry must begin with zero, whatever it held.
        if end > self.index.end() && end < self.index.len() {
            slots.push([0; ENTRY_SIZE]);
        }
        let before = self.replace(at, &slots, cache)?;
        // Indexed from memory: the index must know what was written.
        let mut named = Named::new();
        for (slot, bytes) in (at..end).zip(&slots) {
            named.note(slot, &Slot::parse(bytes), self.page, &mut self.index);
        }
        Ok(Some((at, before)))
    }

    /// Whether `count` slots in a row are free.
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

    /// Returns slots that may hold another entry while a cluster is added: a free one, or else that
    /// of `..`, or in the root any. Empty when no cluster can be added.
    pub fn spare_slots(&mut self, geometry: &Geometry) -> Range<usize> {
        let larger = self.index.len() + geometry.cluster_size() as usize / ENTRY_SIZE;
        let is_root = geometry.root() == RootLocation::Cluster(self.first);
        match self.index.room(1) {
            _ if self.first == 0 || larger > MAX_SLOTS || self.damaged => 0..0,
            Some(free) => free..free + 1,
            None if is_root => 0..self.index.len(),
            None => 1..2,
        }
    }

    /// Appends a cluster that nothing links to yet. `false` when the index needs a rebuild.
    pub fn append(&mut self, cluster: u32, geometry: &Geometry, cache: &mut Cache) -> Result<bool> {
        clear_cluster(cluster, geometry, cache)?;
        let last = self.chain.last();
        if let Err(error) = link(last, cluster, geometry, cache) {
            let _ = link(last, geometry.kind().end_of_chain(), geometry, cache);
            return Err(error);
        }
        let _ = self.chain.reach(0, MAX_DIRECTORY, geometry, cache)?;
        Ok(self
            .index
            .grow((self.chain.len() / ENTRY_SIZE as u64) as usize))
    }

    /// Returns the first slot of an entry.
    pub fn start_of(&self, found: &FoundEntry, cache: &mut Cache) -> Result<usize> {
        self.reader(cache)
            .first_of(found.short, found.entry.lfn_checksum())
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
            .ok_or(BlockError::OutOfRange)
    }
}

#[cfg(test)]
mod tests;
