//! The search for disks: REPORT LUNS of each target, then the questions to each logical unit.

use super::commands::{Commands, MAX_TRIES, Purpose};
use super::protocol::{self, BlockLimits, Cdb, Kind};
use super::{Address, MAX_DISKS, MAX_LUNS, SCRATCH};
use crate::disk::DiskError;
use crate::{MemoryRef, Region};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Number of probes in flight.
const PROBES: usize = 32;

/// A question. A target has the first, its units the others, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Luns,
    Inquiry,
    Serial,
    Identification,
    Limits,
    Provisioning,
    Ready,
    Capacity,
    Protection,
}

/// What is known of a logical unit.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub address: Address,
    pub serial: Option<String>,
    pub limits: BlockLimits,
    /// UNMAP, and WRITE SAME (16) that unmaps.
    pub provisioning: (bool, bool),
    /// Bytes of a block.
    pub block: usize,
    pub sectors: u64,
    pub read_only: bool,
}

/// A target or unit that is asked.
struct Probe {
    step: Step,
    /// The question is in the queue.
    is_asked: bool,
    /// Number of times that it was asked.
    tries: u8,
    found: Found,
}

pub(super) struct Scan {
    /// Answers: [`SCRATCH`] bytes for each probe.
    scratch: Region,
    probes: Vec<Option<Probe>>,
    /// The next target to ask, and the last.
    next: u16,
    last: u16,
    /// Units to ask.
    units: VecDeque<Address>,
    /// The disks, in no order.
    found: Vec<Found>,
    /// Nothing more is asked.
    stopped: bool,
    /// There are more disks than are used.
    has_more: bool,
}

impl Scan {
    /// A search up to target `last`. `None`: there is no memory for it.
    pub fn new(memory: MemoryRef, last: u16) -> Option<Scan> {
        Some(Scan {
            scratch: Region::new(memory, PROBES * SCRATCH, 64)?,
            probes: (0..PROBES).map(|_| None).collect(),
            next: 0,
            last,
            units: VecDeque::new(),
            found: Vec::new(),
            stopped: false,
            has_more: false,
        })
    }

    /// Ends the search, and returns the disks that it has found, in the order of their addresses.
    pub fn stop(&mut self) -> Vec<Found> {
        self.stopped = true;
        self.probes.iter_mut().for_each(|probe| {
            probe.take_if(|probe| !probe.is_asked);
        });
        let mut found = core::mem::take(&mut self.found);
        found.sort_unstable_by_key(|found| found.address);
        found
    }

    /// Whether [`stop`](Scan::stop) has ended it; the device may still have questions.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Starts probes and asks questions, as many as there is room for. Returns whether nothing is
    /// left to do.
    pub fn advance(&mut self, commands: &mut Commands) -> bool {
        let mut has_ended = true;
        for index in 0..PROBES {
            if self.probes[index].is_none() && !self.stopped {
                self.probes[index] = self.probe();
            }
            let at = index * SCRATCH;
            let Some(probe) = &mut self.probes[index] else {
                continue;
            };
            has_ended = false;
            if !probe.is_asked {
                let (cdb, len) = probe.question();
                // SAFETY: the probe has no command in flight.
                unsafe { self.scratch.slice(at, SCRATCH) }.fill(0);
                let purpose = Purpose::Probe(index as u16);
                let to = self.scratch.phys(at);
                probe.is_asked = commands.query(purpose, probe.found.address, &cdb, to, len);
                probe.tries += u8::from(probe.is_asked);
            }
        }
        has_ended
    }

    /// The next probe: of a unit, or else of a target.
    fn probe(&mut self) -> Option<Probe> {
        let (address, step) = match self.units.pop_front() {
            Some(unit) => (unit, Step::Inquiry),
            None if self.next > self.last => return None,
            None => {
                // There are 256 at most, as the number is a byte in addresses.
                let target = u8::try_from(self.next).ok()?;
                self.next += 1;
                (Address { target, lun: 0 }, Step::Luns)
            }
        };
        Some(Probe {
            step,
            is_asked: false,
            tries: 0,
            found: Found {
                address,
                ..Found::default()
            },
        })
    }

