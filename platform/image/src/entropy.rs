//! Random numbers: [`Generator`], seeded from the processor (RDSEED, RDRAND; RNDR), the virtio
//! entropy device and the loader, mixed if several are present; without any from the jitter of the
//! processor's counter ([`jitter`]). Where that fails too, the first use does: predictable numbers
//! are worse than none.
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
use generator::{Generator, Moment, Reseed, SEED, Watch, jitter};
use kernel::cell::{ExclusiveCell, Rank};
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
}

/// Boxed, or an image would contain its bytes.
static SOURCE: ExclusiveCell<Option<Box<Source>>> = Rank::Entropy.cell(None);
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
    fn begin() -> Option<Source> {
        let mut seed = [0; SEED];
        let hardware = random::hardware(&mut seed);
        let mut device = device();
        let asked = device
            .as_mut()
            .is_some_and(|device| mix_device_bytes(device, &mut seed, true));
        let given = random::take_seed(&mut seed);
        let lacks_source = !(asked || hardware);
        let mut generator = Generator::new(seed);
        if lacks_source && !given {
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
        // Not secret by itself, but different for each machine.
        let [one, two] = now.id.unwrap_or_default();
        let words = [one, two, time::counter(), time::wall_ns()].map(u64::to_le_bytes);
        for (to, from) in seed.iter_mut().zip(words.as_flattened()) {
            *to ^= from;
        }
        self.generator.reseed(seed);
    }
}

/// Fills `into` with random bytes; false without a source to seed from.
pub fn fill(into: &mut [u8]) -> bool {
    SOURCE.with(|source| {
        if let Some(source) = source {
            source.maintain();
        } else {
            *source = Source::begin().map(Box::new);
        }
        source
            .as_mut()
            .map(|source| source.generator.fill(into, random::refresh))
            .is_some()
    })
}

/// Number of times that the machine resumed from a snapshot, once random numbers are in use.
pub fn snapshots() -> u32 {
    SOURCE.with(|source| source.as_mut().map(|source| source.maintain()));
    SNAPSHOTS.load(Ordering::Relaxed)
}

kernel::entropy_source!(fill_for_kernel);

/// The kernel's entropy source, for the C library and OCaml's `Random`.
///
/// # Safety
/// `len` bytes at `into` are writable and initialised, and not accessed otherwise meanwhile.
unsafe extern "C" fn fill_for_kernel(into: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    fill(unsafe { core::slice::from_raw_parts_mut(into, len) })
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
}
