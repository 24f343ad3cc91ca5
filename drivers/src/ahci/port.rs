//! A port with its device: start, commands, errors, removal.
//!
//! A port that reports an error stops. The driver resets its link and then sends the unfinished
//! commands once more, unqueued and one at a time. So the command that fails again is the one with
//! the error, and no record of the device has to be believed (its log of queued errors, its tags).

use core::fmt;
use sync::atomic::{Ordering, fence};

use super::command::{MAX_SLOTS, PortMemory};
use super::commands::{Commands, Disk};
use super::identify::Identity;
use super::registers::{
    Causes, DETECTION, PortCommand, PortRegisters, RESET_LINK, TASK_BUSY, TASK_ERROR, offset, port,
};
use crate::MemoryRef;
use crate::device::within;
use crate::disk::{DiskError, Geometry, List, Operation, Requests};
use crate::idle::Idle;

/// How long a link is reset (AHCI 1.3.1, 10.4.2).
const RESET_LINK_NS: u64 = 1_000_000;
/// Maximum time until a link is up.
const LINK_NS: u64 = 1_000_000_000;
/// Maximum time until a device is ready and has said what it is: its platters may have to spin up.
pub(super) const READY_NS: u64 = 30_000_000_000;
/// Maximum time until a port has stopped (10.1.2).
const STOP_NS: u64 = 500_000_000;

/// Signature of an ATA device (5.3.3).
const ATA_DEVICE: u32 = 0x0000_0101;

/// Number of times that a command is sent whose error isn't the device's.
const MAX_TRIES: u8 = 3;
/// Polls that check once more for the commands that a FIS announced.
const ANNOUNCED_POLLS: u8 = 16;
/// Maximum number of a disk's errors in the log.
const MAX_LOGGED: u8 = 8;

/// Bits of the error register (ATA/ATAPI Command Set 3, 6.2).
const ABORTED: u8 = 1 << 2;
const NOT_FOUND: u8 = 1 << 4;
const UNCORRECTABLE: u8 = 1 << 6;
const INTERFACE_CRC: u8 = 1 << 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits until the port has stopped, to reset its link.
    Stopping,
    /// Resets the link.
    Resetting,
    /// Waits for the link.
    Linking,
    /// Waits until the device is ready.
    Waiting,
    /// Waits for the answer to IDENTIFY DEVICE.
    Identifying,
    Ready,
    /// Out of use; the port may still access its memory.
    Ending,
    /// Out of use.
    Ended,
}

/// A port whose device may be a disk.
pub(super) struct Port {
    number: u8,
    state: State,
    /// Time at which the state began, in nanoseconds.
    since: u64,
    disk: Option<Disk>,
    pub requests: Requests,
    commands: Commands,
    bounce_buffers: u16,
    /// Causes of interrupts that were acknowledged, but not handled.
    causes: Causes,
    /// Polls left for the commands that a FIS announced.
    announced: u8,
    idle: Idle,
    /// Why requests end.
    end: DiskError,
    logged: u8,
}

impl Port {
    /// A port of a controller that was reset just now.
    pub fn new(
        memory: MemoryRef,
        number: u8,
        slots: u8,
        can_queue: bool,
        config: &super::AhciConfig,
    ) -> Option<Port> {
        let slots = slots.min(MAX_SLOTS);
        Some(Port {
            number,
            state: State::Linking,
            since: memory.now_ns(),
            disk: None,
            requests: Requests::new(config.requests),
            commands: Commands {
                memory: PortMemory::new(memory, slots)?,
                slots,
                can_queue,
                pending: alloc::vec![None; slots.into()],
                in_flight: 0,
                unrung: 0,
                is_queued: false,
                retry: 0,
                is_retrying: false,
                list: List::default(),
            },
            bounce_buffers: config.bounce_buffers,
            causes: Causes::empty(),
            announced: 0,
            idle: Idle::default(),
            end: DiskError::DeviceError,
            logged: 0,
        })
    }

    pub fn number(&self) -> u8 {
        self.number
    }

    /// Whether the search for a disk is over here.
    pub fn is_found(&self) -> bool {
        self.disk.is_some() || matches!(self.state, State::Ending | State::Ended)
    }

