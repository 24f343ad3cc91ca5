//! Leader, followers and hand-over under a model checker: the real `Cell` on a platform whose
//! sleeps, futexes and OCaml's locks are shuttle's, which tries interleavings and reports a
//! deadlock.
//!
//! Threads run on as many processors as there are, in domains with a lock of OCaml's each. They are
//! switched before each acquisition of the runtime's lock, inside of it, at each sleep and at each
//! wake-up. A sleep and its wake-up have the steps of an image's kernel: an event is noted before
//! those that wait for one are woken, a word is changed before its futex is, and a thread is queued
//! in the step that takes the note, or compares the word.

use core::cell::Cell as StdCell;
use core::sync::atomic::{AtomicU32, Ordering};
use platform::error::{Answer, Error, Failure, Stop};
use platform::{Clock, Direction, Signals, Stream, System, Wait, Woken};
use reactor::cell::Cell;
use reactor::wait::{FIRST_OF_THREADS, SCHEDULER};
use reactor::{Cancelled, Driver, Resources, Runtime};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{lazy_static, thread};

/// Number of schedules per test.
const SCHEDULES: usize = 1000;

/// Faults of a platform.
const NONE: u8 = 0;
/// A nudge is lost.
const NO_NUDGE: u8 = 1;
/// A wake-up is lost.
const NO_WAKE: u8 = 2;
/// OCaml isn't released before a sleep.
const KEEPS_OCAML: u8 = 3;
/// The note of an event is taken before the step that queues the thread.
const NOTED_OUTSIDE: u8 = 4;
/// A word is compared before that step.
const COMPARED_OUTSIDE: u8 = 5;

/// OCaml's domains. The runtime belongs to the first.
const DOMAINS: usize = 2;

/// The state outside of the runtime.
#[derive(Default)]
struct World {
    /// The leader was nudged.
    nudged: bool,
    /// An event was noted.
    noted: bool,
    /// Threads that sleep.
    asleep: Vec<(For, usize)>,
    /// By domain: a thread has OCaml's lock.
    ocaml: [bool; DOMAINS],
    /// Requests in the device.
    submitted: Vec<u64>,
    /// Completed requests.
    finished: Vec<u64>,
    /// The driver's write at the program's end.
    last: Last,
}

/// What a thread sleeps for.
#[derive(Clone, Copy, PartialEq)]
enum For {
    Event,
    /// The futex at this address.
    Word(usize),
}

/// A write that only [`Driver::finish`] requests.
#[derive(Clone, Copy, Default, PartialEq)]
enum Last {
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
}

fn domain() -> usize {
    DOMAIN.with(StdCell::get)
}

/// Changes the world, and wakes all that wait for a change.
fn change<T>(f: impl FnOnce(&mut World) -> T) -> T {
    let result = f(&mut WORLD.lock().expect("no panic"));
    CHANGE.notify_all();
    result
}

/// Waits until `f` of the world returns a value.
fn await_world<T>(mut f: impl FnMut(&mut World) -> Option<T>) -> T {
    let mut world = WORLD.lock().expect("no panic");
    loop {
        if let Some(found) = f(&mut world) {
            return found;
        }
        world = CHANGE.wait(world).expect("no panic");
    }
}

fn take_ocaml() {
    await_world(|world| (!core::mem::replace(&mut world.ocaml[domain()], true)).then_some(()));
}

fn give_ocaml() {
    change(|world| world.ocaml[domain()] = false);
}

/// Sleeps until [`wake`], unless `is_over` in the step that queues the thread.
fn sleep_unless(what: For, is_over: impl FnOnce(&mut World) -> bool) {
    let sleeper = (what, NUMBER.with(|number| *number));
    let sleeps = change(|world| {
        let sleeps = !is_over(world);
        if sleeps {
            world.asleep.push(sleeper);
        }
        sleeps
    });
    if sleeps {
        await_world(|world| (!world.asleep.contains(&sleeper)).then_some(()));
    }
}

