//! A network device as the stack uses it: whole Ethernet frames in and out, with the offload
//! notes of `virtio_net_hdr` (VIRTIO 1.2, 5.1.6) beside each frame.
//!
//! A link is driven by one owner through `&mut`, never blocks, and never calls back outside the
//! closures it is given.

/// Capabilities of a link. Read once, when the link is given to [`crate::Stack::add_interface`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCapabilities {
    /// The Ethernet address of this end. Must be unicast and not all zeroes.
    pub mac: [u8; 6],
    /// The largest IP packet in bytes, without the Ethernet header (1500 on plain Ethernet).
    /// Values outside 576..=65535 are brought into that range.
    pub mtu: usize,
    /// The device completes TCP and UDP checksums of frames whose [`TxMeta::checksum`] is set.
    pub tx_checksum: bool,
    /// The device cuts TCP over IPv4 into segments ([`TxMeta::segmentation`]): frames handed to
    /// [`Link::transmit`] may be up to 65 549 bytes long. Needs `tx_checksum`.
    pub tso4: bool,
    /// The same for TCP over IPv6.
    pub tso6: bool,
}

/// A checksum that is still to be completed: the field at `start + offset` holds the sum of the
/// pseudo-header, and the bytes from `start` to the end of the frame are to be added to it
/// (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Offset of the transport header in the frame, in bytes.
    pub start: u16,
    /// Offset of the checksum field in the transport header, in bytes.
    pub offset: u16,
}

/// Which kind of segments a large frame is to be cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// TCP over IPv4 (`VIRTIO_NET_HDR_GSO_TCPV4`).
    Tcp4,
    /// TCP over IPv6 (`VIRTIO_NET_HDR_GSO_TCPV6`).
    Tcp6,
}

/// Segmentation of a large TCP frame by the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Which protocol.
    pub kind: SegmentKind,
    /// Payload bytes of each segment but the last (`gso_size`).
    pub size: u16,
    /// Length of the Ethernet, IP and TCP headers together, in bytes (`hdr_len`).
    pub header_len: u16,
}

/// Notes on a frame that goes out. The default asks for nothing: the frame is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxMeta {
    /// Set only if [`LinkCapabilities::tx_checksum`] is.
    pub checksum: Option<PartialChecksum>,
    /// Set only if [`LinkCapabilities::tso4`] (or `tso6`) is; then `checksum` is set too.
    pub segmentation: Option<Segmentation>,
}

/// The state of a received frame's checksum, as the device reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing is known: the stack verifies it.
    #[default]
    Unknown,
    /// Verified by the device (`VIRTIO_NET_HDR_F_DATA_VALID`).
    Valid,
    /// Not computed by the sender, which is on the same machine
    /// (`VIRTIO_NET_HDR_F_NEEDS_CSUM`): there is nothing to verify.
    Partial(PartialChecksum),
}

/// Notes on a frame that came in. The stack checks every number in it before use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMeta {
    /// State of the TCP or UDP checksum.
    pub checksum: RxChecksum,
    /// The frame is several TCP segments that the device joined (`gso_size` of GRO or
    /// `VIRTIO_NET_F_GUEST_TSO4`): the payload of each but the last, in bytes.
    pub joined: Option<u16>,
}

/// A network device that carries Ethernet frames, without FCS.
///
/// # Contract of the implementation
/// - Nothing blocks.
/// - While [`Link::can_transmit`] returns `true`, the next [`Link::transmit`] succeeds: a frame
///   must not be lost locally, where only the peer would take the loss for congestion.
/// - When `can_transmit` answered `false`, the platform is woken (an interrupt, a writable TAP)
///   once there is room again, and then calls [`crate::Stack::poll`].
/// - A frame may be up to 14 bytes + MTU long, 65 549 with segmentation offload.
/// - It goes with its stack from thread to thread ([`crate::Stack`] is `Send`); one at a time calls
///   it.
pub trait Link: Send {
    /// Capabilities of the link.
    fn capabilities(&self) -> LinkCapabilities;

    /// Hands the next received frame to `f` and takes it off the queue; `false` if there is none.
    ///
    /// The bytes are the stack's to change while `f` runs. A frame that is received in large
    /// receive form (GRO, `VIRTIO_NET_F_GUEST_TSO4`) is handed over as it is.
    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool;

    /// Whether a frame of the largest size can be queued now. May reclaim finished buffers.
    fn can_transmit(&mut self) -> bool;

    /// Queues one frame: calls `fill` once with a buffer of exactly `len` bytes (contents
    /// unspecified, every byte is written), and sends it with the notes that `fill` returns.
    ///
    /// `false`, without a call of `fill`, if there is no room.
    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool;

    /// Tells the device about what was queued since the last call: one kick for a batch. Called at
    /// the end of each [`crate::Stack::poll`] that queued something, and buffers that were received
    /// may be given back to the device here.
    fn flush(&mut self);

    /// Whether the device has done with every frame that it was given, so that a machine which ends
    /// now takes none with it. Links that are done with a frame in [`Link::transmit`] needn't say
    /// so.
    fn is_drained(&mut self) -> bool {
        true
    }
}
