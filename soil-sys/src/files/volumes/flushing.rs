//! Flushes that the disk has not done.
//!
//! The fiber isn't kept waiting for one: others may read meanwhile, and change what is in memory.
//! What it writes next waits behind the flush where the file system counts on that order: the
//! record that ends a transaction of a journal is kept here, and that a flush comes after it. Every
//! answer that promises something to be durable waits for the end of all that, and jobs that would
//! give such an answer begin after it, so that one flush does for all of them.

use super::super::work::{Value, Work};
use super::super::worker::Event;
use super::{BEHIND, FLUSH, Job, Running, Volume, conclude, go_on, volume};
use crate::disks::Request;
use crate::error::Failure;
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use ::fs::BlockError;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ptr::NonNull;

/// The largest write that is kept, in bytes: the end of a transaction is a block.
const MOST_BEHIND: usize = 4096;

/// See the head of this file.
#[derive(Default)]
pub struct Flushing {
    /// When the disk will have taken too long.
    pub until: u64,
    /// Nothing may be written before it is done.
    ordered: bool,
    /// What the fiber goes on with afterwards.
    pub blocked: Option<Event>,
    /// Jobs that are done but for it.
    pub held: Vec<(Running, Result<Value, Failure>)>,
    /// Jobs that begin afterwards.
    pub waiting: VecDeque<Job>,
    /// What the fiber takes for written.
    behind: Option<Behind>,
    /// The disk has that.
    writing: bool,
    /// It was followed by a flush.
    again: bool,
}

/// A write that is kept.
pub struct Behind {
    /// First sector.
    sector: u64,
    data: Vec<u8>,
}

/// What becomes of a request of the fiber while a flush is under way.
pub enum Deferral {
    /// The disk gets it.
    Passes,
    /// It is kept, and done for the fiber.
    Kept,
    /// It waits.
    Waits,
}

/// Whether sectors are among those of a write.
pub fn overlaps(write: &Option<Behind>, sector: u64, len: usize, sector_size: usize) -> bool {
    let end = |first: u64, len: usize| first.saturating_add((len / sector_size) as u64);
    write.as_ref().is_some_and(|write| {
        write.sector < end(sector, len) && sector < end(write.sector, write.data.len())
    })
}

impl Flushing {
    /// One that has begun.
    pub fn new(until: u64, ordered: bool) -> Flushing {
        Flushing {
            until,
            ordered,
            ..Flushing::default()
        }
    }

    /// Decides about a request of the job that is being done, which has begun the flush or not.
    pub fn defer(&mut self, event: &Event, began: bool, sector_size: usize) -> Deferral {
        let may_flush = began && !self.again && !self.writing;
        let may_keep = may_flush && self.behind.is_none();
        match *event {
            Event::Read(sector, _, len) => {
                if overlaps(&self.behind, sector, len, sector_size) {
                    Deferral::Waits
                } else {
                    Deferral::Passes
                }
            }
            Event::Write(..) | Event::Batch(_) if !self.ordered => Deferral::Passes,
            Event::Flush(_) if may_flush => {
                self.again = true;
                Deferral::Kept
            }
            Event::Write(sector, from, len) if may_keep => self.keep(sector, from, len),
            // SAFETY: the fiber is suspended in `write_batch`, whose argument this is.
            Event::Batch(writes) if may_keep => match unsafe { writes.as_ref() } {
                [(sector, data)] => self.keep(*sector, NonNull::from(*data).cast(), data.len()),
                _ => Deferral::Waits,
            },
            Event::Write(..) | Event::Batch(_) | Event::Flush(_) => Deferral::Waits,
            _ => Deferral::Passes,
        }
    }

