//! The registers and rings of a card.

use alloc::boxed::Box;
use sync::atomic::{AtomicU32, Ordering, fence};

use super::registers::{cause, control, extended, offset, receive, ring, transmit};
use super::{Family, descriptors, registers, reset};
use crate::net::rings::{self, Taken, ring_size};
use crate::net::{Capabilities, GsoKind, MAX_FRAME, NetConfig, RxMeta, TxMeta};
use crate::queue::DeviceError;
use crate::registers::Registers;
use crate::{Error, MemoryRef, Region};

/// Bytes of a receive buffer: a frame of the MTU.
const BUFFER: usize = 2048;
/// Maximum bytes of a descriptor to send.
const CHUNK: usize = 8192;

/// A ring of descriptors.
struct Ring {
    memory: Region,
    size: u16,
    /// Position of the driver, modulo 2^16.
    next: u16,
}

impl Ring {
    fn new(memory: MemoryRef, size: u16) -> Result<Ring, Error> {
        let len = usize::from(size) * descriptors::BYTES;
        Ok(Ring {
            memory: Region::new(memory, len, 4096).ok_or(Error::OutOfMemory)?,
            size,
            next: 0,
        })
    }

    fn slot(&self, position: u16) -> usize {
        usize::from(position % self.size)
    }

    /// A word of a descriptor, which the card may write.
    fn word(&self, position: u16, offset: usize) -> &AtomicU32 {
        let at = self.slot(position) * descriptors::BYTES + offset;
        // SAFETY: an aligned word of the ring, which is accessed only atomically.
        unsafe { AtomicU32::from_ptr(self.memory.ptr(at).cast().as_ptr()) }
    }

    fn write(&self, position: u16, words: [u32; 4]) {
        for (index, word) in words.into_iter().enumerate() {
            self.word(position, index * 4)
                .store(word, Ordering::Relaxed);
        }
    }

    fn status(&self, position: u16) -> u32 {
        self.word(position, descriptors::STATUS_AT)
            .load(Ordering::Relaxed)
    }

    /// Sets the ring's registers: it is empty.
    fn set_up(&self, registers: &dyn Registers, base: usize) {
        let address = self.memory.phys(0);
        let values = [
            (ring::ADDRESS_LOW, address as u32),
            (ring::ADDRESS_HIGH, (address >> 32) as u32),
            (ring::LEN, u32::from(self.size) * descriptors::BYTES as u32),
            (ring::HEAD, 0),
            (ring::TAIL, 0),
            (ring::DELAY, 0),
            (ring::MAX_DELAY, 0),
        ];
        for (at, value) in values {
            registers.write(base + at, value);
        }
    }

    /// Passes all descriptors before `position` to the card.
    fn ring(&self, registers: &dyn Registers, base: usize, position: u16) {
        // The descriptors must be in memory before the card fetches them; see
        // `nvme::queue::QueuePair::kick`.
        fence(Ordering::Release);
        registers.write(base + ring::TAIL, self.slot(position) as u32);
    }
}

pub(super) struct Hardware {
    registers: Box<dyn Registers>,
    memory: MemoryRef,
    family: Family,
    receive: Ring,
    /// Buffer `i` is the one of descriptor `i`.
    buffers: Region,
    transmit: Ring,
    /// The context that the card has.
    context: Option<[u32; 4]>,
    has_link: bool,
    is_stopped: bool,
}

impl Hardware {
    /// Starts a card after its reset.
    pub fn new(
        registers: Box<dyn Registers>,
        memory: MemoryRef,
        family: Family,
        capabilities: &Capabilities,
        config: &NetConfig,
    ) -> Result<Hardware, Error> {
        let receive = Ring::new(memory, ring_size(config.rx_buffers))?;
        let transmit = Ring::new(memory, ring_size(config.tx_small))?;
        let len = usize::from(receive.size) * BUFFER;
        let buffers = Region::new(memory, len, 4096).ok_or(Error::OutOfMemory)?;
        let mut hardware = Hardware {
            registers,
            memory,
            family,
            receive,
            buffers,
            transmit,
            context: None,
            has_link: true,
            is_stopped: false,
        };
        hardware.set_up(capabilities);
        Ok(hardware)
    }

