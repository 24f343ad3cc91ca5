//! The image: `kernel`, and the drivers of its devices.

mod devices;
mod disks;
mod entropy;
mod links;

pub use disks::Disk;
pub use drivers::blk::Slice;
pub use links::LinkWake;

use crate::console::Which;
use crate::error::{Answer, Error, Failure, Stop};
use crate::ffi::Int;
use crate::net::Device;
use crate::platform::{Platform, Woken};
use crate::runtime::Runtime;
use crate::table::Direction;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use kernel::devices::serial;
use kernel::memory::Protection;
use kernel::{console, environment, memory, power, time, wait};

/// Bytes of the unmapped page below a stack.
const GUARD: usize = 4096;
/// Bytes of the stack for what runs while the program computes.
const LOOK_STACK: usize = 64 << 10;

/// See the head of this file.
pub struct Image;

/// What [`Image::wait`] waits for: any interrupt ends it, so there is nothing to list but what
/// needs no wait.
#[derive(Default)]
pub struct Interest {
    immediate: bool,
    /// The console is full, which nothing tells when it is over.
    full: bool,
    sources: Vec<Rc<dyn Source>>,
}

/// For system calls that may take long: there are none.
#[derive(Clone, Copy)]
pub struct Aside;

/// A device that is waited for.
pub trait Source {
    /// Whether there is something to do, as far as memory tells.
    fn has_news(&self) -> bool;

    /// Asks for interrupts; true when there is something to do already.
    fn arm(&self) -> bool;
}

impl Interest {
    /// Nothing.
    pub const fn new() -> Interest {
        Interest {
            immediate: false,
            full: false,
            sources: Vec::new(),
        }
    }

    /// Nothing but a request to stop, which needs no preparation.
    pub fn clear(&mut self) {
        self.immediate = false;
        self.full = false;
        self.sources.clear();
    }

    /// Nothing: there are no such calls.
    pub fn aside(&mut self) -> Aside {
        Aside
    }

    /// Nothing: what was queued has been announced to the devices already.
    pub fn submit(&mut self) {}

    /// Nor here.
    pub fn submit_all(&mut self) {}

    /// Says that something has happened already.
    pub fn immediately(&mut self) {
        self.immediate = true;
    }

    /// Adds requests for a report on the console.
    pub fn report(&mut self) {
        console::listen_for_reports();
    }

    /// Adds a network device; `blocked`: frames wait for it to have room.
    pub fn link(&mut self, wake: &LinkWake, _blocked: bool) {
        self.sources.push(wake.source());
    }

    /// Adds a disk.
    pub fn disk(&mut self, disk: Rc<dyn Source>) {
        self.sources.push(disk);
    }

    /// Adds the console.
    pub fn console(&mut self, _: Which, direction: Direction) {
        match direction {
            Direction::Read => console::listen(),
            Direction::Write => self.full = true,
        }
    }
}

impl Platform for Image {
    const ON_VM: bool = true;
    const SUBMIT_WIDE: crate::disks::SubmitWide = disks::submit_wide;
    const NO_ENTROPY: &str = "no random numbers: this processor has no RDRAND or RDSEED, and the machine no virtio-rng \
        (soil run adds one; -cpu max has RDRAND)";
    const NO_NETWORK: &str = "no network device: give the machine one (soil run --net)";

    fn start() {
        power::handle_requests();
    }

    fn exit(status: u8) -> ! {
        power::exit(status)
    }

    fn reboot() {
        power::reboot()
    }

    fn monotonic_ns() -> u64 {
        time::monotonic_ns()
    }

    fn wall_ns() -> u64 {
        time::wall_ns()
    }

    fn adjust_wall(offset_ns: i64) {
        time::adjust_wall(offset_ns);
    }

    fn memory() -> [u64; 4] {
        let statistics = memory::statistics();
        [
            statistics.total,
            statistics.in_use,
            statistics.free,
            statistics.high_water,
        ]
    }

    fn memory_short() -> bool {
        memory::is_short()
    }

    fn promise_memory(bytes: usize) {
        memory::set_promised(bytes as u64);
    }

    fn cpus() -> usize {
        1
    }

    fn devices() -> String {
        devices::description()
    }

    fn variable(name: &str) -> Option<String> {
        super::value(environment::variable(name.as_bytes())?)
    }

