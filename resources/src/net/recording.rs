//! `SOIL_PCAP`: records all frames of all interfaces, for Wireshark and tcpdump. In the process its
//! value is the name of a file, which is truncated first; in the image it is `serial`: the second
//! serial port, whose output `soil run --pcap FILE` puts in a file. `SOIL_PCAP_SNAP` limits the
//! recorded bytes of a frame.

use crate::current::Current;
use ::services::capture::Recorder;
use alloc::format;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::link::Device;
use platform::{Clock, Links, System};

/// Maximum frame size: segments of up to 64 KiB that a device splits.
const WHOLE: usize = 65_549;

/// Wraps the devices in a recorder if it is enabled.
pub fn record(devices: Vec<Device<Current>>) -> Result<Vec<Device<Current>>, Failure> {
    let variable = |name| Current::variable(name).filter(|value| !value.is_empty());
    let Some(target) = variable("SOIL_PCAP") else {
        return Ok(devices);
    };
    let snap = match variable("SOIL_PCAP_SNAP") {
        None => WHOLE,
        Some(text) => text.parse().map_err(|_| {
            let detail = format!("SOIL_PCAP_SNAP: \"{text}\" is not a number such as 96");
            Failure::new(Error::BadConfiguration, detail)
        })?,
    };
    let recorder = Recorder::new(Current::recording(&target)?, Current::wall_ns, snap);
    let record = |device: Device<Current>| Device {
        link: recorder.record(device.link, &device.name),
        ..device
    };
    Ok(devices.into_iter().map(record).collect())
}