    /// Copies a write, if there is room.
    fn keep(&mut self, sector: u64, from: NonNull<u8>, len: usize) -> Deferral {
        let mut data = Vec::new();
        if len > MOST_BEHIND || data.try_reserve_exact(len).is_err() {
            return Deferral::Waits;
        }
        // SAFETY: the fiber is suspended in the call that this is the memory of.
        data.extend_from_slice(unsafe { core::slice::from_raw_parts(from.as_ptr(), len) });
        self.behind = Some(Behind { sector, data });
        Deferral::Kept
    }

    /// Has a job wait that answers that something is durable, and what must not come before such a
    /// one: closing its file, and after that all others. Gives back what needn't wait.
    pub fn wait(&mut self, job: Job) -> Option<Job> {
        let waits = match job.work {
            _ if job.work.is_durable() => true,
            Work::Close(file) => self
                .waiting
                .iter()
                .any(|other| matches!(other.work, Work::SyncFile(synced) if synced == file)),
            _ => false,
        };
        let mut before = self.waiting.iter();
        if waits || before.any(|other| matches!(other.work, Work::Close(_))) {
            self.waiting.push_back(job);
            None
        } else {
            Some(job)
        }
    }
}

impl Volume {
    /// Has the jobs that wait for a flush come first again.
    pub(super) fn requeue(&mut self, mut waiting: VecDeque<Job>) {
        core::mem::swap(&mut self.queue, &mut waiting);
        while let Some(job) = waiting.pop_front() {
            self.queue.push_back(job);
        }
    }
}

/// The disk has done a flush, or a write that was behind one.
pub fn flushed(rt: &mut Runtime, index: usize, result: Result<(), BlockError>) {
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    let Some(volume) = files.volumes.get_mut(index) else {
        return;
    };
    let (Some(flushing), Some((disk, port))) = (&mut volume.flushing, volume.disk) else {
        return;
    };
    if let Err(error) = result {
        volume.unflushed = Some(error);
        volume.lost = flushing.behind.take();
        if volume.lost.is_some() {
            // The file system takes for written what isn't: nothing that builds on it may be
            // written any more.
            log::error!(
                "disk {}: a write failed, and nothing is written any more; unmount it and mount it again",
                volume.spec.source
            );
            port.lost.set(true);
        }
        return end(rt, index);
    }
    let mut blocked = None;
    let (request, bit) = match &flushing.behind {
        Some(Behind { sector, data }) if !flushing.writing => {
            flushing.writing = true;
            let write = Request::Write {
                sector: *sector,
                from: NonNull::from(&data[..]).cast(),
                len: data.len(),
                together: true,
            };
            (write, BEHIND)
        }
        _ => {
            (flushing.behind, flushing.writing) = (None, false);
            if !core::mem::take(&mut flushing.again) {
                return end(rt, index);
            }
            flushing.ordered = true;
            blocked = flushing.blocked.take();
            (Request::Flush, FLUSH)
        }
    };
    flushing.until = Current::monotonic_ns().saturating_add(files.patience_ns);
    let submitted = match rt.disks.as_deref_mut() {
        Some(disks) if request.is_within(port.geometry()) => {
            disks.submit(disk, request, index as u64 | bit)
        }
        _ => Ok(Some(Err(BlockError::OutOfRange))),
    };
    match submitted {
        Ok(None) => (),
        Ok(Some(result)) => flushed(rt, index, result),
        Err(_) => flushed(rt, index, Err(BlockError::Io)),
    }
    if blocked.is_some() {
        go_on(rt, index, blocked);
    }
}

/// All is done that was flushed, or failed.
fn end(rt: &mut Runtime, index: usize) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    let Some(flushing) = volume.flushing.take() else {
        return;
    };
    volume.requeue(flushing.waiting);
    volume.settle();
    for (job, value) in flushing.held {
        conclude(rt, index, job, value);
    }
    if let Some(volume) = self::volume(rt, index).filter(|volume| volume.is_lost()) {
        // That says it from now on.
        volume.unflushed = None;
    }
    if flushing.blocked.is_some() {
        go_on(rt, index, flushing.blocked);
    }
}

#[cfg(test)]
mod tests;
