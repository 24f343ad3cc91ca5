//! One link: whether it has confirmed the name, and the timing of its messages.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::records::{BITS, Encoding, Records, Set, TOP, TTL};
use super::{MS, PORT, SECOND, Turn};
use crate::dns::message::{CLASS_IN, Message, Record, kind};
use crate::dns::name::Name;
use net::{Cidr, InterfaceId};

/// RFC 6762, 8.1: three probes, a quarter of a second between them and before the first.
const PROBES: u8 = 3;
const PROBE_NS: u64 = 250 * MS;
/// RFC 6762, 8.2: after losing a tie-break.
const DEFER_NS: u64 = SECOND;
/// RFC 6762, 8.3: at least two, a second apart.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_NS: u64 = SECOND;
/// RFC 6762, 6: minimum interval between multicasts of a record; the second one is for probes.
const MIN_INTERVAL_NS: u64 = SECOND;
const MIN_INTERVAL_PROBED_NS: u64 = 250 * MS;
/// RFC 6762, 5.4: a question for a unicast response gets a multicast one if there was none for this
/// long.
const QUARTER_NS: u64 = TTL as u64 / 4 * SECOND;
/// RFC 6762, 6.7.
const LEGACY_TTL: u32 = 10;
/// Any class (RFC 1035, 3.2.5).
const CLASS_ANY: u16 = 255;

/// Effect of a datagram on the claim to the name.
#[derive(PartialEq)]
pub(super) enum ClaimEffect {
    Nothing,
    /// Another host has it. `true`: it wins, since the name wasn't confirmed here.
    Conflict(bool),
}

/// Origin of a query.
pub(super) struct QueryOrigin {
    pub(super) from: SocketAddr,
    /// It was sent to the group.
    pub(super) group: bool,
    /// A unicast response is allowed.
    pub(super) may_unicast: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Probing for the name: probes sent so far.
    Probing(u8),
    /// Confirmed: announcements left.
    Announcing(u8),
    Settled,
}

/// A delayed response.
struct Pending {
    at_ns: u64,
    set: Set,
    /// The host that will send more known answers (RFC 6762, 7.2).
    more_from: Option<SocketAddr>,
    /// A probe is among the queries.
    probed: bool,
}

/// State of the responder on one link and for one address family.
pub(super) struct Link {
    pub(super) interface: InterfaceId,
    pub(super) group: IpAddr,
    records: Records,
    networks: Vec<Cidr>,
    phase: Phase,
    /// Time of the next step of the phase.
    at_ns: u64,
    pending: Option<Pending>,
    /// When each record was last multicast.
    sent_ns: [Option<u64>; BITS],
}

impl Link {
    pub(super) fn new(
        turn: &mut Turn<'_>,
        interface: InterfaceId,
        group: IpAddr,
        records: Records,
        networks: &[Cidr],
    ) -> Link {
        Link {
            interface,
            group,
            records,
            networks: networks.to_vec(),
            phase: Phase::Probing(0),
            // RFC 6762, 8.1: spreads hosts that start at the same time.
            at_ns: turn.now_ns + turn.below(PROBE_NS),
            pending: None,
            sent_ns: [None; BITS],
        }
    }

    /// Updates the addresses of the interface.
    pub(super) fn change(&mut self, turn: &mut Turn<'_>, records: Records, networks: &[Cidr]) {
        self.networks = networks.to_vec();
        if self.records.same_addresses(&records) {
            return;
        }
        let gone = self.records.beyond(&records);
        if gone != 0 && self.is_ours() {
            self.say(turn, gone, 0);
        }
        self.records = records;
        self.pending = None;
        self.sent_ns = [None; BITS];
        if self.is_ours() {
            self.phase = Phase::Announcing(ANNOUNCEMENTS);
            self.at_ns = turn.now_ns;
        } else {
            self.probe_from(turn.now_ns);
        }
    }

    fn is_ours(&self) -> bool {
        !matches!(self.phase, Phase::Probing(_))
    }

