//! A submission queue with its completion queue (NVM Express Base 2.0, 3.3.1).
//!
//! The driver keeps which commands are in flight outside the controller's reach: a completion is
//! accepted only if it names one of them, once. `tools/models` checks the queues under loom.

use alloc::vec::Vec;
use sync::atomic::{AtomicU32, Ordering, fence};

use super::command::{BYTES, Command, CommandStatus};
use super::registers::offset;
use crate::queue::{DeviceError, QueueCounters};
use crate::registers::Registers;
use crate::{Error, MemoryRef, Region};

/// Bytes of a completion, and of a memory page, which queues begin at.
const COMPLETION: usize = 16;
const PAGE: usize = 4096;

/// Offsets in a completion: the submission queue, and identifier, phase and status.
const QUEUE_AT: usize = 8;
const STATUS_AT: usize = 12;
const PHASE: u32 = 1 << 16;

/// Number of entries of both queues.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Entries of the submission queue, at least 2; one less is the maximum of commands in flight.
    pub submissions: u16,
    /// Entries of the completion queue, at least as many.
    pub completions: u16,
}

/// A completed command.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Identifier, smaller than the submission queue's size.
    pub id: u16,
    pub status: CommandStatus,
}

pub struct QueuePair {
    submissions: Region,
    completions: Region,
    sizes: Sizes,
    /// The number of both queues.
    number: u16,
    /// Bytes from one doorbell to the next.
    stride: usize,
    /// Next entry of the submission queue, and its value at the last doorbell.
    tail: u16,
    rung: u16,
    /// Next entry of the completion queue, and how its phase bit is when it is new.
    head: u16,
    phase: bool,
    /// Completions that were taken since the last doorbell.
    taken: u16,
    /// Identifiers of no command.
    free: Vec<u16>,
    /// Whether the command with this identifier is in flight.
    in_flight: Vec<bool>,
    counters: QueueCounters,
}

