//! A console and its ports (virtio 1.2, 5.3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::control::{Control, Message, event};
use self::pair::{Pair, Sizes};
use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::DeviceError;
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef};

mod control;
mod output;
mod pair;

pub use output::Output;

/// `VIRTIO_CONSOLE_F_MULTIPORT` (5.3.3).
const MULTIPORT: u64 = 1 << 1;
/// Offset of `max_nr_ports` in the configuration (5.3.4).
const MAX_PORTS_AT: usize = 4;
/// Maximum number of ports in use; each takes about 6 KiB. The device's number only lowers it.
const MAX_PORTS: u32 = 8;

/// The buffers of a port: a screenful to write, a line or two to read.
const SIZES: Sizes = Sizes {
    receive_buffers: 4,
    receive_len: 128,
    transmit_buffers: 8,
    transmit_len: 512,
};

/// A port of a [`Console`], from [`Console::console_port`] or [`Console::port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(usize);

/// What the device says of a port that exists.
#[derive(Default)]
struct Described {
    name: Vec<u8>,
    is_console: bool,
    host_open: bool,
}

struct PortState {
    pair: Pair,
    /// `None`: the device hasn't added the port, or has removed it.
    described: Option<Described>,
    /// The driver wants the port open.
    open: bool,
    /// Its input doesn't end a wait.
    held: bool,
    /// Number of times that the host opened its end, wrapping.
    host_opens: u32,
    /// Messages that the device hasn't been sent yet: that the port is ready, or open or closed.
    ready_due: bool,
    open_due: bool,
}

impl PortState {
    fn new(pair: Pair) -> PortState {
        PortState {
            pair,
            described: None,
            open: false,
            held: false,
            host_opens: 0,
            ready_due: false,
            open_due: false,
        }
    }

    /// Applies a message of the device.
    fn apply(&mut self, device: &Device, message: Message) -> Result<(), DeviceError> {
        match (message.event, &mut self.described) {
            (event::DEVICE_ADD, described @ None) => {
                *described = Some(Described::default());
                self.ready_due = true;
            }
            (event::DEVICE_REMOVE, described) => {
                *described = None;
                self.open = false;
                self.ready_due = false;
                self.open_due = false;
                self.pair.discard_input(device)?;
            }
            (event::CONSOLE_PORT, Some(described)) => described.is_console = message.value != 0,
            (event::PORT_OPEN, Some(described)) => {
                described.host_open = message.value != 0;
                let opens = u32::from(described.host_open);
                self.host_opens = self.host_opens.wrapping_add(opens);
            }
            (event::PORT_NAME, Some(described)) => described.name = message.name,
            _ => {}
        }
        Ok(())
    }
}

/// A console with its ports. Without `VIRTIO_CONSOLE_F_MULTIPORT` there is one, the console, which
/// is always open. Dropping it resets the device, which discards output that the device hasn't
/// taken yet: see [`Console::is_idle`].
///
/// ```
/// use drivers::console::Console;
/// use drivers::fake::{HostMemory, Options, Terminal, connect};
///
/// let memory = HostMemory::new();
/// let (transport, device) = connect(memory, Terminal::default(), Options::default());
/// let mut console = Console::new(Box::new(transport), memory)?;
/// let port = console.console_port().expect("a device without multiport has one");
/// assert_eq!(console.write(port, b"hello\n")?, 6);
/// device.with(|terminal| {
///     assert_eq!(terminal.screen, b"hello\n");
///     terminal.keyboard.extend(b"yes\n");
/// });
/// device.step();
/// let mut input = [0; 16];
/// let length = console.read(port, &mut input)?;
/// assert_eq!(&input[..length], b"yes\n");
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Console {
    device: Device,
    ports: Vec<PortState>,
    /// With `VIRTIO_CONSOLE_F_MULTIPORT`.
    control: Option<Control>,
    /// The device added a port above the maximum, which the log has reported.
    reported: bool,
}

impl Console {
    /// Starts the device. With several ports, they appear by [`poll`](Console::poll).
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(transport: Box<dyn Transport>, memory: MemoryRef) -> Result<Console, Error> {
        let features = device::feature::QUEUE | MULTIPORT;
        let mut device = Device::new(
            transport,
            memory,
            DeviceType::CONSOLE,
            features,
            &|features| features,
        )?;
        let mut control = None;
        let mut count = 1;
        if device.has(MULTIPORT) {
            control = Some(Control::new(memory, &mut device)?);
            let offered = device.config_u32(MAX_PORTS_AT).unwrap_or(1);
            count = offered.clamp(1, MAX_PORTS) as u16;
        }
        let mut ports = Vec::new();
        for number in 0..count {
            // The control queues follow port 0's (5.3.2).
            let first = if number == 0 { 0 } else { 2 * number + 2 };
            ports.push(PortState::new(Pair::new(
                memory,
                &mut device,
                first,
                SIZES,
            )?));
        }
        device.start();
        for port in &mut ports {
            port.pair.start(&device);
        }
        let mut console = Console {
            device,
            ports,
            control,
            reported: false,
        };
        match &mut console.control {
            Some(control) => control
                .start(&console.device)
                .map_err(|DeviceError| Error::DeviceError)?,
            None => {
                console.ports[0].described = Some(Described {
                    is_console: true,
                    host_open: true,
                    ..Described::default()
                });
            }
        }
        Ok(console)
    }