    fn write(&self, offset: usize, value: u32) {
        self.registers.write(offset, value);
    }

    fn set_up(&mut self, capabilities: &Capabilities) {
        let registers = &*self.registers;
        if self.family == Family::Express {
            let causes = cause::RECEIVE_QUEUE | cause::TRANSMIT_QUEUE;
            let bits = registers.read(offset::EXTENDED_CONTROL)
                | extended::AUTO_MASK
                | extended::DRIVER_LOADED
                | extended::CLEAR_PENDING;
            self.write(offset::EXTENDED_CONTROL, bits);
            self.write(offset::INTERRUPT_VECTORS, registers::BOTH_QUEUES_VECTOR_0);
            self.write(offset::INTERRUPT_AUTO_CLEAR, causes);
            self.write(offset::INTERRUPT_AUTO_MASK, causes);
            self.write(offset::VECTOR_THROTTLE, 0);
            self.write(offset::RECEIVE_FILTER, 0);
            self.write(offset::MULTIPLE_QUEUES, 0);
        }
        self.write(offset::INTERRUPT_THROTTLE, 0);
        let cleared = control::LINK_RESET
            | control::INVERT_LOSS
            | control::FORCE_SPEED
            | control::FORCE_DUPLEX
            | control::RESET
            | control::VLAN
            | control::PHY_RESET;
        let bits = registers.read(offset::CONTROL) & !cleared;
        let bits = bits | control::LINK_UP | control::DETECT_SPEED;
        self.write(offset::CONTROL, bits);
        self.receive.set_up(registers, offset::RECEIVE_RING);
        self.transmit.set_up(registers, offset::TRANSMIT_RING);
        let checks = match capabilities.rx_checksum {
            true => registers::CHECK_IP | registers::CHECK_TCP_UDP,
            false => 0,
        };
        self.write(offset::RECEIVE_CHECKSUM, checks);
        let reserved = match self.family {
            Family::Pci => 0,
            Family::Express => registers::EXPRESS_RESERVED,
        };
        self.write(
            offset::TRANSMIT_DESCRIPTOR_CONTROL,
            registers::WRITE_BACK_EACH | reserved,
        );
        self.write(offset::TRANSMIT_GAP, registers::COPPER_GAP);
        let bits = transmit::ENABLE | transmit::PAD_SHORT | transmit::COLLISIONS;
        self.write(offset::TRANSMIT_CONTROL, bits);
        // The stack's address may be another one than the card's (`SOIL_MAC`), and the stack
        // filters.
        let bits = receive::ENABLE
            | receive::ALL_UNICAST
            | receive::ALL_MULTICAST
            | receive::BROADCAST
            | receive::STRIP_CRC;
        self.write(offset::RECEIVE_CONTROL, bits);
        for position in 0..self.receive.size {
            self.provide(position);
        }
        rings::Hardware::refill(self);
    }

    /// Writes the descriptor of a buffer for the card.
    fn provide(&self, position: u16) {
        let phys = self.buffers.phys(self.receive.slot(position) * BUFFER);
        let words = [phys as u32, (phys >> 32) as u32, 0, 0];
        self.receive.write(position, words);
    }

    /// The causes of interrupts.
    fn causes(&self, transmit: bool) -> u32 {
        let (received, sent) = match self.family {
            Family::Express if !self.registers.interrupt().needs_acknowledge() => {
                (cause::RECEIVE_QUEUE, cause::TRANSMIT_QUEUE)
            }
            _ => (cause::RECEIVED, cause::SENT),
        };
        received | if transmit { sent } else { 0 }
    }
}

impl rings::Hardware for Hardware {
    const NAME: &'static str = "e1000e";
    /// A context, and 64 KiB.
    const MAX_DESCRIPTORS: u16 = 1 + (MAX_FRAME.div_ceil(CHUNK)) as u16;

    fn capacity(&self) -> u16 {
        // Equal head and tail are an empty ring.
        self.transmit.size - 1
    }

