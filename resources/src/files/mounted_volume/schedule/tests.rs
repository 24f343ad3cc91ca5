//! A schedule with a model of its fiber and its device: in any order of events, every operation is
//! answered once, and the rules in the module's documentation hold.

use super::timeout::GRACE_NS;
use super::{Action, Schedule};
use crate::files::mounted_volume::fiber::{Access, Suspension};
use crate::files::mounted_volume::job::request::{Request, Value};
use crate::files::mounted_volume::job::{Job, Output, Waiter};
use ::fs::barrier::Next;
use ::fs::{BlockError, FileId, OpenFlags, memory};
use core::cell::Cell;
use core::ptr::NonNull;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

mod examples;
mod freezes;

const IO: BlockError = BlockError::Io;
const SECTOR: usize = 512;
/// Timeout of the model's device.
const TIMEOUT_NS: u64 = 1_000_000_000;
static BYTES: [u8; 8192] = [5; 8192];

/// Numbers of two open files.
fn files() -> [FileId; 2] {
    let mut volume = memory::new(1 << 20, None);
    ["a", "b"].map(|name| {
        volume
            .open(name, OpenFlags::WRITE | OpenFlags::CREATE)
            .expect("opened")
    })
}

/// A request in the test.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Size(usize),
    Close(usize),
    SyncFile(usize),
    Sync,
    Mount,
    Unmount,
}

impl Asked {
    fn request(self, files: [FileId; 2]) -> Request {
        match self {
            Asked::Size(file) => Request::Size(files[file]),
            Asked::Close(file) => Request::Close(files[file]),
            Asked::SyncFile(file) => Request::SyncFile(files[file]),
            Asked::Sync => Request::Sync,
            Asked::Mount => Request::Mount,
            Asked::Unmount => Request::Unmount,
        }
    }

    fn is_durable(self) -> bool {
        matches!(self, Asked::Sync | Asked::SyncFile(_) | Asked::Unmount)
    }
}

/// An access of a fiber before its job completes.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Read(u64),
    Write(u64, bool),
    Batch(usize),
    Flush(bool),
    Claim,
    Events,
    Yield,
    Answer,
}

/// An event in the model.
#[derive(Clone, Debug)]
enum Event {
    Push(Asked, bool),
    /// A time slice that expires after this number of clock reads.
    Run(usize),
    /// The device completes the request with this index, with success or not.
    Complete(usize, bool),
    AtOnce(bool),
    /// The device completes the current request of a flush.
    Flushed(bool),
    Cancel(usize),
    /// Time passes until the device is overdue, and more.
    Late(u64),
    /// An event on the platform; suspended answers complete.
    Platform(bool),
    Exit,
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        6 => (0..2usize).prop_map(Asked::Size),
        2 => (0..2usize).prop_map(Asked::Close),
        3 => (0..2usize).prop_map(Asked::SyncFile),
        2 => Just(Asked::Sync),
        1 => Just(Asked::Mount),
        1 => Just(Asked::Unmount),
    ]
}

