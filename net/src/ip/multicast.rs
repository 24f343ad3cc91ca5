//! Multicast group membership, and its reports to routers by IGMPv3 (RFC 3376) and MLDv2 (RFC
//! 3810), or by the older versions while an older querier is present.
//!
//! There are no source filters: a group is joined for all sources (EXCLUDE of none).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::context::Context;
use super::packet::Packet;
use super::random::Random;
use super::wire::checksum;
use super::wire::header::{ALL_NODES, ALL_ROUTERS, ICMPV6, IGMP, IpHeader, group_mac, v4, v6};
use super::{LOOPBACK, Net};
use crate::types::{be16, put};

const SECOND: u64 = 1_000_000_000;
/// Robustness variable and unsolicited report interval (RFC 3376, 8.1 and 8.11; RFC 3810, 9.1,
/// 9.11).
const ROBUSTNESS: u8 = 2;
const INTERVAL_NS: u64 = SECOND;
/// Older version querier present timeout with the default query interval (RFC 3376, 8.12).
const OLDER_NS: u64 = 260 * SECOND;
/// Maximum number of groups of one interface.
pub(crate) const GROUPS: usize = 64;

const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_ROUTERS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const IGMPV3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Types of group records (RFC 3376, 4.2.12).
const MODE_IS_EXCLUDE: u8 = 2;
const CHANGE_TO_INCLUDE: u8 = 3;
const CHANGE_TO_EXCLUDE: u8 = 4;

#[derive(Clone, Copy, Debug)]
struct Group {
    address: IpAddr,
    /// Number of sockets and addresses that use it; 0: it was left, and the reports are pending.
    uses: u32,
    /// State-change reports that are still to be sent.
    changes: u8,
    change_at_ns: u64,
    /// When a query about this group is to be answered.
    answer_at_ns: Option<u64>,
}

/// The groups of an interface.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    groups: Vec<Group>,
    /// When general queries are to be answered: IPv4, IPv6.
    general_ns: [Option<u64>; 2],
    /// Until when an older version querier is present.
    older_until_ns: [u64; 2],
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// Groups that all hosts listen to and don't report (RFC 3376, 6; RFC 3810, 6).
fn is_silent(address: IpAddr) -> bool {
    address == IpAddr::V4(ALL_SYSTEMS) || address == IpAddr::V6(ALL_NODES)
}

impl Memberships {
    /// Whether the group's packets are accepted.
    pub(crate) fn listens(&self, address: IpAddr) -> bool {
        is_silent(address)
            || self
                .groups
                .iter()
                .any(|group| group.address == address && group.uses > 0)
    }

    /// Counts one more listener; `false` if there are too many groups.
    pub(crate) fn join(&mut self, address: IpAddr, now_ns: u64) -> bool {
        if is_silent(address) {
            return true;
        }
        if let Some(group) = self.groups.iter_mut().find(|g| g.address == address) {
            if group.uses == 0 {
                group.changes = ROBUSTNESS;
                group.change_at_ns = now_ns;
            }
            group.uses += 1;
            return true;
        }
        if self.groups.len() >= GROUPS {
            return false;
        }
        self.groups.push(Group {
            address,
            uses: 1,
            changes: ROBUSTNESS,
            change_at_ns: now_ns,
            answer_at_ns: None,
        });
        true
    }

    /// Counts one listener less.
    pub(crate) fn leave(&mut self, address: IpAddr, now_ns: u64) {
        if let Some(group) = self.groups.iter_mut().find(|g| g.address == address)
            && group.uses > 0
        {
            group.uses -= 1;
            if group.uses == 0 {
                group.changes = ROBUSTNESS;
                group.change_at_ns = now_ns;
                group.answer_at_ns = None;
            }
        }
    }

