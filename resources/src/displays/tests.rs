//! A display that follows the test's script.

use super::{
    await_frame, changed, close, create, disable, info, install, missing, open, poll, present,
    release, set_cursor,
};
use crate::Runtime;
use crate::current::{Current, Interest};
use crate::types::fake::Bigarray;
use platform::Clock;
use platform::display::{
    Buffer, BufferId, CURSOR_SIZE, DisplayDevice, Event, MAX_PRESENTS, Rectangle, State, TIMEOUT_NS,
};
use platform::error::{Answer, Error, Failure, Stop};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;

/// State shared by the test and the display.
#[derive(Default)]
struct Orders {
    /// Whether it doesn't answer.
    hold: Cell<bool>,
    /// Its next reports.
    events: RefCell<Vec<Event>>,
    /// Frames that it got, and their damage.
    has: RefCell<Vec<(u64, Vec<Rectangle>)>>,
    /// Buffers that the runtime returned.
    released: RefCell<Vec<u32>>,
    is_disabled: Cell<bool>,
    state: RefCell<State>,
}

struct Fake {
    orders: Rc<Orders>,
    buffers: Vec<Box<[u32]>>,
    state: State,
}

impl DisplayDevice<Current> for Fake {
    fn name(&self) -> &str {
        "display0"
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure> {
        let mut memory = vec![0; (width as usize + 4) * height as usize].into_boxed_slice();
        let pixels = NonNull::from(&mut memory[..]).cast();
        self.buffers.push(memory);
        Ok(Buffer {
            id: BufferId(self.buffers.len() as u32),
            pixels,
            width,
            height,
            stride: width + 4,
        })
    }

    fn release(&mut self, buffer: BufferId) {
        self.orders.released.borrow_mut().push(buffer.0);
    }

    fn present(&mut self, _: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure> {
        let mut has = self.orders.has.borrow_mut();
        if has.len() >= MAX_PRESENTS {
            return Err(Error::Busy.into());
        }
        has.push((tag, damage.to_vec()));
        Ok(())
    }

    fn disable(&mut self) -> Result<(), Failure> {
        self.orders.is_disabled.set(true);
        Ok(())
    }

    fn set_cursor(
        &mut self,
        _: &[u32; CURSOR_SIZE * CURSOR_SIZE],
        _: (u32, u32),
    ) -> Result<(), Failure> {
        Err(Failure::new(Error::Unsupported, "no cursor"))
    }

    fn move_cursor(&mut self, _: u32, _: u32) {}

    fn hide_cursor(&mut self) {}

    fn kick(&mut self) {}

    fn arm(&mut self, _: &mut Interest) {}

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        self.state.clone_from(&self.orders.state.borrow());
        self.orders
            .events
            .borrow_mut()
            .drain(..)
            .for_each(&mut *report);
        if !self.orders.hold.get() {
            for (frame, _) in self.orders.has.borrow_mut().drain(..) {
                report(Event::Presented(frame, Ok(())));
            }
        }
    }
}

/// Creates a runtime with one open display.
fn start() -> (Runtime, Rc<Orders>) {
    let orders = Rc::new(Orders::default());
    let fake = Fake {
        orders: Rc::clone(&orders),
        buffers: Vec::new(),
        state: State::default(),
    };
    let mut rt = Runtime::new();
    install(&mut rt, vec![Box::new(fake)]).expect("room");
    assert_eq!(open(&mut rt, ""), Ok(0));
    (rt, orders)
}

fn completed(rt: &mut Runtime, now: u64) -> Vec<(u64, Answer)> {
    poll(rt, now);
    core::iter::from_fn(|| rt.next_completion(0)).collect()
}

fn now() -> u64 {
    Current::monotonic_ns()
}

/// Creates a buffer of 32 by 16 pixels and the bigarray that shows it.
fn buffer(rt: &mut Runtime) -> (isize, Bigarray) {
    let mut array = Bigarray::of(&mut []);
    let mut columns = 0;
    let made = create(rt, 0, (32, 16), &mut array.view(), &mut columns);
    assert_eq!((columns, *array.view().len), (36, 16));
    (made.expect("a buffer") as isize, array)
}

#[test]
fn a_frame_is_awaited_until_the_display_has_it() {
    let (mut rt, orders) = start();
    let (a, _array) = buffer(&mut rt);
    orders.hold.set(true);
    assert_eq!(present(&mut rt, 0, a, &[]), Ok(1));
    assert_eq!(present(&mut rt, 0, a, &[]), Ok(2));
    assert_eq!(present(&mut rt, 0, a, &[]), Err(Error::Busy.into()));
    assert_eq!(await_frame(&mut rt, 0, 2, 7), Err(Stop::Pending));
    assert_eq!(await_frame(&mut rt, 0, 1, 8), Err(Stop::Pending));
    assert_eq!(await_frame(&mut rt, 0, 3, 9), Err(Error::Invalid.into()));
    assert_eq!(completed(&mut rt, now()), []);
    orders.events.borrow_mut().push(Event::Presented(1, Ok(())));
    assert_eq!(completed(&mut rt, now()), [(8, Ok(0))]);
    // A repeated frame, one never presented, and an old one have no effect.
    let wrong = [1, 9, 0].map(|frame| Event::Presented(frame, Ok(())));
    orders.events.borrow_mut().extend(wrong);
    assert_eq!(completed(&mut rt, now()), []);
    orders.events.borrow_mut().push(Event::Presented(2, Ok(())));
    assert_eq!(completed(&mut rt, now()), [(7, Ok(0))]);
    assert_eq!(await_frame(&mut rt, 0, 2, 7), Ok(0));
}

#[test]
fn a_failed_frame_fails_its_own_wait() {
    let (mut rt, orders) = start();
    let (a, _array) = buffer(&mut rt);
    orders.hold.set(true);
    for frame in 1..=2 {
        assert_eq!(present(&mut rt, 0, a, &[]), Ok(frame));
    }
    assert_eq!(await_frame(&mut rt, 0, 1, 1), Err(Stop::Pending));
    assert_eq!(await_frame(&mut rt, 0, 2, 2), Err(Stop::Pending));
    let failure = Failure::new(Error::Io, "unplugged");
    let events = [(1, Err(failure)), (2, Ok(()))].map(|(frame, r)| Event::Presented(frame, r));
    orders.events.borrow_mut().extend(events);
    assert_eq!(
        completed(&mut rt, now()),
        [(1, Err(Error::Io.into())), (2, Ok(0))]
    );
    assert_eq!(await_frame(&mut rt, 0, 1, 3), Err(Error::Io.into()));
    assert_eq!(await_frame(&mut rt, 0, 2, 3), Ok(0));
}

#[test]
fn a_display_that_does_not_answer_is_given_up() {
    let (mut rt, orders) = start();
    let (a, _array) = buffer(&mut rt);
    orders.hold.set(true);
    assert_eq!(present(&mut rt, 0, a, &[]), Ok(1));
    assert_eq!(await_frame(&mut rt, 0, 1, 1), Err(Stop::Pending));
    let finished = |rt: &mut Runtime| {
        let drivers = rt.drivers();
        drivers.iter().flatten().all(|driver| (driver.finish)(rt))
    };
    let deadline = rt
        .drivers()
        .iter()
        .flatten()
        .find_map(|driver| (driver.deadline)(&mut rt));
    let deadline = deadline.expect("a limit");
    assert!(deadline <= now() + TIMEOUT_NS && !finished(&mut rt));
    assert_eq!(completed(&mut rt, deadline - 1), []);
    assert_eq!(
        completed(&mut rt, deadline),
        [(1, Err(Error::TimedOut.into()))]
    );
    assert!(finished(&mut rt));
    // Its late answer has no effect.
    orders.hold.set(false);
    assert_eq!(completed(&mut rt, deadline), []);
    assert_eq!(present(&mut rt, 0, a, &[]), Ok(2));
    assert_eq!(await_frame(&mut rt, 0, 2, 2), Err(Stop::Pending));
    assert_eq!(completed(&mut rt, now()), [(2, Ok(0))]);
}

#[test]
fn a_wait_that_is_cancelled_never_completes() {
    let (mut rt, orders) = start();
    let (a, _array) = buffer(&mut rt);
    orders.hold.set(true);
    assert_eq!(present(&mut rt, 0, a, &[]), Ok(1));
    assert_eq!(await_frame(&mut rt, 0, 1, 1), Err(Stop::Pending));
    assert_eq!(changed(&mut rt, 0, 0, 2), Err(Stop::Pending));
    assert_eq!(
        changed(&mut rt, 0, 0, 2),
        Err(Error::Invalid.into()),
        "in use"
    );
    assert_eq!((rt.cancel(1), rt.cancel(2)), (Ok(1), Ok(1)));
    // Their tokens may have been reused by now.
    for token in 1..=2 {
        assert_eq!(rt.event(token), Err(Stop::Pending));
    }
    orders.hold.set(false);
    orders.events.borrow_mut().push(Event::Changed);
    assert_eq!(completed(&mut rt, now()), []);
    assert_eq!(changed(&mut rt, 0, 0, 3), Ok(1));
}

#[test]
fn a_change_is_told_once() {
    let (mut rt, orders) = start();
    assert_eq!(changed(&mut rt, 0, 0, 1), Err(Stop::Pending));
    *orders.state.borrow_mut() = State {
        connected: true,
        width: 800,
        height: 600,
        size_mm: Some((300, 200)),
        ..State::default()
    };
    orders.events.borrow_mut().push(Event::Changed);
    assert_eq!(completed(&mut rt, now()), [(1, Ok(1))]);
    assert_eq!(info(&mut rt, 0), Ok([1, 800, 600, 300, 200, 0, 1, 0]));
    assert_eq!(changed(&mut rt, 0, 1, 1), Err(Stop::Pending));
    assert_eq!(close(&mut rt, 0), Ok(0));
    assert_eq!(completed(&mut rt, now()), [(1, Err(Error::Closed.into()))]);
    assert_eq!(changed(&mut rt, 0, 0, 1), Err(Error::Closed.into()));
    assert_eq!(info(&mut rt, 1), Err(Error::NotFound.into()));
}

#[test]
fn frames_are_counted_on_when_a_display_is_opened_again() {
    let (mut rt, orders) = start();
    let (a, _array) = buffer(&mut rt);
    orders.hold.set(true);
    for frame in 1..=2 {
        assert_eq!(present(&mut rt, 0, a, &[]), Ok(frame));
    }
    assert_eq!(close(&mut rt, 0), Ok(0));
    assert_eq!(open(&mut rt, ""), Ok(0));
    // The device still has them, so the last one has to be awaited.
    let (b, _array) = buffer(&mut rt);
    assert_eq!(present(&mut rt, 0, b, &[]), Err(Error::Busy.into()));
    assert_eq!(info(&mut rt, 0).map(|numbers| numbers[7]), Ok(2));
    assert_eq!(await_frame(&mut rt, 0, 2, 1), Err(Stop::Pending));
    orders.hold.set(false);
    assert_eq!(completed(&mut rt, now()), [(1, Ok(0))]);
    assert_eq!(present(&mut rt, 0, b, &[]), Ok(3));
}

#[test]
fn memory_is_the_displays_again_when_nothing_shows_it() {
    let (mut rt, orders) = start();
    let (a, mut first) = buffer(&mut rt);
    let (b, mut second) = buffer(&mut rt);
    let parts = first.parts();
    parts.add();
    assert_eq!(
        release(&mut rt, 0, a, &mut second.view()),
        Err(Error::Invalid.into())
    );
    assert_eq!(release(&mut rt, 0, a, &mut first.view()), Ok(0));
    assert_eq!(
        release(&mut rt, 0, a, &mut first.view()),
        Err(Error::Closed.into())
    );
    assert_eq!(
        (*first.view().len, orders.released.borrow().as_slice()),
        (0, &[][..])
    );
    assert_eq!(present(&mut rt, 0, a, &[]), Err(Error::Closed.into()));
    parts.end();
    assert_eq!(present(&mut rt, 0, b, &[]), Ok(1));
    completed(&mut rt, now());
    assert_eq!(*orders.released.borrow(), [1]);
    // The one on screen stays until another one, or none, is shown.
    assert_eq!(release(&mut rt, 0, b, &mut second.view()), Ok(0));
    completed(&mut rt, now());
    assert_eq!(*orders.released.borrow(), [1]);
    assert_eq!(disable(&mut rt, 0), Ok(0));
    assert!(orders.is_disabled.get());
    assert_eq!(*orders.released.borrow(), [1, 2]);
}

#[test]
fn a_closed_display_leaves_the_program_its_memory() {
    let (mut rt, orders) = start();
    let (a, mut array) = buffer(&mut rt);
    let parts = array.parts();
    assert_eq!(close(&mut rt, 0), Ok(0));
    assert_eq!(close(&mut rt, 0), Ok(0));
    assert_eq!(array.shown().len(), 16);
    assert_eq!(
        release(&mut rt, 0, a, &mut array.view()),
        Err(Error::Closed.into())
    );
    assert!(orders.released.borrow().is_empty());
    // Its finaliser.
    parts.end();
    assert_eq!(open(&mut rt, "display0"), Ok(0));
    completed(&mut rt, now());
    assert_eq!(*orders.released.borrow(), [1]);
}

#[test]
fn damage_is_clipped_and_bounded() {
    let (mut rt, orders) = start();
    let (a, _array) = buffer(&mut rt);
    let big = isize::MAX >> 1;
    for wrong in [&[1, 2, 3][..], &[-1, 0, 1, 1], &[0, 0, big, 1]] {
        assert_eq!(present(&mut rt, 0, a, wrong), Err(Error::Invalid.into()));
    }
    assert_eq!(present(&mut rt, 0, a, &[30, 15, 9, 9, 40, 0, 1, 1]), Ok(1));
    let many: Vec<isize> = (0..65).flat_map(|n| [n % 32, n % 16, 1, 1]).collect();
    assert_eq!(present(&mut rt, 0, a, &many), Ok(2));
    let rectangle = |x, y, width, height| Rectangle {
        x,
        y,
        width,
        height,
    };
    let has = orders.has.borrow();
    assert_eq!(has[0].1, [rectangle(30, 15, 2, 1)]);
    assert_eq!(has[1].1, [rectangle(0, 0, 32, 16)]);
}

#[test]
fn a_display_is_opened_once_and_by_its_name() {
    let (mut rt, _orders) = start();
    assert_eq!(open(&mut rt, ""), Err(Error::Busy.into()));
    assert_eq!(open(&mut rt, "display1"), Err(Error::NoDevice.into()));
    let displays = rt.resources.displays.as_deref().expect("installed");
    assert_eq!(missing(displays, "tv"), "no display tv: there is display0");
    assert_eq!(
        set_cursor(&mut rt, 0, &[0; 4095], (0, 0)),
        Err(Error::Invalid.into())
    );
    assert_eq!(
        set_cursor(&mut rt, 0, &[0; 4096], (0, 0)),
        Err(Error::Unsupported.into())
    );
    let mut none = Runtime::new();
    install(&mut none, Vec::new()).expect("room");
    assert_eq!(open(&mut none, ""), Err(Error::NoDevice.into()));
}
