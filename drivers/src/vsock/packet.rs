//! The header of packets (virtio 1.2, 5.10.6).

/// Bytes of a header.
pub const HEADER_LEN: usize = 44;

/// `VIRTIO_VSOCK_TYPE_STREAM`.
pub const STREAM: u16 = 1;

/// Bits of [`Header::flags`] with [`Operation::SHUTDOWN`] (5.10.6.5).
pub mod shutdown {
    /// The sender receives no more.
    pub const RECEIVE: u32 = 1;
    /// The sender sends no more.
    pub const SEND: u32 = 2;
}

/// The operation of a packet (virtio 1.2, 5.10.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation(pub u16);

impl Operation {
    /// Requests a connection.
    pub const REQUEST: Operation = Operation(1);
    /// Accepts it.
    pub const RESPONSE: Operation = Operation(2);
    /// Refuses or ends a connection.
    pub const RESET: Operation = Operation(3);
    /// Announces that the sender receives or sends no more.
    pub const SHUTDOWN: Operation = Operation(4);
    /// Carries bytes.
    pub const DATA: Operation = Operation(5);
    /// Tells the sender's credit.
    pub const CREDIT_UPDATE: Operation = Operation(6);
    /// Requests the receiver's credit.
    pub const CREDIT_REQUEST: Operation = Operation(7);
}

/// A context identifier and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The machine.
    pub cid: u64,
    /// The port in it.
    pub port: u32,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender.
    pub source: Address,
    /// The receiver.
    pub destination: Address,
    /// Bytes that follow the header.
    pub len: u32,
    /// The kind of socket; [`STREAM`] is the only one in use.
    pub kind: u16,
    /// Its operation.
    pub operation: Operation,
    /// Bits that belong to the operation.
    pub flags: u32,
    /// Bytes that the sender of the packet can buffer (5.10.6.3).
    pub buffer: u32,
    /// Bytes that its program has taken, modulo 2^32.
    pub taken: u32,
}

impl Header {
    /// Decodes a header; `None` for fewer than [`HEADER_LEN`] bytes.
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let address = |cid, port| Address {
            cid: u64_at(cid),
            port: u32_at(port),
        };
        Some(Header {
            source: address(0, 16),
            destination: address(8, 20),
            len: u32_at(24),
            kind: u16_at(28),
            operation: Operation(u16_at(30)),
            flags: u32_at(32),
            buffer: u32_at(36),
            taken: u32_at(40),
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.source.cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.destination.cid.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.source.port.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.destination.port.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.len.to_le_bytes());
        bytes[28..30].copy_from_slice(&self.kind.to_le_bytes());
        bytes[30..32].copy_from_slice(&self.operation.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.flags.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.buffer.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.taken.to_le_bytes());
        bytes
    }

    /// The refusal of this packet.
    pub fn refusal(&self) -> Header {
        Header {
            source: self.destination,
            destination: self.source,
            len: 0,
            kind: self.kind,
            operation: Operation::RESET,
            flags: 0,
            buffer: 0,
            taken: 0,
        }
    }
}
