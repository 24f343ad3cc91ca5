//! The shared memory and rings of a card.

use sync::atomic::{AtomicU32, Ordering, fence};

use super::layout::{self, command, control, data, event, queue, received, shared, transmit};
use super::{VECTORS, Windows, execute, reset};
use crate::net::rings::{self, Taken, ring_size};
use crate::net::{Capabilities, MAX_FRAME, NetConfig, RxChecksum, RxMeta, TxMeta};
use crate::queue::DeviceError;
use crate::{Error, MemoryRef, Region};

/// Bytes of a receive buffer: a frame of the MTU.
const BUFFER: usize = 2048;
/// Maximum bytes of a descriptor to send.
const CHUNK: usize = 8192;
/// Descriptors of the second receive ring, which is for merged frames: none is ever given.
const SECOND: u16 = 32;
/// Alignment of rings and of shared memory.
const ALIGN: usize = 512;

/// A ring of descriptors or completions.
struct Ring {
    memory: Region,
    size: u16,
    /// Position of the driver, modulo 2^16.
    next: u16,
}

impl Ring {
    fn new(memory: MemoryRef, size: u16) -> Result<Ring, Error> {
        let len = usize::from(size) * layout::DESCRIPTOR;
        Ok(Ring {
            memory: Region::new(memory, len, ALIGN).ok_or(Error::OutOfMemory)?,
            size,
            next: 0,
        })
    }

    fn slot(&self, position: u16) -> u16 {
        position % self.size
    }

    /// Whether the generation bit of descriptors at the position is set: in the first round, and in
    /// each second one.
    fn generation(&self, position: u16) -> bool {
        (position / self.size).is_multiple_of(2)
    }

    /// A word of a descriptor or completion, which the card may write.
    fn word(&self, position: u16, index: usize) -> &AtomicU32 {
        let at = usize::from(self.slot(position)) * layout::DESCRIPTOR + index * 4;
        // SAFETY: an aligned word of the ring, which is accessed only atomically.
        unsafe { AtomicU32::from_ptr(self.memory.ptr(at).cast().as_ptr()) }
    }

    /// Whether the next completion is there.
    fn has_completion(&self) -> bool {
        let word = self.word(self.next, 3).load(Ordering::Relaxed);
        (word & layout::COMPLETION_GENERATION != 0) == self.generation(self.next)
    }
}

pub(super) struct Hardware {
    windows: Windows,
    /// Vector 1 is for transmitted frames.
    has_two: bool,
    shared: Region,
    queues: Region,
    transmit: Ring,
    transmitted: Ring,
    receive: Ring,
    second: Ring,
    received: Ring,
    /// Buffer `i` is the one of receive descriptor `i`.
    buffers: Region,
    is_stopped: bool,
}

/// Writes a number to memory that the card doesn't use yet.
fn put(region: &Region, at: usize, bytes: &[u8]) {
    // SAFETY: the card has no address of this memory before it is activated.
    unsafe { region.slice(at, bytes.len()) }.copy_from_slice(bytes);
}

impl Hardware {
    /// Starts a card after its reset.
    pub fn new(
        windows: Windows,
        has_two: bool,
        memory: MemoryRef,
        capabilities: &Capabilities,
        config: &NetConfig,
    ) -> Result<Hardware, Error> {
        let region = |len, align| Region::new(memory, len, align).ok_or(Error::OutOfMemory);
        let (transmit, receive) = (ring_size(config.tx_small), ring_size(config.rx_buffers));
        let mut hardware = Hardware {
            windows,
            has_two,
            shared: region(shared::BYTES, ALIGN)?,
            queues: region(2 * queue::BYTES, ALIGN)?,
            transmit: Ring::new(memory, transmit)?,
            transmitted: Ring::new(memory, transmit)?,
            receive: Ring::new(memory, receive)?,
            second: Ring::new(memory, SECOND)?,
            received: Ring::new(memory, 2 * receive)?,
            buffers: region(usize::from(receive) * BUFFER, 4096)?,
            is_stopped: false,
        };
        hardware.describe(capabilities);
        hardware.describe_queues();
        // All but one: the card takes equal indices for an empty ring.
        for _ in 1..receive {
            hardware.provide();
        }
        let address = hardware.shared.phys(0);
        let control = &*hardware.windows.control;
        fence(Ordering::Release);
        control.write(control::SHARED_LOW, address as u32);
        control.write(control::SHARED_HIGH, (address >> 32) as u32);
        if execute(control, command::ACTIVATE) != 0 {
            reset(control);
            return Err(Error::DeviceError);
        }
        for vector in 0..VECTORS {
            hardware.mask(vector, true);
        }
        hardware.ring_receive();
        Ok(hardware)
    }

