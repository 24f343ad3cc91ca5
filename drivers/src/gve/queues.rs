//! The interface of both formats of queues: a receive and a transmit queue.

use alloc::vec::Vec;

use super::frames::Part;
use super::registers::Words;
use super::shared::{Queue, Shared};
use super::slots::{Slot, Slots};
use crate::net::TxMeta;
use crate::queue::DeviceError;
use crate::registers::Registers;

/// The device's report of a received frame's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Unknown,
    Valid,
    /// The sum of the bytes from the IP header on.
    Sum(u16),
}

/// A received frame, whose parts were collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    Valid(Checksum),
    /// The device found an error in it.
    Bad,
}

/// A frame to send, in a slot.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    pub slot: Slot,
    /// Physical address, for devices with raw addresses.
    pub phys: u64,
    /// Offset in the list of pages, for others.
    pub offset: usize,
    pub len: usize,
    pub meta: TxMeta,
}

/// The addresses of rings, as the commands that create the queues have them.
pub struct Rings {
    pub transmit: [u32; 2],
    /// 0 for formats without such a ring.
    pub transmit_completions: [u32; 2],
    /// The ring of received frames, which the device writes.
    pub receive: [u32; 2],
    /// The ring of receive buffers.
    pub buffers: [u32; 2],
}

/// A receive and a transmit queue. All numbers of the device are checked before use.
pub trait Queues: Send {
    /// The memory that both queues share.
    fn shared(&mut self) -> &mut Shared;

    fn rings(&self) -> Rings;

    /// Takes the device's table of types of packets, if the format has one.
    fn set_types(&mut self, _: &Words) {}

    /// The shortest and the longest frame that can be sent, in bytes.
    fn lengths(&self) -> core::ops::RangeInclusive<usize>;

    /// Adapts a frame that is to be segmented or to get a checksum. False if the format can't
    /// express it.
    fn prepare(&self, frame: &mut [u8], meta: &TxMeta) -> bool;

    /// Whether the transmit queue has descriptors for any frame.
    fn has_room(&self) -> bool;

    /// Writes a frame's descriptors. There is [room](Queues::has_room).
    fn queue(&mut self, frame: Sending);

    /// Announces the written descriptors to the device: one exit, or none.
    fn ring_transmit(&mut self, doorbells: &dyn Registers);

    /// Takes completions, and returns the slots of sent frames. True if there were any completions.
    ///
    /// # Errors
    ///
    /// The device completed something that isn't in flight.
    fn reclaim(&mut self, slots: &mut Slots) -> Result<bool, DeviceError>;

    /// Whether [`reclaim`](Queues::reclaim) would find something. No exit.
    fn has_sent(&self) -> bool;

    /// Number of frames in flight.
    fn in_flight(&self) -> usize;

    /// Adds the parts of the next received frame to `parts`, and returns the frame when it is
    /// whole. Parts of a frame that isn't stay in `parts`.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn collect(&mut self, parts: &mut Vec<Part>) -> Result<Option<Frame>, DeviceError>;

    /// Whether [`collect`](Queues::collect) would find something. No exit.
    fn has_received(&self) -> bool;

    /// Gives the buffers of a frame back, in the order in which they were received.
    fn give_back(&mut self, parts: &[Part]);

    /// Announces the returned buffers to the device: one exit, or none.
    fn ring_receive(&mut self, doorbells: &dyn Registers);

    /// Enables the interrupt of a queue.
    fn enable_interrupt(&self, queue: Queue, doorbells: &dyn Registers);

    /// Disables it, unless the device did.
    fn disable_interrupt(&self, queue: Queue, doorbells: &dyn Registers);

    fn leak(&mut self);
}
