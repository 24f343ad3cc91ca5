//! Packet filter: a list of rules; the first match decides.
//!
//! Without rules the filter allows everything that a local socket accepts; the stack drops a packet
//! without a socket in any case. The filter classifies incoming packets by the stack's own sockets:
//! a segment is established if it belongs to a connection, a handshake or a TIME-WAIT record; a
//! datagram, if its socket is connected to the sender or has sent to it within the last minute.
//! Outgoing packets come from our own sockets, so a SYN or a datagram counts as new.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::Net;
use super::token_bucket::TokenBucket;
use super::wire::header::{ICMP, ICMPV6, TCP, UDP};
use crate::types::{Error, InterfaceId, be16, common_prefix};

/// Maximum number of rules.
const RULES: usize = 256;
/// Number of buckets for the senders of a rule; senders may share one by a hash collision.
const BUCKETS: usize = 256;

/// The action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterAction {
    /// Passes the packet.
    Allow,
    /// Drops the packet silently.
    Deny,
}

/// Direction of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterDirection {
    /// From a link.
    In,
    /// To a link.
    Out,
}

/// Whether a packet opens a flow or belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterState {
    /// Belongs to no local state: a SYN, a segment without a connection, a datagram from an unknown
    /// peer, an echo request.
    New,
    /// A segment of a connection or a handshake, a reply to a socket's datagram, ICMP errors and
    /// replies.
    Established,
}

/// Rate and burst of packets that match a rule. A packet beyond the limit doesn't match, and the
/// filter tries the next rules: add a rule that denies the rest after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterLimit {
    /// Packets per second; with [`FilterState::New`] and TCP, connections per second.
    pub per_second: u32,
    /// Burst in packets.
    pub burst: u32,
    /// Applies the limit per sender. Senders are distinguished by a hash; a few share a bucket.
    pub per_source: bool,
}

/// A rule. A field that is `None` matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterRule {
    /// The action.
    pub action: FilterAction,
    /// Direction.
    pub direction: FilterDirection,
    /// Interface.
    pub interface: Option<InterfaceId>,
    /// Protocol number: 6 TCP, 17 UDP, 1 and 58 ICMP.
    pub protocol: Option<u8>,
    /// Remote network: an address and its prefix length.
    pub remote: Option<(IpAddr, u8)>,
    /// Local ports.
    pub local_port: Option<RangeInclusive<u16>>,
    /// Remote ports.
    pub remote_port: Option<RangeInclusive<u16>>,
    /// Whether the packet opens a flow.
    pub state: Option<FilterState>,
    /// The rate limit.
    pub limit: Option<FilterLimit>,
}

impl FilterRule {
    /// A rule that matches all packets of a direction.
    pub fn new(action: FilterAction, direction: FilterDirection) -> FilterRule {
        FilterRule {
            action,
            direction,
            interface: None,
            protocol: None,
            remote: None,
            local_port: None,
            remote_port: None,
            state: None,
            limit: None,
        }
    }
}

/// The fields of a packet that rules match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketFields<'a> {
    pub(crate) direction: FilterDirection,
    pub(crate) interface: usize,
    pub(crate) protocol: u8,
    pub(crate) remote: IpAddr,
    /// Bytes from the transport header on.
    pub(crate) transport: &'a [u8],
    /// Whether the packet belongs to a socket, if already determined.
    pub(crate) known: Option<bool>,
}

struct Rule {
    rule: FilterRule,
    buckets: Vec<TokenBucket>,
}

/// Active rules.
#[derive(Default)]
pub(crate) struct Filter {
    rules: Vec<Rule>,
    directions: [bool; 2],
    tracks: bool,
}

