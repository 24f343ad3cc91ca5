//! SCSI host bus adapters with disks: logical units that are direct access block devices (SPC-4,
//! SBC-3), or optical media, which are read-only. [`crate::disk`] describes the requests. The
//! adapter is a virtio device (virtio 1.2, 5.6) or another one ([`crate::pvscsi`]).
//!
//! All disks share the request queue. However many commands one of them doesn't answer, the others
//! have room for some.

use crate::disk::{
    ClearLimits, Controller, Data, DiskError, Geometry, Issued, Limits, Request, Requests,
};
use crate::queue::DeviceError;
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

mod commands;
mod host;
mod protocol;
mod scan;
mod virtio;

use commands::{Clears, Command, Commands, Completed, MAX_TRIES, Purpose, Target};
pub(crate) use host::{Ended, Event, Host};
pub(crate) use protocol::{Cdb, Outcome, cdb_len, is_transfer, outcome};
use scan::{Found, Scan};
use virtio::VirtioHost;
pub use virtio::feature;

/// Maximum number of units of a target: those that an answer has room for.
const MAX_LUNS: usize = SCRATCH / 8 - 1;
/// Maximum number of disks of an adapter.
const MAX_DISKS: usize = 64;
/// Bytes for the answer to a question of the search.
const SCRATCH: usize = 512;
/// Maximum block size for which blocks can be zeroed without a transfer, in bytes.
const MAX_ZEROED_BLOCK: usize = 4096;
/// Blocks of a WRITE SAME of a disk that reports no limit; as in Linux (`SD_MAX_WS16_BLOCKS`).
const MAX_WRITE_SAME: u64 = 0x7f_ffff;

/// Maximum number of a disk's errors in the log.
const MAX_LOGGED: u8 = 8;

/// Address of a logical unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub target: u8,
    /// Below 16384.
    pub lun: u16,
}

impl Address {
    /// As in a command of a virtio device (virtio 1.2, 5.6.6.1): flat space addressing.
    fn flat(self) -> [u8; 8] {
        let [high, low] = self.lun.to_be_bytes();
        [1, self.target, high | 0x40, low, 0, 0, 0, 0]
    }

    /// As in a command of another adapter: peripheral device addressing where the number fits.
    pub fn peripheral(self) -> [u8; 8] {
        let [high, low] = self.lun.to_be_bytes();
        let high = if high == 0 { 0 } else { high | 0x40 };
        [high, low, 0, 0, 0, 0, 0, 0]
    }

    /// From an event, where the unit's number may also be in peripheral device addressing.
    fn parse(bytes: &[u8]) -> Option<Address> {
        let [1, target, high, low, ..] = *bytes else {
            return None;
        };
        Some(Address {
            target,
            lun: u16::from_be_bytes([high & 0x3f, low]),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.target, self.lun)
    }
}

/// The memory of an adapter's queues and buffers.
#[derive(Clone, Copy, Debug)]
pub struct ScsiConfig {
    /// Bits of [`feature`] and [`crate::device::feature`] that may be used of a virtio device.
    pub features: u64,
    /// Maximum number of commands in flight (rounded down to a power of two). Each takes about 2.3
    /// KiB, and no command of a virtio device has more segments than this.
    pub queue_size: u16,
    /// Maximum number of unfinished requests of each disk.
    pub requests: u16,
    /// Maximum number of bounce buffers of each disk; see
    /// [`BlkConfig::bounce_buffers`](crate::blk::BlkConfig::bounce_buffers).
    pub bounce_buffers: u16,
}

impl Default for ScsiConfig {
    fn default() -> Self {
        ScsiConfig {
            features: u64::MAX,
            queue_size: 128,
            requests: 256,
            bounce_buffers: 4,
        }
    }
}

/// A disk: a logical unit.
struct Disk {
    address: Address,
    serial: Option<String>,
    geometry: Geometry,
    clears: Clears,
    data: Data,
    requests: Requests,
    /// Commands in flight.
    in_flight: u16,
    removed: bool,
    /// The capacity is to be asked for.
    resized: bool,
    /// Number of times that it was asked for since it changed.
    queries: u8,
    /// Number of errors that the log has.
    logged: u8,
}

impl Disk {
    fn new(memory: MemoryRef, found: Found, limits: Limits, config: &ScsiConfig) -> Disk {
        let Found { block, .. } = found;
        let bytes = |blocks: u64| usize::try_from(blocks.saturating_mul(block as u64));
        let bytes = |blocks| bytes(blocks).unwrap_or(usize::MAX);
        let transfer = match found.limits.transfer {
            0 => u64::from(u32::MAX),
            blocks => u64::from(blocks),
        };
        let write_same = match found.limits.write_same {
            0 => MAX_WRITE_SAME,
            blocks => blocks.min(u64::from(u32::MAX)),
        };
        let granularity = bytes(u64::from(found.limits.granularity)) as u64;
        let unmap = ClearLimits::new(bytes(u64::from(found.limits.unmap)), granularity, block);
        let write_same = ClearLimits::new(bytes(write_same), 0, block);
        let (can_unmap, can_write_same) = found.provisioning;
        let clears = Clears {
            unmap: unmap.filter(|_| can_unmap),
            write_same: write_same.filter(|_| can_write_same && block <= MAX_ZEROED_BLOCK),
        };
        let limits = Limits {
            bytes: (bytes(transfer).min(limits.bytes) / block * block).max(block),
            block,
            ..limits
        };
        Disk {
            address: found.address,
            serial: found.serial,
            geometry: Geometry {
                sectors: found.sectors,
                block_size: block,
                read_only: found.read_only,
                can_flush: true,
                can_discard: clears.unmap.is_some(),
                can_write_zeroes: clears.write_same.is_some(),
            },
            clears,
            data: Data::new(memory, limits, config.bounce_buffers),
            requests: Requests::new(config.requests),
            in_flight: 0,
            removed: false,
            resized: false,
            queries: 0,
            logged: 0,
        }
    }

