//! VMware's paravirtual SCSI adapters on PCI: another way to the disks of [`crate::scsi`].
//!
//! The adapter has no public specification; the names and layouts are those of Linux's and QEMU's
//! headers. Its commands, a reset included, end before the write that starts them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::disk::{DiskError, Limits, List, SECTOR};
use crate::idle::Idle;
use crate::pci::Id;
use crate::queue::DeviceError;
use crate::registers::Registers;
use crate::scsi::{self, Address, Cdb, Ended, Event, Host, Outcome, Scsi, ScsiConfig};
use crate::transport::Interrupt;
use crate::{Error, MemoryRef, Region};

mod registers;
mod rings;

#[cfg(any(test, feature = "fake"))]
pub(crate) use registers::offset as register_offset;
pub use registers::open;
use registers::{INTERRUPTS, NO_COMMAND, RESET, SETUP_MESSAGES, SETUP_RINGS, is_gone, offset};
use rings::{Completion, DEPTH, Descriptor, Rings};

/// The adapters' ids.
pub const IDS: &[Id] = &[Id::Device(0x15ad, 0x07c0)];

/// The last target that an adapter may have.
const LAST_TARGET: u16 = 64;
/// Maximum bytes of a command's data.
const MAX_BYTES: usize = 16 << 20;

/// Flags of a request.
const HAS_LIST: u32 = 1;
const NO_DATA: u32 = 1 << 2;
const TO_HOST: u32 = 1 << 3;
const TO_DEVICE: u32 = 1 << 4;

/// Bytes of an element of a list of data, of a list, which is in one page, and of sense data.
const ELEMENT: usize = 16;
const LIST: usize = List::MAX_SEGMENTS as usize * ELEMENT;
const SENSE: usize = 96;
const _: () = assert!(rings::PAGE.is_multiple_of(LIST));

/// Statuses of the adapter.
mod status {
    pub const SUCCESS: u16 = 0x00;
    pub const LINKED_COMPLETED: u16 = 0x0a;
    pub const LINKED_COMPLETED_WITH_FLAG: u16 = 0x0b;
    pub const DATA_UNDERRUN: u16 = 0x0c;
    pub const SELECTION_TIMEOUT: u16 = 0x11;
    pub const DATA_OVERRUN: u16 = 0x12;
    pub const SENT_RESET: u16 = 0x22;
    pub const RECEIVED_RESET: u16 = 0x23;
    pub const BUS_RESET: u16 = 0x25;
    pub const QUEUE_ABORTED: u16 = 0x26;
}

/// Starts an adapter.
///
/// # Errors
///
/// [`Error::Gone`], [`Error::OutOfMemory`].
///
/// ```
/// use drivers::disk::Controller;
/// use drivers::fake::{HostMemory, LogicalUnit, PvscsiDevice};
/// use drivers::{pvscsi, scsi::ScsiConfig};
///
/// let memory = HostMemory::new();
/// let unit = LogicalUnit::new(64, 512);
/// let (registers, _) = PvscsiDevice::new([((0, 0), unit)]).connect(memory);
/// let mut adapter = pvscsi::new(Box::new(registers), memory, &ScsiConfig::default())?;
/// adapter.begin();
/// while !adapter.is_ready() {
///     adapter.poll(&mut |_, _, _| ());
/// }
/// assert_eq!((adapter.disks(), adapter.geometry(0).sectors), (1, 64));
/// # Ok::<(), drivers::Error>(())
/// ```
pub fn new(
    registers: Box<dyn Registers>,
    memory: MemoryRef,
    config: &ScsiConfig,
) -> Result<Scsi, Error> {
    let adapter = Pvscsi::new(registers, memory, config)?;
    Scsi::with_host(Box::new(adapter), memory, config)
}

struct Pvscsi {
    registers: Box<dyn Registers>,
    rings: Rings,
    depth: u16,
    /// The list of data of each command.
    lists: Region,
    /// The sense data of each command.
    senses: Region,
    /// Bytes of the data of each command.
    lens: Vec<u64>,
    /// A command that isn't a read or a write was added since the last kick.
    has_other: bool,
    idle: Idle,
    /// Set once the driver has stopped the adapter: whether the reset completed.
    stopped: Option<bool>,
}

