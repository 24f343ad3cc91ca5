//! Flushes that the disk has not done.
//!
//! The fiber isn't kept waiting for one: others may read meanwhile, and change what is in memory. What it writes next waits behind the flush
//! where the file system counts on that order (the record that ends a transaction of a journal): the job that flushes has up to
//! [`MOST_BEHIND`] bytes kept here, and one more flush after them. Every answer that promises something to be durable waits for the end of
//! all that, and jobs that would give such an answer begin after it, so that one flush does for all of them.

use super::super::work::{Value, Work};
use super::super::worker::{Event, Failure};
use super::{Job, Running, conclude, go_on, volume};
use crate::disks::Request;
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use ::fs::BlockError;
use alloc::vec::Vec;
use core::ptr::NonNull;

/// Bytes that are kept to be written after a flush: the end of a transaction has one block.
const MOST_BEHIND: usize = 64 << 10;

/// The bit of a tag that says that it is a flush; the rest is the volume.
pub const FLUSH: u64 = 1 << 63;
/// The bit of a tag that says that it is a write that was kept.
pub const BEHIND: u64 = 1 << 62;

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
    pub waiting: Vec<Job>,
    /// What the fiber takes for written: first sectors and data.
    behind: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    /// What is behind was followed by a flush.
    again: bool,
    /// Writes of `behind` that the disk has.
    writing: usize,
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

/// Whether sectors are among those of a list of writes.
pub fn overlaps(writes: &[(u64, Vec<u8>)], sector: u64, len: usize, sector_size: usize) -> bool {
    let end = |first: u64, len: usize| first.saturating_add((len / sector_size) as u64);
    let mut writes = writes.iter();
    writes.any(|(first, data)| *first < end(sector, len) && sector < end(*first, data.len()))
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
        let may_keep = began && !self.again && self.writing == 0;
        match *event {
            Event::Read(sector, _, len) => {
                if overlaps(&self.behind, sector, len, sector_size) {
                    Deferral::Waits
                } else {
                    Deferral::Passes
                }
            }
            Event::Write(..) | Event::Batch(_) if !self.ordered => Deferral::Passes,
            Event::Flush(_) if may_keep => {
                self.again = true;
                Deferral::Kept
            }
            Event::Write(sector, from, len) if may_keep => self.keep(&[(sector, from, len)]),
            Event::Batch(writes) if may_keep => {
                // SAFETY: the fiber is suspended in `write_batch`, whose argument this is.
                let writes = unsafe { writes.as_ref() }.iter();
                let writes: Vec<_> = writes
                    .map(|(sector, data)| (*sector, NonNull::from(*data).cast(), data.len()))
                    .collect();
                self.keep(&writes)
            }
            Event::Write(..) | Event::Batch(_) | Event::Flush(_) => Deferral::Waits,
            _ => Deferral::Passes,
        }
    }

    /// Copies writes, if there is room.
    fn keep(&mut self, writes: &[(u64, NonNull<u8>, usize)]) -> Deferral {
        let bytes: usize = writes.iter().map(|(_, _, len)| len).sum();
        if self.bytes + bytes > MOST_BEHIND {
            return Deferral::Waits;
        }
        let before = self.behind.len();
        for (sector, from, len) in writes {
            let mut copy = Vec::new();
            if copy.try_reserve_exact(*len).is_err() || self.behind.try_reserve(1).is_err() {
                self.behind.truncate(before);
                return Deferral::Waits;
            }
            // SAFETY: the fiber is suspended in the call that this is the memory of.
            copy.extend_from_slice(unsafe { core::slice::from_raw_parts(from.as_ptr(), *len) });
            self.behind.push((*sector, copy));
        }
        self.bytes += bytes;
        Deferral::Kept
    }

    /// Has a job wait that answers that something is durable, and what must not come before such a one: closing its file, and after that
    /// all others. Gives back what needn't wait.
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
            self.waiting.push(job);
            None
        } else {
            Some(job)
        }
    }
}

/// The disk has done a flush, or a write that was behind one.
pub fn flushed(rt: &mut Runtime, index: usize, result: Result<(), BlockError>) {
    let Some(volume) = volume(rt, index) else {
        return;
    };
    let (Some(flushing), Some((disk, port))) = (&mut volume.flushing, volume.disk) else {
        return;
    };
    if let Err(error) = result {
        volume.unflushed.get_or_insert(error);
    }
    flushing.writing = flushing.writing.saturating_sub(1);
    if flushing.writing > 0 {
        return;
    }
    if volume.unflushed.is_some() {
        if !flushing.behind.is_empty() {
            // The file system takes for written what isn't: nothing that builds on it may be written any more.
            log::error!(
                "{}: a write failed, and nothing is written any more; unmount it and mount it again",
                volume.spec.label()
            );
            port.lost.set(true);
            volume.lost.append(&mut flushing.behind);
        }
        return end(rt, index);
    }
    let behind = if flushing.bytes > 0 {
        flushing.bytes = 0;
        &flushing.behind[..]
    } else {
        flushing.behind.clear();
        &[]
    };
    let is_last = behind.is_empty();
    if is_last && !flushing.again {
        return end(rt, index);
    }
    let geometry = port.geometry();
    let writes = behind.iter().map(|(sector, data)| Request::Write {
        sector: *sector,
        from: NonNull::from(&data[..]).cast(),
        len: data.len(),
        together: true,
    });
    let mut requests: Vec<_> = writes.collect();
    if is_last {
        flushing.again = false;
        flushing.ordered = true;
        requests.push(Request::Flush);
    }
    flushing.writing = if is_last { 0 } else { requests.len() };
    let bit = if is_last { FLUSH } else { BEHIND };
    let Some(files) = rt.files.as_deref_mut() else {
        return;
    };
    let until = Current::monotonic_ns().saturating_add(files.patience_ns);
    let blocked = files.volumes.get_mut(index).and_then(|volume| {
        let flushing = volume.flushing.as_mut()?;
        flushing.until = until;
        flushing.blocked.take_if(|_| is_last)
    });
    for request in requests {
        let submitted = match rt.disks.as_deref_mut() {
            Some(disks) if request.is_within(geometry) => {
                disks.submit(disk, request, index as u64 | bit)
            }
            _ => Ok(Some(Err(BlockError::OutOfRange))),
        };
        match submitted {
            Ok(None) => (),
            Ok(Some(result)) => flushed(rt, index, result),
            Err(_) => flushed(rt, index, Err(BlockError::Io)),
        }
    }
    if let Some(event) = blocked {
        go_on(rt, index, Some(event));
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
    for job in flushing.waiting.into_iter().rev() {
        volume.queue.push_front(job);
    }
    volume.settle();
    for (job, value) in flushing.held {
        conclude(rt, index, job, value);
    }
    if let Some(volume) = self::volume(rt, index).filter(|volume| volume.is_lost()) {
        // That says it from now on.
        volume.unflushed = None;
    }
    if let Some(event) = flushing.blocked {
        go_on(rt, index, Some(event));
    }
}
