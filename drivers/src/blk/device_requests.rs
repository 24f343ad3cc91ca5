//! Device requests (virtio 1.2, 5.2.6): the callers' requests, split within the device's limits.

use alloc::vec::Vec;

use super::bounce::{self, BounceBuffers, BounceSlot};
use super::{Active, BlkError, Clearing, Cursor, Operation, SECTOR};
use crate::device::Device;
use crate::memory::{Access, Segment};
use crate::queue::{Buffer, DeviceError, Queue, QueueCounters};
use crate::{Error, MemoryRef, Region};

const TYPE_IN: u32 = 0;
const TYPE_OUT: u32 = 1;
const TYPE_FLUSH: u32 = 4;
const TYPE_GET_ID: u32 = 8;

const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
/// Initial value of the status byte; not a status of the specification.
const STATUS_NONE: u8 = 0xff;

/// Maximum number of data segments per device request: 512 KiB with scattered pages of 4 KiB. With
/// a quarter of that, sequential reads on a host that bypasses its cache ran at half the rate (450
/// to 550 MiB/s instead of 1000).
const MAX_SEGMENTS: usize = 128;
/// Descriptors of a request's header and its status.
const FRAME: u16 = 2;

/// Bytes per request: the header (16), the status, and the segment of a request without data (16).
const RECORD: usize = 48;
const HEADER: usize = 16;
const STATUS_AT: usize = 16;
const SEGMENT_AT: usize = 32;
const SEGMENT: usize = 16;

const NO_BUFFER: Buffer = Buffer {
    phys: 0,
    len: 0,
    device_writes: false,
};

/// Limits of the device and of the driver's memory.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Maximum bytes per segment; at least a sector.
    pub segment: u32,
    /// Maximum data segments per request; at least 1.
    pub segments: u16,
    /// Requests are a multiple of this many bytes.
    pub block: usize,
    /// Descriptors.
    pub queue_size: u16,
    /// Bounce buffers.
    pub bounces: u16,
}

/// Result of submitting a device request to the queue.
pub(super) enum Issued {
    Some,
    Full,
}

/// A completed device request: the caller's request that it belongs to, and its result.
pub(super) type Completion = (u16, Result<(), BlkError>);

/// A device request in flight.
#[derive(Clone, Copy, Default)]
struct DeviceRequest {
    /// Index of the caller's request.
    request: u16,
    /// Slot of its bounce buffer.
    bounce: Option<BounceSlot>,
    /// Destination of the copy from the slot at the end of a read, and its length.
    copy_to: Option<(Cursor, usize)>,
}

pub(super) struct DeviceRequests {
    memory: MemoryRef,
    queue: Queue,
    records: Region,
    requests: Vec<DeviceRequest>,
    free: Vec<u16>,
    /// Reused allocation of [`List`].
    buffers: Vec<Buffer>,
    limits: Limits,
    /// For data that isn't aligned to blocks. A host that bypasses its cache (QEMU: `cache=none`)
    /// would otherwise allocate and copy for each request: 110 to 200 MiB/s instead of 2000.
    bounces: BounceBuffers,
}

impl DeviceRequests {
    pub fn new(
        memory: MemoryRef,
        device: &mut Device,
        index: u16,
        limits: Limits,
    ) -> Result<DeviceRequests, Error> {
        let max_chain = limits.segments.min(MAX_SEGMENTS as u16) + FRAME;
        let queue = device.queue(memory, index, (FRAME + 1, limits.queue_size), max_chain)?;
        let segments = limits.segments.min(queue.max_chain() - FRAME);
        let indirect = device.has(crate::device::feature::INDIRECT_DESC);
        let count = if indirect {
            queue.size()
        } else {
            queue.size() / (FRAME + 1)
        };
        let records = Region::new(memory, RECORD * usize::from(count), 64);
        Ok(DeviceRequests {
            memory,
            queue,
            records: records.ok_or(Error::OutOfMemory)?,
            requests: alloc::vec![DeviceRequest::default(); count.into()],
            free: (0..count).rev().collect(),
            buffers: Vec::with_capacity(usize::from(segments + FRAME)),
            limits: Limits { segments, ..limits },
            bounces: BounceBuffers::new(memory, limits.bounces),
        })
    }

