//! Network device interface of the stack: whole Ethernet frames in and out, each with offload
//! metadata as in `virtio_net_hdr` (VIRTIO 1.2, 5.1.6).
//!
//! A link has one owner, which drives it through `&mut`. It never blocks, and calls back only into
//! the closures that it is given.

/// Capabilities of a link. Read once, when the link is given to [`crate::Stack::add_interface`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCapabilities {
    /// The Ethernet address of this end. Must be unicast and not all zeroes.
    pub mac: [u8; 6],
    /// The largest IP packet in bytes, without the Ethernet header (1500 on plain Ethernet).
    /// Values outside 576..=65535 are clamped to that range.
    pub mtu: usize,
    /// The device completes TCP and UDP checksums of frames whose [`TxMeta::checksum`] is set.
    pub tx_checksum: bool,
    /// The device segments TCP over IPv4 ([`TxMeta::segmentation`]): frames passed to
    /// [`Link::transmit`] may be up to 65 549 bytes long. Requires `tx_checksum`.
    pub tso4: bool,
    /// The same for TCP over IPv6.
    pub tso6: bool,
}

/// A partial checksum: the field at `start + offset` holds the sum of the pseudo-header, and the
/// device adds the bytes from `start` to the end of the frame (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Offset of the transport header in the frame, in bytes.
    pub start: u16,
    /// Offset of the checksum field in the transport header, in bytes.
    pub offset: u16,
}

/// Protocol of the segments that a large frame is cut into.
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
    /// Protocol of the segments.
    pub kind: SegmentKind,
    /// Payload bytes of each segment but the last (`gso_size`).
    pub size: u16,
    /// Length of the Ethernet, IP and TCP headers together, in bytes (`hdr_len`).
    pub header_len: u16,
}

/// Offload metadata of an outgoing frame. By default the frame is complete and needs no offload.
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
    /// Unknown: the stack verifies the checksum.
    #[default]
    Unknown,
    /// Verified by the device (`VIRTIO_NET_HDR_F_DATA_VALID`).
    Valid,
    /// Not computed by the sender, which is on the same machine
    /// (`VIRTIO_NET_HDR_F_NEEDS_CSUM`): there is nothing to verify.
    Partial(PartialChecksum),
}

/// Offload metadata of a received frame. The stack validates every number in it before use.
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
/// - After `can_transmit` returned `false`, the platform is woken (an interrupt, a writable TAP)
///   once there is room again, and then calls [`crate::Stack::poll`].
/// - A frame may be up to 14 bytes + MTU long, 65 549 with segmentation offload.
/// - The link moves between threads with its stack ([`crate::Stack`] is `Send`); only one thread
///   at a time calls it.
pub trait Link: Send {
    /// Capabilities of the link.
    fn capabilities(&self) -> LinkCapabilities;

    /// Passes the next received frame to `f` and removes it from the queue; `false` if there is
    /// none.
    ///
    /// The stack may modify the bytes while `f` runs. A large receive frame (GRO,
    /// `VIRTIO_NET_F_GUEST_TSO4`) is passed as it is.
    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool;

    /// Whether a frame of the maximum size can be queued now. May reclaim completed buffers.
    fn can_transmit(&mut self) -> bool;

    /// Queues one frame: calls `fill` once with a buffer of exactly `len` bytes (contents
    /// unspecified; `fill` writes every byte), and sends it with the metadata that `fill` returns.
    ///
    /// Returns `false` without calling `fill` if there is no room.
    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool;

    /// Notifies the device of the frames queued since the last call: one kick per batch. The stack
    /// calls it at the end of each [`crate::Stack::poll`] that queued frames. The link may also
    /// return receive buffers to the device here.
    fn flush(&mut self);

    /// Whether the device has completed every frame, so that none is lost if the machine stops now.
    /// A link that completes frames in [`Link::transmit`] needn't implement it.
    fn is_drained(&mut self) -> bool {
        true
    }
}
