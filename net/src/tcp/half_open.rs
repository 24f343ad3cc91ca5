//! Handshakes that a peer has begun and not completed (SYN-RECEIVED of RFC 9293, 3.3.2, after a
//! passive open): small records, since anyone can begin one, and most of a flood's are never
//! completed.

use core::net::IpAddr;

use super::machine::{Flags, Header, Negotiated, Options, Segment, Seq, Setup};
use super::records::{RecordId, Records};
use crate::hash::KeyedHash;
use crate::ip::Origin;
use crate::tcp::flow::FlowKey;
use crate::types::Handle;

/// Time before the first retransmission of a SYN-ACK (RFC 6298, 2.1). It doubles for each further
/// one: 63 seconds in all.
const FIRST_NS: u64 = 1_000_000_000;
const ROUNDS: usize = 6;

/// One handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    /// The listener.
    pub(crate) listener: Handle,
    /// The interface and the Ethernet address of the SYN, for replies.
    pub(crate) interface: usize,
    pub(crate) mac: [u8; 6],
    /// Our initial sequence number.
    pub(crate) iss: Seq,
    /// The peer's.
    pub(crate) irs: Seq,
    /// Options that both ends agreed on.
    pub(crate) negotiated: Negotiated,
    /// The peer's timestamp, if both send them.
    pub(crate) recent: u32,
    round: u8,
    due_ns: u64,
}

/// The action for a segment of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Ignore,
    /// Retransmit the SYN-ACK.
    Again,
    /// Send an acknowledgement, if the limit allows it.
    Challenge,
    /// Send a reset.
    Reset,
    /// The peer has given up: remove it.
    Forget,
    /// The connection is established.
    Establish,
}

/// A handshake whose timer expired.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// A SYN-ACK is to be retransmitted.
    Again(FlowKey, Half),
    /// The last retransmission has timed out: the record was removed.
    GivenUp,
}

impl Half {
    pub(crate) fn new(
        listener: Handle,
        origin: &Origin,
        iss: Seq,
        syn: &Segment<'_>,
        setup: &Setup,
    ) -> Half {
        let mut negotiated = Negotiated::from_syn(&syn.options);
        negotiated.mss = peer_mss(syn, origin.local);
        negotiated.sack &= setup.sack;
        negotiated.window_scale = negotiated.window_scale.filter(|_| setup.scaling);
        negotiated.timestamps &= setup.timestamps;
        negotiated.ecn = syn.has(Flags::ECE | Flags::CWR);
        Half {
            listener,
            interface: origin.interface,
            mac: origin.mac,
            iss,
            irs: syn.seq,
            negotiated,
            recent: syn.options.timestamps.map_or(0, |(value, _)| value),
            round: 0,
            due_ns: 0,
        }
    }

    /// Whether our SYN-ACK was retransmitted.
    pub(crate) fn repeated(&self) -> bool {
        self.round > 0
    }

    /// Time since our SYN-ACK, if it was sent only once: after a retransmission, the
    /// acknowledgement is ambiguous (RFC 6298, 3).
    pub(crate) fn round_trip(&self, now_ns: u64) -> Option<u64> {
        let sent_ns = self.due_ns.checked_sub(FIRST_NS)?;
        (self.round == 0).then(|| now_ns.saturating_sub(sent_ns))
    }

    /// SYN and ACK. `stamp` is our timestamp.
    pub(crate) fn syn_ack(&self, setup: &Setup, stamp: u32) -> Header {
        let negotiated = self.negotiated;
        Header {
            seq: self.iss,
            ack: self.irs + 1,
            flags: if negotiated.ecn {
                Flags::SYN | Flags::ACK | Flags::ECE
            } else {
                Flags::SYN | Flags::ACK
            },
            window: setup.syn_window(),
            options: Options {
                mss: Some(setup.mss),
                window_scale: negotiated.window_scale.map(|_| setup.window_scale()),
                sack_permitted: negotiated.sack,
                timestamps: negotiated.timestamps.then_some((stamp, self.recent)),
                ..Options::default()
            },
            ..Header::default()
        }
    }

    /// An acknowledgement of the SYN.
    pub(crate) fn acknowledgement(&self, setup: &Setup, stamp: u32) -> Header {
        let scale = self
            .negotiated
            .window_scale
            .map_or(0, |_| setup.window_scale());
        Header {
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK,
            window: setup.syn_window() >> scale,
            options: Options {
                timestamps: self.negotiated.timestamps.then_some((stamp, self.recent)),
                ..Options::default()
            },
            ..Header::default()
        }
    }

