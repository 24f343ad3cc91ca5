//! The machine's virtio devices, each to be taken once by the driver of its kind.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use drivers::transport::DeviceType;
use kernel::cell::ExclusiveCell;
use kernel::devices::{Found, find};

/// Devices that were found and not taken yet, and a line for each device.
struct Machine {
    found: Vec<Found>,
    description: String,
}

static MACHINE: ExclusiveCell<Option<Machine>> = ExclusiveCell::new(None);

/// Runs `f` on what is there; the first call looks for it.
fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with(|machine| {
        f(machine.get_or_insert_with(|| {
            let found = find(&mut |problem| log::warn!("{problem}"));
            let mut description = String::new();
            for device in &found {
                // Writing to a string can't fail.
                let _ = writeln!(
                    description,
                    "{:?} at {}",
                    device.transport.device_type(),
                    device.place
                );
            }
            Machine { found, description }
        }))
    })
}

/// Takes all devices of a kind, in the order in which they were found.
pub fn take(kind: DeviceType) -> Vec<Found> {
    with(|machine| {
        let all = core::mem::take(&mut machine.found);
        let (taken, left) = all
            .into_iter()
            .partition(|d| d.transport.device_type() == kind);
        machine.found = left;
        taken
    })
}

/// The devices, one a line.
pub fn description() -> String {
    with(|machine| machine.description.clone())
}
