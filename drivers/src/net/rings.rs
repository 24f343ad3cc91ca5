//! Network cards with one receive and one transmit ring of descriptors, which the card completes in
//! their order. [`RingCard`] has the driver's record of both rings and the buffers of frames to
//! send; a [`Hardware`] has the card's registers and descriptors.

use alloc::collections::VecDeque;

use super::buffers::{Buffers, PoolSize};
use super::capabilities::is_supported;
use super::{
    Capabilities, Card, ETHERNET, Gso, GsoKind, MAX_FRAME, NetConfig, NetCounters, RxMeta, TxError,
    TxMeta, feature,
};
use crate::queue::DeviceError;
use crate::{Error, MemoryRef};

/// MTU of cards that report none.
const MTU: u16 = 1500;
/// Number of returned receive buffers after which the card gets them although more frames are
/// pending.
const REFILL_BATCH: u16 = 32;
/// Maximum number of invalid frames that one call drops.
const MAX_EXAMINED: u16 = 256;
/// Limits of the number of descriptors of a ring, powers of two.
const RING: core::ops::RangeInclusive<u16> = 64..=1024;
/// Ethernet header without a VLAN tag, its type, and the headers' fields that segmentation changes.
pub(crate) const IP_START: usize = 14;
const TYPE_AT: usize = 12;
const IPV4_CHECKSUM_AT: usize = IP_START + 10;

/// A received frame: the buffer's bytes, and its metadata.
pub(crate) type Received<'a> = (&'a mut [u8], RxMeta);

/// The result of a look at the receive ring.
pub(crate) enum Taken<'a> {
    /// No buffer is complete.
    None,
    /// The next buffer is complete, with a frame.
    Frame(Received<'a>),
    /// The next buffer is complete, without a valid frame.
    Dropped,
}

/// The registers and descriptors of a card. No function blocks; all numbers of the card are checked
/// before they are used.
pub(crate) trait Hardware: Send {
    /// For messages.
    const NAME: &'static str;
    /// Maximum number of descriptors of a frame of [`MAX_FRAME`] bytes.
    const MAX_DESCRIPTORS: u16;

    /// Number of transmit descriptors that may be in use.
    fn capacity(&self) -> u16;

    /// Adapts a frame to the card's offloads, before [`queue`](Hardware::queue). False if the card
    /// can't do them.
    fn prepare(&self, frame: &mut [u8], meta: &TxMeta) -> bool;

    /// Writes the descriptors of a frame of `len` bytes at `phys`, at most
    /// [`MAX_DESCRIPTORS`](Hardware::MAX_DESCRIPTORS), which are free. Returns their number.
    fn queue(&mut self, phys: u64, len: usize, meta: &TxMeta) -> u16;

    /// Whether the card has sent the oldest frame, whose last descriptor is number `last` of all
    /// that were ever written, modulo 2^16. Call again only after [`sent`](Hardware::sent).
    ///
    /// # Errors
    ///
    /// The card completed a descriptor that isn't the last one of that frame.
    fn is_sent(&self, last: u16) -> Result<bool, DeviceError>;

    /// Takes the completion of the oldest frame.
    fn sent(&mut self);

    /// Notifies the card of all written descriptors.
    fn notify(&mut self);

    /// Whether the next receive buffer is complete. No exit.
    fn has_received(&self) -> bool;

    /// Takes the next complete receive buffer, for the driver until
    /// [`return_buffer`](Hardware::return_buffer).
    ///
    /// # Errors
    ///
    /// The card names another buffer.
    fn take(&mut self) -> Result<Taken<'_>, DeviceError>;

    /// Returns a receive buffer to the ring, after each [`take`](Hardware::take) of one.
    fn return_buffer(&mut self);

    /// Gives the card all returned buffers.
    fn refill(&mut self);