/// Wakes all that sleep for this.
fn wake(what: For) {
    change(|world| world.asleep.retain(|(its, _)| *its != what));
}

/// An event, as an interrupt.
fn event() {
    change(|world| world.noted = true);
    wake(For::Event);
}

fn take_note(world: &mut World) -> bool {
    core::mem::take(&mut world.noted)
}

struct Model<const FAULT: u8>;

impl<const FAULT: u8> Clock for Model<FAULT> {
    fn monotonic_ns() -> u64 {
        thread::yield_now();
        0
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
        NUMBER.with(|number| *number)
    }

    fn domain() -> usize {
        domain()
    }

    fn stop_requests() -> usize {
        0
    }
}

/// Whether the sleeper waits for the device.
struct Interest {
    device: bool,
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

    fn submit(&mut self) {}

    fn submit_all(&mut self) {}

    fn offload(&mut self) {}
}

impl<const FAULT: u8> Wait for Model<FAULT> {
    type Interest = Interest;
    type Sleep = Interest;

    fn prepare(interest: &mut Interest, _: Option<u64>, _: Signals) -> Interest {
        Interest {
            device: interest.device,
        }
    }

    fn sleep(sleep: &mut Interest) {
        let has_pending =
            |world: &mut World| world.nudged || sleep.device && !world.finished.is_empty();
        if change(has_pending) {
            return;
        }
        match FAULT {
            NOTED_OUTSIDE if change(take_note) => return,
            NOTED_OUTSIDE => sleep_unless(For::Event, |_| false),
            _ => sleep_unless(For::Event, take_note),
        }
        // What woke it.
        change(take_note);
    }

    fn finish(_: &mut Interest, _: Interest) -> Woken {
        change(|world| world.nudged = false);
        match thread_rng().gen_bool(0.1) {
            true => Woken::Interrupted,
            false => Woken::Event,
        }
    }

    fn nudge() {
        if FAULT != NO_NUDGE {
            change(|world| world.nudged = true);
            event();
        }
    }

    fn enter_blocking() {
        if FAULT != KEEPS_OCAML {
            give_ocaml();
        }
    }

    fn leave_blocking() {
        if FAULT != KEEPS_OCAML {
            take_ocaml();
        }
    }

    fn expect_threads() {}

    fn forks() -> u32 {
        0
    }

    fn resume(_: u64) {}

    fn start_ticker(_: &'static platform::Ticker) {}

    fn await_change(word: &AtomicU32, value: u32, _: Option<u64>) {
        // One sleep in ten ends with a signal.
        if !thread_rng().gen_bool(0.1) {
            Self::await_release(word, value);
        }
    }

    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>) {
        Self::await_change(word, value, until);
    }

    fn await_release(word: &AtomicU32, value: u32) {
        let futex = For::Word(word.as_ptr().addr());
        let is_over = |_: &mut World| word.load(Ordering::Relaxed) != value;
        match FAULT {
            COMPARED_OUTSIDE if change(is_over) => {}
            COMPARED_OUTSIDE => sleep_unless(futex, |_| false),
            _ => sleep_unless(futex, is_over),
        }
    }

    fn wake(word: &AtomicU32) {
        if FAULT != NO_WAKE {
            wake(For::Word(word.as_ptr().addr()));
        }
    }
}

/// A device.
struct Device<const FAULT: u8>;

impl<const FAULT: u8> Resources for Device<FAULT> {
    type Platform = Model<FAULT>;
    const NONE: Self = Device;

    fn start() -> Result<(), Failure> {
        Ok(())
    }

    fn entered() {}
}

fn driver<const FAULT: u8>() -> &'static Driver<Device<FAULT>> {
    &Driver {
        poll: |rt, _| {
            for token in change(|world| core::mem::take(&mut world.finished)) {
                rt.complete(token, Ok(token as usize));
            }
        },
        deadline: |_| None,
        interest: |_, interest| {
            let outstanding =
                |world: &mut World| !world.submitted.is_empty() || !world.finished.is_empty();
            interest.device |= change(outstanding);
        },
        finish: |_| true,
        counter: |_, _| 0,
    }
}

