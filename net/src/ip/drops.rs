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

/// A token bucket: a rate and a burst.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    burst: u64,
    tokens: u64,
    since_ns: u64,
}

impl Bucket {
    pub(crate) const fn new(per_second: u64, burst: u64) -> Bucket {
        Bucket {
            per_second,
            burst,
            tokens: burst,
            since_ns: 0,
        }
    }

    /// Takes `cost` tokens if the bucket has them.
    pub(crate) fn take(&mut self, now_ns: u64, cost: u64) -> bool {
        const SECOND: u64 = 1_000_000_000;
        let passed_ns = now_ns.saturating_sub(self.since_ns);
        let new = u128::from(passed_ns) * u128::from(self.per_second) / u128::from(SECOND);
        if new > 0 {
            let new = u64::try_from(new).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(new).min(self.burst);
            // Keeps the fraction of a token for the next call.
            let used_ns = new.saturating_mul(SECOND) / self.per_second.max(1);
            self.since_ns = self.since_ns.saturating_add(used_ns).min(now_ns);
        }
        let enough = self.tokens >= cost;
        if enough {
            self.tokens -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, DropReason, Drops};

    #[test]
    fn every_reason_has_its_name() {
        let mut drops = Drops::default();
        drops.count(DropReason::Filtered);
        drops.count(DropReason::Malformed);
        let counted: Vec<_> = drops.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("drop.malformed", 1), ("drop.filtered", 1)]);
        assert_eq!(drops.get(DropReason::Filtered), 1);
    }

    #[test]
    fn a_bucket_holds_its_rate() {
        let mut bucket = Bucket::new(100, 10);
        let mut taken = 0;
        for ms in 0..2000 {
            for _ in 0..3 {
                taken += u64::from(bucket.take(ms * 1_000_000, 1));
            }
        }
        assert!((205..=210).contains(&taken), "{taken}");
    }
}
