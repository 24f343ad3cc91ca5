//! Keyboard and pointers of a process: those of the VNC clients that see its displays.

use crate::displays::screens;
use crate::vnc::Shared;
use crate::{Host, Interest};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::input::{All, Description, Event, InputDevice};
use platform::{Inputs, Interest as _};

struct Input {
    screens: Shared,
    place: usize,
    description: Description,
}

impl Inputs for Host {
    const NO_INPUT: &str = "there is no keyboard or pointer: give soil run --display window";

    fn inputs(interest: &mut Interest) -> Result<All<Host>, Failure> {
        let mut all: All<Host> = Vec::new();
        let Some(screens) = screens(interest)? else {
            return Ok(all);
        };
        for (place, device) in screens.borrow().devices.iter().enumerate() {
            all.push(Box::new(Input {
                screens: Rc::clone(&screens),
                place,
                description: device.description.clone(),
            }));
        }
        Ok(all)
    }
}

impl InputDevice<Host> for Input {
    fn description(&self) -> &Description {
        &self.description
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        let mut screens = self.screens.borrow_mut();
        screens.serve();
        if let Some(device) = screens.devices.get_mut(self.place) {
            device.events.drain(..).for_each(report);
        }
    }

    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// The desktop controls the lights.
    fn set_led(&mut self, _: u16, _: bool) -> Result<(), Failure> {
        Err(Error::Unsupported.into())
    }

    fn arm(&mut self, interest: &mut Interest) {
        let screens = self.screens.borrow();
        let device = screens.devices.get(self.place);
        if device.is_some_and(|device| !device.events.is_empty()) {
            interest.immediately();
        }
        screens.arm(&mut |fd, events| interest.fd(fd, events));
    }
}
