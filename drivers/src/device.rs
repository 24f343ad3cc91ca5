//! Life cycle of a device, common to all drivers: negotiate features, set up queues, start, stop.

use alloc::boxed::Box;

use crate::device_type::DeviceType;
use crate::queue::{Options, Queue};
use crate::transport::{Interrupt, Status, Transport};
use crate::{Error, MemoryRef};

/// Feature bits of all device types (virtio 1.2, chapter 6).
pub mod feature {
    /// Legacy devices: any framing of requests (`VIRTIO_F_ANY_LAYOUT`).
    pub const ANY_LAYOUT: u64 = 1 << 27;
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// `VIRTIO_F_EVENT_IDX`.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// `VIRTIO_F_VERSION_1`.
    pub const VERSION_1: u64 = 1 << 32;
    /// `VIRTIO_F_ACCESS_PLATFORM`: the device accesses memory through the platform's translation
    /// (here: none).
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    /// `VIRTIO_F_ORDER_PLATFORM`: the device needs the memory barriers of a hardware device, which
    /// the driver always issues.
    pub const ORDER_PLATFORM: u64 = 1 << 36;

    /// Features of the virtqueues.
    pub const QUEUE: u64 =
        ANY_LAYOUT | INDIRECT_DESC | EVENT_IDX | VERSION_1 | ACCESS_PLATFORM | ORDER_PLATFORM;
}

/// How long a device may take to come out of reset. Hypervisors complete it before they return from
/// the write.
const RESET_NS: u64 = 1_000_000_000;
/// Maximum pause between two reads of a status, in spins.
const MAX_PAUSE: u32 = 1 << 10;
/// Maximum number of reads of a multi-word configuration field until its generation is stable.
const CONFIG_READS: usize = 16;

/// A device with its negotiated features. Dropping it resets the device.
pub(crate) struct Device {
    transport: Box<dyn Transport>,
    memory: MemoryRef,
    features: u64,
    /// Set once the driver has stopped the device: whether the reset completed.
    stopped: Option<bool>,
}

impl Device {
    /// Resets the device and negotiates those `wanted` features that it offers (virtio 1.2, 3.1.1,
    /// steps 1 to 6). `fix` removes features whose prerequisites are missing.
    pub fn new(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        expected: DeviceType,
        wanted: u64,
        fix: &dyn Fn(u64) -> u64,
    ) -> Result<Device, Error> {
        let found = transport.device_type();
        if found != expected {
            return Err(Error::WrongDevice { expected, found });
        }
        let mut device = Device {
            transport,
            memory,
            features: 0,
            stopped: None,
        };
        device.negotiate(wanted, fix)?;
        Ok(device)
    }

