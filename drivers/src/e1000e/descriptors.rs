//! Descriptors of 16 bytes: received frames (legacy), contexts and data of frames to send.

use crate::net::{GsoKind, RxChecksum, TxChecksum, TxMeta};

/// Bytes of a descriptor.
pub const BYTES: usize = 16;
/// Offset of the word with status bits in any descriptor that the card completes.
pub const STATUS_AT: usize = 12;
/// Offset of the word with the length in a received one.
pub const LEN_AT: usize = 8;

/// Status of both kinds: the card is done with the descriptor.
pub const DONE: u32 = 1;

/// Status of received frames, with the errors in bits 8 to 15.
pub mod status {
    pub const END: u32 = 1 << 1;
    pub const IGNORE_CHECKSUM: u32 = 1 << 2;
    pub const TCP_UDP_CHECKED: u32 = 1 << 5;
    pub const TCP_UDP_WRONG: u32 = 1 << 13;
    pub const IP_WRONG: u32 = 1 << 14;
    /// CRC or alignment, symbol, sequence, carrier, data.
    pub const BAD_FRAME: u32 = 0b1001_0111 << 8;
}

/// The state of a received frame's checksum, by its status.
pub fn checksum(status: u32) -> RxChecksum {
    let wrong = status::TCP_UDP_WRONG | status::IP_WRONG | status::IGNORE_CHECKSUM;
    match status & (wrong | status::TCP_UDP_CHECKED) {
        status::TCP_UDP_CHECKED => RxChecksum::Valid,
        _ => RxChecksum::Unknown,
    }
}

/// Command bits of the third word of descriptors to send.
mod command {
    pub const END: u32 = 1 << 24;
    pub const INSERT_CRC: u32 = 1 << 25;
    /// In contexts: TCP (else UDP), IPv4 (else IPv6).
    pub const TCP: u32 = 1 << 24;
    pub const IPV4: u32 = 1 << 25;
    pub const SEGMENT: u32 = 1 << 26;
    pub const REPORT: u32 = 1 << 27;
    pub const EXTENDED: u32 = 1 << 29;
    /// The type of data; contexts have 0.
    pub const DATA: u32 = 1 << 20;
}

/// Options in the last word: insert IP's checksum, TCP's or UDP's.
const INSERT_IP: u32 = 1 << 8;
const INSERT_TCP_UDP: u32 = 1 << 9;

/// Start of the IP header, and of its checksum.
const IP_START: u32 = 14;
const IP_CHECKSUM_AT: u32 = IP_START + 10;
/// Offset of TCP's checksum.
const TCP_CHECKSUM: u16 = 16;

/// The context that a frame of `len` bytes needs, if any. Offsets have 8 bits
/// ([`fits`] checks them).
pub fn context(meta: &TxMeta, len: usize) -> Option<[u32; 4]> {
    let TxChecksum { start, offset } = meta.checksum?;
    let sum = u32::from(start) | u32::from(start + offset) << 8;
    let protocol = match offset {
        TCP_CHECKSUM => command::TCP,
        _ => 0,
    };
    let Some(gso) = meta.gso else {
        return Some([0, sum, command::EXTENDED | protocol, 0]);
    };
    let (ip, version) = match gso.kind {
        GsoKind::Tcp4 => {
            let end = u32::from(start) - 1;
            (IP_START | IP_CHECKSUM_AT << 8 | end << 16, command::IPV4)
        }
        GsoKind::Tcp6 => (IP_START | IP_CHECKSUM_AT << 8, 0),
    };
    let payload = len as u32 - u32::from(gso.headers);
    let bits = command::EXTENDED | command::SEGMENT | protocol | version;
    let sizes = u32::from(gso.headers) << 8 | u32::from(gso.segment) << 16;
    Some([ip, sum, payload | bits, sizes])
}

/// Whether the fields of a context have room for the offsets.
pub fn fits(meta: &TxMeta) -> bool {
    let sum = meta
        .checksum
        .is_none_or(|sum| u8::try_from(sum.start).is_ok() && sum.start + sum.offset <= 0xff);
    // The manuals' maximum.
    let headers = meta.gso.is_none_or(|gso| gso.headers <= 240);
    sum && headers
}

/// The descriptor of `len` bytes at `phys`; the `last` of a frame reports that it was sent.
pub fn data(phys: u64, len: usize, meta: &TxMeta, last: bool) -> [u32; 4] {
    let mut bits = command::EXTENDED | command::DATA | command::INSERT_CRC;
    let mut options = 0;
    if last {
        bits |= command::END | command::REPORT;
    }
    if meta.checksum.is_some() {
        options |= INSERT_TCP_UDP;
    }
    if let Some(gso) = meta.gso {
        bits |= command::SEGMENT;
        if gso.kind == GsoKind::Tcp4 {
            options |= INSERT_IP;
        }
    }
    [phys as u32, (phys >> 32) as u32, len as u32 | bits, options]
}
