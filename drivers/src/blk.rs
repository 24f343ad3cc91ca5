//! A disk (virtio 1.2, 5.2): many requests in flight, aligned data without copies. [`crate::disk`]
//! describes the requests.

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::disk::{
    ClearLimits, Controller, DiskError, Geometry, Issued, Limits, MAX_BLOCK, Request, Requests,
    SECTOR,
};
use crate::queue::{DeviceError, QueueCounters};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef};
use alloc::boxed::Box;
use alloc::string::String;

mod commands;
use commands::{Clears, Commands, Completed};

/// Feature bits of block devices (virtio 1.2, 5.2.3) that the driver uses.
pub mod feature {
    /// The device limits the size of a segment.
    pub const SIZE_MAX: u64 = 1 << 1;
    /// The device limits the number of segments per request; without this bit, it is one.
    pub const SEG_MAX: u64 = 1 << 2;
    /// The disk is read-only.
    pub const RO: u64 = 1 << 5;
    /// The disk reports a block size.
    pub const BLK_SIZE: u64 = 1 << 6;
    /// The disk has a volatile cache that can be flushed.
    pub const FLUSH: u64 = 1 << 9;
    /// Sectors can be discarded.
    pub const DISCARD: u64 = 1 << 13;
    /// The disk can write zeros without a data transfer.
    pub const WRITE_ZEROES: u64 = 1 << 14;

    /// All of the above.
    pub const ALL: u64 = SIZE_MAX | SEG_MAX | RO | BLK_SIZE | FLUSH | DISCARD | WRITE_ZEROES;
}

const REQUEST_QUEUE: u16 = 0;

/// Configuration space (5.2.4).
const CONFIG_CAPACITY: usize = 0;
const CONFIG_SIZE_MAX: usize = 8;
const CONFIG_SEG_MAX: usize = 12;
const CONFIG_BLK_SIZE: usize = 20;
const CONFIG_MAX_DISCARD: usize = 36;
const CONFIG_DISCARD_ALIGNMENT: usize = 44;
const CONFIG_MAX_ZEROES: usize = 48;
const CONFIG_ZEROES_MAY_UNMAP: usize = 56;

/// Block sizes accepted from a device, in bytes.
const BLOCK_RANGE: core::ops::RangeInclusive<usize> = SECTOR..=MAX_BLOCK;

/// The memory of a disk's queues and buffers.
#[derive(Clone, Copy, Debug)]
pub struct BlkConfig {
    /// Bits of [`feature`] and [`device::feature`] that may be used.
    pub features: u64,
    /// Maximum number of device requests in flight (rounded down to a power of two). Each takes
    /// about 2.2 KiB, and no request has more segments than this.
    pub queue_size: u16,
    /// Maximum number of unfinished requests of callers.
    pub requests: u16,
    /// Maximum number of bounce buffers of 128 KiB, for data that isn't aligned to blocks; each is
    /// allocated on demand. Without any, the device accesses such data in place, which is slow on a
    /// host that bypasses its cache.
    pub bounce_buffers: u16,
}

impl Default for BlkConfig {
    fn default() -> Self {
        BlkConfig {
            features: u64::MAX,
            queue_size: 128,
            requests: 256,
            bounce_buffers: 4,
        }
    }
}

/// A disk. Dropping it resets the device. Afterwards the buffers of unfinished requests belong to
/// the caller again only if the reset completed, which only a log line reports. A caller that needs
/// its buffers back waits for its requests to finish first.
///
/// ```
/// use core::ptr::NonNull;
/// use drivers::blk::{Blk, BlkConfig};
/// use drivers::disk::{Controller as _, Request};
/// use drivers::fake::{Disk, HostMemory, Options, connect};
///
/// let memory = HostMemory::new();
/// let (transport, device) = connect(memory, Disk::new(64), Options::default());
/// let mut disk = Blk::new(Box::new(transport), memory, &BlkConfig::default())?;
/// let bytes: &'static mut [u8] = Vec::leak(vec![7; 512]);
/// let place = NonNull::from(&mut bytes[0]);
/// // SAFETY: nothing else uses the bytes, which are never freed.
/// let request = unsafe { Request::write(3, place, 512) };
/// disk.submit(request, 1).unwrap();
/// disk.kick();
/// let mut ended = Vec::new();
/// while disk.unfinished() > 0 {
///     disk.poll(&mut |token, result| ended.push((token, result)));
/// }
/// assert_eq!(ended, [(1, Ok(()))]);
/// device.with(|disk| assert_eq!(disk.data[3 * 512..4 * 512], [7; 512]));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Blk {
    device: Device,
    commands: Commands,
    geometry: Geometry,
    requests: Requests,
    /// The query of the serial number is in flight.
    identifying: bool,
    serial: Option<String>,
}

