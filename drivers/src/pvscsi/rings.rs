//! The rings that adapter and driver share: requests, completions, messages.
//!
//! Indices count entries from 0 on and wrap at 2^32. The driver keeps its own in private memory and
//! checks the device's: it accepts only the completion of a request in flight, by a context that
//! none of the last 2^16 requests had.

use alloc::vec::Vec;
use sync::atomic::{AtomicU32, Ordering};

use crate::queue::DeviceError;
use crate::{MemoryRef, Region};

pub(super) const PAGE: usize = 4096;

/// Bytes of the descriptors.
const REQUEST: usize = 128;
const COMPLETION: usize = 32;
const MESSAGE: usize = 128;
/// Pages of the rings: there is room for the completion of every request.
const REQUEST_PAGES: usize = 4;
const COMPLETION_PAGES: usize = 1;
const MESSAGE_PAGES: usize = 1;

/// Maximum number of requests in flight.
pub(super) const DEPTH: u16 = (REQUEST_PAGES * PAGE / REQUEST) as u16;
const COMPLETIONS: u32 = (COMPLETION_PAGES * PAGE / COMPLETION) as u32;
const MESSAGES: u32 = (MESSAGE_PAGES * PAGE / MESSAGE) as u32;
const _: () = assert!(DEPTH as u32 <= COMPLETIONS);

/// Maximum pages in the commands that set up the rings.
const MAX_PAGES: usize = 32;
const MAX_MESSAGE_PAGES: usize = 16;

/// Offsets of the indices in their page.
const REQUESTS_PRODUCED: usize = 0;
const COMPLETIONS_PRODUCED: usize = 12;
const COMPLETIONS_CONSUMED: usize = 16;
const MESSAGES_PRODUCED: usize = 128;
const MESSAGES_CONSUMED: usize = 132;

/// Offsets in a completion: context, bytes transferred, bytes of sense data, statuses.
const CONTEXT: usize = 0;
const TRANSFERRED: usize = 8;
const SENSE_LEN: usize = 16;
const STATUSES: usize = 20;

/// A request as the device reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Physical address of the data, or of the list of them.
    pub data: u64,
    /// Bytes of the data.
    pub len: u64,
    /// Physical address of the sense data, and bytes for them.
    pub sense: u64,
    pub sense_len: u32,
    pub flags: u32,
    pub cdb: [u8; 16],
    pub cdb_len: u8,
    pub lun: [u8; 8],
    pub target: u8,
}

impl Descriptor {
    /// Tag of a simple task, and the only bus.
    const SIMPLE: u8 = 0x20;
    const BUS: u8 = 0;

    fn bytes(&self, context: u32) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        bytes[..8].copy_from_slice(&u64::from(context).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.data.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.len.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sense.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.sense_len.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.flags.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.cdb);
        bytes[56] = self.cdb_len;
        bytes[57..65].copy_from_slice(&self.lun);
        bytes[65..68].copy_from_slice(&[Self::SIMPLE, Self::BUS, self.target]);
        bytes
    }
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// The request's number.
    pub id: u16,
    /// Bytes that were transferred; 0 also if the device doesn't say.
    pub transferred: u64,
    /// Bytes of sense data that the device says there are.
    pub sense_len: u32,
    /// The adapter's status, and the unit's.
    pub host: u16,
    pub unit: u16,
}

/// A message: a unit came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub kind: u32,
    pub target: u32,
    pub lun: u16,
}

pub(super) struct Rings {
    indices: Region,
    requests: Region,
    completions: Region,
    messages: Region,
    /// The driver's own indices; the device gets that of requests at the next
    /// [`publish`](Rings::publish).
    produced: u32,
    published: u32,
    completed: u32,
    read: u32,
    /// The context of each request in flight.
    in_flight: Vec<Option<u32>>,
    /// The number of the next context.
    generation: u16,
}

impl Rings {
    pub fn new(memory: MemoryRef) -> Option<Rings> {
        let pages = |count: usize| Region::new(memory, count * PAGE, PAGE);
        Some(Rings {
            indices: pages(1)?,
            requests: pages(REQUEST_PAGES)?,
            completions: pages(COMPLETION_PAGES)?,
            messages: pages(MESSAGE_PAGES)?,
            produced: 0,
            published: 0,
            completed: 0,
            read: 0,
            in_flight: alloc::vec![None; DEPTH.into()],
            generation: 0,
        })
    }

    /// The words of the command that sets up the rings of requests and completions.
    pub fn setup(&self) -> Vec<u32> {
        let mut words = Vec::from([REQUEST_PAGES as u32, COMPLETION_PAGES as u32]);
        append(&mut words, &self.indices, 1);
        append(&mut words, &self.requests, MAX_PAGES);
        append(&mut words, &self.completions, MAX_PAGES);
        words
    }

    /// The words of the command that sets up the ring of messages.
    pub fn setup_messages(&self) -> Vec<u32> {
        let mut words = Vec::from([MESSAGE_PAGES as u32, 0]);
        append(&mut words, &self.messages, MAX_MESSAGE_PAGES);
        words
    }

    fn index(&self, at: usize) -> &AtomicU32 {
        // SAFETY: an aligned word of the page, which lives as long and is accessed only atomically.
        unsafe { AtomicU32::from_ptr(self.indices.ptr(at).cast().as_ptr()) }
    }

