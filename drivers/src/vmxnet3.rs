//! VMware's paravirtual network card (`vmxnet3`), revision 1, by the definitions of Linux's driver
//! and QEMU's model.
//!
//! One transmit queue, one receive queue with a buffer for each frame. Descriptors and completions
//! have a generation bit, which is inverted at each round of their ring. Vector 0 interrupts for
//! received frames and events, vector 1 for transmitted frames, which are awaited only when there
//! is no room; the card masks a vector when it interrupts. Received frames aren't merged.

use alloc::boxed::Box;

use crate::function::{Function, Started};
use crate::net::rings::{self, RingCard};
use crate::net::{Card, NetConfig};
use crate::pci::Id;
use crate::registers::Registers;
use crate::{Error, MemoryRef};

mod hardware;
pub(crate) mod layout;

use hardware::Hardware;
use layout::{command, control, data};

/// The card: VMware, VMXNET3.
pub const IDS: &[Id] = &[Id::Device(0x15ad, 0x07b0)];

/// The revision of the card, and of its universal pass-through, that the driver uses.
const REVISION: u32 = 1;
/// Vectors of MSI-X that the driver uses.
const VECTORS: usize = 2;

/// The registers of a card: those for data (BAR 0), and those for control (BAR 1).
pub struct Windows {
    /// Interrupt masks and doorbells.
    pub data: Box<dyn Registers>,
    /// Commands and addresses.
    pub control: Box<dyn Registers>,
}

/// Starts a card.
///
/// # Errors
///
/// [`Error::BadBar`], [`Error::Unmappable`], and as [`start`].
pub fn open(function: &Function<'_>, config: &NetConfig) -> Started<Box<dyn Card>> {
    let data = function.masking_registers(0, layout::LEN, data::INTERRUPT_MASK, 1)?;
    let interrupt = data.interrupt();
    let windows = Windows {
        data: Box::new(data),
        control: Box::new(function.registers(1, layout::LEN)?),
    };
    let has_two = function.has_messages() && function.repeat_message(VECTORS).is_ok();
    let card = start(windows, has_two, function.memory(), config)?;
    Ok((card, interrupt))
}

/// Starts the card behind the registers: resets it, reads its address, allocates rings and receive
/// buffers. `has_two`: vector 1 interrupts as vector 0 does.
///
/// ```
/// use drivers::fake::{HostMemory, Vmxnet3Device};
/// use drivers::net::{NetConfig, TxMeta};
/// use drivers::vmxnet3::start;
///
/// let memory = HostMemory::new();
/// let (windows, device) = Vmxnet3Device::default().connect(memory);
/// let mut card = start(windows, true, memory, &NetConfig::default())?;
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
/// [`Error::Gone`], [`Error::Revision`], [`Error::OutOfMemory`],
/// [`Error::DeviceError`] for a card that doesn't take its configuration.
pub fn start(
    windows: Windows,
    has_two: bool,
    memory: MemoryRef,
    config: &NetConfig,
) -> Result<Box<dyn Card>, Error> {
    let control = &*windows.control;
    let revisions = control.read(control::REVISION);
    if revisions == u32::MAX {
        return Err(Error::Gone);
    }
    if revisions & control.read(control::PASS_THROUGH_REVISION) & REVISION == 0 {
        return Err(Error::Revision);
    }
    reset(control);
    control.write(control::REVISION, REVISION);
    control.write(control::PASS_THROUGH_REVISION, REVISION);
    let low = control.read(control::ADDRESS_LOW).to_le_bytes();
    let high = control.read(control::ADDRESS_HIGH).to_le_bytes();
    let mac = [low[0], low[1], low[2], low[3], high[0], high[1]];
    let is_usable = mac[0] & 1 == 0 && mac.iter().any(|byte| *byte != 0);
    let capabilities = rings::capabilities(is_usable.then_some(mac), config.features);
    let hardware = Hardware::new(windows, has_two, memory, &capabilities, config)?;
    Ok(Box::new(RingCard::new(
        hardware,
        memory,
        capabilities,
        config,
    )?))
}

/// Has the card do a command, and returns its result: 0 for those of the driver that succeed, all
/// ones from a card that was removed.
fn execute(control: &dyn Registers, command: u32) -> u32 {
    control.write(control::COMMAND, command);
    control.read(control::COMMAND)
}

/// Ends all accesses of the card to memory, by a reset. Linux reads no result, so that cards may
/// give any; the read waits for the write.
fn reset(control: &dyn Registers) {
    for command in [command::QUIESCE, command::RESET] {
        execute(control, command);
    }
}

#[cfg(test)]
mod tests;