    /// Submits as much of the caller's request `index` as fits in one device request.
    pub fn issue(&mut self, index: u16, active: &mut Active) -> Result<Issued, BlkError> {
        let Some(&id) = self.free.last() else {
            return Ok(Issued::Full);
        };
        let room = self.queue.room().saturating_sub(FRAME);
        let has_data = !matches!(active.operation, Operation::Flush);
        if self.queue.room() < FRAME || has_data && room == 0 {
            return Ok(Issued::Full);
        }
        let buffers = core::mem::take(&mut self.buffers);
        let segments = room.min(self.limits.segments);
        let mut list = List::new(buffers, segments, self.limits.segment);
        let issued = self.issue_as(id, index, active, &mut list);
        self.buffers = list.buffers;
        issued
    }

    /// Like [`DeviceRequests::issue`], with device request `id`.
    fn issue_as(
        &mut self,
        id: u16,
        index: u16,
        active: &mut Active,
        list: &mut List,
    ) -> Result<Issued, BlkError> {
        let has_data = !matches!(active.operation, Operation::Flush);
        let mut issued = DeviceRequest {
            request: index,
            bounce: None,
            copy_to: None,
        };
        let mut len = 0;
        let record = usize::from(id) * RECORD;
        if let Operation::Clear(clearing) = active.operation {
            let segment = Segment {
                phys: self.records.phys(record + SEGMENT_AT),
                len: SEGMENT,
            };
            list.push(segment, false);
            // SAFETY: the record is that of a request that the device doesn't have.
            let bytes = unsafe { self.records.slice(record + SEGMENT_AT, SEGMENT) };
            len = (clearing.write)(active, clearing, bytes);
        } else if has_data {
            len = self.map(
                active,
                list,
                matches!(active.operation, Operation::Identify),
            )?;
            // Unaligned, or a block in more pages than the device allows segments.
            if len == 0 {
                if list.max_segments < usize::from(self.limits.segments) {
                    // Only the queue may have too few descriptors.
                    return Ok(Issued::Full);
                }
                len = match self.bounce(active, list, &mut issued)? {
                    Some(0) => return Ok(Issued::Full),
                    Some(len) => len,
                    // No memory for a bounce buffer.
                    None => self.map(active, list, true)?,
                };
                if len == 0 {
                    return Err(BlkError::NoMemory);
                }
            }
        }
        self.write_record(id, active);
        let status = Buffer {
            phys: self.records.phys(record + STATUS_AT),
            len: 1,
            device_writes: true,
        };
        list.finish(self.records.phys(record), status);
        if self.queue.add(&list.buffers, u32::from(id)).is_err() {
            issued
                .bounce
                .into_iter()
                .for_each(|slot| self.bounces.put(slot));
            return Ok(Issued::Full);
        }
        self.free.pop();
        self.requests[usize::from(id)] = issued;
        active.remaining -= len;
        active.sector += (len / SECTOR) as u64;
        active.memory.advance(len);
        Ok(Issued::Some)
    }

    /// Lists the physical segments of the request's next bytes, a whole number of blocks. Returns 0
    /// if not even a block fits the limits, or if the memory isn't aligned to blocks and
    /// `unaligned` is false.
    fn map(&self, active: &Active, list: &mut List, unaligned: bool) -> Result<usize, BlkError> {
        let mut gathered = 0;
        let mut memory = active.memory;
        while gathered < active.remaining {
            let (start, len) = memory.here();
            if !unaligned && !start.addr().get().is_multiple_of(self.limits.block) {
                break;
            }
            let before = gathered;
            let is_memory = self.memory.segments(
                start.as_ptr(),
                len,
                access(active.operation),
                &mut |segment| {
                    let taken = list.push(segment, !matches!(active.operation, Operation::Write));
                    gathered += taken;
                    taken == segment.len
                },
            );
            if !is_memory {
                return Err(BlkError::BadBuffer);
            }
            if gathered - before < len {
                break;
            }
            memory.advance(len);
        }
        let whole = match active.operation {
            Operation::Identify if gathered < active.remaining => 0,
            Operation::Identify => gathered,
            _ => gathered.min(active.remaining) / self.limits.block * self.limits.block,
        };
        list.truncate(gathered - whole);
        Ok(whole)
    }

