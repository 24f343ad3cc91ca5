//! The control queue. Commands wait here for free slots; each gets one response.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::protocol::{self, Command, HEADER, Kind, MAX_COMMAND, MAX_RESPONSE, Refusal};
use crate::device::Device;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::{Error, MemoryRef, Region};

const CONTROL_QUEUE: u16 = 0;
/// Descriptors: two for each command, so 32 commands without indirect tables.
const QUEUE_SIZE: (u16, u16) = (2, 64);
/// Maximum number of commands in flight.
const SLOTS: u16 = 32;
/// Bytes of the memory of a command with its response.
const SLOT: usize = MAX_COMMAND + 32;

/// Purpose of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    pub what: What,
    /// The resource that it works on, or 0.
    pub resource: u32,
    /// The scan-out and the number of the present that it belongs to.
    pub present: Option<(usize, u64)>,
}

/// See [`Purpose::what`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Create,
    Attach,
    Transfer,
    Flush,
    Unref,
    /// Frees the previous resource of the same number on the host.
    Replace,
    /// Shows a resource on this scan-out, or nothing.
    Scanout(usize),
    /// Copies the image of this scan-out's cursor.
    Cursor(usize),
    DisplayInfo,
    Edid(usize),
}

/// A command that the device has.
struct Sent {
    kind: Kind,
    fence: Option<u64>,
    purpose: Purpose,
}

/// The end of a command.
pub struct Response {
    pub kind: Kind,
    pub purpose: Purpose,
    pub result: Result<(), Refusal>,
}

pub struct Control {
    pub queue: Queue,
    /// A slot per command, then the response to a query (`is_query`), of which there is one at a
    /// time.
    memory: Region,
    slots: Vec<Option<Sent>>,
    free: Vec<u16>,
    waiting: VecDeque<(Command, Purpose)>,
    fence: u64,
    /// The bytes of the last response to a query.
    answer: Vec<u8>,
}

/// Whether the response is longer than a header.
fn is_query(kind: Kind) -> bool {
    matches!(kind, Kind::GetDisplayInfo | Kind::GetEdid)
}

impl Control {
    pub fn new(memory: MemoryRef, device: &mut Device) -> Result<Control, Error> {
        let queue = device.queue(memory, CONTROL_QUEUE, QUEUE_SIZE, 2)?;
        let len = usize::from(SLOTS) * SLOT + MAX_RESPONSE;
        Ok(Control {
            queue,
            memory: Region::new(memory, len, 64).ok_or(Error::OutOfMemory)?,
            slots: (0..SLOTS).map(|_| None).collect(),
            free: (0..SLOTS).rev().collect(),
            waiting: VecDeque::new(),
            fence: 0,
            answer: Vec::with_capacity(MAX_RESPONSE),
        })
    }

    /// Restarts after a reset of the device.
    pub fn restart(&mut self, device: &mut Device) -> Result<(), Error> {
        self.queue.restart(device.transport_mut())?;
        self.slots.fill_with(|| None);
        self.free.clear();
        self.free.extend((0..SLOTS).rev());
        self.waiting.clear();
        Ok(())
    }

    /// Makes room for `count` commands; false if there is no memory.
    pub fn reserve(&mut self, count: usize) -> bool {
        self.waiting.try_reserve(count).is_ok()
    }

    /// Appends a command. The caller has reserved room.
    pub fn push(&mut self, command: Command, purpose: Purpose) {
        self.waiting.push_back((command, purpose));
    }

    /// The offset and the length of the response in slot `index`.
    fn response_at(index: u16, kind: Kind) -> (usize, usize) {
        if is_query(kind) {
            (usize::from(SLOTS) * SLOT, MAX_RESPONSE)
        } else {
            (usize::from(index) * SLOT + MAX_COMMAND, HEADER)
        }
    }

    /// Moves commands into the queue, and rings the doorbell once.
    pub fn kick(&mut self, device: &Device) {
        while let Some((command, purpose)) = self.waiting.front_mut() {
            let Some(&index) = self.free.last() else {
                break;
            };
            if self.queue.room() < 2 {
                break;
            }
            self.fence += 1;
            command.set_fence(self.fence);
            let start = usize::from(index) * SLOT;
            let bytes = command.bytes();
            let (answer, answer_len) = Control::response_at(index, command.kind);
            // SAFETY: the device uses neither a free slot nor, except for a query, the memory of a
            // query's response; and there is one query at a time.
            unsafe {
                self.memory.slice(start, bytes.len()).copy_from_slice(bytes);
                self.memory.slice(answer, answer_len).fill(0);
            }
            let buffers = [
                Buffer::readable(self.memory.phys(start), bytes.len()),
                Buffer::writable(self.memory.phys(answer), answer_len),
            ];
            if self.queue.add(&buffers, u32::from(index)).is_err() {
                break;
            }
            self.free.pop();
            self.slots[usize::from(index)] = Some(Sent {
                kind: command.kind,
                fence: command.fence(),
                purpose: *purpose,
            });
            self.waiting.pop_front();
        }
        self.queue.kick(device.transport());
    }

    /// Returns the next completed command; the bytes of a query's response are in
    /// [`query_response`](Control::query_response) until the next call.
    pub fn pop(&mut self) -> Result<Option<Response>, DeviceError> {
        let Some(completion) = self.queue.pop()? else {
            return Ok(None);
        };
        let index = completion.token as u16;
        let sent = self.slots.get_mut(usize::from(index));
        let sent = sent.and_then(Option::take).ok_or(DeviceError)?;
        self.free.push(index);
        let (start, len) = Control::response_at(index, sent.kind);
        let written = len.min(completion.written as usize);
        // SAFETY: the device has returned the slot. If it writes there nonetheless, each value is
        // read once.
        let bytes = unsafe { self.memory.slice(start, written) };
        self.answer.clear();
        self.answer.extend_from_slice(bytes);
        let result = protocol::check(&self.answer, sent.kind, sent.fence);
        Ok(Some(Response {
            kind: sent.kind,
            purpose: sent.purpose,
            result: result.map_err(|_| DeviceError)?,
        }))
    }

    /// See [`pop`](Control::pop).
    pub fn query_response(&self) -> &[u8] {
        &self.answer
    }

    /// Number of commands that have not completed.
    #[cfg(test)]
    pub fn unfinished(&self) -> usize {
        self.waiting.len() + self.slots.len() - self.free.len()
    }

    /// Drops all commands: the device is out of use.
    pub fn mark_failed(&mut self) {
        self.queue.mark_failed();
        self.waiting.clear();
    }

    pub fn leak(&mut self) {
        self.queue.leak();
        self.memory.leak();
    }
}
