//! Reasons for dropped packets, counted by name.

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum DropReason {
    /// Truncated, or an invalid header.
    Malformed,
    /// Wrong checksum.
    BadChecksum,
    /// The Ethernet or IP destination is another host.
    NotForUs,
    /// A source or destination that is invalid on a link (RFC 1122, 3.2.1.3; RFC 4291, 2.5).
    Martian,
    /// An EtherType without a socket.
    UnknownEthertype,
    /// An unconfigured VLAN.
    UnknownVlan,
    /// An unsupported IP protocol.
    UnknownProtocol,
    /// Source routing (RFC 7126, 4.3; RFC 5095).
    SourceRoute,
    /// An option or extension header that forbids processing, or too many of them.
    BadOption,
    /// A fragment that overlaps another one, or has an invalid size (RFC 5722, RFC 8200 4.5).
    BadFragment,
    /// Reassembly timeout.
    ReassemblyTimeout,
    /// Fragments evicted in favour of other packets.
    ReassemblyFull,
    /// A port without a socket.
    NoPort,
    /// The socket's queue is full.
    QueueFull,
    /// An ICMP message that is unusable, or not about a packet of ours.
    UselessIcmp,
    /// An invalid neighbor discovery message (RFC 4861, 6.1 and 7.1; RFC 6980).
    BadNeighborDiscovery,
    /// A redirect from a host other than the gateway (RFC 1122, 3.2.2.2; RFC 4861, 8.1).
    BadRedirect,
    /// An invalid ARP packet.
    BadArp,
    /// The neighbor didn't answer.
    NeighborGone,
    /// Too many packets queued for an unresolved neighbor.
    NeighborQueueFull,
    /// The link's queue of replies is full.
    AnswerQueueFull,
    /// Replies beyond their rate limit (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f).
    RateLimited,
    /// The packet filter.
    Filtered,
    /// Dispensable frames shed under overload.
    Overload,
}

const NAMES: [&str; 24] = [
    "drop.malformed",
    "drop.bad-checksum",
    "drop.not-for-us",
    "drop.martian",
    "drop.unknown-ethertype",
    "drop.unknown-vlan",
    "drop.unknown-protocol",
    "drop.source-route",
    "drop.bad-option",
    "drop.bad-fragment",
    "drop.reassembly-timeout",
    "drop.reassembly-full",
    "drop.no-port",
    "drop.queue-full",
    "drop.useless-icmp",
    "drop.bad-neighbor-discovery",
    "drop.bad-redirect",
    "drop.bad-arp",
    "drop.neighbor-gone",
    "drop.neighbor-queue-full",
    "drop.answer-queue-full",
    "drop.rate-limited",
    "drop.filtered",
    "drop.overload",
];

/// Counters of dropped packets by reason. They wrap.
#[derive(Debug, Default)]
pub(crate) struct Drops([u64; NAMES.len()]);

impl Drops {
    pub(crate) fn count(&mut self, reason: DropReason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count = count.wrapping_add(1);
        }
    }

    #[cfg(test)]
    pub(crate) fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Names and counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::{DropReason, Drops};

    #[test]
    fn every_reason_has_its_name() {
        let mut drops = Drops::default();
        drops.count(DropReason::Filtered);
        drops.count(DropReason::Malformed);
        let counted: Vec<_> = drops.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("drop.malformed", 1), ("drop.filtered", 1)]);
        assert_eq!(drops.get(DropReason::Filtered), 1);
    }
}
