//! virtio consoles, and the console of a machine on a port of one: the port that the first device
//! designates as a console or, before it, one named [`NAME`], whose host applies back-pressure
//! (QEMU's `virtconsole` drops what its reader doesn't accept at once).
//!
//! Output that the device doesn't take waits in memory, up to [`BACKLOG`] bytes: a host that
//! attaches late sees how the program began. The kernel decides what becomes of more
//! (`kernel/src/console/output.rs`).

use crate::devices;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use drivers::console::{Console, Port};
use drivers::device_type::DeviceType;
use kernel::cell::ExclusiveCell;
use kernel::console::{self, Progress};
use kernel::devices::MEMORY;
use kernel::{crash, time};

/// The name of a port that is the console.
const NAME: &[u8] = b"org.soil.console";
/// Maximum number of waiting bytes.
const BACKLOG: usize = 16 << 10;
/// Room for a line of the kernel, in bytes: less counts as none.
const LINE: usize = 80;
/// Time after the start in which devices tell of their ports and readers, in nanoseconds: the end of
/// a short program waits for that.
const SETTLE_NS: u64 = 1_000_000_000;

/// Used with interrupts disabled: never concurrently, except by a crash in this code.
static TERMINAL: ExclusiveCell<Option<Terminal>> = ExclusiveCell::new(None);

struct Terminal {
    consoles: Vec<Console>,
    /// The device and the port that are the console, once a device has told.
    current: Option<(usize, Port)>,
    backlog: VecDeque<u8>,
    /// Until when a device that tells nothing of a reader may not have told it yet.
    settles_at: u64,
}

kernel::console_driver!(start);

static PORT: console::Port = console::Port {
    write: |bytes| with(|terminal| terminal.write(bytes)).unwrap_or(bytes.len()),
    read: |into| with(|terminal| terminal.read(into)).unwrap_or(0),
    flush: || with(Terminal::flush).unwrap_or(Progress::OVER),
};

fn with<R>(f: impl FnOnce(&mut Terminal) -> R) -> Option<R> {
    TERMINAL
        .try_with(|terminal| terminal.as_mut().map(f))
        .flatten()
}

/// Starts all virtio consoles; `None` without any.
fn start() -> Option<&'static console::Port> {
    let mut consoles = Vec::new();
    for found in devices::take(DeviceType::CONSOLE) {
        match Console::new(found.transport, MEMORY) {
            Ok(console) => consoles.push(console),
            Err(error) => log::warn!("console at {}: {error}", found.place),
        }
    }
    if consoles.is_empty() {
        return None;
    }
    TERMINAL.with(|terminal| {
        *terminal = Some(Terminal {
            consoles,
            current: None,
            backlog: VecDeque::with_capacity(BACKLOG),
            settles_at: time::monotonic_ns() + SETTLE_NS,
        });
    });
    Some(&PORT)
}

impl Terminal {
    /// The device and the port that are the console now.
    fn port(&mut self) -> Option<(&mut Console, Port)> {
        // A crash may have interrupted the heap, which the devices' messages need.
        if !crash::is_reporting() {
            for console in &mut self.consoles {
                // A broken device has no ports.
                let _ = console.poll();
            }
            let find = |find: fn(&Console) -> Option<Port>| {
                let mut all = self.consoles.iter().enumerate();
                all.find_map(|(index, console)| {
                    Some((index, find(console).filter(|_| console.is_running())?))
                })
            };
            self.current =
                find(|console| console.port(NAME)).or_else(|| find(Console::console_port));
        }
        let (index, port) = self.current?;
        let console = self.consoles.get_mut(index)?;
        console.set_open(port, true);
        Some((console, port))
    }

    /// Passes on what waits, as far as the device takes it; returns the number of bytes.
    fn pass(&mut self) -> usize {
        let mut backlog = core::mem::take(&mut self.backlog);
        let mut taken = 0;
        if let Some((console, port)) = self.port() {
            while let (first @ [_, ..], _) = backlog.as_slices() {
                match console.write(port, first) {
                    Ok(count @ 1..) => {
                        backlog.drain(..count);
                        taken += count;
                    }
                    _ => break,
                }
            }
        }
        self.backlog = backlog;
        taken
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let room = BACKLOG - self.backlog.len();
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.backlog.extend(bytes);
        self.pass();
        bytes.len()
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        for _ in 0..2 {
            let count = match self.port() {
                Some((console, port)) => console.read(port, into).unwrap_or(0),
                None => 0,
            };
            if count > 0 || !self.arm() {
                return count;
            }
        }
        0
    }

    /// Has the devices interrupt; returns whether there is something to do already.
    fn arm(&mut self) -> bool {
        let consoles = self.consoles.iter_mut();
        consoles.fold(false, |work, console| console.enable_interrupts() | work)
    }

    fn flush(&mut self) -> Progress {
        let mut taken = self.pass();
        if self.arm() {
            taken += self.pass();
        }
        let (is_open, is_idle) = match self.port() {
            Some((console, port)) => (console.is_host_open(port), console.is_idle(port)),
            None => (false, true),
        };
        let is_open = is_open || time::monotonic_ns() < self.settles_at;
        Progress {
            taken,
            has_room: self.backlog.len() + LINE < BACKLOG,
            is_open,
            is_sent: !is_open || self.backlog.is_empty() && is_idle,
        }
    }
}
