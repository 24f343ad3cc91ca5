//! Memory that is no ring: where the device says which doorbells and counters the queues have, and
//! the counters.

use super::registers::{DOORBELLS_LEN, Words};
use crate::{Error, MemoryRef};

/// Offsets of the parts, each at the start of a page: indices of interrupt doorbells, resources of
/// the queues, counters.
const INTERRUPTS: usize = 0;
const TRANSMIT: usize = 0x1000;
const RECEIVE: usize = 0x2000;
const COUNTERS: usize = 0x3000;

/// A queue, which has an interrupt of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Receive,
    Transmit,
}

/// Bytes from one index of an interrupt doorbell to the next.
pub const INTERRUPT_STRIDE: usize = 64;

pub struct Shared {
    words: Words,
    counters: u16,
    /// Offsets of doorbells in BAR 2.
    pub transmit: usize,
    pub receive: usize,
    interrupts: [usize; 2],
    /// Offset of the transmit queue's counter.
    counter: usize,
}

/// The addresses of the parts.
pub struct Places {
    pub interrupts: [u32; 2],
    pub transmit: [u32; 2],
    pub receive: [u32; 2],
    pub counters: [u32; 2],
}

/// The number of a queue's notification block.
pub fn block(queue: Queue) -> u32 {
    match queue {
        Queue::Receive => 0,
        Queue::Transmit => 1,
    }
}

impl Shared {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef, counters: u16) -> Result<Shared, Error> {
        Ok(Shared {
            words: Words::new(memory, COUNTERS + usize::from(counters) * 4)?,
            counters,
            transmit: 0,
            receive: 0,
            interrupts: [0; 2],
            counter: COUNTERS,
        })
    }

    pub fn places(&self) -> Places {
        Places {
            interrupts: self.words.halves(INTERRUPTS),
            transmit: self.words.halves(TRANSMIT),
            receive: self.words.halves(RECEIVE),
            counters: self.words.halves(COUNTERS),
        }
    }

    /// Reads the places of doorbells and counters that the device chose for its queues.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`].
    pub fn learn(&mut self) -> Result<(), Error> {
        let doorbell = |at: usize| {
            let offset = (self.words.get_be(at) as usize).saturating_mul(4);
            (offset < DOORBELLS_LEN)
                .then_some(offset)
                .ok_or(Error::BadConfig)
        };
        let interrupt = |queue| doorbell(INTERRUPTS + block(queue) as usize * INTERRUPT_STRIDE);
        let interrupts = [interrupt(Queue::Receive)?, interrupt(Queue::Transmit)?];
        let (transmit, receive) = (doorbell(TRANSMIT)?, doorbell(RECEIVE)?);
        let counter = self.words.get_be(TRANSMIT + 4) as usize;
        if counter >= usize::from(self.counters) {
            return Err(Error::BadConfig);
        }
        self.interrupts = interrupts;
        (self.transmit, self.receive) = (transmit, receive);
        self.counter = COUNTERS + counter * 4;
        Ok(())
    }

    /// Offset of the doorbell of a queue's interrupt.
    pub fn interrupt(&self, queue: Queue) -> usize {
        self.interrupts[block(queue) as usize]
    }

    /// The transmit queue's counter.
    pub fn counter(&self) -> u32 {
        self.words.get_be(self.counter)
    }

    pub fn leak(&mut self) {
        self.words.0.leak();
    }
}
