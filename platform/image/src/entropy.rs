//! Random numbers: [`Generator`], seeded from the processor (RDSEED, RDRAND; RNDR), the virtio
//! entropy device and the loader, mixed if several are present; without any from the jitter of the
//! processor's counter ([`jitter`]) and, once a volume is mounted, a file on it that the last boot
//! left ([`seed_file`]). Where all fail, the first use does: predictable numbers are worse than none.
//!
//! Numbers are also drawn at a tick, where nothing may halt: except for the first seed the device
//! gets a request and is polled later. A machine that resumes from a snapshot also mixes its
//! changed identifier into the seed, and waits for the device, or for jitter, only if the processor
//! has no random numbers.

use crate::{Image, devices};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, Ordering};
use drivers::device_type::DeviceType;
use drivers::rng::Rng as EntropyDevice;
use generator::seed_file::{self, Seed};
use generator::{Generator, Moment, Reseed, SEED, Watch, jitter};
use kernel::cell::{ExclusiveCell, rank};
use kernel::devices::MEMORY;
use kernel::smp::relax;
use kernel::{console, random, time, wait};
use platform::Entropy;
use platform::error::{Answer, Error};

struct Source {
    generator: Generator,
    watch: Watch,
    device: Option<EntropyDevice>,
    /// The seed for which the device is waited for.
    reseed: Option<Collected>,
    /// Neither the processor nor a device has random numbers.
    lacks_source: bool,
    /// Nor had the loader: a seed in a file is of use.
    takes_seed: bool,
}

/// The source of random numbers, and the seed of a file.
struct State {
    source: Begun,
    /// For the source when there is one.
    seed: FileSeed,
}

/// How far the source is. Boxed, or an image would contain its bytes.
enum Begun {
    /// Unused, or nothing had random numbers.
    No,
    /// The device is waited for.
    Waits(Box<(EntropyDevice, Collected)>),
    Yes(Box<Source>),
}

/// The seed of a file until it is admitted.
enum FileSeed {
    /// None was read.
    Unread,
    /// It isn't a source yet: the file holds it still.
    Read(Seed),
    /// The file holds another. Taken by the source, or it was mixed in.
    Admitted(Option<Seed>),
}

static SOURCE: ExclusiveCell<State, rank::Entropy> = ExclusiveCell::new(State {
    source: Begun::No,
    seed: FileSeed::Unread,
});
/// Number of times that the machine resumed from a snapshot.
static SNAPSHOTS: AtomicU32 = AtomicU32::new(0);

/// The first entropy device.
fn device() -> Option<EntropyDevice> {
    let found = devices::take(DeviceType::RNG).into_iter().next()?;
    match EntropyDevice::new(found.transport, MEMORY) {
        Ok(device) => Some(device),
        Err(error) => {
            log::warn!("entropy device at {}: {error}", found.place);
            None
        }
    }
}

/// What tells this machine from its copies, now.
fn moment() -> Moment {
    Moment {
        now_ns: time::monotonic_ns(),
        id: random::machine_id(),
        ahead_ns: time::ahead_ns(),
        based_at: time::based_at(),
        late_timers: time::late_timers(),
    }
}

/// A seed into which the device's bytes are mixed as they come.
struct Collected {
    seed: Seed,
    /// The processor has random numbers, which are in the seed.
    hardware: bool,
    got: usize,
    /// When the device is given up.
    until: u64,
}

impl Collected {
    /// With the processor's numbers, if it has any.
    fn new() -> Collected {
        let mut seed = [0; SEED];
        let hardware = random::hardware(&mut seed);
        Collected {
            seed,
            hardware,
            got: 0,
            until: time::monotonic_ns() + devices::DEVICE_TIMEOUT_NS,
        }
    }

    /// Mixes in what the device has given; whether that is enough, `None` while it may come.
    fn poll(&mut self, device: &mut EntropyDevice) -> Option<bool> {
        while self.got < SEED {
            if device.request(SEED - self.got).is_err() {
                return Some(false);
            }
            let (seed, got) = (&mut self.seed, &mut self.got);
            let taken = device.poll(|bytes| {
                for (into, from) in seed.iter_mut().skip(*got).zip(bytes) {
                    *into ^= from;
                    *got += 1;
                }
            });
            match taken {
                Ok(Some(())) => (),
                Ok(None) if time::monotonic_ns() < self.until => return None,
                _ => return Some(false),
            }
        }
        Some(true)
    }
}

