//! The gate of listeners: while the program's memory is nearly full, connections wait in the backlog
//! and the network refuses those beyond it, until there is memory again.
//!
//! An unmodified server takes whatever it is given, and its `Out_of_memory` may come anywhere. So it
//! is given less: one connection in [`PAUSE_NS`]. That one lets the program run, which collects its
//! garbage at the end of the call (`Memory::request_collection`), since a program that waits doesn't;
//! and it isn't refused for ever where most of the memory is in use.
//!
//! Threads that wait poll again after [`CHECK_NS`] at the latest, also where memory is given back by
//! another thread. There is no wake-up to be lost.

use crate::blocking::readiness::await_timer;
use core::sync::atomic::{AtomicU64, Ordering};
use platform::Clock;
#[cfg(not(test))]
use platform::Memory as _;
use resources::Runtime;
use resources::current::Current;

/// Between two connections while the memory is nearly full.
const PAUSE_NS: u64 = 1_000_000_000;
/// Between two looks at the memory while a thread waits for the gate.
const CHECK_NS: u64 = 100_000_000;

/// When the next connection may pass, in monotonic nanoseconds. Changed inside calls of the runtime.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whether a connection may pass. If not, waiting threads poll again when that may have changed.
/// If the memory is nearly full, garbage is collected, before the program takes the connection if it
/// waits for one.
pub fn is_open(rt: &mut Runtime) -> bool {
    if !Program::memory_nearly_full() {
        return true;
    }
    let (now, next) = (Current::monotonic_ns(), NEXT.load(Ordering::Relaxed));
    if now >= next {
        Program::request_collection();
        return true;
    }
    await_timer(rt, next.min(now + CHECK_NS));
    false
}

/// A connection has passed.
pub fn on_passed() {
    if Program::memory_nearly_full() {
        NEXT.store(Current::monotonic_ns() + PAUSE_NS, Ordering::Relaxed);
    }
}

#[cfg(test)]
use fake::Program;
#[cfg(not(test))]
use resources::current::Current as Program;

/// A program whose memory is as a test says.
#[cfg(test)]
mod fake {
    use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    pub static IS_NEARLY_FULL: AtomicBool = AtomicBool::new(false);
    pub static REQUESTS: AtomicUsize = AtomicUsize::new(0);

    pub struct Program;

    impl Program {
        pub fn memory_nearly_full() -> bool {
            IS_NEARLY_FULL.load(Ordering::Relaxed)
        }

        pub fn request_collection() {
            REQUESTS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{IS_NEARLY_FULL, REQUESTS};
    use super::{NEXT, Ordering};
    use crate::blocking::operation::now;
    use crate::blocking::readiness::{Events, wait_for};
    use crate::errors::Errno;
    use crate::sockets::Socket;
    use crate::sockets::address::Family;
    use crate::sockets::tcp::Tcp;
    use crate::sockets::tests::{begin, listener};
    use resources::Runtime;
    use std::thread;
    use std::time::Duration;
    use std::vec::Vec;

    /// Held from the next connection on, however slow the machine is.
    fn hold() {
        NEXT.store(u64::MAX, Ordering::Relaxed);
    }

    fn set_full(full: bool) {
        IS_NEARLY_FULL.store(full, Ordering::Relaxed);
    }

    #[test]
    fn connections_wait_while_memory_is_nearly_full() {
        // No other test accepts connections meanwhile.
        let _files = crate::tests::begin("gate of a full program");
        let _one = begin();
        let (listener, address) = listener();
        let clients: Vec<Tcp> = (0..5).map(|_| Tcp::new(Family::V4)).collect();
        for client in &clients {
            assert_eq!(client.connect(&address, true), Ok(()));
        }
        let poll = |rt: &mut Runtime| Ok::<_, Errno>(listener.events(rt));
        let events = || now(poll).expect("the runtime");
        let changes = || now(|rt| Ok::<_, Errno>(listener.changes(rt))).expect("the runtime");
        let tries = || {
            listener
                .accept(false)
                .map(|_| ())
                .map_err(|errno| errno == libc::EAGAIN)
        };

        assert_eq!((events(), tries()), (Events::READABLE, Ok(())));
        assert_eq!(REQUESTS.load(Ordering::Relaxed), 0, "there is memory");
        set_full(true);
        // One passes, and garbage is collected before.
        assert_eq!(events(), Events::READABLE);
        assert_eq!(REQUESTS.load(Ordering::Relaxed), 1);
        assert_eq!(tries(), Ok(()));
        assert_ne!(NEXT.load(Ordering::Relaxed), 0);
        hold();
        let before = changes();
        assert_eq!((events(), tries()), (Events::empty(), Err(true)));
        // Who has seen EAGAIN waits for an edge, also if it doesn't poll in between.
        assert_ne!(changes(), before);
        // The next pause is over.
        NEXT.store(0, Ordering::Relaxed);
        assert_eq!((events(), tries()), (Events::READABLE, Ok(())));
        hold();
        thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept(true).is_ok());
            let watching = scope.spawn(|| {
                let poll =
                    |rt: &mut Runtime| Ok(Some(listener.events(rt)).filter(|it| !it.is_empty()));
                wait_for(None, libc::EINTR, poll)
            });
            thread::sleep(Duration::from_millis(20));
            assert!(!accepting.is_finished() && !watching.is_finished());
            // Nobody wakes them for it.
            set_full(false);
            assert!(accepting.join().expect("no panic"));
            assert_eq!(
                watching.join().expect("no panic"),
                Ok(Some(Events::READABLE))
            );
        });
        assert_eq!(tries(), Ok(()));
        NEXT.store(0, Ordering::Relaxed);
    }

    #[test]
    fn a_shutdown_ends_the_wait_at_the_gate() {
        let _files = crate::tests::begin("gate");
        let _one = begin();
        let (listener, address) = listener();
        let client = Tcp::new(Family::V4);
        assert_eq!(client.connect(&address, true), Ok(()));
        set_full(true);
        hold();
        thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept(true).err());
            thread::sleep(Duration::from_millis(20));
            assert_eq!(listener.shutdown(libc::SHUT_RDWR), Ok(()));
            assert_eq!(accepting.join().expect("no panic"), Some(libc::EINVAL));
        });
        set_full(false);
        NEXT.store(0, Ordering::Relaxed);
    }
}
