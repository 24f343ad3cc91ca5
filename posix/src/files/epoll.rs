//! epoll(7): a set of descriptors, and which of them have events.
//!
//! A wait checks every entry: the work is that of `poll`, without its list. An entry is for a
//! descriptor and its description, and is removed with the last duplicate of the description, as on
//! Linux.

use crate::blocking::readiness::Events;
use crate::errors::Result;
use crate::file::{Description, File};
use crate::stat::Stat;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use resources::Runtime;
use sync::mutex::{Mutex, level};

/// Bits of an entry in addition to its events.
const EDGE: u32 = libc::EPOLLET as u32;
const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
const WAKE_UP: u32 = libc::EPOLLWAKEUP as u32;
/// Maximum nesting of sets (Linux's `EP_MAX_NESTS`).
const MAX_NESTS: usize = 4;

/// A descriptor, and the address of its description.
type Key = (u64, usize);

/// An entry of a set.
struct Entry {
    description: Weak<Description>,
    /// Requested events, [`EDGE`] and the like.
    wanted: u32,
    /// The program's own data, which is returned with events.
    data: u64,
    /// False after an event of [`ONE_SHOT`].
    enabled: bool,
    /// The events that were reported last, and the number of changes by then: for [`EDGE`].
    reported: (Events, u64),
}

impl Entry {
    /// Its current events among the requested ones, and the number of changes.
    fn poll(&self, rt: &mut Runtime, description: &Description) -> (Events, u64) {
        if !self.enabled {
            return (Events::empty(), 0);
        }
        let asked = Events::from_bits_truncate(self.wanted) | Events::ALWAYS;
        // Before the events: a change in between counts as new.
        let changes = description.file().changes(rt);
        (description.file().events(rt) & asked, changes)
    }

    /// Whether to report the events.
    fn is_news(&self, (events, changes): (Events, u64)) -> bool {
        let (reported, changes_then) = self.reported;
        let news = self.wanted & EDGE == 0 || changes != changes_then || !reported.contains(events);
        news && !events.is_empty()
    }
}

/// A set of descriptors.
///
/// Sets are nested in no circle: entries of a set are locked before those of the sets in it, and
/// its containers before those of the sets that contain it.
pub struct Epoll {
    entries: Mutex<Entries, level::Entries>,
    /// The sets that contain it, once per entry.
    containers: Mutex<Vec<Weak<Description>>, level::Containers>,
}

struct Entries {
    entries: BTreeMap<Key, Entry>,
    /// Where the next wait begins, so that each entry has its turn.
    next: Key,
}

/// An event: its bits and the entry's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The events.
    pub events: u32,
    /// In the form passed to [`control`].
    pub data: u64,
}

impl Epoll {
    /// An empty set.
    #[expect(clippy::new_without_default, reason = "a description's object")]
    pub const fn new() -> Epoll {
        Epoll {
            entries: Mutex::new(Entries {
                entries: BTreeMap::new(),
                next: (0, 0),
            }),
            containers: Mutex::new(Vec::new()),
        }
    }

    /// Whether a descriptor has events.
    fn is_ready(&self, rt: &mut Runtime) -> bool {
        let entries = self.entries.lock_nested();
        entries.entries.values().any(|entry| {
            let description = entry.description.upgrade();
            description.is_some_and(|it| entry.is_news(entry.poll(rt, &it)))
        })
    }

