//! The machine's devices for the drivers of the program. A program with any driver contains that of
//! consoles as well: the console may be one of the machine's devices.

pub use crate::found::{DEVICE_TIMEOUT_NS, release};

use crate::{consoles, found};
use alloc::string::String;
use alloc::vec::Vec;
use drivers::device_type::DeviceType;
use kernel::devices::Found;
use kernel::part::keep;

/// Takes all devices of a type, in the order in which they were found.
pub fn take(kind: DeviceType) -> Vec<Found> {
    keep(&consoles::DRIVER);
    found::take(kind)
}

/// The devices, one per line.
pub fn description() -> String {
    keep(&consoles::DRIVER);
    found::description()
}
