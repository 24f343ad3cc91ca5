//! Raw disks that don't answer, change size, or have partitions.

use super::{clear, flush, gather, give_up, given_up, info, open, read, scatter, write};
use crate::Runtime;
use crate::current::{Current, Interest};
use crate::disks::{Capabilities, Clear, Geometry, Request, Submitted, install};
use crate::runtime::encode;
use crate::runtime::next_completion;
use crate::types::records::BlockInfo;
use crate::types::{Int, Piece};
use ::fs::BlockError;
use platform::Clock;
use platform::disk::BlockDevice;
use platform::error::{Answer, Error, Failure, Stop};
use reactor::table::Fd;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

/// Shared state through which the test controls the disk.
#[derive(Default)]
struct Orders {
    /// Whether it processes no requests.
    hold: Cell<bool>,
    /// Number of its requests.
    has: Cell<usize>,
    /// Capabilities: durable writes, discard, write zeros.
    capabilities: Cell<[bool; 3]>,
    read_only: Cell<bool>,
    /// Result with which it completes requests within the call.
    at_once: Cell<Option<Result<(), BlockError>>>,
    /// Whether the last scatter-gather write was to be durable.
    durable: Cell<Option<bool>>,
    /// The partition that its name stands for.
    partition: Cell<Option<&'static str>>,
    data: RefCell<Vec<u8>>,
}

/// A disk in memory that processes requests when it is polled.
struct Fake {
    orders: Rc<Orders>,
    queue: Vec<(Request, u64)>,
}

impl BlockDevice<Current> for Fake {
    fn geometry(&mut self) -> Result<Geometry, Failure> {
        Ok(Geometry {
            sector_size: 512,
            sectors: (self.orders.data.borrow().len() / 512) as u64,
            read_only: self.orders.read_only.get(),
            flushes: true,
            max_bytes: 1 << 20,
        })
    }

    fn capabilities(&self) -> Capabilities {
        let [durable, discard, write_zeroes] = self.orders.capabilities.get();
        Capabilities {
            durable,
            discard,
            write_zeroes,
        }
    }

    fn partition(&self) -> Option<&str> {
        self.orders.partition.get()
    }

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        if let Some(result) = self.orders.at_once.get() {
            return Submitted::Done(result);
        }
        if self.queue.len() == 2 {
            return Submitted::Full;
        }
        self.queue.push((request, tag));
        self.orders.has.set(self.queue.len());
        Submitted::Taken
    }

    fn arm(&mut self, _: &mut Interest) {}

    fn kick(&mut self) {}

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        if self.orders.hold.get() {
            return;
        }
        for (request, tag) in self.queue.drain(..) {
            let mut data = self.orders.data.borrow_mut();
            let result = match request {
                Request::Read { sector, to, len } => {
                    let from = data.get(sector as usize * 512..).and_then(|d| d.get(..len));
                    // SAFETY: the request owns its memory until it is reported.
                    let to = unsafe { core::slice::from_raw_parts_mut(to.as_ptr(), len) };
                    from.map(|from| to.copy_from_slice(from))
                }
                Request::Write {
                    sector, from, len, ..
                } => {
                    // SAFETY: as above.
                    let from = unsafe { core::slice::from_raw_parts(from.as_ptr(), len) };
                    let to = data.get_mut(sector as usize * 512..);
                    to.and_then(|to| to.get_mut(..len))
                        .map(|to| to.copy_from_slice(from))
                }
                Request::Scatter { sector, slices } => {
                    let mut from = data.get(sector as usize * 512..).unwrap_or_default();
                    // SAFETY: the request owns the list and its memory until it is reported.
                    unsafe { slices.as_ref() }.iter().try_for_each(|slice| {
                        let part = from.split_off(..slice.len)?;
                        // SAFETY: as above.
                        unsafe { core::slice::from_raw_parts_mut(slice.start.as_ptr(), slice.len) }
                            .copy_from_slice(part);
                        Some(())
                    })
                }
                Request::Gather {
                    sector,
                    slices,
                    durable,
                } => {
                    self.orders.durable.set(Some(durable));
                    let mut to = data.get_mut(sector as usize * 512..).unwrap_or_default();
                    // SAFETY: as above.
                    unsafe { slices.as_ref() }.iter().try_for_each(|slice| {
                        // SAFETY: as above.
                        let from =
                            unsafe { core::slice::from_raw_parts(slice.start.as_ptr(), slice.len) };
                        to.split_off_mut(..slice.len)?.copy_from_slice(from);
                        Some(())
                    })
                }
                Request::Clear { sector, count, how } => {
                    assert_eq!(how, Clear::Zeroes { unmap: true });
                    let range = sector as usize * 512..(sector + count) as usize * 512;
                    data.get_mut(range).map(|to| to.fill(0))
                }
                Request::Flush => Some(()),
            };
            report(tag, result.ok_or(BlockError::Io));
        }
        self.orders.has.set(0);
    }
}

