//! The start of a controller (Base 2.0, 3.5.1): a register or a command at each step, up to the
//! namespaces.

use super::command::{Command, admin};
use super::commands::Commands;
use super::identify::{self, CommandSetData, ControllerData, NamespaceData, Unusable, select};
use super::namespace::{Common, Namespace};
use super::queue::{Completion, Sizes};
use super::registers::{Status, offset};
use super::{Nvme, State};
use crate::Error;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Controller Configuration (3.1.4.5): EN; the entries of I/O queues are of 64 and 16 bytes. The
/// NVM command set, pages of 4096 bytes and round-robin arbitration are zeros.
const ENABLE: u32 = 1;
const ENTRY_SIZES: u32 = 6 << 16 | 4 << 20;
/// Versions.
const VERSION_1_1: u32 = 0x1_01_00;
const VERSION_1_2: u32 = 0x1_02_00;

/// Number of the I/O queues.
const QUEUE: u16 = 1;
/// Maximum bytes of a command's data: as much as the list of entries is worth.
const MAX_BYTES: usize = 512 << 10;

/// Feature: number of queues (Base 2.0, 5.27.1.5).
const NUMBER_OF_QUEUES: u32 = 0x07;
/// Queues are physically contiguous; completions interrupt.
const CONTIGUOUS: u32 = 1;
const INTERRUPTS: u32 = 1 << 1;

/// A step of the start.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Controller,
    CommandSet,
    Queues,
    CompletionQueue,
    SubmissionQueue,
    Namespaces,
    /// The namespace at this index of [`Nvme::found`].
    Namespace(usize),
}

impl Nvme {
    fn write_address(&self, offset: usize, address: u64) {
        self.registers.write(offset, address as u32);
        self.registers.write(offset + 4, (address >> 32) as u32);
    }

    /// Goes on with the start as far as the controller has answered (Base 2.0, 3.5.1).
    pub(super) fn advance(&mut self) -> Result<(), Error> {
        loop {
            match self.state {
                State::Disabling => {
                    // A fatal error is one more reason for the reset.
                    let status = self.status();
                    if status.is_gone() {
                        return Err(Error::Gone);
                    }
                    if status.contains(Status::READY) {
                        return Ok(());
                    }
                    let Sizes {
                        submissions,
                        completions,
                    } = self.admin.sizes();
                    let sizes = u32::from(completions - 1) << 16 | u32::from(submissions - 1);
                    let addresses = self.admin.addresses();
                    self.registers.write(offset::ADMIN_QUEUE_ATTRIBUTES, sizes);
                    self.write_address(offset::ADMIN_SUBMISSIONS, addresses.0);
                    self.write_address(offset::ADMIN_COMPLETIONS, addresses.1);
                    self.registers
                        .write(offset::CONFIGURATION, ENABLE | ENTRY_SIZES);
                    self.state = State::Enabling;
                }
                State::Enabling => {
                    if !self.check_status()?.contains(Status::READY) {
                        return Ok(());
                    }
                    self.start(Step::Controller)?;
                }
                State::Starting(step) => {
                    let Some(completion) = self.admin.pop()? else {
                        self.check_status()?;
                        return Ok(());
                    };
                    self.admin.acknowledge(&*self.registers);
                    self.finish(step, completion)?;
                }
                State::New | State::Ready | State::Stopping | State::Stopped => return Ok(()),
            }
        }
    }

    /// Submits the command of a step.
    fn start(&mut self, step: Step) -> Result<(), Error> {
        let command = match step {
            Step::Controller => self.identify(select::CONTROLLER, 0),
            Step::CommandSet => self.identify(select::COMMAND_SET_CONTROLLER, 0),
            // Zero-based: one pair.
            Step::Queues => Command::new(admin::SET_FEATURES, 0).word(10, NUMBER_OF_QUEUES),
            Step::CompletionQueue | Step::SubmissionQueue => self.create(step)?,
            Step::Namespaces => self.identify(select::ACTIVE_NAMESPACES, 0),
            Step::Namespace(index) => match self.found.get(index) {
                Some(number) => self.identify(select::NAMESPACE, *number),
                None => {
                    self.state = State::Ready;
                    return Ok(());
                }
            },
        };
        self.admin.submit(command);
        self.admin.kick(&*self.registers);
        self.state = State::Starting(step);
        Ok(())
    }

    pub(super) fn identify(&self, what: u32, namespace: u32) -> Command {
        Command::new(admin::IDENTIFY, namespace)
            .data([self.answer.phys(0), 0])
            .word(10, what)
    }

