//! A mounted volume: what it is, where its file system lives, and its schedule.

pub mod attach;
pub mod drivers;
pub mod embedded;
pub mod fiber;
pub mod job;
pub mod options;
pub mod schedule;
pub mod seed;
pub mod specification;
pub mod statistics;

use ::fs::{CacheCounts, Health, Space};
use alloc::boxed::Box;
use alloc::string::String;
use core::cell::Cell;
use drivers::WAITS;
use fiber::Port;
use job::request::{Op, Request, Value, perform};
use options::CACHE;
use schedule::Schedule;
use specification::Specification;

/// Execution context of a file system's calls.
pub enum Backing {
    /// Not mounted: the first job opens the volume.
    None,
    /// Calls never wait, and run on the caller's stack.
    Immediate(Box<dyn ::fs::Volume>),
    /// Calls may wait, and run on a fiber.
    Fiber {
        /// The fiber.
        port: &'static Port,
        /// The disk, if the volume is on one.
        disk: Option<usize>,
    },
}

/// A mounted volume.
pub struct Volume {
    /// Its mount point, type and source.
    pub specification: Specification,
    /// Execution context of its file system.
    pub backing: Backing,
    /// First sector and number of sectors of its partition, if it is on one.
    pub claim: Option<(u64, u64)>,
    /// Queue and state of its jobs.
    pub schedule: Schedule,
}

impl Volume {
    /// Creates a volume, which its first job opens.
    pub const fn new(specification: Specification) -> Volume {
        Volume {
            specification,
            backing: Backing::None,
            claim: None,
            schedule: Schedule::new(),
        }
    }

    /// Returns the fiber, if the file system runs on one.
    pub const fn port(&self) -> Option<&'static Port> {
        match self.backing {
            Backing::Fiber { port, .. } => Some(port),
            _ => None,
        }
    }

    /// Returns the disk, once the volume is open.
    pub const fn disk(&self) -> Option<usize> {
        match self.backing {
            Backing::Fiber { disk, .. } => disk,
            _ => None,
        }
    }

    /// Whether the volume is open: its first job has started.
    pub const fn is_open(&self) -> bool {
        !matches!(self.backing, Backing::None)
    }

    /// Whether the disk has a flush that makes writes durable.
    pub fn flushes(&self) -> bool {
        self.port().is_none_or(|port| port.geometry().flushes)
    }

    /// Whether the file system is gone and no device request is outstanding: the fiber can be
    /// reused.
    pub fn is_over(&self) -> bool {
        self.schedule.is_over() && self.port().is_none_or(Port::is_empty)
    }

    /// Returns the counters of the cache; zeros without a cache, or before the mount.
    pub fn cache_counts(&self) -> CacheCounts {
        self.port()
            .map(|port| port.counters.counts())
            .unwrap_or_default()
    }

    /// Returns the space on the volume and its health, if that needs no wait.
    pub fn space_at_once(&mut self) -> Option<(Space, Health)> {
        if !self.schedule.is_quiet() {
            return None;
        }
        let request = Request::At {
            path: String::from("/"),
            follow: false,
            directory: false,
            op: Op::Space,
        };
        let value = match &mut self.backing {
            Backing::None => None,
            Backing::Immediate(volume) => perform(&mut **volume, request, &Cell::new(false)).ok(),
            Backing::Fiber { port, .. } => port.at_once(request),
        };
        match value {
            Some(Value::Space(space, health)) => Some((space, health)),
            _ => None,
        }
    }

    /// Performs a read-only request at once, without fiber, queue and completion, if no other job
    /// is pending and memory holds everything that it needs. `None`: the caller has to queue it.
    pub fn at_once(&mut self, request: Request) -> Option<Value> {
        if !self.schedule.is_quiet() {
            return None;
        }
        match &mut self.backing {
            Backing::None => None,
            Backing::Immediate(volume) => perform(&mut **volume, request, &Cell::new(false)).ok(),
            Backing::Fiber { port, disk } => {
                let value = port.at_once(request)?;
                if !WAITS || disk.is_some() {
                    port.counters.count_hit();
                    CACHE.count_hit();
                }
                Some(value)
            }
        }
    }
}
