//! NVMe controllers on PCI (NVM Express Base 2.0, NVM Command Set 1.0, PCIe Transport 1.0): each
//! namespace is a disk.
//!
//! The driver uses one pair of queues for all namespaces, beside the admin queues. However many
//! commands one of them doesn't answer, the others have room for some. It starts the
//! controller step by step: each step is a register or a command, and [`Controller::poll`] goes on
//! where the controller has answered. Nothing waits, except for the end of a reset with a bounded
//! number of reads.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::within;
use crate::disk::{Controller, DiskError, Geometry, Issued, Request};
use crate::idle::Idle;
use crate::pci::Id;
use crate::queue::{DeviceError, QueueCounters};
use crate::registers::Registers;
use crate::transport::Interrupt;
use crate::{Error, MemoryRef, Region};

pub(crate) mod command;
mod commands;
mod identify;
mod namespace;
mod prp;
pub(crate) mod queue;
pub(crate) mod registers;
mod start;

use commands::{Commands, Done};
use identify::{CommandSetData, ControllerData, NamespaceData, select};
use namespace::Namespace;
use queue::{Completion, QueuePair, Sizes};
pub use registers::open;
use registers::{Status, VECTOR_0, offset};
#[cfg(any(test, feature = "fake"))]
pub(crate) use registers::{doorbell_stride, offset as register_offset};
use start::Step;

/// The controllers' class: mass storage, non-volatile memory, NVM Express I/O controller.
pub const IDS: &[Id] = &[Id::Class(0x01_08_02)];

/// Capabilities, upper half: the NVM command set; the smallest page size.
const NVM_COMMAND_SET: u32 = 1 << (37 - 32);
const MIN_PAGE: u32 = 0xf << (48 - 32);
/// Unit of the timeout in the capabilities.
const TIMEOUT_UNIT_NS: u64 = 500_000_000;

/// How long a stop waits for a reset, if the controller's capabilities allow that long; see also
/// [`State::Stopping`].
const STOP_NS: u64 = 1_000_000_000;
/// Maximum number of a disk's errors in the log.
const MAX_LOGGED: u8 = 8;

/// Entries of the admin queues.
const ADMIN: Sizes = Sizes {
    submissions: 2,
    completions: 2,
};

/// The memory of a controller's queues and buffers.
#[derive(Clone, Copy, Debug)]
pub struct NvmeConfig {
    /// Maximum number of commands in flight, at least 1. Each takes about 1.2 KiB.
    pub queue_depth: u16,
    /// Maximum number of unfinished requests of callers for each disk.
    pub requests: u16,
    /// Maximum number of bounce buffers of 128 KiB for each disk, for data that isn't aligned to
    /// blocks; each is allocated on demand. Without any, the controller accesses such data in
    /// place.
    pub bounce_buffers: u16,
    /// Maximum number of disks; each takes about 30 KiB.
    pub disks: u16,
}

