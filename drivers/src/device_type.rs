//! The types of virtio devices.

use core::fmt;

/// Type of a virtio device: its id (virtio 1.2, chapter 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceType(pub u32);

impl DeviceType {
    /// Network card.
    pub const NET: DeviceType = DeviceType(1);
    /// Block device.
    pub const BLOCK: DeviceType = DeviceType(2);
    /// Console.
    pub const CONSOLE: DeviceType = DeviceType(3);
    /// Entropy source.
    pub const RNG: DeviceType = DeviceType(4);
    /// SCSI host.
    pub const SCSI: DeviceType = DeviceType(8);
    /// Graphics adapter.
    pub const GPU: DeviceType = DeviceType(16);
    /// Keyboard, pointer or another input device.
    pub const INPUT: DeviceType = DeviceType(18);
    /// Sockets to the host.
    pub const VSOCK: DeviceType = DeviceType(19);
}

impl fmt::Display for DeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            DeviceType::NET => "network",
            DeviceType::BLOCK => "block",
            DeviceType::CONSOLE => "console",
            DeviceType::RNG => "entropy",
            DeviceType::SCSI => "SCSI",
            DeviceType::GPU => "graphics",
            DeviceType::INPUT => "input",
            DeviceType::VSOCK => "socket",
            DeviceType(id) => return write!(f, "virtio type {id}"),
        })
    }
}
