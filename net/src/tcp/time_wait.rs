//! Connections in TIME-WAIT (RFC 9293, 3.6.1): a few numbers instead of a connection.

use super::machine::{Flags, Header, Options, Segment, Seq, TimeWaitState};
use super::records::Records;
use crate::hash::KeyedHash;
use crate::tcp::flow::FlowKey;

/// Minimum interval between two scans of the records.
const SCAN_INTERVAL_NS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Waiting {
    record: TimeWaitState,
    expires_ns: u64,
}

/// The reply to a segment for a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing.
    Silence,
    /// Send this acknowledgement.
    Acknowledge(Header),
    /// Send this challenge acknowledgement, if the limit allows it (RFC 5961, 7): two ends that
    /// disagree must not acknowledge each other forever.
    Challenge(Header),
    /// A new connection of the same peer may begin, if there is a listener; otherwise as with
    /// [`Answer::Challenge`]. Its sequence number must be beyond this one; once it has begun,
    /// remove the record.
    Begin(Seq, Header),
}

/// All records, oldest first.
#[derive(Debug)]
pub(crate) struct TimeWait {
    records: Records<Waiting, 1>,
    duration_ns: u64,
    limit: usize,
}

/// Whether timestamp `a` is newer than `b` (RFC 7323, 5.2: modulo 2^32).
fn is_newer(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

impl TimeWait {
    pub(crate) fn new(keyed: KeyedHash, duration_ns: u64, limit: usize) -> TimeWait {
        TimeWait {
            records: Records::new(keyed),
            duration_ns,
            limit: limit.max(1),
        }
    }

    /// The number of records.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The flows of all of them.
    pub(crate) fn flows(&self) -> impl Iterator<Item = FlowKey> + '_ {
        self.records
            .places()
            .filter_map(|place| self.records.key(place))
    }

    /// Whether there is a record of this flow.
    pub(crate) fn contains(&self, key: &FlowKey) -> bool {
        self.records.find(key).is_some()
    }

    /// Adds the record of a connection that is over. At the limit it evicts the oldest, and returns
    /// `false`.
    pub(crate) fn insert(&mut self, key: FlowKey, record: TimeWaitState, now_ns: u64) -> bool {
        let full = self.records.len() >= self.limit;
        if full && let Some(oldest) = self.records.first(0) {
            self.records.remove(oldest);
        }
        let expires_ns = now_ns.saturating_add(self.duration_ns);
        self.records.insert(key, 0, Waiting { record, expires_ns });
        !full
    }

    /// Removes the record of a flow.
    pub(crate) fn forget(&mut self, key: &FlowKey) {
        if let Some(place) = self.records.find(key) {
            self.records.remove(place);
        }
    }

    /// Removes expired records.
    pub(crate) fn expire(&mut self, now_ns: u64) {
        while let Some(place) = self.records.first(0)
            && self
                .records
                .get(place)
                .is_some_and(|waiting| waiting.expires_ns <= now_ns)
        {
            self.records.remove(place);
        }
    }

    /// Time at which [`TimeWait::expire`] has work to do: the end of a second, so that not every
    /// record wakes an idle machine.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let first = self.records.get(self.records.first(0)?)?;
        Some(
            first.expires_ns.saturating_add(SCAN_INTERVAL_NS) / SCAN_INTERVAL_NS * SCAN_INTERVAL_NS,
        )
    }

    /// Handles a segment, if there is a record of its flow; returns the reply. `clock` is that of
    /// timestamps, in milliseconds.
    pub(crate) fn segment(
        &mut self,
        key: &FlowKey,
        segment: &Segment<'_>,
        clock: u32,
        now_ns: u64,
    ) -> Option<Answer> {
        let place = self.records.find(key)?;
        let waiting = self.records.get_mut(place)?;
        let record = waiting.record;
        if segment.has(Flags::RST) {
            // A reset may be the reply to our acknowledgement of a late segment, if the peer has
            // dropped the connection: TIME-WAIT must outlive it (RFC 1337, fix F1).
            return Some(Answer::Silence);
        }
        let newer = (segment.seq - record.rcv_nxt) as i32;
        let answer = Header {
            seq: record.snd_nxt,
            ack: record.rcv_nxt,
            flags: Flags::ACK,
            window: record.window,
            options: Options {
                timestamps: record
                    .timestamps
                    .map(|(recent, offset)| (clock.wrapping_add(offset), recent)),
                ..Options::default()
            },
            ..Header::default()
        };
        if segment.has(Flags::SYN) {
            // RFC 6191, section 2, and RFC 9293, 3.10.7.4 (RFC 1122, 4.2.2.13).
            let begins = match (record.timestamps, segment.options.timestamps) {
                (Some((recent, _)), Some((value, _))) => {
                    is_newer(value, recent) || value == recent && newer > 0
                }
                (None, Some(_)) => true,
                (_, None) => newer > 0,
            };
            return Some(
                if begins && segment.flags.0 & (Flags::ACK | Flags::FIN).0 == 0 {
                    // Our segments that are still in flight are older (RFC 6191, section 4).
                    Answer::Begin(record.snd_nxt, answer)
                } else {
                    // RFC 5961, 4.2.
                    Answer::Challenge(answer)
                },
            );
        }
        let old = match (record.timestamps, segment.options.timestamps) {
            (Some((recent, _)), Some((value, _))) => is_newer(recent, value),
            _ => false,
        };
        // RFC 9293, 3.10.7.4: first the sequence number; fifth the ACK, without which a segment
        // within the window is dropped.
        let window = i64::from(record.window) << record.scale;
        let (first, end) = (
            i64::from(newer),
            i64::from(newer) + i64::from(segment.len()),
        );
        let outside = first >= window.max(1) || end < i64::from(segment.len() > 0);
        let acked = segment.has(Flags::ACK);
        if segment.has(Flags::FIN) && acked && !old {
            // "Acknowledge it, and restart the 2 MSL timeout".
            waiting.expires_ns = now_ns.saturating_add(self.duration_ns);
            self.records.put_last(place, 0);
        }
        Some(if segment.len() > 0 && (acked || outside) {
            // Data that was sent before our FIN arrived, and a retransmitted FIN.
            Answer::Acknowledge(answer)
        } else if old || outside || acked && newer != 0 {
            // Keep-alive probes. Only an acknowledgement of the end needs no reply.
            Answer::Challenge(answer)
        } else {
            Answer::Silence
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, TimeWait, TimeWaitState};
    use crate::hash::KeyedHash;
    use crate::tcp::flow::FlowKey;
    use crate::tcp::machine::{Flags, Options, Segment, Seq};
    use crate::tcp::numbers::counting_random;

    const SECOND: u64 = 1_000_000_000;

    fn flow(port: u16) -> FlowKey {
        let ip = |text: &str| text.parse::<core::net::IpAddr>().unwrap();
        FlowKey::new((ip("10.0.0.1"), 80), (ip("10.0.0.2"), port))
    }

    fn segment(seq: u32, flags: Flags, timestamp: Option<u32>) -> Segment<'static> {
        Segment {
            source_port: 1,
            destination_port: 80,
            seq: Seq(seq),
            ack: Seq(500),
            flags,
            window: 1000,
            urgent: 0,
            marked: false,
            options: Options {
                timestamps: timestamp.map(|value| (value, 0)),
                ..Options::default()
            },
            payload: &[],
            gro: None,
        }
    }

    fn table(timestamps: Option<(u32, u32)>) -> TimeWait {
        let mut table = TimeWait::new(KeyedHash::new(&mut counting_random()), 60 * SECOND, 3);
        let record = TimeWaitState {
            snd_nxt: Seq(500),
            rcv_nxt: Seq(1000),
            window: 5000,
            scale: 2,
            timestamps,
        };
        assert!(table.insert(flow(1), record, 0));
        table
    }

    fn answer(timestamps: Option<(u32, u32)>, segment: &Segment<'_>) -> Answer {
        table(timestamps)
            .segment(&flow(1), segment, 7, SECOND)
            .unwrap()
    }

    /// RFC 6191, section 2: each case.
    #[test]
    fn a_syn_reopens_if_its_timestamp_or_number_is_beyond() {
        let begins = |had: Option<(u32, u32)>, seq: u32, timestamp: Option<u32>| {
            let answered = answer(had, &segment(seq, Flags::SYN, timestamp));
            assert!(matches!(
                answered,
                Answer::Begin(Seq(500), header) | Answer::Challenge(header)
                    if header.flags == Flags::ACK,
            ));
            // RFC 5961, 4.2: a SYN that also carries a FIN opens nothing.
            let with_fin = answer(had, &segment(seq, Flags::SYN | Flags::FIN, timestamp));
            assert!(matches!(with_fin, Answer::Challenge(_)));
            matches!(answered, Answer::Begin(..))
        };
        let had = Some((100, 9));
        assert!(begins(had, 1, Some(101)));
        assert!(begins(had, 1001, Some(100)) && !begins(had, 1000, Some(100)));
        assert!(!begins(had, 1001, Some(99)));
        assert!(begins(had, 1001, None) && !begins(had, 999, None));
        assert!(begins(None, 1, Some(5)));
        assert!(begins(None, 1001, None) && !begins(None, 1000, None));
    }

    /// RFC 9293, 3.10.7.4.
    #[test]
    fn what_comes_late_is_acknowledged_with_our_numbers() {
        let Answer::Acknowledge(header) = answer(
            Some((100, 9)),
            &segment(999, Flags::FIN | Flags::ACK, Some(100)),
        ) else {
            panic!("silence")
        };
        assert_eq!(
            (header.seq, header.ack, header.flags),
            (Seq(500), Seq(1000), Flags::ACK)
        );
        assert_eq!(header.options.timestamps, Some((16, 100)));
        assert_eq!(
            answer(None, &segment(1000, Flags::ACK, None)),
            Answer::Silence
        );
        // A keep-alive probe, an acknowledgement of unsent data, and a segment that PAWS rejects.
        let challenged =
            |had, segment: &Segment<'_>| matches!(answer(had, segment), Answer::Challenge(_));
        assert!(challenged(None, &segment(999, Flags::ACK, None)));
        assert!(challenged(None, &segment(1001, Flags::ACK, None)));
        assert!(challenged(None, &segment(50_000, Flags::ACK, None)));
        let old = segment(1000, Flags::ACK, Some(99));
        assert!(challenged(Some((100, 0)), &old));
    }

    /// RFC 9293, 3.10.7.4: without ACK a segment in the window is dropped, and one outside is
    /// acknowledged. The window is the scaled one.
    #[test]
    fn without_ack_only_what_lies_outside_is_answered() {
        for (seq, bytes, answered) in [
            (1000, 0, false),
            (1001, 0, false),
            (20_999, 0, false),
            (21_000, 0, true),
            (999, 0, true),
            (1000, 1, false),
            (999, 1, true),
            (999, 2, false),
            (20_999, 1, false),
            (21_000, 1, true),
        ] {
            let bare = Segment {
                payload: &[0; 2][..bytes],
                ..segment(seq, Flags::NONE, None)
            };
            assert_eq!(answer(None, &bare) != Answer::Silence, answered, "{seq}");
        }
    }

    /// RFC 1337.
    #[test]
    fn no_reset_ends_it() {
        let mut table = table(None);
        let reset = segment(1000, Flags::RST, None);
        assert_eq!(table.segment(&flow(1), &reset, 7, 0), Some(Answer::Silence));
        assert!(table.contains(&flow(1)));
    }

    #[test]
    fn a_fin_restarts_the_time_and_an_old_one_does_not() {
        let with_ack = Flags::FIN | Flags::ACK;
        for (timestamp, flags, restarts) in [
            (Some(100), with_ack, true),
            (Some(50), with_ack, false),
            (Some(100), Flags::FIN, false),
        ] {
            let mut table = table(Some((100, 0)));
            let fin = segment(999, flags, timestamp);
            table.segment(&flow(1), &fin, 0, 30 * SECOND);
            table.expire(60 * SECOND);
            assert_eq!(table.len() == 1, restarts);
            table.expire(90 * SECOND);
            assert_eq!((table.len(), table.next_ns()), (0, None));
        }
    }

    #[test]
    fn at_the_limit_the_oldest_makes_room() {
        let mut table = table(None);
        let record = TimeWaitState {
            snd_nxt: Seq(1),
            rcv_nxt: Seq(2),
            window: 5000,
            scale: 0,
            timestamps: None,
        };
        let kept: Vec<bool> = (2..6)
            .map(|port| table.insert(flow(port), record, SECOND))
            .collect();
        assert_eq!(kept, [true, true, false, false]);
        assert_eq!(table.len(), 3);
        assert!(!table.contains(&flow(1)) && !table.contains(&flow(2)) && table.contains(&flow(5)));
        assert_eq!(table.next_ns(), Some(62 * SECOND));
    }
}