    /// Enables the interrupt for the next received frame, and for transmitted ones if `transmit`;
    /// it is masked from then on. `is_quiet`: nothing was received since the last call, and it is
    /// worth a read of the card's status.
    ///
    /// # Errors
    ///
    /// The card was removed or reports an error.
    fn arm(&mut self, transmit: bool, is_quiet: bool) -> Result<(), DeviceError>;

    /// Resets the card: false if it doesn't respond in time, and may still use its memory.
    fn stop(&mut self) -> bool;

    /// Leaks the memory of rings and receive buffers.
    fn leak(&mut self);
}

/// A frame in flight.
struct Sent {
    token: u32,
    descriptors: u16,
}

/// A card. Dropping it resets the card.
pub(crate) struct RingCard<H: Hardware> {
    hardware: H,
    memory: MemoryRef,
    capabilities: Capabilities,
    counters: NetCounters,
    buffers: Buffers,
    /// Frames in flight, the oldest first.
    in_flight: VecDeque<Sent>,
    /// Descriptors in use.
    used: u16,
    /// Number of all descriptors of completed frames, modulo 2^16.
    done: u16,
    /// Descriptors were written since the last notification.
    is_unflushed: bool,
    /// A frame found no room: the caller waits for a buffer.
    is_awaited: bool,
    /// Receive buffers returned since the last refill.
    returned: u16,
    /// Nothing was received since the interrupt was enabled.
    is_quiet: bool,
    is_running: bool,
}

/// Number of descriptors of a ring for `buffers` buffers: a power of two, so that positions modulo
/// 2^16 are positions in the ring.
pub(crate) fn ring_size(buffers: u16) -> u16 {
    let size = buffers.checked_next_power_of_two().unwrap_or(u16::MAX);
    size.clamp(*RING.start(), *RING.end())
}

/// The permitted offloads of a card that computes all checksums and segments TCP.
pub(crate) fn capabilities(mac: Option<[u8; 6]>, permitted: u64) -> Capabilities {
    let has = |bit| permitted & bit != 0;
    let tx_checksum = has(feature::CSUM);
    let (tso4, tso6) = (
        tx_checksum && has(feature::HOST_TSO4),
        tx_checksum && has(feature::HOST_TSO6),
    );
    Capabilities {
        mac,
        mtu: MTU,
        max_transmit: match tso4 || tso6 {
            true => MAX_FRAME,
            false => ETHERNET + usize::from(MTU),
        },
        tx_checksum,
        tso4,
        tso6,
        rx_checksum: has(feature::GUEST_CSUM),
        large_receive4: false,
        large_receive6: false,
    }
}

/// Adapts the headers of a large frame to cards that add the length of each segment to the sums:
/// the TCP checksum is of a pseudo-header without a length, IPv4's own one is 0. False if the frame
/// isn't what `gso` says.
pub(crate) fn prepare_segmentation(frame: &mut [u8], meta: &TxMeta, gso: &Gso) -> bool {
    let Some(sum) = meta.checksum else {
        return false;
    };
    let ethertype = match gso.kind {
        GsoKind::Tcp4 => [0x08, 0x00],
        GsoKind::Tcp6 => [0x86, 0xdd],
    };
    let start = usize::from(sum.start);
    let at = start + usize::from(sum.offset);
    if start < IP_START + 20 || frame.len() < at + 2 || frame[TYPE_AT..TYPE_AT + 2] != ethertype {
        return false;
    }
    // A subtraction in ones' complement. The length has 16 bits: the headers before it are longer
    // than the excess of `MAX_FRAME`.
    let len = (frame.len() - start) as u16;
    let sum = u32::from(u16::from_be_bytes([frame[at], frame[at + 1]])) + u32::from(!len);
    let without = (sum & 0xffff) + (sum >> 16);
    frame[at..at + 2].copy_from_slice(&(without as u16).to_be_bytes());
    if gso.kind == GsoKind::Tcp4 {
        frame[IPV4_CHECKSUM_AT..IPV4_CHECKSUM_AT + 2].fill(0);
    }
    true
}

