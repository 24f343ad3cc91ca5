//! One device for two drivers that take turns.

use alloc::boxed::Box;
use core::ptr::NonNull;

use super::{DeviceType, Interrupt, QueueAddresses, QueueSize, Status, Transport};
use crate::Error;

/// One of two handles of a transport that is never freed.
struct Shared(NonNull<dyn Transport>);

// SAFETY: a transport may be sent, and `share` requires that one handle at a time is used.
unsafe impl Send for Shared {}

/// Returns two handles of a transport. A driver that takes its turn resets the device, which then
/// no longer uses the other driver's memory.
///
/// # Safety
///
/// No two calls through the two overlap.
pub unsafe fn share(transport: Box<dyn Transport>) -> [Box<dyn Transport + Send>; 2] {
    let transport = NonNull::from(Box::leak(transport));
    [Box::new(Shared(transport)), Box::new(Shared(transport))]
}

impl Shared {
    fn get(&self) -> &dyn Transport {
        // SAFETY: it was leaked, and nothing changes it meanwhile, as `share` requires.
        unsafe { self.0.as_ref() }
    }

    fn get_mut(&mut self) -> &mut dyn Transport {
        // SAFETY: as above; nothing else uses it meanwhile.
        unsafe { self.0.as_mut() }
    }
}

impl Transport for Shared {
    fn device_type(&self) -> DeviceType {
        self.get().device_type()
    }

    fn is_legacy(&self) -> bool {
        self.get().is_legacy()
    }

    fn device_features(&mut self) -> u64 {
        self.get_mut().device_features()
    }

    fn set_driver_features(&mut self, features: u64) {
        self.get_mut().set_driver_features(features);
    }

    fn status(&self) -> Status {
        self.get().status()
    }

    fn set_status(&mut self, status: Status) {
        self.get_mut().set_status(status);
    }

    fn queue_size(&mut self, queue: u16) -> Option<QueueSize> {
        self.get_mut().queue_size(queue)
    }

    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        self.get_mut().activate_queue(queue, addresses)
    }

    fn notify(&self, queue: u16) {
        self.get().notify(queue);
    }

    fn interrupt(&self) -> Interrupt {
        self.get().interrupt()
    }

    fn config_generation(&self) -> u32 {
        self.get().config_generation()
    }

    fn read_config(&self, offset: usize, size: usize) -> Option<u32> {
        self.get().read_config(offset, size)
    }

    fn write_config(&self, offset: usize, size: usize, value: u32) -> Option<()> {
        self.get().write_config(offset, size, value)
    }
}
