//! A console (virtio 1.2, 5.3): its first port, without the multiport protocol.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef, Region};

/// The queues of port 0 (virtio 1.2, 5.3.2).
const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;

/// Maximum number of buffers per queue, and bytes per buffer: a screenful to write, a line or two
/// to read.
const RECEIVE_BUFFERS: u16 = 4;
const RECEIVE_LEN: usize = 128;
const TRANSMIT_BUFFERS: u16 = 8;
const TRANSMIT_LEN: usize = 512;

/// A console. Dropping it resets the device, which discards output that the device hasn't taken
/// yet: see [`Console::is_idle`].
///
/// ```
/// use drivers::console::Console;
/// use drivers::fake::{HostMemory, Options, Terminal, connect};
///
/// let memory = HostMemory::new();
/// let (transport, device) = connect(memory, Terminal::default(), Options::default());
/// let mut console = Console::new(Box::new(transport), memory)?;
/// assert_eq!(console.write(b"hello\n")?, 6);
/// device.with(|terminal| {
///     assert_eq!(terminal.screen, b"hello\n");
///     terminal.keyboard.extend(b"yes\n");
/// });
/// device.step();
/// let mut input = [0; 16];
/// let length = console.read(&mut input)?;
/// assert_eq!(&input[..length], b"yes\n");
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Console {
    device: Device,
    receive: Queue,
    transmit: Queue,
    receive_pool: Region,
    transmit_pool: Region,
    /// Receive buffer in use, read position, and number of bytes in it.
    reading: Option<(u16, usize, usize)>,
    /// Transmit buffers that the device doesn't have.
    free: Vec<u16>,
}

impl Console {
    /// Starts the device.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<Console, Error> {
        let features = device::feature::QUEUE;
        let mut device = Device::new(transport, DeviceType::CONSOLE, features, &|features| {
            features
        })?;
        let receive = device.queue(memory, RECEIVE_QUEUE, (1, RECEIVE_BUFFERS), 1)?;
        let transmit = device.queue(memory, TRANSMIT_QUEUE, (1, TRANSMIT_BUFFERS), 1)?;
        let pool = |count: u16, len| Region::new(memory, usize::from(count) * len, 64);
        let receive_pool = pool(receive.size(), RECEIVE_LEN).ok_or(Error::OutOfMemory)?;
        let transmit_pool = pool(transmit.size(), TRANSMIT_LEN).ok_or(Error::OutOfMemory)?;
        let free = (0..transmit.size()).rev().collect();
        device.start();
        let reading = None;
        let mut console = Console {
            device,
            receive,
            transmit,
            receive_pool,
            transmit_pool,
            reading,
            free,
        };
        for buffer in 0..console.receive.size() {
            console.add_buffer(buffer);
        }
        console.receive.kick(console.device.transport());
        Ok(console)
    }

    /// Adds receive buffer `index` to the queue. It always fits: there are as many descriptors as
    /// buffers.
    fn add_buffer(&mut self, index: u16) {
        let phys = self.receive_pool.phys(usize::from(index) * RECEIVE_LEN);
        let buffer = Buffer {
            phys,
            len: RECEIVE_LEN as u32,
            device_writes: true,
        };
        let added = self.receive.add(&[buffer], u32::from(index));
        debug_assert!(added.is_ok());
    }

    /// Acknowledges the device's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// False once the device broke the protocol.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Writes as much of `bytes` as fits the free buffers, and notifies the device. Returns the
    /// number of bytes written; 0 means that all buffers are in flight. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.reclaim()?;
        let mut written = 0;
        for piece in bytes.chunks(TRANSMIT_LEN) {
            let Some(&index) = self.free.last() else {
                break;
            };
            let offset = usize::from(index) * TRANSMIT_LEN;
            // SAFETY: the driver owns a free buffer.
            unsafe { self.transmit_pool.slice(offset, piece.len()) }.copy_from_slice(piece);
            let phys = self.transmit_pool.phys(offset);
            let buffer = Buffer {
                phys,
                len: piece.len() as u32,
                device_writes: false,
            };
            if self.transmit.add(&[buffer], u32::from(index)).is_err() {
                break;
            }
            self.free.pop();
            written += piece.len();
        }
        self.transmit.kick(self.device.transport());
        Ok(written)
    }

    /// True when the device has taken all output, or is out of use.
    pub fn is_idle(&mut self) -> bool {
        self.reclaim().is_err() || self.transmit.in_flight() == 0
    }

    fn reclaim(&mut self) -> Result<(), Error> {
        if !self.device.is_running() {
            return Err(Error::DeviceError);
        }
        loop {
            match self.transmit.pop() {
                Ok(None) => return Ok(()),
                Ok(Some(completion)) => self.free.push(completion.token as u16),
                Err(DeviceError) => return Err(self.fail()),
            }
        }
    }

    /// Reads at most `bytes.len()` bytes of input. Returns the number of bytes; 0 means that none
    /// is available. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        let mut read = 0;
        // Limits the loop to one round: a device could return empty buffers forever.
        for _ in 0..=self.receive.size() {
            if read == bytes.len() || !self.fetch()? {
                break;
            }
            if let Some((index, at, end)) = self.reading {
                let len = (end - at).min(bytes.len() - read);
                // SAFETY: the buffer being read has come back from the device.
                let from = unsafe {
                    self.receive_pool
                        .slice(usize::from(index) * RECEIVE_LEN, end)
                };
                bytes[read..read + len].copy_from_slice(&from[at..at + len]);
                read += len;
                self.reading = Some((index, at + len, end));
                if at + len == end {
                    self.reading = None;
                    self.add_buffer(index);
                }
            }
        }
        self.receive.kick(self.device.transport());
        Ok(read)
    }

    /// Whether a buffer holds unread input.
    fn fetch(&mut self) -> Result<bool, Error> {
        if !self.device.is_running() {
            return Err(Error::DeviceError);
        }
        if self.reading.is_none() {
            match self.receive.pop() {
                Ok(None) => return Ok(false),
                Ok(Some(done)) => {
                    self.reading = Some((done.token as u16, 0, done.written as usize))
                }
                Err(DeviceError) => return Err(self.fail()),
            }
        }
        Ok(true)
    }

    /// Call before waiting: requests an interrupt for the next input or completed output. Returns
    /// true if there is already work: don't wait.
    #[must_use = "what is there already may not interrupt"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.device.is_running() {
            return false;
        }
        let typed = self.receive.enable_interrupts() || self.reading.is_some();
        let taken = self.transmit.in_flight() > 0 && self.transmit.enable_interrupts();
        typed || taken
    }

    fn fail(&mut self) -> Error {
        log::error!(target: "drivers", "the console broke the virtio protocol and was reset");
        self.receive.mark_failed();
        self.transmit.mark_failed();
        self.device.stop();
        Error::DeviceError
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.receive.leak();
            self.transmit.leak();
            self.receive_pool.leak();
            self.transmit_pool.leak();
        }
    }
}

#[cfg(test)]
mod tests;