impl Default for NvmeConfig {
    fn default() -> Self {
        NvmeConfig {
            queue_depth: 127,
            requests: 256,
            bounce_buffers: 4,
            disks: 32,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before [`Controller::begin`].
    New,
    /// Waits for the end of a reset.
    Disabling,
    /// Waits until the controller takes commands.
    Enabling,
    /// Waits for the completion of an admin command.
    Starting(Step),
    Ready,
    /// Out of use, but the reset isn't complete: the controller may still use its memory.
    Stopping,
    /// Out of use, or never in use.
    Stopped,
}

/// A controller. Dropping it resets the device. Afterwards the buffers of unfinished requests
/// belong to the caller again only if the reset completed, which only a log line reports. A caller
/// that needs its buffers back waits for its requests to finish first.
///
/// ```
/// use core::ptr::NonNull;
/// use drivers::disk::{Controller, Request};
/// use drivers::fake::{HostMemory, NvmeDevice};
/// use drivers::nvme::{Nvme, NvmeConfig};
///
/// let memory = HostMemory::new();
/// let (registers, device) = NvmeDevice::new(64).connect(memory);
/// let mut nvme = Nvme::new(Box::new(registers), memory, &NvmeConfig::default())?;
/// nvme.begin();
/// while !nvme.is_ready() {
///     nvme.poll(&mut |_, _, _| ());
/// }
/// assert_eq!((nvme.disks(), nvme.serial(0)), (1, Some("fake")));
///
/// let bytes: &'static mut [u8] = Vec::leak(vec![7; 512]);
/// let place = NonNull::from(&mut bytes[0]);
/// // SAFETY: nothing else uses the bytes, which are never freed.
/// let request = unsafe { Request::write(3, place, 512) };
/// nvme.submit(0, request, 1).unwrap();
/// nvme.kick();
/// let mut ended = Vec::new();
/// while ended.is_empty() {
///     nvme.poll(&mut |disk, token, result| ended.push((disk, token, result)));
/// }
/// assert_eq!(ended, [(0, 1, Ok(()))]);
/// device.with(|device| assert_eq!(device.namespaces[0].data[3 * 512..4 * 512], [7; 512]));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Nvme {
    registers: Box<dyn Registers>,
    memory: MemoryRef,
    config: NvmeConfig,
    state: State,
    stride: usize,
    /// Maximum of the time that a reset, or a start, takes, in nanoseconds.
    timeout_ns: u64,
    /// Maximum entries of a queue.
    max_entries: u16,
    version: u32,
    admin: QueuePair,
    /// The answer to an Identify command.
    answer: Region,
    controller: Option<ControllerData>,
    command_set: CommandSetData,
    io: Option<Commands>,
    /// Numbers of the active namespaces.
    found: Vec<u32>,
    namespaces: Vec<Namespace>,
    /// Index of the disk that an Identify command is in flight for, once ready; the index of no
    /// disk if its answer is ignored.
    refreshing: Option<usize>,
    /// Index of the disk whose requests are next.
    turn: usize,
    idle: Idle,
}

impl Nvme {
    /// Checks the controller's capabilities and allocates the admin queues.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::NotNvm`], [`Error::PageSize`], [`Error::BadConfig`] (queues of one
    /// entry), [`Error::OutOfMemory`].
    pub fn new(
        registers: Box<dyn Registers>,
        memory: MemoryRef,
        config: &NvmeConfig,
    ) -> Result<Nvme, Error> {
        let status = Status::from_bits_retain(registers.read(offset::STATUS));
        let low = registers.read(offset::CAPABILITIES);
        let high = registers.read(offset::CAPABILITIES + 4);
        if status.is_gone() {
            return Err(Error::Gone);
        }
        if high & NVM_COMMAND_SET == 0 {
            return Err(Error::NotNvm);
        }
        if high & MIN_PAGE != 0 {
            return Err(Error::PageSize);
        }
        // Zero-based.
        let max_entries = low as u16;
        if max_entries == 0 {
            return Err(Error::BadConfig);
        }
        let stride = registers::doorbell_stride(high);
        Ok(Nvme {
            version: registers.read(offset::VERSION),
            stride,
            timeout_ns: u64::from(low >> 24) * TIMEOUT_UNIT_NS,
            max_entries: max_entries.saturating_add(1),
            admin: QueuePair::new(memory, 0, stride, ADMIN)?,
            answer: Region::new(memory, identify::BYTES, prp::PAGE).ok_or(Error::OutOfMemory)?,
            registers,
            memory,
            config: *config,
            state: State::New,
            controller: None,
            command_set: CommandSetData::default(),
            io: None,
            found: Vec::new(),
            namespaces: Vec::new(),
            refreshing: None,
            turn: 0,
            idle: Idle::default(),
        })
    }