impl Filter {
    pub(crate) fn new(rules: &[FilterRule]) -> Result<Filter, Error> {
        let sound = |rule: &FilterRule| {
            rule.remote.as_ref().is_none_or(|(ip, len)| match ip {
                IpAddr::V4(_) => *len <= 32,
                IpAddr::V6(_) => *len <= 128,
            }) && rule.limit.is_none_or(|limit| limit.per_second > 0)
        };
        if rules.len() > RULES || !rules.iter().all(sound) {
            return Err(Error::InvalidArgument);
        }
        let with_buckets = |rule: &FilterRule| {
            let bucket = |limit: FilterLimit| {
                let burst = u64::from(limit.burst.max(1));
                TokenBucket::new(u64::from(limit.per_second), burst)
            };
            let buckets = rule.limit.iter().flat_map(|limit| {
                let count = if limit.per_source { BUCKETS } else { 1 };
                core::iter::repeat_with(|| bucket(*limit)).take(count)
            });
            Rule {
                rule: rule.clone(),
                buckets: buckets.collect(),
            }
        };
        let any = |direction| rules.iter().any(|rule| rule.direction == direction);
        Ok(Filter {
            rules: rules.iter().map(with_buckets).collect(),
            directions: [any(FilterDirection::In), any(FilterDirection::Out)],
            tracks: rules
                .iter()
                .any(|rule| rule.direction == FilterDirection::In && rule.state.is_some()),
        })
    }

    /// Whether any rule applies to a direction.
    pub(crate) fn watches(&self, direction: FilterDirection) -> bool {
        self.directions[usize::from(direction == FilterDirection::Out)]
    }

    /// Whether the rules depend on the socket of an incoming packet.
    pub(crate) fn tracks(&self) -> bool {
        self.tracks
    }

    /// Whether a packet passes.
    pub(crate) fn allows(&mut self, fields: &PacketFields<'_>, now_ns: u64) -> bool {
        let ports = match fields.protocol {
            TCP | UDP => (be16(fields.transport, 0), be16(fields.transport, 2)),
            _ => (None, None),
        };
        let (local_port, remote_port) = match fields.direction {
            FilterDirection::In => (ports.1, ports.0),
            FilterDirection::Out => ports,
        };
        let state = state(fields);
        for Rule { rule, buckets } in &mut self.rules {
            let in_range = |range: &Option<RangeInclusive<u16>>, port: Option<u16>| {
                range
                    .as_ref()
                    .is_none_or(|range| port.is_some_and(|port| range.contains(&port)))
            };
            let fits = rule.direction == fields.direction
                && rule.interface.is_none_or(|id| id.0 == fields.interface)
                && rule.protocol.is_none_or(|p| p == fields.protocol)
                && rule.remote.is_none_or(|(ip, len)| {
                    ip.is_ipv4() == fields.remote.is_ipv4()
                        && common_prefix(ip, fields.remote) >= len
                })
                && in_range(&rule.local_port, local_port)
                && in_range(&rule.remote_port, remote_port)
                && rule.state.is_none_or(|s| s == state);
            if !fits {
                continue;
            }
            if !buckets.is_empty() {
                let place = spread(fields.remote) % buckets.len();
                let within = buckets
                    .get_mut(place)
                    .is_some_and(|bucket| bucket.take(now_ns, 1));
                if !within {
                    continue;
                }
            }
            return rule.action == FilterAction::Allow;
        }
        true
    }
}

impl Net {
    /// Replaces all rules.
    pub(crate) fn set_filter(&mut self, rules: &[FilterRule]) -> Result<(), Error> {
        self.filter = Filter::new(rules)?;
        Ok(())
    }
}