fn asks() -> impl Strategy<Value = Asks> {
    prop_oneof![
        4 => (0..8u64).prop_map(Asks::Read),
        4 => ((0..8u64), any::<bool>()).prop_map(|(sector, large)| Asks::Write(sector, large)),
        2 => (0..3usize).prop_map(Asks::Batch),
        4 => any::<bool>().prop_map(Asks::Flush),
        1 => Just(Asks::Claim),
        1 => Just(Asks::Events),
        1 => Just(Asks::Yield),
        1 => Just(Asks::Answer),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let mostly = || prop_oneof![5 => Just(true), 1 => Just(false)];
    prop_oneof![
        8 => (asked(), mostly()).prop_map(|(asked, waits)| Event::Push(asked, waits)),
        10 => (0..40usize).prop_map(Event::Run),
        8 => ((0..4usize), mostly()).prop_map(|(n, ok)| Event::Complete(n, ok)),
        2 => any::<bool>().prop_map(Event::AtOnce),
        4 => mostly().prop_map(Event::Flushed),
        2 => (0..8usize).prop_map(Event::Cancel),
        2 => (0..3 * GRACE_NS).prop_map(Event::Late),
        2 => any::<bool>().prop_map(Event::Platform),
        1 => Just(Event::Exit),
    ]
}

/// The write that the device has, or that is held back for it.
type Held = Option<(u64, usize)>;

/// Requests and flushes that the device has.
#[derive(Default)]
struct Device {
    /// Outstanding requests of the fiber, and their deadline.
    requests: usize,
    due: u64,
    /// A flush, whether it is ordered, and its deadline.
    flush: Option<bool>,
    flush_due: u64,
    /// Whether a held write is outstanding.
    write: bool,
    /// Whether it completes requests at submission.
    at_once: bool,
}

impl Device {
    fn flushes(&self) -> bool {
        self.flush.is_some() || self.write
    }

    /// Returns the deadline of the device.
    fn due(&self) -> Option<u64> {
        let request = (self.requests > 0).then_some(self.due);
        let flush = self.flushes().then_some(self.flush_due);
        request.into_iter().chain(flush).min()
    }
}

/// The environment of a schedule.
struct World {
    schedule: Schedule,
    /// Whether the volume is on a disk, and doesn't wait for the platform.
    on_disk: bool,
    files: [FileId; 2],
    /// Requests that haven't started, in order.
    queued: Vec<(u64, Asked)>,
    /// Pending operations: their tokens and requests.
    waiting: BTreeMap<u64, Asked>,
    next: u64,
    /// Remaining accesses of the active job's fiber.
    script: Option<VecDeque<Asks>>,
    /// Scripts of the jobs that will start.
    scripts: VecDeque<Vec<Asks>>,
    device: Device,
    /// The held write in the model.
    held: Held,
    /// The fiber's last access, until the schedule has decided about it.
    access: Option<Asks>,
    /// A held write failed, and whether after its flush: then it is repeated.
    lost: Held,
    refused: bool,
    /// A flush failed, and no operation has reported it.
    failed_flush: bool,
    ready: Rc<Cell<bool>>,
    now: u64,
    /// The deadline for which the grace period was granted.
    granted: Option<u64>,
    /// An unmount has started and isn't answered.
    last: bool,
    exiting: bool,
    /// The volume is unmounted.
    gone: bool,
}

impl World {
    fn new(on_disk: bool, scripts: Vec<Vec<Asks>>) -> World {
        World {
            schedule: Schedule::new(),
            on_disk,
            files: files(),
            queued: Vec::new(),
            waiting: BTreeMap::new(),
            next: 1,
            script: None,
            scripts: scripts.into(),
            device: Device::default(),
            held: None,
            access: None,
            lost: None,
            refused: false,
            failed_flush: false,
            ready: Rc::default(),
            now: 0,
            granted: None,
            last: false,
            exiting: false,
            gone: false,
        }
    }

    fn is_timed_out(&self) -> bool {
        self.schedule.timed_out().is_some()
    }

    fn push(&mut self, asked: Asked, waits: bool) {
        let token = self.next;
        self.next += 1;
        let waiter = match asked {
            _ if !waits => Waiter::None,
            Asked::Mount => Waiter::Mount(token),
            Asked::Unmount => Waiter::Unmount(token),
            Asked::Sync => Waiter::Sync(token),
            _ => Waiter::Operation(token, Output::Number),
        };
        let job = Job::new(waiter, asked.request(self.files));
        self.schedule.push(job).expect("room");
        self.queued.push((token, asked));
        if waits {
            self.waiting.insert(token, asked);
        }
    }

    /// Records the answer of an operation: exactly once.
    fn answered(&mut self, waiter: Waiter) -> Option<Asked> {
        let token = waiter.token();
        if token == 0 {
            return None;
        }
        let asked = self.waiting.remove(&token);
        assert!(asked.is_some(), "{token} is answered twice");
        asked
    }

    /// Returns the test's request of the job that has started.
    fn begun(&mut self, request: &Request) -> (u64, Asked) {
        let is_it = |asked: Asked| match (request, asked) {
            (Request::Size(file), Asked::Size(n)) => *file == self.files[n],
            (Request::Close(file), Asked::Close(n)) => *file == self.files[n],
            (Request::SyncFile(file), Asked::SyncFile(n)) => *file == self.files[n],
            (Request::Sync, Asked::Sync | Asked::SyncFile(_))
            | (Request::Mount, Asked::Mount)
            | (Request::Unmount, Asked::Unmount) => true,
            _ => false,
        };
        let place = self.queued.iter().position(|(_, asked)| is_it(*asked));
        let place = place.expect("it was asked for");
        // Only jobs that wait for the flush in progress may be overtaken.
        let began = self.queued[place].1;
        let waits_for = |place: usize| {
            let (_, asked) = self.queued[place];
            let before = &self.queued[..place];
            asked.is_durable()
                || before.iter().any(|(_, other)| match (other, asked) {
                    (Asked::SyncFile(synced), Asked::Close(file)) => *synced == file,
                    _ => false,
                })
        };
        for earlier in 0..place {
            assert!(
                self.device.flushes(),
                "{began:?} overtakes {:?}",
                self.queued[earlier]
            );
            assert!(waits_for(earlier), "{began:?} overtakes");
        }
        assert!(place == 0 || !waits_for(place), "{began:?} overtakes");
        let begun = self.queued.remove(place);
        if self.on_disk && matches!(request, Request::Sync) {
            // Syncs that follow in the queue are merged.
            while let Some((_, Asked::Sync | Asked::SyncFile(_))) = self.queued.get(place) {
                self.queued.remove(place);
            }
        }
        begun
    }

    /// Runs the fiber to its next suspension.
    fn fiber(&mut self) -> Suspension {
        let script = self.script.as_mut().expect("a job is active");
        let asks = script.pop_front();
        self.access = asks;
        let data = NonNull::from(&BYTES).cast();
        let access = match asks {
            None => {
                self.script = None;
                return Suspension::Done(Ok(Value::Number(0)));
            }
            Some(Asks::Claim) => return Suspension::Claim(1, 2),
            Some(Asks::Events) => return Suspension::Events,
            Some(Asks::Yield) => return Suspension::Yield,
            Some(Asks::Answer) => {
                let ready = Rc::clone(&self.ready);
                return Suspension::Answer(Box::new(move || ready.get().then_some(Ok(()))));
            }
            Some(Asks::Read(sector)) => Access::Read {
                sector,
                to: data,
                len: SECTOR,
            },
            Some(Asks::Write(sector, large)) => Access::Write {
                sector,
                from: data,
                len: if large { BYTES.len() } else { SECTOR },
            },
            Some(Asks::Batch(n)) => {
                static BATCH: [(u64, &[u8]); 2] = [(2, BYTES.split_at(SECTOR).0), (6, &BYTES)];
                Access::Batch(NonNull::from(&BATCH[..n.min(2)]))
            }
            Some(Asks::Flush(ordered)) => Access::Flush { ordered },
        };
        Suspension::Access(access)
    }

    /// Checks a resume of the fiber: its access has completed, is held, or has failed.
    fn resumed(&mut self, reply: Result<(), BlockError>) {
        assert_eq!(self.device.requests, 0, "the device has its memory");
        let (changes, held) = match self.access {
            Some(Asks::Write(sector, _)) => (true, Some((sector, SECTOR))),
            Some(Asks::Batch(_)) => (true, Some((2, SECTOR))),
            Some(Asks::Flush(_)) => (true, None),
            _ => (false, None),
        };
        if changes && self.access.is_some() {
            match reply {
                // The barrier has decided this, not the device.
                Ok(()) => self.held = held.or(self.held),
                Err(_) => self.failed_flush = false,
            }
        }
        self.access = None;
    }

    /// Performs the actions of the schedule for a time slice.
    fn run(&mut self, polls: usize) {
        let left = Cell::new(polls);
        let is_over = || left.replace(left.get().saturating_sub(1)) == 0;
        while !self.gone {
            match self.schedule.next(is_over, SECTOR) {
                Action::Wait => break,
                Action::Open { unmounts } => {
                    assert!(!self.is_timed_out(), "begins on a volume that is away");
                    assert!(self.script.is_none(), "two jobs at once");
                    assert!(!self.last, "begins after an unmount");
                    self.last = unmounts;
                    assert!(!(unmounts && self.exiting));
                    self.schedule.opened(self.on_disk);
                }
                Action::Start(request) => {
                    assert!(!self.is_timed_out() && self.script.is_none());
                    let (_, asked) = self.begun(&request);
                    self.last = matches!(asked, Asked::Unmount);
                    assert!(
                        !(asked.is_durable() && self.failed_flush),
                        "the device doesn't flush again"
                    );
                    let script = self.scripts.pop_front().unwrap_or_default();
                    let is_disk = |asks: &Asks| match asks {
                        Asks::Yield => self.on_disk,
                        Asks::Events | Asks::Answer => false,
                        _ => true,
                    };
                    let script = script.into_iter();
                    let script = script.filter(|asks| is_disk(asks) == self.on_disk);
                    self.script = Some(script.collect());
                    let suspension = self.fiber();
                    self.schedule.suspended(Some(suspension));
                }
                Action::Resume(reply) => {
                    self.resumed(reply);
                    let suspension = self.fiber();
                    self.schedule.suspended(Some(suspension));
                }
                Action::Submit(access) => self.submit(access),
                Action::Flush { ordered } => self.flush(ordered),
                Action::Rewrite => {
                    assert!(self.refused && self.lost.is_some() && !self.device.flushes());
                    let due = self.now + TIMEOUT_NS;
                    assert!(self.schedule.repeat(due));
                    self.held = self.lost.take();
                    (self.device.write, self.device.flush_due) = (true, due);
                    let written = self.schedule.held_write();
                    assert_eq!(written.map(|(at, data)| (at, data.len())), self.held);
                }
                Action::Claim(1, 2) => self.schedule.claimed(Ok(())),
                Action::Claim(..) => panic!("not asked for"),
                Action::Answer(answered) => {
                    let asked = self.answered(answered.waiter);
                    let is_unmount = matches!(
                        answered.waiter,
                        Waiter::Unmount(_) | Waiter::AbandonedUnmount
                    );
                    let durable = asked.is_some_and(Asked::is_durable);
                    if durable && answered.outcome.is_ok() {
                        let device = &self.device;
                        assert!(!device.flushes(), "not durable yet");
                        assert!(self.lost.is_none() || is_unmount, "lost");
                        assert!(!self.failed_flush, "a flush failed");
                    }
                    if is_unmount {
                        self.last = false;
                        self.gone = answered.outcome.is_ok();
                    }
                    let unmounts = matches!(answered.waiter, Waiter::None) && self.last;
                    if unmounts && self.script.is_none() {
                        self.last = false;
                    }
                }
                Action::Recovered => assert!(!self.is_timed_out()),
                Action::Abandon(waiter) => {
                    assert!(self.is_timed_out());
                    let token = waiter.token();
                    assert_ne!(token, 0);
                    self.queued.retain(|(queued, _)| *queued != token);
                    self.answered(waiter);
                }
            }
        }
        if polls > 10_000 && !self.gone {
            assert!(!self.schedule.is_runnable());
        }
    }

    fn submit(&mut self, access: Access) {
        self.access = None;
        assert_eq!(self.device.requests, 0);
        let overlaps = |held: Held, first: u64, len: usize| {
            held.is_some_and(|(sector, held)| {
                first < sector + (held / SECTOR) as u64 && sector < first + (len / SECTOR) as u64
            })
        };
        let requests = match access {
            Access::Read { sector, len, .. } => {
                assert!(
                    !overlaps(self.held, sector, len),
                    "reads what isn't written"
                );
                assert!(!overlaps(self.lost, sector, len), "reads what was lost");
                1
            }
            Access::Batch(writes) => writes.len(),
            Access::Write { .. } => 1,
            Access::Flush { .. } => panic!("a flush is an action of its own"),
        };
        if !matches!(access, Access::Read { .. }) {
            assert_ne!(self.device.flush, Some(true), "a write overtakes a flush");
            assert!(!self.device.write && self.lost.is_none());
        }
        let due = self.now + TIMEOUT_NS;
        if self.device.at_once || requests == 0 {
            self.schedule.submitted(0, None, due);
        } else {
            (self.device.requests, self.device.due) = (requests, due);
            self.schedule.submitted(requests, None, due);
        }
    }

    fn flush(&mut self, ordered: bool) {
        self.access = None;
        assert!(!self.device.flushes() && self.lost.is_none());
        self.failed_flush = false;
        if self.device.at_once {
            self.schedule.flush_submitted(Some(Ok(())), ordered, 0);
        } else {
            let due = self.now + TIMEOUT_NS;
            (self.device.flush, self.device.flush_due) = (Some(ordered), due);
            self.schedule.flush_submitted(None, ordered, due);
        }
    }

    fn complete(&mut self, ok: bool) {
        if self.device.requests > 0 {
            self.device.requests -= 1;
            self.schedule.completed(if ok { Ok(()) } else { Err(IO) });
        }
    }

    fn flushed(&mut self, ok: bool) {
        if !self.device.flushes() {
            return;
        }
        let wrote = core::mem::take(&mut self.device.write);
        let due = self.now + TIMEOUT_NS;
        (self.device.flush, self.device.flush_due) = (None, due);
        let next = self
            .schedule
            .flush_completed(if ok { Ok(()) } else { Err(IO) }, due);
        if !ok {
            assert_eq!(next, Next::Done);
            self.lost = self.held.take();
            self.refused = wrote;
            assert_eq!(self.schedule.is_refused(), self.lost.is_some() && wrote);
            self.failed_flush = self.lost.is_none();
            assert_eq!(self.schedule.is_lost(), self.lost.is_some());
            return;
        }
        if wrote {
            self.held = None;
        }
        match next {
            Next::Done => assert_eq!(self.held, None, "a held write is forgotten"),
            Next::Flush => self.device.flush = Some(true),
            Next::Write => {
                let (sector, data) = self.schedule.held_write().expect("held");
                assert_eq!(self.held, Some((sector, data.len())));
                assert!(!wrote && data.iter().all(|byte| *byte == 5));
                self.device.write = true;
            }
        }
    }

    fn happens(&mut self, event: Event) {
        self.now += 1;
        match event {
            Event::Push(asked, waits) => {
                self.push(
                    asked,
                    waits || matches!(asked, Asked::Unmount | Asked::Mount),
                );
            }
            Event::Run(polls) => self.run(polls),
            Event::Complete(n, ok) => (0..=n).for_each(|_| self.complete(ok)),
            Event::AtOnce(at_once) => self.device.at_once = at_once,
            Event::Flushed(ok) => self.flushed(ok),
            Event::Cancel(n) => {
                let Some(token) = self.waiting.keys().nth(n).copied() else {
                    return;
                };
                let queued = self.queued.iter().position(|(queued, _)| *queued == token);
                let taken = self.schedule.cancel(token);
                if let Some(place) = queued.filter(|_| taken) {
                    self.queued.remove(place);
                    self.waiting.remove(&token);
                }
                assert!(!taken || queued.is_some(), "taken back after it began");
            }
            Event::Late(more) => {
                let expected = self.device.due().filter(|_| !self.is_timed_out());
                assert_eq!(self.schedule.due(), expected);
                let Some(due) = expected else { return };
                assert!(!self.schedule.is_overdue(due - 1));
                self.now = due + more;
                if self.schedule.is_overdue(self.now) {
                    self.schedule.time_out(String::from("late"));
                    // Waiters get their results at once, as in `engine::poll`.
                    self.run(0);
                    assert!(self.waiting.is_empty(), "{:?} wait on", self.waiting);
                } else {
                    assert!(
                        more > GRACE_NS,
                        "a device gets more time only from a late caller"
                    );
                    assert_ne!(self.granted, Some(due), "a device gets more time twice");
                    let again = self.now + GRACE_NS;
                    self.granted = Some(again);
                    self.device.due = self.device.due.max(again);
                    self.device.flush_due = self.device.flush_due.max(again);
                }
            }
            Event::Platform(ready) => {
                self.ready.set(ready);
                self.schedule.poll_events();
            }
            Event::Exit => {
                if !core::mem::replace(&mut self.exiting, true) {
                    self.queued.push((0, Asked::Unmount));
                }
                self.schedule.exit();
            }
        }
    }

    /// The device and the platform complete everything.
    fn drain(&mut self) {
        self.ready.set(true);
        for _ in 0..1000 {
            self.run(usize::MAX);
            if self.gone || self.schedule.is_idle() && !self.is_timed_out() {
                break;
            }
            self.complete(true);
            self.flushed(true);
            self.schedule.poll_events();
        }
        if self.gone {
            return;
        }
        assert!(!self.is_timed_out(), "it answers again");
        assert!(self.schedule.is_idle() && self.schedule.is_over());
        assert_eq!(self.schedule.due(), None);
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        assert!(self.queued.is_empty(), "{:?}", self.queued);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_operation_is_answered_once_and_in_order(
        events in proptest::collection::vec(event(), 0..80),
        scripts in proptest::collection::vec(proptest::collection::vec(asks(), 0..6), 0..30),
        on_disk in any::<bool>(),
    ) {
        let mut world = World::new(on_disk, scripts);
        world.schedule.merges_syncs = on_disk;
        for event in events {
            if world.gone {
                return Ok(());
            }
            world.happens(event);
        }
        world.drain();
    }
}
