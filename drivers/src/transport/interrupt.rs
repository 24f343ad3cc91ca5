//! The acknowledgement of a device's interrupts, which the handler of its line makes.
//!
//! `tools/models` checks it with a line under loom.

use core::ptr::NonNull;

use crate::pci::PortsRef;
use crate::register;

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
    pub const unsafe fn mmio(status: NonNull<u32>, acknowledge: NonNull<u32>) -> Interrupt {
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
