//! The machine of the model: processors, what its kernel and OCaml's runtime do for threads, a
//! device, a timer.
//!
//! Each thread has a processor of its own, so that whatever may happen between two steps of one on
//! any number of processors does in some schedule. With one processor, interrupts are disabled from
//! the check of what a thread waits for until the processor halts, and no other thread runs in
//! between. With several, all of this happens there:
//!
//! - an interrupt is noted on another processor, and its wake-up, a step of its own, comes later:
//!   the thread is queued in the step that takes the note ([`Model::sleep_unless`]);
//! - a word is changed on another processor, and its futex woken;
//! - the wake-up finds the processor of the thread about to halt, or halted: then it needs a kick,
//!   which arrives later;
//! - a tick, and the timer's interrupt for the deadline of a thread, come while others run.
//!
//! Which thread a processor runs, if there are more of them, is `kernel`'s own model; what one sees
//! of another's memory, without a step in between, is for `tools/models`.

use core::cell::Cell as StdCell;
use core::sync::atomic::{AtomicU32, Ordering};
use platform::error::Failure;
use platform::{Clock, Direction, Signals, Stream, System, Wait, Woken};
use reactor::Resources;
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{lazy_static, thread};

/// Faults of a platform.
pub const NONE: u8 = 0;
/// A nudge is lost.
pub const NO_NUDGE: u8 = 1;
/// A wake-up is lost.
pub const NO_WAKE: u8 = 2;
/// OCaml isn't released before a sleep.
pub const KEEPS_OCAML: u8 = 3;
/// The note of an event is taken before the step that queues the thread.
pub const NOTED_OUTSIDE: u8 = 4;
/// A word is compared before that step.
pub const COMPARED_OUTSIDE: u8 = 5;
/// An event is noted after those that wait for one are woken.
pub const NOTED_LATE: u8 = 6;
/// One note serves the leader and calls that wait for a device.
pub const ONE_NOTE: u8 = 7;
/// A halted processor isn't kicked.
pub const KICK_LOST: u8 = 8;
/// A processor halts though its thread was woken since it was queued.
pub const HALTS_UNASKED: u8 = 9;
/// OCaml is reacquired before the runtime's lock is released.
pub const OCAML_INSIDE: u8 = 10;
/// No fault: sleeps end without signals.
pub const NO_SIGNALS: u8 = 11;

/// OCaml's domains. The runtime belongs to the first.
pub const DOMAINS: usize = 3;

/// Who takes notes of events.
const LEADER: usize = 0;
const CALL: usize = 1;

/// The state outside of the runtime.
#[derive(Default)]
pub struct World {
    /// The leader was nudged.
    nudged: bool,
    /// An event was noted, for each that takes notes.
    noted: [bool; 2],
    /// Threads that wait.
    asleep: Vec<Sleeper>,
    /// Those whose processor halts.
    halted: Vec<usize>,
    now: u64,
    /// The program has ended.
    pub over: bool,
    /// By domain: a thread has OCaml's lock.
    ocaml: [bool; DOMAINS],
    /// A domain collects garbage: no other one may run OCaml.
    collecting: bool,
    /// The device interrupts when it completes a request.
    armed: bool,
    /// A driver has queued what is to begin before the program resumes.
    pub queued: bool,
    /// Requests in the device.
    pub submitted: Vec<u64>,
    /// Completed requests.
    pub finished: Vec<u64>,
    /// The driver's write at the program's end.
    pub last: Last,
    /// What a call waits for, from a device of its own.
    pub asked: bool,
    pub answered: bool,
}

/// A thread that waits.
#[derive(Clone, Copy)]
struct Sleeper {
    thread: usize,
    what: For,
    until: Option<u64>,
}

/// The end of a wait, beside its deadline.
#[derive(Clone, Copy, PartialEq)]
enum For {
    Event,
    /// The futex at this address.
    Word(usize),
}

/// A write that only [`reactor::Driver::finish`] requests.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Last {
    #[default]
    Unasked,
    Submitted,
    Written,
}

lazy_static! {
    static ref WORLD: Mutex<World> = Mutex::new(World::default());
    /// The world, or a word, has changed.
    static ref CHANGE: Condvar = Condvar::new();
    static ref THREADS: Mutex<usize> = Mutex::new(0);
}

shuttle::thread_local! {
    static NUMBER: usize = {
        let mut threads = THREADS.lock().expect("no panic");
        *threads += 1;
        *threads
    };
    static DOMAIN: StdCell<usize> = const { StdCell::new(0) };
    /// The thread has released OCaml for a wait.
    static RELEASED: StdCell<bool> = const { StdCell::new(false) };
}

fn number() -> usize {
    NUMBER.with(|number| *number)
}

fn domain() -> usize {
    DOMAIN.with(StdCell::get)
}

/// The current thread is one of `domain`.
pub fn join_domain(domain: usize) {
    DOMAIN.with(|its| its.set(domain));
}

/// Changes the world, and wakes all that wait for a change.
pub fn change<T>(f: impl FnOnce(&mut World) -> T) -> T {
    let result = f(&mut WORLD.lock().expect("no panic"));
    CHANGE.notify_all();
    result
}

