//! The machine's virtio devices, each taken once by the driver of its type.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use drivers::device_type::DeviceType;
use kernel::cell::{ExclusiveCell, rank};
use kernel::devices::{Found, find};

/// Timeout of a device's response that the machine waits for, at its start and at its end, in
/// nanoseconds. A busy host may not run the machine, or the device, for seconds.
pub const DEVICE_TIMEOUT_NS: u64 = 10_000_000_000;

/// Devices that were found and not yet taken, and the type and place of each.
struct Machine {
    found: Vec<Found>,
    places: Vec<(DeviceType, String)>,
}

static MACHINE: ExclusiveCell<Option<Machine>, rank::Devices> = ExclusiveCell::new(None);

/// Runs `f` on the devices; the first call scans for them.
fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with(|machine| f(machine.get_or_insert_with(scan)))
}

fn scan() -> Machine {
    let found = find(&mut |problem| log::warn!("{problem}"));
    let place = |device: &Found| (device.transport.device_type(), device.place.clone());
    let places = found.iter().map(place).collect();
    Machine { found, places }
}

/// Takes all devices of a type, in the order in which they were found.
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

/// Returns devices, for another driver to take.
pub fn release(devices: Vec<Found>) {
    with(|machine| machine.found.extend(devices));
}

/// The devices, one per line.
pub fn description() -> String {
    with(|machine| {
        let mut text = String::new();
        for (kind, place) in &machine.places {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{kind} at {place}");
        }
        text
    })
}
