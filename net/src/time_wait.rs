//! Connections in TIME-WAIT (RFC 9293, 3.6.1): two sequence numbers and a deadline instead of a
//! socket with its buffers.

use alloc::collections::VecDeque;

use crate::flow::{Flow, FlowKey, Flows};
use crate::frame::{FIN, RST, SYN, Segment};

/// Records are looked at no more often than this.
const GRAIN_NS: u64 = 1_000_000_000;

/// What is remembered of a connection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// SND.NXT: the sequence number of the answers.
    pub(crate) send_next: u32,
    /// RCV.NXT: what the answers acknowledge.
    pub(crate) receive_next: u32,
    expires_ns: u64,
}

/// What to do with a segment for a connection in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing.
    Silence,
    /// Send an acknowledgement of what the record says.
    Acknowledge,
    /// A new connection of the same peer may begin: the record is gone.
    NewConnection,
}

/// The records in the order of their deadlines, which all lie the same time ahead.
#[derive(Debug)]
pub(crate) struct TimeWait {
    queue: VecDeque<(u64, FlowKey)>,
    duration_ns: u64,
    limit: usize,
}

impl TimeWait {
    pub(crate) fn new(duration_ns: u64, limit: usize) -> TimeWait {
        TimeWait {
            queue: VecDeque::new(),
            duration_ns,
            limit: limit.max(1),
        }
    }

    /// Replaces the flow of a connection by its record; at the limit the oldest makes room.
    pub(crate) fn insert(
        &mut self,
        flows: &mut Flows,
        key: FlowKey,
        send_next: u32,
        receive_next: u32,
        now_ns: u64,
    ) {
        while self.queue.len() >= self.limit
            && let Some((_, oldest)) = self.queue.pop_front()
        {
            if let Some(Flow::TimeWait(_)) = flows.get(&oldest) {
                flows.remove(&oldest);
            }
        }
        let expires_ns = now_ns.saturating_add(self.duration_ns);
        flows.insert(
            key,
            Flow::TimeWait(Record {
                send_next,
                receive_next,
                expires_ns,
            }),
        );
        self.queue.push_back((expires_ns, key));
    }

    /// How many records there are, those that a new connection has replaced since among them.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Removes what is due. Amortised constant time for each record.
    pub(crate) fn expire(&mut self, flows: &mut Flows, now_ns: u64) {
        while let Some(&(queued_ns, key)) = self.queue.front()
            && queued_ns <= now_ns
        {
            self.queue.pop_front();
            // The flow may have begun anew since, or its record have been extended.
            match flows.get(&key) {
                Some(Flow::TimeWait(record)) if record.expires_ns <= now_ns => {
                    flows.remove(&key);
                }
                Some(Flow::TimeWait(record)) if record.expires_ns > queued_ns => {
                    self.queue.push_back((record.expires_ns, key));
                }
                _ => {}
            }
        }
    }

    /// When [`TimeWait::expire`] has something to do: at the end of a second, lest each record
    /// wakes a machine that is idle.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.queue
            .front()
            .map(|(expires_ns, _)| expires_ns.saturating_add(GRAIN_NS) / GRAIN_NS * GRAIN_NS)
    }

    /// Answers a segment for `record`, the one of `key`.
    pub(crate) fn segment(
        &mut self,
        flows: &mut Flows,
        key: &FlowKey,
        record: Record,
        segment: &Segment,
        now_ns: u64,
    ) -> Answer {
        if segment.has(RST) {
            // Only one that answers an acknowledgement of ours (its number is exact) shows that the
            // peer knows nothing of the connection; others must not end TIME-WAIT (RFC 1337).
            if segment.seq == record.receive_next {
                flows.remove(key);
            }
            return Answer::Silence;
        }
        let newer = segment.seq.wrapping_sub(record.receive_next) as i32;
        if segment.has(SYN) {
            // RFC 1122, 4.2.2.13 (a): a SYN beyond everything seen begins a new connection.
            if newer > 0 {
                flows.remove(key);
                return Answer::NewConnection;
            }
            return Answer::Acknowledge;
        }
        if segment.has(FIN)
            && let Some(Flow::TimeWait(record)) = flows.get_mut(key)
        {
            // "Acknowledge it, and restart the 2 MSL timeout" (RFC 9293, 3.10.7.4).
            record.expires_ns = now_ns.saturating_add(self.duration_ns);
        }
        // Keep-alive probes, and data that was sent before our FIN was seen, want an answer; a pure
        // acknowledgement doesn't.
        if segment.end() != segment.seq || newer < 0 {
            Answer::Acknowledge
        } else {
            Answer::Silence
        }
    }
}