    /// Acknowledges the device's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// False once the device broke the protocol.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// Exchanges messages about ports with the device (5.3.6.2). Call it after an interrupt, before
    /// reading. Does nothing without `VIRTIO_CONSOLE_F_MULTIPORT`. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn poll(&mut self) -> Result<(), Error> {
        self.check(|console| console.exchange())
    }

    fn exchange(&mut self) -> Result<(), DeviceError> {
        let Some(control) = &mut self.control else {
            return Ok(());
        };
        let (device, ports, reported) = (&self.device, &mut self.ports, &mut self.reported);
        control.messages(device, |message| {
            match ports.get_mut(message.port as usize) {
                Some(port) => port.apply(device, message),
                None if message.event == event::DEVICE_ADD && !*reported => {
                    *reported = true;
                    log::warn!(
                        target: "drivers",
                        "console: port {} is not used: the driver uses ports below {}",
                        message.port, ports.len()
                    );
                    Ok(())
                }
                None => Ok(()),
            }
        })?;
        for (number, port) in self.ports.iter_mut().enumerate() {
            if port.ready_due {
                port.ready_due = !control.send(number as u32, event::PORT_READY, 1)?;
            }
            // The device learns that a port is ready before it learns that it is open.
            if port.open_due && !port.ready_due {
                let open = u16::from(port.open);
                port.open_due = !control.send(number as u32, event::PORT_OPEN, open)?;
            }
        }
        control.kick(&self.device);
        Ok(())
    }

    /// The first port that the device designates as a console.
    pub fn console_port(&self) -> Option<Port> {
        self.find(|described| described.is_console)
    }

    /// The first port named `name`, such as `org.qemu.guest_agent.0`.
    pub fn port(&self, name: &[u8]) -> Option<Port> {
        self.find(|described| described.name == name)
    }

    fn find(&self, wanted: impl Fn(&Described) -> bool) -> Option<Port> {
        let found = |port: &PortState| port.described.as_ref().is_some_and(&wanted);
        self.ports.iter().position(found).map(Port)
    }

    /// Whether the host's end of the port is open: [`write`](Console::write) writes only then.
    pub fn is_host_open(&self, Port(port): Port) -> bool {
        let described = self.ports[port].described.as_ref();
        described.is_some_and(|described| described.host_open)
    }

    /// Number of times that the host opened its end of the port, wrapping. It grows also if the
    /// host closed and opened it, or the device removed and added the port, between two calls of
    /// [`poll`](Console::poll).
    pub fn host_opens(&self, Port(port): Port) -> u32 {
        self.ports[port].host_opens
    }

    /// Opens or closes the driver's end of the port; the device sends no input to a closed one. The
    /// next [`poll`](Console::poll) sends the change. Opening a removed port has no effect.
    pub fn set_open(&mut self, Port(port): Port, open: bool) {
        let port = &mut self.ports[port];
        if port.described.is_some() && port.open != open {
            port.open = open;
            port.open_due = true;
        }
    }

    /// Sets whether the port's input stays with the device for a while, without ending a wait.
    pub fn hold_input(&mut self, Port(port): Port, hold: bool) {
        self.ports[port].held = hold;
    }

    /// Writes as much of `bytes` as fits the free buffers, and notifies the device. Returns the
    /// number of bytes written; 0 means that all buffers are in flight, or that the host's end is
    /// closed. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn write(&mut self, port: Port, bytes: &[u8]) -> Result<usize, Error> {
        let bytes = if self.is_host_open(port) { bytes } else { &[] };
        self.check(|console| console.ports[port.0].pair.write(&console.device, bytes))
    }

    /// True when the device has taken all output of the port, or is out of use.
    pub fn is_idle(&mut self, Port(port): Port) -> bool {
        self.check(|console| console.ports[port].pair.is_idle())
            .unwrap_or(true)
    }

    /// Reads at most `bytes.len()` bytes of the port's input. Returns the number of bytes; 0 means
    /// that none is available. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`].
    pub fn read(&mut self, Port(port): Port, bytes: &mut [u8]) -> Result<usize, Error> {
        self.check(|console| console.ports[port].pair.read(&console.device, bytes))
    }

    /// Call before waiting: requests an interrupt for the next message, and for input and completed
    /// output of the ports that [`set_open`](Console::set_open) opened, except input that
    /// [`hold_input`](Console::hold_input) holds. Returns true if there is already work: don't
    /// wait. Only [`read`](Console::read) takes input, and only [`write`](Console::write) and
    /// [`is_idle`](Console::is_idle) take back completed output.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.device.is_running() {
            return false;
        }
        let due = self
            .ports
            .iter()
            .any(|port| port.ready_due || port.open_due);
        let mut work = match &mut self.control {
            Some(control) => control.enable_interrupts(due),
            None => false,
        };
        // The device also sends input to a console that nobody opened.
        let is_alone = self.control.is_none();
        for port in self.ports.iter_mut().filter(|port| port.open || is_alone) {
            work |= port.pair.enable_interrupts(!port.held);
        }
        work
    }

    /// Runs `work` on a running device, and stops the device if it broke the protocol.
    fn check<T>(
        &mut self,
        work: impl FnOnce(&mut Console) -> Result<T, DeviceError>,
    ) -> Result<T, Error> {
        if !self.device.is_running() {
            return Err(Error::DeviceError);
        }
        work(self).map_err(|DeviceError| {
            log::error!(target: "drivers", "the console broke the virtio protocol and was reset");
            for port in &mut self.ports {
                port.pair.mark_failed();
            }
            if let Some(control) = &mut self.control {
                control.mark_failed();
            }
            self.device.stop();
            Error::DeviceError
        })
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if !self.device.stop() {
            for port in &mut self.ports {
                port.pair.leak();
            }
            if let Some(control) = &mut self.control {
                control.leak();
            }
        }
    }
}

#[cfg(test)]
mod tests;
