//! The virtio device (virtio 1.2, 5.6).

use alloc::boxed::Box;

use super::Address;
use super::host::{Ended, Event, Host};
use super::protocol::{self, CDB, Cdb, Outcome};
use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::disk::{DiskError, Limits, List, SECTOR};
use crate::queue::{Buffer, DeviceError, Queue};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef, Region};

mod events;

use events::Events;

/// Feature bits of SCSI host devices (virtio 1.2, 5.6.3) that the driver uses.
pub mod feature {
    /// The device reports units that are added and removed.
    pub const HOTPLUG: u64 = 1 << 1;
    /// The device reports units that change.
    pub const CHANGE: u64 = 1 << 2;

    /// All of the above.
    pub const ALL: u64 = HOTPLUG | CHANGE;
}

/// Configuration space (5.6.4).
const CONFIG_SEG_MAX: usize = 4;
const CONFIG_MAX_SECTORS: usize = 8;
const CONFIG_CMD_PER_LUN: usize = 12;
const CONFIG_MAX_TARGET: usize = 30;

const EVENT_QUEUE: u16 = 1;
const REQUEST_QUEUE: u16 = 2;

/// Header of a command: address, identifier, attributes, and the command descriptor block
/// (5.6.6.1).
const HEADER: usize = 19 + CDB;
/// Response, and the length of its sense data (5.6.4: `sense_size` after a reset).
const RESPONSE: usize = 12 + SENSE;
const SENSE: usize = 96;
/// Offsets in the response: length of sense data, residual bytes, status, response.
const SENSE_LEN: usize = 0;
const RESIDUAL: usize = 4;
const STATUS: usize = 10;
const CODE: usize = 11;
const SENSE_AT: usize = 12;

/// Response codes (5.6.6.1.1) other than those of failures.
const OK: u8 = 0;
const ABORTED: u8 = 2;
const BAD_TARGET: u8 = 3;
const RESET: u8 = 4;
const BUSY: u8 = 5;
/// Initial value of the response code; not a code of the specification.
const NONE: u8 = 0xff;

/// Bytes per command: header and response.
const RECORD: usize = 176;
const RESPONSE_AT: usize = 64;

/// Descriptors of a command's header and its response.
const FRAME: u16 = 2;

pub(super) struct VirtioHost {
    device: Device,
    queue: Queue,
    events: Events,
    records: Region,
    limits: Limits,
    depth: u16,
    per_unit: u16,
}

impl VirtioHost {
    /// Starts the device: negotiates features and allocates the queues.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        config: &super::ScsiConfig,
    ) -> Result<VirtioHost, Error> {
        let wanted =
            (feature::ALL | device::feature::QUEUE) & config.features | device::feature::VERSION_1;
        let mut device = Device::new(transport, memory, DeviceType::SCSI, wanted, &|f| f)?;
        let number = |at| device.config_u32(at).ok_or(Error::BadConfig);
        let seg_max = number(CONFIG_SEG_MAX)?.max(1);
        let max_sectors = number(CONFIG_MAX_SECTORS)?.max(1) as usize;
        let per_unit = match number(CONFIG_CMD_PER_LUN)? {
            0 => u16::MAX,
            commands => u16::try_from(commands).unwrap_or(u16::MAX),
        };
        let mut limits = Limits {
            segment: u32::MAX,
            segments: u16::try_from(seg_max).unwrap_or(u16::MAX),
            bytes: max_sectors * SECTOR,
            block: SECTOR,
            boundary: 1,
        };
        let events = Events::new(memory, &mut device, EVENT_QUEUE)?;
        let max_chain = limits.segments.min(List::MAX_SEGMENTS) + FRAME;
        let sizes = (FRAME + 1, config.queue_size);
        let queue = device.queue(memory, REQUEST_QUEUE, sizes, max_chain)?;
        limits.segments = limits.segments.min(queue.max_chain() - FRAME);
        let depth = match device.has(device::feature::INDIRECT_DESC) {
            true => queue.size(),
            false => queue.size() / (FRAME + 1),
        };
        let records = Region::new(memory, RECORD * usize::from(depth), 64);
        let records = records.ok_or(Error::OutOfMemory)?;
        device.start();
        let mut host = VirtioHost {
            device,
            queue,
            events,
            records,
            limits,
            depth,
            per_unit,
        };
        host.events.start(&host.device);
        Ok(host)
    }

    /// The buffers of command `id` itself.
    fn frame(&self, id: u16) -> [Buffer; 2] {
        let at = usize::from(id) * RECORD;
        [
            Buffer::readable(self.records.phys(at), HEADER),
            Buffer::writable(self.records.phys(at + RESPONSE_AT), RESPONSE),
        ]
    }
}