/// Waits until `f` of the world returns a value.
pub fn await_world<T>(mut f: impl FnMut(&mut World) -> Option<T>) -> T {
    let mut world = WORLD.lock().expect("no panic");
    loop {
        if let Some(found) = f(&mut world) {
            return found;
        }
        world = CHANGE.wait(world).expect("no panic");
    }
}

impl World {
    /// Takes OCaml's lock if that is possible.
    fn take_ocaml(&mut self) -> Option<()> {
        let free = !self.collecting && !self.ocaml[domain()];
        self.ocaml[domain()] |= free;
        free.then_some(())
    }
}

pub fn take_ocaml() {
    await_world(World::take_ocaml);
}

pub fn give_ocaml() {
    change(|world| world.ocaml[domain()] = false);
}

/// Lets others run for a while: most schedules would soon continue what needs few steps.
pub fn dawdle() {
    for _ in 0..thread_rng().gen_range(0..30) {
        thread::yield_now();
    }
}

/// Collects garbage, once the other domains have released OCaml. Those that want to run it wait
/// until the end.
pub fn collect() {
    give_ocaml();
    await_world(|world| {
        world.take_ocaml()?;
        world.collecting = true;
        Some(())
    });
    CHANGE.notify_all();
    await_world(|world| {
        let mut others = (0..DOMAINS).filter(|other| *other != domain());
        others.all(|other| !world.ocaml[other]).then_some(())
    });
    change(|world| world.collecting = false);
}

/// Takes OCaml back, if the current thread has released it for a wait.
fn retake_ocaml() {
    if RELEASED.with(|released| released.replace(false)) {
        take_ocaml();
    }
}

/// The machine and the platform, with a fault.
pub struct Model<const FAULT: u8>;

impl<const FAULT: u8> Model<FAULT> {
    /// Takes the note of an event.
    fn take_note(world: &mut World, who: usize) -> bool {
        let who = if FAULT == ONE_NOTE { LEADER } else { who };
        core::mem::take(&mut world.noted[who])
    }

    /// Waits for an event, unless one is noted.
    fn await_event(who: usize, until: Option<u64>) {
        let outside = FAULT == NOTED_OUTSIDE;
        if outside && change(|world| Self::take_note(world, who)) {
            return;
        }
        Self::sleep_unless(For::Event, until, |world| {
            !outside && Self::take_note(world, who)
        });
        // What woke it.
        change(|world| Self::take_note(world, who));
    }

    /// A wait in a call for one device.
    pub fn await_device() {
        Self::await_event(CALL, None);
    }

    /// Waits while a word has this value, until its wake-up or the deadline.
    fn await_word(word: &AtomicU32, value: u32, until: Option<u64>) {
        let futex = For::Word(word.as_ptr().addr());
        let is_over = |_: &mut World| word.load(Ordering::Relaxed) != value;
        match FAULT {
            COMPARED_OUTSIDE if change(is_over) => {}
            COMPARED_OUTSIDE => Self::sleep_unless(futex, until, |_| false),
            _ => Self::sleep_unless(futex, until, is_over),
        }
    }

    /// Waits for [`Model::wake_all`] or the deadline, unless `is_over` in the step that queues the
    /// thread.
    fn sleep_unless(what: For, until: Option<u64>, is_over: impl FnOnce(&mut World) -> bool) {
        let thread = number();
        let waits = |world: &mut World| world.asleep.iter().any(|other| other.thread == thread);
        let is_queued = change(|world| {
            let queued = !is_over(world) && until.is_none_or(|until| until > world.now);
            if queued {
                world.asleep.push(Sleeper {
                    thread,
                    what,
                    until,
                });
            }
            queued
        });
        // The processor, whose only thread this is.
        while is_queued && change(waits) {
            let halts = change(|world| {
                let halts = waits(world) || FAULT == HALTS_UNASKED;
                if halts {
                    world.halted.push(thread);
                }
                halts
            });
            if halts {
                await_world(|world| (!world.halted.contains(&thread)).then_some(()));
            }
        }
    }

    /// Wakes the threads for which `is_over`, and then kicks their processors that halt.
    fn wake_all(is_over: impl Fn(&World, &Sleeper) -> bool) {
        let kicks = change(|world| {
            let asleep = core::mem::take(&mut world.asleep).into_iter();
            let (woken, asleep): (Vec<_>, _) = asleep.partition(|sleeper| is_over(world, sleeper));
            world.asleep = asleep;
            let woken = woken.into_iter().map(|sleeper| sleeper.thread);
            let halted: Vec<usize> = woken.filter(|it| world.halted.contains(it)).collect();
            halted
        });
        if !kicks.is_empty() && FAULT != KICK_LOST {
            change(|world| world.halted.retain(|thread| !kicks.contains(thread)));
        }
    }

    /// An event, as an interrupt of a device.
    pub fn event() {
        let note = || change(|world| world.noted = [true; 2]);
        if FAULT != NOTED_LATE {
            note();
        }
        Self::wake_all(|_, sleeper| sleeper.what == For::Event);
        if FAULT == NOTED_LATE {
            note();
        }
    }

