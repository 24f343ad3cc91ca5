//! A clock, stacks and cables.

use crate::sim::{Cable, Impairment, Offloads, Random};
use crate::{Config, InterfaceConfig, Progress, Stack};

/// Frames that a stack handles in one poll.
const BUDGET: usize = 64;

/// Maximum rounds of polls until it is idle while the clock stands still.
const SETTLE: usize = 100_000;

/// Stacks and cables under one clock, which moves only on request.
pub struct World {
    /// The time, in nanoseconds.
    pub now_ns: u64,
    /// The stacks.
    pub stacks: Vec<Stack>,
    /// The cables.
    pub cables: Vec<Cable>,
    /// Calls of [`Stack::poll`] so far: reveals a stack that requests useless polls.
    pub polls: u64,
}

impl World {
    /// An empty world at time 0.
    pub fn new() -> World {
        World {
            now_ns: 0,
            stacks: Vec::new(),
            cables: Vec::new(),
            polls: 0,
        }
    }

    /// Two stacks, 10.0.0.1/24 with fd00::1/64 and 10.0.0.2/24 with fd00::2/64, and a cable.
    pub fn pair(
        config: Config,
        impairment: Impairment,
        offloads: [Offloads; 2],
        seed: u64,
    ) -> World {
        let mut world = World::new();
        let cable = Cable::new(impairment, seed);
        for (end, offloads) in offloads.into_iter().enumerate() {
            let link = cable.link(end, World::mac(end), 1500, offloads);
            let mut stack = world.stack(config, seed * 2 + end as u64);
            let interface = InterfaceConfig {
                addresses: vec![
                    format!("10.0.0.{}/24", end + 1)
                        .parse()
                        .expect("an address"),
                    format!("fd00::{}/64", end + 1).parse().expect("an address"),
                ],
                // No other host exists: the addresses are used at once.
                dad_transmits: 0,
                ..Default::default()
            };
            stack
                .add_interface(link, &interface)
                .expect("a sound configuration");
            world.stacks.push(stack);
        }
        world.cables.push(cable);
        world
    }

    /// The MAC address of end `n` of a pair.
    pub fn mac(n: usize) -> [u8; 6] {
        [2, 0, 0, 0, 0, n as u8 + 1]
    }

    /// A stack whose randomness is determined by `seed`.
    pub fn stack(&self, config: Config, seed: u64) -> Stack {
        let mut seeds = Random::new(seed);
        Stack::new(config, &mut || {
            let mut random = Random::new(seeds.bits());
            Box::new(move || random.bits())
        })
    }

    /// Runs everything that is due at this moment; returns the time of the next event.
    pub fn run_now(&mut self) -> Option<u64> {
        for cable in &self.cables {
            cable.set_now(self.now_ns);
        }
        for round in 0.. {
            assert!(
                round < SETTLE,
                "a stack is never done at {} ns",
                self.now_ns
            );
            let mut next = None;
            let mut more = false;
            let mut blocked = false;
            for stack in &mut self.stacks {
                self.polls += 1;
                let Progress {
                    more_work,
                    next_deadline_ns,
                    transmit_blocked,
                } = stack.poll(self.now_ns, BUDGET);
                more |= more_work;
                blocked |= transmit_blocked;
                next = [next, next_deadline_ns].into_iter().flatten().min();
            }
            // A link that has room again is an event, as on real links; nothing waits for one that
            // always had room.
            let woken = self
                .cables
                .iter()
                .filter(|cable| cable.take_woken())
                .count()
                > 0;
            assert!(
                woken || !blocked,
                "frames wait at {} ns for links that have room",
                self.now_ns
            );
            more |= woken;
            let arrival = self.cables.iter().filter_map(Cable::next_ns).min();
            more |= arrival.is_some_and(|at_ns| at_ns <= self.now_ns);
            next = [next, arrival].into_iter().flatten().min();
            if !more {
                #[cfg(test)]
                self.stacks.iter().for_each(crate::tests::wakeups::check);
                return next;
            }
        }
        None
    }

    /// Moves the clock to the next event, or by `step_ns` if that is sooner or there is none; then
    /// runs what is due.
    pub fn step(&mut self, step_ns: u64) {
        let next = self.run_now().unwrap_or(u64::MAX);
        self.now_ns = next.max(self.now_ns + 1).min(self.now_ns + step_ns);
        self.run_now();
    }

    /// Moves the clock by `duration_ns`.
    pub fn advance(&mut self, duration_ns: u64) {
        let end_ns = self.now_ns + duration_ns;
        while self.now_ns < end_ns {
            self.step(end_ns - self.now_ns);
        }
    }

    /// Steps, calling `act` in between, until `act` returns that it is done. Panics after
    /// `limit_ns` of virtual time.
    pub fn run(&mut self, limit_ns: u64, mut act: impl FnMut(&mut World) -> bool) {
        let end_ns = self.now_ns + limit_ns;
        loop {
            self.run_now();
            if act(self) {
                return;
            }
            assert!(
                self.now_ns < end_ns,
                "not done after {} ms",
                limit_ns / 1_000_000
            );
            // What `act` wrote is sent at the same moment.
            let next = self.run_now();
            let next = next.unwrap_or(u64::MAX).max(self.now_ns + 1);
            self.now_ns = next.min(self.now_ns + 1_000_000_000);
        }
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}
