//! One direction of a link.

use std::collections::VecDeque;

use crate::sim::{Impairment, Random};

/// Counters of a pipe, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeStatistics {
    /// Passed to [`Pipe::push`].
    pub pushed: u64,
    /// Lost at random, in bursts or at the tail.
    pub lost: u64,
    /// Lost because the queue was full.
    pub queue_full: u64,
    /// Delayed so that others overtook them.
    pub reordered: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Delivered with a flipped bit.
    pub corrupted: u64,
}

/// A frame in flight.
#[derive(Debug)]
struct Waiting {
    at_ns: u64,
    /// Its flight, and its index in it.
    flight: u64,
    place: u32,
    frame: Vec<u8>,
}

/// One direction of a link: frames enter at one time and leave at another, or are lost.
///
/// The caller owns the clock: a number of nanoseconds that never goes back.
#[derive(Debug)]
pub struct Pipe {
    impairment: Impairment,
    random: Random,
    statistics: PipeStatistics,
    /// In order of arrival.
    under_way: VecDeque<Waiting>,
    /// When the link has sent all that is queued.
    busy_until_ns: u64,
    /// When the last frame in order arrives.
    last_ns: u64,
    /// In a burst of losses.
    bad: bool,
    flights: Flights,
}

impl Pipe {
    /// An empty pipe; `seed` determines its random choices.
    pub fn new(impairment: Impairment, seed: u64) -> Pipe {
        Pipe {
            impairment,
            random: Random::new(seed),
            statistics: PipeStatistics::default(),
            under_way: VecDeque::new(),
            busy_until_ns: 0,
            last_ns: 0,
            bad: false,
            flights: Flights::default(),
        }
    }