    /// A query about one group, or about all (`None`); the report follows within `max_ns` (RFC
    /// 3376, 5.2).
    fn query(
        &mut self,
        group: Option<IpAddr>,
        v6: usize,
        max_ns: u64,
        now_ns: u64,
        random: &mut Random,
    ) {
        let at_ns = now_ns.saturating_add(random.below(max_ns));
        let sooner = |old: Option<u64>| Some(old.map_or(at_ns, |old| old.min(at_ns)));
        let general = self.general_ns.get(v6).copied().flatten();
        match group {
            // An earlier general report covers it.
            _ if general.is_some_and(|general| general <= at_ns) => {}
            None => {
                if let Some(place) = self.general_ns.get_mut(v6) {
                    *place = sooner(*place);
                }
            }
            Some(address) => {
                for group in self.groups.iter_mut().filter(|g| g.address == address) {
                    group.answer_at_ns = sooner(group.answer_at_ns);
                }
            }
        }
    }

    /// Returns the records that are due for a family: type and group. Removes changes that have
    /// been reported often enough.
    fn due(&mut self, v6: usize, now_ns: u64, random: &mut Random) -> Vec<(u8, IpAddr)> {
        let mut records = Vec::new();
        let general = self
            .general_ns
            .get_mut(v6)
            .is_some_and(|at| at.take_if(|at_ns| *at_ns <= now_ns).is_some());
        for group in self.groups.iter_mut().filter(|g| family(g.address) == v6) {
            let answer = group
                .answer_at_ns
                .take_if(|at_ns| *at_ns <= now_ns)
                .is_some();
            if group.changes > 0 && group.change_at_ns <= now_ns {
                group.changes -= 1;
                group.change_at_ns = now_ns.saturating_add(1 + random.below(INTERVAL_NS));
                let kind = if group.uses > 0 {
                    CHANGE_TO_EXCLUDE
                } else {
                    CHANGE_TO_INCLUDE
                };
                records.push((kind, group.address));
            } else if (general || answer) && group.uses > 0 {
                records.push((MODE_IS_EXCLUDE, group.address));
            }
        }
        self.groups
            .retain(|group| group.uses > 0 || group.changes > 0);
        records
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        let changes = self.groups.iter().filter(|g| g.changes > 0);
        changes
            .map(|group| group.change_at_ns)
            .chain(self.groups.iter().filter_map(|group| group.answer_at_ns))
            .chain(self.general_ns.iter().copied().flatten())
            .min()
    }
}

impl Net {
    /// Handles an IGMP message: queries (RFC 3376, 4.1 and 7.1). Ignores reports of other hosts.
    pub(super) fn igmp(&mut self, context: &Context<'_>, message: &[u8]) {
        let interface = context.origin.interface;
        let [kind, code, ..] = message.first_chunk::<8>().copied().unwrap_or_default();
        let Some(group) = v4(message, 4) else { return };
        if kind != 0x11 || checksum::sum(message) != 0xffff || interface == LOOPBACK {
            return;
        }
        let older = message.len() < 12;
        // In tenths of a second; 0 is version 1, whose reports follow within 10 s.
        let tenths = match code {
            0 => 100,
            _ if older => u64::from(code),
            _ => floating(u32::from(code), 4),
        };
        let group = (!group.is_unspecified()).then_some(IpAddr::V4(group));
        self.queried(interface, group, 0, tenths * 100_000_000, older);
    }

    /// Handles a message of multicast listener discovery: queries (RFC 3810, 5.1 and 6.2).
    pub(super) fn mld(&mut self, context: &Context<'_>, message: &[u8]) {
        let interface = context.origin.interface;
        let local = matches!(context.origin.remote, IpAddr::V6(a) if a.is_unicast_link_local());
        let (Some(code), Some(group)) = (be16(message, 4), v6(message, 8)) else {
            return;
        };
        if message.first() != Some(&130) || !local || context.hop_limit != 1 {
            return;
        }
        let older = message.len() < 28;
        let ms = if older {
            u64::from(code)
        } else {
            floating(u32::from(code), 12)
        };
        let group = (!group.is_unspecified()).then_some(IpAddr::V6(group));
        self.queried(interface, group, 1, ms * 1_000_000, older);
    }