    /// Notes that its capacity has changed.
    fn note_resize(&mut self) {
        (self.resized, self.queries) = (true, 0);
    }

    /// Makes commands of its waiting requests, as long as there is room.
    fn issue(&mut self, number: u16, others: u16, commands: &mut Commands) {
        let mut target = Target {
            disk: number,
            address: self.address,
            block: self.geometry.block_size,
            data: &mut self.data,
            clears: self.clears,
            in_flight: self.in_flight,
        };
        self.requests.issue(&mut |index, rest| {
            let issued = commands.issue(&mut target, others, index, rest)?;
            if matches!(issued, Issued::Some) {
                target.in_flight += 1;
                if rest.len > 0 {
                    // The device works on this one while the driver prepares the next.
                    commands.host.kick();
                }
            }
            Ok(issued)
        });
        self.in_flight = target.in_flight;
    }

    /// A command of its request `index` has completed.
    fn complete(
        &mut self,
        number: u16,
        index: u16,
        command: Command,
        outcome: Outcome,
        commands: &mut Commands,
    ) {
        let Outcome {
            mut result, repeat, ..
        } = outcome;
        command.finish(&mut self.data, result.is_ok());
        if repeat && !self.removed {
            let mut target = Target {
                disk: number,
                address: self.address,
                block: self.geometry.block_size,
                data: &mut self.data,
                clears: self.clears,
                in_flight: self.in_flight,
            };
            match commands.repeat(&mut target, command) {
                Ok(()) => return,
                Err(error) => result = Err(error),
            }
        }
        self.in_flight -= 1;
        match result {
            Err(DiskError::Unsupported) if command.is_flush() => {
                // It should have no volatile cache then (SBC-3, 4.15).
                self.geometry.can_flush = false;
                log::warn!(
                    target: "drivers",
                    "{self} offers no flush: what was written is durable only if the host writes \
                     through"
                );
                result = Ok(());
            }
            Err(DiskError::Removed) => self.remove(),
            Err(_) if self.removed => result = Err(DiskError::Removed),
            Err(error) => self.log(&command, error),
            Ok(()) => {}
        }
        self.requests.complete(index, result);
    }

    /// Logs an error of a command; callers know less of it.
    fn log(&mut self, command: &Command, error: DiskError) {
        if self.logged < MAX_LOGGED {
            self.logged += 1;
            let sector = command.sector();
            log::error!(target: "drivers", "{self}: sector {sector}: {error}");
        }
    }

    /// Notes that the unit is gone: requests end with an error, those in flight when the device
    /// returns them.
    fn remove(&mut self) {
        if !self.removed {
            self.removed = true;
            log::error!(target: "drivers", "{self} was removed");
        }
        self.requests.abandon(DiskError::Removed);
    }

