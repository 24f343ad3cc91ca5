//! The table of descriptors: an index with a generation, so that a closed descriptor never
//! identifies a new object.

use alloc::vec::Vec;
use platform::Direction;
use platform::error::{Answer, Error};

/// Bits of the index in an encoded descriptor; the bits above are the generation.
const INDEX_BITS: u32 = 20;
/// Maximum number of open descriptors.
pub const MAX_OPEN: usize = 1 << INDEX_BITS;
/// Generations stay below this, so that an encoded descriptor is a positive OCaml `int`.
const MAX_GENERATION: u64 = 1 << (62 - INDEX_BITS);
/// The index for no descriptor, where tokens are parked that wait for a change of any
/// ([`crate::Runtime::watch`]).
pub(crate) const ANY: u32 = u32::MAX;

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd {
    /// Its index in the table.
    pub index: u32,
    /// The generation of that index.
    generation: u64,
}

impl Fd {
    /// From the form that crosses the boundary.
    pub fn decode(fd: isize) -> Result<Fd, Error> {
        let fd = u64::try_from(fd).map_err(|_| Error::Closed)?;
        Ok(Fd {
            index: (fd & (MAX_OPEN as u64 - 1)) as u32,
            generation: fd >> INDEX_BITS,
        })
    }

    /// The form that crosses the boundary.
    pub fn encode(self) -> isize {
        (u64::from(self.index) | self.generation << INDEX_BITS) as isize
    }
}

/// Kinds of objects.
#[allow(missing_docs, reason = "the names are those of the objects")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Block,
    Console,
    Directory,
    Echo,
    Ethernet,
    File,
    Listener,
    Pipe,
    Tcp,
    Udp,
    Vsock,
    VsockListener,
}

/// Operations of a kind of descriptor. A table of functions rather than a trait object: the objects
/// live with their owner (the pipes, the network stack), are named by a key, and the functions
/// borrow the whole runtime, `T`.
pub struct Operations<T: 'static> {
    /// The kind of object.
    pub kind: Kind,
    /// Reads bytes; 0 is the end.
    pub read: fn(&mut T, u32, &mut [u8]) -> Answer,
    /// Writes bytes.
    pub write: fn(&mut T, u32, &[u8]) -> Answer,
    /// Whether a try is worthwhile: data, room, end, or a pending error.
    pub ready: fn(&mut T, u32, Direction) -> Result<bool, Error>,
    /// Ends receiving (`true, _`) or sending (`_, true`).
    pub shutdown: fn(&mut T, u32, bool, bool) -> Answer,
    /// Releases the object.
    pub close: fn(&mut T, u32),
}

impl<T> Operations<T> {
    /// The operations of an object that is neither read, written nor shut down.
    pub const fn without_data(
        kind: Kind,
        ready: fn(&mut T, u32, Direction) -> Result<bool, Error>,
        close: fn(&mut T, u32),
    ) -> Self {
        Operations {
            kind,
            read: cannot_read,
            write: cannot_write,
            ready,
            shutdown: cannot_shut_down,
            close,
        }
    }
}

/// [`Operations::read`] and its like for objects that don't support it.
pub fn cannot_read<T>(_: &mut T, _: u32, _: &mut [u8]) -> Answer {
    Err(Error::WrongKind.into())
}

/// See [`cannot_read`].
pub fn cannot_write<T>(_: &mut T, _: u32, _: &[u8]) -> Answer {
    Err(Error::WrongKind.into())
}

/// See [`cannot_read`].
pub fn cannot_park<T>(_: &mut T, _: u32, _: Direction) -> Result<bool, Error> {
    Err(Error::WrongKind)
}

/// See [`cannot_read`].
pub fn cannot_shut_down<T>(_: &mut T, _: u32, _: bool, _: bool) -> Answer {
    Err(Error::WrongKind.into())
}

/// The tokens parked on one direction of a descriptor. Nearly always at most one, which needs no
/// allocation.
#[derive(Default)]
pub struct Waiters {
    /// 0 = none.
    first: u64,
    more: Vec<u64>,
}

impl Waiters {
    /// Adds `token`.
    fn push(&mut self, token: u64) -> Result<(), Error> {
        if self.first == 0 {
            self.first = token;
            return Ok(());
        }
        self.more.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.more.push(token);
        Ok(())
    }

    /// Removes `token`.
    fn remove(&mut self, token: u64) {
        if self.first != token {
            self.more.retain(|&other| other != token);
        } else if self.more.is_empty() {
            self.first = 0;
        } else {
            self.first = self.more.remove(0);
        }
    }