    fn queried(
        &mut self,
        interface: usize,
        group: Option<IpAddr>,
        v6: usize,
        max_ns: u64,
        older: bool,
    ) {
        let now_ns = self.now_ns;
        if let Some(i) = self.interfaces.get_mut(interface) {
            if older && let Some(until_ns) = i.memberships.older_until_ns.get_mut(v6) {
                *until_ns = now_ns.saturating_add(OLDER_NS);
            }
            i.due_ns = 0;
            i.memberships
                .query(group, v6, max_ns.max(1), now_ns, &mut self.random);
        }
    }

    /// Sends the reports that are due.
    pub(super) fn report_groups(&mut self, interface: usize) {
        let now_ns = self.now_ns;
        for v6 in 0..2 {
            let Some(i) = self.interfaces.get_mut(interface) else {
                return;
            };
            let records = i.memberships.due(v6, now_ns, &mut self.random);
            let older = i
                .memberships
                .older_until_ns
                .get(v6)
                .is_some_and(|at| *at > now_ns);
            if records.is_empty() {
                continue;
            }
            // The link-local address, or none yet (RFC 3590).
            let any = if v6 == 1 {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            } else {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            };
            let to = if v6 == 1 {
                IpAddr::V6(MLDV2_ROUTERS)
            } else {
                IpAddr::V4(IGMPV3_ROUTERS)
            };
            let source = i
                .source_for(to, now_ns)
                .filter(|source| i.is_ready(*source))
                .unwrap_or(any);
            if older {
                for (kind, group) in records {
                    self.older_report(interface, source, kind, group);
                }
            } else {
                self.report(interface, source, to, &records);
            }
        }
    }

    /// A report of IGMPv3 or MLDv2.
    fn report(&mut self, interface: usize, source: IpAddr, to: IpAddr, records: &[(u8, IpAddr)]) {
        let kind = if to.is_ipv6() { 143 } else { 0x22 };
        let mut message = alloc::vec![kind, 0, 0, 0, 0, 0];
        message.extend((records.len() as u16).to_be_bytes());
        for (kind, group) in records {
            message.extend([*kind, 0, 0, 0]);
            match group {
                IpAddr::V4(group) => message.extend(group.octets()),
                IpAddr::V6(group) => message.extend(group.octets()),
            }
        }
        self.stage_report(interface, source, to, &message);
    }

    /// A report or a leave of IGMPv2 (RFC 2236) or MLDv1 (RFC 2710).
    fn older_report(&mut self, interface: usize, source: IpAddr, kind: u8, group: IpAddr) {
        let leaves = kind == CHANGE_TO_INCLUDE;
        match group {
            IpAddr::V4(address) => {
                let mut message = [if leaves { 0x17 } else { 0x16 }, 0, 0, 0, 0, 0, 0, 0];
                put(&mut message, 4, &address.octets());
                let to = if leaves { ALL_ROUTERS_V4 } else { address };
                self.stage_report(interface, source, IpAddr::V4(to), &message);
            }
            IpAddr::V6(address) => {
                let mut message = [0; 24];
                put(&mut message, 0, &[if leaves { 132 } else { 131 }]);
                put(&mut message, 8, &address.octets());
                let to = if leaves { ALL_ROUTERS } else { address };
                self.stage_report(interface, source, IpAddr::V6(to), &message);
            }
        }
    }

    fn stage_report(&mut self, interface: usize, source: IpAddr, to: IpAddr, message: &[u8]) {
        // Internetwork control (RFC 3376, 4).
        let (protocol, traffic_class) = if to.is_ipv6() {
            (ICMPV6, 0)
        } else {
            (IGMP, 0xc0)
        };
        let packet = Packet {
            header: IpHeader {
                traffic_class,
                router_alert: true,
                ..IpHeader::new(source, to, protocol, 1)
            },
            transport: message,
            payload: &[],
        };
        if let Some(mac) = group_mac(to) {
            self.stage_packet(interface, mac, &packet);
        }
    }
}