impl Pvscsi {
    fn new(
        registers: Box<dyn Registers>,
        memory: MemoryRef,
        config: &ScsiConfig,
    ) -> Result<Pvscsi, Error> {
        if is_gone(&*registers) {
            return Err(Error::Gone);
        }
        let depth = config.queue_size.clamp(1, DEPTH);
        let region = |len, align| Region::new(memory, usize::from(depth) * len, align);
        let lists = region(LIST, rings::PAGE).ok_or(Error::OutOfMemory)?;
        let senses = region(SENSE, ELEMENT).ok_or(Error::OutOfMemory)?;
        let rings = Rings::new(memory).ok_or(Error::OutOfMemory)?;
        let pvscsi = Pvscsi {
            registers,
            rings,
            depth,
            lists,
            senses,
            lens: alloc::vec![0; depth.into()],
            has_other: false,
            idle: Idle::default(),
            stopped: None,
        };
        pvscsi.command(RESET, &[]);
        pvscsi.command(SETUP_RINGS, &pvscsi.rings.setup());
        // Older adapters have no messages: their units come and go unannounced.
        pvscsi.registers.write(offset::COMMAND, SETUP_MESSAGES);
        if pvscsi.registers.read(offset::COMMAND_STATUS) != NO_COMMAND {
            pvscsi.write(&pvscsi.rings.setup_messages());
        }
        pvscsi.registers.write(offset::INTERRUPT_MASK, INTERRUPTS);
        Ok(pvscsi)
    }

    fn command(&self, command: u32, words: &[u32]) {
        self.registers.write(offset::COMMAND, command);
        self.write(words);
    }

    fn write(&self, words: &[u32]) {
        for word in words {
            self.registers.write(offset::COMMAND_DATA, *word);
        }
    }

    /// Writes the list of a command's data, and returns its address.
    fn write_list(&self, id: u16, list: &List) -> u64 {
        let at = usize::from(id) * LIST;
        // SAFETY: the list is that of a command that the device doesn't have.
        let elements = unsafe { self.lists.slice(at, LIST) };
        for (element, buffer) in elements.chunks_exact_mut(ELEMENT).zip(list.buffers()) {
            element[..8].copy_from_slice(&buffer.phys.to_le_bytes());
            element[8..12].copy_from_slice(&buffer.len.to_le_bytes());
            element[12..].fill(0);
        }
        self.lists.phys(at)
    }
}

impl Host for Pvscsi {
    fn limits(&self) -> Limits {
        Limits {
            segment: MAX_BYTES as u32,
            segments: List::MAX_SEGMENTS,
            bytes: MAX_BYTES,
            block: SECTOR,
            boundary: 1,
        }
    }

    fn depth(&self) -> u16 {
        self.depth
    }

    fn per_unit(&self) -> u16 {
        u16::MAX
    }

    fn last_target(&self) -> u16 {
        LAST_TARGET
    }

    fn room(&self) -> Option<u16> {
        // The rings have room for all commands.
        Some(List::MAX_SEGMENTS)
    }

    fn begin(&self, _: u16, _: bool, list: &mut List, room: u16, limits: &Limits) {
        list.begin(&[], room, limits);
    }

    fn add(
        &mut self,
        id: u16,
        address: Address,
        cdb: &Cdb,
        to_device: bool,
        list: &mut List,
    ) -> bool {
        let direction = if to_device { TO_DEVICE } else { TO_HOST };
        let (data, flags) = match list.buffers() {
            [] => (0, NO_DATA),
            [buffer] => (buffer.phys, direction),
            _ => (self.write_list(id, list), direction | HAS_LIST),
        };
        let len = list.buffers().iter().map(|buffer| u64::from(buffer.len));
        let len = len.sum();
        let mut short = [0; 16];
        short.copy_from_slice(&cdb[..16]);
        self.lens[usize::from(id)] = len;
        self.rings.add(
            id,
            &Descriptor {
                data,
                len,
                sense: self.senses.phys(usize::from(id) * SENSE),
                sense_len: SENSE as u32,
                flags,
                cdb: short,
                cdb_len: scsi::cdb_len(cdb),
                lun: address.peripheral(),
                target: address.target,
            },
        );
        self.has_other |= !scsi::is_transfer(cdb);
        true
    }

