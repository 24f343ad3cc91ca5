//! The node's disks.

use crate::node::{self, DiskInfo};
use crate::protocol::DISK;
use crate::unknown;
use alloc::boxed::Box;
use alloc::vec::Vec;
use fs::BlockError;
use platform::disk::{
    BlockDevice, Capabilities, Clear, Geometry, Named, Request, Slice, Submitted,
};
use platform::error::Failure;
use platform::{Disks, Wait};

/// Operations in a message.
const READ: u8 = 0;
const WRITE: u8 = 1;
const FLUSH: u8 = 2;
const DISCARD: u8 = 3;
const ZERO: u8 = 4;
/// A write that is durable when it completes.
const DURABLE: u8 = 5;

/// Maximum number of bytes in one request.
const MAX_BYTES: usize = 1 << 20;

/// Statuses of a completion: 0 is success.
const FULL: u8 = 2;

/// A disk of the coordinator.
pub struct Disk {
    index: u8,
    info: DiskInfo,
    /// Requests that the coordinator has.
    pending: Vec<Pending>,
    /// Number of requests so far, by which the coordinator knows them.
    requests: u64,
}

struct Pending {
    number: u64,
    tag: u64,
    request: Request,
}

/// The disks of this node, with their names; none in a process that isn't one.
pub fn disks<P: Disks>() -> Option<Named<P>> {
    let infos = node::with(|node| node.disks.clone())?;
    let disk = |(index, info): (usize, DiskInfo)| {
        let name = info.name.clone();
        let disk = Disk {
            index: index as u8,
            info,
            pending: Vec::new(),
            requests: 0,
        };
        (name, Box::new(disk) as Box<dyn BlockDevice<P>>)
    };
    Some(infos.into_iter().enumerate().map(disk).collect())
}

/// The memory of a request's slice.
fn memory<'a>(slice: &Slice) -> &'a mut [u8] {
    // SAFETY: the memory of a request stays valid and untouched until it is reported.
    unsafe { core::slice::from_raw_parts_mut(slice.start.as_ptr(), slice.len) }
}

/// The slices of a request.
fn slices(request: &Request) -> Vec<Slice> {
    match *request {
        Request::Read { to, len, .. } => alloc::vec![Slice { start: to, len }],
        Request::Write { from, len, .. } => alloc::vec![Slice { start: from, len }],
        Request::Scatter { slices, .. } | Request::Gather { slices, .. } => {
            // SAFETY: as the memory itself.
            unsafe { slices.as_ref() }.to_vec()
        }
        Request::Flush | Request::Clear { .. } => Vec::new(),
    }
}

impl Disk {
    fn send(&mut self, request: Request, tag: u64) {
        let slices = slices(&request);
        let bytes: usize = slices.iter().map(|slice| slice.len).sum();
        let sectors = (bytes / self.info.sector_size) as u64;
        let (operation, sector, count) = match request {
            Request::Read { sector, .. } | Request::Scatter { sector, .. } => {
                (READ, sector, sectors)
            }
            Request::Write { sector, .. } => (WRITE, sector, sectors),
            Request::Gather {
                sector, durable, ..
            } => (if durable { DURABLE } else { WRITE }, sector, sectors),
            Request::Flush => (FLUSH, 0, 0),
            Request::Clear { sector, count, how } => match how {
                Clear::Discard => (DISCARD, sector, count),
                Clear::Zeroes { .. } => (ZERO, sector, count),
            },
        };
        let head = [self.index, operation];
        self.requests += 1;
        let number = self.requests;
        let numbers = [number, sector, count].map(u64::to_le_bytes);
        let mut parts: Vec<&[u8]> = alloc::vec![&head, &numbers[0], &numbers[1], &numbers[2]];
        if matches!(operation, WRITE | DURABLE) {
            parts.extend(slices.iter().map(|slice| &*memory(slice)));
        }
        node::with(|node| node.send(DISK, &parts));
        self.pending.push(Pending {
            number,
            tag,
            request,
        });
    }
}

impl<P: Disks> BlockDevice<P> for Disk {
    fn geometry(&mut self) -> Result<Geometry, Failure> {
        if self.info.sectors == 0 || !self.info.sector_size.is_power_of_two() {
            return Err(unknown("a simulated disk without sectors"));
        }
        Ok(Geometry {
            sector_size: self.info.sector_size,
            sectors: self.info.sectors,
            read_only: self.info.read_only,
            flushes: true,
            max_bytes: MAX_BYTES,
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            discard: true,
            write_zeroes: true,
        }
    }

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        self.send(request, tag);
        Submitted::Taken
    }

    fn arm(&mut self, _: &mut <P as Wait>::Interest) {}

    fn kick(&mut self) {}

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        let index = self.index;
        let take = |node: &mut node::Node| {
            let mut own = Vec::new();
            let mut i = 0;
            while let Some(completed) = node.completed.get(i) {
                if completed.disk == index {
                    own.push(node.completed.remove(i));
                } else {
                    i += 1;
                }
            }
            own
        };
        for completed in node::with(take).unwrap_or_default() {
            let is_it = |pending: &Pending| pending.number == completed.number;
            let Some(place) = self.pending.iter().position(is_it) else {
                continue;
            };
            let Pending { tag, request, .. } = self.pending.swap_remove(place);
            let mut data = completed.data.as_slice();
            if matches!(request, Request::Read { .. } | Request::Scatter { .. }) {
                for slice in slices(&request) {
                    let len = slice.len.min(data.len());
                    let (first, rest) = data.split_at(len);
                    if let Some(to) = memory(&slice).get_mut(..len) {
                        to.copy_from_slice(first);
                    }
                    data = rest;
                }
            }
            let result = match completed.status {
                0 => Ok(()),
                FULL => Err(BlockError::NoSpace),
                _ => Err(BlockError::Io),
            };
            report(tag, result);
        }
    }
}
