//! Files of the host: a node reads its own program and the files of its test's choice.

use crate::{node, stub};
use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// What the path of a call is to a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// The call is made.
    Readable,
    /// The call fails as if there were none.
    Absent,
    /// Random numbers.
    Random,
    /// The call is reported, and fails as if there were none.
    Unowned,
}

/// Files whose contents are the same in each run, and are read at starts: the time zone's (the
/// variable `TZ` is fixed), and the program's own.
const READABLE: [&str; 3] = ["/usr/share/zoneinfo/UTC", "/proc/self/exe", "/dev/null"];

/// Files by which the C library and OCaml find out what the machine has; there are other ways,
/// which are answered.
const ABSENT: [&str; 4] = [
    "/sys/devices/system/cpu",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/kernel/mm/transparent_hugepage",
];

/// The variable with more readable files, separated by `:`.
const VARIABLE: &CStr = c"SOIL_SIMULATION_FILES";

/// The place of a path.
pub fn place(path: &str) -> Place {
    if path == "/dev/urandom" || path == "/dev/random" {
        return Place::Random;
    }
    if ABSENT.iter().any(|prefix| path.starts_with(prefix)) {
        return Place::Absent;
    }
    if READABLE.contains(&path) || is_given(path) || is_program(path) {
        return Place::Readable;
    }
    Place::Unowned
}

/// Whether it is the node's program, which OCaml's runtime opens for its debugging information.
fn is_program(path: &str) -> bool {
    let mut own = [0u8; 4096];
    let link = c"/proc/self/exe".as_ptr().expose_provenance();
    let room = own.as_mut_ptr().expose_provenance();
    let arguments = [link, room, own.len(), 0, 0, 0];
    // SAFETY: writes within `own`.
    let len = unsafe { stub::call(libc::SYS_readlink, arguments) };
    own.get(..usize::try_from(len).unwrap_or(0)) == Some(path.as_bytes())
}

fn is_given(path: &str) -> bool {
    // SAFETY: a node has one thread, which isn't changing the environment.
    let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return false;
    }
    // SAFETY: ends with a zero byte.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes();
    value
        .split(|byte| *byte == b':')
        .any(|file| file == path.as_bytes())
}

/// The text at an address of the program.
pub fn text<'a>(address: usize) -> &'a str {
    if address == 0 {
        return "";
    }
    // SAFETY: the argument of the program's call, which ends with a zero byte.
    let text = unsafe { CStr::from_ptr(core::ptr::with_exposed_provenance(address)) };
    text.to_str().unwrap_or("?")
}

/// Descriptors of random numbers, one more than each; 0: free.
static RANDOM: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];

/// Remembers `fd` as random numbers; it is a descriptor of an empty file.
pub fn add_random(fd: isize) -> isize {
    if let Ok(fd) = usize::try_from(fd) {
        let free = RANDOM.iter().find(|slot| slot.load(Ordering::Relaxed) == 0);
        if let Some(slot) = free {
            slot.store(fd + 1, Ordering::Relaxed);
        }
    }
    fd
}

/// Whether `fd` has random numbers.
pub fn is_random(fd: usize) -> bool {
    RANDOM
        .iter()
        .any(|slot| slot.load(Ordering::Relaxed) == fd + 1)
}

/// `fd` is closed.
pub fn forget(fd: usize) {
    for slot in &RANDOM {
        if slot.load(Ordering::Relaxed) == fd + 1 {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

/// Reports a path that the simulation doesn't own.
pub fn report(call: &str, path: &str) {
    node::unowned(&format!("{call}(\"{path}\"): a file of the host"));
}

/// Fills memory of the program with random numbers; the number of bytes.
pub fn fill(address: usize, len: usize) -> isize {
    let mut bytes: Vec<u8> = alloc::vec![0; len.min(1 << 20)];
    node::system_random(&mut bytes);
    let to = core::ptr::with_exposed_provenance_mut::<u8>(address);
    // SAFETY: the argument of the program's call has room for `len` bytes.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    bytes.len() as isize
}