    fn random(into: &mut [u8]) -> Answer {
        if entropy::fill(into) {
            Ok(into.len())
        } else {
            Err(Error::NoEntropy.into())
        }
    }

    fn snapshots() -> u32 {
        entropy::snapshots()
    }

    fn seed(_: &mut Runtime, _: Int) -> Answer {
        Ok(0)
    }

    fn console_read(into: &mut [u8]) -> Answer {
        if into.is_empty() {
            return Ok(0);
        }
        console::try_read(into).ok_or(Stop::WouldBlock)
    }

    fn console_write(which: Which, from: &[u8]) -> Answer {
        let stream = match which {
            Which::Standard => console::Stream::Output,
            Which::Error => console::Stream::Error,
        };
        match console::try_write(stream, from) {
            0 => Err(Stop::WouldBlock),
            count => Ok(count),
        }
    }

    fn console_ready(_: Which, direction: Direction) -> bool {
        match direction {
            Direction::Read => console::has_input(),
            Direction::Write => console::has_room(),
        }
    }

    fn log(line: &[u8]) {
        console::log(line);
    }

    fn stop_requests() -> usize {
        power::requested()
    }

    fn take_report_requests() {
        console::listen_for_reports();
    }

    fn report_requested() -> bool {
        console::report_requested()
    }

    fn links(_: &mut Runtime) -> Result<Vec<Device>, Failure> {
        links::open()
    }

    fn recording(target: &str) -> Result<services::capture::Sink, Failure> {
        let detail = if target != "serial" {
            alloc::format!(
                "SOIL_PCAP: \"{target}\": a machine records to its serial port: give serial (soil run --pcap FILE)"
            )
        } else if !serial::set_up() {
            String::from(
                "SOIL_PCAP: the machine has no second serial port: run it with soil run --pcap FILE",
            )
        } else {
            return Ok(Box::new(serial::write));
        };
        Err(Failure::new(Error::BadConfiguration, detail))
    }

    const FOLDERS: Option<crate::files::drivers::FileSystem> = None;

    fn disks(_: &mut Runtime) -> Result<Vec<(String, Box<dyn crate::disks::Device>)>, Failure> {
        disks::open()
    }

    fn stack(len: usize) -> Option<NonNull<u8>> {
        let protection = Protection {
            read: true,
            write: true,
            execute: false,
        };
        let total = (len + GUARD) as u64;
        let start = memory::map(None, total, protection).ok()?;
        memory::protect(start, GUARD as u64, Protection::default()).ok()?;
        // All pages at once: what runs on the stack may be the kernel's own work on memory, during
        // which a fault can't be served.
        for page in (start + GUARD as u64..start + total).step_by(GUARD) {
            // SAFETY: new memory, which nothing else knows of yet.
            unsafe { (page as *mut u8).write_volatile(0) };
        }
        NonNull::new((start + total) as *mut u8)
    }

    fn resume(now: u64) {
        wait::resume(now);
    }

    fn look_beside(look: fn()) {
        match Self::stack(LOOK_STACK) {
            Some(stack) => wait::start_ticks(look, stack),
            None => log::warn!(
                "no memory for a stack of {LOOK_STACK} bytes: the network stands still while the program computes"
            ),
        }
    }

    fn thread() -> usize {
        1
    }

    fn await_change(_: &AtomicU32, _: u32) {
        // One processor: what interrupts the program has ended before the program runs on.
    }

    fn wake(_: &AtomicU32) {}

    fn wait(interest: &mut Interest, until: Option<u64>) -> Woken {
        let Interest {
            immediate,
            full,
            sources,
        } = interest;
        if *immediate {
            return Woken::Event;
        }
        let until = match *full || !console::flush_log() {
            true => Some(
                until
                    .unwrap_or(u64::MAX)
                    .min(time::monotonic_ns() + console::LOOK_NS),
            ),
            false => until,
        };
        let interrupted = wait::watch(
            until,
            &mut || sources.iter().any(|source| source.has_news()),
            &mut || {
                sources
                    .iter()
                    .fold(false, |news, source| source.arm() || news)
            },
        );
        if interrupted {
            Woken::Interrupted
        } else {
            Woken::Event
        }
    }
}
