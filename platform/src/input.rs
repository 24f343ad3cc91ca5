//! Input devices: keyboards, pointers, touch screens, and the events that they send.
//!
//! Types, codes and values are those of Linux's `input-event-codes.h` (evdev), which virtio uses,
//! too (virtio 1.2, 5.8). A device is used from calls only, and never blocks.

use crate::error::Failure;
use crate::{Inputs, Wait};
use alloc::boxed::Box;
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
/// `SYN_DROPPED`: events were lost. All keys count as released, and all else is unknown, until the
/// next event of each.
pub const SYN_DROPPED: u16 = 3;

/// An event of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was received, in nanoseconds of the monotonic clock; the same for all of a group.
    pub time_ns: u64,
    /// Type ([`kind`]).
    pub kind: u16,
    /// Key, axis or light, by the type.
    pub code: u16,
    /// Of keys 1 is pressed and 0 released; of relative axes the movement, of absolute ones the
    /// position.
    pub value: i32,
}

/// Range of an absolute axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AbsoluteAxis {
    /// Code of the axis (`ABS_*`).
    pub code: u16,
    /// Least value.
    pub minimum: i32,
    /// Greatest value, more than the least.
    pub maximum: i32,
    /// Changes up to this are noise.
    pub fuzz: i32,
    /// Values up to this from the middle count as the middle.
    pub flat: i32,
    /// Units per millimetre; 0: not known.
    pub resolution: i32,
}

/// Identity of a device, and the codes that it sends and takes, each list in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name for people.
    pub name: String,
    /// Its serial number, often empty.
    pub serial: String,
    /// Bus, vendor, product and version, as of `EVIOCGID`; zeros: not known.
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
    /// A key that is held is to be repeated. The device sends no repetitions: they are the
    /// reader's.
    pub repeats: bool,
}

/// An input device of platform `P`.
pub trait InputDevice<P: Inputs> {
    /// What it is.
    fn description(&self) -> &Description;

    /// Reports the events that have arrived, in their order: whole groups, each of which ends with
    /// [`SYN_REPORT`]. A press of a key that is pressed is left out, as is a release of one that
    /// isn't. Where events were lost, [`SYN_DROPPED`] and [`SYN_REPORT`] are reported in their
    /// place.
    ///
    /// A device that breaks the protocol or is gone is reset: that is reported as lost events, and
    /// then no more come, as [`check`](InputDevice::check) tells.
    fn poll(&mut self, report: &mut dyn FnMut(Event));

    /// Whether the device can send events yet.
    ///
    /// # Errors
    /// [`Io`](crate::error::Error::Io): it is out of use.
    fn check(&self) -> Result<(), Failure>;

    /// Switches a light on or off. Of several calls in a short time the last one for each light
    /// counts.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::Error::Unsupported): the device has no such light;
    /// [`Io`](crate::error::Error::Io): it is out of use.
    fn set_led(&mut self, led: u16, on: bool) -> Result<(), Failure>;

    /// Before a wait: adds the event that [`poll`](InputDevice::poll) has something to report.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest);
}

/// The input devices of a platform.
pub type All<P> = Vec<Box<dyn InputDevice<P>>>;
