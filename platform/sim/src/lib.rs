//! The platform of a simulated process: `soil simulate` runs it as a node of a simulated network.
//!
//! The clock, the network, the disks, the entropy and the console of a node come from the
//! coordinator, over a socket ([`protocol`]). The node runs until it waits; then the coordinator
//! resumes another node, or moves the time forward. A process is a node if the variable
//! `SOIL_SIMULATION` has the number of the socket when it starts, or from [`attach`] on.
//!
//! The crate `host` calls this one where it would call Linux. What the program and its libraries
//! call themselves is trapped by seccomp(2), and answered or reported ([`traps`]).
//!
//! A node has one thread. Only x86-64 has nodes.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "only `attach` makes a node")
)]

extern crate alloc;

mod disk;
mod link;
mod node;
mod protocol;
mod stub;
#[cfg(target_arch = "x86_64")]
mod traps;

pub use disk::{Disk, disks};
pub use link::SimulatedLink;
pub use node::{
    choose, console, ends, is_simulated, monotonic_ns, note, random, stops, total_memory, unowned,
    wait, wall_ns,
};
#[cfg(target_arch = "x86_64")]
pub use traps::hook::{Answer, set_answer, system_call};
#[cfg(target_arch = "x86_64")]
pub use traps::signals;

use platform::error::{Error, Failure};

/// Makes this process a node of the coordinator at the other end of the socket `fd`.
///
/// # Errors
/// `Unsupported`: the processor, or a Linux without seccomp(2). `Invalid`: the coordinator speaks
/// another version of the protocol.
pub fn attach(fd: i32) -> Result<(), Failure> {
    #[cfg(target_arch = "x86_64")]
    {
        node::attach(fd)?;
        // The node's error output is the coordinator's.
        traps::install().inspect_err(|failure| {
            let text = alloc::format!("soil: {}\n", failure.detail);
            console(libc::STDERR_FILENO as u8, text.as_bytes());
            ends(2);
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = fd;
        let detail = "soil simulate: nodes run on x86-64 only";
        Err(Failure::new(Error::Unsupported, detail))
    }
}

/// The variable with the number of the socket.
const VARIABLE: &core::ffi::CStr = c"SOIL_SIMULATION";

/// Runs before `main`, and before what the program does at its start.
extern "C" fn begin() {
    // SAFETY: nothing changes the environment before `main`; the text ends with a zero byte.
    let fd = unsafe {
        let value = libc::getenv(VARIABLE.as_ptr());
        if value.is_null() {
            return;
        }
        libc::atoi(value)
    };
    if let Err(failure) = attach(fd) {
        let text = alloc::format!("soil: simulation: {}\n", failure.detail);
        // SAFETY: reads within `text`; ends the process.
        unsafe {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
            libc::_exit(2);
        }
    }
}

/// The C library calls it at the start of the process.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

/// The failure with which a device says that the coordinator doesn't know it.
fn unknown(what: &str) -> Failure {
    Failure::new(Error::NoDevice, what)
}