/// Submits a request to the device.
fn submit<const FAULT: u8>(rt: &mut Runtime<Device<FAULT>>, token: u64) -> Answer {
    rt.give(token, |_, _| Cancelled::Later)?;
    change(|world| world.submitted.push(token));
    Err(Stop::Pending)
}

/// The device: completes `requests` requests, the newest first.
fn serve(requests: usize) {
    for _ in 0..requests {
        await_world(|world| {
            let token = world.submitted.pop()?;
            world.finished.push(token);
            Some(())
        });
        event();
    }
}

type Shared<const FAULT: u8> = Arc<Cell<Device<FAULT>>>;

/// Waits for the thread's operation as `soil_await` does.
fn await_token<const FAULT: u8>(cell: &Shared<FAULT>, token: u64) -> usize {
    loop {
        let fetch = |rt: &mut Runtime<_>| rt.take_completion(token).unwrap_or(Err(Stop::Pending));
        match cell.wait(token, None, fetch) {
            Ok(result) => return result,
            stop => assert_eq!(stop, Err(Stop::Pending)),
        }
    }
}

/// Sets an event as `soil_event_set` does.
fn set_from_anywhere<const FAULT: u8>(cell: &Shared<FAULT>, event: u64) -> Answer {
    cell.call_from_anywhere(|rt| rt.set_event(event as isize), |answer| answer)
}

/// Runs `f` in a thread of the first domain, which has OCaml's lock.
fn in_ocaml<const FAULT: u8>(
    cell: &Shared<FAULT>,
    f: impl FnOnce(&Shared<FAULT>) + Send + 'static,
) -> thread::JoinHandle<()> {
    in_domain(0, cell, f)
}

/// The same in another domain.
fn in_domain<const FAULT: u8>(
    domain: usize,
    cell: &Shared<FAULT>,
    f: impl FnOnce(&Shared<FAULT>) + Send + 'static,
) -> thread::JoinHandle<()> {
    let cell = cell.clone();
    thread::spawn(move || {
        DOMAIN.with(|its| its.set(domain));
        take_ocaml();
        f(&cell);
        give_ocaml();
    })
}

