//! Time, memory and the machine itself.

use crate::{Image, devices};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::NonNull;
use kernel::memory::Protection;
use kernel::power::failure;
use kernel::{environment, memory, power, time, wait};
use platform::{Clock, End, Memory, Simulation, System};

/// OCaml's value `()`.
const UNIT: usize = 1;

unsafe extern "C" {
    /// `Domain.self`.
    fn caml_ml_domain_index(unit: usize) -> usize;
}

/// Bytes of the unmapped page below a stack.
const GUARD: usize = 4096;

impl Clock for Image {
    fn monotonic_ns() -> u64 {
        time::monotonic_ns()
    }

    fn wall_ns() -> u64 {
        time::wall_ns()
    }

    fn adjust_wall(offset_ns: i64) {
        time::adjust_wall(offset_ns);
    }

    fn machine_wall_ns() -> Option<u64> {
        time::machine_wall_ns()
    }
}

impl Simulation for Image {}

impl Memory for Image {
    fn memory() -> [u64; 4] {
        let statistics = memory::statistics();
        [
            statistics.total,
            statistics.in_use,
            statistics.available,
            statistics.high_water,
        ]
    }

    fn total_memory() -> u64 {
        memory::statistics().total
    }

    fn memory_short() -> bool {
        memory::is_short()
    }

    fn memory_nearly_full() -> bool {
        memory::is_nearly_full()
    }

    fn request_collection() {
        memory::request_collection();
    }

    fn promise_memory(bytes: usize) {
        memory::set_promised(bytes as u64);
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
        // All pages at once: the kernel's own work on memory may run on the stack, during which a
        // fault can't be handled.
        for page in (start + GUARD as u64..start + total).step_by(GUARD) {
            #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
            // SAFETY: new memory, which nothing else refers to yet.
            unsafe {
                (page as *mut u8).write_volatile(0);
            }
        }
        NonNull::new((start + total) as *mut u8)
    }
}

impl System for Image {
    const ON_VM: bool = true;

    fn start() {}

    fn take_power_button() {
        power::handle_requests();
    }

    fn exit(status: u8) -> ! {
        power::exit(status)
    }

    fn reboot() {
        power::reboot()
    }

    fn initrd() -> Option<&'static [u8]> {
        memory::initrd()
    }

    fn last_failure() -> Option<Vec<u8>> {
        let failure::Last { record, report } = failure::last()?;
        let failure::Record {
            count,
            status,
            time,
        } = record;
        let mut text = format!("{status} {count} {time}\n").into_bytes();
        text.extend_from_slice(report);
        Some(text)
    }

    fn devices() -> String {
        devices::description()
    }

    fn variable(name: &str) -> Option<String> {
        platform::value(environment::variable(name.as_bytes())?)
    }

    fn each_variable(each: &mut dyn FnMut(&str)) {
        for variable in environment::variables() {
            let name = variable.split(|byte| *byte == b'=').next();
            if let Ok(name) = core::str::from_utf8(name.unwrap_or_default()) {
                each(name);
            }
        }
    }

    fn thread() -> usize {
        wait::thread() as usize
    }

    fn domain() -> usize {
        // SAFETY: it reads the index of this thread's domain, an OCaml `int`.
        unsafe { caml_ml_domain_index(UNIT) >> 1 }
    }

    fn stop_requests() -> usize {
        power::requested()
    }

    fn request_stop(end: End) {
        power::request(match end {
            End::PowerOff => power::End::PowerOff,
            End::Halt => power::End::Halt,
            End::Restart => power::End::Restart,
        });
        // A program that doesn't check `stop_requests` gets a signal after its sleep.
        wait::nudge();
    }
}
