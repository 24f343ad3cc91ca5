//! virtio over MMIO (virtio 1.2, 4.2), the modern (version 2) and the legacy (version 1) register
//! layout.

use core::ptr::NonNull;

use super::{DeviceType, Interrupt, QueueAddresses, QueueSize, Status, Transport};
use super::{read_field, write_field};
use crate::{Error, MemoryRef, register};

/// Offsets of registers (virtio 1.2, 4.2.2 and 4.2.4).
mod offset {
    pub const MAGIC: usize = 0x000;
    pub const VERSION: usize = 0x004;
    pub const DEVICE_ID: usize = 0x008;
    pub const DEVICE_FEATURES: usize = 0x010;
    pub const DEVICE_FEATURES_SEL: usize = 0x014;
    pub const DRIVER_FEATURES: usize = 0x020;
    pub const DRIVER_FEATURES_SEL: usize = 0x024;
    pub const LEGACY_PAGE_SIZE: usize = 0x028;
    pub const QUEUE_SEL: usize = 0x030;
    pub const QUEUE_SIZE_MAX: usize = 0x034;
    pub const QUEUE_SIZE: usize = 0x038;
    pub const LEGACY_QUEUE_ALIGN: usize = 0x03c;
    pub const LEGACY_QUEUE_PFN: usize = 0x040;
    pub const QUEUE_READY: usize = 0x044;
    pub const QUEUE_NOTIFY: usize = 0x050;
    pub const INTERRUPT_STATUS: usize = 0x060;
    pub const INTERRUPT_ACK: usize = 0x064;
    pub const STATUS: usize = 0x070;
    pub const QUEUE_DESC: usize = 0x080;
    pub const QUEUE_DRIVER: usize = 0x090;
    pub const QUEUE_DEVICE: usize = 0x0a0;
    pub const CONFIG_GENERATION: usize = 0x0fc;
    pub const CONFIG: usize = 0x100;
}

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;

/// Page size for the addresses of legacy queues.
const LEGACY_PAGE: u64 = 4096;

/// A virtio device behind memory-mapped registers.
pub struct MmioTransport {
    base: NonNull<u8>,
    len: usize,
    device_type: DeviceType,
    legacy: bool,
}

// SAFETY: the registers stay mapped for good, and this is their only owner (promise to `probe`).
unsafe impl Send for MmioTransport {}

impl MmioTransport {
    /// Probes for a device at physical address `phys` with `len` bytes of registers (at least
    /// 0x100; usually 0x200). `None`: there is no virtio-mmio device, or an empty slot (device id
    /// 0), as most slots of QEMU's `microvm` are.
    ///
    /// # Errors
    ///
    /// [`Error::Unmappable`] if the range can't be mapped.
    ///
    /// # Safety
    ///
    /// Nothing else drives the device while the transport lives.
    pub unsafe fn probe(
        memory: MemoryRef,
        phys: u64,
        len: usize,
    ) -> Result<Option<MmioTransport>, Error> {
        if len < offset::CONFIG || !phys.is_multiple_of(4) {
            return Err(Error::Unmappable);
        }
        let base = memory.map_mmio(phys, len).ok_or(Error::Unmappable)?;
        let mut transport = MmioTransport {
            base,
            len,
            device_type: DeviceType(0),
            legacy: false,
        };
        if transport.read(offset::MAGIC) != MAGIC {
            return Ok(None);
        }
        match transport.read(offset::VERSION) {
            1 => transport.legacy = true,
            2 => (),
            _ => return Ok(None),
        }
        let id = transport.read(offset::DEVICE_ID);
        if id == 0 {
            return Ok(None);
        }
        transport.device_type = DeviceType(id);
        Ok(Some(transport))
    }

    fn register(&self, offset: usize) -> NonNull<u32> {
        debug_assert!(offset < offset::CONFIG && offset.is_multiple_of(4));
        // SAFETY: the mapping is at least 0x100 bytes long (checked in `probe`).
        unsafe { self.base.add(offset).cast() }
    }

    fn read(&self, offset: usize) -> u32 {
        // SAFETY: a mapped register, aligned.
        unsafe { register::read(self.register(offset).as_ptr()) }
    }

