//! Registers, commands, and the memory that the driver shares with a card. All values are little
//! endian.

/// Bytes of each window of registers.
pub const LEN: usize = 4096;

/// Offsets in the window for data. Each register has 8 bytes, of which 4 are used.
pub mod data {
    /// 1 masks the vector with the number of the register.
    pub const INTERRUPT_MASK: usize = 0;
    pub const STRIDE: usize = 8;
    /// Next descriptor that the driver will write.
    pub const TRANSMIT: usize = 0x600;
    pub const RECEIVE: usize = 0x800;
}

/// Offsets in the window for control.
pub mod control {
    pub const REVISION: usize = 0x00;
    pub const PASS_THROUGH_REVISION: usize = 0x08;
    pub const SHARED_LOW: usize = 0x10;
    pub const SHARED_HIGH: usize = 0x18;
    /// A write is a command, and a read gives its result.
    pub const COMMAND: usize = 0x20;
    pub const ADDRESS_LOW: usize = 0x28;
    pub const ADDRESS_HIGH: usize = 0x30;
    /// Clears events.
    pub const EVENTS: usize = 0x40;
}

pub mod command {
    pub const ACTIVATE: u32 = 0xcafe_0000;
    pub const QUIESCE: u32 = 0xcafe_0001;
    pub const RESET: u32 = 0xcafe_0002;
    /// Bit 0 of the result: the link is up.
    pub const GET_LINK: u32 = 0xf00d_0002;
}

/// Bits of events.
pub mod event {
    pub const RECEIVE_ERROR: u32 = 1;
    pub const TRANSMIT_ERROR: u32 = 1 << 1;
    pub const LINK: u32 = 1 << 2;
}

/// Offsets in the shared memory that describes the driver.
pub mod shared {
    pub const BYTES: usize = 720;
    pub const MAGIC: (usize, u32) = (0, 0xbabe_fee1);
    pub const DRIVER_VERSION: usize = 8;
    /// 64 bits in bits 0 and 1, the kind of system in bits 2 to 5.
    pub const SYSTEM: usize = 12;
    pub const REVISION: usize = 16;
    pub const PASS_THROUGH_REVISION: usize = 20;
    pub const FEATURES: usize = 24;
    /// Physical address, and bytes, of the queues' descriptions.
    pub const QUEUES: usize = 40;
    pub const QUEUES_LEN: usize = 52;
    pub const MTU: usize = 56;
    /// Buffers of a received frame in bits 0 to 15, transmit queues in 16 to 23, receive queues in
    /// 24 to 31.
    pub const COUNTS: usize = 60;
    /// The card masks vectors in bits 0 to 7, number of vectors in 8 to 15, vector of events in 16
    /// to 23.
    pub const INTERRUPTS: usize = 80;
    pub const FILTER: usize = 120;
    /// The card's events.
    pub const EVENTS: usize = 696;
}

/// Features: received checksums are verified.
pub const FEATURE_RX_CHECKSUM: u32 = 1;
/// The system in [`shared::SYSTEM`]: 64 bits, as Linux.
pub const SYSTEM_64_BITS: u32 = 2 | 1 << 2;
/// All frames: unicast, multicast, broadcast, all multicast, any address.
pub const FILTER_NONE: u32 = 0x1f;

/// Offsets in the description of a queue, of either kind.
pub mod queue {
    pub const BYTES: usize = 256;
    /// Receive queues: whether the card wants the doorbell.
    pub const WANTS_DOORBELL: usize = 0;
    pub const RING: usize = 16;
    /// Receive queues: the second ring; transmit queues: unused.
    pub const SECOND_RING: usize = 24;
    pub const COMPLETIONS: usize = 32;
    pub const RING_SIZE: usize = 56;
    pub const SECOND_SIZE: usize = 60;
    pub const COMPLETIONS_SIZE: usize = 64;
    pub const VECTOR: usize = 72;
}

/// Bytes of descriptors and completions.
pub const DESCRIPTOR: usize = 16;

/// The third and fourth word of descriptors to send: length in bits 0 to 13 (0 is 16384).
pub mod transmit {
    pub const GENERATION: u32 = 1 << 14;
    /// Segment size, or place of the checksum.
    pub const SIZE_SHIFT: u32 = 18;
    pub const CHECKSUM: u32 = 2 << 10;
    pub const SEGMENT: u32 = 3 << 10;
    pub const END: u32 = 1 << 12;
    pub const REPORT: u32 = 1 << 13;
}

/// The third word of receive descriptors: length in bits 0 to 13, for the start of a frame.
pub const RECEIVE_GENERATION: u32 = 1 << 31;

/// Completions: the descriptor in bits 0 to 11 of the first word, and in the last word:
pub const COMPLETION_GENERATION: u32 = 1 << 31;
pub const INDEX: u32 = 0xfff;

/// Completions of received frames.
pub mod received {
    /// First word: last and first buffer of a frame, queue and ring, checksum not verified.
    pub const END: u32 = 1 << 14;
    pub const START: u32 = 1 << 15;
    pub const RING: u32 = 0x3ff << 16;
    pub const UNVERIFIED: u32 = 1 << 30;
    /// Third word: length in bits 0 to 13.
    pub const LEN: u32 = 0x3fff;
    pub const ERROR: u32 = 1 << 14;
    /// Last word.
    pub const L4_RIGHT: u32 = 1 << 16;
    pub const UDP: u32 = 1 << 17;
    pub const TCP: u32 = 1 << 18;
    pub const IP_RIGHT: u32 = 1 << 19;
    pub const IPV6: u32 = 1 << 20;
    pub const IPV4: u32 = 1 << 21;
    pub const FRAGMENT: u32 = 1 << 22;
}