    fn prepare(&self, frame: &mut [u8], meta: &TxMeta) -> bool {
        if !descriptors::fits(meta) {
            return false;
        }
        let Some(gso) = meta.gso else {
            return true;
        };
        let prepared = rings::prepare_segmentation(frame, meta, &gso);
        // The card fills in the length.
        let at = rings::IP_START
            + match gso.kind {
                GsoKind::Tcp4 => 2,
                GsoKind::Tcp6 => 4,
            };
        if let Some(field) = frame.get_mut(at..at + 2) {
            field.fill(0);
        }
        prepared
    }

    fn queue(&mut self, phys: u64, len: usize, meta: &TxMeta) -> u16 {
        let first = self.transmit.next;
        if let Some(context) = descriptors::context(meta, len)
            && self.context != Some(context)
        {
            self.transmit.write(self.transmit.next, context);
            self.transmit.next = self.transmit.next.wrapping_add(1);
            self.context = Some(context);
        }
        for at in (0..len).step_by(CHUNK) {
            let part = CHUNK.min(len - at);
            let last = at + part == len;
            let words = descriptors::data(phys + at as u64, part, meta, last);
            self.transmit.write(self.transmit.next, words);
            self.transmit.next = self.transmit.next.wrapping_add(1);
        }
        self.transmit.next.wrapping_sub(first)
    }

    fn is_sent(&self, last: u16) -> Result<bool, DeviceError> {
        Ok(self.transmit.status(last) & descriptors::DONE != 0)
    }

    fn sent(&mut self) {}

    fn notify(&mut self) {
        let ring = &self.transmit;
        ring.ring(&*self.registers, offset::TRANSMIT_RING, ring.next);
    }

    fn has_received(&self) -> bool {
        self.receive.status(self.receive.next) & descriptors::DONE != 0
    }

    fn take(&mut self) -> Result<Taken<'_>, DeviceError> {
        use descriptors::status;
        let position = self.receive.next;
        let found = self.receive.status(position);
        if found & descriptors::DONE == 0 {
            return Ok(Taken::None);
        }
        // Acquire: the card writes the frame and the rest of the descriptor first.
        fence(Ordering::Acquire);
        self.receive.next = position.wrapping_add(1);
        let word = self.receive.word(position, descriptors::LEN_AT);
        let len = usize::from(word.load(Ordering::Relaxed) as u16);
        if found & status::END == 0
            || found & status::BAD_FRAME != 0
            || !(1..=BUFFER).contains(&len)
        {
            return Ok(Taken::Dropped);
        }
        let start = self.receive.slot(position) * BUFFER;
        // SAFETY: the card is done with the buffer, which isn't given to it again until `refill`;
        // the borrow of `self` ends before.
        let frame = unsafe { self.buffers.slice(start, len) };
        let checksum = descriptors::checksum(found);
        Ok(Taken::Frame((
            frame,
            RxMeta {
                checksum,
                gso: None,
            },
        )))
    }

    fn return_buffer(&mut self) {
        self.provide(self.receive.next.wrapping_sub(1));
    }

    fn refill(&mut self) {
        // All but one: equal head and tail are an empty ring.
        let position = self.receive.next.wrapping_sub(1);
        self.receive
            .ring(&*self.registers, offset::RECEIVE_RING, position);
    }

    fn arm(&mut self, transmit: bool, _: bool) -> Result<(), DeviceError> {
        // Causes that occurred meanwhile would interrupt at once; their work is done, or found
        // after this.
        self.write(offset::INTERRUPT_CAUSE, u32::MAX);
        self.write(offset::INTERRUPT_MASK_SET, self.causes(transmit));
        // The read waits until the writes have arrived: later causes are kept, and earlier frames
        // are in memory.
        let status = self.registers.read(offset::STATUS);
        if status == u32::MAX {
            return Err(DeviceError);
        }
        let has_link = status & registers::STATUS_LINK_UP != 0;
        if has_link != self.has_link {
            self.has_link = has_link;
            let state = if has_link { "up" } else { "down" };
            log::info!(target: "drivers", "the network card's link is {state}");
        }
        Ok(())
    }

    fn stop(&mut self) -> bool {
        self.is_stopped = self.is_stopped || reset(&*self.registers, self.memory);
        self.is_stopped
    }

    fn leak(&mut self) {
        self.receive.memory.leak();
        self.buffers.leak();
        self.transmit.memory.leak();
    }
}