    /// Changes the impairments of frames pushed from now on.
    pub fn set_impairment(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// The counters.
    pub fn statistics(&self) -> PipeStatistics {
        self.statistics
    }

    /// Adds a frame.
    pub fn push(&mut self, now_ns: u64, frame: &[u8]) {
        self.statistics.pushed += 1;
        let impairment = self.impairment;
        let (flight, place) = self.flights.add(now_ns, &impairment, &mut self.random);
        let burst = self.burst(&impairment);
        if self.random.chance(impairment.loss) || burst {
            self.statistics.lost += 1;
            return;
        }
        let Some(sent_ns) = self.sent_ns(now_ns, frame.len(), &impairment) else {
            self.statistics.queue_full += 1;
            return;
        };
        let twice = self.random.chance(impairment.duplicate);
        self.statistics.duplicated += u64::from(twice);
        for _ in 0..1 + usize::from(twice) {
            let mut frame = frame.to_vec();
            if self.random.chance(impairment.corrupt) && !frame.is_empty() {
                let at = self.random.below(frame.len() as u64) as usize;
                frame[at] ^= 1 << self.random.below(8);
                self.statistics.corrupted += 1;
            }
            let at_ns = sent_ns + impairment.delay_ns + self.extra_ns(&impairment);
            let at_ns = if impairment.in_order {
                at_ns.max(self.last_ns)
            } else {
                at_ns
            };
            self.last_ns = self.last_ns.max(at_ns);
            let held = self.random.chance(impairment.reorder);
            self.statistics.reordered += u64::from(held);
            let at_ns = at_ns + if held { impairment.reorder_ns } else { 0 };
            let after = self
                .under_way
                .partition_point(|waiting| waiting.at_ns <= at_ns);
            let waiting = Waiting {
                at_ns,
                flight,
                place,
                frame,
            };
            self.under_way.insert(after, waiting);
        }
    }

    /// When the next frame leaves; `None` if none is in flight.
    pub fn next_ns(&self) -> Option<u64> {
        self.under_way.front().map(|waiting| waiting.at_ns)
    }

    /// The next frame that has left by now.
    pub fn pop(&mut self, now_ns: u64) -> Option<Vec<u8>> {
        while self.next_ns()? <= now_ns {
            let Waiting {
                flight,
                place,
                frame,
                ..
            } = self.under_way.pop_front()?;
            if !self.flights.cuts_off(flight, place) {
                return Some(frame);
            }
            self.statistics.lost += 1;
        }
        None
    }

    /// The time of the first frame that leaves after `now_ns`.
    pub(crate) fn next_after_ns(&self, now_ns: u64) -> Option<u64> {
        let mut times = self.under_way.iter().map(|waiting| waiting.at_ns);
        times.find(|at_ns| *at_ns > now_ns)
    }

    fn burst(&mut self, impairment: &Impairment) -> bool {
        let Some(burst) = impairment.burst else {
            return false;
        };
        let switch = if self.bad { burst.leave } else { burst.enter };
        self.bad ^= self.random.chance(switch);
        self.bad && self.random.chance(burst.loss)
    }

    /// When the link has sent a frame of `len` bytes; `None` if its queue has no room.
    fn sent_ns(&mut self, now_ns: u64, len: usize, impairment: &Impairment) -> Option<u64> {
        if impairment.rate == 0 {
            return Some(now_ns);
        }
        let begin_ns = self.busy_until_ns.max(now_ns);
        let time_ns = |bytes: usize| bytes as u128 * 8_000_000_000 / u128::from(impairment.rate);
        if impairment.queue != 0 {
            let ahead_ns = u128::from(begin_ns - now_ns);
            if ahead_ns + time_ns(len) > time_ns(impairment.queue.max(len)) {
                return None;
            }
        }
        self.busy_until_ns = begin_ns + time_ns(len) as u64;
        Some(self.busy_until_ns)
    }

    fn extra_ns(&mut self, impairment: &Impairment) -> u64 {
        match impairment.jitter_ns {
            0 => 0,
            jitter_ns => self.random.below(jitter_ns),
        }
    }
}

/// Assigns frames to flights, for the loss of tails.
#[derive(Debug, Default)]
struct Flights {
    last_ns: u64,
    /// The number of the newest flight, and its number of frames so far.
    newest: u64,
    count: u32,
    /// Flights that lose their tail: number, frames so far, frames lost. The newest is at the end.
    doomed: VecDeque<(u64, u32, u32)>,
}

impl Flights {
    /// Records an added frame; returns its flight and its index in it.
    fn add(&mut self, now_ns: u64, impairment: &Impairment, random: &mut Random) -> (u64, u32) {
        let Some(tail) = impairment.tail else {
            return (0, 0);
        };
        if self.newest == 0 || now_ns - self.last_ns > tail.gap_ns {
            self.newest += 1;
            self.count = 0;
            if random.chance(tail.chance) {
                self.doomed.push_back((self.newest, 0, tail.frames));
            }
            // Older flights have long left.
            if self.doomed.len() > 1024 {
                self.doomed.pop_front();
            }
        }
        self.last_ns = now_ns;
        let place = self.count;
        self.count += 1;
        if let Some((number, count, _)) = self.doomed.back_mut()
            && *number == self.newest
        {
            *count = self.count;
        }
        (self.newest, place)
    }