    fn write(&self, offset: usize, value: u32) {
        // SAFETY: a mapped register, aligned; register writes affect memory only through the
        // queues' addresses, which the virtqueue owns.
        unsafe { register::write(self.register(offset).as_ptr(), value) }
    }

    fn write_address(&self, offset: usize, address: u64) {
        self.write(offset, address as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }

    /// The address of an aligned field of the configuration space; `None` outside it.
    fn config_field(&self, offset: usize, size: usize) -> Option<NonNull<u8>> {
        let start = offset::CONFIG.checked_add(offset)?;
        if start.checked_add(size)? > self.len || !start.is_multiple_of(size) {
            return None;
        }
        // SAFETY: inside the mapping (checked just above).
        Some(unsafe { self.base.add(start) })
    }
}

impl Transport for MmioTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn is_legacy(&self) -> bool {
        self.legacy
    }

    fn device_features(&mut self) -> u64 {
        self.write(offset::DEVICE_FEATURES_SEL, 0);
        let low = self.read(offset::DEVICE_FEATURES);
        if self.legacy {
            return u64::from(low);
        }
        self.write(offset::DEVICE_FEATURES_SEL, 1);
        u64::from(self.read(offset::DEVICE_FEATURES)) << 32 | u64::from(low)
    }

    fn set_driver_features(&mut self, features: u64) {
        self.write(offset::DRIVER_FEATURES_SEL, 0);
        self.write(offset::DRIVER_FEATURES, features as u32);
        if self.legacy {
            // A legacy device needs the page size before the first queue (4.2.4).
            self.write(offset::LEGACY_PAGE_SIZE, LEGACY_PAGE as u32);
        } else {
            self.write(offset::DRIVER_FEATURES_SEL, 1);
            self.write(offset::DRIVER_FEATURES, (features >> 32) as u32);
        }
    }

    fn status(&self) -> Status {
        Status::from_bits_truncate(self.read(offset::STATUS) as u8)
    }

    fn set_status(&mut self, status: Status) {
        self.write(offset::STATUS, u32::from(status.bits()));
    }

    fn queue_size(&mut self, queue: u16) -> Option<QueueSize> {
        self.write(offset::QUEUE_SEL, u32::from(queue));
        match u16::try_from(self.read(offset::QUEUE_SIZE_MAX)).unwrap_or(1 << 15) {
            0 => None,
            size => Some(QueueSize::AtMost(size)),
        }
    }

    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        self.write(offset::QUEUE_SEL, u32::from(queue));
        self.write(offset::QUEUE_SIZE, u32::from(addresses.size));
        if self.legacy {
            let page = u32::try_from(addresses.descriptors / LEGACY_PAGE)
                .map_err(|_| Error::BadQueue(queue))?;
            self.write(offset::LEGACY_QUEUE_ALIGN, LEGACY_PAGE as u32);
            self.write(offset::LEGACY_QUEUE_PFN, page);
        } else {
            self.write_address(offset::QUEUE_DESC, addresses.descriptors);
            self.write_address(offset::QUEUE_DRIVER, addresses.driver);
            self.write_address(offset::QUEUE_DEVICE, addresses.device);
            self.write(offset::QUEUE_READY, 1);
        }
        Ok(())
    }

    fn notify(&self, queue: u16) {
        self.write(offset::QUEUE_NOTIFY, u32::from(queue));
    }

    fn interrupt(&self) -> Interrupt {
        let status = self.register(offset::INTERRUPT_STATUS);
        let acknowledge = self.register(offset::INTERRUPT_ACK);
        // SAFETY: registers of this device; mappings of `Memory::map_mmio` last for good.
        unsafe { Interrupt::mmio(status, acknowledge) }
    }

    fn config_generation(&self) -> u32 {
        if self.legacy {
            0
        } else {
            self.read(offset::CONFIG_GENERATION)
        }
    }

    fn read_config(&self, offset: usize, size: usize) -> Option<u32> {
        let at = self.config_field(offset, size)?;
        // SAFETY: inside the mapping, which lasts for good, and aligned.
        unsafe { read_field(at, size) }
    }

    fn write_config(&self, offset: usize, size: usize, value: u32) -> Option<()> {
        let at = self.config_field(offset, size)?;
        // SAFETY: as for `read_config`.
        unsafe { write_field(at, size, value) }
    }
}
