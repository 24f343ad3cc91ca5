//! Input devices: one stream with the events of all devices, in the order in which the platform
//! received them ([`Event::time_ns`]). An image receives events when it polls a device: if several
//! devices sent events between two polls, those of the first device come first.
//!
//! Up to [`MAX_EVENTS`] unread events are queued. If a device sends more, its events are dropped,
//! and `SYN_DROPPED` reports this.

use crate::current::{Current, Interest};
use crate::types::{Int, IntsPiece, copy};
use crate::{Driver, Runtime};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use platform::Inputs as _;
use platform::error::{Answer, Error, Failure, Stop};
use platform::input::{Event, InputDevice, SYN_DROPPED, SYN_REPORT, kind};
use reactor::Cancelled;

/// Maximum number of queued events.
const MAX_EVENTS: usize = 4096;

/// Numbers per event in the interface: device, nanoseconds, type, code, value.
const NUMBERS: usize = 5;

/// An input device.
pub(crate) type Device = Box<dyn InputDevice<Current>>;

/// All input devices.
pub struct Inputs {
    devices: Vec<Device>,
    open: bool,
    queue: Queue,
    /// The operation that waits for events, and its buffer.
    wait: Option<(u64, IntsPiece)>,
}

/// Queued events, each with the index of its device.
struct Queue {
    events: VecDeque<(usize, Event)>,
    /// Whether events of a device are being dropped.
    loses: Vec<bool>,
    /// Time of the last event, dropped or not.
    latest_ns: u64,
}

impl Queue {
    fn new(devices: usize) -> Queue {
        Queue {
            events: VecDeque::with_capacity(MAX_EVENTS),
            loses: alloc::vec![false; devices],
            latest_ns: 0,
        }
    }

    /// Queues an event, or drops it.
    fn push(&mut self, device: usize, event: Event) {
        let is_end = event.kind == kind::SYN && event.code == SYN_REPORT;
        // Each device may need two for the notice of its dropped events.
        let reserved = 2 * self.loses.len();
        self.latest_ns = event.time_ns;
        let Some(loses) = self.loses.get_mut(device) else {
            return;
        };
        if !*loses && self.events.len() + reserved < MAX_EVENTS {
            self.events.push_back((device, event));
            return;
        }
        *loses = true;
        if is_end && self.events.len() + reserved < MAX_EVENTS {
            self.report_loss(device);
        }
    }

    /// Queues the notice that events of a device were dropped, as a group of its own: a device's
    /// events come in whole groups, of which the queue may contain the beginning of one.
    fn report_loss(&mut self, device: usize) {
        if let Some(loses) = self.loses.get_mut(device) {
            *loses = false;
        }
        let event = |code| Event {
            time_ns: self.latest_ns,
            kind: kind::SYN,
            code,
            value: 0,
        };
        let notice = [SYN_DROPPED, SYN_REPORT].map(|code| (device, event(code)));
        self.events.extend(notice);
    }

    /// Removes as many events as there is room for, five numbers for each.
    fn take(&mut self, room: usize) -> Vec<Int> {
        let count = self.events.len().min(room / NUMBERS);
        let taken = self.events.drain(..count);
        let numbers = taken.flat_map(|(device, event)| {
            [
                device as Int,
                event.time_ns as Int,
                event.kind as Int,
                event.code as Int,
                event.value as Int,
            ]
        });
        let numbers = numbers.collect();
        // A device that sends nothing more would otherwise never report that its last events were
        // dropped, such as the release of a key.
        if self.events.is_empty() {
            for device in 0..self.loses.len() {
                if self.loses.get(device) == Some(&true) {
                    self.report_loss(device);
                }
            }
        }
        numbers
    }
}

/// Returns the input devices. The first call discovers them.
fn inputs(rt: &mut Runtime) -> Result<&mut Inputs, Stop> {
    if rt.resources.inputs.is_none() {
        rt.start()?;
        let found = Current::inputs(&mut rt.interest).or_else(|failure| rt.fail(failure))?;
        install(rt, found)?;
    }
    rt.resources
        .inputs
        .as_deref_mut()
        .ok_or(Stop::Error(Error::NoDevice))
}

/// Installs these input devices.
fn install(rt: &mut Runtime, devices: Vec<Device>) -> Result<(), Error> {
    rt.register(const { &Driver::of_events(|rt, _| poll(rt), interest) })?;
    let queue = Queue::new(devices.len());
    rt.resources.inputs = Some(Box::leak(Box::new(Inputs {
        devices,
        open: false,
        queue,
        wait: None,
    })));
    Ok(())
}

fn interest(rt: &mut Runtime, interest: &mut Interest) {
    if let Some(inputs) = rt.resources.inputs.as_deref_mut().filter(|all| all.open) {
        for device in &mut inputs.devices {
            device.arm(interest);
        }
    }
}

