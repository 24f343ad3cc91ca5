//! A link between two machines: delay, rate, loss and reordering, determined per segment.

use alloc::collections::BTreeMap;

use super::super::{
    Block, Budget, Emit, Flags, Header, Machine, Outcome, Pressure, SMALL, Segment, Setup, State,
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MS;

/// Counts allocations; the test sets the pressure.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) used: usize,
    pub(crate) peak: usize,
    pub(crate) limit: Option<usize>,
    pub(crate) pressure: Pressure,
}

impl Memory {
    fn count(&mut self, bytes: usize) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }
}

impl Budget for Memory {
    fn block(&mut self, wanted: usize) -> Option<Block> {
        let size = if wanted <= SMALL {
            SMALL
        } else {
            super::super::LARGE
        };
        if self.limit.is_some_and(|limit| self.used + size > limit) {
            return None;
        }
        self.count(size);
        Some(Block::new(size))
    }

    fn guaranteed(&mut self) -> Block {
        self.count(SMALL);
        Block::new(SMALL)
    }

    fn recycle(&mut self, block: Block) {
        self.used -= block.capacity();
    }

    fn take(&mut self, bytes: usize) -> bool {
        if self.limit.is_some_and(|limit| self.used + bytes > limit) {
            return false;
        }
        self.count(bytes);
        true
    }

    fn give(&mut self, bytes: usize) {
        self.used -= bytes;
    }

    fn pressure(&self) -> Pressure {
        self.pressure
    }
}

/// A segment on the wire, with its sender (0 or 1) and its time.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) at_ns: u64,
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Sent {
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.header.flags.has(flags)
    }

    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }
}

/// Collects a machine's segments, segmented as by a device.
pub(crate) struct Tap {
    pub(crate) tso: usize,
    pub(crate) calls: usize,
    pub(crate) room: usize,
    pub(crate) out: Vec<(Header, Vec<u8>)>,
}

impl Tap {
    pub(crate) fn new(tso: usize) -> Tap {
        Tap {
            tso,
            calls: 0,
            room: usize::MAX,
            out: Vec::new(),
        }
    }
}

impl Emit for Tap {
    fn max_segment(&self) -> usize {
        self.tso
    }

    fn segment(&mut self, header: &Header, payload: &[&[u8]]) -> bool {
        if self.room == 0 {
            return false;
        }
        self.room -= 1;
        self.calls += 1;
        let payload = payload.concat();
        let size = usize::from(header.segment_size);
        if payload.is_empty() {
            self.out.push((*header, payload));
            return true;
        }
        assert!(
            size > 0 && (payload.len() <= size || payload.len() <= self.tso),
            "{header:?} {}",
            payload.len()
        );
        let count = payload.len().div_ceil(size);
        for (n, part) in payload.chunks(size).enumerate() {
            let mut cut = *header;
            cut.seq = header.seq + (n * size) as u32;
            if n + 1 < count {
                cut.flags = Flags(cut.flags.0 & !(Flags::FIN.0 | Flags::PSH.0));
            }
            self.out.push((cut, part.to_vec()));
        }
        true
    }
}

pub(crate) struct End {
    pub(crate) machine: Machine,
    pub(crate) memory: Memory,
    pub(crate) tap: Tap,
    pub(crate) received: Vec<u8>,
    /// The application reads at once.
    pub(crate) reads: bool,
    /// Bytes to write.
    pub(crate) to_write: Vec<u8>,
    pub(crate) written: usize,
    pub(crate) shut: bool,
    /// Bytes of consecutive segments that are merged on receipt; 0: none.
    pub(crate) gro: usize,
}

/// Whether a segment is dropped, and the added delay.
pub(crate) type LinkRule = Box<dyn FnMut(&Sent) -> Option<u64>>;

pub(crate) struct World {
    pub(crate) now_ns: u64,
    pub(crate) ends: [End; 2],
    wire: BTreeMap<(u64, u64), (usize, Header, Vec<u8>)>,
    order: u64,
    pub(crate) delay_ns: u64,
    /// Bytes per second, 0: no limit; and the size of the queue in bytes.
    pub(crate) rate: u64,
    pub(crate) queue: u64,
    /// Probability of duplication, per thousand segments.
    pub(crate) twice: u64,
    free_ns: [u64; 2],
    pub(crate) rule: LinkRule,
    pub(crate) log: Vec<Sent>,
    pub(crate) keep_log: bool,
}