impl Source {
    /// A source with this seed, into which a device has mixed its numbers or a file's seed is
    /// mixed. `None`: nothing has random numbers.
    fn begin(collected: Collected, device: Option<EntropyDevice>, filed: bool) -> Option<Source> {
        let mut seed = collected.seed;
        let given = random::take_seed(&mut seed);
        let lacks_source = device.is_none() && !collected.hardware;
        let mut generator = Generator::new(seed);
        if lacks_source && !given && !filed {
            let count = jitter::reseed(&mut generator, time::counter).ok()?;
            console::line(format_args!(
                "random numbers come from the jitter of the processor's counter, measured {count} \
                times: {}",
                random::REMEDY
            ));
        }
        Some(Source {
            generator,
            watch: Watch::new(moment(), time::machine_wall_ns),
            device,
            reseed: None,
            lacks_source,
            takes_seed: lacks_source && !given,
        })
    }

    /// Reseeds if necessary; false while it waits for the device.
    fn maintain(&mut self) -> bool {
        if self.reseed.is_none() {
            self.watch();
        }
        let Some(mut collected) = self.reseed.take() else {
            return true;
        };
        // A broken device yields no more.
        let polled = self
            .device
            .as_mut()
            .map_or(Some(false), |device| collected.poll(device));
        if polled.is_none() {
            self.reseed = Some(collected);
            return false;
        }
        self.finish(collected.seed, true);
        true
    }

    /// Reseeds if necessary, at once if that needs nothing of the device.
    fn watch(&mut self) {
        let now = moment();
        let want = self.watch.wants(now, time::machine_wall_ns);
        // The response to an earlier request.
        let mut late = None;
        if let Some(device) = &mut self.device {
            let copied = device.poll(|bytes| {
                let mut seed = [0; SEED];
                seed.iter_mut()
                    .zip(bytes)
                    .for_each(|(to, from)| *to = *from);
                seed
            });
            late = copied.ok().flatten();
        }
        if let Some(seed) = late {
            self.generator.reseed(seed);
        }
        let Some(want) = want else {
            return;
        };
        if want == Reseed::Now {
            SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
            time::follow_machine();
        }
        let collected = Collected::new();
        if want == Reseed::Now && !collected.hardware && self.device.is_some() {
            self.reseed = Some(collected);
            return;
        }
        if let Some(device) = &mut self.device {
            let _ = device.request(SEED);
        }
        self.finish(collected.seed, want == Reseed::Now);
    }

    /// Reseeds with what was collected; `now`: the numbers before are another machine's, too.
    fn finish(&mut self, mut seed: Seed, now: bool) {
        if now && self.lacks_source {
            // A counter that is too regular makes nothing worse.
            let _ = jitter::reseed(&mut self.generator, time::counter);
        }
        seed.iter_mut()
            .zip(own())
            .for_each(|(to, from)| *to ^= from);
        self.generator.reseed(seed);
    }
}

/// Not secret by itself, but different for each machine and at each time.
fn own() -> Seed {
    let [one, two] = random::machine_id().unwrap_or_default();
    let words = [one, two, time::counter(), time::wall_ns()].map(u64::to_le_bytes);
    let mut own = [0; SEED];
    own.copy_from_slice(words.as_flattened());
    own
}

/// What a use of the source waits for.
enum Wait {
    /// The first seed: the processor may halt until this time.
    Halt(u64),
    /// A later one, perhaps at a tick.
    Poll,
}

/// The longest halt for the device: one of several waits may take the note of its interrupt.
const HALT_NS: u64 = 1_000_000;

impl State {
    /// The source, once it has begun.
    fn source(&mut self) -> Option<&mut Source> {
        match &mut self.source {
            Begun::Yes(source) => Some(source),
            Begun::No | Begun::Waits(_) => None,
        }
    }

    /// The seed of a file, if it is a source.
    fn filed(&mut self) -> Option<Seed> {
        match &mut self.seed {
            FileSeed::Admitted(seed) => seed.take(),
            FileSeed::Unread | FileSeed::Read(_) => None,
        }
    }

