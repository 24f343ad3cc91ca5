//! The traits between Soil's runtime and the machine or process below it: one small trait for each
//! concern. Two crates implement them: `image` (on `kernel` and `drivers`) and `host` (a Linux
//! process).
//!
//! A program has one platform, chosen at build time. Its functions therefore take no object, and
//! the linker drops those that a program never calls.
//!
//! # Contexts
//! - *Call*: a call from OCaml, on any of its threads.
//! - *Tick*: the periodic poll of the network while the program computes. In an image it runs in
//!   an interrupt, between two instructions of the program; in a process on a thread of its own.
//! - *Any thread*: no lock is held.
//!
//! The runtime's lock admits one call or one tick at a time. Each trait says in which contexts its
//! functions may be called. Only [`Wait::sleep`], [`Wait::await_change`] and
//! [`Wait::await_release`] block.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod disk;
pub mod display;
pub mod error;
pub mod folders;
pub mod input;
pub mod link;
pub mod port;
pub mod vsock;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ptr::NonNull;
use error::{Answer, Failure};
use sync::atomic::AtomicU32;

/// Time. From any thread.
pub trait Clock {
    /// Nanoseconds of a clock that never jumps.
    fn monotonic_ns() -> u64;

    /// Nanoseconds since 1970, UTC.
    fn wall_ns() -> u64;

    /// Moves the clock of [`Clock::wall_ns`] by an offset in nanoseconds. The clock of a Linux host
    /// is not changed, only the program's view of it.
    fn adjust_wall(offset_ns: i64);

    /// The time of day by the machine's own clock, in nanoseconds since 1970, with an error of
    /// up to a second; `None` if it has none.
    fn machine_wall_ns() -> Option<u64> {
        None
    }
}

/// Memory. From calls and ticks, except where noted; [`Memory::total_memory`] and
/// [`Memory::memory_short`] from any thread.
pub trait Memory {
    /// Bytes of memory: total, in use, free, maximum in use.
    fn memory() -> [u64; 4];

    /// The first of these, which is read often.
    fn total_memory() -> u64;

    /// Whether so little memory is left that the runtime should refuse what it can refuse.
    fn memory_short() -> bool;

    /// Whether the program is about to be refused memory, so that what brings it more to do should
    /// wait. Linux grants memory until there is none.
    fn memory_nearly_full() -> bool {
        false
    }

    /// Requests that OCaml's garbage is collected, at most once a second, when a thread of the
    /// program next comes back from a call that blocks. Nothing where the program isn't nearly full.
    fn request_collection() {}

    /// Sets the number of bytes promised to connections that they haven't allocated.
    fn promise_memory(bytes: usize);

    /// Allocates a stack of `len` bytes (a multiple of the page size) with an unmapped page below
    /// it, and returns its upper end. It is never freed. Calls only.
    fn stack(len: usize) -> Option<NonNull<u8>>;
}

/// Bytes of a seed in a file.
pub const SEED: usize = 32;

/// Random numbers. From ticks, and from any thread.
pub trait Entropy {
    /// Error text when there are no random numbers.
    const NO_ENTROPY: &str;

    /// Fills `into` with random bytes fit for keys. Returns their number, or
    /// [`NoEntropy`](error::Error::NoEntropy).
    fn random(into: &mut [u8]) -> Answer;

    /// Number of times the machine was found to have resumed from a snapshot since the first
    /// [`Entropy::random`]. Always 0 if the host reseeds.
    fn snapshots() -> u32;

    /// Whether a seed in a file is of use: the machine has no source of its own.
    fn wants_seed() -> bool {
        false
    }

    /// Mixes in `old`, what the seed's file holds, and returns what it is to hold next. `None`: the
    /// machine has other sources, or there was nothing to derive it from.
    fn next_seed(_old: Option<&[u8; SEED]>) -> Option<[u8; SEED]> {
        None
    }

    /// The result of [`next_seed`](Self::next_seed) is on stable storage in place of `old`: only
    /// then `old` counts as a source.
    fn admit_seed() {}
}

/// An output of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input and output.
    Standard,
    /// Error output; it can't be read.
    Error,
}

/// The direction of a transfer, or of a wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Input, or a connection to accept.
    Read,
    /// Room for output, or an established connection.
    Write,
}

/// The console and the log. From calls; the log also from ticks.
pub trait Console {
    /// Reads available input; `WouldBlock` when there is none.
    fn console_read(into: &mut [u8]) -> Answer;

