//! Input devices: keyboards, pointers, touch screens.
//!
//! Types and codes are those of Linux's `input-event-codes.h` (evdev), which virtio uses as well
//! (virtio 1.2, 5.8).

use alloc::string::String;
use alloc::vec::Vec;

/// Types of events.
pub mod kind {
    /// `EV_SYN`: between groups of events.
    pub const SYN: u16 = 0x00;
    /// `EV_KEY`: keys and buttons.
    pub const KEY: u16 = 0x01;
    /// `EV_REL`: movements and wheels.
    pub const REL: u16 = 0x02;
    /// `EV_ABS`: positions.
    pub const ABS: u16 = 0x03;
    /// `EV_SW`: switches, such as a lid's.
    pub const SW: u16 = 0x05;
    /// `EV_LED`: lights.
    pub const LED: u16 = 0x11;
    /// `EV_REP`: repetition of keys.
    pub const REP: u16 = 0x14;
}

/// `SYN_REPORT`: the end of a group of events that happened together.
pub const SYN_REPORT: u16 = 0;
/// `SYN_DROPPED`: events were lost. All keys count as released; all other state is unknown until
/// its next event.
pub const SYN_DROPPED: u16 = 3;

/// Range of an absolute axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AbsoluteAxis {
    /// Code of the axis (`ABS_*`).
    pub code: u16,
    /// Minimum value.
    pub minimum: i32,
    /// Maximum value, greater than the minimum.
    pub maximum: i32,
    /// Changes up to this are noise.
    pub fuzz: i32,
    /// Values within this distance of the middle count as the middle.
    pub flat: i32,
    /// Units per millimetre; 0: not known.
    pub resolution: i32,
}

/// Identity of a device, and the codes that it sends and takes, each list in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Human-readable name.
    pub name: String,
    /// Its serial number, often empty.
    pub serial: String,
    /// Bus, vendor, product and version, as in `EVIOCGID`; zeros: not known.
    pub ids: [u16; 4],
    /// Properties (`INPUT_PROP_*`).
    pub properties: Vec<u16>,
    /// Keys and buttons (`KEY_*`, `BTN_*`).
    pub keys: Vec<u16>,
    /// Relative axes (`REL_*`).
    pub relative: Vec<u16>,
    /// Absolute axes.
    pub absolute: Vec<AbsoluteAxis>,
    /// Switches (`SW_*`).
    pub switches: Vec<u16>,
    /// Lights (`LED_*`).
    pub leds: Vec<u16>,
    /// The reader repeats a key that is held down. The device sends no repetitions.
    pub repeats: bool,
}
