//! Drivers for virtio devices over PCI and MMIO (network card, disk, SCSI host, entropy source,
//! console, graphics adapter, input devices, sockets), for NVMe and AHCI controllers, VMware's SCSI
//! adapters, network cards of Intel, Google and VMware, and the Bochs graphics adapter.
//!
//! The crate is independent of the kernel, of Linux and of OCaml. It needs a [`Memory`] from the
//! machine and a [`pci::ConfigAccess`] from the kernel's PCI code. It never waits and enables no
//! interrupts on its own: the owner of a device calls it when there is work. Before halting, the
//! owner calls `enable_interrupts`, which enables the device's interrupt and returns whether there
//! is work already.
//!
//! # Layers
//!
//! 1. [`memory`]: memory shared with devices; [`register`]: accesses to registers.
//! 2. [`transport`]: registers, status, doorbells, interrupts, over MMIO ([`transport::mmio`]) or
//!    PCI ([`transport::pci`], with [`pci`] to find functions).
//! 3. `queue`: the split virtqueue, which keeps its own record of outstanding requests.
//! 4. [`disk`]: requests to disks, which the drivers of disks share.
//! 5. [`net`], [`blk`], [`scsi`], [`pvscsi`], [`nvme`], [`ahci`], [`rng`], [`console`], [`gpu`],
//!    [`input`], [`vsock`]: one owner (`&mut`) per device. Each type's documentation has an
//!    example, on a fake device.
//!
//! [`bochs`] needs the first layer and [`pci`] only. [`nvme`] needs these, interrupts, and
//! [`disk`].
//!
//! # Finding a device
//!
//! ```no_run
//! # use drivers::{MemoryRef, pci::ConfigAccess, transport::pci::Message};
//! # fn example(
//! #     memory: MemoryRef, access: &dyn ConfigAccess, message: Message,
//! # ) -> Result<(), drivers::Error> {
//! use drivers::transport::pci::{Interrupts, PciTransport};
//! use drivers::device_type::DeviceType;
//! use drivers::transport::{Transport, mmio::MmioTransport};
//!
//! // PCI: the functions that are there, each with a transport of its own.
//! for function in drivers::pci::Functions::find(access).virtio() {
//!     // SAFETY: nothing else drives the function.
//!     let interrupts = Interrupts::Messages(&[message]);
//!     let transport = unsafe { PciTransport::new(memory, access, &function, interrupts) }?;
//!     if transport.device_type() == DeviceType::NET {
//!         let card = drivers::net::Net::new(Box::new(transport), memory, &Default::default())?;
//!     }
//! }
//! // MMIO: each address where one may be.
//! // SAFETY: nothing else drives the device.
//! if let Some(transport) = unsafe { MmioTransport::probe(memory, 0xfeb0_0000, 0x200) }? {
//!     let acknowledge = transport.interrupt(); // for the interrupt handler
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Trust in devices
//!
//! The driver validates everything that a device writes before use: ids and lengths in rings, frame
//! headers and the configuration space. It resets a device that breaks the protocol and completes
//! its requests with an error, and the program continues. (A hypervisor can of course stop or read
//! its guest, but it can't make these drivers access memory outside their regions.)

#![cfg_attr(loom, allow(missing_docs, reason = "models use private parts"))]
#![no_std]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]
// The registers of fakes are memory.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

extern crate alloc;
#[cfg(any(test, feature = "fake"))]
extern crate std;

pub mod ahci;
pub mod blk;
pub mod bochs;
pub mod console;
pub mod device;
pub mod device_type;
pub mod disk;
pub mod e1000e;
pub mod ena;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod function;
pub mod gpu;
pub mod gve;
mod idle;
pub mod input;
pub mod linear;
pub mod memory;
#[cfg(loom)]
pub mod model;
pub mod net;
pub mod nvme;
pub mod pci;
pub mod pvscsi;
mod queue;
pub mod register;
pub mod registers;
pub mod rng;
pub mod scsi;
mod shadow;
pub mod transport;
pub mod vmxnet3;
pub mod vsock;

pub use error::Error;
pub use memory::{Memory, MemoryRef, Region};
pub use queue::QueueCounters;
pub use transport::{Interrupt, Transport};