    fn produced(&self, at: usize, ordering: Ordering) -> u32 {
        u32::from_le(self.index(at).load(ordering))
    }

    /// Whether a request is in flight.
    pub fn is_busy(&self) -> bool {
        self.produced != self.completed
    }

    /// Adds a request, whose number is that of none in flight.
    ///
    /// The entry is free: the device has taken all requests but those in flight, which are fewer
    /// than the entries.
    pub fn add(&mut self, id: u16, descriptor: &Descriptor) {
        self.generation = self.generation.wrapping_add(1);
        // Never 0, which an adapter may take for none.
        let context = (u32::from(self.generation) << 16) + u32::from(id) + 1;
        let Some(place) = self.in_flight.get_mut(usize::from(id)) else {
            return;
        };
        *place = Some(context);
        let at = self.produced as usize % usize::from(DEPTH) * REQUEST;
        // SAFETY: an entry that the device doesn't read, see above.
        let entry = unsafe { self.requests.slice(at, REQUEST) };
        entry.copy_from_slice(&descriptor.bytes(context));
        self.produced = self.produced.wrapping_add(1);
    }

    /// Shows the device the requests added since the last call. Returns whether there are any.
    pub fn publish(&mut self) -> bool {
        if self.produced == self.published {
            return false;
        }
        // Release: the device sees the requests before the index, and has its answer read before
        // it can use an entry of the completions again.
        let produced = self.produced.to_le();
        self.index(REQUESTS_PRODUCED)
            .store(produced, Ordering::Release);
        self.published = self.produced;
        true
    }

    /// Whether there is a completion or a message. No exit.
    pub fn has_any(&self) -> bool {
        self.produced(COMPLETIONS_PRODUCED, Ordering::Relaxed) != self.completed
            || self.produced(MESSAGES_PRODUCED, Ordering::Relaxed) != self.read
    }

    /// Returns the next completion.
    ///
    /// # Errors
    ///
    /// It is that of no request in flight, or there are more than entries.
    pub fn complete(&mut self) -> Result<Option<Completion>, DeviceError> {
        // Acquire: the completion was written before the index, and what it announces, too.
        let produced = self.produced(COMPLETIONS_PRODUCED, Ordering::Acquire);
        match produced.wrapping_sub(self.completed) {
            0 => return Ok(None),
            count if count > COMPLETIONS => return Err(DeviceError),
            _ => {}
        }
        let at = (self.completed % COMPLETIONS) as usize * COMPLETION;
        let word = |offset| word(&self.completions, at + offset);
        let long = |offset| u64::from(word(offset + 4)) << 32 | u64::from(word(offset));
        let (context, statuses) = (long(CONTEXT), word(STATUSES));
        let id = (context as u16).wrapping_sub(1);
        let place = self.in_flight.get_mut(usize::from(id));
        let place = place.filter(|place| place.map(u64::from) == Some(context));
        let place = place.ok_or(DeviceError)?;
        let completion = Completion {
            id,
            transferred: long(TRANSFERRED),
            sense_len: word(SENSE_LEN),
            host: statuses as u16,
            unit: (statuses >> 16) as u16,
        };
        *place = None;
        self.completed = self.completed.wrapping_add(1);
        // Release: the entry has been read.
        let completed = self.completed.to_le();
        self.index(COMPLETIONS_CONSUMED)
            .store(completed, Ordering::Release);
        Ok(Some(completion))
    }

    /// Returns the next message.
    ///
    /// # Errors
    ///
    /// There are more than entries.
    pub fn message(&mut self) -> Result<Option<Message>, DeviceError> {
        // Acquire: the message was written before the index.
        let produced = self.produced(MESSAGES_PRODUCED, Ordering::Acquire);
        match produced.wrapping_sub(self.read) {
            0 => return Ok(None),
            count if count > MESSAGES => return Err(DeviceError),
            _ => {}
        }
        let at = (self.read % MESSAGES) as usize * MESSAGE;
        let word = |offset| word(&self.messages, at + offset);
        let [high, low, ..] = word(12).to_le_bytes();
        let message = Message {
            kind: word(0),
            target: word(8),
            lun: u16::from_be_bytes([high, low]) & 0x3fff,
        };
        self.read = self.read.wrapping_add(1);
        // Release: the entry has been read.
        let read = self.read.to_le();
        self.index(MESSAGES_CONSUMED).store(read, Ordering::Release);
        Ok(Some(message))
    }

    /// Leaks the memory, because the device may still use it.
    pub fn leak(&mut self) {
        let regions = [
            &mut self.indices,
            &mut self.requests,
            &mut self.completions,
            &mut self.messages,
        ];
        regions.into_iter().for_each(Region::leak);
    }
}

/// A word that the device writes.
fn word(region: &Region, at: usize) -> u32 {
    // SAFETY: an aligned word of the region, which is accessed only atomically.
    let word = unsafe { AtomicU32::from_ptr(region.ptr(at).cast().as_ptr()) };
    u32::from_le(word.load(Ordering::Relaxed))
}

/// Appends the numbers of a region's pages, and zeros up to `count` numbers.
fn append(words: &mut Vec<u32>, region: &Region, count: usize) {
    for index in 0..count {
        let at = index * PAGE;
        let number = match at < region.len() {
            true => region.phys(at) / PAGE as u64,
            false => 0,
        };
        words.extend([number as u32, (number >> 32) as u32]);
    }
}
