//! A disk (virtio 1.2, 5.2): many requests in flight, aligned data without copies.
//!
//! A caller submits requests and polls for their completions. A request may be of any size: the
//! driver splits it into device requests within the device's limits, and queues internally the part
//! that doesn't fit the virtqueue yet. Memory need not be aligned; memory that is aligned to blocks
//! (usually 512 bytes) is not copied.

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{DeviceError, QueueCounters};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

mod bounce;
mod device_requests;
mod request;
use device_requests::{DeviceRequests, Issued};
pub use device_types::disk::Clear;
pub use request::{BlkError, Request, Slice};
use request::{Clearing, Cursor, Operation};

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

/// Bytes of a sector: the unit of addresses, whatever the block size (virtio 1.2, 5.2.4).
pub const SECTOR: usize = 512;
/// Length in bytes of the serial number that [`Request::identify`] reads.
pub const SERIAL: usize = 20;

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

/// Request types (5.2.6) and the unmap flag of a segment of a write-zeroes request.
const TYPE_DISCARD: u32 = 11;
const TYPE_WRITE_ZEROES: u32 = 13;
const FLAG_UNMAP: u32 = 1;

/// Block sizes accepted from a device, in bytes.
const BLOCK_RANGE: core::ops::RangeInclusive<u32> = 512..=65536;

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

/// Size and capabilities of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size in sectors of 512 bytes.
    pub sectors: u64,
    /// Block size in bytes, a multiple of 512: the unit that requests must be aligned to.
    pub block_size: usize,
    /// The disk is read-only.
    pub read_only: bool,
    /// Whether a flush has an effect; otherwise the disk has no volatile cache.
    pub can_flush: bool,
    /// The disk supports [`Clear::Discard`].
    pub can_discard: bool,
    /// The disk supports [`Clear::Zeroes`].
    pub can_write_zeroes: bool,
}

/// A caller's request on its way through the device.
struct Active {
    token: u64,
    operation: Operation,
    sector: u64,
    /// Memory of the bytes that are not yet in the queue.
    memory: Cursor,
    /// Bytes not yet in the queue.
    remaining: usize,
    /// Device requests in flight.
    in_flight: u16,
    /// It is in `Blk::waiting`.
    queued: bool,
    result: Result<(), BlkError>,
}