    /// Lists a bounce buffer for the request's next blocks and returns their bytes. `Some(0)`: all
    /// buffers are in use. `None`: there are no buffers, and no memory for one.
    fn bounce(
        &mut self,
        active: &Active,
        list: &mut List,
        issued: &mut DeviceRequest,
    ) -> Result<Option<usize>, BlkError> {
        let wanted = active.remaining.min(bounce::BUFFER);
        let how = access(active.operation);
        let (mut memory, mut seen) = (active.memory, 0);
        while seen < wanted {
            let (start, len) = memory.here();
            let len = len.min(wanted - seen);
            if len == 0
                || !self
                    .memory
                    .segments(start.as_ptr(), len, how, &mut |_| true)
            {
                return Err(BlkError::BadBuffer);
            }
            memory.advance(len);
            seen += len;
        }
        let Some(slot) = self.bounces.take(wanted) else {
            return Ok((!self.bounces.is_empty()).then_some(0));
        };
        let Some((region, offset)) = self.bounces.at(slot) else {
            return Ok(None);
        };
        let is_read = !matches!(active.operation, Operation::Write);
        list.clear();
        let fits = list.push(
            Segment {
                phys: region.phys(offset),
                len: wanted,
            },
            is_read,
        );
        let len = match active.operation {
            Operation::Identify => fits,
            _ => fits / self.limits.block * self.limits.block,
        };
        list.truncate(fits - len);
        if len == 0 {
            self.bounces.put(slot);
            return Ok(None);
        }
        issued.bounce = Some(slot);
        if is_read {
            issued.copy_to = Some((active.memory, len));
        } else {
            // SAFETY: the slot has just been taken, so the device doesn't have it.
            let to = unsafe { region.slice(offset, len) };
            copy(active.memory, to, false);
        }
        Ok(Some(len))
    }

    /// Writes the header of device request `id` and resets its status.
    fn write_record(&self, id: u16, active: &Active) {
        let kind = match active.operation {
            Operation::Read => TYPE_IN,
            Operation::Write => TYPE_OUT,
            Operation::Flush => TYPE_FLUSH,
            Operation::Identify => TYPE_GET_ID,
            Operation::Clear(clearing) => clearing.kind,
        };
        // A request without data has its sector in the segment.
        let sector = match active.operation {
            Operation::Clear(_) => 0,
            _ => active.sector,
        };
        // SAFETY: the record is that of a request that the device doesn't have.
        let record = unsafe { self.records.slice(usize::from(id) * RECORD, RECORD) };
        record[0..4].copy_from_slice(&kind.to_le_bytes());
        record[4..8].fill(0);
        record[8..HEADER].copy_from_slice(&sector.to_le_bytes());
        record[STATUS_AT] = STATUS_NONE;
    }

    /// Returns the next completed device request.
    pub fn complete(&mut self) -> Result<Option<Completion>, DeviceError> {
        let Some(completion) = self.queue.pop()? else {
            return Ok(None);
        };
        let id = completion.token as u16;
        let issued = self.requests[usize::from(id)];
        self.free.push(id);
        let status = self.records.ptr(usize::from(id) * RECORD + STATUS_AT);
        // SAFETY: a byte of the records; volatile because the device wrote it.
        let result = match unsafe { status.read_volatile() } {
            STATUS_OK => Ok(()),
            STATUS_UNSUPPORTED => Err(BlkError::Unsupported),
            _ => Err(BlkError::Io),
        };
        if let Some(slot) = issued.bounce {
            if let (Some((to, len)), Some((region, offset)), Ok(())) =
                (issued.copy_to, self.bounces.at(slot), result)
            {
                // SAFETY: the device has returned the slot, and nothing else has it yet.
                let from = unsafe { region.slice(offset, len) };
                copy(to, from, true);
            }
            self.bounces.put(slot);
        }
        Ok(Some((issued.request, result)))
    }

    pub fn kick(&mut self, device: &Device) {
        self.queue.kick(device.transport());
    }

    pub fn has_pending(&self) -> bool {
        self.queue.has_used()
    }

    pub fn enable_interrupts(&mut self) -> bool {
        self.queue.enable_interrupts()
    }

    pub fn disable_interrupts(&self) {
        self.queue.disable_interrupts();
    }

    pub fn queue_counters(&self) -> QueueCounters {
        self.queue.counters()
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.records.leak();
        self.bounces.leak();
    }
}

