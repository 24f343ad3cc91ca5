//! The seed of a volume: a file from which a machine without random numbers of its own seeds its
//! generator, as systemd's `random-seed`.
//!
//! The file is replaced before its contents count: a seed that is used twice yields the same
//! numbers twice. A file that can't be replaced, because the volume is full for example, is mixed
//! in and doesn't count.

use ::fs::{Error, OpenFlags, Volume};
use platform::{Entropy, SEED};

/// The file, in the root of the volume.
pub const PATH: &str = ".soil-random-seed";

/// A seed, as the file holds it.
type Seed = [u8; SEED];

/// Mixes in the volume's seed and replaces it, if the machine wants one. Returns whether it did.
pub fn renew<E: Entropy>(volume: &mut dyn Volume) -> bool {
    if !E::wants_seed() {
        return false;
    }
    let old = read(volume).unwrap_or_else(|problem| {
        log::warn!("{PATH}: ignored: {problem}");
        None
    });
    let had = old.is_some();
    let replaced = replace::<E>(volume, old.as_ref());
    if replaced {
        E::admit_seed();
        if had {
            log::info!("random numbers: the seed of {PATH} is used and replaced");
        }
    }
    replaced
}

/// Replaces the volume's seed, mixed into the random numbers before if it is given. Returns whether
/// the new one is on stable storage.
pub fn replace<E: Entropy>(volume: &mut dyn Volume, old: Option<&Seed>) -> bool {
    let Some(next) = E::next_seed(old) else {
        return false;
    };
    if !volume.health().is_writable() {
        return false;
    }
    let written = write(volume, &next).and_then(|()| volume.sync());
    if let Err(error) = written {
        log::warn!("{PATH}: not replaced, and so no source of random numbers: {error}");
    }
    written.is_ok()
}

/// The seed in the file; `None` if there is no file.
fn read(volume: &mut dyn Volume) -> Result<Option<Seed>, &'static str> {
    let file = match volume.open(PATH, OpenFlags::READ) {
        Ok(file) => file,
        Err(Error::NotFound) => return Ok(None),
        Err(Error::IsDirectory) => return Err("it is a directory"),
        Err(_) => return Err("it can't be read"),
    };
    // One byte more shows whether it is longer.
    let mut bytes = [0; SEED + 1];
    let read = volume.read_at(file, 0, &mut bytes);
    let _ = volume.close(file);
    match (read, bytes.first_chunk()) {
        (Ok(SEED), Some(seed)) if *seed != [0; SEED] => Ok(Some(*seed)),
        (Ok(SEED), _) => Err("it is empty"),
        (Ok(_), _) => Err("it doesn't have 32 bytes"),
        (Err(_), _) => Err("it can't be read"),
    }
}

fn write(volume: &mut dyn Volume, seed: &Seed) -> Result<(), Error> {
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = volume.open(PATH, flags)?;
    let written = volume.write_at(file, 0, seed).and_then(|count| {
        let is_whole = count == SEED;
        is_whole.then_some(()).ok_or(Error::NoSpace)?;
        volume.truncate(file, SEED as u64)
    });
    let closed = volume.close(file);
    written.and(closed)
}

#[cfg(test)]
mod tests;