fn spread(ip: IpAddr) -> usize {
    let bits = match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        // An IPv6 sender usually owns a /64.
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

fn state(fields: &PacketFields<'_>) -> FilterState {
    match fields.known {
        Some(true) => return FilterState::Established,
        Some(false) => return FilterState::New,
        None => {}
    }
    let first = fields.transport.first().copied();
    let new = match fields.protocol {
        TCP => fields
            .transport
            .get(13)
            .is_some_and(|flags| flags & 0x12 == 2),
        UDP => true,
        ICMP => first == Some(8),
        ICMPV6 => first == Some(128),
        _ => true,
    };
    if new {
        FilterState::New
    } else {
        FilterState::Established
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Filter, FilterAction, FilterDirection, FilterLimit, FilterRule, FilterState, PacketFields,
    };
    use crate::types::InterfaceId;
    use proptest::prelude::*;

    fn tcp(remote: &str, port: u16, flags: u8) -> (core::net::IpAddr, Vec<u8>) {
        let mut header = vec![0; 20];
        header[..2].copy_from_slice(&4000u16.to_be_bytes());
        header[2..4].copy_from_slice(&port.to_be_bytes());
        header[13] = flags;
        (remote.parse().expect("an address"), header)
    }

    fn passes(filter: &mut Filter, packet: &(core::net::IpAddr, Vec<u8>), now_ns: u64) -> bool {
        let fields = PacketFields {
            direction: FilterDirection::In,
            interface: 1,
            protocol: 6,
            remote: packet.0,
            transport: &packet.1,
            known: None,
        };
        filter.allows(&fields, now_ns)
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |action| FilterRule::new(action, FilterDirection::In);
        let mut filter = Filter::new(&[
            FilterRule {
                state: Some(FilterState::Established),
                ..rule(FilterAction::Allow)
            },
            FilterRule {
                remote: Some(("10.0.0.0".parse().unwrap(), 8)),
                local_port: Some(22..=22),
                ..rule(FilterAction::Allow)
            },
            FilterRule {
                interface: Some(InterfaceId(1)),
                protocol: Some(6),
                local_port: Some(80..=443),
                ..rule(FilterAction::Allow)
            },
            rule(FilterAction::Deny),
        ])
        .unwrap();
        for (packet, expected) in [
            (tcp("192.0.2.1", 22, 2), false),
            (tcp("192.0.2.1", 22, 16), true),
            (tcp("10.9.9.9", 22, 2), true),
            (tcp("192.0.2.1", 80, 2), true),
            (tcp("192.0.2.1", 444, 2), false),
            (tcp("2001:db8::1", 443, 2), true),
        ] {
            assert_eq!(passes(&mut filter, &packet, 0), expected, "{packet:?}");
        }
        assert!(!filter.watches(FilterDirection::Out));
    }

    #[test]
    fn connections_are_limited_for_each_sender() {
        let limit = FilterLimit {
            per_second: 10,
            burst: 5,
            per_source: true,
        };
        let mut filter = Filter::new(&[
            FilterRule {
                state: Some(FilterState::New),
                limit: Some(limit),
                ..FilterRule::new(FilterAction::Allow, FilterDirection::In)
            },
            FilterRule {
                state: Some(FilterState::New),
                ..FilterRule::new(FilterAction::Deny, FilterDirection::In)
            },
        ])
        .unwrap();
        let mut count = |from: &str, now_ns| {
            (0..100)
                .filter(|_| passes(&mut filter, &tcp(from, 80, 2), now_ns))
                .count()
        };
        assert_eq!(count("192.0.2.1", 0), 5);
        assert_eq!(count("192.0.2.2", 0), 5);
        assert_eq!(count("192.0.2.1", 300_000_000), 3);
    }

    proptest! {
        #[test]
        fn any_packet_is_judged(
            transport in proptest::collection::vec(any::<u8>(), 0..40),
            protocol: u8,
        ) {
            let rule = FilterRule {
                local_port: Some(1..=9),
                ..FilterRule::new(FilterAction::Deny, FilterDirection::In)
            };
            let mut filter = Filter::new(&[rule]).unwrap();
            let remote = [1, 2, 3, 4].into();
            let fields = PacketFields {
                direction: FilterDirection::In,
                interface: 1,
                protocol,
                remote,
                transport: &transport,
                known: None,
            };
            filter.allows(&fields, 0);
        }
    }
}