    /// The action for a segment (RFC 9293, 3.10.7.4, in state SYN-RECEIVED).
    pub(crate) fn verdict(&self, segment: &Segment<'_>, window: u16) -> Verdict {
        let next = self.irs + 1;
        let window = u32::from(window.max(1));
        if segment.has(Flags::RST) {
            // RFC 5961, 3.2.
            return if segment.seq == next {
                Verdict::Forget
            } else if segment.seq.within(next, next + window) {
                Verdict::Challenge
            } else {
                Verdict::Ignore
            };
        }
        if segment.has(Flags::SYN) {
            // A retransmission; any other SYN is handled as in RFC 5961, 4.2.
            let same = segment.seq == self.irs && !segment.has(Flags::ACK);
            return if same {
                Verdict::Again
            } else {
                Verdict::Challenge
            };
        }
        match segment.options.timestamps {
            // RFC 7323, 3.2.
            None if self.negotiated.timestamps => return Verdict::Ignore,
            // PAWS: RFC 7323, 5.3.
            Some((value, _))
                if self.negotiated.timestamps && (value.wrapping_sub(self.recent) as i32) < 0 =>
            {
                return Verdict::Challenge;
            }
            _ => {}
        }
        if !segment.seq.within(next, next + window) {
            return Verdict::Challenge;
        }
        if !segment.has(Flags::ACK) {
            return Verdict::Ignore;
        }
        if segment.ack != self.iss + 1 {
            return Verdict::Reset;
        }
        Verdict::Establish
    }
}

/// All handshakes.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    /// A list per round, in the order in which its records are due.
    records: Records<Half, ROUNDS>,
    limit: usize,
}

impl HalfOpen {
    pub(crate) fn new(keyed: KeyedHash, limit: usize) -> HalfOpen {
        HalfOpen {
            records: Records::new(keyed),
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is room for another one.
    pub(crate) fn has_room(&self) -> bool {
        self.records.len() < self.limit
    }

    pub(crate) fn find(&self, key: &FlowKey) -> Option<(RecordId, Half)> {
        let place = self.records.find(key)?;
        self.records.get(place).map(|half| (place, *half))
    }

    /// Adds a handshake whose SYN-ACK is sent now.
    pub(crate) fn insert(&mut self, key: FlowKey, half: Half, now_ns: u64) {
        let due_ns = now_ns.saturating_add(FIRST_NS);
        self.records.insert(key, 0, Half { due_ns, ..half });
    }

    /// The flows of all handshakes.
    pub(crate) fn flows(&self) -> impl Iterator<Item = FlowKey> + '_ {
        self.records
            .places()
            .filter_map(|place| self.records.key(place))
    }

    pub(crate) fn remove(&mut self, place: RecordId) {
        self.records.remove(place);
    }

    /// Removes the handshakes of a listener.
    pub(crate) fn forget(&mut self, listener: Handle) {
        let is_its = |place: &RecordId| {
            self.records
                .get(*place)
                .is_some_and(|half| half.listener == listener)
        };
        let places: alloc::vec::Vec<RecordId> = self.records.places().filter(is_its).collect();
        for place in places {
            self.records.remove(place);
        }
    }

    fn first_due(&self) -> Option<(RecordId, u64)> {
        let firsts = (0..ROUNDS).filter_map(|round| {
            let place = self.records.first(round)?;
            Some((place, self.records.get(place)?.due_ns))
        });
        firsts.min_by_key(|(_, due_ns)| *due_ns)
    }

    /// When [`HalfOpen::take_due`] has a result.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.first_due().map(|(_, due_ns)| due_ns)
    }

    /// Takes one expired handshake.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        let (place, _) = self.first_due().filter(|(_, due_ns)| *due_ns <= now_ns)?;
        let key = self.records.key(place)?;
        let half = self.records.get_mut(place)?;
        half.round += 1;
        let round = usize::from(half.round);
        if round >= ROUNDS {
            self.records.remove(place);
            return Some(Due::GivenUp);
        }
        half.due_ns = now_ns.saturating_add(FIRST_NS << round);
        let half = *half;
        self.records.put_last(place, round);
        Some(Due::Again(key, half))
    }
}

