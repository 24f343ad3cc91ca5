//! Open files and directories.

use alloc::vec::Vec;

use hadris_fs::NodeId;

use crate::{Error, FileId, OpenFlags};

/// Handles on one volume at most.
const LIMIT: usize = 4096;

/// An open file or directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle {
    /// Pinned in hadris-fat for as long as the handle lives.
    pub node: NodeId,
    pub flags: OpenFlags,
}

impl Handle {
    pub fn is_directory(&self) -> bool {
        self.flags.contains(OpenFlags::DIRECTORY)
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// Counts the handles that were here, so that an old number isn't taken for a new one.
    generation: u32,
    handle: Option<Handle>,
}

/// The table of open files and directories.
#[derive(Debug, Default)]
pub(super) struct Handles {
    slots: Vec<Slot>,
}

impl Handles {
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

    pub fn add(&mut self, handle: Handle) -> FileId {
        let free = self.slots.iter().position(|slot| slot.handle.is_none());
        let index = free.unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.handle = Some(handle);
        FileId(u64::from(slot.generation) << 32 | index as u64)
    }

    pub fn get(&self, file: FileId) -> Result<Handle, Error> {
        let (index, generation) = Self::index(file);
        let slot = self
            .slots
            .get(index)
            .filter(|slot| slot.generation == generation);
        slot.and_then(|slot| slot.handle).ok_or(Error::Closed)
    }

    pub fn remove(&mut self, file: FileId) -> Result<Handle, Error> {
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

    /// Whether a directory is open.
    pub fn has_directory(&self, node: NodeId) -> bool {
        let mut open = self.slots.iter().filter_map(|slot| slot.handle);
        open.any(|handle| handle.node == node && handle.is_directory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(node: u64) -> Handle {
        Handle {
            node: NodeId::new(node).unwrap(),
            flags: OpenFlags::READ,
        }
    }

    #[test]
    fn an_old_number_is_never_a_new_handle() {
        let mut handles = Handles::default();
        let first = handles.add(handle(7));
        assert_eq!(handles.remove(first).unwrap().node.get(), 7);
        assert_eq!(handles.remove(first).err(), Some(Error::Closed));
        let second = handles.add(handle(8));
        assert_ne!(first, second);
        assert_eq!(handles.get(first).err(), Some(Error::Closed));
        assert_eq!(handles.get(second).unwrap().node.get(), 8);
        assert_eq!(handles.get(FileId(u64::MAX)).err(), Some(Error::Closed));
    }

    #[test]
    fn there_is_a_limit() {
        let mut handles = Handles::default();
        for n in 0..LIMIT {
            handles.check_room().unwrap();
            handles.add(handle(n as u64 + 1));
        }
        assert_eq!(handles.check_room(), Err(Error::TooManyOpen));
    }
}
