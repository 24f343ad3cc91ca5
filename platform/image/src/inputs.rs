//! Input devices.

use crate::{Image, Interest, Source, devices};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use drivers::device_type::DeviceType;
use drivers::input;
use kernel::devices::MEMORY;
use kernel::guarded::Guarded;
use kernel::time;
use platform::error::{Error, Failure};
use platform::input::{All, Description, Event, InputDevice};

/// A device, shared between its user and the wait, which arms its interrupts.
struct Shared {
    input: Guarded<input::Input>,
    /// It may interrupt, because the program was about to sleep.
    armed: Cell<bool>,
}

impl Source for Shared {
    fn has_pending(&self) -> bool {
        // If another thread's call uses the device, it has to be waited for.
        self.input
            .try_lock()
            .is_some_and(|input| input.has_pending())
    }

    fn arm(&self) -> bool {
        let Some(mut input) = self.input.try_lock() else {
            return true;
        };
        self.armed.set(true);
        input.enable_interrupts()
    }
}

/// An input device.
struct Input {
    shared: Rc<Shared>,
    description: Description,
}

impl platform::Inputs for Image {
    const NO_INPUT: &str = "no input device: give the machine a display (soil run --display)";

    fn inputs(_: &mut Interest) -> Result<All<Image>, Failure> {
        Ok(open())
    }
}

/// Starts all devices.
fn open() -> All<Image> {
    let mut opened: All<Image> = Vec::new();
    for found in devices::take(DeviceType::INPUT) {
        match input::Input::new(found.transport, MEMORY) {
            Ok(input) => opened.push(Box::new(Input {
                description: input.description().clone(),
                shared: Rc::new(Shared {
                    input: Guarded::new(input),
                    armed: Cell::new(false),
                }),
            })),
            Err(error) => log::error!("input device at {}: {error}", found.place),
        }
    }
    opened
}

impl InputDevice<Image> for Input {
    fn description(&self) -> &Description {
        &self.description
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        let mut input = self.shared.input.lock();
        if self.shared.armed.take() {
            input.disable_interrupts();
        }
        let time_ns = time::monotonic_ns();
        input.poll(&mut |event| {
            report(Event {
                time_ns,
                kind: event.kind,
                code: event.code,
                value: event.value,
            });
        });
    }

    fn check(&self) -> Result<(), Failure> {
        if self.shared.input.lock().is_running() {
            return Ok(());
        }
        let name = &self.description.name;
        let detail = format!("input device {name}: the device broke the virtio protocol");
        Err(Failure::new(Error::Io, detail))
    }

    fn set_led(&mut self, led: u16, on: bool) -> Result<(), Failure> {
        if self.shared.input.lock().set_led(led, on) {
            return Ok(());
        }
        self.check()?;
        let name = &self.description.name;
        let detail = format!("input device {name}: light {led}: no such light");
        Err(Failure::new(Error::Unsupported, detail))
    }

    fn arm(&mut self, interest: &mut Interest) {
        interest.source(Rc::clone(&self.shared) as Rc<dyn Source>);
    }
}
