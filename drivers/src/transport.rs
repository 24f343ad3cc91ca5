//! The transport between driver and device: registers, status, doorbells, interrupts (virtio 1.2,
//! chapters 3 and 4).

use core::ptr::NonNull;

use crate::device_type::DeviceType;
use crate::{Error, register};

mod interrupt;
pub mod legacy_pci;
pub mod mmio;
mod open;
pub mod pci;
mod shared;

pub use interrupt::{Cause, Interrupt};
pub use open::open;
pub use shared::share;

bitflags::bitflags! {
    /// The device status field (virtio 1.2, 2.1). Zero resets the device.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Status: u8 {
        /// ACKNOWLEDGE: the guest has noticed the device.
        const ACKNOWLEDGE = 1;
        /// DRIVER: the guest has a driver for it.
        const DRIVER = 2;
        /// DRIVER_OK: the driver is ready.
        const DRIVER_OK = 4;
        /// FEATURES_OK: feature negotiation is complete.
        const FEATURES_OK = 8;
        /// DEVICE_NEEDS_RESET: the device has failed until it is reset.
        const NEEDS_RESET = 64;
        /// FAILED: the driver has abandoned the device.
        const FAILED = 128;
    }
}

/// Addresses of a queue for the device (virtio 1.2, 2.7).
#[derive(Clone, Copy, Debug)]
pub struct QueueAddresses {
    /// Number of descriptors: a power of two.
    pub size: u16,
    /// Physical address of the descriptor table.
    pub descriptors: u64,
    /// Physical address of the available ring.
    pub driver: u64,
    /// Physical address of the used ring.
    pub device: u64,
}

/// The sizes that a queue may have, in descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueSize {
    /// At most this one, which isn't 0.
    AtMost(u16),
    /// This one only (legacy PCI; virtio 1.2, 4.1.5.1.3.1). It isn't 0.
    Exactly(u16),
}

/// Access to a virtio device. [`mmio::MmioTransport`], and [`pci::PciTransport`] and
/// [`legacy_pci::LegacyPciTransport`] by [`open`], are the real transports; tests have their
/// own.
///
/// No function blocks, and only [`notify`](Transport::notify) is on the data path. The driver polls
/// for the end of a reset itself, for a bounded time.
pub trait Transport: Send {
    /// The type of the device.
    fn device_type(&self) -> DeviceType;

    /// True for a device older than virtio 1.0: a queue is contiguous, with the used ring at a page
    /// boundary; there is no `FEATURES_OK`, and there are only 32 feature bits.
    fn is_legacy(&self) -> bool;

    /// The features that the device offers.
    fn device_features(&mut self) -> u64;

    /// Writes the features that the driver uses.
    fn set_driver_features(&mut self, features: u64);

    /// Reads the status field; unknown bits are dropped.
    fn status(&self) -> Status;

    /// Writes the status field; an empty one requests a reset.
    fn set_status(&mut self, status: Status);

    /// The sizes that the queue may have; `None` if there is no such queue.
    fn queue_size(&mut self, queue: u16) -> Option<QueueSize>;

    /// Sets the addresses of the queue and enables it.
    ///
    /// # Errors
    ///
    /// [`Error::BadQueue`] when the device can't reach the addresses, [`Error::NoVector`] when it
    /// refuses the queue's MSI-X vector.
    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error>;

    /// Rings the doorbell: the queue has new buffers. One exit to the hypervisor.
    fn notify(&self, queue: u16);

    /// Acknowledges this device's interrupts.
    fn interrupt(&self) -> Interrupt;

    /// Configuration generation: changes whenever the configuration space does (always 0 for legacy
    /// devices).
    fn config_generation(&self) -> u32;

    /// Reads a field of the device's configuration space by one access of `size` bytes: 1, 2 or 4;
    /// `None` outside it, or where `offset` isn't a multiple of `size`.
    fn read_config(&self, offset: usize, size: usize) -> Option<u32>;

    /// Writes a field likewise.
    fn write_config(&self, offset: usize, size: usize, value: u32) -> Option<()>;
}

/// Reads a field of a configuration space in memory; `None` unless `size` is 1, 2 or 4.
///
/// # Safety
///
/// `at` is mapped for good, and aligned to `size`.
unsafe fn read_field(at: NonNull<u8>, size: usize) -> Option<u32> {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => Some(register::read(at.as_ptr()).into()),
            2 => Some(register::read(at.cast::<u16>().as_ptr()).into()),
            4 => Some(register::read(at.cast::<u32>().as_ptr())),
            _ => None,
        }
    }
}

/// Writes a field likewise.
///
/// # Safety
///
/// As for [`read_field`].
unsafe fn write_field(at: NonNull<u8>, size: usize, value: u32) -> Option<()> {
    // SAFETY: the caller's promise.
    unsafe {
        match size {
            1 => register::write(at.as_ptr(), value as u8),
            2 => register::write(at.cast().as_ptr(), value as u16),
            4 => register::write(at.cast().as_ptr(), value),
            _ => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