pub(crate) fn end(machine: Machine) -> End {
    End {
        machine,
        memory: Memory::default(),
        tap: Tap::new(0),
        received: Vec::new(),
        reads: true,
        to_write: Vec::new(),
        written: 0,
        shut: false,
        gro: 0,
    }
}

impl World {
    /// A client about to connect to a listening server.
    pub(crate) fn new(delay_ns: u64, client: &Setup, server: &Setup) -> World {
        let now_ns = 1000 * SECOND;
        let machine = Machine::connect(client, now_ns);
        // A placeholder for the listener until the SYN arrives.
        let waiting = Machine::connect(server, now_ns);
        let mut world = World {
            now_ns,
            ends: [end(machine), end(waiting)],
            wire: BTreeMap::new(),
            order: 0,
            delay_ns,
            rate: 0,
            queue: u64::MAX,
            twice: 0,
            free_ns: [0; 2],
            rule: Box::new(|_| Some(0)),
            log: Vec::new(),
            keep_log: true,
        };
        world.ends[1].machine.state = State::Closed;
        world.ends[1].machine.due = 0;
        world.ends[1].machine.timers = super::super::timers::Timers::new();
        world
    }

    /// Both ends connected, round trip `2 * delay_ns`.
    pub(crate) fn connected(delay_ns: u64, client: &Setup, server: &Setup) -> World {
        let mut world = World::new(delay_ns, client, server);
        world.run_until(10 * SECOND, |world| {
            world
                .ends
                .iter()
                .all(|end| end.machine.state() == State::Established)
        });
        assert_eq!(world.ends[1].machine.state(), State::Established);
        world.log.clear();
        world
    }

    pub(crate) fn standard(delay_ns: u64) -> World {
        let client = Setup {
            iss: 1000,
            ..Setup::default()
        };
        let server = Setup {
            iss: 0xffff_f000,
            ..Setup::default()
        };
        World::connected(delay_ns, &client, &server)
    }

    pub(crate) fn write(&mut self, from: usize, bytes: &[u8]) {
        self.ends[from].to_write.extend_from_slice(bytes);
    }

    fn applications(&mut self) {
        for end in &mut self.ends {
            while end.reads && !end.machine.peek().is_empty() {
                let bytes = end.machine.peek().to_vec();
                end.received.extend_from_slice(&bytes);
                end.machine
                    .consume(&mut end.memory, bytes.len(), self.now_ns);
            }
            while end.written < end.to_write.len() {
                let rest = &end.to_write[end.written..];
                let len = end.machine.write(&mut end.memory, rest);
                if len == 0 {
                    break;
                }
                end.written += len;
            }
            if end.shut && end.written == end.to_write.len() {
                end.machine.shutdown_send();
            }
        }
    }

    fn turns(&mut self) {
        for from in 0..2 {
            let end = &mut self.ends[from];
            for _ in 0..1000 {
                if !end.machine.wants_output() {
                    break;
                }
                let outcome = end.machine.output(self.now_ns, 64, &mut end.tap);
                if outcome == Outcome::Blocked {
                    break;
                }
                assert!(outcome == Outcome::More || !end.machine.wants_output());
            }
            let out = core::mem::take(&mut self.ends[from].tap.out);
            for (header, payload) in out {
                self.carry(from, header, payload);
            }
        }
    }

    fn carry(&mut self, from: usize, header: Header, payload: Vec<u8>) {
        // Received data isn't retransmitted (RFC 2018, 5).
        let machine = &self.ends[from].machine;
        if !payload.is_empty() && machine.state() != State::Closed {
            let end = header.seq + payload.len() as u32;
            assert!(end.after(machine.snd_una), "{header:?}");
            assert!(!machine.recovery.is_sacked(header.seq, end), "{header:?}");
        }
        let sent = Sent {
            from,
            at_ns: self.now_ns,
            header,
            payload,
        };
        let rule = (self.rule)(&sent);
        let len = sent.payload.len() as u64 + 60;
        let payload = sent.payload.clone();
        if self.keep_log {
            self.log.push(sent);
        }
        let Some(extra) = rule else { return };
        let mut at_ns = self.now_ns;
        if self.rate > 0 {
            let begin = self.free_ns[from].max(self.now_ns);
            if (begin - self.now_ns) * self.rate / SECOND > self.queue {
                return;
            }
            at_ns = begin + len * SECOND / self.rate;
            self.free_ns[from] = at_ns;
        }
        self.order += 1;
        let at_ns = at_ns + self.delay_ns + extra;
        if self.order.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54 < self.twice {
            let again = (1 - from, header, payload.clone());
            self.wire.insert((at_ns + MS, self.order), again);
            self.order += 1;
        }
        self.wire
            .insert((at_ns, self.order), (1 - from, header, payload));
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now_ns
        {
            let (to, header, mut payload) = entry.remove();
            let mut gro = None;
            let joins = self.ends[to].gro;
            while joins > 0
                && let Some(entry) = self.wire.first_entry()
                && entry.key().0 <= self.now_ns
                && entry.get().0 == to
                && !payload.is_empty()
                && entry.get().1.seq == header.seq + payload.len() as u32
                && entry.get().1.flags == header.flags
                && payload.len() + entry.get().2.len() <= joins
            {
                let (_, next, more) = entry.remove();
                gro = Some(next.segment_size);
                payload.extend_from_slice(&more);
            }
            self.give(to, &header, &payload, gro);
        }
    }

