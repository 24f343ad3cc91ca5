//! The image: `kernel`.

use crate::console::Which;
use crate::disks;
use crate::error::{Answer, Error, Stop};
use crate::net::Device;
use crate::platform::{Platform, Woken};
use crate::runtime::Runtime;
use crate::table::Direction;
use crate::ty::Int;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ptr::NonNull;
use kernel::{console, environment, memory, power, random, time, wait};

/// See the head of this file.
pub struct Image;

/// What [`Image::wait`] waits for: any interrupt ends it, so there is nothing to list.
pub struct Interest;

impl Interest {
    /// Nothing but a request to stop.
    pub fn new() -> Interest {
        Interest
    }

    /// Adds a network device; `blocked`: frames wait for it to have room.
    pub fn link(&mut self, _: &LinkWake, _: bool) {}

    /// Adds the console.
    pub fn console(&mut self, _: Which, direction: Direction) {
        if direction == Direction::Read {
            console::listen();
        }
    }
}

/// How to wait for a network device: by its interrupt, like everything.
pub struct LinkWake;

/// The prebuilt `core` names it in its unwind tables, although nothing unwinds with panic=abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

impl Platform for Image {
    const ON_VM: bool = true;
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

    fn memory() -> [u64; 4] {
        let statistics = memory::statistics();
        [
            statistics.total,
            statistics.in_use,
            statistics.free,
            statistics.high_water,
        ]
    }

    fn cpus() -> usize {
        1
    }

    fn devices() -> String {
        String::new()
    }

    fn variable(name: &str) -> Option<String> {
        let value = environment::variable(name.as_bytes())?;
        core::str::from_utf8(value).ok().map(ToString::to_string)
    }

    fn random(into: &mut [u8]) -> Answer {
        if random::fill(into) {
            Ok(into.len())
        } else {
            Err(Error::NoEntropy.into())
        }
    }

    fn seed(_: &mut Runtime, _: Int) -> Answer {
        Ok(0)
    }

    fn console_read(into: &mut [u8]) -> Answer {
        if into.is_empty() {
            return Ok(0);
        }
        console::try_read_line(into).ok_or(Stop::WouldBlock)
    }

    fn console_write(_: Which, from: &[u8]) -> Answer {
        console::write(from);
        Ok(from.len())
    }

    fn console_ready(_: Which, direction: Direction) -> bool {
        direction == Direction::Write || console::has_input()
    }

    fn log(line: &[u8]) {
        console::write(line);
    }

    fn stop_requests() -> usize {
        power::requested()
    }

    fn links(_: &mut Runtime) -> Result<Vec<Device>, (Error, String)> {
        Err((Error::NoDevice, Self::NO_NETWORK.to_string()))
    }

    fn disks(_: &mut Runtime) -> Result<Vec<(String, Box<dyn disks::Device>)>, (Error, String)> {
        Ok(Vec::new())
    }

    fn stack(len: usize) -> Option<NonNull<u8>> {
        memory::stack(len)
    }

    fn wait(_: &mut Interest, until: Option<u64>) -> Woken {
        wait::wait_until(until);
        Woken::Event
    }
}