// SAFETY: the raw pointers refer to buffers owned by the requests (contract of their constructors).
unsafe impl Send for Blk {}

impl Blk {
    /// Starts the disk: negotiates features and allocates the queue.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        config: &BlkConfig,
    ) -> Result<Blk, Error> {
        let wanted =
            (feature::ALL | device::feature::QUEUE) & config.features | device::feature::VERSION_1;
        // A read-only disk stays read-only even if the feature wasn't negotiated.
        let mut device = Device::new(
            transport,
            memory,
            DeviceType::BLOCK,
            wanted | feature::RO,
            &|f| f,
        )?;
        let (geometry, clears) = read_geometry(&device)?;
        let size_max = device
            .has(feature::SIZE_MAX)
            .then(|| device.config_u32(CONFIG_SIZE_MAX));
        let size_max = size_max.flatten().unwrap_or(u32::MAX);
        let seg_max = device
            .has(feature::SEG_MAX)
            .then(|| device.config_u32(CONFIG_SEG_MAX));
        let seg_max = seg_max.flatten().unwrap_or(1).max(1);
        if (size_max as usize) < SECTOR {
            return Err(Error::BadConfig);
        }
        let limits = Limits {
            segment: size_max,
            segments: u16::try_from(seg_max).unwrap_or(u16::MAX),
            bytes: usize::MAX,
            block: geometry.block_size,
            boundary: 1,
        };
        let commands = Commands::new(memory, &mut device, REQUEST_QUEUE, limits, clears, config)?;
        device.start();
        Ok(Blk {
            device,
            commands,
            geometry,
            requests: Requests::new(config.requests),
            identifying: false,
            serial: None,
        })
    }

    /// Size and capabilities as of the start or the last [`refresh`](Blk::refresh).
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Reads the size again. A disk may be resized at any time; it signals that by an interrupt
    /// with [`Cause::CONFIG`](crate::transport::Cause::CONFIG). Unfinished requests continue.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`]; the geometry is unchanged.
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.geometry.sectors = read_geometry(&self.device)?.0.sectors;
        Ok(())
    }

    /// All negotiated feature bits, for a log line.
    pub fn features(&self) -> u64 {
        self.device.features()
    }

    /// False once the disk broke the protocol: the driver has reset it, and every request ends with
    /// [`DiskError::DeviceError`]. If the reset didn't complete, the device may still access the
    /// buffers of its requests: these requests are never reported, and their buffers stay with the
    /// device.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Counters of the queue.
    pub fn queue_counters(&self) -> QueueCounters {
        self.commands.queue.counters()
    }

    /// Number of requests submitted but not yet reported.
    pub fn unfinished(&self) -> usize {
        self.requests.unfinished()
    }

    /// As [`Controller::submit`], to the device's only disk.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn submit(&mut self, request: Request, token: u64) -> Result<(), DiskError> {
        if !self.device.is_running() {
            return Err(DiskError::DeviceError);
        }
        self.requests.accept(&self.geometry, request, token)?;
        self.issue();
        Ok(())
    }

    /// Moves as much as fits from the waiting requests into the queue.
    fn issue(&mut self) {
        let (commands, device) = (&mut self.commands, &self.device);
        self.requests.issue(&mut |index, rest| {
            let issued = commands.issue(index, rest)?;
            if matches!(issued, Issued::Some) && rest.len > 0 {
                // The device works on this one while the driver prepares the next.
                commands.queue.kick(device.transport());
            }
            Ok(issued)
        });
    }

    /// As [`Controller::poll`].
    pub fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), DiskError>)) -> usize {
        if self.device.is_running() {
            if self.collect().is_err() {
                self.fail();
            } else {
                self.issue();
                self.commands.queue.kick(self.device.transport());
            }
        }
        self.requests.report(report)
    }

    fn collect(&mut self) -> Result<(), DeviceError> {
        // Submits nothing meanwhile, so that the loop ends once the requests in flight have.
        while let Some((completed, result)) = self.commands.complete()? {
            match completed {
                Completed::Request(index) => self.requests.complete(index, result),
                Completed::Identification => {
                    self.identifying = false;
                    self.serial = result.ok().and_then(|()| self.commands.serial());
                }
            }
        }
        Ok(())
    }

    /// Ends with [`DiskError::DeviceError`] every request whose memory the device doesn't hold.
    fn fail(&mut self) {
        log::error!(target: "drivers", "the disk broke the virtio protocol and was reset");
        let taken_back = self.device.stop();
        self.requests.fail(taken_back);
    }
}