    /// The question of probe `index` has been answered.
    pub fn complete(&mut self, index: u16, result: Result<(), DiskError>, repeat: bool) {
        let index = usize::from(index);
        let Some(Some(probe)) = self.probes.get_mut(index) else {
            return;
        };
        probe.is_asked = false;
        if self.stopped {
            self.probes[index] = None;
            return;
        }
        if repeat && probe.tries < MAX_TRIES {
            return;
        }
        probe.tries = 0;
        // SAFETY: the device has returned the answer.
        let answer: &[u8] = unsafe { self.scratch.slice(index * SCRATCH, SCRATCH) };
        if probe.step == Step::Luns {
            self.units_of(index, result);
            return;
        }
        let next = probe.learn(result.map(|()| answer));
        if let Next::Ask(step) = next {
            probe.step = step;
            return;
        }
        let probe = self.probes[index].take();
        if let (Next::Found, Some(probe)) = (next, probe) {
            if self.found.len() < MAX_DISKS {
                self.found.push(probe.found);
            } else if !self.has_more {
                self.has_more = true;
                log::warn!(target: "drivers", "SCSI: only {MAX_DISKS} disks are used");
            }
        }
    }

    /// Notes the units that a target reports.
    fn units_of(&mut self, index: usize, result: Result<(), DiskError>) {
        let Some(Probe { found, .. }) = self.probes[index].take() else {
            return;
        };
        let target = found.address.target;
        // SAFETY: as above.
        let answer: &[u8] = unsafe { self.scratch.slice(index * SCRATCH, SCRATCH) };
        let mut luns: Vec<u16> = match result {
            Ok(()) => protocol::luns(answer).take(MAX_LUNS).collect(),
            // It may have a unit all the same.
            Err(DiskError::Unsupported) => Vec::from([0]),
            Err(_) => Vec::new(),
        };
        luns.sort_unstable();
        luns.dedup();
        let units = luns.into_iter().map(|lun| Address { target, lun });
        self.units.extend(units);
    }

    pub fn leak(&mut self) {
        self.scratch.leak();
    }
}

/// What follows an answer.
enum Next {
    Ask(Step),
    /// It is a disk.
    Found,
    /// It isn't, or is unusable.
    Nothing,
}

impl Probe {
    /// The command, and the length of its answer.
    fn question(&self) -> (Cdb, usize) {
        let vital = |page| (protocol::inquiry(Some(page), SCRATCH as u16), SCRATCH);
        match self.step {
            Step::Luns => (protocol::report_luns(SCRATCH as u32), SCRATCH),
            Step::Inquiry => (
                protocol::inquiry(None, protocol::INQUIRY as u16),
                protocol::INQUIRY,
            ),
            Step::Serial => vital(protocol::PAGE_SERIAL),
            Step::Identification => vital(protocol::PAGE_IDENTIFICATION),
            Step::Limits => vital(protocol::PAGE_LIMITS),
            Step::Provisioning => vital(protocol::PAGE_PROVISIONING),
            Step::Ready => (protocol::test_unit_ready(), 0),
            Step::Capacity => (protocol::read_capacity(), protocol::CAPACITY),
            Step::Protection => (protocol::mode_sense(), protocol::MODE_HEADER),
        }
    }

    /// Notes the answer to the question.
    fn learn(&mut self, answer: Result<&[u8], DiskError>) -> Next {
        if let Err(DiskError::Removed | DiskError::DeviceError) = answer {
            return Next::Nothing;
        }
        let found = &mut self.found;
        let data = answer.unwrap_or_default();
        Next::Ask(match self.step {
            Step::Luns => Step::Inquiry,
            Step::Inquiry => match answer.ok().and_then(protocol::kind) {
                None => return Next::Nothing,
                Some(kind) => {
                    found.read_only = kind == Kind::Optical;
                    Step::Serial
                }
            },
            Step::Serial => {
                found.serial = protocol::unit_serial(data);
                match found.serial {
                    Some(_) => Step::Limits,
                    None => Step::Identification,
                }
            }
            Step::Identification => {
                found.serial = protocol::identification(data);
                Step::Limits
            }
            Step::Limits => {
                found.limits = protocol::block_limits(data).unwrap_or_default();
                Step::Provisioning
            }
            Step::Provisioning => {
                found.provisioning = protocol::provisioning(data).unwrap_or_default();
                Step::Ready
            }
            Step::Ready if answer.is_ok() => Step::Capacity,
            Step::Ready => return self.unusable("is not ready"),
            Step::Capacity => match protocol::capacity(data) {
                Some((block, sectors)) => {
                    (found.block, found.sectors) = (block, sectors);
                    Step::Protection
                }
                None => return self.unusable("has no usable capacity"),
            },
            Step::Protection => {
                found.read_only |= protocol::is_write_protected(data);
                return Next::Found;
            }
        })
    }

    fn unusable(&self, why: &str) -> Next {
        // A drive without a medium is nothing unusual.
        if !self.found.read_only {
            let address = self.found.address;
            log::warn!(target: "drivers", "SCSI disk {address} {why}: it is unused");
        }
        Next::Nothing
    }
}
