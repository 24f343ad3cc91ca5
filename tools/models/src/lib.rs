//! Sources of other crates, compiled with loom's atomics: the protocols of threads and devices,
//! whose orderings the tests try on weakly ordered memory.
//!
//! The sources are those of the crates, unchanged, under the names that they have there. What they
//! import from `core`, `alloc`, `libc`, `log` and `platform` comes from `weak`.

// The sources' own tests are their crates'.
#![cfg(not(test))]
#![allow(dead_code, reason = "the models use a part of the sources")]
#![allow(
    clippy::arc_with_non_send_sync,
    reason = "loom's threads are one of the system's"
)]

extern crate self as kernel;
extern crate self as resources;
extern crate weak as alloc;
extern crate weak as core;
extern crate weak as libc;
extern crate weak as log;
extern crate weak as platform;

pub mod checks;

pub mod cell;
#[rustfmt::skip]
#[path = "../../../reactor/src/completions.rs"]
mod completions;
#[rustfmt::skip]
#[path = "../../../reactor/src/lock.rs"]
pub mod lock;
#[rustfmt::skip]
#[path = "../../../reactor/src/messages.rs"]
pub mod messages;
#[rustfmt::skip]
#[path = "../../../reactor/src/runtime.rs"]
pub mod runtime;
#[rustfmt::skip]
#[path = "../../../reactor/src/table.rs"]
pub mod table;
pub mod wait;

mod memory;
#[rustfmt::skip]
#[path = "../../../drivers/src/queue.rs"]
pub mod queue;

pub mod transport;

#[rustfmt::skip]
#[path = "../../../drivers/src/transport/interrupt.rs"]
pub mod interrupt;

pub use checks::lines::register;

/// As in `drivers`, of which the models' devices use nothing.
#[expect(missing_docs, reason = "as in `drivers`")]
pub mod pci {
    pub trait Ports: core::fmt::Debug {
        /// # Safety
        /// As in `drivers`.
        unsafe fn read(&self, port: u16, size: usize) -> u32;
    }

    pub type PortsRef = &'static dyn Ports;
}

/// As in `kernel`.
pub mod board {
    /// As in `kernel`.
    pub mod vectors {
        /// The timer, which is no device.
        pub const TIMER: u8 = 32;
    }
}

#[rustfmt::skip]
#[path = "../../../platform/host/src/event.rs"]
pub mod event;
#[rustfmt::skip]
#[path = "../../../platform/host/src/ticker.rs"]
pub mod ticker;

pub mod arch;
pub mod image;

/// As in `kernel`.
#[expect(missing_docs, reason = "as in `kernel`")]
pub mod peers {
    /// Whether several processors run.
    pub fn several() -> bool {
        true
    }

    pub type Set = u64;

    pub struct Peers {
        pub interrupt: fn(Set),
        pub set_idle: fn(bool),
    }

    /// Those of all models.
    pub fn get() -> Option<&'static Peers> {
        Some(&Peers {
            interrupt: crate::image::threads::kick,
            set_idle: |_| (),
        })
    }

    /// One turn of a loop that waits for another processor.
    pub fn relax() {
        core::hint::spin_loop();
    }
}

/// As in `kernel`: no signal arrives.
#[expect(missing_docs, reason = "as in `kernel`")]
pub mod signals {
    use crate::arch::gates::Frame;

    pub fn exchange(_: &mut ()) {}

    pub fn poll_power_button() {}

    pub fn is_ready() -> bool {
        false
    }

    pub fn deliver_interrupted(_: &mut Frame) {}
}

/// As in `kernel`.
pub mod time {
    use crate::arch::local;

    /// Time stands still.
    pub fn monotonic_ns() -> u64 {
        local::get().count_poll();
        0
    }
}

/// As in `platform/host`.
#[expect(missing_docs, reason = "as in `platform/host`")]
pub mod thread {
    pub use crate::checks::ticker::make;

    pub enum Permanent {
        Ticker,
    }

    pub fn mark_permanent(_: Permanent) {}
}

/// As in `resources`.
pub mod current {
    pub use crate::checks::reactor::Model as Current;
}

pub use current::Current as Host;

/// As in `drivers`.
pub mod disk {
    pub use crate::transport::DiskError;
}

/// As in `soil-sys`.
#[expect(missing_docs, reason = "as in `soil-sys`")]
pub mod ffi {
    pub type Int = isize;

    #[repr(transparent)]
    pub struct Text(pub &'static [u8; 4]);

    impl Text {
        pub fn all(&self) -> &[u8] {
            self.0
        }
    }
}

pub use memory::{Access, Allocation, Memory, MemoryRef, Region, Segment};
pub use transport::Error;

pub use runtime::{Cancelled, Driver, Runtime};

use platform::error::Failure;
use platform::{Clock, System, Wait};

/// As in `reactor`.
#[expect(missing_docs, reason = "as in `reactor`")]
pub trait Resources: Sized + 'static {
    type Platform: Clock + System + Wait;

    const NONE: Self;

    fn start() -> Result<(), Failure>;
    fn entered();
}

/// As in `reactor`.
pub type Interest<R> = <<R as Resources>::Platform as Wait>::Interest;