/// Copies `bytes` between a bounce buffer and the memory at the cursor, in either direction.
fn copy(mut memory: Cursor, mut bytes: &mut [u8], to_memory: bool) {
    while !bytes.is_empty() {
        let (start, len) = memory.here();
        let len = len.min(bytes.len());
        let (here, rest) = bytes.split_at_mut(len);
        // The memory is as long as the request.
        if here.is_empty() {
            return;
        }
        let (memory_at, bytes_at) = (start.as_ptr(), here.as_mut_ptr());
        let (from, to) = if to_memory {
            (bytes_at, memory_at)
        } else {
            (memory_at, bytes_at)
        };
        // SAFETY: as many bytes of the request's memory, which is ours to read or write until the
        // request is reported (promise to the constructors of `Request`), and of a bounce buffer.
        unsafe { core::ptr::copy_nonoverlapping(from, to, len) };
        memory.advance(len);
        bytes = rest;
    }
}

/// Writes the segment of a request without data; returns the number of bytes that the next device
/// request covers.
pub(super) fn write_clear(active: &Active, clearing: Clearing, segment: &mut [u8]) -> usize {
    let len = clear_len(active, clearing);
    let fields = [
        active.sector.to_le_bytes(),
        ((len / SECTOR) as u64 | u64::from(clearing.flags) << 32).to_le_bytes(),
    ];
    for (to, from) in segment.iter_mut().zip(fields.as_flattened()) {
        *to = *from;
    }
    len
}

/// Bytes of a request without data that the next device request covers: up to the last multiple of
/// the device's alignment that fits.
fn clear_len(active: &Active, clearing: Clearing) -> usize {
    if active.remaining <= clearing.most {
        return active.remaining;
    }
    let start = active.sector.saturating_mul(SECTOR as u64);
    let end = start.saturating_add(clearing.most as u64);
    let over = end.checked_rem(clearing.alignment).unwrap_or(0) as usize;
    if over < clearing.most {
        clearing.most - over
    } else {
        clearing.most
    }
}

fn access(operation: Operation) -> Access {
    match operation {
        Operation::Write => Access::DeviceReads,
        _ => Access::DeviceWrites,
    }
}

/// The buffers of one device request: header, data segments, status.
struct List {
    /// The first is the header, as soon as it is known.
    buffers: Vec<Buffer>,
    /// Data segments, at most.
    max_segments: usize,
    max_len: u32,
}

impl List {
    /// An empty list that reuses the allocation of `buffers`.
    fn new(buffers: Vec<Buffer>, max_segments: u16, max_len: u32) -> List {
        let mut list = List {
            buffers,
            max_segments: usize::from(max_segments).min(MAX_SEGMENTS),
            max_len,
        };
        list.clear();
        list
    }

    fn clear(&mut self) {
        self.buffers.clear();
        self.buffers.push(NO_BUFFER);
    }

    /// Appends a segment, merging it with the previous one and cutting it to the device's limit.
    /// Returns the number of bytes that fitted.
    fn push(&mut self, mut segment: Segment, device_writes: bool) -> usize {
        let mut taken = 0;
        while segment.len > 0 {
            let count = self.buffers.len();
            let end = |last: &Buffer| last.phys + u64::from(last.len);
            let joined = match self.buffers.last_mut() {
                Some(last) if count > 1 && end(last) == segment.phys && last.len < self.max_len => {
                    let len = segment.len.min((self.max_len - last.len) as usize);
                    last.len += len as u32;
                    Some(len)
                }
                _ => None,
            };
            let len = match joined {
                Some(len) => len,
                None if count > self.max_segments => break,
                None => {
                    let len = segment.len.min(self.max_len as usize);
                    self.buffers.push(Buffer {
                        phys: segment.phys,
                        len: len as u32,
                        device_writes,
                    });
                    len
                }
            };
            taken += len;
            segment = Segment {
                phys: segment.phys + len as u64,
                len: segment.len - len,
            };
        }
        taken
    }

    /// Removes `bytes` from the end.
    fn truncate(&mut self, mut bytes: usize) {
        while bytes > 0 && self.buffers.len() > 1 {
            let Some(last) = self.buffers.last_mut() else {
                return;
            };
            let cut = bytes.min(last.len as usize);
            last.len -= cut as u32;
            bytes -= cut;
            if last.len == 0 {
                self.buffers.pop();
            }
        }
    }