    /// Whether a due frame is in the lost part of its flight.
    fn cuts_off(&self, flight: u64, place: u32) -> bool {
        let Some(found) = self.doomed.iter().find(|(number, ..)| *number == flight) else {
            return false;
        };
        flight != 0 && place + found.2 >= found.1
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;
    use crate::sim::{Burst, Impairment, Tail};

    const MS: u64 = 1_000_000;

    /// Numbered frames pushed `gap_ns` apart; returns the numbers that leave, with their times.
    fn run(impairment: Impairment, seed: u64, count: u32, gap_ns: u64) -> Vec<(u64, u32)> {
        let mut pipe = Pipe::new(impairment, seed);
        let mut out = Vec::new();
        let mut take = |pipe: &mut Pipe, until_ns| {
            while let Some(at_ns) = pipe.next_ns().filter(|at_ns| *at_ns <= until_ns) {
                while let Some(frame) = pipe.pop(at_ns) {
                    out.push((at_ns, u32::from_be_bytes(frame[..4].try_into().unwrap())));
                }
            }
        };
        for n in 0..count {
            let now_ns = u64::from(n) * gap_ns;
            take(&mut pipe, now_ns);
            let mut frame = vec![0; 1000];
            frame[..4].copy_from_slice(&n.to_be_bytes());
            pipe.push(now_ns, &frame);
        }
        take(&mut pipe, u64::MAX);
        out
    }

    #[test]
    fn a_perfect_pipe_delays_and_nothing_else() {
        let out = run(Impairment::delay(5 * MS), 1, 100, MS);
        let expected: Vec<_> = (0..100).map(|n| (u64::from(n) * MS + 5 * MS, n)).collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_another() {
        let impairment = Impairment {
            loss: 100_000,
            jitter_ns: 3 * MS,
            duplicate: 50_000,
            reorder: 50_000,
            reorder_ns: 10 * MS,
            ..Impairment::delay(MS)
        };
        assert_eq!(run(impairment, 7, 1000, MS), run(impairment, 7, 1000, MS));
        assert_ne!(run(impairment, 7, 1000, MS), run(impairment, 8, 1000, MS));
    }

    #[test]
    fn losses_occur_at_the_configured_rate() {
        let random = Impairment {
            loss: 10_000,
            ..Default::default()
        };
        let lost = 100_000 - run(random, 2, 100_000, 1).len();
        assert!((900..1100).contains(&lost), "{lost}");
        let burst = Impairment {
            burst: Some(Burst {
                enter: 10_000,
                leave: 250_000,
                loss: 1_000_000,
            }),
            ..Default::default()
        };
        let out = run(burst, 3, 100_000, 1);
        // Bursts of four, so that 4 of 104 are lost.
        let lost = 100_000 - out.len();
        assert!((3300..4400).contains(&lost), "{lost}");
        let bursts = out.windows(2).filter(|pair| pair[1].1 != pair[0].1 + 1);
        let mean = lost as f64 / bursts.count() as f64;
        assert!((3.5..4.5).contains(&mean), "{mean}");
    }

    #[test]
    fn a_rate_spaces_frames_and_a_full_queue_loses_them() {
        // 1000 bytes take a millisecond.
        let limited = Impairment {
            rate: 8_000_000,
            queue: 10_000,
            ..Default::default()
        };
        let out = run(limited, 4, 100, 0);
        let expected: Vec<_> = (0..10).map(|n| (u64::from(n + 1) * MS, n)).collect();
        assert_eq!(out, expected);
        assert_eq!(run(limited, 4, 100, MS).len(), 100);
    }

    #[test]
    fn the_tail_of_a_flight_is_lost_and_only_that() {
        let tail = Impairment {
            tail: Some(Tail {
                chance: 1_000_000,
                frames: 2,
                gap_ns: MS,
            }),
            ..Impairment::delay(20 * MS)
        };
        let mut pipe = Pipe::new(tail, 5);
        for n in 0..5u8 {
            pipe.push(0, &[n]);
        }
        for n in 5..8u8 {
            pipe.push(10 * MS, &[n]);
        }
        let out: Vec<_> = std::iter::from_fn(|| pipe.pop(50 * MS)).collect();
        assert_eq!(out, [[0], [1], [2], [5]]);
        assert_eq!(pipe.statistics().lost, 4);
    }

    #[test]
    fn held_frames_are_overtaken_and_jitter_may_keep_the_order() {
        let reorder = Impairment {
            reorder: 100_000,
            reorder_ns: 5 * MS,
            ..Impairment::delay(MS)
        };
        let out = run(reorder, 6, 1000, MS);
        assert_eq!(out.len(), 1000);
        let late = out.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
        assert!((50..130).contains(&late), "{late}");
        let jitter = Impairment {
            jitter_ns: 10 * MS,
            in_order: true,
            ..Impairment::delay(MS)
        };
        let out = run(jitter, 6, 1000, MS);
        assert!(out.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1));
    }

    #[test]
    fn duplicates_and_bit_errors_occur_at_the_configured_rate() {
        let twice = Impairment {
            duplicate: 1_000_000,
            ..Default::default()
        };
        assert_eq!(run(twice, 7, 10, 1).len(), 20);
        let mut pipe = Pipe::new(
            Impairment {
                corrupt: 1_000_000,
                ..Default::default()
            },
            8,
        );
        pipe.push(0, &[0; 64]);
        let frame = pipe.pop(0).unwrap();
        assert_eq!(frame.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    }
}