impl QueuePair {
    pub fn new(
        memory: MemoryRef,
        number: u16,
        stride: usize,
        sizes: Sizes,
    ) -> Result<QueuePair, Error> {
        let region = |len| Region::new(memory, len, PAGE).ok_or(Error::OutOfMemory);
        let count = sizes.submissions.saturating_sub(1);
        Ok(QueuePair {
            submissions: region(usize::from(sizes.submissions) * BYTES)?,
            completions: region(usize::from(sizes.completions) * COMPLETION)?,
            sizes,
            number,
            stride,
            tail: 0,
            rung: 0,
            head: 0,
            phase: true,
            taken: 0,
            free: (0..count).rev().collect(),
            in_flight: alloc::vec![false; count.into()],
            counters: QueueCounters::default(),
        })
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Physical addresses of the submission queue and the completion queue.
    pub fn addresses(&self) -> (u64, u64) {
        (self.submissions.phys(0), self.completions.phys(0))
    }

    pub fn counters(&self) -> QueueCounters {
        self.counters
    }

    /// The maximum number of commands in flight.
    pub fn depth(&self) -> u16 {
        self.sizes.submissions - 1
    }

    /// The number of commands that there is room for.
    pub fn room(&self) -> u16 {
        self.free.len() as u16
    }

    /// Whether a command is in flight.
    pub fn is_busy(&self) -> bool {
        self.room() < self.depth()
    }

    /// The identifier that the next command gets; `None` while the queue is full.
    pub fn next_id(&self) -> Option<u16> {
        self.free.last().copied()
    }

    /// Adds a command, with the identifier of [`next_id`](QueuePair::next_id); false while the
    /// queue is full. The controller sees it at the next [`kick`](QueuePair::kick).
    ///
    /// The entry is free: the controller fetches commands in their order, and those that it hasn't
    /// fetched are among those in flight, which are fewer than the entries.
    #[allow(clippy::disallowed_methods, reason = "memory, not registers")]
    pub fn submit(&mut self, command: Command) -> bool {
        let Some(id) = self.free.pop() else {
            return false;
        };
        self.in_flight[usize::from(id)] = true;
        let entry = self.submissions.ptr(usize::from(self.tail) * BYTES).cast();
        // SAFETY: an aligned entry of the queue, which the controller doesn't read.
        unsafe { entry.write_volatile(command.identified(id).words) };
        self.tail = next(self.tail, self.sizes.submissions);
        true
    }

    fn ring(&self, registers: &dyn Registers, doorbell: usize, value: u16) {
        let index = usize::from(self.number) * 2 + doorbell;
        registers.write(offset::DOORBELLS + index * self.stride, u32::from(value));
    }

    /// Notifies the controller of the commands added since the last call: one exit, or none.
    pub fn kick(&mut self, registers: &dyn Registers) {
        if self.tail == self.rung {
            return;
        }
        // The commands must be in memory before the controller fetches them. The write of the
        // register is ordered after them for devices; the fence orders them for the compiler.
        fence(Ordering::Release);
        self.ring(registers, 0, self.tail);
        self.rung = self.tail;
        self.counters.kicks += 1;
    }

    /// A word of the next completion, which the controller writes.
    fn word(&self, offset: usize) -> u32 {
        let at = usize::from(self.head) * COMPLETION + offset;
        // SAFETY: an aligned word of the queue, which is accessed only atomically.
        let word = unsafe { AtomicU32::from_ptr(self.completions.ptr(at).cast().as_ptr()) };
        word.load(Ordering::Relaxed)
    }

    /// Whether a completion waits for [`pop`](QueuePair::pop). No exit.
    pub fn has_completions(&self) -> bool {
        (self.word(STATUS_AT) & PHASE != 0) == self.phase
    }

    /// Returns the next completed command.
    ///
    /// # Errors
    ///
    /// The completion is of no command in flight, or of another queue's.
    pub fn pop(&mut self) -> Result<Option<Completion>, DeviceError> {
        let word = self.word(STATUS_AT);
        if (word & PHASE != 0) != self.phase {
            return Ok(None);
        }
        // Acquire: the controller writes a completion before its phase, so the rest is read after
        // it, and so are the buffers.
        fence(Ordering::Acquire);
        let queue = self.word(QUEUE_AT) >> 16;
        let id = word as u16;
        let is_known = self.in_flight.get(usize::from(id)) == Some(&true);
        if !is_known || queue != u32::from(self.number) {
            self.counters.bogus += 1;
            return Err(DeviceError);
        }
        self.in_flight[usize::from(id)] = false;
        self.free.push(id);
        self.head = next(self.head, self.sizes.completions);
        self.phase ^= self.head == 0;
        self.taken += 1;
        Ok(Some(Completion {
            id,
            status: CommandStatus::of(word),
        }))
    }

    /// Returns the entries of all taken completions to the controller, which also ends their
    /// interrupt: one exit, or none.
    pub fn acknowledge(&mut self, registers: &dyn Registers) {
        if self.taken > 0 {
            // No fence: these entries are read by now, and the controller reuses one for a command
            // that is submitted later, since there are no more commands in flight than entries.
            // `kick` orders the reads before that.
            self.ring(registers, 1, self.head);
            self.taken = 0;
        }
    }

    /// As [`acknowledge`](QueuePair::acknowledge), but only if the controller could run out of
    /// entries otherwise: all commands in flight and all taken completions need one each, and one
    /// stays empty.
    pub fn acknowledge_if_short(&mut self, registers: &dyn Registers) {
        if self.taken > self.sizes.completions - self.sizes.submissions {
            self.acknowledge(registers);
        }
    }

    /// Leaks the memory, because the controller may still use it.
    pub fn leak(&mut self) {
        self.submissions.leak();
        self.completions.leak();
    }
}

fn next(index: u16, size: u16) -> u16 {
    match index + 1 {
        end if end == size => 0,
        index => index,
    }
}