    /// Describes the driver.
    fn describe(&self, capabilities: &Capabilities) {
        let vectors = if self.has_two { VECTORS as u32 } else { 1 };
        let features = match capabilities.rx_checksum {
            true => layout::FEATURE_RX_CHECKSUM,
            false => 0,
        };
        let words = [
            shared::MAGIC,
            (shared::DRIVER_VERSION, 1),
            (shared::SYSTEM, layout::SYSTEM_64_BITS),
            (shared::REVISION, super::REVISION),
            (shared::PASS_THROUGH_REVISION, super::REVISION),
            (shared::FEATURES, features),
            (shared::QUEUES_LEN, 2 * queue::BYTES as u32),
            (shared::MTU, u32::from(capabilities.mtu)),
            (shared::COUNTS, 1 | 1 << 16 | 1 << 24),
            (shared::INTERRUPTS, 1 | vectors << 8),
            // The stack's address may be another one than the card's (`SOIL_MAC`), and the stack
            // filters.
            (shared::FILTER, layout::FILTER_NONE),
        ];
        for (at, word) in words {
            put(&self.shared, at, &word.to_le_bytes());
        }
        let queues = self.queues.phys(0);
        put(&self.shared, shared::QUEUES, &queues.to_le_bytes());
    }

    fn describe_queues(&self) {
        let vector = u8::from(self.has_two);
        let none: Option<&Ring> = None;
        let rings = [
            (0, &self.transmit, none, &self.transmitted, vector),
            (
                queue::BYTES,
                &self.receive,
                Some(&self.second),
                &self.received,
                0,
            ),
        ];
        for (base, ring, second, completions, vector) in rings {
            let places = [
                (queue::RING, queue::RING_SIZE, Some(ring)),
                (queue::SECOND_RING, queue::SECOND_SIZE, second),
                (
                    queue::COMPLETIONS,
                    queue::COMPLETIONS_SIZE,
                    Some(completions),
                ),
            ];
            for (address, size, ring) in places {
                if let Some(ring) = ring {
                    let phys = ring.memory.phys(0).to_le_bytes();
                    put(&self.queues, base + address, &phys);
                    let count = u32::from(ring.size).to_le_bytes();
                    put(&self.queues, base + size, &count);
                }
            }
            put(&self.queues, base + queue::VECTOR, &[vector]);
        }
    }

    /// A word of the shared memory, which the card may write.
    fn shared_word<'a>(&self, region: &'a Region, at: usize) -> &'a AtomicU32 {
        // SAFETY: an aligned word, which is accessed only atomically once the card is active.
        unsafe { AtomicU32::from_ptr(region.ptr(at).cast().as_ptr()) }
    }

    fn mask(&self, vector: usize, masked: bool) {
        let at = data::INTERRUPT_MASK + vector * data::STRIDE;
        self.windows.data.write(at, u32::from(masked));
    }

    /// Writes the next receive descriptor for the card.
    fn provide(&mut self) {
        let ring = &mut self.receive;
        let phys = self
            .buffers
            .phys(usize::from(ring.slot(ring.next)) * BUFFER);
        let generation = match ring.generation(ring.next) {
            true => layout::RECEIVE_GENERATION,
            false => 0,
        };
        let relaxed = |index, word| ring.word(ring.next, index).store(word, Ordering::Relaxed);
        relaxed(0, phys as u32);
        relaxed(1, (phys >> 32) as u32);
        relaxed(3, 0);
        // Release: the card may take the descriptor as soon as it has its generation.
        ring.word(ring.next, 2)
            .store(BUFFER as u32 | generation, Ordering::Release);
        ring.next = ring.next.wrapping_add(1);
    }

    fn ring_receive(&self) {
        let next = self.receive.slot(self.receive.next);
        self.windows.data.write(data::RECEIVE, u32::from(next));
    }
}

/// The state of a received frame's checksum, by the first and last word of its completion.
fn checksum(first: u32, last: u32) -> RxChecksum {
    let has = |bits| last & bits != 0;
    let ip = has(received::IPV4) && has(received::IP_RIGHT) || has(received::IPV6);
    let is_verified = first & received::UNVERIFIED == 0
        && ip
        && has(received::TCP | received::UDP)
        && has(received::L4_RIGHT)
        && !has(received::FRAGMENT);
    match is_verified {
        true => RxChecksum::Valid,
        false => RxChecksum::Unknown,
    }
}

impl rings::Hardware for Hardware {
    const NAME: &'static str = "vmxnet3";
    const MAX_DESCRIPTORS: u16 = MAX_FRAME.div_ceil(CHUNK) as u16;

    fn capacity(&self) -> u16 {
        // Equal indices are an empty ring.
        self.transmit.size - 1
    }

    fn prepare(&self, frame: &mut [u8], meta: &TxMeta) -> bool {
        // Fields of 10 bits, and of 14.
        let sum = meta
            .checksum
            .is_none_or(|sum| sum.start < 1 << 10 && sum.offset < 1 << 10);
        let Some(gso) = meta.gso else {
            return sum;
        };
        sum && gso.headers < 1 << 10
            && gso.segment < 1 << 14
            && rings::prepare_segmentation(frame, meta, &gso)
    }

