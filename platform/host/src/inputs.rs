//! Keyboard and pointer of a process: those of its viewer's windows.

use crate::displays::viewer;
use crate::viewer::Peer;
use crate::{Host, Interest};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::input::{AbsoluteAxis, All, Description, Event, InputDevice};
use platform::{Inputs, Interest as _};
use viewer::{Kind, POINTER_RANGE, Request};

/// The last key of a keyboard (`KEY_MICMUTE`).
const LAST_KEY: u16 = 248;
/// `BTN_LEFT` and the four after it.
const BUTTONS: [u16; 5] = [0x110, 0x111, 0x112, 0x113, 0x114];
/// `REL_HWHEEL` and `REL_WHEEL`.
const WHEELS: [u16; 2] = [6, 8];
/// `LED_NUML`, `LED_CAPSL`, `LED_SCROLLL`.
const LEDS: [u16; 3] = [0, 1, 2];
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
            keys: (1..=LAST_KEY).collect(),
            leds: LEDS.to_vec(),
            repeats: true,
            ..Description::default()
        },
        Kind::Pointer => {
            let axis = |code| AbsoluteAxis {
                code,
                maximum: POINTER_RANGE,
                ..AbsoluteAxis::default()
            };
            Description {
                name: "pointer of the window".to_string(),
                ids,
                keys: BUTTONS.to_vec(),
                relative: WHEELS.to_vec(),
                // `ABS_X` and `ABS_Y`.
                absolute: [0, 1].map(axis).to_vec(),
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

    fn set_led(&mut self, led: u16, on: bool) -> Result<(), Failure> {
        if !self.description.leds.contains(&led) {
            return Err(Error::Unsupported.into());
        }
        let mut peer = self.peer.borrow_mut();
        peer.check()?;
        let request = Request::Led {
            device: self.place,
            led: led.into(),
            on,
        };
        peer.send(&request, None);
        Ok(())
    }

    fn arm(&mut self, interest: &mut Interest) {
        let peer = self.peer.borrow();
        let device = peer.devices.get(self.place as usize);
        if device.is_some_and(|device| !device.events.is_empty()) {
            interest.immediately();
        }
        peer.arm(interest);
    }
}
