//! Keyboard and pointer of a process: those of its viewer's windows.

use crate::displays::viewer;
use crate::viewer::Peer;
use crate::{Host, Interest};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::input::{AbsoluteAxis, All, Description, Event, InputDevice};
use platform::{Inputs, Interest as _};
use viewer::evdev::{AXES, BUTTONS, KEYS, WHEELS};
use viewer::{Kind, POINTER_RANGE};

/// `BUS_VIRTUAL`.
const BUS: u16 = 6;

struct Input {
    peer: Peer,
    place: u32,
    description: Description,
}

impl Inputs for Host {
    const NO_INPUT: &str = "there is no keyboard or pointer: give soil run --display window";

    fn inputs(interest: &mut Interest) -> Result<All<Host>, Failure> {
        let mut all: All<Host> = Vec::new();
        let Some(peer) = viewer(interest)? else {
            return Ok(all);
        };
        for (place, device) in peer.borrow().devices.iter().enumerate() {
            all.push(Box::new(Input {
                peer: peer.clone(),
                place: place as u32,
                description: describe(device.kind),
            }));
        }
        Ok(all)
    }
}

fn describe(kind: Kind) -> Description {
    let ids = [BUS, 0, 0, 0];
    match kind {
        Kind::Keyboard => Description {
            name: "keyboard of the window".to_string(),
            ids,
            keys: KEYS.collect(),
            repeats: true,
            ..Description::default()
        },
        Kind::Pointer { display } => {
            let axis = |code| AbsoluteAxis {
                code,
                maximum: POINTER_RANGE,
                ..AbsoluteAxis::default()
            };
            Description {
                name: format!("pointer of display{display}"),
                ids,
                keys: BUTTONS.to_vec(),
                relative: WHEELS.to_vec(),
                absolute: AXES.map(axis).to_vec(),
                ..Description::default()
            }
        }
    }
}

impl InputDevice<Host> for Input {
    fn description(&self) -> &Description {
        &self.description
    }

    fn poll(&mut self, report: &mut dyn FnMut(Event)) {
        let mut peer = self.peer.borrow_mut();
        peer.receive();
        if let Some(device) = peer.devices.get_mut(self.place as usize) {
            device.events.drain(..).for_each(report);
        }
    }

    fn check(&self) -> Result<(), Failure> {
        self.peer.borrow().check()
    }

    /// The desktop controls the lights.
    fn set_led(&mut self, _: u16, _: bool) -> Result<(), Failure> {
        Err(Error::Unsupported.into())
    }

    fn arm(&mut self, interest: &mut Interest) {
        let peer = self.peer.borrow();
        let device = peer.devices.get(self.place as usize);
        if device.is_some_and(|device| !device.events.is_empty()) {
            interest.immediately();
        }
        let (fd, events) = peer.events();
        interest.fd(fd, events);
    }
}

#[cfg(test)]
mod tests {
    use super::describe;
    use viewer::Kind;

    #[test]
    fn a_pointer_is_named_after_its_display_and_a_keyboard_has_no_lights() {
        assert_eq!(
            describe(Kind::Pointer { display: 1 }).name,
            "pointer of display1"
        );
        let keyboard = describe(Kind::Keyboard);
        assert!(keyboard.leds.is_empty() && keyboard.keys.contains(&1));
    }
}
