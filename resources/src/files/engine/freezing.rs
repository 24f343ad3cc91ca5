//! Freezes of all volumes on disks, for the host's copies of the disks.
//!
//! Every open volume gets the job [`Request::Freeze`], and then holds its jobs that change it; a
//! volume that isn't open, or appears meanwhile, holds all. The freeze is over with [`thaw`], when
//! a volume fails, or at the times below: a host that was interrupted must not stop the program for
//! good.

use super::caller::Caller;
use super::run;
use crate::Runtime;
use crate::current::Current;
use crate::files::mounted_volume::job::request::Request;
use crate::files::mounted_volume::job::{Job, Waiter};
use crate::files::mounted_volume::{Backing, Volume};
use crate::guest_agent;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use platform::Clock;
use platform::error::Failure;

/// Time in which the volumes have to become consistent, in nanoseconds.
const PREPARATION_NS: u64 = 60_000_000_000;
/// Maximum time for which they stay frozen, in nanoseconds.
pub const MAX_NS: u64 = 600_000_000_000;
/// The same once the program is about to end, in nanoseconds: half of the time that its end has.
const AT_EXIT_NS: u64 = 5_000_000_000;

/// A freeze that is in preparation or in force.
pub struct Freeze {
    /// Distinguishes its jobs from those of earlier ones.
    number: u32,
    /// Number of volumes that aren't frozen yet.
    remaining: usize,
    /// Number of volumes that are.
    frozen: u32,
    /// When it ends, in nanoseconds of the monotonic clock.
    until: u64,
}

/// Freezes the volumes. [`guest_agent::frozen`] gets their number, or the failure, perhaps within
/// this call.
pub fn freeze(rt: &mut Runtime) {
    thaw(rt);
    let files = &mut rt.resources.files;
    files.freezes = files.freezes.wrapping_add(1);
    let number = files.freezes;
    let mut open = Vec::new();
    let mut failed = None;
    for (
        index,
        Volume {
            schedule,
            specification,
            backing,
            ..
        },
    ) in &mut files.volumes
    {
        if !specification.is_on_disk() {
            continue;
        }
        if matches!(backing, Backing::None) {
            schedule.hold_everything();
            continue;
        }
        if let Some(line) = schedule.timed_out() {
            failed = Some(String::from(line));
        }
        match schedule.push(Job::new(Waiter::Freeze(number), Request::Freeze)) {
            Ok(()) => open.push(index),
            Err(_) => failed = Some(String::from("there is no memory for it")),
        }
    }
    files.freeze = Some(Freeze {
        number,
        remaining: open.len(),
        frozen: 0,
        until: Current::monotonic_ns().saturating_add(PREPARATION_NS),
    });
    if let Some(line) = failed {
        return end(rt, Err(line));
    }
    if open.is_empty() {
        return end(rt, Ok(0));
    }
    for index in open {
        run(rt, index, &mut Caller::none());
    }
}

/// Ends the freeze and reports its failure, or that there is nothing to freeze.
fn end(rt: &mut Runtime, result: Result<u32, String>) {
    thaw(rt);
    guest_agent::frozen(rt, result);
}

/// Called when a volume's job of the freeze `number` has ended; `None`: with its volume.
pub fn ended(rt: &mut Runtime, number: u32, outcome: Option<Result<(), Failure>>) {
    let freeze = rt.resources.files.freeze.as_mut();
    let Some(freeze) = freeze.filter(|freeze| freeze.number == number) else {
        return;
    };
    if let Some(Err(Failure { error, detail })) = outcome {
        let line = match detail.is_empty() {
            true => format!("a volume failed: {error:?}"),
            false => detail,
        };
        return end(rt, Err(line));
    }
    freeze.remaining = freeze.remaining.saturating_sub(1);
    freeze.frozen += u32::from(outcome.is_some());
    if freeze.remaining > 0 {
        return;
    }
    match freeze.frozen {
        0 => end(rt, Ok(0)),
        count => {
            freeze.until = Current::monotonic_ns().saturating_add(MAX_NS);
            guest_agent::frozen(rt, Ok(count));
        }
    }
}

/// Ends a freeze; returns the number of volumes that were frozen. The volumes run at the next poll.
pub fn thaw(rt: &mut Runtime) -> u32 {
    let files = &mut rt.resources.files;
    let Some(freeze) = files.freeze.take() else {
        return 0;
    };
    for (_, volume) in &mut files.volumes {
        volume.schedule.thaw();
    }
    freeze.frozen
}

/// Ends a freeze that takes or lasts too long.
pub fn poll(rt: &mut Runtime, now: u64) {
    let freeze = rt.resources.files.freeze.as_ref();
    let Some(freeze) = freeze.filter(|freeze| freeze.until <= now) else {
        return;
    };
    if freeze.remaining > 0 {
        let seconds = PREPARATION_NS / 1_000_000_000;
        let line = format!("the volumes could not be frozen within {seconds} s");
        return end(rt, Err(line));
    }
    log::warn!(
        "the host froze the volumes and didn't thaw them in time: they are written again, \
         and a copy that it is still making is damaged"
    );
    thaw(rt);
    guest_agent::thawed(rt);
}

/// Returns when [`poll`] has work.
pub fn deadline(rt: &Runtime) -> Option<u64> {
    rt.resources
        .files
        .freeze
        .as_ref()
        .map(|freeze| freeze.until)
}

/// Called while the program ends: the freeze must not keep it from writing what it has.
pub fn shorten(rt: &mut Runtime) {
    if let Some(freeze) = &mut rt.resources.files.freeze {
        let until = Current::monotonic_ns().saturating_add(AT_EXIT_NS);
        freeze.until = freeze.until.min(until);
    }
}

/// The host's freeze as the guest agent's part.
pub const VOLUMES: guest_agent::Volumes = guest_agent::Volumes { freeze, thaw };