    /// Writes at least one byte of `from`, which is not empty; else `WouldBlock`.
    fn console_write(stream: Stream, from: &[u8]) -> Answer;

    /// Whether [`Console::console_read`] or [`Console::console_write`] would transfer something or
    /// report an error.
    fn console_ready(stream: Stream, direction: Direction) -> bool;

    /// Writes a line of the log. Waits for the device if necessary.
    fn log(line: &[u8]);

    /// Accepts requests for a report on the network from now on: SIGUSR1, or Ctrl-T on the console
    /// (as in BSD).
    fn take_report_requests();

    /// Whether a report was requested since the last call.
    fn report_requested() -> bool;
}

/// How a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power is switched off.
    PowerOff,
    /// The processor stops.
    Halt,
    /// It starts again.
    Restart,
}

/// The machine or process as a whole. From calls; [`System::thread`] and [`System::domain`] from
/// any thread.
pub trait System {
    /// Whether this is a machine of its own.
    const ON_VM: bool;

    /// Prepares the platform for the first call. A process takes over signals.
    fn start();

    /// Handles the power button in a program that uses the library: in one that only makes system
    /// calls it stays a signal.
    fn take_power_button() {}

    /// Ends the program at once.
    fn exit(status: u8) -> !;

    /// Restarts the machine. Returns if that is not possible.
    fn reboot();

    /// What the last start of the machine left, if its program failed: a line with the exit
    /// status, the number of failures in a row and their time in seconds since 1970 (0: unknown),
    /// and the end of its error output.
    fn last_failure() -> Option<Vec<u8>> {
        None
    }

    /// The devices, one per line.
    fn devices() -> String;

    /// The machine's initrd, in place.
    fn initrd() -> Option<&'static [u8]> {
        None
    }

    /// An environment variable, if it is UTF-8 and not empty.
    fn variable(name: &str) -> Option<String>;

    /// Calls `each` with the name of each environment variable, as far as it is UTF-8. At the
    /// program's start only: nothing may change the environment meanwhile.
    fn each_variable(_each: &mut dyn FnMut(&str)) {}

    /// A number of the current thread, unique among living threads and never 0.
    fn thread() -> usize;

    /// The index of the current thread's OCaml domain, which no other running one has; 0 for the
    /// first. The thread is registered with OCaml.
    fn domain() -> usize;

    /// Number of requests to stop so far.
    fn stop_requests() -> usize;

    /// Requests the program to stop, as the power button does. When it ends, the machine ends in
    /// this way. A process has signals instead, and does nothing.
    fn request_stop(_end: End) {}
}

/// The simulation of a process by `soil simulate`. Machines have none. Calls only.
pub trait Simulation {
    /// Makes this process a node of the coordinator at the other end of the socket `fd`.
    ///
    /// # Errors
    /// [`Unsupported`](error::Error::Unsupported): a machine, or another processor than x86-64.
    fn attach(_fd: i32) -> Result<(), Failure> {
        Err(error::Error::Unsupported.into())
    }

    /// Sends a note to the coordinator; whether there is one.
    fn note(_bytes: &[u8]) -> bool {
        false
    }

    /// Whether this process is a node.
    fn is_simulated() -> bool {
        false
    }

    /// A number below `bound`, by the simulation's seed; 0 without a simulation.
    fn choose(_bound: usize) -> usize {
        0
    }
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// An event, or the deadline.
    Event,
    /// A signal whose handler belongs to the OCaml runtime.
    Interrupted,
}

/// The effect of a signal on a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// A signal whose handler has to run ends the sleep, even if it came before.
    End,
    /// The sleeper runs no handlers.
    Ignored,
}

/// The set of events that [`Wait::sleep`] waits for. Requests to stop always belong to it.
pub trait Interest: Sized {
    /// The event source of a network device.
    type LinkWake;

    /// Starts system calls that may block, on behalf of a volume.
    type Offload: Clone;

    /// Only requests to stop.
    const EMPTY: Self;

    /// Resets it to requests to stop only.
    fn clear(&mut self);

    /// Makes the wait return at once: an event has already happened.
    fn immediately(&mut self);

    /// Adds requests for a report ([`Console::take_report_requests`]).
    fn report(&mut self);

    /// Adds a network device; `blocked`: also room for frames that wait to be sent.
    fn link(&mut self, wake: &Self::LinkWake, blocked: bool);

