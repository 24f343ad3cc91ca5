//! Legacy virtio over PCI (virtio 1.2, 4.1.4.10 and 4.1.5.1.3.1): one block of I/O ports. Google's
//! and Alibaba's older machine types offer nothing else.

use super::pci::{Interrupts, disable_msix, program_msix, queue_vector};
use super::{DeviceType, Interrupt, QueueAddresses, QueueSize, Status, Transport};
use crate::pci::{Config, ConfigAccess, PortsRef, VirtioFunction};
use crate::{Error, MemoryRef};

/// Offsets of the ports.
mod offset {
    pub const DEVICE_FEATURES: u16 = 0;
    pub const DRIVER_FEATURES: u16 = 4;
    pub const QUEUE_PFN: u16 = 8;
    pub const QUEUE_SIZE: u16 = 12;
    pub const QUEUE_SELECT: u16 = 14;
    pub const QUEUE_NOTIFY: u16 = 16;
    pub const STATUS: u16 = 18;
    pub const ISR: u16 = 19;
    /// The device's configuration space without MSI-X.
    pub const CONFIG: u16 = 20;
    /// These two exist while MSI-X is enabled, and move the configuration space.
    pub const CONFIG_MSIX_VECTOR: u16 = 20;
    pub const QUEUE_MSIX_VECTOR: u16 = 22;
    pub const CONFIG_AFTER_MSIX: u16 = 24;
}

/// The base address register of the ports.
const BAR: u8 = 0;
/// Unit of a queue's address.
const PAGE: u64 = 4096;
const NO_VECTOR: u16 = 0xffff;

/// A virtio PCI function without the registers of virtio 1.x.
pub struct LegacyPciTransport {
    device_type: DeviceType,
    ports: PortsRef,
    base: u16,
    /// Number of ports.
    len: u16,
    interrupt: Interrupt,
    /// MSI-X vectors in use, as in [`PciTransport`](super::pci::PciTransport).
    vectors: u16,
}

impl LegacyPciTransport {
    /// Enables the function as bus master and programs its interrupts.
    ///
    /// # Errors
    ///
    /// [`Error::NotVirtioPci`] for a function without these ports, and as
    /// [`PciTransport::new`](super::pci::PciTransport::new).
    ///
    /// # Safety
    ///
    /// As there.
    pub unsafe fn new(
        memory: MemoryRef,
        access: &dyn ConfigAccess,
        ports: PortsRef,
        function: &VirtioFunction,
        interrupts: Interrupts<'_>,
    ) -> Result<LegacyPciTransport, Error> {
        let config = Config {
            access,
            address: function.address,
        };
        let bar = function.is_transitional.then(|| config.sized_port_bar(BAR));
        let (base, len) = bar.and_then(Result::ok).ok_or(Error::NotVirtioPci)?;
        if len < offset::CONFIG_AFTER_MSIX {
            return Err(Error::NotVirtioPci);
        }
        config.enable(matches!(interrupts, Interrupts::Line));
        config.enable_ports();
        let (interrupt, vectors) = match interrupts {
            Interrupts::Messages(messages) => {
                let vectors = program_msix(memory, &config, messages)?;
                (Interrupt::message(), vectors)
            }
            Interrupts::Line => {
                disable_msix(&config);
                // SAFETY: the ISR register of this function.
                let line = unsafe { Interrupt::port_line(ports, base + offset::ISR) };
                (line, 0)
            }
            Interrupts::None => {
                disable_msix(&config);
                (Interrupt::message(), 0)
            }
        };
        Ok(LegacyPciTransport {
            device_type: function.device_type,
            ports,
            base,
            len,
            interrupt,
            vectors,
        })
    }

    fn read(&self, offset: u16, size: usize) -> u32 {
        // SAFETY: a port of this function, which this value drives alone; `new` checked that the
        // ports up to the configuration space exist, and `config_port` checks the others.
        unsafe { self.ports.read(self.base + offset, size) }
    }

    fn write(&self, offset: u16, size: usize, value: u32) {
        // SAFETY: as for `read`; a write affects memory only through the queues' addresses, which
        // the virtqueue owns.
        unsafe { self.ports.write(self.base + offset, size, value) };
    }

    /// The offset of an aligned field of the configuration space; `None` outside it.
    fn config_port(&self, offset: usize, size: usize) -> Option<u16> {
        let start = match self.vectors {
            0 => offset::CONFIG,
            _ => offset::CONFIG_AFTER_MSIX,
        };
        let at = usize::from(start).checked_add(offset)?;
        let is_inside = at.checked_add(size)? <= usize::from(self.len);
        (is_inside && offset.is_multiple_of(size)).then_some(at as u16)
    }
}

impl Transport for LegacyPciTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn is_legacy(&self) -> bool {
        true
    }

    fn device_features(&mut self) -> u64 {
        self.read(offset::DEVICE_FEATURES, 4).into()
    }

    fn set_driver_features(&mut self, features: u64) {
        self.write(offset::DRIVER_FEATURES, 4, features as u32);
        if self.vectors > 0 {
            // As in `PciTransport`.
            self.write(offset::CONFIG_MSIX_VECTOR, 2, 0);
        }
    }

    fn status(&self) -> Status {
        Status::from_bits_truncate(self.read(offset::STATUS, 1) as u8)
    }

    fn set_status(&mut self, status: Status) {
        self.write(offset::STATUS, 1, status.bits().into());
    }

    fn queue_size(&mut self, queue: u16) -> Option<QueueSize> {
        self.write(offset::QUEUE_SELECT, 2, queue.into());
        match self.read(offset::QUEUE_SIZE, 2) as u16 {
            0 => None,
            size => Some(QueueSize::Exactly(size)),
        }
    }

    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        let page = u32::try_from(addresses.descriptors / PAGE);
        let page = page.map_err(|_| Error::BadQueue(queue))?;
        self.write(offset::QUEUE_SELECT, 2, queue.into());
        if self.vectors > 0 {
            let vector = queue_vector(queue, self.vectors);
            self.write(offset::QUEUE_MSIX_VECTOR, 2, vector.into());
            if self.read(offset::QUEUE_MSIX_VECTOR, 2) as u16 == NO_VECTOR {
                return Err(Error::NoVector);
            }
        }
        self.write(offset::QUEUE_PFN, 4, page);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        self.write(offset::QUEUE_NOTIFY, 2, queue.into());
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt
    }

    fn config_generation(&self) -> u32 {
        0
    }

    fn read_config(&self, offset: usize, size: usize) -> Option<u32> {
        Some(self.read(self.config_port(offset, size)?, size))
    }

    fn write_config(&self, offset: usize, size: usize, value: u32) -> Option<()> {
        self.write(self.config_port(offset, size)?, size, value);
        Some(())
    }
}
