//! virtio over PCI (virtio 1.2, 4.1): modern register blocks, MSI-X, cached doorbells.

use alloc::vec::Vec;
use core::ptr::NonNull;

use super::{DeviceType, Interrupt, QueueAddresses, QueueSize, Status, Transport};
use super::{read_field, write_field};
use crate::pci::{Config, ConfigAccess, VirtioFunction};
use crate::register::{self, Width};
use crate::{Error, MemoryRef};

const CAPABILITY_VENDOR: u8 = 0x09;
const CAPABILITY_MSI: u8 = 0x05;
const CAPABILITY_MSIX: u8 = 0x11;

/// `cfg_type` of virtio's vendor capabilities (4.1.4).
mod block {
    pub const COMMON: u8 = 1;
    // Types 2 (notifications) and 3 (interrupt status) lie between: an array below is indexed by
    // these numbers.
    pub const DEVICE: u8 = 4;
}

/// Offsets in the common configuration block (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0;
    pub const DEVICE_FEATURE: usize = 4;
    pub const DRIVER_FEATURE_SELECT: usize = 8;
    pub const DRIVER_FEATURE: usize = 12;
    pub const CONFIG_MSIX_VECTOR: usize = 16;
    pub const DEVICE_STATUS: usize = 20;
    pub const CONFIG_GENERATION: usize = 21;
    pub const QUEUE_SELECT: usize = 22;
    pub const QUEUE_SIZE: usize = 24;
    pub const QUEUE_MSIX_VECTOR: usize = 26;
    pub const QUEUE_ENABLE: usize = 28;
    pub const QUEUE_NOTIFY_OFF: usize = 30;
    pub const QUEUE_DESC: usize = 32;
    pub const QUEUE_DRIVER: usize = 40;
    pub const QUEUE_DEVICE: usize = 48;
    pub const LEN: usize = 56;
}

/// "No vector": disables a vector, and is what a device that refuses one returns.
const NO_VECTOR: u16 = 0xffff;
/// Message Control, in the upper half of the capability's first word.
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;
const MSIX_ENTRY: usize = 16;
/// MSI's Message Control, likewise: enabled, the number of messages in use (as its logarithm), and
/// whether addresses have 64 bits.
const MSI_ENABLE: u32 = 1 << 16;
const MSI_COUNT: u32 = 7 << 20;
const MSI_64_BITS: u32 = 1 << 23;

/// One MSI-X message: address and value that the function writes to interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Physical address (on x86: of a local APIC).
    pub address: u64,
    /// Value (on x86: the vector and delivery mode).
    pub data: u32,
}

/// The interrupts of a PCI function.
#[derive(Clone, Copy, Debug)]
pub enum Interrupts<'a> {
    /// MSI-X. With one message all causes share it; with several, the first is for configuration
    /// changes and queue `i` uses message `1 + i`, wrapping around.
    Messages(&'a [Message]),
    /// The interrupt line, which must be acknowledged ([`Interrupt::acknowledge`]).
    Line,
    /// None: the device must be polled.
    None,
}

/// Mapped registers of one capability.
#[derive(Clone, Copy)]
struct Block {
    base: NonNull<u8>,
    len: usize,
}

impl Block {
    /// Returns the address of a register if it is inside the block and aligned.
    fn register<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let address: NonNull<T> = self.field(offset, size_of::<T>())?.cast();
        address.is_aligned().then_some(address)
    }

    /// Returns the address of `size` bytes if they are inside the block.
    fn field(&self, offset: usize, size: usize) -> Option<NonNull<u8>> {
        if offset.checked_add(size)? > self.len {
            return None;
        }
        // SAFETY: inside the mapping (checked just above).
        Some(unsafe { self.base.add(offset) })
    }
}

