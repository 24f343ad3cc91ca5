//! The event queue (virtio 1.2, 5.6.6.3): disks that are removed or change.

use super::super::Address;
use super::super::host::Event;
use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

/// Number of buffers; a device without one drops the event, and reports that later.
const EVENTS: u16 = 8;
/// Bytes of an event: kind, address, reason.
const EVENT: usize = 16;

/// `VIRTIO_SCSI_T_EVENTS_MISSED`, a flag of the kind.
const MISSED: u32 = 1 << 31;
/// `VIRTIO_SCSI_T_TRANSPORT_RESET`, and the reason `VIRTIO_SCSI_EVT_RESET_REMOVED`.
const TRANSPORT_RESET: u32 = 1;
const REMOVED: u32 = 2;
/// `VIRTIO_SCSI_T_PARAM_CHANGE`, and the reason "capacity data has changed" (2Ah, 09h).
const PARAM_CHANGE: u32 = 3;
const CAPACITY_CHANGED: u32 = 0x092a;

pub(super) struct Events {
    pub queue: Queue,
    buffers: Region,
}

impl Events {
    pub fn new(memory: MemoryRef, device: &mut Device, index: u16) -> Result<Events, Error> {
        let queue = device.queue(memory, index, (1, EVENTS), 1)?;
        let len = EVENT * usize::from(queue.size());
        Ok(Events {
            queue,
            buffers: Region::new(memory, len, 16).ok_or(Error::OutOfMemory)?,
        })
    }

    /// Gives the device all buffers.
    pub fn start(&mut self, device: &Device) {
        for token in 0..self.queue.size() {
            self.give(token);
        }
        self.queue.kick(device.transport());
    }

    fn give(&mut self, token: u16) {
        let buffer = Buffer::writable(self.buffers.phys(usize::from(token) * EVENT), EVENT);
        // There are as many descriptors as buffers.
        let _ = self.queue.add(&[buffer], u32::from(token));
    }

    /// Passes the events since the last call to `report`, at most two for each buffer.
    pub fn poll(
        &mut self,
        device: &Device,
        report: &mut dyn FnMut(Event),
    ) -> Result<(), DeviceError> {
        for _ in 0..self.queue.size() {
            let Some(completion) = self.queue.pop()? else {
                break;
            };
            let at = completion.token as usize * EVENT;
            if completion.written as usize >= EVENT {
                // SAFETY: the device has returned the buffer.
                let event = unsafe { self.buffers.slice(at, EVENT) };
                events(event, report);
            }
            self.give(completion.token as u16);
        }
        self.queue.kick(device.transport());
        Ok(())
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.buffers.leak();
    }
}

/// What the bytes of an event say.
fn events(bytes: &[u8], report: &mut dyn FnMut(Event)) {
    let word = |at: usize| {
        let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let kind = word(0);
    if kind & MISSED != 0 {
        report(Event::Missed);
    }
    let Some(address) = bytes.get(4..12).and_then(Address::parse) else {
        return;
    };
    match (kind & !MISSED, word(12)) {
        (TRANSPORT_RESET, REMOVED) => report(Event::Removed(address)),
        (PARAM_CHANGE, CAPACITY_CHANGED) => report(Event::Resized(address)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn events_are_read() {
        let unit = [1, 3, 0, 2, 0, 0, 0, 0];
        let address = Address { target: 3, lun: 2 };
        let cases: [(u32, u32, &[Event]); 7] = [
            (1, 2, &[Event::Removed(address)]),
            (1, 0, &[]),
            (1, 1, &[]),
            (3, 0x092a, &[Event::Resized(address)]),
            (3, 0x002a, &[]),
            (1 << 31, 0, &[Event::Missed]),
            (1 << 31 | 1, 2, &[Event::Missed, Event::Removed(address)]),
        ];
        for (kind, reason, expected) in cases {
            let bytes = [&kind.to_le_bytes()[..], &unit, &reason.to_le_bytes()].concat();
            let mut found = Vec::new();
            events(&bytes, &mut |event| found.push(event));
            assert_eq!(found, expected, "{kind:#x}, {reason:#x}");
        }
        let mut none = Vec::new();
        events(
            &[1, 0, 0, 0, 9, 3, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0],
            &mut |e| none.push(e),
        );
        assert_eq!(none, [], "not the address of a unit");
    }
}