    /// False once the controller failed, broke the protocol or was removed: the driver has reset
    /// it, and every request ends with [`DiskError::DeviceError`]. While the reset isn't complete,
    /// the controller may still access the buffers of its requests, which end when it is.
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Stopping | State::Stopped)
    }

    /// Number of requests of all disks submitted but not yet reported.
    pub fn unfinished(&self) -> usize {
        let unfinished = |namespace: &Namespace| namespace.requests.unfinished();
        self.namespaces.iter().map(unfinished).sum()
    }

    /// Counters of the I/O queues.
    pub fn queue_counters(&self) -> QueueCounters {
        self.io
            .as_ref()
            .map_or_else(QueueCounters::default, Commands::counters)
    }

    fn status(&self) -> Status {
        Status::from_bits_retain(self.registers.read(offset::STATUS))
    }

    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::Fatal`].
    fn check_status(&self) -> Result<Status, Error> {
        match self.status() {
            status if status.is_gone() => Err(Error::Gone),
            status if status.contains(Status::FATAL) => Err(Error::Fatal),
            status => Ok(status),
        }
    }

    /// Takes completions and submits waiting requests.
    fn work(&mut self) -> Result<(), Error> {
        if self.collect()? {
            self.idle.answered();
        } else if self.io.as_ref().is_some_and(|io| io.queue().is_busy()) && self.idle.is_due() {
            self.check_status()?;
        }
        if self.refreshing.is_some()
            && let Some(completion) = self.admin.pop()?
        {
            self.admin.acknowledge(&*self.registers);
            self.refreshed(completion)?;
        }
        self.ask();
        let count = self.namespaces.len();
        for at in 0..count {
            self.issue((self.turn + at) % count);
        }
        // Another is the first next time: none takes all room that gets free for good.
        self.turn = (self.turn + 1).checked_rem(count).unwrap_or(0);
        if let Some(io) = &mut self.io {
            io.kick(&*self.registers);
        }
        Ok(())
    }

    /// Takes completions; returns whether there were any. Submits nothing meanwhile but commands
    /// that failed for a while, a few times, so that the loop ends once those in flight have.
    fn collect(&mut self) -> Result<bool, DeviceError> {
        let Some(io) = &mut self.io else {
            return Ok(false);
        };
        let mut any = false;
        while let Some(done) = io.complete()? {
            any = true;
            if let Some(namespace) = self.namespaces.get_mut(usize::from(done.command.disk)) {
                complete(&done, namespace, io);
            }
        }
        io.acknowledge_if_short(&*self.registers);
        Ok(any)
    }

    /// Submits as much as fits of the waiting requests of a disk.
    fn issue(&mut self, disk: usize) {
        let others = self.namespaces.len().saturating_sub(1) as u16;
        let (Some(io), Some(namespace)) = (&mut self.io, self.namespaces.get_mut(disk)) else {
            return;
        };
        let Namespace {
            disk: properties,
            requests,
            ..
        } = namespace;
        requests.issue(&mut |request, rest| {
            let issued = io.issue((disk as u16, others), properties, request, rest)?;
            if matches!(issued, Issued::Some) && rest.len > 0 {
                // The controller works on this one while the driver prepares the next.
                io.kick(&*self.registers);
            }
            Ok(issued)
        });
    }

    /// Asks for the size of a disk that may have changed, if no other is being asked for.
    fn ask(&mut self) {
        if self.refreshing.is_some() {
            return;
        }
        let stale = self.namespaces.iter().position(|space| space.is_stale);
        if let Some((index, namespace)) = stale.and_then(|at| Some((at, self.namespaces.get(at)?)))
        {
            let command = self.identify(select::NAMESPACE, namespace.disk.number);
            self.admin.submit(command);
            self.admin.kick(&*self.registers);
            self.refreshing = Some(index);
            if let Some(namespace) = self.namespaces.get_mut(index) {
                namespace.is_stale = false;
            }
        }
    }

    /// Takes the result of that. After an error the size is what it was.
    fn refreshed(&mut self, completion: Completion) -> Result<(), Error> {
        let index = self.refreshing.take();
        if completion.status.result().is_err() {
            return Ok(());
        }
        let found = NamespaceData::parse(&*self.answer()?).ok();
        if let Some(namespace) = index.and_then(|index| self.namespaces.get_mut(index)) {
            namespace.update(found.as_ref());
        }
        Ok(())
    }

    /// Ends the use of the controller, and with [`DiskError::DeviceError`] every request whose
    /// memory the controller doesn't hold.
    fn fail(&mut self, error: Error) {
        log::error!(target: "drivers", "an NVMe controller {error}");
        if !self.stop() {
            log::error!(
                target: "drivers",
                "an NVMe controller doesn't come out of reset: the memory that it was given is \
                 not used again until it does"
            );
        }
        self.end_requests();
    }

    fn end_requests(&mut self) {
        let taken_back = matches!(self.state, State::Stopped);
        for namespace in &mut self.namespaces {
            namespace.requests.fail(taken_back);
        }
    }

    /// Whether the controller has finished a reset, or was removed: it uses no memory.
    fn has_stopped(&self) -> bool {
        let status = self.status();
        status.is_gone() || !status.contains(Status::READY)
    }

    /// Takes all memory back from the controller by a reset. False if it hasn't responded so far.
    fn stop(&mut self) -> bool {
        match self.state {
            State::Stopped => return true,
            State::New => {
                self.state = State::Stopped;
                return true;
            }
            _ => {}
        }
        self.registers.write(offset::CONFIGURATION, 0);
        self.state = State::Stopping;
        let limit = self.timeout_ns.min(STOP_NS);
        let done = within(self.memory, limit, &mut || self.has_stopped().then_some(()));
        if done.is_some() {
            self.state = State::Stopped;
        }
        done.is_some()
    }
}

impl Controller for Nvme {
    fn begin(&mut self) {
        if matches!(self.state, State::New) {
            self.registers.write(offset::CONFIGURATION, 0);
            self.state = State::Disabling;
            self.poll(&mut |_, _, _| ());
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Stopping | State::Stopped)
    }

    fn start_timeout_ns(&self) -> u64 {
        self.timeout_ns
    }

    fn end_search(&mut self) {
        match self.state {
            // The answer to the command in flight belongs to no disk.
            State::Starting(Step::Namespace(_)) => {
                self.refreshing = Some(usize::MAX);
                self.state = State::Ready;
            }
            _ if self.is_ready() => {}
            _ => self.fail(Error::NoResponse),
        }
    }

    fn disks(&self) -> usize {
        self.namespaces.len()
    }

    fn serial(&self, disk: usize) -> Option<&str> {
        self.namespaces.get(disk)?.name.as_deref()
    }

    fn geometry(&self, disk: usize) -> Geometry {
        let namespace = self.namespaces.get(disk);
        namespace.map_or(Geometry::NONE, |namespace| namespace.geometry)
    }

    fn refresh(&mut self, disk: usize) -> Result<(), Error> {
        if let Some(namespace) = self.namespaces.get_mut(disk)
            && matches!(self.state, State::Ready)
        {
            namespace.is_stale = true;
            self.ask();
        }
        Ok(())
    }

    fn submit(&mut self, disk: usize, request: Request, token: u64) -> Result<(), DiskError> {
        if !self.is_running() {
            return Err(DiskError::DeviceError);
        }
        let namespace = self.namespaces.get_mut(disk);
        let namespace = namespace.ok_or(DiskError::OutOfRange)?;
        namespace
            .requests
            .accept(&namespace.geometry, request, token)?;
        self.issue(disk);
        Ok(())
    }

    fn kick(&mut self) {
        if let (State::Ready, Some(io)) = (self.state, &mut self.io) {
            io.kick(&*self.registers);
        }
    }

    fn poll(&mut self, report: &mut dyn FnMut(usize, u64, Result<(), DiskError>)) -> usize {
        let done = match self.state {
            State::Ready => self.work(),
            State::Stopping => {
                if self.has_stopped() {
                    self.state = State::Stopped;
                    self.end_requests();
                }
                Ok(())
            }
            State::New | State::Stopped => Ok(()),
            _ => self.advance(),
        };
        if let Err(error) = done {
            self.fail(error);
        }
        let mut ended = 0;
        for (disk, namespace) in self.namespaces.iter_mut().enumerate() {
            let requests = &mut namespace.requests;
            ended += requests.report(&mut |token, result| report(disk, token, result));
        }
        ended
    }

    fn has_pending(&self) -> bool {
        let admin = || self.admin.is_busy() && self.admin.has_completions();
        let io = || {
            self.io
                .as_ref()
                .is_some_and(|io| io.queue().has_completions())
        };
        let finished = |namespace: &Namespace| namespace.requests.has_finished();
        match self.state {
            State::New => false,
            // Registers report the progress, and no interrupt.
            State::Disabling | State::Enabling => true,
            State::Starting(_) => admin(),
            State::Ready => admin() || io() || self.namespaces.iter().any(finished),
            State::Stopping | State::Stopped => self.namespaces.iter().any(finished),
        }
    }

    fn enable_interrupts(&mut self) -> bool {
        if self.is_running() {
            if let Some(io) = &mut self.io {
                io.kick(&*self.registers);
                io.acknowledge(&*self.registers);
                self.idle.wait(io.queue().is_busy());
            }
            if self.interrupt().needs_acknowledge() {
                // The handler masked the line. Completions that came meanwhile raise it now.
                self.registers.write(offset::INTERRUPT_MASK_CLEAR, VECTOR_0);
            }
        }
        self.has_pending()
    }

    /// Does nothing: each message reports completions that the next
    /// [`poll`](Controller::poll) takes, and the handler of a line masks it.
    fn disable_interrupts(&mut self) {}

    fn interrupt(&self) -> Interrupt {
        self.registers.interrupt()
    }
}

/// A command of a namespace's request has completed.
fn complete(done: &Done, namespace: &mut Namespace, commands: &mut Commands) {
    let Done {
        command,
        mut result,
        repeat,
    } = *done;
    let Namespace { disk, requests, .. } = namespace;
    disk.in_flight -= 1;
    disk.data.finish(command.bounce, result.is_ok());
    if repeat {
        match commands.repeat(disk, &command) {
            Ok(()) => return,
            Err(error) => result = Err(error),
        }
    }
    if let Err(error) = result
        && namespace.logged < MAX_LOGGED
    {
        namespace.logged += 1;
        let (number, sector) = (disk.number, command.part.sector);
        log::error!(target: "drivers", "NVMe namespace {number}: sector {sector}: {error}");
    }
    requests.complete(command.request, result);
}

impl Drop for Nvme {
    fn drop(&mut self) {
        if !self.stop() {
            self.admin.leak();
            self.answer.leak();
            if let Some(io) = &mut self.io {
                io.leak();
            }
            for namespace in &mut self.namespaces {
                namespace.disk.data.leak();
            }
        }
    }
}

#[cfg(test)]
mod tests;
