//! The keyboard and the pointers of a process's displays: their state, and the events that programs
//! haven't read.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use platform::input::{AbsoluteAxis, Description, Event, SYN_DROPPED, SYN_REPORT, kind};
use rfb::{KEYS, POINTER_RANGE};

/// `BUS_VIRTUAL`.
const BUS: u16 = 6;

/// Buttons of a pointer in the order of their bits, without those of the wheels: `BTN_LEFT`,
/// `BTN_MIDDLE`, `BTN_RIGHT`, `BTN_SIDE`, `BTN_EXTRA`.
const BUTTONS: [(u16, u16); 5] = [
    (1, 0x110),
    (1 << 1, 0x112),
    (1 << 2, 0x111),
    (1 << 7, 0x113),
    (1 << 8, 0x114),
];

/// Bits of wheels, with axis and movement: `REL_WHEEL` and `REL_HWHEEL`.
const WHEELS: [(u16, u16, i32); 4] = [
    (1 << 3, 8, 1),
    (1 << 4, 8, -1),
    (1 << 5, 6, -1),
    (1 << 6, 6, 1),
];

/// Maximum number of events of a device that wait to be read.
const MAX_EVENTS: usize = 1024;

/// The state of a device.
pub struct Device {
    pub description: Description,
    /// Events that weren't reported yet.
    pub events: VecDeque<Event>,
    /// Pressed keys and buttons.
    pressed: BTreeSet<u16>,
    at: Option<(i32, i32)>,
    /// The clients' bits of buttons and wheels.
    buttons: u16,
}

fn keyboard() -> Description {
    Description {
        name: "keyboard of the window".to_string(),
        ids: [BUS, 0, 0, 0],
        keys: KEYS.collect(),
        repeats: true,
        ..Description::default()
    }
}

fn pointer(display: usize) -> Description {
    let axis = |code| AbsoluteAxis {
        code,
        maximum: POINTER_RANGE,
        ..AbsoluteAxis::default()
    };
    Description {
        name: format!("pointer of display{display}"),
        ids: [BUS, 0, 0, 0],
        keys: (0x110..=0x114).collect(),
        relative: Vec::from([6, 8]),
        // `ABS_X` and `ABS_Y`.
        absolute: [0, 1].map(axis).to_vec(),
        ..Description::default()
    }
}

impl Device {
    /// The devices of this many displays: a keyboard, and a pointer for each.
    pub fn all(displays: usize) -> Vec<Device> {
        let pointers = (0..displays).map(pointer);
        let device = |description| Device {
            description,
            events: VecDeque::new(),
            pressed: BTreeSet::new(),
            at: None,
            buttons: 0,
        };
        core::iter::once(keyboard())
            .chain(pointers)
            .map(device)
            .collect()
    }

    /// Records a key's change.
    pub fn key(&mut self, time_ns: u64, code: u16, down: bool) {
        let group = self.press(code, down);
        self.record(time_ns, group.into_iter());
    }

    /// Records a pointer's position and its buttons.
    pub fn pointer(&mut self, time_ns: u64, at: (i32, i32), buttons: u16) {
        let mut group = Vec::new();
        let (x, y) = self.at.unzip();
        for (code, before, value) in [(0, x, at.0), (1, y, at.1)] {
            if before != Some(value) {
                group.push((kind::ABS, code, value));
            }
        }
        self.at = Some(at);
        for (bit, code) in BUTTONS {
            group.extend(self.press(code, buttons & bit != 0));
        }
        let turned = buttons & !self.buttons;
        let wheels = WHEELS.iter().filter(|(bit, ..)| turned & bit != 0);
        group.extend(wheels.map(|(_, axis, by)| (kind::REL, *axis, *by)));
        self.buttons = buttons;
        self.record(time_ns, group.into_iter());
    }

    /// The event of a key or button, if it has changed.
    fn press(&mut self, code: u16, down: bool) -> Option<(u16, u16, i32)> {
        let changed = match down {
            true => self.pressed.insert(code),
            false => self.pressed.remove(&code),
        };
        changed.then_some((kind::KEY, code, down.into()))
    }

    /// Appends a group of events, each with its type, code and value. Without room all are lost.
    fn record(&mut self, time_ns: u64, group: impl ExactSizeIterator<Item = (u16, u16, i32)>) {
        if group.len() == 0 {
            return;
        }
        let end = [(kind::SYN, SYN_REPORT, 0)];
        let event = |(kind, code, value)| Event {
            time_ns,
            kind,
            code,
            value,
        };
        if self.events.len() + group.len() >= MAX_EVENTS {
            self.events.clear();
            self.pressed.clear();
            self.at = None;
            let lost = [(kind::SYN, SYN_DROPPED, 0)];
            self.events.extend(lost.into_iter().chain(end).map(event));
            return;
        }
        self.events.extend(group.chain(end).map(event));
    }
}