    /// Notes its capacity.
    fn resize(&mut self, data: &[u8]) {
        match protocol::capacity(data) {
            Some((block, sectors)) if block == self.geometry.block_size => {
                self.geometry.sectors = sectors;
            }
            // Another disk.
            Some(_) => self.remove(),
            None => {}
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCSI disk {}", self.address)?;
        match &self.serial {
            Some(serial) => write!(f, " {serial}"),
            None => Ok(()),
        }
    }
}

/// A SCSI host bus adapter. Dropping it resets the device; see [`Blk`](crate::blk::Blk) for the
/// buffers of unfinished requests.
///
/// ```
/// use drivers::disk::Controller;
/// use drivers::fake::{HostBusAdapter, HostMemory, LogicalUnit, Options, connect};
/// use drivers::scsi::{Scsi, ScsiConfig};
///
/// let memory = HostMemory::new();
/// let unit = LogicalUnit::new(64, 512);
/// let (transport, _) = connect(memory, HostBusAdapter::new([((0, 0), unit)]), Options::default());
/// let mut adapter = Scsi::new(Box::new(transport), memory, &ScsiConfig::default())?;
/// adapter.begin();
/// while !adapter.is_ready() {
///     adapter.poll(&mut |_, _, _| ());
/// }
/// assert_eq!((adapter.disks(), adapter.geometry(0).sectors), (1, 64));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Scsi {
    memory: MemoryRef,
    config: ScsiConfig,
    commands: Commands,
    /// The search for disks, until it has ended.
    scan: Option<Scan>,
    disks: Vec<Disk>,
    /// The disk that makes commands first.
    turn: usize,
}

// SAFETY: the raw pointers refer to buffers owned by the requests (contract of their constructors).
unsafe impl Send for Scsi {}

impl Scsi {
    /// Starts a virtio device: negotiates features and allocates the queues.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        config: &ScsiConfig,
    ) -> Result<Scsi, Error> {
        let host = VirtioHost::new(transport, memory, config)?;
        Scsi::with_host(Box::new(host), memory, config)
    }

    /// The disks of an adapter that was started.
    pub(crate) fn with_host(
        host: Box<dyn Host>,
        memory: MemoryRef,
        config: &ScsiConfig,
    ) -> Result<Scsi, Error> {
        Ok(Scsi {
            memory,
            config: *config,
            commands: Commands::new(host, memory)?,
            scan: None,
            disks: Vec::new(),
            turn: 0,
        })
    }

    /// False once the adapter broke the protocol; see
    /// [`Blk::is_running`](crate::blk::Blk::is_running).
    pub fn is_running(&self) -> bool {
        self.commands.host.is_running()
    }

    /// Number of requests submitted but not yet reported, of all disks.
    pub fn unfinished(&self) -> usize {
        self.disks
            .iter()
            .map(|disk| disk.requests.unfinished())
            .sum()
    }

    /// Makes commands: of the search, of queries of capacities, and of waiting requests, of the
    /// disks in turn.
    fn issue(&mut self) {
        if let Some(scan) = &mut self.scan
            && scan.advance(&mut self.commands)
        {
            self.end_search();
            self.scan = None;
        }
        let count = self.disks.len();
        let others = count.saturating_sub(1) as u16;
        for step in 0..count {
            let number = (self.turn + step) % count;
            let Some(disk) = self.disks.get_mut(number) else {
                continue;
            };
            let number = number as u16;
            if disk.resized && !disk.removed && self.commands.query_capacity(number, disk.address) {
                disk.resized = false;
                disk.queries += 1;
            }
            disk.issue(number, others, &mut self.commands);
        }
        self.turn = (self.turn + 1).checked_rem(count).unwrap_or(0);
    }

    fn collect(&mut self) -> Result<(), DeviceError> {
        let disks = &mut self.disks;
        self.commands.host.events(&mut |event| {
            for disk in disks.iter_mut() {
                match event {
                    Event::Removed(address) if address == disk.address => disk.remove(),
                    Event::Resized(address) if address == disk.address => disk.note_resize(),
                    // One that was removed says so when it is asked.
                    Event::Missed => disk.note_resize(),
                    _ => {}
                }
            }
        })?;
        // Submits only repetitions meanwhile, a few for each command, so that the loop ends.
        while let Some(Completed {
            command,
            outcome,
            capacity,
        }) = self.commands.complete()?
        {
            let (disk, index) = match command.purpose {
                Purpose::Probe(probe) => {
                    if let Some(scan) = &mut self.scan {
                        scan.complete(probe, outcome.result, outcome.repeat);
                    }
                    continue;
                }
                Purpose::Capacity(disk) => (disk, None),
                Purpose::Request { disk, index } => (disk, Some(index)),
            };
            let Some(unit) = self.disks.get_mut(usize::from(disk)) else {
                continue;
            };
            if outcome.resized && index.is_some() {
                unit.note_resize();
            }
            match (index, outcome.result) {
                (Some(index), _) => {
                    unit.complete(disk, index, command, outcome, &mut self.commands);
                }
                (None, Ok(())) => unit.resize(&capacity),
                (None, Err(DiskError::Removed)) => unit.remove(),
                // A reset that it reports, for example.
                (None, Err(_)) => unit.resized |= outcome.repeat && unit.queries < MAX_TRIES,
            }
        }
        Ok(())
    }

