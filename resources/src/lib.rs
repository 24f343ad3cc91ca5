//! The resources of a program: console, pipes, sockets, files and block devices, with their
//! descriptors, as operations of the reactor. The crate doesn't depend on the layout of OCaml
//! values: the program's arguments have the types in [`types`].
//!
//! # Layers
//! A module imports from lower layers only; a test in `tools/layers` finds circles.
//!
//! ```text
//! statistics                                        what net, files and disks have counted
//!   │
//! net     console     pipe     files     blocks     what descriptors stand for (also vsock;
//!   \        │         │          \       /           displays and inputs need none)
//!    \       │         │            disks           the devices below files and blocks
//!     \      │         │              │
//!      \     │         │          metadata          the machine's metadata
//!       \    │         │              │
//!      runtime,  random,  log_sink,  guest_agent    entering the runtime, random numbers, the log;
//!                   │                                also clock, the program's clocks
//!            types,  current                        types of the interface, the platform
//! ```
//!
//! The root joins them: [`Resources`] contains the state of each, and every function works on the
//! [`Runtime`] with all of them. Network, files and disks are initialised at their first use, which
//! registers their `reactor::Driver`, so that the linker leaves them out of a program that never
//! uses them.
//!
//! # Contexts
//! All code runs inside a call or a tick, one at a time ([`runtime`]); but [`tls`] has locks of its
//! own, since its calls compute for long. Ticks only poll the network.
//! Only the reactor's wait blocks.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), deny(clippy::cast_ptr_alignment))]

extern crate alloc;

pub mod blocks;
pub mod clock;
pub mod console;
pub mod current;
mod disks;
pub mod displays;
pub mod draw;
pub mod files;
mod guest_agent;
pub mod initrd;
pub mod inputs;
pub mod log_sink;
pub mod metadata;
pub mod net;
pub mod password;
pub mod pipe;
pub mod random;
pub mod runtime;
pub mod sha256;
pub mod statistics;
pub mod system_descriptors;
pub mod tls;
pub mod types;
pub mod vsock;

use platform::Memory;
use platform::error::Failure;

/// The reactor with the resources of this program and platform.
pub type Runtime = reactor::Runtime<Resources>;
/// Operations of a kind of descriptor.
type Operations = reactor::table::Operations<Runtime>;
/// A resource's hooks in the wait: see [`reactor::Driver`].
pub type Driver = reactor::Driver<Resources>;

/// State of the resources. Those in an `Option` are initialised at their first use.
pub struct Resources {
    pipes: pipe::Pipes,
    console: console::Console,
    /// Pending waits for system descriptors.
    waits: system_descriptors::Waits,
    net: Option<&'static mut net::Net>,
    /// The devices of `files` and `blocks`.
    disks: Option<&'static mut disks::Disks>,
    /// Disks and partitions that are open as raw devices.
    blocks: slab::Slab<blocks::Raw>,
    /// Screens.
    displays: Option<&'static mut displays::Displays>,
    /// Keyboards, pointers and other input devices.
    inputs: Option<&'static mut inputs::Inputs>,
    /// Sockets to the host.
    vsock: Option<&'static mut vsock::Vsock>,
    /// Volumes and open files: empty until their first use.
    files: files::Files,
    /// The guest agent, which the network and the volumes start.
    guest_agent: guest_agent::GuestAgent,
}

impl reactor::Resources for Resources {
    type Platform = current::Current;

    const NONE: Resources = Resources {
        pipes: pipe::Pipes::new(),
        console: console::Console::new(),
        waits: system_descriptors::Waits::new(),
        net: None,
        disks: None,
        blocks: slab::Slab::new(),
        displays: None,
        inputs: None,
        vsock: None,
        files: files::Files::EMPTY,
        guest_agent: guest_agent::GuestAgent::NONE,
    };

    fn start() -> Result<(), Failure> {
        log_sink::start()
    }

    fn entered() {
        fs::set_memory_short(current::Current::memory_short());
    }
}