fn runtime(data: Vec<u8>) -> (Runtime, Rc<Orders>) {
    let orders = Rc::new(Orders {
        data: RefCell::new(data),
        capabilities: Cell::new([false, false, true]),
        ..Orders::default()
    });
    let device = Box::new(Fake {
        orders: Rc::clone(&orders),
        queue: Vec::new(),
    });
    let mut rt = Runtime::new();
    install(&mut rt, vec![("data".to_string(), device)]).expect("room");
    (rt, orders)
}

/// Polls everything at time `now`. Returns the first completion, if any.
fn step(rt: &mut Runtime, now: u64) -> Option<(u64, Int)> {
    for driver in rt.drivers().iter().flatten() {
        (driver.poll)(rt, now);
    }
    next_completion(rt, 0)
}

/// Returns the result of operation `token`, whose call returned `answer`.
fn result(rt: &mut Runtime, token: u64, answer: Answer) -> Int {
    if answer != Err(Stop::Pending) {
        return encode(answer);
    }
    for _ in 0..1000 {
        if let Some((completed, result)) = step(rt, 0) {
            assert_eq!(completed, token);
            return result;
        }
    }
    panic!("operation {token} never completes");
}

fn opened(rt: &mut Runtime, name: &str) -> Result<Fd, Int> {
    let answer = open(rt, name, 1);
    let result = result(rt, 1, answer);
    if result < 0 {
        Err(result)
    } else {
        Ok(Fd::decode(result).expect("a descriptor"))
    }
}

const LATER: u64 = u64::MAX / 2;

#[test]
fn what_is_not_answered_ends_at_its_deadline() {
    let (mut rt, orders) = runtime(vec![7; 64 * 512]);
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    orders.hold.set(true);
    let mut memory = vec![0; 1024];
    let mut other = vec![1; 512];
    let piece = Piece::of(&mut memory);
    assert_eq!(read(rt, fd, 0, piece, 2), Err(Stop::Pending));
    assert_eq!(flush(rt, fd, 3), Err(Stop::Pending));
    // The device has no room for this one: it can be withdrawn.
    assert_eq!(
        write(rt, fd, 9, Piece::of(&mut other), 4),
        Err(Stop::Pending)
    );
    assert_eq!(rt.cancel(4), Ok(1));
    // The device has this one: its buffer stays in use.
    assert_eq!(rt.cancel(2), Err(Stop::Pending));
    let deadline = rt
        .drivers()
        .iter()
        .flatten()
        .filter_map(|d| (d.deadline)(rt))
        .min();
    let now = Current::monotonic_ns();
    let timeout = deadline.expect("something is waited for") - now;
    assert!(
        (25_000_000_000..=30_000_000_000).contains(&timeout),
        "{timeout}"
    );
    assert_eq!(step(rt, now), None);
    let timed_out = -(Error::TimedOut as Int);
    assert_eq!(step(rt, LATER), Some((2, timed_out)));
    assert_eq!(next_completion(rt, 0), Some((3, timed_out)));
    assert_eq!(given_up(rt), 2);
    let none = rt
        .drivers()
        .iter()
        .flatten()
        .filter_map(|d| (d.deadline)(rt))
        .min();
    assert_eq!(none, None);
    // Others can't open the disk while the device may write to memory.
    assert_eq!(rt.close(fd), Ok(0));
    assert_eq!(opened(rt, "data").err(), Some(-(Error::Busy as Int)));
    orders.hold.set(false);
    assert_eq!(step(rt, 0), None);
    assert_eq!(
        (given_up(rt), memory[1023], orders.data.borrow()[9 * 512]),
        (0, 7, 7)
    );
    let fd = opened(rt, "data").expect("free again");
    let answer = read(rt, fd, 1, Piece::of(&mut memory), 2);
    assert_eq!(result(rt, 2, answer), 1024);
    give_up(rt, LATER);
    assert_eq!(next_completion(rt, 0), None);
}