/// A modern (or transitional) virtio PCI function.
pub struct PciTransport {
    device_type: DeviceType,
    /// At least `common::LEN` bytes, 4-byte aligned.
    common: Block,
    notify: Block,
    notify_multiplier: u32,
    device: Option<Block>,
    interrupt: Interrupt,
    /// MSI-X vectors in use: 0 none, 1 shared, otherwise one for configuration and the rest for
    /// queues.
    vectors: u16,
    /// Doorbell of each active queue, so that a kick is one exit and not three.
    doorbells: Vec<Option<NonNull<u16>>>,
}

// SAFETY: the registers stay mapped for good, and this is their only owner (promise to `new`).
unsafe impl Send for PciTransport {}

impl PciTransport {
    /// Maps the function's registers, enables it as bus master and programs its interrupts.
    ///
    /// # Errors
    ///
    /// [`Error::NotVirtioPci`] for a function without the registers of virtio 1.x,
    /// [`Error::BadBar`], [`Error::Unmappable`], [`Error::NoVector`] when it has fewer MSI-X
    /// vectors than there are messages (then try [`Interrupts::Line`]).
    ///
    /// # Safety
    ///
    /// Nothing else drives the function while the transport lives, and the messages interrupt
    /// nothing but the handler that the caller has for them.
    pub unsafe fn new(
        memory: MemoryRef,
        access: &dyn ConfigAccess,
        function: &VirtioFunction,
        interrupts: Interrupts<'_>,
    ) -> Result<PciTransport, Error> {
        let config = Config {
            access,
            address: function.address,
        };
        config.enable(matches!(interrupts, Interrupts::Line));

        let mut found: [Option<(Block, u16)>; 5] = [None; 5];
        for capability in config.capabilities().filter(|c| c.id == CAPABILITY_VENDOR) {
            let kind = (config.read(capability.offset) >> 24) as u8;
            // The device offers blocks in its order of preference: keep the first that can be
            // mapped.
            if let Some(slot @ None) = found.get_mut(usize::from(kind))
                && matches!(kind, block::COMMON..=block::DEVICE)
                && let Ok(mapped) = map_block(memory, &config, capability.offset)
            {
                *slot = Some((mapped, capability.offset));
            }
        }
        let [_, common, notify, isr, device] = found;
        let ((common, _), (notify, notify_capability)) =
            common.zip(notify).ok_or(Error::NotVirtioPci)?;
        if common.len < common::LEN || !common.base.cast::<u32>().is_aligned() {
            return Err(Error::NotVirtioPci);
        }
        let (interrupt, vectors) = match interrupts {
            Interrupts::Messages(messages) => (
                Interrupt::message(),
                program_msix(memory, &config, messages)?,
            ),
            Interrupts::Line => {
                let isr = isr.and_then(|(isr, _)| isr.register::<u8>(0));
                // SAFETY: the ISR register of this function; mappings of `Memory::map_mmio` last
                // for good.
                (
                    unsafe { Interrupt::line(isr.ok_or(Error::NotVirtioPci)?) },
                    0,
                )
            }
            Interrupts::None => (Interrupt::message(), 0),
        };
        Ok(PciTransport {
            device_type: function.device_type,
            common,
            notify,
            notify_multiplier: config.read(notify_capability + 16),
            device: device.map(|(block, _)| block),
            interrupt,
            vectors,
            doorbells: Vec::new(),
        })
    }

    fn read<T: Width>(&self, offset: usize) -> T {
        debug_assert!(offset + size_of::<T>() <= common::LEN);
        // SAFETY: inside the common block, whose length and alignment `new` checked; offsets are
        // the constants above.
        unsafe { register::read(self.common.base.add(offset).as_ptr().cast()) }
    }

    fn write<T: Width>(&self, offset: usize, value: T) {
        debug_assert!(offset + size_of::<T>() <= common::LEN);
        // SAFETY: as for `read`; a write affects memory only through the queues' addresses, which
        // the virtqueue owns.
        unsafe { register::write(self.common.base.add(offset).as_ptr().cast(), value) }
    }

