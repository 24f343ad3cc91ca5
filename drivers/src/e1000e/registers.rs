//! Offsets and bits of the registers that the driver uses (82574 datasheet, 10).

/// Bytes of the registers.
pub const LEN: usize = 0x2_0000;

/// Offsets in bytes.
pub mod offset {
    pub const CONTROL: usize = 0x0000;
    pub const STATUS: usize = 0x0008;
    pub const EEPROM_READ: usize = 0x0014;
    pub const EXTENDED_CONTROL: usize = 0x0018;
    pub const INTERRUPT_CAUSE: usize = 0x00c0;
    pub const INTERRUPT_THROTTLE: usize = 0x00c4;
    pub const INTERRUPT_MASK_SET: usize = 0x00d0;
    pub const INTERRUPT_MASK_CLEAR: usize = 0x00d8;
    pub const INTERRUPT_AUTO_CLEAR: usize = 0x00dc;
    pub const INTERRUPT_AUTO_MASK: usize = 0x00e0;
    pub const INTERRUPT_VECTORS: usize = 0x00e4;
    pub const VECTOR_THROTTLE: usize = 0x00e8;
    pub const RECEIVE_CONTROL: usize = 0x0100;
    pub const TRANSMIT_CONTROL: usize = 0x0400;
    pub const TRANSMIT_GAP: usize = 0x0410;
    pub const RECEIVE_RING: usize = 0x2800;
    pub const TRANSMIT_RING: usize = 0x3800;
    pub const TRANSMIT_DESCRIPTOR_CONTROL: usize = 0x3828;
    pub const RECEIVE_CHECKSUM: usize = 0x5000;
    pub const RECEIVE_FILTER: usize = 0x5008;
    pub const RECEIVE_ADDRESS_LOW: usize = 0x5400;
    pub const RECEIVE_ADDRESS_HIGH: usize = 0x5404;
    pub const MULTIPLE_QUEUES: usize = 0x5818;
}

/// Offsets of a ring's registers from [`offset::RECEIVE_RING`] or [`offset::TRANSMIT_RING`].
pub mod ring {
    pub const ADDRESS_LOW: usize = 0x00;
    pub const ADDRESS_HIGH: usize = 0x04;
    /// Bytes of the ring.
    pub const LEN: usize = 0x08;
    pub const HEAD: usize = 0x10;
    pub const TAIL: usize = 0x18;
    /// Delays of interrupts: of the next, and at most.
    pub const DELAY: usize = 0x20;
    pub const MAX_DELAY: usize = 0x2c;
}

/// Device Control.
pub mod control {
    pub const LINK_RESET: u32 = 1 << 3;
    pub const DETECT_SPEED: u32 = 1 << 5;
    pub const LINK_UP: u32 = 1 << 6;
    pub const INVERT_LOSS: u32 = 1 << 7;
    pub const FORCE_SPEED: u32 = 1 << 11;
    pub const FORCE_DUPLEX: u32 = 1 << 12;
    pub const RESET: u32 = 1 << 26;
    pub const VLAN: u32 = 1 << 30;
    pub const PHY_RESET: u32 = 1 << 31;
}

/// Device Status: the link is up.
pub const STATUS_LINK_UP: u32 = 1 << 1;

/// EEPROM Read: start.
pub const EEPROM_START: u32 = 1;

/// Receive Address High: the address is valid.
pub const ADDRESS_VALID: u32 = 1 << 31;

/// Extended Device Control (82574L).
pub mod extended {
    /// A message masks the causes in `INTERRUPT_AUTO_MASK`.
    pub const AUTO_MASK: u32 = 1 << 24;
    pub const DRIVER_LOADED: u32 = 1 << 28;
    /// Unmasking a cause clears the pending bit of its message.
    pub const CLEAR_PENDING: u32 = 1 << 31;
}

/// Interrupt causes.
pub mod cause {
    pub const SENT: u32 = 1;
    pub const RECEIVED: u32 = 1 << 7;
    /// With MSI-X.
    pub const RECEIVE_QUEUE: u32 = 1 << 20;
    pub const TRANSMIT_QUEUE: u32 = 1 << 22;
}

/// Interrupt vectors: both queues use vector 0 (their fields are its number and a valid bit).
pub const BOTH_QUEUES_VECTOR_0: u32 = 1 << 3 | 1 << 11;

/// Receive Control. The buffer size of 2048 bytes is 0.
pub mod receive {
    pub const ENABLE: u32 = 1 << 1;
    pub const ALL_UNICAST: u32 = 1 << 3;
    pub const ALL_MULTICAST: u32 = 1 << 4;
    pub const BROADCAST: u32 = 1 << 15;
    pub const STRIP_CRC: u32 = 1 << 26;
}

/// Transmit Control.
pub mod transmit {
    pub const ENABLE: u32 = 1 << 1;
    pub const PAD_SHORT: u32 = 1 << 3;
    /// 15 tries after collisions, and their distance in full duplex.
    pub const COLLISIONS: u32 = 0xf << 4 | 0x3f << 12;
}

/// Transmit inter-packet gap of copper.
pub const COPPER_GAP: u32 = 8 | 8 << 10 | 6 << 20;

/// Transmit Descriptor Control: thresholds count descriptors, and each one is written back.
pub const WRITE_BACK_EACH: u32 = 1 << 24 | 1 << 16;
/// Likewise; the 82574L needs it set.
pub const EXPRESS_RESERVED: u32 = 1 << 22;

/// Receive Checksum Control: IP, and TCP and UDP.
pub const CHECK_IP: u32 = 1 << 8;
pub const CHECK_TCP_UDP: u32 = 1 << 9;