impl Controller for Blk {
    fn begin(&mut self) {
        self.identifying = self.device.is_running() && self.commands.identify();
        self.kick();
    }

    fn is_ready(&self) -> bool {
        !self.identifying || !self.device.is_running()
    }

    fn end_search(&mut self) {
        self.identifying = false;
    }

    fn disks(&self) -> usize {
        1
    }

    fn serial(&self, _disk: usize) -> Option<&str> {
        self.serial.as_deref()
    }

    fn geometry(&self, _disk: usize) -> Geometry {
        self.geometry
    }

    fn refresh(&mut self, _disk: usize) -> Result<(), Error> {
        Blk::refresh(self)
    }

    fn submit(&mut self, _disk: usize, request: Request, token: u64) -> Result<(), DiskError> {
        Blk::submit(self, request, token)
    }

    fn kick(&mut self) {
        if self.device.is_running() {
            self.commands.queue.kick(self.device.transport());
        }
    }

    fn poll(&mut self, report: &mut dyn FnMut(usize, u64, Result<(), DiskError>)) -> usize {
        Blk::poll(self, &mut |token, result| report(0, token, result))
    }

    fn has_pending(&self) -> bool {
        self.requests.has_finished() || self.device.is_running() && self.commands.queue.has_used()
    }

    fn enable_interrupts(&mut self) -> bool {
        if !self.device.is_running() {
            return self.requests.has_finished();
        }
        self.commands.queue.kick(self.device.transport());
        self.commands.queue.enable_interrupts() || self.requests.has_finished()
    }

    fn disable_interrupts(&mut self) {
        self.commands.queue.disable_interrupts();
    }

    fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }
}

impl Drop for Blk {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.commands.leak();
        }
    }
}

fn read_geometry(device: &Device) -> Result<(Geometry, Clears), Error> {
    let sectors = device.config_u64(CONFIG_CAPACITY).ok_or(Error::BadConfig)?;
    let mut block = SECTOR;
    if device.has(feature::BLK_SIZE) {
        block = device.config_u32(CONFIG_BLK_SIZE).ok_or(Error::BadConfig)? as usize;
    }
    if !BLOCK_RANGE.contains(&block) || !block.is_power_of_two() {
        return Err(Error::BadConfig);
    }
    // In sectors.
    let limits = |feature, most, alignment: Option<usize>| {
        let bytes = |at| device.config_u32(at).unwrap_or(0) as usize * SECTOR;
        let alignment = alignment.map_or(0, bytes);
        ClearLimits::new(bytes(most), alignment as u64, block).filter(|_| device.has(feature))
    };
    let clears = Clears {
        discard: limits(
            feature::DISCARD,
            CONFIG_MAX_DISCARD,
            Some(CONFIG_DISCARD_ALIGNMENT),
        ),
        zeroes: limits(feature::WRITE_ZEROES, CONFIG_MAX_ZEROES, None),
        zeroes_may_unmap: device.config_u8(CONFIG_ZEROES_MAY_UNMAP).unwrap_or(0) != 0,
    };
    let geometry = Geometry {
        sectors,
        block_size: block,
        read_only: device.has(feature::RO),
        can_flush: device.has(feature::FLUSH),
        can_discard: clears.discard.is_some(),
        can_write_zeroes: clears.zeroes.is_some(),
    };
    Ok((geometry, clears))
}

#[cfg(test)]
mod tests;