/// The maximum segment size of the peer; the default is that of the family (RFC 9293, 3.7.1).
pub(crate) fn peer_mss(syn: &Segment<'_>, local: IpAddr) -> u16 {
    let default = if local.is_ipv4() { 536 } else { 1220 };
    syn.options.mss.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::{Due, Half, HalfOpen, Verdict};
    use crate::hash::KeyedHash;
    use crate::ip::Origin;
    use crate::tcp::flow::FlowKey;
    use crate::tcp::machine::{Flags, Header, Options, Segment, Seq, Setup};
    use crate::tcp::numbers::counting_random;
    use crate::types::Handle;

    const SECOND: u64 = 1_000_000_000;

    fn flow(port: u16) -> FlowKey {
        let ip = |text: &str| text.parse::<core::net::IpAddr>().unwrap();
        FlowKey::new((ip("10.0.0.1"), 80), (ip("10.0.0.2"), port))
    }

    fn segment(seq: u32, ack: u32, flags: Flags, timestamp: Option<u32>) -> Segment<'static> {
        Segment {
            source_port: 1,
            destination_port: 80,
            seq: Seq(seq),
            ack: Seq(ack),
            flags,
            window: 1000,
            urgent: 0,
            marked: false,
            options: Options {
                mss: flags.has(Flags::SYN).then_some(1400),
                timestamps: timestamp.map(|value| (value, 0)),
                ..Options::default()
            },
            payload: &[],
            gro: None,
        }
    }

    fn half(timestamp: Option<u32>) -> Half {
        let syn = segment(1000, 0, Flags::SYN, timestamp);
        let origin = Origin {
            interface: 1,
            mac: [2; 6],
            local: "10.0.0.1".parse().unwrap(),
            remote: "10.0.0.2".parse().unwrap(),
        };
        Half::new(
            Handle::from_raw(7),
            &origin,
            Seq(500),
            &syn,
            &Setup::default(),
        )
    }

    /// RFC 9293, 3.10.7.4, state SYN-RECEIVED; RFC 5961, 3 and 4; RFC 7323, 5.3.
    #[test]
    fn each_segment_of_a_handshake() {
        let verdict = |seq, ack, flags, timestamp| {
            half(Some(100)).verdict(&segment(seq, ack, flags, timestamp), 1000)
        };
        let new = Some(100);
        assert_eq!(verdict(1001, 501, Flags::ACK, new), Verdict::Establish);
        assert_eq!(
            verdict(1900, 501, Flags::ACK | Flags::PSH, new),
            Verdict::Establish
        );
        assert_eq!(
            verdict(1001, 501, Flags::ACK | Flags::FIN, new),
            Verdict::Establish
        );
        assert_eq!(verdict(1000, 0, Flags::SYN, new), Verdict::Again);
        assert_eq!(verdict(1001, 0, Flags::SYN, new), Verdict::Challenge);
        assert_eq!(
            verdict(1000, 501, Flags::SYN | Flags::ACK, new),
            Verdict::Challenge
        );
        assert_eq!(verdict(1001, 0, Flags::RST, None), Verdict::Forget);
        assert_eq!(verdict(1002, 0, Flags::RST, None), Verdict::Challenge);
        assert_eq!(verdict(1000, 0, Flags::RST, None), Verdict::Ignore);
        assert_eq!(verdict(2001, 0, Flags::RST, None), Verdict::Ignore);
        assert_eq!(verdict(2001, 501, Flags::ACK, new), Verdict::Challenge);
        assert_eq!(verdict(1000, 501, Flags::ACK, new), Verdict::Challenge);
        assert_eq!(verdict(1001, 501, Flags::ACK, Some(99)), Verdict::Challenge);
        assert_eq!(verdict(1001, 501, Flags::ACK, None), Verdict::Ignore);
        assert_eq!(verdict(1001, 501, Flags::PSH, new), Verdict::Ignore);
        for ack in [500, 502] {
            assert_eq!(verdict(1001, ack, Flags::ACK, new), Verdict::Reset);
            let header = Header::reset(&segment(1001, ack, Flags::ACK, new)).unwrap();
            assert_eq!((header.seq, header.flags), (Seq(ack), Flags::RST));
        }
    }

    #[test]
    fn the_answer_names_what_both_know() {
        let setup = Setup::default();
        let syn_ack = half(Some(100)).syn_ack(&setup, 77);
        assert_eq!((syn_ack.seq, syn_ack.ack), (Seq(500), Seq(1001)));
        assert_eq!(syn_ack.options.timestamps, Some((77, 100)));
        assert_eq!(
            (syn_ack.options.mss, syn_ack.options.window_scale),
            (Some(setup.mss), None)
        );
        assert!(!syn_ack.options.sack_permitted);
        assert_eq!(half(None).syn_ack(&setup, 77).options.timestamps, None);
    }

    #[test]
    fn answered_at_0_1_3_7_15_31_seconds_and_forgotten_after_63() {
        let mut table = HalfOpen::new(KeyedHash::new(&mut counting_random()), 2);
        table.insert(flow(1), half(None), 0);
        let mut times = Vec::new();
        while let Some(at_ns) = table.next_ns() {
            match table.take_due(at_ns) {
                Some(Due::Again(key, _)) => assert_eq!(key, flow(1)),
                other => assert!(matches!(other, Some(Due::GivenUp)), "{other:?}"),
            }
            assert!(table.take_due(at_ns).is_none());
            times.push(at_ns / SECOND);
        }
        assert_eq!(times, [1, 3, 7, 15, 31, 63]);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_one_that_is_due_first_comes_first_whatever_its_round() {
        let mut table = HalfOpen::new(KeyedHash::new(&mut counting_random()), 3);
        table.insert(flow(1), half(None), 0);
        table.take_due(SECOND);
        table.insert(flow(2), half(None), SECOND + 5);
        assert!(table.has_room());
        assert_eq!(table.next_ns(), Some(2 * SECOND + 5));
        table.forget(Handle::from_raw(7));
        assert_eq!((table.len(), table.next_ns()), (0, None));
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Half>() <= 64, "{}", size_of::<Half>());
    }
}