    fn write_address(&self, offset: usize, address: u64) {
        self.write(offset, address as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }

    /// The address of an aligned field of the configuration space; `None` outside it.
    fn config_field(&self, offset: usize, size: usize) -> Option<NonNull<u8>> {
        let device = self.device.as_ref()?;
        let address = device.field(offset, size)?;
        address.addr().get().is_multiple_of(size).then_some(address)
    }
}

/// Maps the block that the vendor capability at `offset` describes (4.1.4): bar, offset, length.
fn map_block(memory: MemoryRef, config: &Config<'_>, offset: u16) -> Result<Block, Error> {
    let bar = config.memory_bar(config.read(offset + 4) as u8)?;
    let phys = bar
        .checked_add(u64::from(config.read(offset + 8)))
        .ok_or(Error::Unmappable)?;
    let len = config.read(offset + 12) as usize;
    if len == 0 {
        return Err(Error::Unmappable);
    }
    let base = memory.map_mmio(phys, len).ok_or(Error::Unmappable)?;
    Ok(Block { base, len })
}

/// The vector of a queue where `vectors` (not 0) are in use: the first is for configuration
/// changes, if there are several.
pub(super) fn queue_vector(queue: u16, vectors: u16) -> u16 {
    match vectors {
        1 => 0,
        _ => 1 + queue % (vectors - 1),
    }
}

/// Disables MSI-X, which firmware may have left enabled.
pub(crate) fn disable_msix(config: &Config<'_>) {
    if let Some(capability) = config.capabilities().find(|c| c.id == CAPABILITY_MSIX) {
        let control = config.read(capability.offset);
        config.write(capability.offset, control & !MSIX_ENABLE);
    }
}

/// Fills the MSI-X table and enables MSI-X (PCI 3.0, 6.8.2). Returns the number of vectors.
pub(crate) fn program_msix(
    memory: MemoryRef,
    config: &Config<'_>,
    messages: &[Message],
) -> Result<u16, Error> {
    let capability = config
        .capabilities()
        .find(|c| c.id == CAPABILITY_MSIX)
        .ok_or(Error::NoVector)?
        .offset;
    let control = config.read(capability);
    let available = (control >> 16 & 0x7ff) as usize + 1;
    if messages.is_empty() || messages.len() > available {
        return Err(Error::NoVector);
    }
    let table = config.read(capability + 4);
    let phys = config
        .memory_bar(table as u8 & 7)?
        .checked_add(u64::from(table & !7));
    let len = messages.len() * MSIX_ENTRY;
    let base = phys
        .and_then(|phys| memory.map_mmio(phys, len))
        .ok_or(Error::Unmappable)?;
    let entries = Block { base, len };
    config.write(capability, control | MSIX_ENABLE | MSIX_MASK_ALL);
    for (index, message) in messages.iter().enumerate() {
        let words = [
            message.address as u32,
            (message.address >> 32) as u32,
            message.data,
            0,
        ];
        for (word, value) in words.into_iter().enumerate() {
            let at = entries.register::<u32>(index * MSIX_ENTRY + word * 4);
            // SAFETY: an entry of the function's MSI-X table, mapped, in bounds and aligned.
            unsafe { register::write(at.ok_or(Error::Unmappable)?.as_ptr(), value) };
        }
    }
    config.write(capability, (control | MSIX_ENABLE) & !MSIX_MASK_ALL);
    Ok(messages.len() as u16)
}

/// Has the function interrupt by messages: by MSI-X, or by MSI (PCI 3.0, 6.8.1), which uses the
/// first message only. Returns the number of vectors.
///
/// # Errors
///
/// [`Error::NoVector`] without either, or with fewer MSI-X vectors than messages.
pub(crate) fn program_messages(
    memory: MemoryRef,
    config: &Config<'_>,
    messages: &[Message],
) -> Result<u16, Error> {
    let has_msix = config.capabilities().any(|c| c.id == CAPABILITY_MSIX);
    let msi = config.capabilities().find(|c| c.id == CAPABILITY_MSI);
    match (msi, messages.first()) {
        (Some(msi), Some(message)) if !has_msix => program_msi(config, msi.offset, message),
        _ => program_msix(memory, config, messages),
    }
}

fn program_msi(config: &Config<'_>, capability: u16, message: &Message) -> Result<u16, Error> {
    let control = config.read(capability);
    let (high, data) = ((message.address >> 32) as u32, message.data);
    let has_64_bits = control & MSI_64_BITS != 0;
    if data > 0xffff || high != 0 && !has_64_bits {
        return Err(Error::NoVector);
    }
    config.write(capability + 4, message.address as u32);
    if has_64_bits {
        config.write(capability + 8, high);
        config.write(capability + 12, data);
    } else {
        config.write(capability + 8, data);
    }
    config.write(capability, control & !MSI_COUNT | MSI_ENABLE);
    Ok(1)
}

impl Transport for PciTransport {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn is_legacy(&self) -> bool {
        false
    }