    /// Returns up to `most` events.
    pub fn take(&self, rt: &mut Runtime, most: usize) -> Vec<Event> {
        let Entries { entries, next } = &mut *self.entries.lock();
        let mut found = Vec::new();
        let mut gone = Vec::new();
        let from = *next;
        let mut poll = |(key, entry): (&Key, &mut Entry)| {
            let Some(description) = entry.description.upgrade() else {
                gone.push(*key);
                return true;
            };
            if found.len() == most {
                *next = *key;
                return false;
            }
            let now = entry.poll(rt, &description);
            let is_news = entry.is_news(now);
            if is_news {
                entry.enabled = entry.wanted & ONE_SHOT == 0;
                found.push(Event {
                    events: now.0.bits(),
                    data: entry.data,
                });
            }
            if is_news {
                entry.reported = now;
            } else {
                // An event that has ended is reported when it recurs.
                entry.reported.0 &= now.0;
            }
            true
        };
        if entries.range_mut(from..).all(&mut poll) && entries.range_mut(..from).all(&mut poll) {
            // All had their turn.
            *next = (0, 0);
        }
        for key in gone {
            entries.remove(&key);
        }
        found
    }

    /// Number of sets nested in this one; `None` if `target` is this set or one of them. The depth
    /// of the recursion is bounded by [`MAX_NESTS`].
    fn depth(&self, target: &Epoll) -> Option<usize> {
        if core::ptr::eq(self, target) {
            return None;
        }
        let entries = self.entries.lock_nested();
        let descriptions = entries.entries.values().map(|entry| &entry.description);
        let mut depths =
            descriptions
                .filter_map(Weak::upgrade)
                .map(|it| match it.downcast::<Epoll>() {
                    Some(inner) => inner.depth(target).map(|depth| depth + 1),
                    None => Some(0),
                });
        depths.try_fold(0, |most, depth| Some(most.max(depth?)))
    }

    /// Number of sets in which this one is nested.
    fn height(&self) -> usize {
        let containers = self.containers.lock_nested();
        let heights = containers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|it| it.downcast::<Epoll>().map_or(0, |outer| outer.height() + 1));
        heights.max().unwrap_or(0)
    }

    /// Records that it is in another set. [`libc::ELOOP`] if that is in this one, or the nesting
    /// would be too deep.
    fn enter(&self, container: &Arc<Description>, outer: &Epoll) -> Result<()> {
        let depth = self.depth(outer).ok_or(libc::ELOOP)?;
        if outer.height() + 1 + depth > MAX_NESTS {
            return Err(libc::ELOOP);
        }
        let mut containers = self.containers.lock();
        containers.retain(|it| it.strong_count() > 0);
        containers.push(Arc::downgrade(container));
        Ok(())
    }

    /// Undoes one [`Epoll::enter`].
    fn leave(&self, container: &Arc<Description>) {
        let mut containers = self.containers.lock();
        let is_it = |it: &Weak<Description>| core::ptr::eq(it.as_ptr(), Arc::as_ptr(container));
        if let Some(at) = containers.iter().position(is_it) {
            containers.swap_remove(at);
        }
    }

    /// `epoll_ctl` with `EPOLL_CTL_ADD`.
    fn add(&self, key: Key, description: &Arc<Description>, event: Event) -> Result<()> {
        let wanted = event.events;
        if wanted & EXCLUSIVE != 0 {
            let allowed = Events::READABLE | Events::WRITABLE | Events::ALWAYS;
            let allowed = allowed.bits() | EXCLUSIVE | WAKE_UP | EDGE;
            if wanted & !allowed != 0 || description.downcast::<Epoll>().is_some() {
                return Err(libc::EINVAL);
            }
        }
        let entries = &mut self.entries.lock().entries;
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
        // Frees entries of removed descriptions, whose addresses aren't reused before.
        entries.retain(|_, entry| entry.description.strong_count() > 0);
        entries.insert(key, entry);
        Ok(())
    }

    /// `epoll_ctl` with `EPOLL_CTL_MOD`.
    fn modify(&self, key: Key, event: Event) -> Result<()> {
        let entries = &mut self.entries.lock().entries;
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
        let removed = self.entries.lock().entries.remove(&key);
        removed.map(|_| ()).ok_or(libc::ENOENT)
    }
}

impl File for Epoll {
    fn stat(&self) -> Result<Stat> {
        Ok(Stat::special(0, 0o600, 1))
    }

