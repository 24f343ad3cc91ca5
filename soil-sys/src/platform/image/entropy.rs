//! Random numbers: ChaCha20, seeded once from the processor (RDSEED, RDRAND) and the virtio entropy device, whichever are there, both
//! mixed. Without either the first use fails: predictable numbers are worse than none.

use super::devices;
use drivers::rng::Rng as EntropyDevice;
use drivers::transport::DeviceType;
use kernel::cell::Exclusive;
use kernel::devices::MEMORY;
use kernel::{random, time, wait};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Bytes of a seed.
const SEED: usize = 32;
/// How long an entropy device may take, in nanoseconds.
const PATIENCE_NS: u64 = 2_000_000_000;

static GENERATOR: Exclusive<Option<ChaCha20Rng>> = Exclusive::new(None);

/// Mixes what the first entropy device gives into `seed`; whether it was as much.
fn from_device(seed: &mut [u8; SEED]) -> bool {
    let Some(found) = devices::take(DeviceType::Rng).into_iter().next() else {
        return false;
    };
    let mut device = match EntropyDevice::new(found.transport, MEMORY) {
        Ok(device) => device,
        Err(error) => {
            log::warn!("entropy device at {}: {error}", found.place);
            return false;
        }
    };
    let until = time::monotonic_ns() + PATIENCE_NS;
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
                if !device.enable_interrupts() {
                    wait::wait_until(Some(until));
                }
            }
            _ => return false,
        }
    }
    true
}

/// Fills `into` with random bytes; false: there is no source to seed from.
pub fn fill(into: &mut [u8]) -> bool {
    GENERATOR.with(|generator| {
        if generator.is_none() {
            let mut seed = [0; SEED];
            let hardware = random::hardware(&mut seed);
            if from_device(&mut seed) || hardware {
                *generator = Some(ChaCha20Rng::from_seed(seed));
            }
        }
        match generator {
            Some(generator) => {
                // `fill_bytes` would bring an assertion and its texts into each image.
                for chunk in into.chunks_mut(8) {
                    let bytes = generator.next_u64().to_le_bytes();
                    chunk
                        .iter_mut()
                        .zip(bytes)
                        .for_each(|(to, from)| *to = from);
                }
                true
            }
            None => false,
        }
    })
}

kernel::entropy_source!(fill_for_kernel);

/// What the kernel calls for the C library and OCaml's `Random`.
///
/// # Safety
/// `len` bytes at `into` are writable and initialised, and nobody else's meanwhile.
unsafe extern "C" fn fill_for_kernel(into: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    fill(unsafe { core::slice::from_raw_parts_mut(into, len) })
}