/// Deadline of the first request.
fn earliest(rt: &mut Runtime) -> Option<u64> {
    let drivers = rt.drivers();
    let deadlines = drivers.iter().flatten().filter_map(|d| (d.deadline)(rt));
    deadlines.min()
}

/// Each request has its own deadline; the next check is at the earliest one that remains.
#[test]
fn of_several_deadlines_the_earliest_counts() {
    let (mut rt, orders) = runtime(vec![7; 64 * 512]);
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    orders.hold.set(true);
    let timed_out = -(Error::TimedOut as Int);
    let mut memory = [[0; 512]; 4];
    let mut deadlines = Vec::new();
    for (token, memory) in (2..).zip(&mut memory) {
        assert_eq!(
            read(rt, fd, 0, Piece::of(memory), token),
            Err(Stop::Pending)
        );
        // The deadline of the first one is unchanged.
        let first = *deadlines
            .first()
            .unwrap_or(&earliest(rt).expect("waited for"));
        assert_eq!(earliest(rt), Some(first));
        let place = rt.resources.blocks.iter().next().expect("open").1;
        let last = place.outstanding.iter().map(|(_, one)| one.until).max();
        deadlines.push(last.expect("outstanding"));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(deadlines.is_sorted_by(|one, other| one < other));
    for (at, deadline) in deadlines.iter().enumerate() {
        assert_eq!(earliest(rt), Some(*deadline));
        assert_eq!(step(rt, deadline - 1), None);
        assert_eq!(step(rt, *deadline), Some((at as u64 + 2, timed_out)));
        assert_eq!(next_completion(rt, 0), None, "only what is due");
        assert_eq!(given_up(rt), at + 1);
    }
    assert_eq!(earliest(rt), None);
}

#[test]
fn what_a_disk_is_and_can_do_is_told() {
    let (mut rt, orders) = runtime(vec![7; 64 * 512]);
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    for bits in 0..8 {
        let capabilities = [1, 2, 4].map(|bit| bits & bit != 0);
        orders.capabilities.set(capabilities);
        orders.read_only.set(bits == 3);
        let most = (1 << 20) / 512;
        let expected = BlockInfo {
            sector_size: 512,
            sectors: 64,
            read_only: Int::from(bits == 3),
            request_sectors: most,
            capabilities: bits,
        };
        assert_eq!(info(rt, fd).expect("open"), expected);
    }
}

#[test]
fn an_opening_that_is_not_answered_ends_too() {
    let (mut rt, orders) = runtime(with_partitions());
    let rt = &mut rt;
    orders.hold.set(true);
    assert_eq!(open(rt, "data/1", 1), Err(Stop::Pending));
    assert_eq!(step(rt, LATER), Some((1, -(Error::TimedOut as Int))));
    assert_eq!(given_up(rt), 1);
    orders.hold.set(false);
    assert_eq!(step(rt, 0), None);
    assert_eq!(given_up(rt), 0);
    opened(rt, "data").expect("the disk is free");
}

#[test]
fn sizes_are_seen_again() {
    let (mut rt, orders) = runtime(vec![0; 64 * 512]);
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    let mut memory = vec![0; 512];
    let mut last = |rt: &mut Runtime, sector| {
        let answer = read(rt, fd, sector, Piece::of(&mut memory), 2);
        result(rt, 2, answer)
    };
    assert_eq!(last(rt, 63), 512);
    assert_eq!(last(rt, 64), -(Error::Io as Int));
    orders.data.borrow_mut().resize(128 * 512, 0);
    assert_eq!(last(rt, 127), 512);
    assert_eq!(info(rt, fd).expect("open").sectors, 128);
    orders.data.borrow_mut().truncate(32 * 512);
    // The device reports it, and all users see it.
    assert_eq!(last(rt, 40), -(Error::Io as Int));
    assert_eq!(info(rt, fd).expect("open").sectors, 32);
    assert_eq!(last(rt, 40), -(Error::Io as Int));
    assert_eq!(last(rt, 31), 512);
    assert_eq!(last(rt, u64::MAX), -(Error::Invalid as Int));
}

#[test]
fn only_what_is_offered_is_done() {
    let (mut rt, orders) = runtime(vec![9; 64 * 512]);
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    let discard = clear(rt, fd, 0, 4, 0, 2);
    assert_eq!(discard, Err(Stop::Error(Error::Unsupported)));
    let answer = clear(rt, fd, 2, 60, 2, 2);
    assert_eq!(result(rt, 2, answer), 60 * 512);
    assert!(
        orders.data.borrow()[2 * 512..62 * 512]
            .iter()
            .all(|byte| *byte == 0)
    );
    assert_eq!(orders.data.borrow()[62 * 512], 9);
    for (sector, count, how) in [(64, 1, 2), (u64::MAX, 2, 2), (1, u64::MAX, 2), (0, 1, 3)] {
        let answer = clear(rt, fd, sector, count, how, 2);
        assert!(
            matches!(answer, Err(Stop::Error(Error::Invalid | Error::Io))),
            "{answer:?}"
        );
    }
}

/// An MBR with partitions of 8 sectors at 8 and of 16 at 32, of which the third overlaps the
/// second.
fn with_partitions() -> Vec<u8> {
    let mut data = vec![0; 64 * 512];
    for (at, first, sectors) in [(446, 8u32, 8u32), (462, 32, 16), (478, 40, 4)] {
        data[at + 4] = 0x83;
        data[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        data[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    data[510..512].copy_from_slice(&[0x55, 0xaa]);
    data
}

#[test]
fn partitions_are_disks_of_their_own() {
    let (mut rt, orders) = runtime(with_partitions());
    let rt = &mut rt;
    let fd = opened(rt, "data/1").expect("there");
    assert_eq!(info(rt, fd).expect("open").sectors, 8);
    let mut memory = vec![5; 1024];
    let answer = write(rt, fd, 6, Piece::of(&mut memory), 2);
    assert_eq!(result(rt, 2, answer), 1024);
    assert_eq!(orders.data.borrow()[14 * 512..16 * 512], memory[..]);
    assert_eq!(orders.data.borrow()[16 * 512], 0);
    let answer = write(rt, fd, 7, Piece::of(&mut memory), 2);
    assert_eq!(result(rt, 2, answer), -(Error::Io as Int));
    // The whole disk, the same partition again, an overlapping one, and missing ones.
    for (name, error) in [
        ("data", Error::Busy),
        ("data/1", Error::Busy),
        ("data/2", Error::Corrupt),
        ("data/4", Error::NotFound),
        ("data/", Error::NotFound),
    ] {
        assert_eq!(opened(rt, name).err(), Some(-(error as Int)), "{name}");
    }
    assert_eq!(rt.close(fd), Ok(0));
    let whole = opened(rt, "data").expect("free");
    assert_eq!(opened(rt, "data/1").err(), Some(-(Error::Busy as Int)));
    assert_eq!(rt.close(whole), Ok(0));
    // A disk that shrinks cuts off the end of the partition.
    let fd = opened(rt, "data/1").expect("there");
    orders.data.borrow_mut().truncate(12 * 512);
    assert_eq!(info(rt, fd).expect("open").sectors, 4);
}

#[test]
fn a_partition_that_has_a_disk_s_name_has_none() {
    let (mut rt, orders) = runtime(with_partitions());
    let rt = &mut rt;
    orders.partition.set(Some("1"));
    let fd = opened(rt, "data").expect("there");
    assert_eq!(info(rt, fd).expect("open").sectors, 8);
    assert_eq!(rt.close(fd), Ok(0));
    for name in ["data/1", "data/2", "data/"] {
        let refused = opened(rt, name).err();
        assert_eq!(refused, Some(-(Error::Invalid as Int)), "{name}");
    }
}

/// Creates a disk whose sectors contain their numbers.
fn numbered(sectors: u8) -> Vec<u8> {
    (0..sectors).flat_map(|sector| [sector; 512]).collect()
}

/// Returns the first byte of each sector.
fn firsts(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().step_by(512).copied().collect()
}

#[test]
fn slices_are_filled_and_written_in_their_order() {
    let (mut rt, orders) = runtime(numbered(64));
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    let mut memory = [vec![99; 2048], vec![99; 512], vec![99; 1024]];
    // The last slice is empty.
    let ranges = [(512, 1024), (0, 512), (0, 0)];
    let pieces = memory.iter_mut().zip(ranges);
    let pieces = pieces.map(|(bytes, (off, len))| Piece::of(bytes).part(off, len));
    let pieces: Vec<Piece> = pieces.collect();
    let all = || pieces.iter().map(|piece| Ok(*piece));
    let answer = scatter(rt, fd, 5, all(), 2);
    assert_eq!(result(rt, 2, answer), 3 * 512);
    assert_eq!(firsts(&memory[0]), [99, 5, 6, 99]);
    assert_eq!(
        (firsts(&memory[1]), firsts(&memory[2])),
        (vec![7], vec![99; 2])
    );
    let answer = gather(rt, fd, 61, all(), false, 2);
    assert_eq!(result(rt, 2, answer), 3 * 512);
    assert_eq!(firsts(&orders.data.borrow()[60 * 512..]), [60, 5, 6, 7]);
    assert_eq!(orders.durable.get(), Some(false));
    let answer = gather(rt, fd, 62, all(), false, 2);
    assert_eq!(result(rt, 2, answer), -(Error::Io as Int), "past the end");
    // A durable write needs a device that supports it.
    let durable = |rt: &mut Runtime, fd| {
        let answer = gather(rt, fd, 0, all(), true, 2);
        result(rt, 2, answer)
    };
    assert_eq!(durable(rt, fd), -(Error::Unsupported as Int));
    orders.capabilities.set([true, false, false]);
    info(rt, fd).expect("open");
    assert_eq!(durable(rt, fd), 3 * 512);
    assert_eq!(orders.durable.get(), Some(true));
}

#[test]
fn slices_are_checked_before_anything_is_done() {
    const MAX_SLICES: usize = 1024;
    let (mut rt, orders) = runtime(numbered(64));
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    let refused = |error| Err(Stop::Error(error));
    let mut try_it = |lens: &[Result<usize, Error>]| {
        let memory = lens.iter().map(|len| len.map(|len| vec![0; len]));
        let mut memory: Vec<Result<Vec<u8>, Error>> = memory.collect();
        let pieces = memory.iter_mut().map(|bytes| match bytes {
            Ok(bytes) => Ok(Piece::of(bytes)),
            Err(error) => Err(*error),
        });
        let read = scatter(rt, fd, 0, pieces, 2);
        if read == Err(Stop::Pending) {
            result(rt, 2, read);
        }
        read
    };
    for (lens, expected) in [
        ([Ok(512), Ok(512), Ok(512)], Err(Stop::Pending)),
        ([Ok(512), Ok(513), Ok(511)], refused(Error::Invalid)),
        (
            [Ok(512), Err(Error::Invalid), Ok(512)],
            refused(Error::Invalid),
        ),
        ([Ok(0), Ok(0), Ok(0)], Ok(0)),
    ] {
        assert_eq!(try_it(&lens), expected, "{lens:?}");
    }
    assert_eq!(try_it(&[]), Ok(0));
    assert_eq!(try_it(&[Ok(0); MAX_SLICES]), Ok(0));
    assert_eq!(try_it(&[Ok(0); MAX_SLICES + 1]), refused(Error::TooLarge));
    // The limit applies to the total of all slices.
    let half = Ok(1 << 19);
    let pending = try_it(&[half, half]);
    assert_eq!(
        pending,
        refused(Error::Io),
        "as much as a request may have, past the end"
    );
    assert_eq!(try_it(&[half, half, Ok(512)]), refused(Error::TooLarge));
    assert_eq!(orders.has.get(), 0);
}

#[test]
fn a_request_has_so_many_bytes_at_most() {
    let (mut rt, _) = runtime(vec![3; (2 << 20) + 512]);
    let rt = &mut rt;
    let fd = opened(rt, "data").expect("there");
    let mut memory = vec![0; (1 << 20) + 512];
    for (len, expected) in [
        (0, 0),
        (1, -(Error::Invalid as Int)),
        (1 << 20, 1 << 20),
        ((1 << 20) + 512, -(Error::TooLarge as Int)),
    ] {
        let answer = read(rt, fd, 1, Piece::of(&mut memory[..len]), 2);
        assert_eq!(result(rt, 2, answer), expected, "read {len}");
        let answer = write(rt, fd, 1, Piece::of(&mut memory[..len]), 2);
        assert_eq!(result(rt, 2, answer), expected, "write {len}");
    }
}

/// A device that completes requests within the call: the call returns the result, without a wait.
#[test]
fn what_is_done_at_once_is_answered_at_once() {
    let (mut rt, orders) = runtime(numbered(64));
    let rt = &mut rt;
    orders.at_once.set(Some(Ok(())));
    let fd = opened(rt, "data").expect("there");
    let mut memory = vec![0; 1024];
    assert_eq!(read(rt, fd, 0, Piece::of(&mut memory), 2), Ok(1024));
    assert_eq!(flush(rt, fd, 2), Ok(0));
    for (failure, error) in [
        (BlockError::Io, Error::Io),
        (BlockError::ReadOnly, Error::ReadOnly),
        (BlockError::NoSpace, Error::NoSpace),
        (BlockError::OutOfRange, Error::Invalid),
        (BlockError::Unsupported, Error::Unsupported),
    ] {
        orders.at_once.set(Some(Err(failure)));
        let answer = write(rt, fd, 0, Piece::of(&mut memory), 2);
        assert_eq!(answer, Err(Stop::Error(error)));
        assert_eq!(flush(rt, fd, 2), Err(Stop::Error(error)));
        assert_eq!(earliest(rt), None);
    }
    assert_eq!(rt.close(fd), Ok(0));
    orders.at_once.set(None);
    opened(rt, "data").expect("nothing is outstanding");
}

/// Returns an MBR with these partitions: type, first sector and number of sectors of each.
fn mbr(data: &mut [u8], partitions: &[(u8, u32, u32)]) {
    for (at, (kind, first, sectors)) in (446..).step_by(16).zip(partitions) {
        data[at + 4] = *kind;
        data[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        data[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    data[510..512].copy_from_slice(&[0x55, 0xaa]);
}

/// Two adjacent partitions have two users, each with its own requests.
#[test]
fn neighbours_are_open_together() {
    let mut data = vec![0; 64 * 512];
    mbr(&mut data, &[(0x83, 8, 8), (0x83, 16, 8), (0x83, 24, 8)]);
    let (mut rt, orders) = runtime(data);
    let rt = &mut rt;
    let middle = opened(rt, "data/2").expect("there");
    let low = opened(rt, "data/1").expect("beside it");
    let high = opened(rt, "data/3").expect("on its other side");
    for name in ["data/1", "data/2", "data/3", "data"] {
        assert_eq!(
            opened(rt, name).err(),
            Some(-(Error::Busy as Int)),
            "{name}"
        );
    }
    let mut memory = [[1; 512], [2; 512], [3; 512], [4; 512]];
    orders.hold.set(true);
    for ((fd, token), memory) in [low, middle, high, low].iter().zip(2..).zip(&mut memory) {
        let begun = write(rt, *fd, 0, Piece::of(memory), token);
        assert_eq!(begun, Err(Stop::Pending));
    }
    // The device has two requests, and the other two are queued.
    assert_eq!(
        [4, 5, 3].map(|token| rt.cancel(token)),
        [Ok(1), Ok(1), Err(Stop::Pending)]
    );
    orders.hold.set(false);
    assert_eq!(step(rt, 0), Some((2, 512)));
    assert_eq!(next_completion(rt, 0), Some((3, 512)));
    assert_eq!(step(rt, 0), None);
    let data = orders.data.borrow();
    assert_eq!([8, 16, 24].map(|sector| data[sector * 512]), [1, 2, 0]);
    drop(data);
    for fd in [low, middle, high] {
        assert_eq!(rt.close(fd), Ok(0));
    }
    opened(rt, "data").expect("free");
}

/// The tables of logical partitions are read one after the other.
#[test]
fn a_logical_partition_is_found_through_its_chain() {
    let mut data = vec![0; 64 * 512];
    mbr(&mut data, &[(0x83, 1, 4), (0x05, 8, 56)]);
    mbr(&mut data[8 * 512..], &[(0x83, 1, 3), (0x05, 8, 8)]);
    mbr(&mut data[16 * 512..], &[(0x83, 2, 5), (0x05, 55, 1)]);
    // The last one has its table in the disk's last sector, which leaves no room for itself.
    mbr(&mut data[63 * 512..], &[]);
    let (mut rt, orders) = runtime(data);
    let rt = &mut rt;
    for (name, sectors) in [("data/1", 4), ("data/5", 3), ("data/6", 5)] {
        let fd = opened(rt, name).expect(name);
        assert_eq!(info(rt, fd).expect("open").sectors, sectors, "{name}");
        assert_eq!(rt.close(fd), Ok(0));
    }
    assert_eq!(opened(rt, "data/7").err(), Some(-(Error::NotFound as Int)));
    let fd = opened(rt, "data/6").expect("there");
    let mut memory = vec![6; 512];
    let answer = write(rt, fd, 4, Piece::of(&mut memory), 2);
    assert_eq!(result(rt, 2, answer), 512);
    assert_eq!(orders.data.borrow()[22 * 512], 6);
}
