//! Errors of devices.

use core::fmt;

use crate::device_type::DeviceType;

/// Reasons why a device can't be started or used any longer.
///
/// Every message names the cause; the caller adds the device's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The transport belongs to a device of another type than the driver's.
    WrongDevice {
        /// The type of the driver.
        expected: DeviceType,
        /// The type of the device.
        found: DeviceType,
    },
    /// The device didn't come out of reset in time.
    NotReset,
    /// The device rejected a subset of the features that it had offered (virtio 1.2, 3.1.1 step 6),
    /// or offers fewer of them at a restart.
    FeaturesRejected,
    /// A device behind a modern transport doesn't offer `VIRTIO_F_VERSION_1`.
    NotModern,
    /// The device has no virtqueue with this index.
    NoQueue(u16),
    /// The virtqueue with this index is too small for the requests of this driver.
    QueueTooSmall(u16),
    /// The device offers a queue size that isn't a power of two, or didn't store the queue's
    /// addresses.
    BadQueue(u16),
    /// Allocation of queues or buffers failed.
    OutOfMemory,
    /// The device's configuration space is too short or holds invalid values.
    BadConfig,
    /// The device broke the protocol; it has been reset and is out of use.
    DeviceError,
    /// The PCI function has neither the registers of virtio 1.x nor legacy ports that this machine
    /// can access (a legacy-only device on arm64; QEMU: `disable-modern=off`).
    NotVirtioPci,
    /// A base address register that a capability points into is absent, an I/O port, or unassigned.
    BadBar(u8),
    /// A register block lies outside mappable device memory.
    Unmappable,
    /// The device has fewer MSI-X vectors than requested, or refused one.
    NoVector,
    /// The device was removed: its registers read as all ones.
    Gone,
    /// The device has none of the revisions that the driver knows.
    Revision,
    /// The device didn't respond in time.
    NoResponse,
    /// An NVMe controller reports a fatal error (`CSTS.CFS`).
    Fatal,
    /// An NVMe controller takes no commands of the NVM command set.
    NotNvm,
    /// An NVMe controller has no memory pages of 4096 bytes.
    PageSize,
    /// An AHCI controller accesses only the first 4 GiB of memory.
    Narrow,
    /// The device refused a command of its start, with this status: NVMe's type and code, or the
    /// lower half of gVNIC's.
    Refused(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::WrongDevice { expected, found } => {
                write!(f, "is of type {found} where {expected} was expected")
            }
            Error::NotReset => f.write_str("does not come out of reset"),
            Error::FeaturesRejected => {
                f.write_str("rejects a subset of the features it offers, or offered before")
            }
            Error::NotModern => f.write_str("does not offer VIRTIO_F_VERSION_1"),
            Error::NoQueue(index) => write!(f, "has no virtqueue {index}"),
            Error::QueueTooSmall(index) => {
                write!(
                    f,
                    "has too small a virtqueue {index} (give the device a larger queue-size)"
                )
            }
            Error::BadQueue(index) => write!(f, "offers an impossible virtqueue {index}"),
            Error::OutOfMemory => {
                f.write_str("cannot be started: not enough memory for its buffers")
            }
            Error::BadConfig => f.write_str("has an invalid configuration space"),
            Error::DeviceError => f.write_str("broke its protocol and was reset"),
            Error::NotVirtioPci => f.write_str(
                "has no registers of virtio that can be used (QEMU: remove disable-modern=on)",
            ),
            Error::BadBar(bar) => write!(f, "has no usable memory BAR {bar}"),
            Error::Unmappable => f.write_str("has registers outside mappable device memory"),
            Error::NoVector => f.write_str("does not take the MSI-X vectors it was given"),
            Error::Gone => f.write_str("was removed"),
            Error::Revision => f.write_str("has none of the revisions that the driver knows"),
            Error::NoResponse => f.write_str("does not respond"),
            Error::Fatal => f.write_str("reports a fatal error (CSTS.CFS)"),
            Error::NotNvm => f.write_str("does not take the commands of the NVM command set"),
            Error::PageSize => f.write_str("has no memory pages of 4096 bytes"),
            Error::Narrow => f.write_str("has no addresses of 64 bits"),
            Error::Refused(status) => {
                write!(
                    f,
                    "refuses a command of its start with status {status:#05x}"
                )
            }
        }
    }
}

impl core::error::Error for Error {}