    fn name(&self) -> String {
        "anon_inode:[eventpoll]".into()
    }

    fn seek(&self, _: i64, _: i32) -> Result<u64> {
        Ok(0)
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        Events::when(self.is_ready(rt), Events::READABLE)
    }

    /// It changes with its descriptors, for a set that contains this one.
    fn changes(&self, rt: &mut Runtime) -> u64 {
        let entries = self.entries.lock_nested();
        let descriptions = entries.entries.values().map(|entry| &entry.description);
        descriptions.filter_map(Weak::upgrade).fold(0, |sum, it| {
            let changes = it.file().changes(rt);
            sum.wrapping_mul(31).wrapping_add(changes)
        })
    }
}

/// `epoll_ctl` of a set, with a descriptor and its description.
pub fn control(
    outer: &Arc<Description>,
    operation: i32,
    (descriptor, description): (u64, &Arc<Description>),
    event: impl FnOnce() -> Result<Event>,
) -> Result<u64> {
    if !description.file().can_poll() {
        return Err(libc::EPERM);
    }
    let epoll = outer.downcast::<Epoll>().ok_or(libc::EINVAL)?;
    if Arc::ptr_eq(outer, description) {
        return Err(libc::EINVAL);
    }
    let key = (descriptor, Arc::as_ptr(description) as usize);
    match operation {
        libc::EPOLL_CTL_ADD => {
            let event = event()?;
            match description.downcast::<Epoll>() {
                Some(inner) => {
                    inner.enter(outer, epoll)?;
                    epoll
                        .add(key, description, event)
                        .inspect_err(|_| inner.leave(outer))?;
                }
                None => epoll.add(key, description, event)?,
            }
        }
        libc::EPOLL_CTL_MOD => epoll.modify(key, event()?)?,
        libc::EPOLL_CTL_DEL => {
            epoll.remove(key)?;
            if let Some(inner) = description.downcast::<Epoll>() {
                inner.leave(outer);
            }
        }
        _ => return Err(libc::EINVAL),
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{EDGE, EXCLUSIVE, Epoll, Event, ONE_SHOT};
    use crate::blocking::operation::now;
    use crate::blocking::readiness::Events;
    use crate::blocking::signals::{self as program, Set};
    use crate::errors::{Errno, Result};
    use crate::file::{Description, File, Offset};
    use crate::files::pipe;
    use crate::files::signalfd::Signals;
    use crate::process;
    use crate::tests::begin;
    use std::vec;
    use std::vec::Vec;

    fn insert(file: impl File) -> u64 {
        let description = Description::new(file, libc::O_RDWR);
        process::insert(description, 0, false).expect("room")
    }

    fn set() -> u64 {
        insert(Epoll::new())
    }

    /// The ends of a new pipe: read, write.
    fn pipe() -> [u64; 2] {
        let ends = pipe::open(0).expect("memory");
        ends.map(|end| process::insert(end, 0, false).expect("room"))
    }

    fn write(descriptor: u64) {
        let description = process::get(descriptor).expect("open");
        assert_eq!(description.write(b"x", Offset::Position), Ok(1));
    }

    fn read(descriptor: u64) {
        let description = process::get(descriptor).expect("open");
        assert_eq!(description.read(&mut [0], Offset::Position), Ok(1));
    }

    fn control(
        set: u64,
        operation: i32,
        descriptor: u64,
        event: impl FnOnce() -> Result<Event>,
    ) -> Result<u64> {
        let (outer, description) = (process::get(set)?, process::get(descriptor)?);
        super::control(&outer, operation, (descriptor, &description), event)
    }

    fn event(events: u32, data: u64) -> impl FnOnce() -> Result<Event> {
        move || Ok(Event { events, data })
    }

    fn add(set: u64, descriptor: u64, events: u32) -> Result<u64> {
        let event = event(events, descriptor);
        control(set, libc::EPOLL_CTL_ADD, descriptor, event)
    }

    fn remove(set: u64, descriptor: u64) -> Result<u64> {
        let unused = || Err(libc::EFAULT);
        control(set, libc::EPOLL_CTL_DEL, descriptor, unused)
    }

    fn with<T>(set: u64, f: impl FnOnce(&Epoll) -> T) -> T {
        let description = process::get(set).expect("open");
        f(description.downcast::<Epoll>().expect("a set"))
    }

    /// The data and the bits of up to `most` current events of a set.
    fn events(set: u64, most: usize) -> Vec<(u64, u32)> {
        let found = with(set, |epoll| now(|rt| Ok::<_, Errno>(epoll.take(rt, most))));
        let found = found.expect("the runtime");
        found
            .iter()
            .map(|event| (event.data, event.events))
            .collect()
    }

    /// The data of the current events of a set.
    fn take(set: u64) -> Vec<u64> {
        events(set, 9).iter().map(|(data, _)| *data).collect()
    }

    const IN: u32 = Events::IN.bits();
    const OUT: u32 = Events::OUT.bits();
    const HUP: u32 = Events::HUP.bits();

    #[test]
    fn what_was_asked_for_is_reported_while_it_lasts() {
        let _one = begin("levels");
        let set = set();
        let [reader, writer] = pipe();
        assert_eq!(
            [add(set, reader, IN), add(set, writer, IN | OUT)],
            [Ok(0); 2]
        );
        assert_eq!(add(set, reader, IN), Err(libc::EEXIST));
        assert_eq!(events(set, 9), [(writer, OUT)]);
        write(writer);
        for _ in 0..2 {
            assert_eq!(events(set, 9), [(reader, IN), (writer, OUT)]);
        }
        assert_eq!(remove(set, reader), Ok(0));
        assert_eq!(remove(set, reader), Err(libc::ENOENT));
        assert_eq!(events(set, 9), [(writer, OUT)]);
    }

    #[test]
    fn the_end_of_a_peer_is_reported_whether_asked_for_or_not() {
        let _one = begin("hangups");
        let set = set();
        for (n, asked) in [0, HUP, IN, EDGE].into_iter().enumerate() {
            let [reader, writer] = pipe();
            assert_eq!(add(set, reader, asked), Ok(0));
            assert_eq!(events(set, 9), []);
            assert_eq!(process::close(writer), Ok(0));
            assert_eq!(events(set, 9), [(reader, HUP)], "{n}");
            assert_eq!(process::close(reader), Ok(0));
            assert_eq!(events(set, 9), [], "it went with its descriptor");
        }
    }

    #[test]
    fn an_edge_is_reported_once_and_one_shot_until_it_is_set_again() {
        let _one = begin("once");
        for once in [EDGE, ONE_SHOT] {
            let set = set();
            let [reader, writer] = pipe();
            assert_eq!(add(set, writer, OUT | once), Ok(0));
            assert_eq!(add(set, reader, IN | once), Ok(0));
            assert_eq!([take(set), take(set)], [vec![writer], vec![]]);
            write(writer);
            assert_eq!([take(set), take(set)], [vec![reader], vec![]]);
            write(writer);
            let again = if once == EDGE { vec![reader] } else { vec![] };
            assert_eq!([take(set), take(set)], [again, vec![]]);
            let modify = |events| {
                let change = event(events, 77);
                control(set, libc::EPOLL_CTL_MOD, reader, change)
            };
            assert_eq!(modify(IN | once), Ok(0));
            assert_eq!([take(set), take(set)], [vec![77], vec![]]);
            assert_eq!(modify(OUT), Ok(0));
            assert_eq!(events(set, 9), [], "it is asked for nothing that it has");
            assert_eq!(modify(IN), Ok(0));
            assert_eq!([events(set, 9), events(set, 9)], [[(77, IN)]; 2]);
            assert_eq!(remove(set, reader), Ok(0));
            assert_eq!(modify(IN), Err(libc::ENOENT));
        }
    }

    /// An event that ends without a change of its descriptor, for example when a thread takes a
    /// signal itself, is reported as an edge when it recurs, if a wait saw that it had ended.
    #[test]
    fn an_edge_that_ended_elsewhere_is_reported_when_it_recurs() {
        let _one = begin("recurs");
        const USER: Set = 1 << (libc::SIGUSR1 - 1);
        let set = set();
        let signals = insert(Signals::new(USER));
        let [reader, writer] = pipe();
        assert_eq!(add(set, signals, IN | EDGE), Ok(0));
        assert_eq!(add(set, reader, IN | EDGE), Ok(0));
        for _ in 0..3 {
            assert!(take(set).is_empty());
            program::raise(libc::SIGUSR1);
            assert_eq!([take(set), take(set)], [vec![signals], vec![]]);
            // A change of another one doesn't report it again.
            write(writer);
            assert_eq!([take(set), take(set)], [vec![reader], vec![]]);
            assert!(program::take(USER).is_some());
        }
        // A read is a change: a signal still pending after it is an edge without a wait.
        program::raise(libc::SIGUSR1);
        assert!(take(set).is_empty());
        let description = process::get(signals).expect("open");
        let read = description.read(&mut [0; 128], Offset::Position);
        assert_eq!(read, Ok(128));
        program::raise(libc::SIGUSR1);
        assert_eq!([take(set), take(set)], [vec![signals], vec![]]);
    }

    #[test]
    fn each_of_many_has_its_turn() {
        let _one = begin("turns");
        let set = set();
        let pipes = [pipe(), pipe(), pipe()];
        for [reader, writer] in pipes {
            assert_eq!(add(set, reader, IN), Ok(0));
            write(writer);
        }
        let [a, b, c] = pipes.map(|[reader, _]| (reader, IN));
        assert_eq!([events(set, 1), events(set, 1)], [[a], [b]]);
        assert_eq!(events(set, 9), [c, a, b], "from where it was left");
        assert_eq!(events(set, 2), [a, b]);
        read(c.0);
        assert_eq!(events(set, 2), [a, b]);
    }

    /// Linux's `ep_eventpoll_poll` and `do_epoll_ctl`.
    #[test]
    fn exclusive_entries_stay_as_they_are() {
        let _one = begin("exclusive");
        let (set, inner) = (set(), set());
        let [reader, writer] = pipe();
        let more = [libc::EPOLLWAKEUP as u32, EDGE, HUP, Events::ERR.bits(), OUT];
        for events in more.map(|more| more | IN | EXCLUSIVE) {
            assert_eq!(add(set, reader, events), Ok(0), "{events:#x}");
            assert_eq!(remove(set, reader), Ok(0));
        }
        for events in [ONE_SHOT, Events::PRI.bits(), Events::RDHUP.bits()] {
            assert_eq!(add(set, reader, events | EXCLUSIVE), Err(libc::EINVAL));
        }
        assert_eq!(add(set, inner, IN | EXCLUSIVE), Err(libc::EINVAL));
        let modify = |descriptor, events| {
            let change = event(events, 0);
            control(set, libc::EPOLL_CTL_MOD, descriptor, change)
        };
        assert_eq!(
            [add(set, reader, IN | EXCLUSIVE), add(set, writer, OUT)],
            [Ok(0); 2]
        );
        assert_eq!(modify(reader, IN), Err(libc::EINVAL));
        assert_eq!(modify(writer, IN | EXCLUSIVE), Err(libc::EINVAL));
        assert_eq!(modify(writer, IN), Ok(0));
    }

    #[test]
    fn what_was_closed_takes_no_memory() {
        let _one = begin("freed");
        let (outer, inner) = (set(), set());
        let count = |set| with(set, |epoll| epoll.entries.lock().entries.len());
        for _ in 0..20 {
            let [reader, writer] = pipe();
            assert_eq!(add(outer, reader, IN), Ok(0));
            assert_eq!(count(outer), 1, "an entry makes room for the next");
            let container = set();
            assert_eq!(add(container, inner, IN), Ok(0));
            for descriptor in [reader, writer, container] {
                assert_eq!(process::close(descriptor), Ok(0));
            }
        }
        assert_eq!(with(inner, |epoll| epoll.containers.lock().len()), 1);
        assert!(take(outer).is_empty());
        assert_eq!(count(outer), 0, "so does a wait");
    }

    #[test]
    fn sets_are_nested_four_deep_in_every_order() {
        let _one = begin("nests");
        let orders = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 1, 3, 4, 2]];
        for order in orders {
            let sets: Vec<u64> = (0..6).map(|_| set()).collect();
            let nest = |i: usize| add(sets[i], sets[i + 1], IN);
            let nested: Vec<_> = order.into_iter().map(nest).collect();
            let ok = [Ok(0); 4];
            assert_eq!(nested, [&ok[..], &[Err(libc::ELOOP)]].concat(), "{order:?}");
            let (removed, last) = (order[0], order[4]);
            assert_eq!(remove(sets[removed], sets[removed + 1]), Ok(0));
            assert_eq!(nest(last), Ok(0), "one less");
            assert_eq!(nest(removed), Err(libc::ELOOP));
            assert_eq!(process::close(sets[last]), Ok(0));
            let new = set();
            assert_eq!(add(new, sets[1], IN), Ok(0), "a closed one doesn't count");
            process::reset();
        }
    }

    /// The depth counts every set that contains a set, and refused ones don't count.
    #[test]
    fn a_set_in_two_sets_counts_the_deeper() {
        let _one = begin("in two");
        let sets: Vec<u64> = (0..7).map(|_| set()).collect();
        let nest = |i: usize, j: usize| add(sets[i], sets[j], IN);
        assert_eq!([nest(0, 1), nest(0, 1)], [Ok(0), Err(libc::EEXIST)]);
        assert_eq!(remove(sets[0], sets[1]), Ok(0));
        assert_eq!([nest(1, 2), nest(2, 3), nest(3, 4), nest(4, 5)], [Ok(0); 4]);
        assert_eq!(nest(6, 5), Ok(0));
        assert_eq!(nest(5, 0), Err(libc::ELOOP), "the fifth");
        assert_eq!(remove(sets[4], sets[5]), Ok(0));
        assert_eq!(nest(5, 0), Ok(0));
    }

    #[test]
    fn a_set_is_in_none_that_it_contains() {
        let _one = begin("loops");
        let [a, b, c] = [set(), set(), set()];
        assert_eq!([add(a, b, 1), add(b, c, 1)], [Ok(0); 2]);
        assert_eq!([add(c, a, 1), add(c, b, 1)], [Err(libc::ELOOP); 2]);
        assert_eq!(add(a, c, 1), Ok(0));
    }

    #[test]
    fn edges_of_a_set_in_a_set_are_reported_once() {
        let _one = begin("edges");
        let [reader, writer] = pipe();
        let [outer, inner, level] = [set(), set(), set()];
        assert_eq!(add(inner, reader, IN), Ok(0));
        assert_eq!(add(outer, inner, IN | EDGE), Ok(0));
        assert_eq!(add(level, inner, IN), Ok(0));
        assert!(take(outer).is_empty() && take(level).is_empty());
        for _ in 0..3 {
            write(writer);
            assert_eq!([take(outer), take(outer)], [vec![inner], vec![]]);
            assert_eq!([take(level), take(level)], [vec![inner], vec![inner]]);
            // Drained without a wait of the outer set.
            read(reader);
        }
        assert!(take(level).is_empty());
    }
}
