//! A received packet, for the protocols above IP.

use super::Origin;

/// A packet whose IP header has been parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) origin: Origin,
    /// The destination is one of our addresses, not a group.
    pub(crate) unicast: bool,
    /// The frame was addressed to us alone.
    pub(crate) to_us: bool,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    /// The packet from its IP header on, for errors that quote it.
    pub(crate) packet: &'a [u8],
    /// The transport checksum was verified, or needs no verification.
    pub(crate) trusted: bool,
    /// It was reassembled from fragments.
    pub(crate) whole: bool,
    pub(crate) joined: Option<u16>,
}
