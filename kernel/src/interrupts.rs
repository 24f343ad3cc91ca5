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
pub use notes::{note, take_pending, take_pending_for_call};

use crate::arch::gates::Frame;
use crate::board::irq;
use crate::board::vectors::{COUNT, WAKE};
use crate::cell::{ExclusiveCell, rank};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

/// What runs at an interrupt of the vector that it gets.
pub type Handler = fn(u8);

/// The handlers, called before the end of the interrupt; null for none. Stored by the program's
/// side, loaded by interrupts.
static HANDLERS: [AtomicPtr<()>; COUNT] = [const { AtomicPtr::new(core::ptr::null_mut()) }; COUNT];

/// Calls `handler` at each interrupt `vector`, with interrupts disabled. The handler may interrupt
/// Rust code, and therefore uses nothing but atomics, ports and registers.
pub fn set_handler(vector: u8, handler: Handler) {
    if let Some(slot) = HANDLERS.get(usize::from(vector)) {
        // Release: the interrupt sees what the handler needs, which was written before.
        slot.store(handler as *mut (), Ordering::Release);
    }
}

/// Level-triggered interrupts to acknowledge at their devices, with their vectors. Changed with
/// interrupts disabled, used by interrupts.
static ACKNOWLEDGE: ExclusiveCell<Vec<(u8, drivers::Interrupt)>, rank::Interrupts> =
    ExclusiveCell::new(Vec::new());

/// Acknowledges interrupts of `vector` by `interrupt` from now on. Several devices may share a
/// vector.
pub fn add_acknowledge(vector: u8, interrupt: drivers::Interrupt) {
    if interrupt.needs_acknowledge() {
        without_interrupts(|| ACKNOWLEDGE.with(|list| list.push((vector, interrupt))));
        set_handler(vector, acknowledge);
    }
}

/// The handler of lines, which devices may share.
fn acknowledge(vector: u8) {
    ACKNOWLEDGE.with(|list| {
        of_vector(list, vector).for_each(|interrupt| {
            interrupt.acknowledge();
        });
    });
}

/// What `list` has for `vector`. Each access to another device would be an exit from the virtual
/// machine.
fn of_vector<T>(list: &[(u8, T)], vector: u8) -> impl Iterator<Item = &T> {
    let own = list.iter().filter(move |(of, _)| *of == vector);
    own.map(|(_, interrupt)| interrupt)
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
        .map_or(core::ptr::null_mut(), |slot| slot.load(Ordering::Acquire));
    // SAFETY: only `set_handler` stores there, functions of this type; null is `None`.
    let handler = unsafe { core::mem::transmute::<*mut (), Option<Handler>>(handler) };
    notes::complete(vector, handler, irq::end);
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::of_vector;

    #[test]
    fn only_devices_of_the_vector_are_acknowledged() {
        let list = [(36, "net"), (37, "disk"), (63, "one"), (63, "another")];
        let of = |vector| of_vector(&list, vector).copied().collect::<Vec<_>>();
        assert_eq!(of(36), ["net"]);
        assert_eq!(of(63), ["one", "another"]);
        assert_eq!(of(38), [""; 0]);
    }
}