    /// One exit, or none.
    fn kick(&mut self) {
        if self.rings.publish() {
            let register = match core::mem::take(&mut self.has_other) {
                true => offset::KICK_OTHER,
                false => offset::KICK_READ_WRITE,
            };
            self.registers.write(register, 0);
        }
    }

    fn complete(&mut self) -> Result<Option<Ended>, DeviceError> {
        let Some(completion) = self.rings.complete()? else {
            let is_due = self.rings.is_busy() && self.idle.is_due();
            if is_due && is_gone(&*self.registers) {
                return Err(DeviceError);
            }
            return Ok(None);
        };
        self.idle.answered();
        let id = usize::from(completion.id);
        let len = *self.lens.get(id).ok_or(DeviceError)?;
        // SAFETY: the device has returned the command.
        let sense = unsafe { self.senses.slice(id * SENSE, SENSE) };
        let sense = sense.get(..completion.sense_len as usize).unwrap_or(sense);
        let (outcome, is_short) = outcome(&completion, sense, len);
        Ok(Some(Ended {
            id: completion.id,
            outcome,
            is_short,
        }))
    }

    fn events(&mut self, report: &mut dyn FnMut(Event)) -> Result<(), DeviceError> {
        const REMOVED: u32 = 1;
        // As many as there may be at once: a device that writes on doesn't keep the driver here.
        for _ in 0..DEPTH {
            let Some(message) = self.rings.message()? else {
                break;
            };
            if let (REMOVED, Ok(target)) = (message.kind, u8::try_from(message.target)) {
                let lun = message.lun;
                report(Event::Removed(Address { target, lun }));
            }
        }
        Ok(())
    }

    fn has_pending(&self) -> bool {
        self.rings.has_any()
    }

    fn enable_interrupts(&mut self) -> bool {
        self.idle.wait(self.rings.is_busy());
        if self.interrupt().needs_acknowledge() {
            // The handler masked the line. What came meanwhile raises it now, or is seen below.
            let causes = self.registers.read(offset::INTERRUPT_STATUS);
            self.registers.write(offset::INTERRUPT_STATUS, causes);
            self.registers.write(offset::INTERRUPT_MASK, INTERRUPTS);
        }
        self.has_pending()
    }

    /// Does nothing: each message reports completions that the next poll takes, and the handler of
    /// a line masks it.
    fn disable_interrupts(&mut self) {}

    fn interrupt(&self) -> Interrupt {
        self.registers.interrupt()
    }

    fn is_running(&self) -> bool {
        self.stopped.is_none()
    }

    fn stop(&mut self) -> bool {
        if let Some(done) = self.stopped {
            return done;
        }
        self.command(RESET, &[]);
        let status = self.registers.read(offset::COMMAND_STATUS);
        let done = status != NO_COMMAND || is_gone(&*self.registers);
        if !done {
            log::error!(
                target: "drivers",
                "a PVSCSI adapter doesn't reset: the memory that it was given is never used again"
            );
        }
        self.stopped = Some(done);
        done
    }

    fn leak(&mut self) {
        self.rings.leak();
        self.lists.leak();
        self.senses.leak();
    }
}

/// The outcome of a command with `len` bytes of data, and whether fewer were transferred.
fn outcome(completion: &Completion, sense: &[u8], len: u64) -> (Outcome, bool) {
    let of_unit = || {
        let status = u8::try_from(completion.unit).unwrap_or(u8::MAX);
        scsi::outcome(status, sense)
    };
    match completion.host {
        status::SUCCESS | status::LINKED_COMPLETED | status::LINKED_COMPLETED_WITH_FLAG => {
            // 0 where the adapter doesn't say, as QEMU's and, of some disks, VMware's.
            let is_short = completion.transferred != 0 && completion.transferred < len;
            (of_unit(), is_short)
        }
        status::DATA_UNDERRUN | status::DATA_OVERRUN => (of_unit(), true),
        status::SELECTION_TIMEOUT => (Outcome::end(Err(DiskError::Removed)), false),
        status::SENT_RESET | status::RECEIVED_RESET | status::BUS_RESET | status::QUEUE_ABORTED => {
            (Outcome::temporary(DiskError::NotReady), false)
        }
        _ => (Outcome::end(Err(DiskError::Io)), false),
    }
}

#[cfg(test)]
mod tests;