    /// Begins the source, or reseeds it if necessary. Returns what has to be waited for before its
    /// next use.
    fn advance(&mut self) -> Option<Wait> {
        match core::mem::replace(&mut self.source, Begun::No) {
            Begun::Yes(mut source) => {
                let ready = source.maintain();
                self.source = Begun::Yes(source);
                return (!ready).then_some(Wait::Poll);
            }
            Begun::Waits(mut waits) => {
                let (device, collected) = &mut *waits;
                match collected.poll(device) {
                    None => {
                        // One that is there already ends the next poll.
                        let pending = device.enable_interrupts();
                        let until = collected.until;
                        self.source = Begun::Waits(waits);
                        return Some(if pending {
                            Wait::Poll
                        } else {
                            Wait::Halt(until)
                        });
                    }
                    Some(asked) => {
                        let (device, collected) = *waits;
                        self.begin(collected, Some(device).filter(|_| asked));
                    }
                }
            }
            Begun::No => {
                let collected = Collected::new();
                match device() {
                    Some(device) => {
                        self.source = Begun::Waits(Box::new((device, collected)));
                        return self.advance();
                    }
                    None => self.begin(collected, None),
                }
            }
        }
        None
    }

    fn begin(&mut self, mut collected: Collected, device: Option<EntropyDevice>) {
        let filed = self.filed();
        let words = filed.unwrap_or_default();
        { collected.seed.iter_mut().zip(words) }.for_each(|(to, from)| *to ^= from);
        let source = Source::begin(collected, device, filed.is_some());
        self.source = source.map_or(Begun::No, |source| Begun::Yes(Box::new(source)));
    }
}

/// Runs `f` on the state with the source, if there is one. The device is waited for outside of the
/// cell, in which other processors wait.
fn with<R>(mut f: impl FnMut(&mut State) -> R) -> R {
    loop {
        let used = SOURCE.with(|state| match state.advance() {
            None => Ok(f(state)),
            Some(wait) => Err(wait),
        });
        match used {
            Ok(result) => return result,
            Err(Wait::Poll) => relax(),
            Err(Wait::Halt(until)) => {
                wait::wait_until(Some(until.min(time::monotonic_ns() + HALT_NS)));
            }
        }
    }
}

/// Fills `into` with random bytes; false without a source to seed from.
pub fn fill(into: &mut [u8]) -> bool {
    with(|state| {
        let source = state.source();
        source
            .map(|source| source.generator.fill(into, random::refresh))
            .is_some()
    })
}

/// Number of times that the machine resumed from a snapshot, once random numbers are in use.
pub fn snapshots() -> u32 {
    if SOURCE.with(|state| state.source().is_some()) {
        with(|_| ());
    }
    SNAPSHOTS.load(Ordering::Relaxed)
}

/// The source for the C library and OCaml's `Random`, and for files of seeds.
struct Shared;

kernel::part! {
    /// The kernel's source.
    static SHARED: random::Sources = &Shared,
    in ".soil_part.random.devices" as "soil_with_entropy";
}

impl random::Source for Shared {
    fn fill(&self, into: &mut [u8]) -> bool {
        fill(into)
    }

    fn wants_seed(&self) -> bool {
        with(|state| {
            let takes = state.source().is_none_or(|source| source.takes_seed);
            takes && !matches!(state.seed, FileSeed::Admitted(_))
        })
    }

    fn next_seed(&self, old: Option<&Seed>) -> Option<Seed> {
        with(|state| {
            if state.source().is_some_and(|source| !source.takes_seed) {
                return None;
            }
            let mut next = None;
            if let Some(old) = old {
                let [seed, successor] = seed_file::split(old, own());
                match state.source() {
                    Some(source) => source.generator.reseed(seed),
                    None => state.seed = FileSeed::Read(seed),
                }
                next = Some(successor);
            }
            if let Some(source) = state.source() {
                let mut fresh = [0; SEED];
                source.generator.fill(&mut fresh, random::refresh);
                let next = next.get_or_insert_default();
                next.iter_mut()
                    .zip(fresh)
                    .for_each(|(to, from)| *to ^= from);
            }
            next
        })
    }

    fn admit_seed(&self) {
        SOURCE.with(|state| {
            state.seed = match state.seed {
                FileSeed::Read(seed) => FileSeed::Admitted(Some(seed)),
                FileSeed::Unread | FileSeed::Admitted(_) => FileSeed::Admitted(None),
            };
        });
    }
}

impl Entropy for Image {
    const NO_ENTROPY: &str = random::NONE;

    fn random(into: &mut [u8]) -> Answer {
        if fill(into) {
            Ok(into.len())
        } else {
            random::report();
            Err(Error::NoEntropy.into())
        }
    }

    fn snapshots() -> u32 {
        snapshots()
    }

    fn wants_seed() -> bool {
        random::wants_seed()
    }

    fn next_seed(old: Option<&Seed>) -> Option<Seed> {
        random::next_seed(old)
    }

    fn admit_seed() {
        random::admit_seed();
    }
}
