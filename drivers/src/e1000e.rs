//! Intel's gigabit network cards 82574L (PCI Express; QEMU's and VMware's `e1000e`) and 82540EM,
//! 82545EM (PCI; `e1000`), by the 82574 datasheet and the PCI/PCI-X family's software developer's
//! manual.
//!
//! One receive and one transmit queue. Receive descriptors are legacy ones, which have the results
//! of checksums, too; frames to send have data descriptors, after a context descriptor where the
//! offloads change. The 82574L interrupts by MSI-X and masks its interrupt itself, the others by
//! their line.

use alloc::boxed::Box;

use crate::device::within;
use crate::function::{Function, Started};
use crate::net::rings::{self, RingCard};
use crate::net::{Card, NetConfig};
use crate::pci::Id;
use crate::registers::Registers;
use crate::{Error, MemoryRef};

mod descriptors;
mod hardware;
pub(crate) mod registers;

use hardware::Hardware;
use registers::{control, offset};

const INTEL: u16 = 0x8086;
/// Device id of the 82574L.
const I82574L: u16 = 0x10d3;

/// The cards: 82574L, 82540EM, 82545EM.
pub const IDS: &[Id] = &[
    Id::Device(INTEL, I82574L),
    Id::Device(INTEL, 0x100e),
    Id::Device(INTEL, 0x100f),
];

/// Time until a reset has ended, and the address has been loaded, in nanoseconds.
const RESET_NS: u64 = 100_000_000;
const LOAD_NS: u64 = 20_000_000;

/// A card's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// PCI: 82540EM and 82545EM.
    Pci,
    /// PCI Express: 82574L.
    Express,
}

/// Starts a card.
///
/// # Errors
///
/// [`Error::BadBar`], [`Error::Unmappable`], and as [`start`].
pub fn open(function: &Function<'_>, config: &NetConfig) -> Started<Box<dyn Card>> {
    let id = function.id();
    let family = match (id >> 16) as u16 {
        I82574L => Family::Express,
        _ => Family::Pci,
    };
    let registers =
        function.masking_registers(0, registers::LEN, offset::INTERRUPT_MASK_CLEAR, u32::MAX)?;
    let interrupt = registers.interrupt();
    let card = start(Box::new(registers), function.memory(), family, config)?;
    Ok((card, interrupt))
}

/// Starts the card behind `registers`: resets it, reads its address, allocates rings and receive
/// buffers.
///
/// ```
/// use drivers::e1000e::{Family, start};
/// use drivers::fake::{E1000eDevice, HostMemory};
/// use drivers::net::{NetConfig, TxMeta};
///
/// let memory = HostMemory::new();
/// let (registers, device) = E1000eDevice::new(Family::Express).connect(memory);
/// let mut card = start(Box::new(registers), memory, Family::Express, &NetConfig::default())?;
/// card.transmit(60, &mut |frame| {
///     frame.fill(7);
///     TxMeta::default()
/// })
/// .unwrap();
/// card.flush();
/// device.with(|device| assert_eq!(device.sent[0].bytes, [7; 60]));
/// # Ok::<(), drivers::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Gone`], [`Error::NotReset`], [`Error::OutOfMemory`].
pub fn start(
    registers: Box<dyn Registers>,
    memory: MemoryRef,
    family: Family,
    config: &NetConfig,
) -> Result<Box<dyn Card>, Error> {
    if registers.read(offset::STATUS) == u32::MAX {
        return Err(Error::Gone);
    }
    if !reset(&*registers, memory) {
        return Err(Error::NotReset);
    }
    let mac = address(&*registers, memory, family);
    let capabilities = rings::capabilities(mac, config.features);
    let hardware = Hardware::new(registers, memory, family, &capabilities, config)?;
    Ok(Box::new(RingCard::new(
        hardware,
        memory,
        capabilities,
        config,
    )?))
}

/// Ends all accesses of the card to memory, by a reset. False if it doesn't respond in time.
fn reset(registers: &dyn Registers, memory: MemoryRef) -> bool {
    registers.write(offset::INTERRUPT_MASK_CLEAR, u32::MAX);
    // Not every emulation stops the rings with a reset.
    registers.write(offset::RECEIVE_CONTROL, 0);
    registers.write(offset::TRANSMIT_CONTROL, 0);
    let before = registers.read(offset::CONTROL);
    if before == u32::MAX {
        return true; // Removed.
    }
    registers.write(offset::CONTROL, before | control::RESET);
    let done = within(memory, RESET_NS, &mut || {
        let now = registers.read(offset::CONTROL);
        (now == u32::MAX || now & control::RESET == 0).then_some(())
    });
    registers.write(offset::INTERRUPT_MASK_CLEAR, u32::MAX);
    done.is_some()
}

/// Whether the bytes are the address of a card.
fn is_card_address(mac: &[u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac.iter().any(|byte| *byte != 0)
}

/// The card's address: from its first receive address, which a reset loads, or else from the
/// EEPROM.
fn address(registers: &dyn Registers, memory: MemoryRef, family: Family) -> Option<[u8; 6]> {
    let loaded = within(memory, LOAD_NS, &mut || {
        let high = registers.read(offset::RECEIVE_ADDRESS_HIGH);
        (high & registers::ADDRESS_VALID != 0).then_some(high)
    });
    if let Some(high) = loaded {
        let low = registers.read(offset::RECEIVE_ADDRESS_LOW).to_le_bytes();
        let mac = [
            low[0],
            low[1],
            low[2],
            low[3],
            high as u8,
            (high >> 8) as u8,
        ];
        if is_card_address(&mac) {
            return Some(mac);
        }
    }
    let mut mac = [0; 6];
    for (index, bytes) in (0..).zip(mac.chunks_exact_mut(2)) {
        bytes.copy_from_slice(&eeprom(registers, memory, family, index)?.to_le_bytes());
    }
    is_card_address(&mac).then_some(mac)
}

/// A word of the EEPROM, or `None` if it doesn't answer.
fn eeprom(registers: &dyn Registers, memory: MemoryRef, family: Family, index: u32) -> Option<u16> {
    let (address_shift, done) = match family {
        Family::Pci => (8, 1 << 4),
        Family::Express => (2, 1 << 1),
    };
    registers.write(
        offset::EEPROM_READ,
        index << address_shift | registers::EEPROM_START,
    );
    within(memory, LOAD_NS, &mut || {
        let read = registers.read(offset::EEPROM_READ);
        (read & done != 0).then_some((read >> 16) as u16)
    })
}

#[cfg(test)]
mod tests;