    /// Adds the console.
    fn console(&mut self, stream: Stream, direction: Direction);

    /// Adds a file descriptor of the system, by its number. In an image it does nothing: changes of
    /// its descriptors are reported to the runtime's watchers.
    fn descriptor(&mut self, _fd: i32, _direction: Direction) {}

    /// Submits what devices have queued and what should begin before the program resumes without a
    /// wait.
    fn submit(&mut self);

    /// Submits everything that devices have queued, for a caller that calls rarely.
    fn submit_all(&mut self);

    /// The means to run blocking calls.
    fn offload(&mut self) -> Self::Offload;
}

/// The lock operations around [`Ticker::poll`] and a fork.
pub struct Ticker {
    /// Polls the network, unless a call is inside the runtime. Takes the lock itself.
    pub poll: fn(),
    /// Takes the runtime's lock on the owner's thread; `false` if a call is inside.
    pub lock: fn() -> bool,
    /// Releases it.
    pub unlock: fn(),
}

/// Waiting, and its replacement while the program computes.
pub trait Wait {
    /// See [`Interest`].
    type Interest: Interest;

    /// A prepared sleep: its own part of the interest, which no call touches.
    type Sleep;

    /// How often a thread tries the runtime's lock again before it sleeps for it. The lock is held
    /// for a few hundred instructions, and a sleep takes thousands. 0 where no other thread runs
    /// meanwhile.
    fn lock_tries() -> u32 {
        0
    }

    /// Prepares a sleep until an event of `interest`, a request to stop, or the time `until`
    /// (monotonic nanoseconds), or a signal. Calls only; [`Wait::sleep`] and [`Wait::finish`]
    /// follow, on the same thread.
    fn prepare(interest: &mut Self::Interest, until: Option<u64>, signals: Signals) -> Self::Sleep;

    /// Sleeps. The runtime's lock is free, and other threads' calls may be inside; one thread at a
    /// time sleeps.
    fn sleep(sleep: &mut Self::Sleep);

    /// Ends a sleep: passes its events to their devices, and returns what ended it. Calls only.
    fn finish(interest: &mut Self::Interest, sleep: Self::Sleep) -> Woken;

    /// Ends the sleep that another thread has prepared, at once if it hasn't begun. Calls and
    /// ticks, after [`Wait::prepare`] and before [`Wait::finish`].
    fn nudge();

    /// Lets other OCaml threads run until [`Wait::leave_blocking`]: this one touches nothing of
    /// OCaml's. From any thread registered with OCaml, without the runtime's lock.
    fn enter_blocking();

    /// Reacquires the OCaml runtime; blocks while another thread has it. Without the runtime's
    /// lock.
    fn leave_blocking();

    /// Announces that threads other than the first will wait. Without it they can, but a process
    /// may pay more for it. From any thread.
    fn expect_threads();

    /// Number of forks between the program's first process and this one. From any thread.
    fn forks() -> u32;

    /// Called when the program is about to resume, at time `now`. Calls only.
    fn resume(now: u64);

    /// Calls [`Ticker::poll`] every few milliseconds while the program computes, until its end.
    /// Calls only.
    fn start_ticker(ticker: &'static Ticker);

    /// Sleeps while `word` is `value`, until [`Wait::wake`] or the time `until` (monotonic
    /// nanoseconds); may return early (a futex). From any thread.
    fn await_change(word: &AtomicU32, value: u32, until: Option<u64>);

    /// As [`Wait::await_change`], and returns early for a signal whose handler has to run, even if
    /// it came before. From any thread registered with OCaml.
    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>);

    /// Sleeps while `word` is `value`, until [`Wait::wake`]; may return early, but not for a
    /// signal, and runs no handler: the holder of a lock has to run in any case. From any thread.
    fn await_release(word: &AtomicU32, value: u32);

    /// Wakes all sleepers of [`Wait::await_change`] and [`Wait::await_release`] on `word`. From any
    /// thread.
    fn wake(word: &AtomicU32);
}

/// File descriptors of the system, by their numbers: Linux's in a process, in an image those of its
/// system calls. From any thread; in an image without the runtime's lock, since a system call takes
/// it.
pub trait SystemDescriptors {
    /// Whether a transfer in this direction would not block, or would fail at once.
    ///
    /// # Errors
    /// [`Closed`](error::Error::Closed): no such descriptor.
    fn descriptor_ready(fd: i32, direction: Direction) -> Result<bool, error::Error>;
}

