//! The table of descriptors: numbers, and their open file descriptions. It knows no kind of file.

use crate::errors::Result;
use crate::file::Description;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Maximum number of open descriptors: the limit that `getrlimit` returns.
pub const MAX_OPEN: usize = 1 << 16;

/// A number in use.
enum Slot {
    /// Taken, and not open before it is filled.
    Reserved,
    Open {
        description: Arc<Description>,
        close_on_exec: bool,
    },
}

/// Descriptors by their numbers.
pub struct Table {
    slots: Vec<Option<Slot>>,
    /// The program's own limit (`RLIMIT_NOFILE`): new numbers are below it.
    limit: usize,
}

impl Table {
    /// A table without descriptors.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Table {
        Table {
            slots: Vec::new(),
            limit: MAX_OPEN,
        }
    }

    /// The program's limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Sets the program's limit. Larger open numbers remain open.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MAX_OPEN);
    }

    /// The description of a descriptor; [`libc::EBADF`].
    pub fn get(&self, descriptor: u64) -> Result<&Arc<Description>> {
        let index = usize::try_from(descriptor).map_err(|_| libc::EBADF)?;
        match self.slots.get(index) {
            Some(Some(Slot::Open { description, .. })) => Ok(description),
            _ => Err(libc::EBADF),
        }
    }

    /// Whether a descriptor is closed by `execve`; [`libc::EBADF`].
    pub fn close_on_exec(&mut self, descriptor: u64) -> Result<&mut bool> {
        let index = usize::try_from(descriptor).map_err(|_| libc::EBADF)?;
        match self.slots.get_mut(index) {
            Some(Some(Slot::Open { close_on_exec, .. })) => Ok(close_on_exec),
            _ => Err(libc::EBADF),
        }
    }

    /// The numbers of all open descriptors, in order.
    pub fn numbers(&self) -> Vec<usize> {
        let slots = self.slots.iter().enumerate();
        let is_open = |slot: &Option<Slot>| matches!(slot, Some(Slot::Open { .. }));
        slots
            .filter_map(|(number, slot)| is_open(slot).then_some(number))
            .collect()
    }

    /// Reserves the lowest free number from `least` on; [`libc::EMFILE`], [`libc::ENOMEM`].
    pub fn reserve(&mut self, least: usize) -> Result<usize> {
        let free = self.slots.iter().skip(least).position(Option::is_none);
        let index = free.map_or(self.slots.len().max(least), |free| least + free);
        if index >= self.limit {
            return Err(libc::EMFILE);
        }
        self.put(index, Slot::Reserved)?;
        Ok(index)
    }

    /// Assigns a reserved number to a description.
    pub fn fill(&mut self, index: usize, description: Arc<Description>, close_on_exec: bool) {
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            *slot = Slot::Open {
                description,
                close_on_exec,
            };
        }
    }

    /// Frees a reserved number.
    pub fn free(&mut self, index: usize) {
        if let Some(place) = self.slots.get_mut(index) {
            *place = None;
        }
    }

    /// Closes a descriptor; returns the description, to be dropped outside of the table's lock.
    /// [`libc::EBADF`].
    pub fn take(&mut self, descriptor: u64) -> Result<Arc<Description>> {
        let description = Arc::clone(self.get(descriptor)?);
        self.free(descriptor as usize);
        Ok(description)
    }

    /// Makes `new` a duplicate of `old`; returns the previous description of `new`, to be dropped
    /// outside of the table's lock. [`libc::EBADF`], [`libc::EBUSY`] for a reserved number,
    /// [`libc::ENOMEM`].
    pub fn replace(
        &mut self,
        old: u64,
        new: u64,
        close_on_exec: bool,
    ) -> Result<Option<Arc<Description>>> {
        if new >= self.limit as u64 {
            return Err(libc::EBADF);
        }
        let description = Arc::clone(self.get(old)?);
        if let Some(Some(Slot::Reserved)) = self.slots.get(new as usize) {
            return Err(libc::EBUSY);
        }
        let copy = Slot::Open {
            description,
            close_on_exec,
        };
        Ok(match self.put(new as usize, copy)? {
            Some(Slot::Open { description, .. }) => Some(description),
            _ => None,
        })
    }

    /// Stores an entry at an index below [`MAX_OPEN`]; returns the previous one. [`libc::ENOMEM`].
    fn put(&mut self, index: usize, slot: Slot) -> Result<Option<Slot>> {
        let missing = (index + 1).saturating_sub(self.slots.len());
        self.slots.try_reserve(missing).map_err(|_| libc::ENOMEM)?;
        if missing > 0 {
            self.slots.resize_with(index + 1, || None);
        }
        let place = self.slots.get_mut(index).ok_or(libc::ENOMEM)?;
        Ok(place.replace(slot))
    }
}
