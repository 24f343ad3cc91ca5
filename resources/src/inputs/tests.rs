//! Input devices that follow the test's script.

use super::{MAX_EVENTS, close, describe, install, next, open, poll, set_led};
use crate::Runtime;
use crate::current::{Current, Interest};
use crate::types::IntsPiece;
use platform::error::{Answer, Error, Failure, Stop};
use platform::input::{
    AbsoluteAxis, Description, Event, InputDevice, SYN_DROPPED, SYN_REPORT, kind,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Whether a device is gone.
type Gone = Rc<Cell<bool>>;
type Sent = Rc<RefCell<Vec<Event>>>;

struct Fake {
    sent: Sent,
    gone: Gone,
    description: Description,
}

impl InputDevice<Current> for Fake {
    fn description(&self) -> &Description {
        &self.description
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        self.sent.borrow_mut().drain(..).for_each(report);
    }

    fn check(&self) -> Result<(), Failure> {
        match self.gone.get() {
            true => Err(Failure::new(Error::Io, self.description.name.clone())),
            false => Ok(()),
        }
    }

    fn set_led(&mut self, led: u16, _: bool) -> Result<(), Failure> {
        let has = self.description.leds.contains(&led);
        has.then_some(()).ok_or(Error::Unsupported.into())
    }

    fn arm(&mut self, _: &mut Interest) {}
}

/// Creates a runtime with two devices.
fn start() -> (Runtime, [Sent; 2]) {
    let (rt, sent, _) = start_with_ends();
    (rt, sent)
}

/// Creates a runtime with two devices that the test can remove.
fn start_with_ends() -> (Runtime, [Sent; 2], [Gone; 2]) {
    let sent = [Sent::default(), Sent::default()];
    let gone = [Gone::default(), Gone::default()];
    let ends = sent.iter().zip(&gone);
    let devices = ends.enumerate().map(|(place, (sent, gone))| {
        let axis = AbsoluteAxis {
            code: 0,
            minimum: -5,
            maximum: 5,
            ..AbsoluteAxis::default()
        };
        let description = Description {
            name: format!("device\n{place}"),
            keys: vec![1, 30],
            leds: vec![1],
            absolute: vec![axis; place],
            ..Description::default()
        };
        let sent = Rc::clone(sent);
        let gone = Rc::clone(gone);
        Box::new(Fake {
            sent,
            gone,
            description,
        }) as super::Device
    });
    let devices = devices.collect();
    let mut rt = Runtime::new();
    install(&mut rt, devices).expect("room");
    (rt, sent, gone)
}

fn event(kind: u16, code: u16, value: i32) -> Event {
    Event {
        time_ns: 9,
        kind,
        code,
        value,
    }
}

fn completed(rt: &mut Runtime) -> Vec<(u64, Answer)> {
    poll(rt);
    core::iter::from_fn(|| rt.next_completion(0)).collect()
}

#[test]
fn events_of_all_devices_come_in_their_order() {
    let (mut rt, [first, second]) = start();
    first.borrow_mut().push(event(kind::KEY, 1, 1));
    assert_eq!(open(&mut rt), Ok(2));
    assert_eq!(open(&mut rt), Err(Error::Busy.into()));
    let mut numbers = [0; 12];
    assert_eq!(
        next(&mut rt, IntsPiece::of(&mut numbers), 1),
        Err(Stop::Pending)
    );
    let busy = next(&mut rt, IntsPiece::of(&mut numbers), 2);
    assert_eq!(busy, Err(Error::Busy.into()));
    assert_eq!(
        completed(&mut rt),
        [],
        "what came before isn't for this reader"
    );
    second.borrow_mut().push(event(kind::REL, 1, -3));
    assert_eq!(completed(&mut rt), [(1, Ok(1))]);
    assert_eq!(numbers[..5], [1, 9, 2, 1, -3]);
    first
        .borrow_mut()
        .extend([event(kind::KEY, 30, 1), event(kind::SYN, SYN_REPORT, 0)]);
    second.borrow_mut().push(event(kind::KEY, 30, 0));
    assert_eq!(completed(&mut rt), []);
    assert_eq!(
        next(&mut rt, IntsPiece::of(&mut numbers), 1),
        Ok(2),
        "as many as fit"
    );
    assert_eq!(numbers[..10], [0, 9, 1, 30, 1, 0, 9, 0, 0, 0]);
    assert_eq!(next(&mut rt, IntsPiece::of(&mut numbers), 1), Ok(1));
    let none = next(&mut rt, IntsPiece::of(&mut numbers[..4]), 1);
    assert_eq!(none, Err(Error::Invalid.into()));
}

#[test]
fn events_of_several_devices_are_in_the_order_of_their_times() {
    let (mut rt, [first, second]) = start();
    assert_eq!(open(&mut rt), Ok(2));
    let at = |time_ns, code| Event {
        time_ns,
        ..event(kind::KEY, code, 1)
    };
    first.borrow_mut().extend([at(3, 30), at(5, 31)]);
    second.borrow_mut().extend([at(2, 1), at(3, 2), at(4, 3)]);
    poll(&mut rt);
    let mut numbers = [0; 25];
    assert_eq!(next(&mut rt, IntsPiece::of(&mut numbers), 1), Ok(5));
    let codes = numbers.chunks(5).map(|event| event[3]);
    assert!(codes.eq([1, 30, 2, 3, 31]));
}

#[test]
fn a_wait_ends_with_the_last_device() {
    let (mut rt, [first, _], gone) = start_with_ends();
    let mut numbers = [0; 5];
    assert_eq!(open(&mut rt), Ok(2));
    let pending = Err(Stop::Pending);
    assert_eq!(next(&mut rt, IntsPiece::of(&mut numbers), 1), pending);
    gone[0].set(true);
    assert_eq!(completed(&mut rt), [], "the other may send");
    gone[1].set(true);
    let io = Err(Error::Io.into());
    assert_eq!(completed(&mut rt), [(1, io)]);
    first.borrow_mut().push(event(kind::SYN, SYN_REPORT, 0));
    assert_eq!(completed(&mut rt), []);
    let none_is_lost = next(&mut rt, IntsPiece::of(&mut numbers), 1);
    assert_eq!(none_is_lost, Ok(1));
    assert_eq!(next(&mut rt, IntsPiece::of(&mut numbers), 1), io);
}

#[test]
fn a_wait_ends_by_cancellation_and_by_close() {
    let (mut rt, [first, _]) = start();
    let mut numbers = [0; 5];
    let closed = Err(Error::Closed.into());
    assert_eq!(next(&mut rt, IntsPiece::of(&mut numbers), 1), closed);
    assert_eq!(open(&mut rt), Ok(2));
    assert_eq!(
        next(&mut rt, IntsPiece::of(&mut numbers), 1),
        Err(Stop::Pending)
    );
    assert_eq!(rt.cancel(1), Ok(1));
    first.borrow_mut().push(event(kind::KEY, 1, 1));
    assert_eq!(completed(&mut rt), []);
    assert_eq!(
        next(&mut rt, IntsPiece::of(&mut numbers), 1),
        Ok(1),
        "nothing is lost"
    );
    assert_eq!(
        next(&mut rt, IntsPiece::of(&mut numbers), 1),
        Err(Stop::Pending)
    );
    assert_eq!(close(&mut rt), Ok(0));
    assert_eq!(completed(&mut rt), [(1, closed)]);
    assert_eq!(set_led(&mut rt, 0, 1, true), closed);
}

/// Events dropped for one reader aren't reported to the next one.
#[test]
fn a_reader_that_opens_again_begins_with_nothing() {
    let (mut rt, [first, second]) = start();
    let group = [event(kind::KEY, 1, 1), event(kind::SYN, SYN_REPORT, 0)];
    let mut numbers = vec![0; 5 * MAX_EVENTS];
    for taken in [0, 64, MAX_EVENTS] {
        assert_eq!(open(&mut rt), Ok(2));
        for _ in 0..MAX_EVENTS {
            first.borrow_mut().extend(group);
        }
        second.borrow_mut().extend(group);
        assert_eq!(completed(&mut rt), []);
        if taken > 0 {
            let some = IntsPiece::of(&mut numbers[..5 * taken]);
            assert!(next(&mut rt, some, 1).is_ok());
        }
        first.borrow_mut().extend(group);
        assert_eq!(close(&mut rt), Ok(0));
        // Events between two readers aren't meant for the next one.
        second.borrow_mut().extend(group);
        assert_eq!(open(&mut rt), Ok(2));
        second.borrow_mut().extend(group);
        assert_eq!(completed(&mut rt), []);
        assert_eq!(
            next(&mut rt, IntsPiece::of(&mut numbers), 1),
            Ok(2),
            "{taken}"
        );
        assert!(
            numbers[..10].chunks(5).all(|event| event[0] == 1),
            "{taken}"
        );
        let pending = next(&mut rt, IntsPiece::of(&mut numbers), 1);
        assert_eq!(pending, Err(Stop::Pending), "{taken}");
        assert_eq!(close(&mut rt), Ok(0));
        assert_eq!(completed(&mut rt), [(1, Err(Error::Closed.into()))]);
    }
}

#[test]
fn events_that_are_not_taken_are_lost_by_device() {
    let (mut rt, [first, second]) = start();
    assert_eq!(open(&mut rt), Ok(2));
    let group = [event(kind::KEY, 1, 1), event(kind::SYN, SYN_REPORT, 0)];
    for _ in 0..MAX_EVENTS {
        first.borrow_mut().extend(group);
    }
    assert_eq!(completed(&mut rt), []);
    let mut numbers = vec![0; 5 * MAX_EVENTS];
    let some = IntsPiece::of(&mut numbers[..5 * 64]);
    assert_eq!(next(&mut rt, some, 1), Ok(64));
    first.borrow_mut().extend(group);
    second.borrow_mut().extend(group);
    assert_eq!(completed(&mut rt), []);
    let rest = next(&mut rt, IntsPiece::of(&mut numbers), 1).expect("some");
    let kept = rest + 64 - 4;
    assert!((MAX_EVENTS - 8..MAX_EVENTS).contains(&kept), "{kept}");
    let events = numbers.chunks(5).take(rest);
    let codes: Vec<_> = events.map(|n| (n[0], n[2], n[3])).collect();
    // The group during whose end there is room again is dropped as well.
    let dropped = SYN_DROPPED as isize;
    assert_eq!(
        codes[rest - 4..],
        [(0, 0, dropped), (0, 0, 0), (1, 1, 1), (1, 0, 0)]
    );
}

#[test]
fn a_loss_is_told_of_a_device_that_is_silent_after_it() {
    let (mut rt, [first, second]) = start();
    assert_eq!(open(&mut rt), Ok(2));
    // The dropped events end with the release of a key, after which the device sends nothing.
    let press = [event(kind::KEY, 1, 1), event(kind::SYN, SYN_REPORT, 0)];
    let release = [event(kind::KEY, 1, 0), event(kind::SYN, SYN_REPORT, 0)];
    for group in [press, release].iter().cycle().take(MAX_EVENTS) {
        first.borrow_mut().extend(*group);
    }
    assert_eq!(completed(&mut rt), []);
    let mut numbers = vec![0; 5 * 64];
    let mut codes = Vec::new();
    while let Ok(count) = next(&mut rt, IntsPiece::of(&mut numbers), 1) {
        let taken = numbers.chunks(5).take(count);
        codes.extend(taken.map(|n| (n[0], n[2], n[3])));
    }
    let dropped = SYN_DROPPED as isize;
    assert_eq!(codes[codes.len() - 2..], [(0, 0, dropped), (0, 0, 0)]);
    assert!(codes.len() <= MAX_EVENTS, "{}", codes.len());
    // The next events are reported in order.
    second.borrow_mut().extend(press);
    first.borrow_mut().extend(press);
    assert_eq!(completed(&mut rt), [(1, Ok(4))]);
}

#[test]
fn the_losses_of_all_devices_are_told() {
    let (mut rt, [first, second]) = start();
    assert_eq!(open(&mut rt), Ok(2));
    let group = [event(kind::KEY, 1, 1), event(kind::SYN, SYN_REPORT, 0)];
    for _ in 0..MAX_EVENTS {
        first.borrow_mut().extend(group);
        second.borrow_mut().extend(group);
    }
    assert_eq!(completed(&mut rt), []);
    let mut numbers = vec![0; 5 * 64];
    let mut codes = Vec::new();
    while let Ok(count) = next(&mut rt, IntsPiece::of(&mut numbers), 1) {
        let taken = numbers.chunks(5).take(count);
        codes.extend(taken.map(|n| (n[0], n[2], n[3])));
    }
    let dropped = SYN_DROPPED as isize;
    let notices = [(0, 0, dropped), (0, 0, 0), (1, 0, dropped), (1, 0, 0)];
    assert_eq!(codes[codes.len() - 4..], notices);
}

#[test]
fn a_description_is_lines_whatever_the_device_is_called() {
    let (mut rt, _sent) = start();
    let mut text = [0; 512];
    let len = describe(&mut rt, 1, &mut text).expect("a device");
    let text = core::str::from_utf8(&text[..len]).expect("text");
    let expected = "ids 0 0 0 0\nproperties\nkeys 1 30\nrelative\nswitches\nleds 1\n\
                    absolute 0 -5 5 0 0 0\nrepeats 0\nserial \nname device1\n";
    assert_eq!(text, expected);
    assert_eq!(describe(&mut rt, 1, &mut []), Ok(len));
    assert_eq!(describe(&mut rt, 2, &mut []), Err(Error::NotFound.into()));
    assert_eq!(open(&mut rt), Ok(2));
    assert_eq!(set_led(&mut rt, 0, 1, true), Ok(0));
    assert_eq!(set_led(&mut rt, 0, 2, true), Err(Error::Unsupported.into()));
    assert_eq!(set_led(&mut rt, 0, -1, true), Err(Error::Invalid.into()));
    let mut none = Runtime::new();
    install(&mut none, Vec::new()).expect("room");
    assert_eq!(open(&mut none), Err(Error::NoDevice.into()));
}
