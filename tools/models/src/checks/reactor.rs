//! The runtime's lock, and the hand-over of its wait between a leader and a follower.

use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use reactor::cell::Cell;
use reactor::lock::Lock;
use reactor::wait::{FIRST_OF_THREADS, SCHEDULER};
use reactor::{Cancelled, Driver, Resources, Runtime};
use std::sync::Arc;
use sync::atomic::{AtomicU32, Ordering};

use platform::error::{Answer, Failure, Stop};
use platform::{Clock, Direction, Signals, Stream, System, Wait, Woken};

/// The state outside of the runtime, which the kernel's own locks protect.
#[derive(Default)]
struct World {
    /// The leader was nudged.
    nudged: bool,
    /// Requests in the device.
    submitted: Vec<u64>,
    /// Completed requests.
    finished: Vec<u64>,
}

loom::lazy_static! {
    static ref WORLD: Mutex<World> = Mutex::new(World::default());
    /// The world, or a word, has changed.
    static ref CHANGE: Condvar = Condvar::new();
    static ref THREADS: Mutex<usize> = Mutex::new(0);
}

loom::thread_local! {
    static NUMBER: usize = {
        let mut threads = THREADS.lock().expect("no panic");
        *threads += 1;
        *threads
    };
}

/// Changes the world, and wakes all that wait for a change.
fn change<T>(f: impl FnOnce(&mut World) -> T) -> T {
    let result = f(&mut WORLD.lock().expect("no panic"));
    CHANGE.notify_all();
    result
}

/// Waits until `f` of the world is true.
fn await_world(mut f: impl FnMut(&mut World) -> bool) {
    let mut world = WORLD.lock().expect("no panic");
    while !f(&mut world) {
        world = CHANGE.wait(world).expect("no panic");
    }
}

/// The platform: a process whose threads are loom's.
pub struct Model;

impl Clock for Model {
    fn monotonic_ns() -> u64 {
        0
    }

    fn wall_ns() -> u64 {
        0
    }

    fn adjust_wall(_: i64) {}
}

impl System for Model {
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
        NUMBER.with(|number| *number)
    }

    fn domain() -> usize {
        0
    }

    fn stop_requests() -> usize {
        0
    }
}

/// Whether the sleeper waits for the device.
pub struct Interest {
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

impl Wait for Model {
    type Interest = Interest;
    type Sleep = bool;

    fn prepare(interest: &mut Interest, _: Option<u64>, _: Signals) -> bool {
        interest.device
    }

    /// The device completes what it has while the leader sleeps.
    fn sleep(device: &mut bool) {
        await_world(|world| {
            let done = world.submitted.pop().filter(|_| *device);
            world.finished.extend(done);
            world.nudged || done.is_some()
        });
    }

    fn finish(_: &mut Interest, _: bool) -> Woken {
        change(|world| world.nudged = false);
        Woken::Event
    }

    fn nudge() {
        change(|world| world.nudged = true);
    }

    fn enter_blocking() {}

    fn leave_blocking() {}

    fn expect_threads() {}

    fn forks() -> u32 {
        0
    }

    fn resume(_: u64) {}

    fn start_ticker(_: &'static platform::Ticker) {}

    fn await_change(word: &AtomicU32, value: u32, _: Option<u64>) {
        // The kernel compares the word once; then only a wake-up ends the sleep.
        let world = WORLD.lock().expect("no panic");
        if word.load(Ordering::Relaxed) == value {
            drop(CHANGE.wait(world).expect("no panic"));
        }
    }

    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>) {
        Self::await_change(word, value, until);
    }

    fn await_release(word: &AtomicU32, value: u32) {
        Self::await_change(word, value, None);
    }

    fn wake(_: &AtomicU32) {
        change(|_| ());
    }
}

/// Two threads' calls and a tick: one at a time, and each finds what the last one left.
pub fn lock() {
    let lock = Arc::new((Lock::<Model>::new(), UnsafeCell::new(0)));
    // SAFETY: loom reports another access at the same time.
    let add = |value: &UnsafeCell<i32>| value.with_mut(|at| unsafe { *at += 1 });
    // Begins the words.
    assert!(lock.0.enter());
    lock.0.leave();
    let caller = thread::spawn({
        let lock = lock.clone();
        move || {
            assert!(lock.0.enter());
            add(&lock.1);
            lock.0.leave();
        }
    });
    let ticker = thread::spawn({
        let lock = lock.clone();
        move || {
            if lock.0.enter_tick() {
                add(&lock.1);
                lock.0.leave_tick();
            }
        }
    });
    assert!(lock.0.enter());
    add(&lock.1);
    lock.0.leave();
    caller.join().expect("no panic");
    ticker.join().expect("no panic");
}

/// A device.
struct Device;

impl Resources for Device {
    type Platform = Model;
    const NONE: Self = Device;

    fn start() -> Result<(), Failure> {
        Ok(())
    }

    fn entered() {}
}

static DRIVER: Driver<Device> = Driver {
    poll: |rt, _| {
        for token in change(|world| core::mem::take(&mut world.finished)) {
            rt.complete(token, Ok(token as usize));
        }
    },
    deadline: |_| None,
    interest: |_, interest| interest.device |= change(|world| !world.submitted.is_empty()),
    finish: |_| true,
    counter: |_, _| 0,
};

/// Submits a request to the device.
fn submit(cell: &Cell<Device>, token: u64) {
    let submitted = cell.call(|rt| {
        rt.give(token, |_, _| Cancelled::Later)?;
        change(|world| world.submitted.push(token));
        Err(Stop::Pending)
    });
    assert_eq!(submitted, Err(Stop::Pending));
}

/// Waits for the thread's operation as `soil_await` does.
fn await_token(cell: &Cell<Device>, token: u64) {
    loop {
        let fetch = |rt: &mut Runtime<_>| rt.take_completion(token).unwrap_or(Err(Stop::Pending));
        match cell.wait(token, None, fetch) {
            Ok(result) => return assert_eq!(result, token as usize),
            stop => assert_eq!(stop, Err(Stop::Pending)),
        }
    }
}

/// A cell with the driver.
fn cell() -> Arc<Cell<Device>> {
    let cell = Arc::new(Cell::new());
    let registered: Answer = cell.call(|rt| Ok(rt.register(&DRIVER).map(|()| 0)?));
    assert_eq!(registered, Ok(0));
    cell
}

/// Two threads with a request each: one waits for both, and hands over the wait.
pub fn hand_over() {
    let cell = cell();
    let token = FIRST_OF_THREADS + 1;
    let other = thread::spawn({
        let cell = cell.clone();
        move || {
            submit(&cell, token);
            await_token(&cell, token);
        }
    });
    submit(&cell, 1);
    let mut seen = 0;
    while seen == 0 {
        let fetch = |rt: &mut Runtime<_>| Ok(rt.next_completion(0).into_iter().count());
        seen = cell.wait(SCHEDULER, None, fetch).expect("it waits");
    }
    other.join().expect("no panic");
}
