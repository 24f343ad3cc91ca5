//! The life of a device, common to all drivers: agree on features, set up queues, start, stop.

use alloc::boxed::Box;

use crate::queue::{Options, Queue};
use crate::transport::{DeviceType, Interrupt, Status, Transport, Width};
use crate::{Error, MemoryRef};

/// Feature bits of every kind of device (virtio 1.2, chapter 6).
pub mod feature {
    /// Legacy devices: a request's framing is free.
    pub const ANY_LAYOUT: u64 = 1 << 27;
    /// `VIRTIO_F_INDIRECT_DESC`.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// `VIRTIO_F_EVENT_IDX`.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// `VIRTIO_F_VERSION_1`.
    pub const VERSION_1: u64 = 1 << 32;
    /// `VIRTIO_F_ACCESS_PLATFORM`: the device is behind the platform's translation (here: none).
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    /// `VIRTIO_F_ORDER_PLATFORM`: the device needs the fences of a real device, which we always
    /// use.
    pub const ORDER_PLATFORM: u64 = 1 << 36;

    /// The features of this crate's queues.
    pub const QUEUE: u64 =
        ANY_LAYOUT | INDIRECT_DESC | EVENT_IDX | VERSION_1 | ACCESS_PLATFORM | ORDER_PLATFORM;
}

/// Reads of the status before a device counts as one that doesn't reset. Each read is an
/// exit to the hypervisor (a microsecond or more), and hypervisors reset before they return from
/// the write.
const RESET_READS: usize = 100_000;
/// Reads of a configuration field of several words until its generation stays the same.
const CONFIG_READS: usize = 16;

/// A device with its agreed features. Its drop resets it.
pub(crate) struct Device {
    transport: Box<dyn Transport>,
    features: u64,
    /// Taken back from the device: reset, for an error or at the end.
    stopped: Option<bool>,
}

impl Device {
    /// Resets the device and agrees on those of `wanted` features that it offers (virtio 1.2,
    /// 3.1.1, steps 1 to 6). `fix` takes features out that don't make sense without others.
    pub fn new(
        mut transport: Box<dyn Transport>,
        expected: DeviceType,
        wanted: u64,
        fix: &dyn Fn(u64) -> u64,
    ) -> Result<Device, Error> {
        let found = transport.device_type();
        if found != expected {
            return Err(Error::WrongDevice { expected, found });
        }
        if !reset(&mut *transport) {
            return Err(Error::NotReset);
        }
        let mut device = Device {
            transport,
            features: 0,
            stopped: None,
        };
        let status = Status::ACKNOWLEDGE | Status::DRIVER;
        device.transport.set_status(Status::ACKNOWLEDGE);
        device.transport.set_status(status);
        let offered = device.transport.device_features();
        let legacy = device.transport.is_legacy();
        if !legacy && offered & feature::VERSION_1 == 0 {
            return Err(device.refuse(Error::NotModern));
        }
        device.features = fix(offered & wanted);
        device.transport.set_driver_features(device.features);
        if !legacy {
            device.transport.set_status(status | Status::FEATURES_OK);
            if !device.transport.status().contains(Status::FEATURES_OK) {
                return Err(device.refuse(Error::FeaturesRejected));
            }
        }
        Ok(device)
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

    pub fn interrupt(&self) -> Interrupt {
        self.transport.interrupt()
    }

    /// Sets up queue `index`, of `size` (smallest, largest) descriptors and requests of at most
    /// `max_chain`.
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

    /// Step 8: the device is live.
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

    /// Takes all memory back from the device by a reset. False when it didn't answer: then what it
    /// was given must never be used for anything else. Further calls return the same.
    pub fn stop(&mut self) -> bool {
        *self.stopped.get_or_insert_with(|| {
            let done = reset(&mut *self.transport);
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

    pub fn config_u8(&self, offset: usize) -> Option<u8> {
        self.transport
            .read_config(offset, Width::U8)
            .map(|v| v as u8)
    }

    pub fn config_u16(&self, offset: usize) -> Option<u16> {
        self.transport
            .read_config(offset, Width::U16)
            .map(|v| v as u16)
    }

    pub fn config_u32(&self, offset: usize) -> Option<u32> {
        self.transport.read_config(offset, Width::U32)
    }

    /// Reads 64 bits, in two halves of the same generation (virtio 1.2, 2.5.1).
    pub fn config_u64(&self, offset: usize) -> Option<u64> {
        for _ in 0..CONFIG_READS {
            let before = self.transport.config_generation();
            let low = self.config_u32(offset)?;
            let high = self.config_u32(offset + 4)?;
            if self.transport.config_generation() == before {
                return Some(u64::from(high) << 32 | u64::from(low));
            }
        }
        None
    }
}

fn reset(transport: &mut dyn Transport) -> bool {
    transport.set_status(Status::empty());
    (0..RESET_READS).any(|_| {
        let done = transport.status().is_empty();
        if !done {
            core::hint::spin_loop();
        }
        done
    })
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop();
    }
}
