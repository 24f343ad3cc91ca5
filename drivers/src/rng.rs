//! An entropy source (virtio 1.2, 5.4).

use alloc::boxed::Box;

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef, Region};

const REQUEST_QUEUE: u16 = 0;

/// Maximum request in bytes: enough for a seed or two.
pub const MAX_REQUEST: usize = 256;

/// An entropy source. One request at a time; dropping it resets the device.
///
/// ```
/// use drivers::fake::{Entropy, HostMemory, Options, connect};
/// use drivers::rng::Rng;
///
/// let memory = HostMemory::new();
/// let (transport, _device) = connect(memory, Entropy::default(), Options::default());
/// let mut rng = Rng::new(Box::new(transport), memory)?;
/// rng.request(32)?;
/// // Elsewhere the answer takes a while: poll again after the device's interrupt.
/// assert_eq!(rng.poll(|bytes| bytes.len())?, Some(32));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Rng {
    device: Device,
    queue: Queue,
    buffer: Region,
    pending: bool,
}

impl Rng {
    /// Starts the device.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<Rng, Error> {
        let mut device = Device::new(
            transport,
            memory,
            DeviceType::RNG,
            device::feature::QUEUE,
            &|features| features,
        )?;
        let queue = device.queue(memory, REQUEST_QUEUE, (1, 1), 1)?;
        let buffer = Region::new(memory, MAX_REQUEST, 64).ok_or(Error::OutOfMemory)?;
        device.start();
        Ok(Rng {
            device,
            queue,
            buffer,
            pending: false,
        })
    }

    /// Acknowledges the device's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// False once the device broke the protocol.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Requests `len` random bytes (clamped to 1 to [`MAX_REQUEST`]), unless a request is in
    /// flight. One exit; the host may take arbitrarily long.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn request(&mut self, len: usize) -> Result<(), Error> {
        if !self.device.is_running() {
            return Err(Error::DeviceError);
        }
        if !self.pending {
            let len = len.clamp(1, MAX_REQUEST);
            let buffer = Buffer::writable(self.buffer.phys(0), len);
            self.queue
                .add(&[buffer], 0)
                .map_err(|_| Error::DeviceError)?;
            self.pending = true;
            self.queue.kick(self.device.transport());
        }
        Ok(())
    }

    /// Passes the random bytes to `take` once they have arrived, and erases them. A device may
    /// return fewer than requested, even none. Returns `None` while a request is in flight, or if
    /// there is none. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn poll<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
        if !self.device.is_running() {
            return Err(Error::DeviceError);
        }
        match self.queue.pop() {
            Ok(None) => Ok(None),
            Ok(Some(completion)) => {
                self.pending = false;
                // SAFETY: the device has returned the buffer, and only `request` gives it away
                // again.
                let bytes = unsafe { self.buffer.slice(0, completion.written as usize) };
                let taken = take(bytes);
                // The bytes may be the seed of secrets.
                bytes.fill(0);
                Ok(Some(taken))
            }
            Err(DeviceError) => {
                log::error!(
                    target: "drivers",
                    "the entropy source broke the virtio protocol and was reset"
                );
                self.device.stop();
                Err(Error::DeviceError)
            }
        }
    }

    /// Call before waiting: requests an interrupt. Returns true if the bytes have already arrived:
    /// don't wait.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub fn enable_interrupts(&mut self) -> bool {
        self.device.is_running() && self.queue.enable_interrupts()
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.queue.leak();
            self.buffer.leak();
        }
    }
}

#[cfg(test)]
mod tests;