    /// Ends with [`DiskError::DeviceError`] every request whose memory the device doesn't hold.
    fn fail(&mut self) {
        log::error!(target: "drivers", "a SCSI adapter broke its protocol and was reset");
        let taken_back = self.commands.host.stop();
        for disk in &mut self.disks {
            disk.requests.fail(taken_back);
        }
    }

    fn has_finished(&self) -> bool {
        self.disks.iter().any(|disk| disk.requests.has_finished())
    }
}

impl Controller for Scsi {
    fn begin(&mut self) {
        let last = self.commands.host.last_target();
        self.scan = Scan::new(self.memory, last);
        if self.scan.is_none() {
            log::error!(target: "drivers", "SCSI: no memory for the search for disks");
        }
        self.issue();
        self.kick();
    }

    fn is_ready(&self) -> bool {
        self.scan.as_ref().is_none_or(Scan::is_stopped) || !self.commands.host.is_running()
    }

    fn end_search(&mut self) {
        let Some(scan) = &mut self.scan else {
            return;
        };
        let limits = self.commands.host.limits();
        for found in scan.stop() {
            let disk = Disk::new(self.memory, found, limits, &self.config);
            self.disks.push(disk);
        }
    }

    fn disks(&self) -> usize {
        self.disks.len()
    }

    fn serial(&self, disk: usize) -> Option<&str> {
        self.disks.get(disk)?.serial.as_deref()
    }

    fn geometry(&self, disk: usize) -> Geometry {
        let disk = self.disks.get(disk);
        disk.map_or(Geometry::NONE, |disk| disk.geometry)
    }

    fn refresh(&mut self, _disk: usize) -> Result<(), Error> {
        // A disk that changes reports that.
        Ok(())
    }

    fn submit(&mut self, disk: usize, request: Request, token: u64) -> Result<(), DiskError> {
        if !self.commands.host.is_running() {
            return Err(DiskError::DeviceError);
        }
        let others = self.disks.len().saturating_sub(1) as u16;
        let unit = self.disks.get_mut(disk).ok_or(DiskError::Removed)?;
        if unit.removed {
            return Err(DiskError::Removed);
        }
        unit.requests.accept(&unit.geometry, request, token)?;
        unit.issue(disk as u16, others, &mut self.commands);
        Ok(())
    }

    fn kick(&mut self) {
        if self.commands.host.is_running() {
            self.commands.host.kick();
        }
    }

    fn poll(&mut self, report: &mut dyn FnMut(usize, u64, Result<(), DiskError>)) -> usize {
        if self.commands.host.is_running() {
            if self.collect().is_err() {
                self.fail();
            } else {
                self.issue();
                self.commands.host.kick();
            }
        }
        let mut ended = 0;
        for (number, disk) in self.disks.iter_mut().enumerate() {
            let report = &mut |token, result| report(number, token, result);
            ended += disk.requests.report(report);
        }
        ended
    }

    fn has_pending(&self) -> bool {
        let is_running = self.commands.host.is_running();
        self.has_finished() || is_running && self.commands.host.has_pending()
    }

    fn enable_interrupts(&mut self) -> bool {
        if self.commands.host.is_running() {
            self.commands.host.kick();
            if self.commands.host.enable_interrupts() {
                return true;
            }
        }
        self.has_finished()
    }

    fn disable_interrupts(&mut self) {
        self.commands.host.disable_interrupts();
    }

    fn interrupt(&self) -> Interrupt {
        self.commands.host.interrupt()
    }
}

impl Drop for Scsi {
    fn drop(&mut self) {
        if !self.commands.host.stop() {
            self.commands.leak();
            if let Some(scan) = &mut self.scan {
                scan.leak();
            }
            for disk in &mut self.disks {
                disk.data.leak();
            }
        }
    }
}

#[cfg(test)]
mod tests;
