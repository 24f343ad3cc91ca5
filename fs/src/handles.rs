//! Numbers for open files and directories.

use alloc::vec::Vec;

use crate::{Error, FileId};

/// Handles on one volume at most.
const LIMIT: usize = 4096;

#[derive(Debug)]
struct Slot<H> {
    /// Counts the handles that were here, so that an old number isn't taken for a new one.
    generation: u32,
    handle: Option<H>,
}

/// The table of a volume's open files and directories: numbers for what the volume keeps of each.
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

    /// Whether there is room for one more.
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

    /// A number for `handle`; [`check_room`](Self::check_room) comes first.
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

    /// What the number stands for; [`Error::Closed`].
    pub fn get(&self, file: FileId) -> Result<&H, Error> {
        let (index, generation) = Self::index(file);
        let slot = self
            .slots
            .get(index)
            .filter(|slot| slot.generation == generation);
        slot.and_then(|slot| slot.handle.as_ref())
            .ok_or(Error::Closed)
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, file: FileId) -> Result<&mut H, Error> {
        let (index, generation) = Self::index(file);
        let slot = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.generation == generation);
        slot.and_then(|slot| slot.handle.as_mut())
            .ok_or(Error::Closed)
    }

    /// Takes it out; the number is never used again for another.
    pub fn remove(&mut self, file: FileId) -> Result<H, Error> {
        let (index, generation) = Self::index(file);
        let slot = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.generation == generation);
        let slot = slot.ok_or(Error::Closed)?;
        let handle = slot.handle.take().ok_or(Error::Closed)?;
        slot.generation = slot.generation.wrapping_add(1);
        Ok(handle)
    }

    /// All that are open.
    pub fn all(&self) -> impl Iterator<Item = &H> {
        self.slots.iter().filter_map(|slot| slot.handle.as_ref())
    }

    /// As [`all`](Self::all), to change them.
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
