//! Table of handles for open files and directories.

use alloc::vec::Vec;

use crate::{Error, FileId};

/// Maximum number of handles on one volume.
const LIMIT: usize = 4096;

#[derive(Debug)]
struct Slot<H> {
    /// Number of earlier handles in this slot, so that a stale number doesn't match a new handle.
    generation: u32,
    handle: Option<H>,
}

/// Table of a volume's open files and directories: maps numbers to the volume's state of each.
#[derive(Debug)]
pub struct Handles<H> {
    slots: Vec<Slot<H>>,
}

impl<H> Default for Handles<H> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<H> Handles<H> {
    fn index(file: FileId) -> (usize, u32) {
        ((file.0 & 0xffff_ffff) as usize, (file.0 >> 32) as u32)
    }

    /// Fails with [`Error::TooManyOpen`] when the table has no room for one more handle.
    pub fn check_room(&self) -> Result<(), Error> {
        let used = self
            .slots
            .iter()
            .filter(|slot| slot.handle.is_some())
            .count();
        if used < LIMIT {
            Ok(())
        } else {
            Err(Error::TooManyOpen)
        }
    }

    /// Adds `handle` and returns its number. Call [`check_room`](Self::check_room) first.
    pub fn add(&mut self, handle: H) -> FileId {
        let free = self.slots.iter().position(|slot| slot.handle.is_none());
        let index = free.unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                handle: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.handle = Some(handle);
        FileId(u64::from(slot.generation) << 32 | index as u64)
    }

    /// Returns the handle of this number, or [`Error::Closed`].
    pub fn get(&self, file: FileId) -> Result<&H, Error> {
        let (index, generation) = Self::index(file);
        let slot = self
            .slots
            .get(index)
            .filter(|slot| slot.generation == generation);
        slot.and_then(|slot| slot.handle.as_ref())
            .ok_or(Error::Closed)
    }

    /// As [`get`](Self::get), but mutable.
    pub fn get_mut(&mut self, file: FileId) -> Result<&mut H, Error> {
        self.slot(file)?.handle.as_mut().ok_or(Error::Closed)
    }

    fn slot(&mut self, file: FileId) -> Result<&mut Slot<H>, Error> {
        let (index, generation) = Self::index(file);
        let slot = self.slots.get_mut(index);
        slot.filter(|slot| slot.generation == generation)
            .ok_or(Error::Closed)
    }

    /// Removes a handle and returns it; its number is never reused.
    pub fn remove(&mut self, file: FileId) -> Result<H, Error> {
        let slot = self.slot(file)?;
        let handle = slot.handle.take().ok_or(Error::Closed)?;
        slot.generation = slot.generation.wrapping_add(1);
        Ok(handle)
    }

    /// Iterates over all open handles.
    pub fn all(&self) -> impl Iterator<Item = &H> {
        self.slots.iter().filter_map(|slot| slot.handle.as_ref())
    }

    /// As [`all`](Self::all), but mutable.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut H> {
        let slots = self.slots.iter_mut();
        slots.filter_map(|slot| slot.handle.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_number_is_never_a_new_handle() {
        let mut handles = Handles::default();
        let first = handles.add(7);
        assert_eq!(handles.remove(first).unwrap(), 7);
        assert_eq!(handles.remove(first).err(), Some(Error::Closed));
        let second = handles.add(8);
        assert_ne!(first, second);
        assert_eq!(handles.get(first).err(), Some(Error::Closed));
        assert_eq!(handles.get(second).unwrap(), &8);
        assert_eq!(handles.get(FileId(u64::MAX)).err(), Some(Error::Closed));
    }

    #[test]
    fn there_is_a_limit() {
        let mut handles = Handles::default();
        for n in 0..LIMIT {
            handles.check_room().unwrap();
            handles.add(n);
        }
        assert_eq!(handles.check_room(), Err(Error::TooManyOpen));
    }
}