    fn device_features(&mut self) -> u64 {
        self.write(common::DEVICE_FEATURE_SELECT, 0u32);
        let low: u32 = self.read(common::DEVICE_FEATURE);
        self.write(common::DEVICE_FEATURE_SELECT, 1u32);
        let high: u32 = self.read(common::DEVICE_FEATURE);
        u64::from(high) << 32 | u64::from(low)
    }

    fn set_driver_features(&mut self, features: u64) {
        self.write(common::DRIVER_FEATURE_SELECT, 0u32);
        self.write(common::DRIVER_FEATURE, features as u32);
        self.write(common::DRIVER_FEATURE_SELECT, 1u32);
        self.write(common::DRIVER_FEATURE, (features >> 32) as u32);
        if self.vectors > 0 {
            // A device that refuses loses only its configuration interrupts, which no driver relies
            // on.
            self.write(common::CONFIG_MSIX_VECTOR, 0u16);
        }
    }

    fn status(&self) -> Status {
        Status::from_bits_truncate(self.read(common::DEVICE_STATUS))
    }

    fn set_status(&mut self, status: Status) {
        self.write(common::DEVICE_STATUS, status.bits());
    }

    fn queue_size(&mut self, queue: u16) -> Option<QueueSize> {
        self.write(common::QUEUE_SELECT, queue);
        match self.read(common::QUEUE_SIZE) {
            0 => None,
            size => Some(QueueSize::AtMost(size)),
        }
    }

    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        self.write(common::QUEUE_SELECT, queue);
        self.write(common::QUEUE_SIZE, addresses.size);
        if self.vectors > 0 {
            self.write(common::QUEUE_MSIX_VECTOR, queue_vector(queue, self.vectors));
            if self.read::<u16>(common::QUEUE_MSIX_VECTOR) == NO_VECTOR {
                return Err(Error::NoVector);
            }
        }
        self.write_address(common::QUEUE_DESC, addresses.descriptors);
        self.write_address(common::QUEUE_DRIVER, addresses.driver);
        self.write_address(common::QUEUE_DEVICE, addresses.device);
        let index: u16 = self.read(common::QUEUE_NOTIFY_OFF);
        let doorbell = usize::from(index)
            .checked_mul(self.notify_multiplier as usize)
            .and_then(|offset| self.notify.register::<u16>(offset))
            .ok_or(Error::BadQueue(queue))?;
        let slot = usize::from(queue);
        if self.doorbells.len() <= slot {
            self.doorbells.resize(slot + 1, None);
        }
        self.doorbells[slot] = Some(doorbell);
        self.write(common::QUEUE_ENABLE, 1u16);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        if let Some(Some(doorbell)) = self.doorbells.get(usize::from(queue)) {
            // SAFETY: inside the notify block and aligned (checked when the queue was activated).
            unsafe { register::write(doorbell.as_ptr(), queue) };
        }
    }

    fn interrupt(&self) -> Interrupt {
        self.interrupt
    }

    fn config_generation(&self) -> u32 {
        u32::from(self.read::<u8>(common::CONFIG_GENERATION))
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