/// A disk. Dropping it resets the device. Afterwards the buffers of unfinished requests belong to
/// the caller again only if the reset completed, which only a log line reports. A caller that needs
/// its buffers back waits for its requests to finish first.
///
/// ```
/// use core::ptr::NonNull;
/// use drivers::blk::{Blk, BlkConfig, Request};
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
    device_requests: DeviceRequests,
    geometry: Geometry,
    requests: Vec<Option<Active>>,
    free: Vec<u16>,
    /// Requests that are not entirely in the queue, in the order of submission.
    waiting: VecDeque<u16>,
    /// Requests that are finished but not reported.
    finished: VecDeque<u16>,
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
        let mut device = Device::new(transport, DeviceType::BLOCK, wanted | feature::RO, &|f| f)?;
        let geometry = read_geometry(&device)?;
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
        let limits = device_requests::Limits {
            segment: size_max,
            segments: u16::try_from(seg_max).unwrap_or(u16::MAX),
            block: geometry.block_size,
            queue_size: config.queue_size,
            bounces: config.bounce_buffers,
        };
        let device_requests = DeviceRequests::new(memory, &mut device, REQUEST_QUEUE, limits)?;
        device.start();
        let requests = config.requests.max(1);
        Ok(Blk {
            device,
            device_requests,
            geometry,
            requests: (0..requests).map(|_| None).collect(),
            free: (0..requests).rev().collect(),
            waiting: VecDeque::with_capacity(usize::from(requests)),
            finished: VecDeque::with_capacity(usize::from(requests)),
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
        self.geometry.sectors = read_geometry(&self.device)?.sectors;
        Ok(())
    }

    /// All negotiated feature bits, for a log line.
    pub fn features(&self) -> u64 {
        self.device.features()
    }

    /// Acknowledges the disk's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// False once the disk broke the protocol: the driver has reset it, and every request ends with
    /// [`BlkError::DeviceError`]. If the reset didn't complete, the device may still access the
    /// buffers of its requests: these requests are never reported, and their buffers stay with the
    /// device.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Counters of the queue.
    pub fn queue_counters(&self) -> QueueCounters {
        self.device_requests.queue_counters()
    }

    /// Number of requests submitted but not yet reported.
    pub fn unfinished(&self) -> usize {
        self.requests.len() - self.free.len()
    }

    /// Submits a request; `token` is reported when it ends. The device is guaranteed to start it
    /// only after [`kick`](Blk::kick) or [`poll`](Blk::poll). Never blocks. Requests are
    /// independent: the device may execute them in any order.
    ///
    /// # Errors
    ///
    /// Any [`BlkError`] but `Io` and `Unsupported`. The request was not accepted, and its buffer
    /// belongs to the caller again.
    pub fn submit(&mut self, request: Request, token: u64) -> Result<(), BlkError> {
        if !self.device.is_running() {
            return Err(BlkError::DeviceError);
        }
        self.check(&request)?;
        self.accept(request, token)
    }

    /// Submits a request without data for `count` sectors of 512 bytes from `sector` on, like
    /// [`submit`](Blk::submit). The driver splits it into device requests within the device's
    /// limits, at multiples of the alignment that the device prefers.
    ///
    /// # Errors
    ///
    /// As [`submit`](Blk::submit), and [`BlkError::Unsupported`] if the disk doesn't offer the
    /// operation.
    pub fn clear(
        &mut self,
        clear: Clear,
        sector: u64,
        count: u64,
        token: u64,
    ) -> Result<(), BlkError> {
        if !self.device.is_running() {
            return Err(BlkError::DeviceError);
        }
        let device = &self.device;
        let config = |at| device.config_u32(at).unwrap_or(0);
        let (feature, kind, most, alignment) = match clear {
            Clear::Discard => (
                feature::DISCARD,
                TYPE_DISCARD,
                config(CONFIG_MAX_DISCARD),
                config(CONFIG_DISCARD_ALIGNMENT),
            ),
            Clear::Zeroes { .. } => (
                feature::WRITE_ZEROES,
                TYPE_WRITE_ZEROES,
                config(CONFIG_MAX_ZEROES),
                0,
            ),
        };
        let block = self.geometry.block_size;
        // The length of a request is 32 bits of sectors; a limit below one block disables the
        // request.
        let most = (most as usize).saturating_mul(SECTOR) / block * block;
        if !device.has(feature) || most == 0 {
            return Err(BlkError::Unsupported);
        }
        let may_unmap = || device.config_u8(CONFIG_ZEROES_MAY_UNMAP).unwrap_or(0) != 0;
        let unmap = clear == Clear::Zeroes { unmap: true } && may_unmap();
        let operation = Operation::Clear(Clearing {
            write: device_requests::write_clear,
            kind,
            flags: if unmap { FLAG_UNMAP } else { 0 },
            most,
            // Ignores an alignment that isn't a multiple of the block size.
            alignment: Some(u64::from(alignment) * SECTOR as u64)
                .filter(|bytes| bytes.is_multiple_of(block as u64))
                .unwrap_or(0),
        });
        let len = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(SECTOR))
            .ok_or(BlkError::OutOfRange)?;
        let request = Request {
            operation,
            sector,
            len,
            ..Request::flush()
        };
        self.check(&request)?;
        self.accept(request, token)
    }

    /// Accepts a validated request.
    fn accept(&mut self, request: Request, token: u64) -> Result<(), BlkError> {
        let index = self.free.pop().ok_or(BlkError::Busy)?;
        let nothing_to_do =
            matches!(request.operation, Operation::Flush) && !self.geometry.can_flush;
        self.requests[usize::from(index)] = Some(Active {
            token,
            operation: request.operation,
            sector: request.sector,
            memory: request.memory,
            remaining: request.len,
            in_flight: 0,
            queued: !nothing_to_do,
            result: Ok(()),
        });
        if nothing_to_do {
            self.finished.push_back(index);
        } else {
            self.waiting.push_back(index);
            self.issue();
        }
        Ok(())
    }

    fn check(&self, request: &Request) -> Result<(), BlkError> {
        if matches!(request.operation, Operation::Flush | Operation::Identify) {
            return Ok(());
        }
        let block_sectors = (self.geometry.block_size / SECTOR) as u64;
        if request.len == 0
            || !request.len.is_multiple_of(self.geometry.block_size)
            || !request.sector.is_multiple_of(block_sectors)
        {
            return Err(BlkError::Misaligned);
        }
        let end = request.sector.checked_add((request.len / SECTOR) as u64);
        if end.is_none_or(|end| end > self.geometry.sectors) {
            return Err(BlkError::OutOfRange);
        }
        if !matches!(request.operation, Operation::Read) && self.geometry.read_only {
            return Err(BlkError::ReadOnly);
        }
        Ok(())
    }

    /// Moves as much as fits from the waiting requests into the queue.
    fn issue(&mut self) {
        while let Some(&index) = self.waiting.front() {
            let Some(Some(active)) = self.requests.get_mut(usize::from(index)) else {
                self.waiting.pop_front();
                continue;
            };
            // After an error, the rest of a request isn't started.
            if active.result.is_ok() {
                match self.device_requests.issue(index, active) {
                    Ok(Issued::Some) => {
                        active.in_flight += 1;
                        if active.remaining > 0 {
                            // The device works on this one while the driver prepares the next.
                            self.device_requests.kick(&self.device);
                        }
                    }
                    Ok(Issued::Full) => return,
                    Err(error) => active.result = Err(error),
                }
            }
            if active.remaining == 0 || active.result.is_err() {
                active.queued = false;
                self.waiting.pop_front();
                if active.in_flight == 0 {
                    self.finished.push_back(index);
                }
            }
        }
    }

    /// Notifies the device of the submitted requests: at most one exit for all of them.
    pub fn kick(&mut self) {
        if self.device.is_running() {
            self.device_requests.kick(&self.device);
        }
    }

    /// Reports the requests that ended since the last call, in the order of completion, moves
    /// waiting ones into the queue and notifies the device. Never blocks; handles at most as many
    /// completions as there were requests in flight. Returns the number of ended requests.
    pub fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlkError>)) -> usize {
        if self.device.is_running() {
            if self.collect().is_err() {
                self.fail();
            } else {
                self.issue();
                self.device_requests.kick(&self.device);
            }
        }
        let mut ended = 0;
        while let Some(index) = self.finished.pop_front() {
            if let Some(active) = self
                .requests
                .get_mut(usize::from(index))
                .and_then(Option::take)
            {
                self.free.push(index);
                ended += 1;
                report(active.token, active.result);
            }
        }
        ended
    }

    fn collect(&mut self) -> Result<(), DeviceError> {
        // Submits nothing meanwhile, so that the loop ends once the requests in flight have.
        while let Some((index, result)) = self.device_requests.complete()? {
            let Some(Some(active)) = self.requests.get_mut(usize::from(index)) else {
                continue;
            };
            active.in_flight -= 1;
            active.result = active.result.and(result);
            if active.in_flight == 0 && !active.queued {
                self.finished.push_back(index);
            }
        }
        Ok(())
    }

    /// Whether the rings show completions to [`poll`](Blk::poll). No exit.
    pub fn has_pending(&self) -> bool {
        !self.finished.is_empty() || self.device.is_running() && self.device_requests.has_pending()
    }

    /// Call before waiting: enables the interrupt of the next completion. Returns true if one is
    /// already pending: don't wait.
    #[must_use = "what is there already may not interrupt"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.device.is_running() {
            return !self.finished.is_empty();
        }
        self.device_requests.kick(&self.device);
        self.device_requests.enable_interrupts() || !self.finished.is_empty()
    }

    /// Disables interrupts; some may still arrive.
    pub fn disable_interrupts(&mut self) {
        self.device_requests.disable_interrupts();
    }

    /// Ends with [`BlkError::DeviceError`] every request whose memory the device doesn't hold.
    fn fail(&mut self) {
        log::error!(target: "drivers", "the disk broke the virtio protocol and was reset");
        let taken_back = self.device.stop();
        self.waiting.clear();
        self.finished.clear();
        for (index, active) in (0u16..).zip(&mut self.requests) {
            let Some(active) = active else { continue };
            let has_memory = !matches!(active.operation, Operation::Flush | Operation::Clear(_));
            if active.in_flight > 0 && has_memory && !taken_back {
                continue;
            }
            // A request that has already ended keeps its result.
            if active.in_flight > 0 || active.queued {
                active.result = Err(BlkError::DeviceError);
            }
            self.finished.push_back(index);
        }
    }
}

impl Drop for Blk {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.device_requests.leak();
        }
    }
}

fn read_geometry(device: &Device) -> Result<Geometry, Error> {
    let sectors = device.config_u64(CONFIG_CAPACITY).ok_or(Error::BadConfig)?;
    let mut block = SECTOR as u32;
    if device.has(feature::BLK_SIZE) {
        block = device.config_u32(CONFIG_BLK_SIZE).ok_or(Error::BadConfig)?;
    }
    if !BLOCK_RANGE.contains(&block) || !block.is_power_of_two() {
        return Err(Error::BadConfig);
    }
    Ok(Geometry {
        sectors,
        block_size: block as usize,
        read_only: device.has(feature::RO),
        can_flush: device.has(feature::FLUSH),
        can_discard: device.has(feature::DISCARD),
        can_write_zeroes: device.has(feature::WRITE_ZEROES),
    })
}

#[cfg(test)]
mod tests;
