//! Disks that don't answer in time.
//!
//! Those who wait are told; the fiber stays where it is, and with it the memory that the device
//! has. It goes on when the device answers, so that the file system never sees a request that
//! failed and was done after all.

use super::super::finished;
use super::{Running, Then, Volume, volume};
use crate::error::{Error, Failure};
use crate::runtime::Runtime;
use alloc::format;

impl Running {
    /// Nobody waits for it any more; whom to tell, and what else there is to do then.
    fn give_up(&mut self) -> Option<(u64, Then)> {
        let token = core::mem::take(&mut self.token);
        if token == 0 {
            return None;
        }
        (self.given_up, self.walking) = (token, None);
        let left = match self.then {
            Then::Mounted => Then::Unwanted,
            Then::Unmounted => Then::Unmounted,
            _ => Then::Nothing,
        };
        Some((token, core::mem::replace(&mut self.then, left)))
    }
}

impl Volume {
    /// When the disk will have taken too long, if anything was asked of it.
    pub fn due(&self) -> Option<u64> {
        if self.overdue.is_some() {
            return None;
        }
        let flush = self.flushing.as_ref().map(|flushing| flushing.until);
        match flush {
            Some(flush) if self.outstanding > 0 => Some(flush.min(self.until)),
            None if self.outstanding > 0 => Some(self.until),
            flush => flush,
        }
    }

    /// Somebody who waits for a job that has begun.
    fn next_to_tell(&mut self) -> Option<(u64, Then)> {
        if let Some(waiting) = self.running.as_mut().and_then(Running::give_up) {
            return Some(waiting);
        }
        if let Some(waiting) = self.along.iter_mut().find_map(Running::give_up) {
            return Some(waiting);
        }
        let held = &mut self.flushing.as_mut()?.held;
        held.iter_mut().find_map(|(job, _)| job.give_up())
    }

    /// Ends that when the disk has done all that was asked of it.
    pub(super) fn settle(&mut self) {
        if self.running.is_none() && self.flushing.is_none() && self.overdue.take().is_some() {
            log::warn!("disk {} answers again", self.spec.source);
        }
    }
}

/// How much later than at its deadline a disk may be given up. Who looks later has itself stood
/// still, and the disk too perhaps: a machine that was paused.
const GRACE_NS: u64 = 500_000_000;

/// Gives up what the disk has taken too long for.
pub fn check_time(rt: &mut Runtime, index: usize, now: u64) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    let Some(due) = volume.due().filter(|due| *due <= now) else {
        return;
    };
    let again = now.saturating_add(GRACE_NS);
    // Once: who always looks late gives it up as well.
    if now <= due.saturating_add(GRACE_NS) || volume.granted == due {
        return give_up(rt, index);
    }
    volume.granted = again;
    volume.until = volume.until.max(again);
    if let Some(flushing) = &mut volume.flushing {
        flushing.until = flushing.until.max(again);
    }
}

/// The disk has taken too long: everybody who waits for the volume is told, and whoever calls it
/// until all that was asked of the disk is done.
fn give_up(rt: &mut Runtime, index: usize) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    let seconds = files.patience_ns / 1_000_000_000;
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    let line = format!(
        "{} hasn't answered for {seconds} s: all that is asked of it fails until it does; see what holds it up, or give it longer with SOIL_DISK_TIMEOUT=SECONDS",
        volume.spec.label()
    );
    log::warn!("{line}");
    volume.overdue = Some(line.clone());
    if let Some((_, port)) = volume.disk {
        port.cancelled.set(true);
    }
    if let Some(flushing) = &mut volume.flushing {
        let waiting = core::mem::take(&mut flushing.waiting);
        volume.requeue(waiting);
    }
    while let Some((token, then)) = self::volume(rt, index).and_then(Volume::next_to_tell) {
        let then = match then {
            Then::Mounted => {
                // Somebody else may mount something there.
                if let Some(files) = rt.files.as_deref_mut() {
                    files.mounts.remove_volume(&index);
                }
                Then::Answer
            }
            then => then,
        };
        fail(rt, index, token, then, &line);
    }
    refuse(rt, index, &line);
}

/// Answers what is in the queue.
pub fn refuse(rt: &mut Runtime, index: usize, line: &str) {
    let mut left = volume(rt, index).map_or(0, |volume| volume.queue.len());
    while left > 0 {
        left -= 1;
        let Some(volume) = volume(rt, index) else {
            return;
        };
        match volume.queue.pop_front() {
            Some(job) if job.token == 0 => volume.queue.push_back(job),
            Some(job) => fail(rt, index, job.token, job.then, line),
            None => return,
        }
    }
}

fn fail(rt: &mut Runtime, index: usize, token: u64, then: Then, line: &str) {
    let failure = Failure::new(Error::Io, line);
    finished(rt, index, token, then, None, Err(failure));
}

/// See `soil_fs_given_up`.
pub fn given_up(rt: &mut Runtime, token: u64) -> usize {
    let Some(files) = rt.files.as_deref_mut() else {
        return 0;
    };
    for (index, volume) in &mut files.volumes {
        if let Some(running) = &mut volume.running
            && running.given_up == token
        {
            running.given_up = 0;
            return index + 1;
        }
    }
    0
}

#[cfg(test)]
mod tests;