fn poll(rt: &mut Runtime) {
    let Some(inputs) = rt.resources.inputs.as_deref_mut().filter(|all| all.open) else {
        return;
    };
    let Inputs {
        devices,
        queue,
        wait,
        ..
    } = inputs;
    let mut events = Vec::new();
    for (place, device) in devices.iter_mut().enumerate() {
        device.poll(&mut |event| events.push((place, event)));
    }
    // The sort is stable: the events of a group, which have the same time, stay together.
    events.sort_by_key(|(_, event)| event.time_ns);
    for (place, event) in events {
        queue.push(place, event);
    }
    if queue.events.is_empty() {
        if let Err(failure) = check(devices)
            && let Some((token, _)) = wait.take()
        {
            rt.complete_failed(token, failure);
        }
        return;
    }
    if let Some((token, into)) = wait.take() {
        let numbers = queue.take(into.len());
        // SAFETY: the operation hasn't completed.
        unsafe { into.fill(&numbers) };
        rt.complete(token, Ok(numbers.len() / NUMBERS));
    }
}

/// Whether any device can still send events. Otherwise fails with the first device's error.
fn check(devices: &[Device]) -> Result<(), Failure> {
    let mut failures = devices.iter().map(|device| device.check().err());
    match failures.next() {
        Some(Some(first)) if failures.all(|failure| failure.is_some()) => Err(first),
        _ => Ok(()),
    }
}

/// See `soil_input_open`.
pub fn open(rt: &mut Runtime) -> Answer {
    let inputs = inputs(rt)?;
    let failure = if inputs.devices.is_empty() {
        Failure::new(Error::NoDevice, Current::NO_INPUT)
    } else if inputs.open {
        Failure::new(Error::Busy, "the input devices are open already")
    } else {
        inputs.open = true;
        // Drops earlier events, which weren't meant for this reader.
        for device in &mut inputs.devices {
            device.poll(&mut |_| ());
        }
        return Ok(inputs.devices.len());
    };
    rt.fail(failure)
}

/// See `soil_input_close`.
pub fn close(rt: &mut Runtime) -> Answer {
    let Some(inputs) = rt.resources.inputs.as_deref_mut() else {
        return Ok(0);
    };
    inputs.open = false;
    inputs.queue.events.clear();
    inputs.queue.loses.fill(false);
    if let Some((token, _)) = inputs.wait.take() {
        rt.complete(token, Err(Error::Closed.into()));
    }
    Ok(0)
}

/// See `soil_input_next`.
pub fn next(rt: &mut Runtime, into: IntsPiece, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let inputs = inputs(rt)?;
    if !inputs.open {
        return Err(Error::Closed.into());
    }
    if into.len() < NUMBERS {
        return Err(Error::Invalid.into());
    }
    if inputs.wait.is_some() {
        return Err(Error::Busy.into());
    }
    let numbers = inputs.queue.take(into.len());
    if !numbers.is_empty() {
        // SAFETY: the operation completes with this call.
        unsafe { into.fill(&numbers) };
        return Ok(numbers.len() / NUMBERS);
    }
    if let Err(failure) = check(&inputs.devices) {
        return rt.fail(failure);
    }
    inputs.wait = Some((token, into));
    rt.give_begun(token, cancel)
}

fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    if let Some(inputs) = rt.resources.inputs.as_deref_mut() {
        inputs.wait.take_if(|(waiting, _)| *waiting == token);
    }
    Cancelled::Done
}

/// See `soil_input_describe`.
pub fn describe(rt: &mut Runtime, device: Int, into: &mut [u8]) -> Answer {
    let place = usize::try_from(device).map_err(|_| Error::Invalid)?;
    let device = inputs(rt)?.devices.get(place).ok_or(Error::NotFound)?;
    let description = device.description();
    let mut text = String::new();
    // Writing to a string can't fail.
    let mut line = |name: &str, numbers: &mut dyn Iterator<Item = i32>| {
        text.push_str(name);
        for number in numbers {
            let _ = write!(text, " {number}");
        }
        text.push('\n');
    };
    let mut codes = |name: &str, codes: &[u16]| {
        line(name, &mut codes.iter().map(|code| i32::from(*code)));
    };
    codes("ids", &description.ids);
    codes("properties", &description.properties);
    codes("keys", &description.keys);
    codes("relative", &description.relative);
    codes("switches", &description.switches);
    codes("leds", &description.leds);
    for axis in &description.absolute {
        let numbers = [
            axis.code.into(),
            axis.minimum,
            axis.maximum,
            axis.fuzz,
            axis.flat,
            axis.resolution,
        ];
        line("absolute", &mut numbers.into_iter());
    }
    line("repeats", &mut [description.repeats.into()].into_iter());
    // A device may send any characters.
    for (name, value) in [("serial", &description.serial), ("name", &description.name)] {
        let value = value.replace(char::is_control, "");
        let _ = writeln!(text, "{name} {value}");
    }
    Ok(copy(text.as_bytes(), into))
}

/// See `soil_input_set_led`.
pub fn set_led(rt: &mut Runtime, device: Int, led: Int, on: bool) -> Answer {
    let place = usize::try_from(device).map_err(|_| Error::Invalid)?;
    let led = u16::try_from(led).map_err(|_| Error::Invalid)?;
    let inputs = inputs(rt)?;
    if !inputs.open {
        return Err(Error::Closed.into());
    }
    let device = inputs.devices.get_mut(place).ok_or(Error::NotFound)?;
    let result = device.set_led(led, on);
    result.map(|()| 0).or_else(|failure| rt.fail(failure))
}

#[cfg(test)]
mod tests;