    /// Resets the device and negotiates the same features again, since its queues were allocated
    /// for those. The queues must be set up again, and the device started. Allocates nothing. After
    /// an error the device is stopped.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stopped = None;
        let features = self.features;
        let mut done = self.negotiate(features, &|features| features);
        if done.is_ok() && self.features != features {
            done = Err(self.refuse(Error::FeaturesRejected));
        }
        self.features = features;
        if done.is_err() {
            self.stop();
        }
        done
    }

    fn negotiate(&mut self, wanted: u64, fix: &dyn Fn(u64) -> u64) -> Result<(), Error> {
        if !reset(&mut *self.transport, self.memory) {
            // A later stop must not wait for this reset again.
            self.stopped = Some(false);
            return Err(Error::NotReset);
        }
        let status = Status::ACKNOWLEDGE | Status::DRIVER;
        self.transport.set_status(Status::ACKNOWLEDGE);
        self.transport.set_status(status);
        let offered = self.transport.device_features();
        let legacy = self.transport.is_legacy();
        if !legacy && offered & feature::VERSION_1 == 0 {
            return Err(self.refuse(Error::NotModern));
        }
        self.features = fix(offered & wanted);
        self.transport.set_driver_features(self.features);
        if !legacy {
            self.transport.set_status(status | Status::FEATURES_OK);
            if !self.transport.status().contains(Status::FEATURES_OK) {
                return Err(self.refuse(Error::FeaturesRejected));
            }
        }
        Ok(())
    }

    fn refuse(&mut self, error: Error) -> Error {
        self.transport.set_status(Status::FAILED);
        error
    }

    pub fn has(&self, feature: u64) -> bool {
        self.features & feature == feature
    }

    pub fn features(&self) -> u64 {
        self.features
    }

    pub fn is_legacy(&self) -> bool {
        self.transport.is_legacy()
    }

    pub fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// The transport, to set up a queue again.
    pub fn transport_mut(&mut self) -> &mut dyn Transport {
        &mut *self.transport
    }

    pub fn interrupt(&self) -> Interrupt {
        self.transport.interrupt()
    }

    /// Sets up queue `index` with at least `size.0` and at most `size.1` descriptors, for requests
    /// of at most `max_chain` descriptors.
    pub fn queue(
        &mut self,
        memory: MemoryRef,
        index: u16,
        (min_size, max_size): (u16, u16),
        max_chain: u16,
    ) -> Result<Queue, Error> {
        let options = Options {
            min_size,
            max_size,
            max_chain,
            indirect: self.has(feature::INDIRECT_DESC),
            event_idx: self.has(feature::EVENT_IDX),
        };
        Queue::new(memory, &mut *self.transport, index, options)
    }

    /// Step 8: sets DRIVER_OK.
    pub fn start(&mut self) {
        let mut status = Status::ACKNOWLEDGE | Status::DRIVER | Status::DRIVER_OK;
        if !self.is_legacy() {
            status |= Status::FEATURES_OK;
        }
        self.transport.set_status(status);
    }

    /// True until [`stop`](Device::stop).
    pub fn is_running(&self) -> bool {
        self.stopped.is_none()
    }

    /// Takes all memory back from the device by a reset. Returns false if the device didn't
    /// respond: its memory must never be reused. Further calls return the same.
    pub fn stop(&mut self) -> bool {
        *self.stopped.get_or_insert_with(|| {
            let done = reset(&mut *self.transport, self.memory);
            if !done {
                let kind = self.transport.device_type();
                log::error!(
                    target: "drivers",
                    "a {kind} device doesn't come out of reset: the memory that it was given is \
                     never used again"
                );
            }
            done
        })
    }

    /// As [`stop`](Device::stop), for a device whose memory is never freed: from any context,
    /// without a clock or a log. Reads the status a few times only.
    pub fn stop_now(&mut self) {
        const MAX_READS: usize = 100;
        if self.stopped.is_none() {
            self.transport.set_status(Status::empty());
            let mut reads = 0..MAX_READS;
            self.stopped = Some(reads.any(|_| self.transport.status().is_empty()));
        }
    }

    pub fn config_u8(&self, offset: usize) -> Option<u8> {
        Some(self.transport.read_config(offset, 1)? as u8)
    }

    pub fn config_u16(&self, offset: usize) -> Option<u16> {
        Some(self.transport.read_config(offset, 2)? as u16)
    }

    pub fn config_u32(&self, offset: usize) -> Option<u32> {
        self.transport.read_config(offset, 4)
    }

    /// Writes a byte of the configuration space; `None` outside it.
    pub fn write_config_u8(&self, offset: usize, value: u8) -> Option<()> {
        self.transport.write_config(offset, 1, value.into())
    }

    /// Writes a word of the configuration space; `None` outside it.
    pub fn write_config_u32(&self, offset: usize, value: u32) -> Option<()> {
        self.transport.write_config(offset, 4, value)
    }

    /// Reads 64 bits as two halves of the same generation (virtio 1.2, 2.5.1).
    pub fn config_u64(&self, offset: usize) -> Option<u64> {
        for _ in 0..CONFIG_READS {
            let before = self.transport.config_generation();
            let low = self.config_u32(offset)?;
            let high = self.config_u32(offset + 4)?;
            // Without generations, the half that was read first must be the same (2.5.4).
            let is_same = match self.is_legacy() {
                true => self.config_u32(offset)? == low,
                false => self.transport.config_generation() == before,
            };
            if is_same {
                return Some(u64::from(high) << 32 | u64::from(low));
            }
        }
        None
    }
}

/// Resets the device; returns whether it came out of that.
fn reset(transport: &mut dyn Transport, memory: MemoryRef) -> bool {
    // One that can't be reset may say so (Firecracker's before 1.16); the driver's own mark, which
    // stays until the reset, says nothing.
    let was_failed = transport.status().contains(Status::FAILED);
    transport.set_status(Status::empty());
    let done = within(memory, RESET_NS, &mut || match transport.status() {
        status if status.is_empty() => Some(true),
        status if status.contains(Status::FAILED) && !was_failed => Some(false),
        _ => None,
    });
    done.unwrap_or(false)
}

/// Polls, with growing pauses, for at most `limit_ns`; once at least. Spins meanwhile.
pub(crate) fn within<T>(
    memory: MemoryRef,
    limit_ns: u64,
    poll: &mut dyn FnMut() -> Option<T>,
) -> Option<T> {
    let start = memory.now_ns();
    let mut pause = 1;
    loop {
        // The clock is read first: a machine that was stopped in between polls once more.
        let is_late = memory.now_ns().saturating_sub(start) >= limit_ns;
        let done = poll();
        if done.is_some() || is_late {
            return done;
        }
        for _ in 0..pause {
            core::hint::spin_loop();
        }
        pause = (2 * pause).min(MAX_PAUSE);
    }
}

/// Seconds in which there was a call: a machine that stood still counts one.
pub(crate) struct Seconds {
    /// Time at which the current one began, in nanoseconds.
    start_ns: u64,
    pub count: u32,
}

impl Seconds {
    pub fn new(memory: MemoryRef) -> Seconds {
        Seconds {
            start_ns: memory.now_ns(),
            count: 0,
        }
    }

    /// Whether another one begins with this call.
    pub fn tick(&mut self, memory: MemoryRef) -> bool {
        let now = memory.now_ns();
        let is_next = now.saturating_sub(self.start_ns) >= 1_000_000_000;
        if is_next {
            self.start_ns = now;
            self.count = self.count.wrapping_add(1);
        }
        is_next
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