impl<H: Hardware> RingCard<H> {
    /// Takes a started card.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`]; the card is reset.
    pub fn new(
        hardware: H,
        memory: MemoryRef,
        capabilities: Capabilities,
        config: &NetConfig,
    ) -> Result<RingCard<H>, Error> {
        let one_frame = ETHERNET + usize::from(MTU);
        let small = PoolSize {
            len: one_frame.next_multiple_of(64),
            limit: config.tx_small.max(1),
        };
        let large = PoolSize {
            len: MAX_FRAME.next_multiple_of(64),
            limit: match capabilities.max_transmit > one_frame {
                true => config.tx_large.max(1),
                false => 0,
            },
        };
        let mut hardware = hardware;
        let buffers = match Buffers::new(memory, small, large) {
            Ok(buffers) => buffers,
            Err(error) => {
                if !hardware.stop() {
                    hardware.leak();
                }
                return Err(error);
            }
        };
        Ok(RingCard {
            hardware,
            memory,
            capabilities,
            counters: NetCounters::default(),
            buffers,
            in_flight: VecDeque::new(),
            used: 0,
            done: 0,
            is_unflushed: false,
            is_awaited: false,
            returned: 0,
            is_quiet: false,
            is_running: true,
        })
    }

    fn fail(&mut self) {
        log::error!(
            target: "drivers",
            "the network card ({}) was removed or broke its protocol, and was reset",
            H::NAME
        );
        self.is_running = false;
        self.hardware.stop();
    }

    /// Whether the oldest frame is sent.
    fn is_sent(&self) -> Result<bool, DeviceError> {
        self.in_flight.front().map_or(Ok(false), |oldest| {
            let last = self.done.wrapping_add(oldest.descriptors - 1);
            self.hardware.is_sent(last)
        })
    }

