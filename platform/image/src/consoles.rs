//! The console, or its output alone, on a port of a virtio console.
//!
//! The console is the port named [`NAME`], whose host applies back-pressure (QEMU's `virtconsole`
//! drops what its reader doesn't accept at once), else the first that a device designates as a
//! console. Output that the device doesn't take waits in memory ([`Pending`]), so a reader that
//! attaches late sees how the program began.
//!
//! Output alone goes by the port named [`OUTPUT_NAME`] of the first device, in the place of the
//! UART's transmitter ([`Line`]).

use crate::found;
use alloc::vec::Vec;
use drivers::console::{Console, Output, Port};
use drivers::device_type::DeviceType;
use kernel::arch::counter::counter;
use kernel::board::uart::Uart;
use kernel::cell::{ExclusiveCell, rank};
use kernel::console::{self, Line, PORT_NS, Pending, Request, Role, Stream};
use kernel::devices::MEMORY;
use kernel::{clock, environment, memory, time};

/// The name of a port that is the console.
const NAME: &[u8] = b"org.soil.console";
/// The name of a port for output to `soil run`.
const OUTPUT_NAME: &[u8] = b"org.soil.output";
/// The word of `SOIL_CONSOLE` for that.
const OUTPUT_WORD: &[u8] = b"output";
/// Time after the start in which devices tell of their ports and readers, in nanoseconds: until
/// then someone counts as attached, and the end of a short program waits.
const DISCOVERY_NS: u64 = 1_000_000_000;

/// Used with interrupts disabled: never concurrently, except by a crash in this code.
static TERMINAL: ExclusiveCell<Option<Terminal>, rank::Terminal> = ExclusiveCell::new(None);

struct Terminal {
    ports: Ports,
    discovered_at: u64,
    pending: Pending,
}

struct Ports {
    consoles: Vec<Console>,
    /// The device and the port that are the console, once a device has told.
    current: Option<(usize, Port)>,
}

/// The driver of all virtio consoles.
struct Driver;

kernel::part! {
    /// The kernel's driver.
    pub static DRIVER: console::Drivers = &Driver, in ".soil_part.console.virtio"
    as "soil_with_console";
}

impl console::Driver for Driver {
    fn start(&self, role: Role) -> bool {
        match role {
            Role::Output => start_output(),
            Role::Console => start(),
        }
    }

    fn answer(&self, request: Request<'_>) -> Option<usize> {
        // A crash in the use of this cell leaves the rest to the UART.
        let role = OUTPUT.with_unless_own(|line| match line {
            Some(line) => Answer::Final(transmit(line, &request)),
            None => Answer::Console,
        })?;
        match role {
            Answer::Final(answer) => answer,
            Answer::Console => answer(request),
        }
    }
}

/// The line to `soil run`, if a port transmits. Used with interrupts disabled.
static OUTPUT: ExclusiveCell<Option<Line<Wire, Uart>>, rank::Line> = ExclusiveCell::new(None);

/// A port for output alone.
struct Wire(Output);

const _: () = assert!(Output::BUFFER <= console::MAX_BURST);

