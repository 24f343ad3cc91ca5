//! Output alone, by one port, for a transmitter that is used in any context.

use alloc::boxed::Box;

use super::{Console, Port, SIZES};
use crate::device::within;
use crate::queue::DeviceError;
use crate::transport::Transport;
use crate::{Error, MemoryRef};

/// How long a device may take to open its port. QEMU answers each message before the doorbell's
/// write returns.
const OPEN_NS: u64 = 1_000_000_000;

/// The open port of a device, for output. Nothing but [`open`](Output::open) and the drop
/// allocates, waits or logs. Dropping it resets the device, which discards output that the device
/// hasn't taken yet.
///
/// ```
/// use drivers::console::Output;
/// use drivers::fake::{HostMemory, Options, Serial, SerialPort, connect};
///
/// let memory = HostMemory::new();
/// let mut device = Serial::new(2);
/// device.ports[1] = Some(SerialPort { host_open: true, ..SerialPort::named(b"output") });
/// let (transport, handle) = connect(memory, device, Options::default());
/// let mut output = Output::open(Box::new(transport), memory, b"output")?;
/// let sent = output.send(&mut |buffer| {
///     buffer[..6].copy_from_slice(b"hello\n");
///     6
/// });
/// assert_eq!(sent, Ok(true));
/// handle.with(|serial| assert_eq!(serial.port(1).output, b"hello\n"));
/// assert_eq!(output.in_flight(), Ok(0));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Output {
    console: Console,
    port: Port,
}

impl Output {
    /// Bytes of a buffer.
    pub const BUFFER: usize = SIZES.transmit_len;

    /// Starts the device, and waits until its port `name` is open. A device without
    /// `VIRTIO_CONSOLE_F_MULTIPORT` has one port, which is open at once.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::NoResponse`] without such a port. The device is left reset.
    pub fn open(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        name: &[u8],
    ) -> Result<Output, Error> {
        let mut console = Console::new(transport, memory)?;
        let port = within(memory, OPEN_NS, &mut || console.open_port(name).transpose());
        let port = port.unwrap_or(Err(Error::NoResponse))?;
        Ok(Output { console, port })
    }

    /// Has `fill` write the next buffer, of [`Output::BUFFER`] bytes, and return how many it wrote,
    /// at least one; and gives these to the device with one doorbell. Returns false, without a
    /// call, if the device has all buffers.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`], as of each later call: the device broke the protocol. It keeps the
    /// memory that it has.
    pub fn send(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Result<bool, Error> {
        let Console { device, ports, .. } = &mut self.console;
        let pair = &mut ports[self.port.0].pair;
        pair.free()?;
        let is_sent = pair.add_filled(fill);
        pair.kick_transmit(device);
        Ok(is_sent)
    }

    /// Number of buffers that the device has.
    ///
    /// # Errors
    ///
    /// As [`send`](Output::send).
    pub fn in_flight(&mut self) -> Result<usize, Error> {
        let (free, all) = self.buffers()?;
        Ok(all - free)
    }

    /// Whether [`send`](Output::send) would call `fill`.
    ///
    /// # Errors
    ///
    /// As [`send`](Output::send).
    pub fn has_room(&mut self) -> Result<bool, Error> {
        Ok(self.buffers()?.0 > 0)
    }

    /// Stops the device for good, in any context, to send its output by other means.
    pub fn stop(&mut self) {
        self.console.device.stop_now();
        self.console.ports[self.port.0].pair.mark_failed();
    }

    /// The next byte of the buffers that the device hadn't returned when it was stopped, in the
    /// order in which they were sent.
    pub fn take_unsent(&mut self) -> Option<u8> {
        if self.console.is_running() {
            return None;
        }
        self.console.ports[self.port.0].pair.take_unsent()
    }

    fn buffers(&mut self) -> Result<(usize, usize), DeviceError> {
        self.console.ports[self.port.0].pair.free()
    }
}

impl Console {
    /// Opens the port `name`, or the only one; `None` while the device hasn't told of it.
    fn open_port(&mut self, name: &[u8]) -> Result<Option<Port>, Error> {
        self.poll()?;
        let port = match &self.control {
            Some(_) => self.port(name),
            None => self.console_port(),
        };
        let Some(port) = port.filter(|port| self.is_host_open(*port)) else {
            return Ok(None);
        };
        self.set_open(port, true);
        self.poll()?;
        Ok(Some(port))
    }
}
