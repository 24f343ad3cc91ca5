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
use kernel::{console, random, time, wait};
use platform::Entropy;
use platform::error::{Answer, Error};

struct Source {
    generator: Generator,
    watch: Watch,
    device: Option<EntropyDevice>,
    /// Neither the processor nor a device has random numbers.
    lacks_source: bool,
    /// Nor had the loader: a seed in a file is of use.
    takes_seed: bool,
}

/// The source of random numbers, and the seed of a file.
struct State {
    /// Boxed, or an image would contain its bytes.
    source: Option<Box<Source>>,
    /// For the source when there is one.
    seed: FileSeed,
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
    source: None,
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

/// Mixes the device's bytes into `seed`; returns whether they were as many. `halt`: the processor
/// may halt meanwhile.
fn mix_device_bytes(device: &mut EntropyDevice, seed: &mut [u8; SEED], halt: bool) -> bool {
    let until = time::monotonic_ns() + devices::DEVICE_TIMEOUT_NS;
    let mut got = 0;
    while got < SEED {
        if device.request(SEED - got).is_err() {
            return false;
        }
        let taken = device.poll(|bytes| {
            for (into, from) in seed.iter_mut().skip(got).zip(bytes) {
                *into ^= from;
                got += 1;
            }
        });
        match taken {
            Ok(Some(())) => (),
            Ok(None) if time::monotonic_ns() < until => {
                if halt && !device.enable_interrupts() {
                    wait::wait_until(Some(until));
                }
            }
            _ => return false,
        }
    }
    true
}

impl Source {
    fn begin(filed: Option<Seed>) -> Option<Source> {
        let mut seed = filed.unwrap_or_default();
        let hardware = random::hardware(&mut seed);
        let mut device = device();
        let asked = device
            .as_mut()
            .is_some_and(|device| mix_device_bytes(device, &mut seed, true));
        let given = random::take_seed(&mut seed);
        let lacks_source = !(asked || hardware);
        let mut generator = Generator::new(seed);
        if lacks_source && !given && filed.is_none() {
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
            device: device.filter(|_| asked),
            lacks_source,
            takes_seed: lacks_source && !given,
        })
    }

    /// Reseeds if necessary.
    fn maintain(&mut self) {
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
        let mut seed = [0; SEED];
        let hardware = random::hardware(&mut seed);
        if want == Reseed::Now {
            SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
            time::follow_machine();
        }
        if let Some(device) = &mut self.device {
            if want == Reseed::Now && !hardware {
                mix_device_bytes(device, &mut seed, false);
            } else {
                // A broken device yields no more.
                let _ = device.request(SEED);
            }
        }
        if want == Reseed::Now && self.lacks_source {
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

impl State {
    /// The source, which the first use begins.
    fn source(&mut self) -> Option<&mut Source> {
        if self.source.is_none() {
            let filed = match &mut self.seed {
                FileSeed::Admitted(seed) => seed.take(),
                FileSeed::Unread | FileSeed::Read(_) => None,
            };
            self.source = Source::begin(filed).map(Box::new);
        }
        self.source.as_deref_mut()
    }
}

/// Fills `into` with random bytes; false without a source to seed from.
pub fn fill(into: &mut [u8]) -> bool {
    SOURCE.with(|state| {
        if let Some(source) = &mut state.source {
            source.maintain();
        }
        state
            .source()
            .map(|source| source.generator.fill(into, random::refresh))
            .is_some()
    })
}

/// Number of times that the machine resumed from a snapshot, once random numbers are in use.
pub fn snapshots() -> u32 {
    SOURCE.with(|state| state.source.as_mut().map(|source| source.maintain()));
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
        SOURCE.with(|state| {
            let takes = state.source().is_none_or(|source| source.takes_seed);
            takes && !matches!(state.seed, FileSeed::Admitted(_))
        })
    }

    fn next_seed(&self, old: Option<&Seed>) -> Option<Seed> {
        SOURCE.with(|state| {
            if state.source().is_some_and(|source| !source.takes_seed) {
                return None;
            }
            let mut next = None;
            if let Some(old) = old {
                let [seed, successor] = seed_file::split(old, own());
                match &mut state.source {
                    Some(source) => source.generator.reseed(seed),
                    None => state.seed = FileSeed::Read(seed),
                }
                next = Some(successor);
            }
            if let Some(source) = &mut state.source {
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