impl console::Port for Wire {
    fn send(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Option<bool> {
        self.0.send(fill).ok()
    }

    fn in_flight(&mut self) -> Option<usize> {
        self.0.in_flight().ok()
    }

    fn has_room(&mut self) -> Option<bool> {
        self.0.has_room().ok()
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    fn take_unsent(&mut self) -> Option<u8> {
        self.0.take_unsent()
    }
}

/// Starts output by the first device, if the command line says that it has a port for that.
fn start_output() -> bool {
    let words = environment::variable(b"SOIL_CONSOLE").unwrap_or_default();
    if !words
        .split(|byte| *byte == b',')
        .any(|word| word == OUTPUT_WORD)
    {
        return false;
    }
    let mut all = found::take(DeviceType::CONSOLE).into_iter();
    let first = all.next();
    found::release(all.collect());
    let Some(first) = first else {
        log::warn!("SOIL_CONSOLE=output: no virtio console");
        return false;
    };
    match Output::open(first.transport, MEMORY, OUTPUT_NAME) {
        Ok(output) => {
            let line = Line::new(Wire(output), console::UART, clock::ticks(PORT_NS));
            OUTPUT.with(|output| *output = Some(line));
            true
        }
        Err(error) => {
            log::warn!(
                "SOIL_CONSOLE=output: the console at {}: {error}",
                first.place
            );
            false
        }
    }
}

/// Answers a request for output.
fn transmit(line: &mut Line<Wire, Uart>, request: &Request<'_>) -> Option<usize> {
    if line.is_left() {
        return None;
    }
    let now = counter();
    let answer = match request {
        Request::Write(stream, bytes) => line.write(now, *stream, bytes),
        Request::HasRoom => line.has_room(now).map(usize::from),
        Request::IsSent => line.is_sent(now).map(usize::from),
        Request::Leave => {
            while !line.finish(counter()) {
                core::hint::spin_loop();
            }
            return None;
        }
        Request::Read(_) | Request::Flush => None,
    };
    if line.is_left() {
        let text = b"\nsoil: the console's port is out of use: the serial port has its output\n";
        console::write_serial(Stream::Error, text);
    }
    answer
}

/// How a request is answered.
enum Answer {
    Final(Option<usize>),
    /// By the driver of the console.
    Console,
}

fn start() -> bool {
    let mut consoles = Vec::new();
    for found in found::take(DeviceType::CONSOLE) {
        match Console::new(found.transport, MEMORY) {
            Ok(console) => consoles.push(console),
            Err(error) => log::warn!("console at {}: {error}", found.place),
        }
    }
    if consoles.is_empty() {
        return false;
    }
    TERMINAL.with(|terminal| {
        *terminal = Some(Terminal {
            ports: Ports {
                consoles,
                current: None,
            },
            discovered_at: time::monotonic_ns() + DISCOVERY_NS,
            pending: Pending::default(),
        });
    });
    true
}

fn answer(request: Request<'_>) -> Option<usize> {
    let answered = TERMINAL.try_with(|terminal| {
        let terminal = terminal.as_mut()?;
        Some(match request {
            Request::Write(_, bytes) => terminal.write(bytes),
            Request::Read(into) => terminal.read(into),
            Request::HasRoom => terminal.has_room().into(),
            Request::IsSent => (!terminal.flush()).into(),
            Request::Flush => terminal.flush().into(),
            Request::Leave => 0,
        })
    });
    // A crash in this code can't be reported.
    Some(answered.flatten().unwrap_or(0))
}

impl Ports {
    /// The device and the port that are the console now.
    fn current(&mut self) -> Option<(&mut Console, Port)> {
        // The devices' messages need the heap, which a crash may have interrupted.
        if memory::is_heap_free() {
            for console in &mut self.consoles {
                // A device that is out of use has no port below.
                let _ = console.poll();
            }
            let find = |find: fn(&Console) -> Option<Port>| {
                let running = self.consoles.iter().enumerate();
                let mut running = running.filter(|(_, console)| console.is_running());
                running.find_map(|(index, console)| Some((index, find(console)?)))
            };
            let named = find(|console| console.port(NAME));
            self.current = named.or_else(|| find(Console::console_port));
        }
        let (index, port) = self.current?;
        let console = self.consoles.get_mut(index)?;
        console.set_open(port, true);
        Some((console, port))
    }

    /// Has the devices interrupt; returns whether there is something to do already.
    fn arm(&mut self) -> bool {
        let consoles = self.consoles.iter_mut();
        consoles.fold(false, |work, console| console.enable_interrupts() | work)
    }
}

impl Terminal {
    /// Passes on what waits, as far as the device takes it. Returns whether someone is attached,
    /// and whether the device has taken all.
    fn pass(&mut self) -> (bool, bool) {
        let (mut is_open, mut is_idle) = (time::monotonic_ns() < self.discovered_at, true);
        if let Some((console, port)) = self.ports.current() {
            let send = |bytes: &[u8]| console.write(port, bytes).unwrap_or(0);
            console::note_taken(self.pending.pass(send));
            is_open |= console.is_host_open(port);
            is_idle = console.is_idle(port);
        }
        (is_open, is_idle && self.pending.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let (is_open, _) = self.pass();
        let count = self.pending.take(bytes, is_open, time::monotonic_ns());
        self.pass();
        count
    }

    fn has_room(&mut self) -> bool {
        let (is_open, _) = self.pass();
        self.pending.takes(is_open, time::monotonic_ns())
    }

    /// Returns whether output waits for someone who is attached.
    fn flush(&mut self) -> bool {
        let (mut is_open, mut is_sent) = self.pass();
        if self.ports.arm() {
            (is_open, is_sent) = self.pass();
        }
        is_open && !is_sent
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        for _ in 0..2 {
            let count = match self.ports.current() {
                Some((console, port)) => console.read(port, into).unwrap_or(0),
                None => 0,
            };
            if count > 0 || !self.ports.arm() {
                return count;
            }
        }
        0
    }
}