/// Threads that wait for the device, for each other, for another domain and for the scheduler's
/// tasks.
fn program<const FAULT: u8>() {
    let cell: Shared<FAULT> = Arc::new(Cell::new());
    cell.own();
    let registered = cell.call(|rt| Ok(rt.register(driver()).map(|()| 0)?));
    assert_eq!(registered, Ok(0));
    const THREADS: u64 = 2;
    const ROUNDS: u64 = 2;
    const EVENT: u64 = FIRST_OF_THREADS + 100;
    const OF_DOMAIN: u64 = EVENT + 1;
    let pending = Err(Stop::Pending);
    for event in [EVENT, OF_DOMAIN] {
        assert_eq!(cell.call(|rt| rt.event(event as isize)), pending);
    }
    let mut threads = vec![
        thread::spawn(|| serve(((THREADS + 1) * ROUNDS) as usize)),
        // Ticks.
        thread::spawn({
            let cell = cell.clone();
            move || {
                for _ in 0..30 {
                    cell.tick(|rt| (driver::<FAULT>().poll)(rt, 0));
                    thread::yield_now();
                }
            }
        }),
        // The scheduler's thread: its operations complete in batches.
        in_ocaml(&cell, move |cell| {
            let mut seen = 0;
            for token in 1..=ROUNDS {
                assert_eq!(cell.call(|rt| submit(rt, token)), pending);
            }
            while seen < ROUNDS {
                let fetch = |rt: &mut Runtime<_>| {
                    let completions = core::iter::from_fn(|| rt.next_completion());
                    Ok(completions
                        .inspect(|(token, answer)| assert_eq!(*answer, Ok(*token as usize)))
                        .count())
                };
                seen += cell.wait(SCHEDULER, None, fetch).expect("it waits") as u64;
            }
            assert_eq!(cell.call(|rt| rt.set_event(EVENT as isize)), Ok(1));
        }),
        in_ocaml(&cell, |cell| {
            assert_eq!(await_token(cell, EVENT), 0);
            assert_eq!(await_token(cell, OF_DOMAIN), 0);
        }),
        in_domain(1, &cell, |cell| {
            assert_eq!(cell.call(|_| Ok(0)), Err(Error::Busy.into()));
            assert_eq!(set_from_anywhere(cell, OF_DOMAIN), Ok(1));
        }),
    ];
    for thread in 1..=THREADS {
        threads.push(in_ocaml(&cell, move |cell| {
            for round in 0..ROUNDS {
                let token = FIRST_OF_THREADS + thread;
                if round > 0 {
                    // As a thread that computes.
                    give_ocaml();
                    take_ocaml();
                }
                assert_eq!(cell.call(|rt| submit(rt, token)), pending);
                assert_eq!(await_token(cell, token), token as usize);
            }
        }));
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(cell.call(|rt| Ok(rt.outstanding())), Ok(0));
}

/// The token of the write at the program's end.
const LAST: u64 = 1;

/// The program ends, in another domain, while another thread leads, asleep, for an event that only
/// occurs afterwards.
fn end<const FAULT: u8>() {
    let cell: Shared<FAULT> = Arc::new(Cell::new());
    cell.own();
    let flushing: &'static Driver<Device<FAULT>> = &Driver {
        poll: |_, _| {
            change(|world| {
                if world.finished.pop() == Some(LAST) {
                    world.last = Last::Written;
                }
            });
        },
        finish: |_| {
            change(|world| {
                if world.last == Last::Unasked {
                    world.last = Last::Submitted;
                    world.submitted.push(LAST);
                }
                world.last == Last::Written
            })
        },
        deadline: |_| None,
        interest: |_, interest| {
            interest.device |= change(|world| world.last == Last::Submitted);
        },
        counter: |_, _| 0,
    };
    let registered = cell.call(|rt| Ok(rt.register(flushing).map(|()| 0)?));
    assert_eq!(registered, Ok(0));
    const EVENT: u64 = FIRST_OF_THREADS + 100;
    let pending = Err(Stop::Pending);
    assert_eq!(cell.call(|rt| rt.event(EVENT as isize)), pending);
    let threads = [
        thread::spawn(|| serve(1)),
        in_ocaml(&cell, |cell| {
            assert_eq!(await_token(cell, EVENT), 0);
        }),
        in_domain(1, &cell, |cell| {
            assert_eq!(cell.finish(1), Ok(0));
            assert_eq!(set_from_anywhere(cell, EVENT), Ok(1));
        }),
    ];
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn every_wait_ends() {
    shuttle::check_random(program::<NONE>, SCHEDULES);
    shuttle::check_pct(program::<NONE>, SCHEDULES, 3);
}

#[test]
fn the_end_of_the_program_takes_over_from_a_leader_that_sleeps() {
    shuttle::check_random(end::<NONE>, SCHEDULES);
    shuttle::check_pct(end::<NONE>, SCHEDULES, 3);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_nudge_is_found() {
    shuttle::check_random(program::<NO_NUDGE>, SCHEDULES);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_lost_wake_up_is_found() {
    shuttle::check_random(program::<NO_WAKE>, SCHEDULES);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sleep_that_keeps_ocaml_is_found() {
    shuttle::check_random(program::<KEEPS_OCAML>, SCHEDULES);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_note_that_is_taken_before_the_sleep_is_found() {
    shuttle::check_random(program::<NOTED_OUTSIDE>, SCHEDULES);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_word_that_is_compared_before_the_sleep_is_found() {
    shuttle::check_random(program::<COMPARED_OUTSIDE>, SCHEDULES);
}