    /// Delivers a segment to `to`, encoded and parsed.
    pub(crate) fn give(&mut self, to: usize, header: &Header, payload: &[u8], gro: Option<u16>) {
        let mut bytes = vec![0; 60 + payload.len()];
        let len = header.write(1, 2, &mut bytes).unwrap();
        bytes[len..len + payload.len()].copy_from_slice(payload);
        let mut segment = Segment::parse(&bytes[..len + payload.len()]).unwrap();
        segment.gro = gro;
        let end = &mut self.ends[to];
        let listening = end.machine.state() == State::Closed && end.machine.syns_sent == 0;
        if listening && end.machine.error().is_none() {
            if segment.has(Flags::SYN) && !segment.has(Flags::ACK) {
                let setup = end.machine.setup;
                end.machine = Machine::accept(&setup, &segment, self.now_ns);
            }
            return;
        }
        end.machine
            .input(&mut end.memory, &mut || true, &segment, self.now_ns);
    }

    /// Runs for `duration_ns`, or until `done`; returns whether it was.
    pub(crate) fn run_until(
        &mut self,
        duration_ns: u64,
        mut done: impl FnMut(&World) -> bool,
    ) -> bool {
        let until = self.now_ns + duration_ns;
        let mut steps = 0u32;
        loop {
            steps += 1;
            assert!(steps < 3_000_000, "the machines run in circles");
            self.deliver();
            self.applications();
            self.turns();
            self.applications();
            self.turns();
            if done(self) {
                return true;
            }
            let deadlines = self.ends.iter().filter_map(|end| end.machine.deadline_ns());
            let wire = self.wire.first_key_value().map(|((at, _), _)| *at);
            let next = deadlines.chain(wire).min().unwrap_or(u64::MAX);
            if next > until {
                self.now_ns = until;
                return done(self);
            }
            self.now_ns = self.now_ns.max(next);
            for end in &mut self.ends {
                if end
                    .machine
                    .deadline_ns()
                    .is_some_and(|at| at <= self.now_ns)
                {
                    end.machine.timer(&mut end.memory, self.now_ns);
                    let again = end
                        .machine
                        .deadline_ns()
                        .is_some_and(|at| at <= self.now_ns);
                    assert!(!again, "a timer that doesn't end");
                }
            }
        }
    }

    pub(crate) fn run(&mut self, duration_ns: u64) {
        self.run_until(duration_ns, |_| false);
    }

    /// The segments that `from` has sent.
    pub(crate) fn sent(&self, from: usize) -> impl Iterator<Item = &Sent> {
        self.log.iter().filter(move |sent| sent.from == from)
    }

    /// The segments since `begun_ns`, for messages of failed tests.
    pub(crate) fn trace(&self, begun_ns: u64) -> String {
        let mut text = String::new();
        for sent in self
            .log
            .iter()
            .filter(|sent| sent.at_ns >= begun_ns)
            .take(400)
        {
            let Header {
                seq,
                ack,
                flags,
                window,
                options,
                ..
            } = sent.header;
            let at = (sent.at_ns - begun_ns) as f64 / 1e6;
            let sack = options.sack;
            text += &format!(
                "{at:9.3} {} {flags:?} seq {} len {} ack {} window {window} {:?}\n",
                sent.from,
                seq.0,
                sent.len(),
                ack.0,
                sack.blocks(),
            );
        }
        text
    }

    /// Neither end holds any memory.
    pub(crate) fn assert_released(&mut self) {
        for end in &mut self.ends {
            end.machine.release(&mut end.memory);
            assert_eq!(end.memory.used, 0);
        }
    }
}

/// Bytes that depend on their position.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (n.wrapping_mul(31) ^ (n >> 8)) as u8)
        .collect()
}
