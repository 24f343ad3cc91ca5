//! A mounted volume: what it is, where its file system lives, and its schedule.

pub mod attach;
pub mod drivers;
pub mod embedded;
pub mod fiber;
pub mod job;
pub mod options;
pub mod schedule;
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

/// Where a file system lives.
pub enum Backing {
    /// Nowhere: the first job opens the volume.
    None,
    /// Its calls wait for nothing.
    Immediate(Box<dyn ::fs::Volume>),
    /// Its calls wait on a fiber.
    Fiber {
        /// The fiber.
        port: &'static Port,
        /// The disk that it is on, if any.
        disk: Option<usize>,
    },
}

/// A mounted volume.
pub struct Volume {
    /// Its mount point, type and source.
    pub specification: Specification,
    /// Where its file system lives.
    pub backing: Backing,
    /// The first sector and the sectors of its partition, where it is on one.
    pub claim: Option<(u64, u64)>,
    /// Its jobs.
    pub schedule: Schedule,
}

impl Volume {
    /// A volume that its first job opens.
    pub const fn new(specification: Specification) -> Volume {
        Volume {
            specification,
            backing: Backing::None,
            claim: None,
            schedule: Schedule::new(),
        }
    }

    /// The fiber, if its file system lives on one.
    pub const fn port(&self) -> Option<&'static Port> {
        match self.backing {
            Backing::Fiber { port, .. } => Some(port),
            _ => None,
        }
    }

    /// The disk that it is on, once it is open.
    pub const fn disk(&self) -> Option<usize> {
        match self.backing {
            Backing::Fiber { disk, .. } => disk,
            _ => None,
        }
    }

    /// Whether anything was done on it.
    pub const fn is_open(&self) -> bool {
        !matches!(self.backing, Backing::None)
    }

    /// Whether its disk has a flush that makes writes durable.
    pub fn flushes(&self) -> bool {
        self.port().is_none_or(|port| port.geometry().flushes)
    }

    /// Whether its file system is gone, and the device has nothing of it: the fiber is free for
    /// another.
    pub fn is_over(&self) -> bool {
        self.schedule.is_over() && self.port().is_none_or(Port::is_empty)
    }

    /// Counters of its cache; zeros where it has none, or isn't mounted yet.
    pub fn cache_counts(&self) -> CacheCounts {
        self.port()
            .map(|port| port.counters.counts())
            .unwrap_or_default()
    }

    /// The space on the volume and its health, if they can be had without a wait.
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

    /// Does a request now that changes nothing, if nothing is done before it and everything that it
    /// needs is in memory: no fiber, no queue, no completion. `None`: it is to be queued.
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
