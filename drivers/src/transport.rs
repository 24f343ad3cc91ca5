//! The transport between driver and device: registers, status, doorbells, interrupts (virtio 1.2,
//! chapters 3 and 4).

use core::ptr::NonNull;

use crate::device_type::DeviceType;
use crate::pci::PortsRef;
use crate::{Error, register};

pub mod legacy_pci;
pub mod mmio;
pub mod pci;
mod shared;

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

bitflags::bitflags! {
    /// Causes of an interrupt (virtio 1.2, 4.1.4.5 and 4.2.2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cause: u8 {
        /// A queue has used buffers.
        const QUEUE = 1;
        /// The configuration space changed.
        const CONFIG = 2;
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
/// [`legacy_pci::LegacyPciTransport`] by [`pci::open`], are the real transports; tests have their
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

/// Acknowledges the interrupts of one device: a copyable handle for an interrupt handler.
///
/// It is separate from the driver because the interrupt handler uses it before the
/// end-of-interrupt, so that a level-triggered line doesn't fire again.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// MSI-X: edge-triggered.
    Message,
    /// virtio-mmio: the registers `InterruptStatus` and `InterruptACK`.
    Mmio {
        status: NonNull<u32>,
        acknowledge: NonNull<u32>,
    },
    /// PCI line: reading the ISR byte acknowledges.
    Line { isr: NonNull<u8> },
    /// PCI line of a legacy function: as above, in I/O space.
    PortLine { ports: PortsRef, isr: u16 },
    /// PCI line of a function that isn't a virtio device: writing these bits to the register masks
    /// it, until the driver enables interrupts again.
    MaskedLine { register: NonNull<u32>, bits: u32 },
}

// SAFETY: the registers stay mapped for good (promise of `Memory::map_mmio`), and any CPU may read
// or write them at any time.
unsafe impl Send for Interrupt {}
// SAFETY: as above.
unsafe impl Sync for Interrupt {}

impl Interrupt {
    /// Interrupts that need no acknowledgement (MSI-X).
    pub const fn message() -> Interrupt {
        Interrupt(Kind::Message)
    }

    /// # Safety
    ///
    /// Both pointers are to registers of a virtio-mmio device that stay mapped for good.
    pub(crate) const unsafe fn mmio(status: NonNull<u32>, acknowledge: NonNull<u32>) -> Interrupt {
        Interrupt(Kind::Mmio {
            status,
            acknowledge,
        })
    }

    /// # Safety
    ///
    /// `isr` is the ISR register of a virtio PCI function that stays mapped for good.
    pub(crate) const unsafe fn line(isr: NonNull<u8>) -> Interrupt {
        Interrupt(Kind::Line { isr })
    }

    /// # Safety
    ///
    /// `isr` is the ISR register of a legacy virtio PCI function.
    pub(crate) const unsafe fn port_line(ports: PortsRef, isr: u16) -> Interrupt {
        Interrupt(Kind::PortLine { ports, isr })
    }

    /// # Safety
    ///
    /// `register` is a register of a PCI function that stays mapped for good, and writing `bits` to
    /// it does nothing but mask the function's interrupt.
    pub(crate) const unsafe fn masked_line(register: NonNull<u32>, bits: u32) -> Interrupt {
        Interrupt(Kind::MaskedLine { register, bits })
    }

    /// True if the handler must call [`acknowledge`](Interrupt::acknowledge).
    pub fn needs_acknowledge(&self) -> bool {
        !matches!(self.0, Kind::Message)
    }

    /// Acknowledges the interrupt at the device and returns its causes. Empty: another device's
    /// interrupt on a shared line. For MSI-X, does nothing and returns both causes. One or two
    /// register accesses; safe in an interrupt handler and concurrently with the driver.
    pub fn acknowledge(&self) -> Cause {
        match self.0 {
            Kind::Message => Cause::all(),
            Kind::Mmio {
                status,
                acknowledge,
            } => {
                // SAFETY: promised by the maker of this handle.
                unsafe {
                    let causes = register::read(status.as_ptr());
                    if causes != 0 {
                        register::write(acknowledge.as_ptr(), causes);
                    }
                    Cause::from_bits_truncate(causes as u8)
                }
            }
            Kind::Line { isr } => {
                // SAFETY: promised by the maker of this handle.
                let causes = unsafe { register::read(isr.as_ptr()) };
                Cause::from_bits_truncate(causes)
            }
            Kind::PortLine { ports, isr } => {
                // SAFETY: promised by the maker of this handle.
                let causes = unsafe { ports.read(isr, 1) };
                Cause::from_bits_truncate(causes as u8)
            }
            Kind::MaskedLine { register: at, bits } => {
                // SAFETY: promised by the maker of this handle.
                unsafe { register::write(at.as_ptr(), bits) };
                Cause::QUEUE
            }
        }
    }
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