    /// The command that creates one of the I/O queues (Base 2.0, 5.4, 5.5), which are allocated if
    /// they aren't yet.
    fn create(&mut self, step: Step) -> Result<Command, Error> {
        let commands = match &self.io {
            Some(commands) => commands,
            None => {
                let wanted = self.config.queue_depth.saturating_add(1).max(2);
                let submissions = wanted.min(self.max_entries);
                let sizes = Sizes {
                    submissions,
                    // Twice as many, so that their doorbell is rung once for many completions.
                    completions: submissions.saturating_mul(2).min(self.max_entries),
                };
                let max_bytes = self.max_bytes();
                let commands = Commands::new(self.memory, QUEUE, self.stride, sizes, max_bytes)?;
                self.io.insert(commands)
            }
        };
        let queue = commands.queue();
        let (sizes, addresses) = (queue.sizes(), queue.addresses());
        let (opcode, address, size, flags) = match step {
            Step::CompletionQueue => (
                admin::CREATE_COMPLETION_QUEUE,
                addresses.1,
                sizes.completions,
                CONTIGUOUS | INTERRUPTS,
            ),
            _ => (
                admin::CREATE_SUBMISSION_QUEUE,
                addresses.0,
                sizes.submissions,
                CONTIGUOUS | u32::from(QUEUE) << 16,
            ),
        };
        Ok(Command::new(opcode, 0)
            .data([address, 0])
            .word(10, u32::from(size - 1) << 16 | u32::from(QUEUE))
            .word(11, flags))
    }

    fn max_bytes(&self) -> usize {
        let limit = self.controller.and_then(|data| data.max_transfer);
        limit.map_or(MAX_BYTES, |limit| limit.min(MAX_BYTES))
    }

    /// Copies the answer to an Identify command, which the controller could change at any time.
    #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
    pub(super) fn answer(&self) -> Result<Box<[u8; identify::BYTES]>, Error> {
        let mut copy = Vec::new();
        let room = copy.try_reserve_exact(identify::BYTES);
        room.map_err(|_| Error::OutOfMemory)?;
        for at in 0..identify::BYTES {
            // SAFETY: inside the region.
            copy.push(unsafe { self.answer.ptr(at).read_volatile() });
        }
        let copy: Box<[u8]> = copy.into_boxed_slice();
        copy.try_into().map_err(|_| Error::OutOfMemory)
    }

    /// Takes the result of a step's command and starts the next step.
    fn finish(&mut self, step: Step, completion: Completion) -> Result<(), Error> {
        let is_done = completion.status.result().is_ok();
        // What some controllers don't have, and what concerns one namespace only.
        let may_fail = matches!(step, Step::CommandSet | Step::Namespace(_));
        if !is_done && !may_fail {
            return Err(Error::Refused(completion.status.0));
        }
        let next = match step {
            Step::Controller => {
                let data = ControllerData::parse(&*self.answer()?);
                if !data.has_io || !data.entries {
                    return Err(Error::NotNvm);
                }
                self.controller = Some(data);
                match self.version {
                    VERSION_1_2.. => Step::CommandSet,
                    _ => Step::Queues,
                }
            }
            Step::CommandSet => {
                if is_done {
                    self.command_set = CommandSetData::parse(&*self.answer()?);
                }
                Step::Queues
            }
            // Whatever the number of queues is, there is one at least.
            Step::Queues => Step::CompletionQueue,
            Step::CompletionQueue => Step::SubmissionQueue,
            Step::SubmissionQueue if self.version < VERSION_1_1 => {
                let last = self.controller.map_or(0, |data| data.namespaces);
                let most = u32::from(self.config.disks);
                self.found = (1..=last.min(most)).collect();
                Step::Namespace(0)
            }
            Step::SubmissionQueue => Step::Namespaces,
            Step::Namespaces => {
                let most = usize::from(self.config.disks);
                let found = identify::active_namespaces(&*self.answer()?, most);
                self.found = found.ok_or(Error::DeviceError)?;
                Step::Namespace(0)
            }
            Step::Namespace(index) => {
                if is_done {
                    self.add(index)?;
                }
                Step::Namespace(index + 1)
            }
        };
        self.start(next)
    }

    /// Adds the namespace that was identified, if it is usable as a disk.
    fn add(&mut self, index: usize) -> Result<(), Error> {
        let (Some(controller), Some(&number)) = (&self.controller, self.found.get(index)) else {
            return Ok(());
        };
        let common = Common {
            memory: self.memory,
            controller,
            command_set: &self.command_set,
            max_bytes: self.max_bytes(),
            requests: self.config.requests,
            bounce_buffers: self.config.bounce_buffers,
        };
        match NamespaceData::parse(&*self.answer()?) {
            Ok(found) => match Namespace::new(number, &found, &common) {
                Some(namespace) => self.namespaces.push(namespace),
                None => log::warn!(
                    target: "drivers",
                    "NVMe namespace {number} is not used: a block of {} bytes exceeds the \
                     controller's maximum of a command",
                    found.block_size
                ),
            },
            Err(Unusable::Inactive) => {}
            Err(Unusable::Metadata(bytes)) => log::warn!(
                target: "drivers",
                "NVMe namespace {number} is not used: its format has {bytes} bytes of metadata in \
                 each block (format it without: nvme format --ms=0)"
            ),
            Err(Unusable::BlockSize(log)) => log::warn!(
                target: "drivers",
                "NVMe namespace {number} is not used: its blocks are of 2^{log} bytes"
            ),
        }
        Ok(())
    }
}