impl Host for VirtioHost {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn depth(&self) -> u16 {
        self.depth
    }

    fn per_unit(&self) -> u16 {
        self.per_unit
    }

    fn last_target(&self) -> u16 {
        self.device.config_u16(CONFIG_MAX_TARGET).unwrap_or(0)
    }

    fn room(&self) -> Option<u16> {
        self.queue.room().checked_sub(FRAME)
    }

    /// What the device reads comes before what it writes.
    fn begin(&self, id: u16, to_device: bool, list: &mut List, room: u16, limits: &Limits) {
        let [header, response] = self.frame(id);
        if to_device {
            list.begin(&[header], room, limits);
        } else {
            list.begin(&[header, response], room, limits);
        }
    }

    fn add(
        &mut self,
        id: u16,
        address: Address,
        cdb: &Cdb,
        to_device: bool,
        list: &mut List,
    ) -> bool {
        let [_, response] = self.frame(id);
        if to_device {
            list.finish(response);
        }
        let at = usize::from(id) * RECORD;
        // SAFETY: the record is that of a command that the device doesn't have.
        let record = unsafe { self.records.slice(at, RESPONSE_AT + RESPONSE) };
        record.fill(0);
        record[..8].copy_from_slice(&address.flat());
        record[8..10].copy_from_slice(&id.to_le_bytes());
        record[19..HEADER].copy_from_slice(cdb);
        record[RESPONSE_AT + CODE] = NONE;
        self.queue.add(list.buffers(), u32::from(id)).is_ok()
    }

    fn kick(&mut self) {
        self.queue.kick(self.device.transport());
    }

    fn complete(&mut self) -> Result<Option<Ended>, DeviceError> {
        let Some(completion) = self.queue.pop()? else {
            return Ok(None);
        };
        let id = completion.token as u16;
        let at = usize::from(id) * RECORD + RESPONSE_AT;
        // SAFETY: the device has returned the record.
        let (outcome, is_short) = outcome(unsafe { self.records.slice(at, RESPONSE) });
        Ok(Some(Ended {
            id,
            outcome,
            is_short,
        }))
    }

    fn events(&mut self, report: &mut dyn FnMut(Event)) -> Result<(), DeviceError> {
        self.events.poll(&self.device, report)
    }

    fn has_pending(&self) -> bool {
        self.queue.has_used() || self.events.queue.has_used()
    }

    fn enable_interrupts(&mut self) -> bool {
        // Both, whatever the first says.
        let events = self.events.queue.enable_interrupts();
        self.queue.enable_interrupts() || events
    }

    fn disable_interrupts(&mut self) {
        self.queue.disable_interrupts();
        self.events.queue.disable_interrupts();
    }

    fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    fn is_running(&self) -> bool {
        self.device.is_running()
    }

    fn stop(&mut self) -> bool {
        self.device.stop()
    }

    fn leak(&mut self) {
        self.queue.leak();
        self.records.leak();
        self.events.leak();
    }
}

/// The outcome in a response, and whether it has residual bytes.
fn outcome(response: &[u8]) -> (Outcome, bool) {
    let word = |at| {
        response[at..]
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let outcome = match response[CODE] {
        OK => {
            let sense = &response[SENSE_AT..RESPONSE];
            let sense = sense.get(..word(SENSE_LEN) as usize).unwrap_or(sense);
            protocol::outcome(response[STATUS], sense)
        }
        BAD_TARGET => Outcome::end(Err(DiskError::Removed)),
        // The reset of a unit or its removal ends what it has with these.
        ABORTED | RESET | BUSY => Outcome::temporary(DiskError::NotReady),
        _ => Outcome::end(Err(DiskError::Io)),
    };
    (outcome, word(RESIDUAL) != 0)
}

const _: () = assert!(HEADER <= RESPONSE_AT && RESPONSE_AT + RESPONSE <= RECORD);
