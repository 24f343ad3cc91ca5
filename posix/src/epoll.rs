//! epoll(7): a set of descriptors, and which of them have events.
//!
//! A look asks every entry: the work is that of `poll`, without its list. An entry is of a
//! descriptor and the description behind it, and goes with the last duplicate of the description,
//! as on Linux.

use crate::descriptors::{self, Description, Object};
use crate::errors::Result;
use crate::readiness::{self, Events};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use resources::Runtime;
use spin::Mutex;

/// Bits of an entry beside its events.
const EDGE: u32 = libc::EPOLLET as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
const WAKE_UP: u32 = libc::EPOLLWAKEUP as u32;
/// Sets in sets that there may be (Linux's `EP_MAX_NESTS`).
const MAX_NESTS: usize = 4;

/// A descriptor, and the address of its description.
type Key = (u64, usize);

/// An entry of a set.
struct Entry {
    description: Weak<Description>,
    /// Events that are asked for, [`EDGE`] and the like.
    wanted: u32,
    /// The program's own number, which it gets back.
    data: u64,
    /// False after an event of [`ONE_SHOT`].
    enabled: bool,
    /// The events that were reported last, and the number of changes until then: for [`EDGE`].
    reported: (Events, u64),
}

impl Entry {
    /// The events that it has now of those that are asked for, and the number of changes.
    fn look(&self, rt: &mut Runtime, description: &Description) -> (Events, u64) {
        if !self.enabled {
            return (Events::empty(), 0);
        }
        let asked = Events::from_bits_truncate(self.wanted) | Events::ALWAYS;
        // Before the events: what changes in between is news.
        let changes = readiness::changes(rt, description);
        (readiness::of(rt, description) & asked, changes)
    }

    /// Whether what was found is to be reported.
    fn is_news(&self, (events, changes): (Events, u64)) -> bool {
        let (reported, changes_then) = self.reported;
        let news = self.wanted & EDGE == 0 || changes != changes_then || !reported.contains(events);
        news && !events.is_empty()
    }
}

/// A set of descriptors.
pub struct Epoll(Mutex<Entries>);

struct Entries {
    entries: BTreeMap<Key, Entry>,
    /// Where the next look begins, so that each entry has its turn.
    next: Key,
}

/// An event: its bits and the entry's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The events.
    pub events: u32,
    /// As it was given to [`control`].
    pub data: u64,
}

impl Epoll {
    /// An empty set.
    #[expect(clippy::new_without_default, reason = "a description's object")]
    pub const fn new() -> Epoll {
        Epoll(Mutex::new(Entries {
            entries: BTreeMap::new(),
            next: (0, 0),
        }))
    }

    /// Whether a descriptor has events.
    pub fn is_ready(&self, rt: &mut Runtime) -> bool {
        let entries = self.0.lock();
        entries.entries.values().any(|entry| {
            let description = entry.description.upgrade();
            description.is_some_and(|it| entry.is_news(entry.look(rt, &it)))
        })
    }

    /// Takes up to `most` events.
    pub fn take(&self, rt: &mut Runtime, most: usize) -> Vec<Event> {
        let Entries { entries, next } = &mut *self.0.lock();
        let mut found = Vec::new();
        let mut gone = Vec::new();
        let from = *next;
        let mut look = |(key, entry): (&Key, &mut Entry)| {
            let Some(description) = entry.description.upgrade() else {
                gone.push(*key);
                return true;
            };
            if found.len() == most {
                *next = *key;
                return false;
            }
            let now = entry.look(rt, &description);
            let is_news = entry.is_news(now);
            if is_news {
                entry.enabled = entry.wanted & ONE_SHOT == 0;
                found.push(Event {
                    events: now.0.bits(),
                    data: entry.data,
                });
            }
            if is_news || now.0.is_empty() {
                entry.reported = now;
            }
            true
        };
        if entries.range_mut(from..).all(&mut look) && entries.range_mut(..from).all(&mut look) {
            // All had their turn.
            *next = (0, 0);
        }
        for key in gone {
            entries.remove(&key);
        }
        found
    }

