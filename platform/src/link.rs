//! Network devices of the runtime, and their settings.

use crate::error::Failure;
use crate::{LinkWake, Wait};
use alloc::boxed::Box;
use alloc::string::String;

/// An open network device of platform `P`.
pub struct Device<P: Wait + ?Sized> {
    /// Its name in messages: `eth0`, ….
    pub name: String,
    /// Frames in and out. Used from calls and ticks.
    pub link: Box<dyn net::Link>,
    /// Its event source.
    pub wake: LinkWake<P>,
}

/// Receives the bytes of a recording. It is called from calls and ticks, and may block.
pub type RecordingSink = Box<dyn FnMut(&[u8]) + Send>;

/// The permitted offloads of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offloads {
    /// Transmit checksums (`csum`); segmentation needs it.
    pub tx_checksum: bool,
    /// TCP segmentation (`tso`).
    pub segmentation: bool,
    /// Receive checksums (`rxcsum`); large frames need it.
    pub rx_checksum: bool,
    /// Received frames merged from several segments (`lro`).
    pub large_receive: bool,
    /// Received frames over several buffers (`mrg`; the image's card).
    pub mergeable: bool,
    /// Notifications only on request (`event`; the image's card).
    pub event_index: bool,
    /// Indirect descriptors (`indirect`; the image's card).
    pub indirect: bool,
}

impl Offloads {
    /// All are permitted.
    pub const ALL: Offloads = Offloads {
        tx_checksum: true,
        segmentation: true,
        rx_checksum: true,
        large_receive: true,
        mergeable: true,
        event_index: true,
        indirect: true,
    };
}

/// Selects the Ethernet address of the device with this index, whose own address is the second
/// argument if it has one.
pub type ChooseMac = fn(usize, Option<[u8; 6]>) -> Result<[u8; 6], Failure>;

/// Settings of network devices from the environment.
#[derive(Clone, Copy)]
pub struct Settings {
    /// See [`Offloads`].
    pub offloads: Offloads,
    /// See [`ChooseMac`].
    pub mac: ChooseMac,
}