/// Network devices. Calls only.
pub trait Links: Wait {
    /// Error text when there is no network device.
    const NO_NETWORK: &str;

    /// The carrier of the program's sockets: `net::Stack`, or a box of any `net::Transport`.
    type Transport: Send + 'static;

    /// Whether that is the system's own sockets, whose interfaces, addresses and names the system
    /// configures. Constant.
    fn hosted() -> bool;

    /// Starts it: the stack, or the system's own sockets. `random` creates a generator of random
    /// numbers with each call.
    fn transport(
        interest: &mut Self::Interest,
        config: net::Config,
        random: &mut dyn FnMut() -> net::RandomBits,
    ) -> Self::Transport;

    /// Opens the network devices; none for the system's own sockets.
    fn links(
        interest: &mut Self::Interest,
        settings: link::Settings,
    ) -> Result<Vec<link::Device<Self>>, Failure>;

    /// Opens the target of a recording of the network (`SOIL_PCAP`).
    fn recording(target: &str) -> Result<link::RecordingSink, Failure>;
}

/// Block devices. Calls only.
pub trait Disks: Wait + Copy + 'static {
    /// The block devices with their names, in a fixed order. The first call opens them.
    fn disks(interest: &mut Self::Interest) -> Result<disk::Named<Self>, Failure>;
}

/// Named ports of virtio-serial devices. Calls only.
pub trait Ports: Wait + Sized + 'static {
    /// Whether the platform can have any.
    const HAS_PORTS: bool;

    /// The port `name`, whether or not a device has it yet. `None` without a device for ports. Call
    /// it once: it takes the devices.
    fn port(name: &'static str) -> Option<Box<dyn port::Port<Self>>>;
}

/// Sockets to the host, without a network. Calls only.
pub trait Vsocks: Wait + Sized + 'static {
    /// The sockets. Call it once: it takes the device.
    fn vsock(interest: &mut Self::Interest) -> Result<Box<dyn vsock::Sockets<Self>>, Failure>;
}

/// The machine's metadata ([`metadata`]). Calls only.
pub trait Metadata {
    /// The metadata, if there are any. A machine reads them at its start; in a process the first
    /// call does, and blocks meanwhile.
    fn instance() -> Result<Option<&'static metadata::Instance>, Failure>;
}

/// Displays. Calls only.
pub trait Displays: Wait + Sized + 'static {
    /// Error text when there is no display.
    const NO_DISPLAY: &str;

    /// The displays, in a fixed order. Call it once: the first call opens them, and later ones
    /// return an empty list. May wait a bounded time for devices to report their state.
    fn displays(interest: &mut Self::Interest) -> Result<display::All<Self>, Failure>;

    /// Also shows the console's text on a display from now on, if the configuration requests it;
    /// returns whether it does. Call it once, before [`Displays::displays`]. A process has its
    /// terminal.
    fn show_console() -> bool {
        false
    }

    /// Shows the output since the last call. Never waits.
    fn update_console() {}

    /// When [`Displays::update_console`] is to be called although nothing arrives.
    fn console_due() -> Option<u64> {
        None
    }
}

/// Input devices. Calls only.
pub trait Inputs: Wait + Sized + 'static {
    /// Error text when there is no input device.
    const NO_INPUT: &str;

    /// The input devices, in a fixed order. Call it once: the first call opens them, and later ones
    /// return an empty list.
    fn inputs(interest: &mut Self::Interest) -> Result<input::All<Self>, Failure>;
}

/// Folders of the host as volumes. Calls only, on the volume's fiber.
pub trait Folders: Wait {
    /// Their driver, if there is a host.
    const FOLDERS: Option<folders::Folders<Offload<Self>>>;
}

/// The [`Interest::Offload`] of a platform.
pub type Offload<P> = <<P as Wait>::Interest as Interest>::Offload;

/// The [`Interest::LinkWake`] of a platform.
pub type LinkWake<P> = <<P as Wait>::Interest as Interest>::LinkWake;

/// The value of an environment variable. An empty one counts as unset (`docs/configuration.md`).
pub fn value(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok();
    text.filter(|text| !text.is_empty())
        .map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn an_empty_value_is_none() {
        assert_eq!(value(b""), None);
        assert_eq!(value(b"60").as_deref(), Some("60"));
        assert_eq!(value(b"\xff"), None);
    }
}
