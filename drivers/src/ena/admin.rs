//! The admin queue: one command at a time.

use sync::atomic::{Ordering, fence};

use super::position::Position;
use super::registers::{Access, offset};
use super::words::Words;
use crate::device::within;
use crate::{Error, MemoryRef};

/// Entries of both queues.
const DEPTH: u16 = 32;
/// Bytes of an entry, of both queues.
const ENTRY: usize = 64;
/// Bits of a command's id.
const ID: u16 = 0xfff;
/// The flag of a command with data in memory. The device takes its address as direct.
const HAS_DATA: u8 = 1 << 2;

/// Commands.
const CREATE_SUBMISSIONS: u8 = 1;
const CREATE_COMPLETIONS: u8 = 3;
const GET_FEATURE: u8 = 8;
const SET_FEATURE: u8 = 9;

/// Offset of the device's data in an answer.
const ANSWER: usize = 8;
/// Offset of a feature's data in a command to set it.
const FEATURE: usize = 20;

/// A command's 64 bytes.
pub(super) struct Command([u8; ENTRY]);

impl Command {
    fn new(opcode: u8) -> Command {
        let mut bytes = [0; ENTRY];
        bytes[2] = opcode;
        Command(bytes)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A memory address of 48 bits.
    fn put_address(&mut self, at: usize, phys: u64) {
        self.put(at, &phys.to_le_bytes()[..6]);
    }

    /// The command to set a feature to these words.
    pub fn set(feature: u8, words: &[u32]) -> Command {
        let mut command = Command::new(SET_FEATURE);
        command.0[17] = feature;
        for (at, word) in words.iter().enumerate() {
            command.put(FEATURE + at * 4, &word.to_le_bytes());
        }
        command
    }

    /// The same command with data of `len` bytes in memory.
    pub fn with_data(mut self, phys: u64, len: usize) -> Command {
        self.0[3] = HAS_DATA;
        self.put(4, &(len as u32).to_le_bytes());
        self.put_address(8, phys);
        self
    }
}

/// The device's data of an answer.
pub(super) struct Answer([u8; ENTRY - ANSWER]);

impl Answer {
    pub fn byte(&self, at: usize) -> u8 {
        self.0[at]
    }

    pub fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    pub fn word(&self, at: usize) -> u32 {
        u32::from(self.short(at)) | u32::from(self.short(at + 2)) << 16
    }
}

/// A completion queue that the device made.
pub(super) struct CompletionIds {
    pub id: u16,
    /// Offset of the register that unmasks its interrupt.
    pub unmask: usize,
}

/// A submission queue that the device made.
pub(super) struct SubmissionIds {
    pub id: u16,
    /// Offset of its doorbell.
    pub doorbell: usize,
    /// Offset of its entries in the memory of low latency queues.
    pub push: usize,
}

/// Where a submission queue is.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In memory.
    Host(u64),
    /// In the memory of low latency queues.
    Device,
}

/// The direction of a submission queue.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Transmit = 1,
    Receive = 2,
}

pub(super) struct Admin {
    commands: Words,
    answers: Words,
    tail: Position,
    head: Position,
    memory: MemoryRef,
    limit_ns: u64,
}

