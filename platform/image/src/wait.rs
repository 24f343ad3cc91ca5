//! The one wait of an image, and the tick.

use crate::{Image, LinkWake};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;
use kernel::{console, time, wait};
use platform::{Direction, Memory, Stream, Ticker, Wait, Woken};

/// Bytes of the stack for what runs while the program computes.
const TICK_STACK: usize = 64 << 10;

/// Interest of [`Image`]'s wait. Any interrupt ends the wait, so it only notes whether there is a
/// reason not to wait at all.
pub struct Interest {
    immediate: bool,
    /// The console is full, which nothing tells when it is over.
    full: bool,
    sources: Vec<Rc<dyn Source>>,
}

/// A device that is waited for.
pub trait Source {
    /// Whether there is something to do, as far as memory tells.
    fn has_pending(&self) -> bool;

    /// Asks for interrupts; true when there is something to do already.
    fn arm(&self) -> bool;
}

impl Interest {
    /// Adds a device.
    pub(crate) fn source(&mut self, source: Rc<dyn Source>) {
        self.sources.push(source);
    }
}

/// Starter of blocking system calls: an image has none, and no folders of a host.
#[derive(Clone, Copy)]
pub struct Offload;

impl platform::Interest for Interest {
    type LinkWake = LinkWake;
    type Offload = Offload;

    const EMPTY: Interest = Interest {
        immediate: false,
        full: false,
        sources: Vec::new(),
    };

    fn clear(&mut self) {
        self.immediate = false;
        self.full = false;
        self.sources.clear();
    }

    fn immediately(&mut self) {
        self.immediate = true;
    }

    fn report(&mut self) {
        console::listen_for_reports();
    }

    fn link(&mut self, wake: &LinkWake, _blocked: bool) {
        self.sources.push(wake.source());
    }

    fn console(&mut self, _: Stream, direction: Direction) {
        match direction {
            Direction::Read => console::listen(),
            Direction::Write => self.full = true,
        }
    }

    fn submit(&mut self) {
        // The devices were notified of what was queued.
    }

    fn submit_all(&mut self) {}

    fn offload(&mut self) -> Offload {
        Offload
    }
}

impl Wait for Image {
    type Interest = Interest;

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
            &mut || sources.iter().any(|source| source.has_pending()),
            &mut || {
                // All of them, whatever the first says.
                let mut any = false;
                for source in &*sources {
                    any |= source.arm();
                }
                any
            },
        );
        if interrupted {
            Woken::Interrupted
        } else {
            Woken::Event
        }
    }

    fn resume(now: u64) {
        wait::resume(now);
    }

    fn start_ticker(ticker: &'static Ticker) {
        match Self::stack(TICK_STACK) {
            Some(stack) => wait::start_ticks(ticker.poll, stack),
            None => log::warn!(
                "no memory for a stack of {TICK_STACK} bytes: the network stands still while the \
                 program computes"
            ),
        }
    }

    fn await_change(_: &AtomicU32, _: u32) {
        // One processor: what interrupts the program has ended before the program runs on.
    }

    fn wake(_: &AtomicU32) {}
}