    /// The timer: time advances to the next deadline of a thread, until the program has
    /// ended.
    pub fn run_timer() {
        let next = |world: &mut World| match world.over {
            true => Some(None),
            false => {
                let times = world.asleep.iter().filter_map(|sleeper| sleeper.until);
                times.min().map(Some)
            }
        };
        while let Some(time) = await_world(next) {
            change(|world| world.now = world.now.max(time));
            Self::wake_all(|world, sleeper| sleeper.until.is_some_and(|until| until <= world.now));
        }
    }

    /// The device: completes `requests` requests, the newest first.
    pub fn serve(requests: usize) {
        for _ in 0..requests {
            await_world(|world| (!world.submitted.is_empty()).then_some(()));
            dawdle();
            let interrupts = await_world(|world| {
                let token = world.submitted.pop()?;
                world.finished.push(token);
                Some(core::mem::take(&mut world.armed))
            });
            if interrupts {
                Self::event();
            }
        }
    }
}

impl<const FAULT: u8> Clock for Model<FAULT> {
    fn monotonic_ns() -> u64 {
        WORLD.lock().expect("no panic").now
    }

    fn wall_ns() -> u64 {
        0
    }

    fn adjust_wall(_: i64) {}
}

impl<const FAULT: u8> System for Model<FAULT> {
    const ON_VM: bool = false;

    fn start() {}

    fn exit(_: u8) -> ! {
        unreachable!()
    }

    fn reboot() {}

    fn devices() -> String {
        String::new()
    }

    fn variable(_: &str) -> Option<String> {
        None
    }

    fn thread() -> usize {
        thread::yield_now();
        number()
    }

    fn domain() -> usize {
        domain()
    }

    fn stop_requests() -> usize {
        0
    }
}

/// Whether the sleeper waits for the device.
pub struct Interest {
    pub device: bool,
}

impl platform::Interest for Interest {
    type LinkWake = ();
    type Offload = ();

    const EMPTY: Interest = Interest { device: false };

    fn clear(&mut self) {
        self.device = false;
    }

    fn immediately(&mut self) {}

    fn report(&mut self) {}

    fn link(&mut self, _: &(), _: bool) {}

    fn console(&mut self, _: Stream, _: Direction) {}

    fn submit(&mut self) {
        change(|world| world.queued = false);
    }

    fn submit_all(&mut self) {}

    fn offload(&mut self) {}
}

/// A prepared sleep of the leader.
pub struct Sleep {
    device: bool,
    until: Option<u64>,
}

impl<const FAULT: u8> Wait for Model<FAULT> {
    type Interest = Interest;
    type Sleep = Sleep;

    fn prepare(interest: &mut Interest, until: Option<u64>, _: Signals) -> Sleep {
        Sleep {
            device: interest.device,
            until,
        }
    }

    fn sleep(sleep: &mut Sleep) {
        let has_pending = |world: &mut World| {
            world.armed |= sleep.device;
            world.nudged || sleep.device && !world.finished.is_empty()
        };
        if !change(has_pending) {
            Self::await_event(LEADER, sleep.until);
        }
    }

    fn finish(_: &mut Interest, _: Sleep) -> Woken {
        change(|world| world.nudged = false);
        match thread_rng().gen_bool(0.1) {
            true => Woken::Interrupted,
            false => Woken::Event,
        }
    }

    fn nudge() {
        if FAULT != NO_NUDGE {
            change(|world| world.nudged = true);
            Self::event();
        }
    }

    fn enter_blocking() {
        if FAULT != KEEPS_OCAML {
            RELEASED.with(|released| released.set(true));
            give_ocaml();
        }
    }

    fn leave_blocking() {
        retake_ocaml();
    }

    fn expect_threads() {}

    fn forks() -> u32 {
        0
    }

    fn resume(_: u64) {
        assert!(
            !change(|world| world.queued),
            "the program resumes before what the drivers have queued begins"
        );
        if FAULT == OCAML_INSIDE {
            retake_ocaml();
        }
    }

    fn start_ticker(_: &'static platform::Ticker) {}

    fn await_change(word: &AtomicU32, value: u32, until: Option<u64>) {
        // One sleep in ten ends with a signal.
        if FAULT == NO_SIGNALS || !thread_rng().gen_bool(0.1) {
            Self::await_word(word, value, until);
        }
    }

    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>) {
        Self::await_change(word, value, until);
    }

    fn await_release(word: &AtomicU32, value: u32) {
        Self::await_word(word, value, None);
    }

    fn wake(word: &AtomicU32) {
        if FAULT != NO_WAKE {
            let futex = For::Word(word.as_ptr().addr());
            Self::wake_all(|_, sleeper| sleeper.what == futex);
        }
    }
}

/// What the runtime's drivers have: the device.
pub struct Device<const FAULT: u8>;

impl<const FAULT: u8> Resources for Device<FAULT> {
    type Platform = Model<FAULT>;
    const NONE: Self = Device;

    fn start() -> Result<(), Failure> {
        Ok(())
    }

    fn entered() {}
}