    /// Reclaims the buffers of sent frames.
    fn reclaim(&mut self) -> Result<(), DeviceError> {
        while self.is_sent()?
            && let Some(sent) = self.in_flight.pop_front()
        {
            self.hardware.sent();
            self.done = self.done.wrapping_add(sent.descriptors);
            self.used -= sent.descriptors;
            self.buffers.give_back(sent.token);
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.used + H::MAX_DESCRIPTORS <= self.hardware.capacity()
    }

    /// See [`Card::can_transmit`].
    fn find_room(&mut self) -> Result<bool, DeviceError> {
        if self.has_room() && self.buffers.has_largest() {
            return Ok(true);
        }
        self.reclaim()?;
        self.buffers.grow_largest();
        let found = self.has_room() && self.buffers.has_largest();
        self.is_awaited |= !found;
        Ok(found)
    }

    /// A buffer for `len` bytes.
    fn buffer(&mut self, len: usize) -> Result<Option<u32>, DeviceError> {
        if !self.has_room() {
            self.reclaim()?;
        }
        if self.has_room()
            && let Some(token) = self.buffers.take(len)
        {
            return Ok(Some(token));
        }
        self.reclaim()?;
        self.buffers.grow_small(len);
        if !self.find_room()? {
            return Ok(None);
        }
        Ok(self.buffers.take(len))
    }

    fn try_transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<Result<(), TxError>, DeviceError> {
        let Some(token) = self.buffer(len)? else {
            return Ok(Err(TxError::Full));
        };
        let Some((region, offset)) = self.buffers.place(token) else {
            return Ok(Err(TxError::Full));
        };
        // SAFETY: the buffer was free, so neither the card nor a caller has it.
        let frame = unsafe { region.slice(offset, len) };
        let meta = fill(frame);
        let phys = region.phys(offset);
        if !is_supported(&self.capabilities, len, &meta) || !self.hardware.prepare(frame, &meta) {
            self.buffers.give_back(token);
            return Ok(Err(TxError::BadFrame));
        }
        let descriptors = self.hardware.queue(phys, len, &meta);
        self.used += descriptors;
        self.in_flight.push_back(Sent { token, descriptors });
        self.is_unflushed = true;
        self.is_awaited = false;
        self.counters.tx_frames += 1;
        Ok(Ok(()))
    }

    fn notify(&mut self) {
        if core::mem::take(&mut self.is_unflushed) {
            self.hardware.notify();
        }
    }

    fn refill(&mut self) {
        if core::mem::take(&mut self.returned) > 0 {
            self.hardware.refill();
        }
    }

    fn try_receive(
        &mut self,
        deliver: &mut dyn FnMut(&mut [u8], RxMeta),
    ) -> Result<bool, DeviceError> {
        for _ in 0..MAX_EXAMINED {
            let delivered = match self.hardware.take()? {
                Taken::None => break,
                Taken::Frame((frame, meta)) => {
                    deliver(frame, meta);
                    true
                }
                Taken::Dropped => false,
            };
            self.is_quiet = false;
            self.hardware.return_buffer();
            self.returned += 1;
            if self.returned >= REFILL_BATCH {
                self.refill();
            }
            if delivered {
                self.counters.rx_frames += 1;
                return Ok(true);
            }
            self.counters.rx_dropped += 1;
        }
        self.refill();
        Ok(false)
    }

    /// Whether there is work: a received frame, or awaited room.
    fn has_work(&self) -> bool {
        // An error is work: the next call finds it.
        self.hardware.has_received() || self.is_awaited && self.is_sent() != Ok(false)
    }
}

impl<H: Hardware> Card for RingCard<H> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_running(&self) -> bool {
        self.is_running
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }

    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        if !self.is_running {
            return false;
        }
        self.try_receive(deliver).unwrap_or_else(|DeviceError| {
            self.fail();
            false
        })
    }

    fn can_transmit(&mut self) -> bool {
        if !self.is_running {
            return false;
        }
        match self.find_room() {
            Ok(true) => true,
            Ok(false) => {
                // A caller that waits for room must not wait for frames that the card hasn't been
                // notified of.
                self.notify();
                false
            }
            Err(DeviceError) => {
                self.fail();
                false
            }
        }
    }

    fn transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<(), TxError> {
        if !self.is_running {
            return Err(TxError::DeviceError);
        }
        if len == 0 || len > self.capabilities.max_transmit {
            return Err(TxError::BadFrame);
        }
        match self.try_transmit(len, fill) {
            Ok(Err(error)) => {
                // As in `can_transmit`.
                self.notify();
                Err(error)
            }
            Ok(sent) => sent,
            Err(DeviceError) => {
                self.fail();
                Err(TxError::DeviceError)
            }
        }
    }

    fn flush(&mut self) {
        if self.is_running {
            self.notify();
        }
    }

    fn is_drained(&mut self) -> bool {
        if self.is_running && self.reclaim().is_err() {
            self.fail();
        }
        !self.is_running || self.in_flight.is_empty()
    }

    fn has_pending(&self) -> bool {
        self.is_running && self.has_work()
    }

    fn enable_interrupts(&mut self) -> bool {
        if !self.is_running {
            return false;
        }
        self.refill();
        if self.has_work() {
            return true;
        }
        if self.hardware.arm(self.is_awaited, self.is_quiet).is_err() {
            self.fail();
            return false;
        }
        self.is_quiet = true;
        // The interrupt must be enabled before the rings are read once more: the card looks at them
        // in the other order.
        self.memory.barrier();
        self.has_work()
    }

    fn disable_interrupts(&mut self) {
        // The card, or the handler of its line, masked the interrupt when it occurred. If it
        // didn't occur, one more may.
    }
}

impl<H: Hardware> Drop for RingCard<H> {
    fn drop(&mut self) {
        if !self.hardware.stop() {
            self.hardware.leak();
            self.buffers.leak();
        }
    }
}
