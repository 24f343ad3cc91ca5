//! Input devices: keyboards, pointers, touch screens, and the events that they send.
//!
//! Types, codes and values are those of Linux's `input-event-codes.h` (evdev), which virtio uses as
//! well (virtio 1.2, 5.8). A device is used from calls only, and never blocks.

use crate::error::Failure;
use crate::{Inputs, Wait};
use alloc::boxed::Box;
use alloc::vec::Vec;

pub use device_types::input::{AbsoluteAxis, Description, SYN_DROPPED, SYN_REPORT, kind};

/// An event of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was received, in nanoseconds of the monotonic clock; the same for all of a group.
    pub time_ns: u64,
    /// Type ([`kind`]).
    pub kind: u16,
    /// Key, axis or light, depending on the type.
    pub code: u16,
    /// For keys 1 is pressed and 0 released; for relative axes the movement, for absolute ones the
    /// position.
    pub value: i32,
}

/// An input device of platform `P`.
pub trait InputDevice<P: Inputs> {
    /// Its description.
    fn description(&self) -> &Description;

    /// Reports the events that have arrived, in order: whole groups, each of which ends with
    /// [`SYN_REPORT`]. A press of a pressed key is dropped, as is a release of a released one. Lost
    /// events are reported as [`SYN_DROPPED`] and [`SYN_REPORT`].
    ///
    /// A device that breaks the protocol or is removed is reset: that is reported as lost events,
    /// and no more follow, as [`check`](InputDevice::check) reports.
    fn poll(&mut self, report: &mut dyn FnMut(Event));

    /// Whether the device can still send events.
    ///
    /// # Errors
    /// [`Io`](crate::error::Error::Io): it is out of use.
    fn check(&self) -> Result<(), Failure>;

    /// Switches a light on or off. Of several calls in quick succession the last one for each light
    /// counts.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::Error::Unsupported): the device has no such light;
    /// [`Io`](crate::error::Error::Io): it is out of use.
    fn set_led(&mut self, led: u16, on: bool) -> Result<(), Failure>;

    /// Before a wait: adds events of [`poll`](InputDevice::poll) to the awaited ones.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest);
}

/// The input devices of a platform.
pub type All<P> = Vec<Box<dyn InputDevice<P>>>;
