//! The choice of a PCI function's transport.

use super::Transport;
use super::legacy_pci::LegacyPciTransport;
use super::pci::{Interrupts, PciTransport};
use crate::pci::{ConfigAccess, PortsRef, VirtioFunction};
use crate::{Error, MemoryRef};
use alloc::boxed::Box;

/// Returns the transport of a function: by the registers of virtio 1.x, or by the legacy ones if it
/// has no others. `ports`: none on a machine without I/O ports.
///
/// # Errors
///
/// As [`PciTransport::new`].
///
/// # Safety
///
/// As there.
pub unsafe fn open(
    memory: MemoryRef,
    access: &dyn ConfigAccess,
    ports: Option<PortsRef>,
    function: &VirtioFunction,
    interrupts: Interrupts<'_>,
) -> Result<Box<dyn Transport + Send>, Error> {
    // SAFETY: the caller's promise.
    let modern = unsafe { PciTransport::new(memory, access, function, interrupts) };
    match (modern, ports) {
        (Ok(modern), _) => Ok(Box::new(modern)),
        (Err(Error::NotVirtioPci), Some(ports)) => {
            // SAFETY: the caller's promise; there is no other transport.
            let legacy =
                unsafe { LegacyPciTransport::new(memory, access, ports, function, interrupts) };
            Ok(Box::new(legacy?))
        }
        (Err(error), _) => Err(error),
    }
}