impl Admin {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef, limit_ns: u64) -> Result<Admin, Error> {
        let len = usize::from(DEPTH) * ENTRY;
        Ok(Admin {
            commands: Words::new(memory, len)?,
            answers: Words::new(memory, len)?,
            tail: Position::new(DEPTH),
            head: Position::new(DEPTH),
            memory,
            limit_ns,
        })
    }

    /// Gives the queue to a device that was reset.
    pub fn start(&self, access: &Access) {
        let sizes = u32::from(DEPTH) | (ENTRY as u32) << 16;
        access.write_address(offset::ADMIN_SUBMISSIONS, self.commands.phys(0));
        access.write_address(offset::ADMIN_COMPLETIONS, self.answers.phys(0));
        access.write(offset::ADMIN_SUBMISSIONS_SIZE, sizes);
        access.write(offset::ADMIN_COMPLETIONS_SIZE, sizes);
    }

    /// Performs a command. Blocks until the device answers, for a bounded time.
    ///
    /// # Errors
    ///
    /// [`Error::NoResponse`]; [`Error::Refused`] with the device's status; [`Error::DeviceError`]
    /// for the answer to another command.
    pub fn run(&mut self, access: &Access, mut command: Command) -> Result<Answer, Error> {
        let id = self.tail.count() & ID;
        command.put(0, &id.to_le_bytes());
        command.0[3] |= u8::from(self.tail.phase());
        let at = self.tail.slot() * ENTRY;
        for (index, word) in command.0.as_chunks::<4>().0.iter().enumerate() {
            self.commands
                .store(at + index * 4, u32::from_le_bytes(*word));
        }
        self.tail.advance();
        access.write(offset::ADMIN_DOORBELL, u32::from(self.tail.count()));
        let at = self.head.slot() * ENTRY;
        let first = within(self.memory, self.limit_ns, &mut || {
            let word = self.answers.load(at);
            ((word >> 24 & 1 != 0) == self.head.phase()).then_some(word)
        });
        let first = first.ok_or(Error::NoResponse)?;
        // Acquire: the device writes the phase last.
        fence(Ordering::Acquire);
        self.head.advance();
        if first as u16 & ID != id {
            return Err(Error::DeviceError);
        }
        match first >> 16 & 0xff {
            0 => {}
            status => return Err(Error::Refused(status as u16)),
        }
        let mut answer = [0; ENTRY - ANSWER];
        for (index, word) in answer.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *word = self.answers.load(at + ANSWER + index * 4).to_le_bytes();
        }
        Ok(Answer(answer))
    }

    /// Reads a feature, in the layout of `version`.
    pub fn get(&mut self, access: &Access, feature: u8, version: u8) -> Result<Answer, Error> {
        let mut command = Command::new(GET_FEATURE);
        (command.0[16], command.0[17], command.0[18]) = (1, feature, version);
        self.run(access, command)
    }

    /// Creates a completion queue of `depth` entries of `words` words at `phys`, which interrupts
    /// by message 0.
    pub fn create_completions(
        &mut self,
        access: &Access,
        (phys, depth, words): (u64, u16, u8),
    ) -> Result<CompletionIds, Error> {
        let mut command = Command::new(CREATE_COMPLETIONS);
        // With interrupts.
        (command.0[4], command.0[5]) = (1 << 5, words);
        command.put(6, &depth.to_le_bytes());
        command.put_address(12, phys);
        let answer = self.run(access, command)?;
        if answer.short(2) != depth {
            return Err(Error::BadConfig);
        }
        Ok(CompletionIds {
            id: answer.short(0),
            unmask: answer.word(12) as usize,
        })
    }

    /// Creates a submission queue of `depth` entries, each with a completion.
    pub fn create_submissions(
        &mut self,
        access: &Access,
        (direction, place): (Direction, Place),
        completions: &CompletionIds,
        depth: u16,
    ) -> Result<SubmissionIds, Error> {
        let mut command = Command::new(CREATE_SUBMISSIONS);
        command.0[4] = (direction as u8) << 5;
        command.0[6] = match place {
            Place::Host(_) => 1,
            Place::Device => 3,
        };
        // Contiguous.
        command.0[7] = 1;
        command.put(8, &completions.id.to_le_bytes());
        command.put(10, &depth.to_le_bytes());
        if let Place::Host(phys) = place {
            command.put_address(12, phys);
        }
        let answer = self.run(access, command)?;
        Ok(SubmissionIds {
            id: answer.short(0),
            doorbell: answer.word(4) as usize,
            push: answer.word(8) as usize,
        })
    }

    /// Leaks the memory, because the device may still access it.
    pub fn leak(&mut self) {
        self.commands.leak();
        self.answers.leak();
    }
}
