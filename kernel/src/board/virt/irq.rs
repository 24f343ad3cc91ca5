//! Interrupt lines and messages: from the numbers of the GIC to vectors.

use super::gic::{self, FIRST_MESSAGE, FIRST_OWN, FIRST_SHARED};
use super::survey::{Kind, Survey};
use super::vectors::{self, COUNT, TIMER};
use crate::arch::gates::Frame;
use crate::arch::ipi::{STOP, WAKE};
use crate::arch::{local, timer};
use crate::stop;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use firmware::fdt::Line;

pub use super::its::message;

/// The signal of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On the rising edge.
    Edge,
    /// While it is high, until the device's handler has lowered it.
    Level,
}

/// In the number of a line: the tree says that an edge signals it.
const EDGE: u32 = 1 << 31;

/// The number of shared interrupts.
const SHARED: usize = 1020 - FIRST_SHARED as usize;
/// The vectors of shared interrupts, plus 1; 0 for none. Written before the interrupt is enabled.
static VECTORS: [AtomicU8; SHARED] = [const { AtomicU8::new(0) }; SHARED];
/// The interrupt of the timer. Written once, at boot.
static TIMER_NUMBER: AtomicU32 = AtomicU32::new(27);

/// The line of an interrupt of the tree, for [`route`].
pub(super) fn line_of(line: Line) -> u32 {
    line.number | if line.edge { EDGE } else { 0 }
}

/// Starts the controller, and lets the timer interrupt.
pub(super) fn set_up(survey: &Survey<'_>) {
    /// Secure, non-secure, virtual: the third.
    const VIRTUAL: usize = 2;
    if let Some(controller) = survey.first(Kind::Controller) {
        gic::set_up(controller);
    }
    let timer = survey.first(Kind::Timer);
    if let Some(line) = timer.and_then(|node| node.interrupt(VIRTUAL)) {
        TIMER_NUMBER.store(line.number, Ordering::Relaxed);
    }
    timer::stop();
    gic::enable(TIMER_NUMBER.load(Ordering::Relaxed), false);
}

/// The interrupts of each processor's own.
pub(super) fn own() -> [u32; 3] {
    [WAKE, STOP, TIMER_NUMBER.load(Ordering::Relaxed)]
}

/// The vector of the interrupt that is pending, which is being handled from now on until [`end`];
/// `None` if there is none, or if it has done its work. That of another processor has ended.
pub fn begin(frame: &Frame) -> Option<u8> {
    let number = gic::acknowledge()?;
    if number < FIRST_OWN {
        if number == STOP {
            stop::obey(frame);
        }
        return (number == WAKE).then_some(vectors::WAKE);
    }
    local::get().interrupt.store(number, Ordering::Relaxed);
    if number == TIMER_NUMBER.load(Ordering::Relaxed) {
        // Its line is high until it is set again.
        timer::stop();
        return Some(TIMER);
    }
    let vector = match number {
        FIRST_MESSAGE.. => u8::try_from(number - FIRST_MESSAGE).ok(),
        _ => {
            // Acquire: pairs with the store in `route_number`.
            slot_of(number).and_then(|slot| slot.load(Ordering::Acquire).checked_sub(1))
        }
    };
    let vector = vector.filter(|vector| usize::from(*vector) < COUNT);
    if vector.is_none() {
        gic::end(number);
    }
    vector
}

/// Ends the handling of the interrupt.
pub fn end(_: u8) {
    gic::end(local::get().interrupt.load(Ordering::Relaxed));
}

/// Routes a line, which may carry the tree's word on its trigger, to `vector`; false if no such
/// line exists.
pub fn route(line: u32, vector: u8, trigger: Trigger) -> bool {
    let edge = line & EDGE != 0 || trigger == Trigger::Edge;
    route_number(line & !EDGE, vector, edge)
}

/// Whether [`route`] finds the line.
pub fn has_input(line: u32) -> bool {
    slot_of(line & !EDGE).is_some()
}

/// The vector of a shared interrupt.
fn slot_of(number: u32) -> Option<&'static AtomicU8> {
    let at = number.checked_sub(FIRST_SHARED)?;
    VECTORS.get(at as usize)
}

/// Routes the shared interrupt `number` to `vector`.
pub(super) fn route_number(number: u32, vector: u8, edge: bool) -> bool {
    let Some(slot) = slot_of(number) else {
        return false;
    };
    // Release: the interrupt sees what its handler needs.
    slot.store(vector + 1, Ordering::Release);
    gic::enable(number, edge)
}
