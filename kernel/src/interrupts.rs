//! Interrupts of devices: a handler per vector, acknowledgement of shared lines, and whether one
//! occurred since the last halt.
//!
//! Interrupts are enabled while [`crate::wait`] halts, and in a program with a network also while
//! it computes. A handler may therefore interrupt Rust code, and uses nothing but atomics, ports
//! and registers.

mod notes;

pub use crate::arch::interrupts::without_interrupts;
pub use crate::board::irq::{Trigger, route};
#[cfg(loom)]
pub use notes::complete;
pub use notes::{events, note, take_pending, take_pending_for_call};

use crate::arch::gates::Frame;
use crate::board::irq;
use crate::board::vectors::{COUNT, WAKE};
use alloc::boxed::Box;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

/// What runs at an interrupt of the vector that it gets.
pub type Handler = fn(u8);

/// The handlers, called before the end of the interrupt; null for none. Stored by the program's
/// side, loaded by interrupts.
static HANDLERS: [AtomicPtr<()>; COUNT] = [const { AtomicPtr::new(null_mut()) }; COUNT];

/// Calls `handler` at each interrupt `vector`, with interrupts disabled. The handler may interrupt
/// Rust code, and therefore uses nothing but atomics, ports and registers.
pub fn set_handler(vector: u8, handler: Handler) {
    if let Some(slot) = HANDLERS.get(usize::from(vector)) {
        // Release: the interrupt sees what the handler needs, which was written before.
        slot.store(handler as *mut (), Ordering::Release);
    }
}

/// A level-triggered interrupt to acknowledge at its device.
struct Line<T> {
    vector: u8,
    interrupt: T,
    next: *const Line<T>,
}

/// Lines, which are added and never removed. Without a lock: an interrupt may come while one is
/// added.
struct Lines<T>(AtomicPtr<Line<T>>);

impl<T> Lines<T> {
    const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    fn add(&self, vector: u8, interrupt: T) {
        let line = Box::leak(Box::new(Line {
            vector,
            interrupt,
            next: null(),
        }));
        let link = |first: *mut Line<T>| {
            line.next = first;
            Some(&raw mut *line)
        };
        // Release: who finds the line sees its fields. The result is always a success.
        let _ = self
            .0
            .fetch_update(Ordering::Release, Ordering::Relaxed, link);
    }

    /// The lines of `vector`, the last one first. Each access to another device would be an exit
    /// from the virtual machine.
    fn of(&self, vector: u8) -> impl Iterator<Item = &T> {
        // Acquire: pairs with `add`. SAFETY: null, or a line, which is never freed.
        let mut line = unsafe { self.0.load(Ordering::Acquire).as_ref() };
        let all = core::iter::from_fn(move || {
            let this = line?;
            // SAFETY: as above.
            line = unsafe { this.next.as_ref() };
            Some(this)
        });
        all.filter(move |line| line.vector == vector)
            .map(|line| &line.interrupt)
    }
}

/// Added by the program's side, used by interrupts.
static LINES: Lines<drivers::Interrupt> = Lines::new();

/// Acknowledges interrupts of `vector` by `interrupt` from now on. Several devices may share a
/// vector.
pub fn add_acknowledge(vector: u8, interrupt: drivers::Interrupt) {
    if interrupt.needs_acknowledge() {
        LINES.add(vector, interrupt);
        set_handler(vector, acknowledge);
    }
}

/// The handler of lines, which devices may share.
fn acknowledge(vector: u8) {
    LINES.of(vector).for_each(|interrupt| {
        interrupt.acknowledge();
    });
}

/// Handles the interrupt that saved `frame`, from its gate; returns its vector, `None` for one
/// without a source.
pub fn handle(frame: &Frame) -> Option<u8> {
    let vector = irq::begin(frame)?;
    if vector == WAKE {
        return Some(vector);
    }
    // Acquire: pairs with `set_handler`.
    let handler = HANDLERS
        .get(usize::from(vector))
        .map_or(null_mut(), |slot| slot.load(Ordering::Acquire));
    // SAFETY: only `set_handler` stores there, functions of this type; null is `None`.
    let handler = unsafe { core::mem::transmute::<*mut (), Option<Handler>>(handler) };
    notes::complete(vector, handler, irq::end);
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn only_devices_of_the_vector_are_acknowledged() {
        let lines = Lines::new();
        for (vector, device) in [(36, "net"), (37, "disk"), (63, "one"), (63, "another")] {
            lines.add(vector, device);
        }
        let of = |vector| lines.of(vector).copied().collect::<Vec<_>>();
        assert_eq!(of(36), ["net"]);
        assert_eq!(of(63), ["another", "one"]);
        assert_eq!(of(38), [""; 0]);
    }

    /// As an interrupt finds them on another processor, or on the one that adds them.
    #[test]
    fn lines_are_whole_while_others_are_added() {
        const COUNT: usize = 1000;
        let lines = Lines::new();
        let values = || lines.of(36).map(|value: &String| value.parse::<usize>());
        std::thread::scope(|scope| {
            let add = || (0..COUNT).for_each(|value| lines.add(36, value.to_string()));
            let adding = [scope.spawn(add), scope.spawn(add)];
            while !adding.iter().all(|adding| adding.is_finished()) {
                assert!(values().all(|value| value.is_ok_and(|value| value < COUNT)));
            }
        });
        assert_eq!(values().flatten().sum::<usize>(), COUNT * (COUNT - 1));
    }
}