    /// All, the longest parked first.
    fn tokens(&self) -> impl Iterator<Item = u64> {
        let first = Some(self.first).filter(|&token| token != 0);
        first.into_iter().chain(self.more.iter().copied())
    }

    /// Takes one.
    fn pop(&mut self) -> Option<u64> {
        if self.first == 0 {
            return None;
        }
        let token = self.first;
        self.first = self.more.pop().unwrap_or(0);
        Some(token)
    }

    /// Whether no task waits.
    fn is_empty(&self) -> bool {
        self.first == 0
    }
}

/// An open descriptor.
struct Open<T: 'static> {
    operations: &'static Operations<T>,
    key: u32,
    readers: Waiters,
    writers: Waiters,
    /// Number of times that tokens were to be taken from it.
    changes: u64,
}

impl<T: 'static> Open<T> {
    fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

/// A slot of the table.
struct Slot<T: 'static> {
    generation: u64,
    open: Option<Open<T>>,
}

/// The table.
pub struct Table<T: 'static> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// Tokens that are parked at [`ANY`].
    watchers: Waiters,
}

impl<T: 'static> Table<T> {
    /// An empty table.
    pub(crate) const fn new() -> Table<T> {
        Table {
            slots: Vec::new(),
            free: Vec::new(),
            watchers: Waiters {
                first: 0,
                more: Vec::new(),
            },
        }
    }

    /// Number of open descriptors.
    pub fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds a descriptor for object `key` of the owner behind `operations`.
    pub fn insert(&mut self, operations: &'static Operations<T>, key: u32) -> Result<Fd, Error> {
        let open = Some(Open {
            operations,
            key,
            readers: Waiters::default(),
            writers: Waiters::default(),
            changes: 0,
        });
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.open = open;
            return Ok(Fd {
                index,
                generation: slot.generation,
            });
        }
        let index = self.slots.len();
        if index >= MAX_OPEN {
            return Err(Error::TooManyOpen);
        }
        self.slots.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        // Room for every slot to become free, so that closing never allocates.
        self.free
            .try_reserve(index + 1)
            .map_err(|_| Error::OutOfMemory)?;
        self.slots.push(Slot {
            generation: 1,
            open,
        });
        Ok(Fd {
            index: index as u32,
            generation: 1,
        })
    }

    /// The owner's functions and the object's key.
    pub fn get(&self, fd: Fd) -> Result<(&'static Operations<T>, u32), Error> {
        let slot = self.slots.get(fd.index as usize).ok_or(Error::Closed)?;
        match &slot.open {
            Some(open) if slot.generation == fd.generation => Ok((open.operations, open.key)),
            _ => Err(Error::Closed),
        }
    }

    /// The kind of the object at an index in use.
    pub fn kind(&self, index: u32) -> Option<Kind> {
        let open = self.slots.get(index as usize)?.open.as_ref()?;
        Some(open.operations.kind)
    }

    /// The key, if `fd` belongs to the owner behind `operations`.
    pub fn key_of(&self, fd: Fd, operations: &'static Operations<T>) -> Result<u32, Error> {
        let (actual, key) = self.get(fd)?;
        if actual.kind == operations.kind {
            Ok(key)
        } else {
            Err(Error::WrongKind)
        }
    }

    /// Removes the descriptor; passes the tokens parked on it to `each`.
    pub fn remove(
        &mut self,
        fd: Fd,
        mut each: impl FnMut(u64),
    ) -> Option<(&'static Operations<T>, u32)> {
        let slot = self.slots.get_mut(fd.index as usize)?;
        if slot.generation != fd.generation {
            return None;
        }
        let mut open = slot.open.take()?;
        slot.generation += 1;
        // A slot whose generations are exhausted stays empty for good.
        if slot.generation < MAX_GENERATION {
            self.free.push(fd.index);
        }
        while let Some(token) = open.readers.pop().or_else(|| open.writers.pop()) {
            each(token);
        }
        Some((open.operations, open.key))
    }

    /// The waiters of an open slot, or of [`ANY`].
    fn waiters(&mut self, index: u32, direction: Direction) -> Option<&mut Waiters> {
        if index == ANY {
            return Some(&mut self.watchers);
        }
        let open = self.slots.get_mut(index as usize)?.open.as_mut()?;
        Some(open.waiters(direction))
    }

    /// Parks `token`.
    pub fn park(&mut self, index: u32, direction: Direction, token: u64) -> Result<(), Error> {
        self.waiters(index, direction)
            .ok_or(Error::Closed)?
            .push(token)
    }

    /// Removes a parked token.
    pub fn unpark(&mut self, index: u32, direction: Direction, token: u64) {
        if let Some(waiters) = self.waiters(index, direction) {
            waiters.remove(token);
        }
    }

    /// Takes one token that is parked there, because the descriptor's readiness changes.
    pub fn pop(&mut self, index: u32, direction: Direction) -> Option<u64> {
        if index == ANY {
            return self.watchers.pop();
        }
        let open = self.slots.get_mut(index as usize)?.open.as_mut()?;
        open.changes += 1;
        open.waiters(direction).pop()
    }

    /// Takes one of the tokens that are parked there, the longest parked of those that `prefer`
    /// rates highest; `None` if it rates none of them.
    pub(crate) fn take(
        &mut self,
        index: u32,
        direction: Direction,
        prefer: impl Fn(u64) -> Option<u8>,
    ) -> Option<u64> {
        let open = self.slots.get_mut(index as usize)?.open.as_mut()?;
        let waiters = open.waiters(direction);
        let rated = waiters
            .tokens()
            .filter_map(|token| Some((prefer(token)?, token)));
        // The first of equal ones.
        let (_, token) = rated.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
        waiters.remove(token);
        open.changes += 1;
        Some(token)
    }

    /// A number that grows with each change of a descriptor's readiness; 0 for a closed one.
    pub fn changes(&self, fd: Fd) -> u64 {
        let slot = self.slots.get(fd.index as usize);
        let open = slot.filter(|slot| slot.generation == fd.generation);
        open.and_then(|slot| slot.open.as_ref())
            .map_or(0, |open| open.changes)
    }

    /// Whether a task is parked there.
    pub fn has_waiters(&self, index: u32, direction: Direction) -> bool {
        let open = self
            .slots
            .get(index as usize)
            .and_then(|slot| slot.open.as_ref());
        open.is_some_and(|open| match direction {
            Direction::Read => !open.readers.is_empty(),
            Direction::Write => !open.writers.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Direction, Fd, Kind, MAX_GENERATION, MAX_OPEN, Operations, Table, cannot_park, cannot_read,
    };
    use super::{cannot_shut_down, cannot_write};
    use crate::runtime::tests::Runtime;
    use platform::error::Error;
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{collection::vec, prop_assert, prop_assert_eq, prop_oneof};
    use std::collections::HashMap;
    use std::vec::Vec;

    static NOTHING: Operations<Runtime> =
        Operations::without_data(Kind::Pipe, cannot_park, |_, _| ());

    #[derive(Clone, Debug)]
    enum Step {
        Open,
        Close(usize),
        Park(usize, bool),
        Unpark(usize),
        Forge(isize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(()).prop_map(|()| Step::Open),
            any::<usize>().prop_map(Step::Close),
            (any::<usize>(), any::<bool>()).prop_map(|(i, d)| Step::Park(i, d)),
            any::<usize>().prop_map(Step::Unpark),
            any::<isize>().prop_map(Step::Forge),
        ]
    }
    use proptest::strategy::Just;

    proptest! {
        /// Against a model: an open descriptor yields its own key, a closed one never works again,
        /// closing yields exactly the tokens parked on it, and no forged number reaches an object.
        #[test]
        fn behaves_like_a_map(steps in vec(step(), 1..200)) {
            let mut table = Table::new();
            let mut ever: Vec<Fd> = Vec::new();
            let mut open: HashMap<isize, (u32, Vec<(u64, Direction)>)> = HashMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Open => {
                        next += 1;
                        let fd = table.insert(&NOTHING, next).expect("room");
                        prop_assert!(!ever.contains(&fd), "a stale descriptor");
                        prop_assert!(open.insert(fd.encode(), (next, Vec::new())).is_none());
                        ever.push(fd);
                    }
                    Step::Close(i) if !ever.is_empty() => {
                        let fd = ever[i % ever.len()];
                        let mut woken = Vec::new();
                        let removed = table.remove(fd, |token| woken.push(token));
                        let expected = open.remove(&fd.encode());
                        let key = expected.as_ref().map(|e| e.0);
                        prop_assert_eq!(removed.map(|(_, key)| key), key);
                        woken.sort_unstable();
                        let mut tokens: Vec<u64> =
                            expected.map(|e| e.1).unwrap_or_default().iter().map(|p| p.0).collect();
                        tokens.sort_unstable();
                        prop_assert_eq!(woken, tokens);
                    }
                    Step::Park(i, read) if !ever.is_empty() => {
                        let fd = ever[i % ever.len()];
                        let direction = if read { Direction::Read } else { Direction::Write };
                        next += 1;
                        if let Some((_, tokens)) = open.get_mut(&fd.encode()) {
                            table.park(fd.index, direction, u64::from(next)).expect("open");
                            tokens.push((u64::from(next), direction));
                        }
                    }
                    Step::Unpark(i) if !ever.is_empty() => {
                        let fd = ever[i % ever.len()];
                        if let Some((_, tokens)) = open.get_mut(&fd.encode())
                            && !tokens.is_empty()
                        {
                            let (token, direction) = tokens.remove(i % tokens.len());
                            table.unpark(fd.index, direction, token);
                        }
                    }
                    Step::Forge(fd) => {
                        if let Ok(decoded) = Fd::decode(fd)
                            && !open.contains_key(&fd)
                        {
                            prop_assert_eq!(table.get(decoded).err(), Some(Error::Closed));
                        }
                    }
                    _ => (),
                }
                prop_assert_eq!(table.count(), open.len());
                for fd in &ever {
                    let expected = open.get(&fd.encode()).map(|entry| entry.0);
                    prop_assert_eq!(table.get(*fd).ok().map(|(_, key)| key), expected);
                }
            }
        }
    }

    #[test]
    fn a_worn_out_place_is_not_used_again() {
        let mut table = Table::new();
        let first = table.insert(&NOTHING, 1).expect("room");
        table.remove(first, |_| ());
        table.slots[0].generation = MAX_GENERATION - 1;
        let last = table.insert(&NOTHING, 2).expect("room");
        assert_eq!((last.index, last.encode() > 0), (0, true));
        table.remove(last, |_| ());
        assert_eq!(table.insert(&NOTHING, 3).map(|fd| fd.index), Ok(1));
    }

    #[test]
    fn there_are_so_many_places() {
        let mut table = Table::new();
        for n in 0..MAX_OPEN {
            assert!(table.insert(&NOTHING, n as u32).is_ok());
        }
        assert_eq!(table.insert(&NOTHING, 0), Err(Error::TooManyOpen));
    }

    #[test]
    fn who_waits_is_known_for_each_direction() {
        let mut table = Table::new();
        let fd = table.insert(&NOTHING, 7).expect("room");
        let waiting = |table: &Table<Runtime>| {
            [Direction::Read, Direction::Write].map(|way| table.has_waiters(fd.index, way))
        };
        assert_eq!(waiting(&table), [false, false]);
        table.park(fd.index, Direction::Write, 5).expect("open");
        assert_eq!(waiting(&table), [false, true]);
        table.park(fd.index, Direction::Read, 6).expect("open");
        assert_eq!(waiting(&table), [true, true]);
        assert_eq!(table.pop(fd.index, Direction::Write), Some(5));
        assert_eq!(waiting(&table), [true, false]);
        table.unpark(fd.index, Direction::Read, 6);
        assert_eq!(waiting(&table), [false, false]);
        table.park(fd.index, Direction::Read, 8).expect("open");
        table.remove(fd, |_| ());
        assert_eq!(waiting(&table), [false, false]);
        assert!(!table.has_waiters(99, Direction::Read));
        assert_eq!(table.park(fd.index, Direction::Read, 9), Err(Error::Closed));
    }

    #[test]
    fn what_an_object_cannot_do_is_the_wrong_kind() {
        let mut rt = Runtime::new();
        let wrong = Err(Error::WrongKind.into());
        assert_eq!(cannot_read(&mut rt, 0, &mut []), wrong);
        assert_eq!(cannot_write(&mut rt, 0, &[]), wrong);
        assert_eq!(cannot_shut_down(&mut rt, 0, true, true), wrong);
        let parked = cannot_park(&mut rt, 0, Direction::Read);
        assert_eq!(parked, Err(Error::WrongKind));
    }

    #[test]
    fn owners_know_their_own() {
        static OTHER: Operations<Runtime> = Operations {
            kind: Kind::Tcp,
            ..NOTHING
        };
        let mut table = Table::new();
        let fd = table.insert(&NOTHING, 7).expect("room");
        assert_eq!(table.key_of(fd, &NOTHING), Ok(7));
        assert_eq!(table.key_of(fd, &OTHER), Err(Error::WrongKind));
    }

    #[test]
    fn encodes_as_a_positive_number() {
        let mut table = Table::new();
        let fd = table.insert(&NOTHING, 7).expect("room");
        assert_eq!(Fd::decode(fd.encode()), Ok(fd));
        assert!(fd.encode() > 0);
        assert_eq!(Fd::decode(-1), Err(Error::Closed));
    }
}