    pub fn is_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Whether the port takes requests, or will.
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Ending | State::Ended)
    }

    /// Why it takes no requests.
    pub fn end_reason(&self) -> DiskError {
        self.end
    }

    pub fn geometry(&self) -> Geometry {
        self.disk.as_ref().map_or(Geometry::NONE, Disk::geometry)
    }

    pub fn name(&self) -> Option<&str> {
        self.disk.as_ref()?.identity.name.as_deref()
    }

    fn enter(&mut self, state: State, memory: MemoryRef) {
        (self.state, self.since) = (state, memory.now_ns());
    }

    /// Gives the port its memory, and lets its device start: of the port of a controller that was
    /// reset.
    pub fn start(&self, port: PortRegisters<'_>) {
        let (list, received) = self.commands.memory.addresses();
        port.write_address(port::LIST, list);
        port.write_address(port::RECEIVED, received);
        port.write(port::COMMAND, RECEIVING.bits());
    }

    /// Takes completions, and goes on with a start as far as the device has answered.
    pub fn poll(&mut self, port: PortRegisters<'_>, memory: MemoryRef) {
        match self.state {
            State::Ready => self.collect(port, memory),
            State::Ending => {
                if !port.command().intersects(PortCommand::USES_MEMORY) || port.is_gone() {
                    self.finish();
                }
            }
            State::Ended => {}
            _ => while self.advance(port, memory) {},
        }
        if let (State::Ready, Some(disk)) = (self.state, &self.disk) {
            self.commands.retry(disk);
        }
    }

    /// One step of a start; false if the device hasn't answered so far.
    fn advance(&mut self, port: PortRegisters<'_>, memory: MemoryRef) -> bool {
        // The clock is read first: a machine that was suspended in between polls once more.
        let waited = memory.now_ns().saturating_sub(self.since);
        if port.is_gone() {
            self.remove(port, memory);
            return false;
        }
        match self.state {
            State::Stopping => {
                let command = port.command();
                if !command.intersects(PortCommand::USES_MEMORY) {
                    let control = port.read(port::LINK_CONTROL) & !DETECTION;
                    port.write(port::LINK_CONTROL, control | RESET_LINK);
                    self.enter(State::Resetting, memory);
                } else if waited >= STOP_NS {
                    self.fail(port, memory, "does not stop");
                } else if command.contains(PortCommand::RECEIVE)
                    && !command.contains(PortCommand::RUNNING)
                {
                    port.write(port::COMMAND, IDLE.bits());
                    return true;
                }
                self.state != State::Stopping
            }
            State::Resetting => {
                if waited < RESET_LINK_NS {
                    return false;
                }
                port.write(port::COMMAND, RECEIVING.bits());
                let control = port.read(port::LINK_CONTROL) & !DETECTION;
                port.write(port::LINK_CONTROL, control);
                self.enter(State::Linking, memory);
                true
            }
            State::Linking => {
                if port.is_linked() {
                    port.write(port::LINK_ERROR, u32::MAX);
                    // QEMU sends the first FIS of a device at a write of this register.
                    port.write(port::COMMAND, RECEIVING.bits());
                    self.enter(State::Waiting, memory);
                    return true;
                }
                if waited >= LINK_NS {
                    self.remove(port, memory);
                }
                false
            }
            State::Waiting => {
                if port.read(port::TASK_FILE) & TASK_BUSY == 0 {
                    return self.identify(port, memory);
                }
                self.give_up(port, memory, waited)
            }
            State::Identifying => {
                let causes = Causes::from_bits_retain(port.read(port::INTERRUPT_STATUS));
                if causes.intersects(Causes::ERRORS) {
                    self.fail(port, memory, "refuses to say what it is");
                    return false;
                }
                if port.read(port::ISSUE) & 1 == 0 {
                    self.identified(port, memory);
                    return false;
                }
                self.give_up(port, memory, waited)
            }
            State::Ready | State::Ending | State::Ended => false,
        }
    }

    /// Ends the wait for a device that is removed, or takes too long.
    fn give_up(&mut self, port: PortRegisters<'_>, memory: MemoryRef, waited: u64) -> bool {
        if !port.is_linked() {
            self.remove(port, memory);
        } else if waited >= READY_NS {
            self.fail(port, memory, "does not get ready");
        }
        false
    }

    /// Asks a device that is ready what it is.
    fn identify(&mut self, port: PortRegisters<'_>, memory: MemoryRef) -> bool {
        if port.read(port::SIGNATURE) != ATA_DEVICE {
            // An optical drive or a port multiplier.
            self.end(port, memory, DiskError::Removed);
            return false;
        }
        port.write(port::INTERRUPT_STATUS, u32::MAX);
        self.commands.memory.set_identify();
        // The controller reads the command once it sees the register.
        fence(Ordering::Release);
        port.write(port::COMMAND, (RECEIVING | PortCommand::START).bits());
        port.write(port::ISSUE, 1);
        self.enter(State::Identifying, memory);
        true
    }

    fn identified(&mut self, port: PortRegisters<'_>, memory: MemoryRef) {
        match (Identity::parse(&self.commands.memory.answer()), &self.disk) {
            (Err(reason), None) => {
                log::warn!(target: "drivers", "{self} is not used: {}", reason.reason());
                self.end(port, memory, DiskError::Removed);
            }
            // Another disk.
            (Err(_), Some(_)) => self.remove(port, memory),
            (Ok(found), Some(disk)) if found != disk.identity => self.remove(port, memory),
            (Ok(found), disk) => {
                if disk.is_none() {
                    self.disk = Some(Disk::new(memory, found, self.bounce_buffers));
                }
                self.commands.memory.clear();
                port.write(port::INTERRUPT_STATUS, u32::MAX);
                port.write(port::INTERRUPT_ENABLE, Causes::ENABLED.bits());
                self.enter(State::Ready, memory);
            }
        }
    }

    /// Reads and clears the causes of the port's interrupt. The next event interrupts again.
    fn acknowledge(&mut self, port: PortRegisters<'_>) {
        let causes = port.read(port::INTERRUPT_STATUS);
        if causes != 0 {
            port.write(port::INTERRUPT_STATUS, causes);
            // The port's bit of the controller comes back if there are more.
            port.registers
                .write(offset::INTERRUPT_STATUS, 1 << self.number);
            self.causes |= Causes::from_bits_retain(causes);
        }
    }

    /// Whether registers are worth reading: a FIS announced something, or it is time for a check.
    fn is_due(&mut self) -> bool {
        self.has_news() || self.idle.is_due()
    }

    fn has_news(&self) -> bool {
        let commands = &self.commands;
        let is_done = || {
            self.announced > 0
                || self.causes.intersects(Causes::ERRORS)
                || commands.memory.received(commands.is_queued).is_some()
        };
        self.causes.intersects(Causes::LINKS) || commands.in_flight != 0 && is_done()
    }

    /// Takes completions.
    fn collect(&mut self, port: PortRegisters<'_>, memory: MemoryRef) {
        let is_idle = self.commands.in_flight == 0;
        if is_idle && !self.has_news() || !is_idle && !self.is_due() {
            return;
        }
        let fis = self.commands.memory.received(self.commands.is_queued);
        self.commands.memory.clear();
        // A FIS that comes from now on is seen at the next poll; the registers are read later.
        memory.barrier();
        let busy = port.read(match self.commands.is_queued {
            true => port::ACTIVE,
            false => port::ISSUE,
        });
        // After the commands: an error stops the port, so those that it ended before have none.
        self.acknowledge(port);
        if busy == u32::MAX && port.is_gone() {
            self.remove(port, memory);
            return;
        }
        // Acquire: what the device wrote is read after the end of its command.
        fence(Ordering::Acquire);
        let causes = core::mem::replace(&mut self.causes, Causes::empty());
        if causes.intersects(Causes::LINKS) && !port.is_linked() {
            self.remove(port, memory);
            return;
        }
        let failed = causes.intersects(Causes::ERRORS | Causes::LINKS)
            || fis.is_some_and(|fis| fis.is_error());
        let done = self.commands.in_flight & !self.commands.unrung & !busy;
        // Of unqueued commands, the one with the error may be among those.
        if !failed || self.commands.is_queued {
            self.complete(done);
        }
        self.announced = match (done, fis) {
            (0, Some(_)) => ANNOUNCED_POLLS,
            (0, None) => self.announced.saturating_sub(1),
            _ => 0,
        };
        if done != 0 {
            self.idle.answered();
        }
        if failed {
            self.recover(port, memory, causes);
        }
    }

    /// Ends the commands in these slots, which the port has completed.
    fn complete(&mut self, mut done: u32) {
        self.commands.in_flight &= !done;
        while done != 0 {
            let slot = done.trailing_zeros() as u8;
            done &= done - 1;
            let Some(pending) = self.commands.pending[usize::from(slot)] else {
                continue;
            };
            let has_data = matches!(pending.part.operation, Operation::Read | Operation::Write);
            // Queued commands have no count.
            let is_short = has_data
                && !self.commands.is_queued
                && self.commands.memory.transferred(slot) != pending.part.len;
            let result = if is_short { Err(DiskError::Io) } else { Ok(()) };
            self.end_command(slot, result);
        }
        self.commands.is_retrying &= self.commands.in_flight != 0;
    }

    fn end_command(&mut self, slot: u8, result: Result<(), DiskError>) {
        let Some(pending) = self.commands.pending[usize::from(slot)].take() else {
            return;
        };
        if let Some(disk) = &mut self.disk {
            disk.data.finish(pending.bounce, result.is_ok());
        }
        if let Err(error) = result
            && self.logged < MAX_LOGGED
        {
            self.logged += 1;
            let sector = pending.part.sector;
            log::error!(target: "drivers", "{self}: sector {sector}: {error}");
        }
        self.requests.complete(pending.request, result);
    }

    /// Begins to start the port again after an error, with the commands that it hasn't completed.
    fn recover(&mut self, port: PortRegisters<'_>, memory: MemoryRef, causes: Causes) {
        let slot = self.commands.in_flight.trailing_zeros() as u8;
        let task = port.read(port::TASK_FILE);
        if self.commands.is_retrying
            && let Some(Some(pending)) = self.commands.pending.get(usize::from(slot)).copied()
        {
            // The only one in flight.
            let error = (task >> 8) as u8;
            let is_task = causes.contains(Causes::TASK_FILE_ERROR) || task & TASK_ERROR != 0;
            let is_final = is_task && error & INTERFACE_CRC == 0;
            if is_final || pending.tries >= MAX_TRIES {
                self.commands.in_flight = 0;
                let error = match is_final {
                    true => of_task(error, pending.part.operation),
                    false => DiskError::Io,
                };
                self.end_command(slot, Err(error));
            }
        }
        self.commands.retry |= self.commands.in_flight;
        (
            self.commands.in_flight,
            self.commands.unrung,
            self.commands.is_retrying,
        ) = (0, 0, false);
        port.write(port::INTERRUPT_ENABLE, 0);
        port.write(port::COMMAND, RECEIVING.bits());
        self.enter(State::Stopping, memory);
    }

    /// Makes commands of the waiting requests, as long as there is room.
    pub fn issue(&mut self) {
        let is_ready = self.state == State::Ready;
        let Some(disk) = self.disk.as_mut().filter(|_| is_ready) else {
            return;
        };
        let commands = &mut self.commands;
        if commands.retry == 0 && !commands.is_retrying {
            self.requests
                .issue(&mut |index, rest| commands.submit(disk, index, rest));
        }
    }

    /// Notifies the port of the commands added since the last call: one exit or two, or none.
    pub fn kick(&mut self, port: PortRegisters<'_>) {
        if self.commands.unrung == 0 || self.state != State::Ready {
            return;
        }
        // The commands must be in memory before the controller fetches them, see
        // `nvme::queue::QueuePair::kick`.
        fence(Ordering::Release);
        if self.commands.is_queued {
            port.write(port::ACTIVE, self.commands.unrung);
        }
        port.write(port::ISSUE, self.commands.unrung);
        self.commands.unrung = 0;
    }

    /// Whether memory shows work for [`poll`](Port::poll). No exit.
    pub fn has_pending(&self) -> bool {
        let works = match self.state {
            State::Ready => self.has_news(),
            // Only registers report the progress.
            State::Ending | State::Ended => false,
            _ => true,
        };
        works || self.requests.has_finished()
    }

    /// Makes sure that the next completion interrupts.
    pub fn arm(&mut self, port: PortRegisters<'_>, is_line: bool) {
        // A message isn't sent again for the causes of a port without commands.
        if self.state == State::Ready && (is_line || self.commands.in_flight != 0) {
            self.acknowledge(port);
        }
        self.idle.wait(self.commands.in_flight != 0);
    }

    /// The device is removed, or there is none.
    fn remove(&mut self, port: PortRegisters<'_>, memory: MemoryRef) {
        if self.disk.is_some() {
            log::error!(target: "drivers", "{self} was removed");
        }
        self.end(port, memory, DiskError::Removed);
    }

    fn fail(&mut self, port: PortRegisters<'_>, memory: MemoryRef, reason: &str) {
        log::error!(target: "drivers", "{self} {reason}: it is not used");
        self.end(port, memory, DiskError::DeviceError);
    }

    /// Ends the search for a disk here.
    pub fn end_search(&mut self, port: PortRegisters<'_>, memory: MemoryRef) {
        if !self.is_found() {
            self.fail(port, memory, "does not get ready in time");
        }
    }

    /// Ends the use of the port, and with `error` all requests whose memory the port doesn't hold.
    fn end(&mut self, port: PortRegisters<'_>, memory: MemoryRef, error: DiskError) {
        self.end = error;
        self.state = State::Ending;
        self.requests.abandon(error);
        port.write(port::INTERRUPT_ENABLE, 0);
        let done = within(memory, STOP_NS, &mut || {
            let command = port.command();
            if !command.intersects(PortCommand::USES_MEMORY) || port.is_gone() {
                return Some(());
            }
            // Commands end before FISes do.
            match command.contains(PortCommand::RUNNING) {
                true => port.write(port::COMMAND, RECEIVING.bits()),
                false => port.write(port::COMMAND, IDLE.bits()),
            }
            None
        });
        match done {
            Some(()) => self.finish(),
            None => log::error!(
                target: "drivers",
                "{self} doesn't stop: the memory that it was given is not used again until it does"
            ),
        }
    }

    /// Ends the requests in flight: the port uses no memory any more.
    fn finish(&mut self) {
        self.state = State::Ended;
        (
            self.commands.in_flight,
            self.commands.unrung,
            self.commands.retry,
        ) = (0, 0, 0);
        self.logged = MAX_LOGGED;
        for slot in 0..self.commands.slots {
            self.end_command(slot, Err(self.end));
        }
    }

    /// Ends the use of a port whose controller was reset, or wasn't in time if not `is_stopped`.
    pub fn stop(&mut self, is_stopped: bool) {
        if self.state == State::Ended {
            return;
        }
        self.requests.abandon(self.end);
        match is_stopped {
            true => self.finish(),
            false => self.state = State::Ending,
        }
    }

    /// Whether the port may still access its memory.
    pub fn holds_memory(&self) -> bool {
        self.state != State::Ended
    }

    /// Leaks the memory, because the port may still use it.
    pub fn leak(&mut self) {
        self.commands.memory.leak();
        if let Some(disk) = &mut self.disk {
            disk.data.leak();
        }
    }
}

/// The port's command register: the device is on, and the port accesses no memory, or receives
/// FISes.
const IDLE: PortCommand = PortCommand::SPIN_UP.union(PortCommand::POWER_ON);
const RECEIVING: PortCommand = IDLE.union(PortCommand::RECEIVE);

/// The error of a command, of the error register.
fn of_task(error: u8, operation: Operation) -> DiskError {
    let is_clear = matches!(operation, Operation::Clear(_));
    match error {
        _ if error & UNCORRECTABLE != 0 => DiskError::Medium,
        _ if error & NOT_FOUND != 0 => DiskError::OutOfRange,
        _ if error & ABORTED != 0 && is_clear => DiskError::Unsupported,
        _ => DiskError::Io,
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SATA disk {}", self.number)?;
        match self.name() {
            Some(name) => write!(f, " {name}"),
            None => Ok(()),
        }
    }
}