    fn queue(&mut self, phys: u64, len: usize, meta: &TxMeta) -> u16 {
        let (mode, size) = match (meta.checksum, meta.gso) {
            (_, Some(gso)) => (transmit::SEGMENT | u32::from(gso.headers), gso.segment),
            (Some(sum), None) => (
                transmit::CHECKSUM | u32::from(sum.start),
                sum.start + sum.offset,
            ),
            (None, None) => (0, 0),
        };
        let size = u32::from(size) << transmit::SIZE_SHIFT;
        let ring = &mut self.transmit;
        let first = ring.next;
        let count = len.div_ceil(CHUNK);
        // The first one is the last to get its generation: the card takes a whole frame.
        for index in (0..count).rev() {
            let at = index * CHUNK;
            let part = CHUNK.min(len - at);
            let position = first.wrapping_add(index as u16);
            let end = match index + 1 == count {
                true => transmit::END | transmit::REPORT,
                false => 0,
            };
            let generation = match ring.generation(position) {
                true => transmit::GENERATION,
                false => 0,
            };
            let from = phys + at as u64;
            let relaxed = |index, word| ring.word(position, index).store(word, Ordering::Relaxed);
            relaxed(0, from as u32);
            relaxed(1, (from >> 32) as u32);
            relaxed(3, mode | end);
            ring.word(position, 2)
                .store(part as u32 | size | generation, Ordering::Release);
        }
        ring.next = first.wrapping_add(count as u16);
        count as u16
    }

    fn is_sent(&self, last: u16) -> Result<bool, DeviceError> {
        let ring = &self.transmitted;
        if !ring.has_completion() {
            return Ok(false);
        }
        fence(Ordering::Acquire);
        let index = ring.word(ring.next, 0).load(Ordering::Relaxed) & layout::INDEX;
        match index == u32::from(self.transmit.slot(last)) {
            true => Ok(true),
            false => Err(DeviceError),
        }
    }

    fn sent(&mut self) {
        self.transmitted.next = self.transmitted.next.wrapping_add(1);
    }

    fn notify(&mut self) {
        let next = self.transmit.slot(self.transmit.next);
        self.windows.data.write(data::TRANSMIT, u32::from(next));
    }

    fn has_received(&self) -> bool {
        self.received.has_completion()
    }

    fn take(&mut self) -> Result<Taken<'_>, DeviceError> {
        if !self.received.has_completion() {
            return Ok(Taken::None);
        }
        // Acquire: the card writes the frame and the rest of the completion first.
        fence(Ordering::Acquire);
        let position = self.received.next;
        let word = |index| self.received.word(position, index).load(Ordering::Relaxed);
        let (first, third, last) = (word(0), word(2), word(3));
        // One buffer is with the driver, the others with the card, in their order.
        let oldest = self.receive.slot(self.receive.next.wrapping_add(1));
        let (slot, size) = ((first & layout::INDEX) as u16, self.receive.size);
        if slot >= size || first & received::RING != 0 {
            return Err(DeviceError);
        }
        // ESXi may skip descriptors, which have no completion.
        let skipped = (slot + size - oldest) % size;
        if skipped == size - 1 {
            return Err(DeviceError);
        }
        for _ in 0..skipped {
            self.provide();
        }
        self.received.next = position.wrapping_add(1);
        let len = (third & received::LEN) as usize;
        let whole = received::START | received::END;
        if first & whole != whole || third & received::ERROR != 0 || !(1..=BUFFER).contains(&len) {
            return Ok(Taken::Dropped);
        }
        // SAFETY: the card is done with the buffer, which isn't given to it again before another
        // call of `provide`; the borrow of `self` ends before.
        let frame = unsafe { self.buffers.slice(usize::from(slot) * BUFFER, len) };
        let checksum = checksum(first, last);
        Ok(Taken::Frame((
            frame,
            RxMeta {
                checksum,
                gso: None,
            },
        )))
    }

    fn return_buffer(&mut self) {
        self.provide();
    }

    fn refill(&mut self) {
        let wanted = self.shared_word(&self.queues, queue::BYTES + queue::WANTS_DOORBELL);
        if wanted.load(Ordering::Relaxed) & 0xff != 0 {
            self.ring_receive();
        }
    }

    fn arm(&mut self, transmit: bool, is_quiet: bool) -> Result<(), DeviceError> {
        let control = &*self.windows.control;
        let events = self
            .shared_word(&self.shared, shared::EVENTS)
            .load(Ordering::Relaxed);
        if events != 0 {
            control.write(control::EVENTS, events);
            if events & (event::RECEIVE_ERROR | event::TRANSMIT_ERROR) != 0 {
                return Err(DeviceError);
            }
            if events & event::LINK != 0 {
                let link = execute(control, command::GET_LINK);
                let state = if link & 1 != 0 { "up" } else { "down" };
                log::info!(target: "drivers", "the network card's link is {state}");
            }
        }
        if is_quiet && control.read(control::REVISION) == u32::MAX {
            return Err(DeviceError);
        }
        if transmit && self.has_two {
            self.mask(1, false);
        }
        self.mask(0, false);
        Ok(())
    }

    fn stop(&mut self) -> bool {
        if !self.is_stopped {
            reset(&*self.windows.control);
            self.is_stopped = true;
        }
        true
    }

    fn leak(&mut self) {
        // `stop` never fails.
    }
}