/// A time in floating-point form (RFC 3376, 4.1.1; RFC 3810, 5.1.3): `mantissa` bits, below three
/// exponent bits and a one.
fn floating(code: u32, mantissa: u32) -> u64 {
    let exact = 1 << (mantissa + 3);
    if code < exact {
        return u64::from(code);
    }
    let value = code & ((1 << mantissa) - 1) | 1 << mantissa;
    u64::from(value) << ((code >> mantissa & 7) + 3)
}

impl Net {
    /// Joins a group on an interface; `false` if it has too many.
    pub(crate) fn join(&mut self, interface: usize, group: IpAddr) -> bool {
        let now_ns = self.now_ns;
        self.interfaces.get_mut(interface).is_some_and(|i| {
            i.due_ns = 0;
            i.memberships.join(group, now_ns)
        })
    }

    /// Leaves a group on an interface.
    pub(crate) fn leave(&mut self, interface: usize, group: IpAddr) {
        let now_ns = self.now_ns;
        if let Some(i) = self.interfaces.get_mut(interface) {
            i.due_ns = 0;
            i.memberships.leave(group, now_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        CHANGE_TO_EXCLUDE, CHANGE_TO_INCLUDE, GROUPS, MODE_IS_EXCLUDE, Memberships, floating,
    };
    use crate::ip::random::Random;
    use core::net::IpAddr;

    const SECOND: u64 = 1_000_000_000;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn rfc3376_section_4_1_1_response_codes() {
        assert_eq!(floating(127, 4), 127);
        assert_eq!(floating(0x80, 4), 128);
        assert_eq!(floating(0xff, 4), 31 << 10);
        assert_eq!(floating(32_767, 12), 32_767);
        assert_eq!(floating(0x8000, 12), 32_768);
        assert_eq!(floating(0x95, 4), (16 + 5) << 4);
    }

    #[test]
    fn rfc3376_section_5_1_changes_are_reported_twice() {
        let (mut groups, mut random) = (Memberships::default(), Random::seeded(1));
        let group = ip("239.1.2.3");
        assert!(groups.join(group, 0) && groups.join(group, 0));
        let mut reported = Vec::new();
        let mut now_ns = 0;
        while let Some(at_ns) = groups.next_ns() {
            now_ns = at_ns;
            reported.extend(groups.due(0, now_ns, &mut random));
        }
        assert_eq!(reported, [(CHANGE_TO_EXCLUDE, group); 2]);
        assert!(now_ns <= 2 * SECOND && groups.listens(group));
        groups.leave(group, now_ns);
        assert_eq!(groups.next_ns(), None);
        groups.leave(group, now_ns);
        assert!(!groups.listens(group));
        reported.clear();
        while let Some(at_ns) = groups.next_ns() {
            reported.extend(groups.due(0, at_ns, &mut random));
        }
        assert_eq!(reported, [(CHANGE_TO_INCLUDE, group); 2]);
        assert!(groups.groups.is_empty());
    }

    #[test]
    fn rfc3810_section_6_2_queries_are_answered_in_time() {
        let (mut groups, mut random) = (Memberships::default(), Random::seeded(2));
        for n in 0..3 {
            groups.join(ip(&format!("ff0e::{n}")), 0);
        }
        while let Some(at_ns) = groups.next_ns() {
            groups.due(1, at_ns, &mut random);
        }
        let now_ns = 100 * SECOND;
        groups.query(None, 1, 5 * SECOND, now_ns, &mut random);
        let at_ns = groups.next_ns().expect("an answer");
        assert!((now_ns..now_ns + 5 * SECOND).contains(&at_ns));
        let answer = groups.due(1, at_ns, &mut random);
        assert_eq!(answer.len(), 3);
        assert!(answer.iter().all(|(kind, _)| *kind == MODE_IS_EXCLUDE));
        groups.query(Some(ip("ff0e::1")), 1, SECOND, now_ns, &mut random);
        groups.query(Some(ip("ff0e::7")), 1, SECOND, now_ns, &mut random);
        assert_eq!(
            groups.due(1, now_ns + SECOND, &mut random),
            [(MODE_IS_EXCLUDE, ip("ff0e::1"))]
        );
        assert_eq!(groups.next_ns(), None);
    }

    #[test]
    fn groups_are_bounded() {
        let mut groups = Memberships::default();
        let joined = (0..200)
            .filter(|n| groups.join(ip(&format!("ff0e::{n}")), 0))
            .count();
        assert_eq!(joined, GROUPS);
    }

    /// A host that joins again before it has reported the leave reports the join. One that leaves
    /// more often than it joined reports nothing.
    #[test]
    fn a_group_that_is_joined_again_is_reported_again() {
        let (mut groups, mut random) = (Memberships::default(), Random::seeded(3));
        let group = ip("239.1.2.3");
        let mut reported = |groups: &mut Memberships| {
            let mut reported = Vec::new();
            while let Some(at_ns) = groups.next_ns() {
                reported.extend(groups.due(0, at_ns, &mut random));
            }
            reported.iter().map(|(kind, _)| *kind).collect::<Vec<_>>()
        };
        groups.join(group, 0);
        assert_eq!(reported(&mut groups), [CHANGE_TO_EXCLUDE; 2]);
        groups.leave(group, 5 * SECOND);
        groups.join(group, 5 * SECOND);
        assert_eq!(groups.next_ns(), Some(5 * SECOND));
        assert_eq!(reported(&mut groups), [CHANGE_TO_EXCLUDE; 2]);
        // One listener more changes nothing.
        groups.join(group, 5 * SECOND);
        assert_eq!(groups.next_ns(), None);
        groups.leave(group, 9 * SECOND);
        groups.leave(group, 9 * SECOND);
        groups.leave(group, 10 * SECOND);
        assert_eq!(groups.next_ns(), Some(9 * SECOND));
        assert_eq!(reported(&mut groups), [CHANGE_TO_INCLUDE; 2]);
    }

    /// RFC 3376, 5.2: queries while a report is pending never delay it, about one group or all.
    #[test]
    fn an_answer_is_never_put_off() {
        let group = ip("239.1.2.3");
        for (asked, seed) in (0..20).flat_map(|seed| [(None, seed), (Some(group), seed)]) {
            let (mut groups, mut random) = (Memberships::default(), Random::seeded(seed));
            groups.join(group, 0);
            while let Some(at_ns) = groups.next_ns() {
                groups.due(0, at_ns, &mut random);
            }
            let mut last_ns = u64::MAX;
            for max_ns in [100 * SECOND, SECOND, 1000 * SECOND] {
                groups.query(asked, 0, max_ns, 10 * SECOND, &mut random);
                let at_ns = groups.next_ns().expect("an answer");
                assert!(
                    at_ns <= last_ns.min(10 * SECOND + max_ns),
                    "{asked:?} {seed}"
                );
                last_ns = at_ns;
            }
            assert_eq!(groups.due(0, last_ns, &mut random).len(), 1);
            assert_eq!(groups.next_ns(), None, "once");
        }
    }

    /// RFC 3376, 5.2: an earlier report about all groups covers each; a later one doesn't.
    #[test]
    fn an_answer_about_all_covers_the_others() {
        let group = ip("239.1.2.3");
        for (general, single, answers) in [(SECOND, 1000 * SECOND, 1), (1000 * SECOND, SECOND, 2)] {
            let (mut groups, mut random) = (Memberships::default(), Random::seeded(4));
            groups.join(group, 0);
            while let Some(at_ns) = groups.next_ns() {
                groups.due(0, at_ns, &mut random);
            }
            groups.query(None, 0, general, 10 * SECOND, &mut random);
            groups.query(Some(group), 0, single, 10 * SECOND, &mut random);
            let mut reported = 0;
            while let Some(at_ns) = groups.next_ns() {
                reported += groups.due(0, at_ns, &mut random).len();
            }
            assert_eq!(reported, answers);
        }
    }
}
