//! What the runtime needs from what it runs on: one implementation each for the image (`kernel`)
//! and the process (Linux).

use crate::console::Which;
use crate::disks::Device;
use crate::error::{Answer, Failure};
use crate::ffi::Int;
use crate::runtime::Runtime;
use crate::table::Direction;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

#[cfg(feature = "image")]
mod image;
#[cfg(not(feature = "image"))]
mod linux;

#[cfg(feature = "image")]
pub use image::{Aside, Disk, Image as Current, Interest, LinkWake, Slice};
#[cfg(not(feature = "image"))]
pub use linux::{Aside, Disk, Interest, LinkWake, Linux as Current, Slice};

/// The value of a variable. An empty one counts as none (`docs/configuration.md`).
fn value(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok();
    text.filter(|text| !text.is_empty())
        .map(ToString::to_string)
}

/// Why [`Platform::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something happened, or the time came.
    Event,
    /// A signal arrived, whose handler belongs to the OCaml runtime.
    Interrupted,
}

/// A platform. There is one of each, so its functions need no object.
pub trait Platform {
    /// Whether this is a machine of its own.
    const ON_VM: bool;

    /// What to say when there is no network device.
    const NO_NETWORK: &str;

    /// What to say when there are no random numbers.
    const NO_ENTROPY: &str;

    /// Takes over signals or the power button.
    fn start();

    /// Ends the program at once.
    fn exit(status: u8) -> !;

    /// Starts the machine again; returns if that is not possible.
    fn reboot();

    /// Nanoseconds of a clock that never jumps.
    fn monotonic_ns() -> u64;

    /// Nanoseconds since 1970, UTC.
    fn wall_ns() -> u64;

    /// Moves the clock of [`Platform::wall_ns`] by so many nanoseconds. The clock of a Linux host
    /// is left alone.
    fn adjust_wall(offset_ns: i64);

    /// Bytes of memory: total, in use, free, highest use.
    fn memory() -> [u64; 4];

    /// Whether so little memory is left that what can be refused is to be.
    fn memory_short() -> bool;

    /// Says how many bytes connections were promised and haven't taken.
    fn promise_memory(bytes: usize);

    /// Usable processors.
    fn cpus() -> usize;

    /// The devices, one a line.
    fn devices() -> String;

    /// A variable of the environment, if it is UTF-8 and not empty.
    fn variable(name: &str) -> Option<String>;

    /// A number of the running thread that no other living one has, not 0.
    fn thread() -> usize;

    /// Fills `into` with random bytes fit for keys; the number of bytes.
    fn random(into: &mut [u8]) -> Answer;

    /// How often the machine was found to go on from a snapshot since [`Platform::random`] was
    /// first used; never, where somebody else looks after that.
    fn snapshots() -> u32;

    /// Prepares [`Platform::random`]: done, or `Pending` and `token` completes.
    fn seed(rt: &mut Runtime, token: Int) -> Answer;

    /// Reads what has been typed.
    fn console_read(into: &mut [u8]) -> Answer;

    /// Writes at least one byte of `from`, which is not empty.
    fn console_write(which: Which, from: &[u8]) -> Answer;

    /// Whether [`Platform::console_read`] or [`Platform::console_write`] would do something.
    fn console_ready(which: Which, direction: Direction) -> bool;

    /// Writes a line of the log, whatever it takes.
    fn log(line: &[u8]);

    /// How often the program has been asked to stop.
    fn stop_requests() -> usize;

    /// Takes requests for a report on the network from now on: SIGUSR1, or Ctrl-T on the console
    /// (as BSD has it).
    fn take_report_requests();

    /// Whether there was one since the last call.
    fn report_requested() -> bool;

    /// Opens the network devices; or why not, with one line that says what to do.
    fn links(rt: &mut Runtime) -> Result<Vec<crate::net::Device>, Failure>;

    /// Where a recording of the network goes that `SOIL_PCAP` names; or why it can't, with one line
    /// that says what to do.
    fn recording(target: &str) -> Result<services::capture::Sink, Failure>;

    /// The block devices with their names, in a fixed order; they are opened by their first use.
    #[expect(clippy::type_complexity, reason = "a list of pairs, or an error")]
    fn disks(rt: &mut Runtime) -> Result<Vec<(String, Box<dyn Device>)>, Failure>;

    /// How a disk is given a request of [`crate::disks::Wide`].
    const SUBMIT_WIDE: crate::disks::SubmitWide;

    /// Folders of the host as volumes.
    const FOLDERS: Option<crate::files::drivers::FileSystem>;

    /// The end of a new stack of `len` bytes (a multiple of the page size) with an unmapped page
    /// below it.
    fn stack(len: usize) -> Option<NonNull<u8>>;

    /// Says that the program is about to run on, at time `now`.
    fn resume(now: u64);

    /// Calls `look` every few milliseconds while the program computes, until the end of the
    /// program: in its midst or beside it, so `look` does its work in [`crate::runtime::beside`].
    fn look_beside(look: fn());

    /// Sleeps while `word` is `value`, until [`Platform::wake`]; may end early.
    fn await_change(word: &AtomicU32, value: u32);

    /// Wakes who sleeps in [`Platform::await_change`] on `word`.
    fn wake(word: &AtomicU32);

    /// Sleeps until something in `interest` happens, the program is asked to stop, or the time
    /// `until` comes.
    fn wait(interest: &mut Interest, until: Option<u64>) -> Woken;
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