    /// Whether the set `target` is in this one, `depth` sets deep.
    ///
    /// # Errors
    /// [`libc::ELOOP`] where sets are nested too deep.
    fn contains(&self, target: &Epoll, depth: usize) -> Result<bool> {
        if core::ptr::eq(self, target) {
            return Ok(true);
        }
        if depth > MAX_NESTS {
            return Err(libc::ELOOP);
        }
        let entries = self.0.lock();
        for entry in entries.entries.values() {
            if let Some(description) = entry.description.upgrade()
                && let Object::Epoll(inner) = &description.object
                && inner.contains(target, depth + 1)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `epoll_ctl` with `EPOLL_CTL_ADD`.
    fn add(&self, key: Key, description: &Arc<Description>, event: Event) -> Result<()> {
        let wanted = event.events;
        if wanted & EXCLUSIVE != 0 {
            let allowed = Events::READABLE | Events::WRITABLE | Events::ALWAYS;
            let allowed = allowed.bits() | EXCLUSIVE | WAKE_UP | EDGE;
            if wanted & !allowed != 0 || matches!(description.object, Object::Epoll(_)) {
                return Err(libc::EINVAL);
            }
        }
        let entries = &mut self.0.lock().entries;
        if entries.contains_key(&key) {
            return Err(libc::EEXIST);
        }
        let entry = Entry {
            description: Arc::downgrade(description),
            wanted,
            data: event.data,
            enabled: true,
            reported: (Events::empty(), 0),
        };
        // An entry of a description that has gone may have the address of this one.
        entries.retain(|_, entry| entry.description.strong_count() > 0);
        entries.insert(key, entry);
        Ok(())
    }

    /// `epoll_ctl` with `EPOLL_CTL_MOD`.
    fn modify(&self, key: Key, event: Event) -> Result<()> {
        let entries = &mut self.0.lock().entries;
        let entry = entries.get_mut(&key).ok_or(libc::ENOENT)?;
        if (entry.wanted | event.events) & EXCLUSIVE != 0 {
            return Err(libc::EINVAL);
        }
        entry.wanted = event.events;
        entry.data = event.data;
        entry.enabled = true;
        entry.reported = (Events::empty(), 0);
        Ok(())
    }

    /// `epoll_ctl` with `EPOLL_CTL_DEL`.
    fn remove(&self, key: Key) -> Result<()> {
        let removed = self.0.lock().entries.remove(&key);
        removed.map(|_| ()).ok_or(libc::ENOENT)
    }
}

/// `epoll_ctl`.
pub fn control(
    set: u64,
    operation: i32,
    descriptor: u64,
    event: impl FnOnce() -> Result<Event>,
) -> Result<u64> {
    let outer = descriptors::get(set)?;
    let description = descriptors::get(descriptor)?;
    if matches!(
        description.object,
        Object::File(_) | Object::Directory(_) | Object::Text(_) | Object::Null | Object::Zero
    ) {
        return Err(libc::EPERM);
    }
    let Object::Epoll(epoll) = &outer.object else {
        return Err(libc::EINVAL);
    };
    if Arc::ptr_eq(&outer, &description) {
        return Err(libc::EINVAL);
    }
    let key = (descriptor, Arc::as_ptr(&description) as usize);
    match operation {
        libc::EPOLL_CTL_ADD => {
            if let Object::Epoll(inner) = &description.object
                && inner.contains(epoll, 1)?
            {
                return Err(libc::ELOOP);
            }
            epoll.add(key, &description, event()?)?;
        }
        libc::EPOLL_CTL_MOD => epoll.modify(key, event()?)?,
        libc::EPOLL_CTL_DEL => epoll.remove(key)?,
        _ => return Err(libc::EINVAL),
    }
    Ok(0)
}