    fn finish(&mut self, header: u64, status: Buffer) {
        if let Some(first) = self.buffers.first_mut() {
            (first.phys, first.len) = (header, HEADER as u32);
        }
        self.buffers.push(status);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: Buffer = Buffer {
        phys: 9,
        len: 1,
        device_writes: true,
    };

    fn data(list: &List) -> Vec<(u64, u32)> {
        list.buffers[1..].iter().map(|b| (b.phys, b.len)).collect()
    }

    fn push(list: &mut List, phys: u64, len: usize) -> usize {
        list.push(Segment { phys, len }, true)
    }

    #[test]
    fn adjacent_segments_are_merged_up_to_the_limit_of_the_device() {
        let mut list = List::new(Vec::new(), 3, 100);
        assert_eq!(push(&mut list, 1000, 30), 30);
        assert_eq!(push(&mut list, 1030, 90), 90);
        assert_eq!(data(&list), [(1000, 100), (1100, 20)]);
        // Neither a gap nor what lies before is joined.
        assert_eq!(push(&mut list, 1121, 250), 100);
        assert_eq!(data(&list), [(1000, 100), (1100, 20), (1121, 100)]);
        assert_eq!(push(&mut list, 1221, 1), 0);
        list.finish(7, STATUS);
        let ends = [list.buffers[0].phys, list.buffers[4].phys];
        assert_eq!((ends, list.buffers.len()), ([7, 9], 5));
        assert_eq!(list.buffers[0].len, HEADER as u32);
    }

    #[test]
    fn the_buffer_of_the_header_is_never_data() {
        let mut list = List::new(Vec::new(), 1, 100);
        // Covers a header whose address isn't known yet.
        assert_eq!(push(&mut list, 0, 10), 10);
        assert_eq!(data(&list), [(0, 10)]);
        list.truncate(1000);
        assert_eq!((data(&list).len(), list.buffers.len()), (0, 1));
    }

    #[test]
    fn bytes_come_off_the_end() {
        let filled = || {
            let mut list = List::new(Vec::new(), 3, 100);
            for phys in [1000, 3000, 5000] {
                push(&mut list, phys, 100);
            }
            list
        };
        let left = [
            (0, vec![(1000, 100), (3000, 100), (5000, 100)]),
            (1, vec![(1000, 100), (3000, 100), (5000, 99)]),
            (100, vec![(1000, 100), (3000, 100)]),
            (150, vec![(1000, 100), (3000, 50)]),
            (299, vec![(1000, 1)]),
            (300, vec![]),
        ];
        for (bytes, expected) in left {
            let mut list = filled();
            list.truncate(bytes);
            assert_eq!(data(&list), expected, "{bytes} bytes less");
        }
    }

    proptest! {
        /// Takes a prefix of the pieces in order, as long as both limits allow.
        #[test]
        fn any_segments_are_taken_in_order(
            given in prop::collection::vec((0..12u64, 1..40usize), 1..20),
            most in 1..8u16, longest in 1..50u32,
        ) {
            let mut list = List::new(Vec::new(), most, longest);
            let (mut at, mut taken) = (5000, Vec::new());
            for (gap, len) in given {
                at += gap.saturating_sub(6);
                let count = push(&mut list, at, len);
                taken.extend(at..at + count as u64);
                if count < len {
                    let segments = data(&list);
                    prop_assert_eq!(segments.len(), usize::from(most));
                    let (phys, last) = segments[segments.len() - 1];
                    let touches = phys + u64::from(last) == at + count as u64;
                    prop_assert!(!touches || last == longest);
                    break;
                }
                at += len as u64;
            }
            prop_assert!(data(&list).iter().all(|(_, len)| (1..=longest).contains(len)));
            let bytes = |list: &List| -> Vec<u64> {
                data(list).iter().flat_map(|(phys, len)| *phys..phys + u64::from(*len)).collect()
            };
            prop_assert_eq!(bytes(&list), &taken[..]);
            let less = taken.len() / 3;
            list.truncate(less);
            taken.truncate(taken.len() - less);
            prop_assert_eq!(bytes(&list), taken);
        }
    }
    use alloc::vec;
}
