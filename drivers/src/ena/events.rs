//! The queue of asynchronous events.

use sync::atomic::{Ordering, fence};

use super::position::Position;
use super::registers::{Access, offset};
use super::words::Words;
use crate::{Error, MemoryRef};

/// Entries of the queue, and bytes of an entry.
const DEPTH: u16 = 16;
const ENTRY: usize = 64;

/// Groups of events, by number.
const LINK: u32 = 0;
const FATAL: u32 = 1;
const ALIVE: u32 = 4;
const RESET_REQUEST: u32 = 7;
/// The groups that the driver asks for, and the one of the keep-alive, as bits.
pub(super) const GROUPS: u32 = 1 << LINK | 1 << FATAL | KEEP_ALIVE | 1 << RESET_REQUEST;
pub(super) const KEEP_ALIVE: u32 = 1 << ALIVE;
/// Seconds without a keep-alive, which comes every second, and without the completion of a sent
/// packet, after which the driver resets the device, if the device suggests no others.
pub(super) const KEEP_ALIVE_S: u32 = 6;
pub(super) const TRANSMIT_S: u32 = 5;

/// What happened, of all events since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    pub is_alive: bool,
    pub wants_reset: bool,
}

pub(super) struct Events {
    ring: Words,
    head: Position,
}

impl Events {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef) -> Result<Events, Error> {
        Ok(Events {
            ring: Words::new(memory, usize::from(DEPTH) * ENTRY)?,
            head: Position::new(DEPTH),
        })
    }

    /// Gives the queue to a device that was reset.
    pub fn start(&self, access: &Access) {
        access.write_address(offset::EVENTS, self.ring.phys(0));
        access.write(offset::EVENTS_SIZE, u32::from(DEPTH) | (ENTRY as u32) << 16);
    }

    /// Gives the device all free entries: it sends events, and reuses entries that were taken.
    pub fn acknowledge(&self, access: &Access) {
        let given = self.head.count().wrapping_add(DEPTH);
        access.write(offset::EVENTS_DOORBELL, u32::from(given));
    }

    /// Takes all events, at most one round of the ring.
    pub fn take(&mut self, access: &Access) -> Happened {
        let mut happened = Happened::default();
        let before = self.head;
        for _ in 0..DEPTH {
            let at = self.head.slot() * ENTRY;
            if (self.ring.load(at + 4) & 1 != 0) != self.head.phase() {
                break;
            }
            // Acquire: the device writes the phase last.
            fence(Ordering::Acquire);
            self.head.advance();
            match self.ring.load(at) & 0xffff {
                LINK => {
                    let is_up = self.ring.load(at + 16) & 1 != 0;
                    let state = if is_up { "up" } else { "down" };
                    log::info!(target: "drivers", "the network card's link is {state}");
                }
                FATAL | RESET_REQUEST => happened.wants_reset = true,
                ALIVE => happened.is_alive = true,
                _ => {}
            }
        }
        if self.head != before {
            self.acknowledge(access);
        }
        happened
    }

    /// Leaks the memory, because the device may still write to it.
    pub fn leak(&mut self) {
        self.ring.leak();
    }
}