    /// The name is confirmed and announced.
    pub(super) fn is_established(&self) -> bool {
        self.phase == Phase::Settled
    }

    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|cidr| cidr.address == address)
    }

    /// Whether an address is on the link (RFC 6762, 11).
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        let local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        local || self.networks.iter().any(|cidr| cidr.contains(address))
    }

    /// Probes for the name again.
    pub(super) fn probe_from(&mut self, at_ns: u64) {
        self.phase = Phase::Probing(0);
        self.at_ns = at_ns;
        self.pending = None;
    }

    /// Multicasts records; `false` if there is no room now.
    fn say(&mut self, turn: &mut Turn<'_>, set: Set, ttl: u32) -> bool {
        let encoding = Encoding { ttl, legacy: None };
        let message = self.records.response(turn.host, set, encoding);
        if !turn.multicast(self.interface, self.group, &message) {
            return false;
        }
        for (n, sent_ns) in self.sent_ns.iter_mut().enumerate() {
            if set >> n & 1 == 1 {
                *sent_ns = Some(turn.now_ns);
            }
        }
        true
    }

    pub(super) fn goodbye(&mut self, turn: &mut Turn<'_>) {
        if self.is_ours() {
            self.say(turn, self.records.all(), 0);
        }
    }

    /// The records of a set that were multicast in the last `ns`.
    fn sent_within(&self, set: Set, ns: u64, now_ns: u64) -> Set {
        let mut recent = 0;
        for (n, sent_ns) in self.sent_ns.iter().enumerate() {
            if sent_ns.is_some_and(|at_ns| now_ns < at_ns.saturating_add(ns)) {
                recent |= 1 << n;
            }
        }
        recent & set
    }

    /// Does all work that is due; returns the time of the next step.
    pub(super) fn run(&mut self, turn: &mut Turn<'_>) -> Option<u64> {
        if self.phase != Phase::Settled && self.at_ns <= turn.now_ns {
            self.step(turn);
        }
        if let Some(pending) = self.pending.take_if(|p| p.at_ns <= turn.now_ns) {
            self.respond(turn, pending);
        }
        let step = (self.phase != Phase::Settled).then_some(self.at_ns);
        let answer = self.pending.as_ref().map(|pending| pending.at_ns);
        [step, answer].into_iter().flatten().min()
    }

    fn step(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Probing(PROBES) => {
                self.phase = Phase::Announcing(ANNOUNCEMENTS);
                self.step(turn);
            }
            Phase::Probing(sent) => {
                // RFC 6762, 5.4: the first response may be unicast.
                let message = self.records.probe(turn.host, sent == 0);
                if turn.multicast(self.interface, self.group, &message) {
                    self.phase = Phase::Probing(sent + 1);
                }
                self.at_ns = turn.now_ns + PROBE_NS;
            }
            Phase::Announcing(left) => {
                if self.say(turn, self.records.all(), TTL) {
                    self.phase = match left {
                        0 | 1 => Phase::Settled,
                        left => Phase::Announcing(left - 1),
                    };
                }
                self.at_ns = turn.now_ns + ANNOUNCE_NS;
            }
            Phase::Settled => {}
        }
    }

    /// Sends responses that are due, except for records sent just before.
    fn respond(&mut self, turn: &mut Turn<'_>, pending: Pending) {
        let pause_ns = if pending.probed {
            MIN_INTERVAL_PROBED_NS
        } else {
            MIN_INTERVAL_NS
        };
        let recent = self.sent_within(pending.set, pause_ns, turn.now_ns);
        let now = pending.set & !recent;
        let left = if now != 0 && self.say(turn, now, TTL) {
            recent
        } else {
            pending.set
        };
        if left != 0 {
            let at_ns = turn.now_ns + pause_ns;
            let set = left;
            self.pending = Some(Pending {
                at_ns,
                set,
                ..pending
            });
        }
    }

    /// Handles a query; returns whether it got a unicast response.
    pub(super) fn query(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        origin: &QueryOrigin,
    ) -> bool {
        let (questions, _) = message.questions();
        let [known, authority, _] = message.records();
        let of_host = |record: &&Record| record.name == *turn.host;
        let claims: Vec<&Record> = authority.iter().filter(of_host).collect();
        if !self.is_ours() {
            // RFC 6762, 8.2: a simultaneous probe for the same name.
            if self.records.is_later(message, &claims) == Some(true) && !claims.is_empty() {
                self.probe_from(turn.now_ns + DEFER_NS);
            }
            return false;
        }
        let known = known.iter().filter(|record| record.ttl >= TTL / 2);
        let known = known.fold(0, |set, record| {
            set | self.records.same(turn.host, message, record)
        });
        // The rest of a long query.
        if let Some(pending) = &mut self.pending
            && pending.more_from == Some(origin.from)
        {
            pending.set &= !known;
            if pending.set == 0 {
                self.pending = None;
            }
        }
        if origin.from.port() != PORT {
            return self.legacy(turn, message, &questions, origin);
        }
        let (mut all, mut alone, mut every) = (0, 0, true);
        for (name, kind, class) in &questions {
            let right = matches!(class & !TOP, CLASS_IN | CLASS_ANY);
            let set = self.records.answers(turn.host, name, *kind);
            let set = if right { set & !known } else { 0 };
            every &= set != 0;
            if class & TOP != 0 || !origin.group {
                alone |= set;
            } else {
                all |= set;
            }
        }
        if origin.group {
            let recent = self.sent_within(alone, QUARTER_NS, turn.now_ns);
            all |= alone & !recent;
            alone = recent;
        }
        alone &= !all;
        if all != 0 {
            self.queue(turn, all, !claims.is_empty(), every, message, origin.from);
        }
        if alone == 0 || !origin.may_unicast {
            return false;
        }
        let encoding = Encoding {
            ttl: TTL,
            legacy: None,
        };
        self.unicast(turn, alone, encoding, origin.from)
    }

    fn queue(
        &mut self,
        turn: &mut Turn<'_>,
        set: Set,
        probed: bool,
        every: bool,
        message: &Message<'_>,
        from: SocketAddr,
    ) {
        let more = message.is_truncated();
        // RFC 6762, 6: at once if no other host will respond, and always to a probe.
        let wait_ns = match (more, probed || every) {
            (true, _) => 400 * MS + turn.below(100 * MS),
            (false, true) => 0,
            (false, false) => 20 * MS + turn.below(100 * MS),
        };
        let at_ns = turn.now_ns + wait_ns;
        let new = Pending {
            at_ns,
            set,
            more_from: more.then_some(from),
            probed,
        };
        let pending = self.pending.get_or_insert(new);
        if pending.set != set || pending.at_ns != at_ns {
            // From several hosts: one's known answers are not the other's.
            pending.more_from = None;
        }
        pending.set |= set;
        pending.at_ns = pending.at_ns.min(at_ns);
        pending.probed |= probed;
    }

    /// Responds to a resolver without multicast DNS (RFC 6762, 6.7).
    fn legacy(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        questions: &[(Name, u16, u16)],
        origin: &QueryOrigin,
    ) -> bool {
        let [(name, kind, class)] = questions else {
            return false;
        };
        let set = self.records.answers(turn.host, name, *kind);
        let right = matches!(class & !TOP, CLASS_IN | CLASS_ANY);
        if set == 0 || !right || !origin.may_unicast {
            return false;
        }
        let encoding = Encoding {
            ttl: LEGACY_TTL,
            legacy: Some((message.id(), questions)),
        };
        self.unicast(turn, set, encoding, origin.from)
    }

    fn unicast(
        &mut self,
        turn: &mut Turn<'_>,
        set: Set,
        encoding: Encoding<'_>,
        to: SocketAddr,
    ) -> bool {
        let message = self.records.response(turn.host, set, encoding);
        // Lost like a datagram.
        let _ = turn.unicast(self.interface, to, &message);
        true
    }

    /// Handles another host's response.
    pub(super) fn response(&mut self, turn: &mut Turn<'_>, message: &Message<'_>) -> ClaimEffect {
        let mut effect = ClaimEffect::Nothing;
        let (mut said, mut ending) = (0, 0);
        for record in message.records().iter().flatten() {
            if record.class & !TOP != CLASS_IN {
                continue;
            }
            let same = self.records.same(turn.host, message, record);
            if same != 0 {
                if record.ttl >= TTL {
                    said |= same;
                } else if record.ttl < TTL / 2 {
                    ending |= same;
                }
            } else if record.name == *turn.host && record.ttl > 0 {
                // Records of other types may coexist, once the name is confirmed.
                let unique = matches!(record.kind, kind::A | kind::AAAA);
                if unique || !self.is_ours() {
                    effect = ClaimEffect::Conflict(!self.is_ours());
                }
            }
        }
        if !self.is_ours() || effect != ClaimEffect::Nothing {
            return effect;
        }
        // RFC 6762, 7.4: another host has given the same answer.
        if let Some(pending) = &mut self.pending {
            pending.set &= !said;
            if pending.set == 0 {
                self.pending = None;
            }
        }
        // RFC 6762, 6.6: another host's response would expire valid records.
        if ending != 0 {
            let new = Pending {
                at_ns: turn.now_ns,
                set: ending,
                more_from: None,
                probed: false,
            };
            self.pending.get_or_insert(new).set |= ending;
        }
        effect
    }
}
