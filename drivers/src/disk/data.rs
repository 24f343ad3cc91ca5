//! The memory of a command's data: the caller's own, or bounce buffers.

use super::bounce::{self, BounceBuffers, BounceSlot};
use super::list::{Limits, List};
use super::request::{Cursor, Operation};
use super::{DiskError, Request};
use crate::MemoryRef;
use crate::memory::{Access, Segment};

/// The bounce buffer of a command, if it has one.
#[derive(Clone, Copy)]
pub(crate) struct Bounce {
    slot: Option<BounceSlot>,
    /// Destination of the copy from the slot at the end of a read, and its length.
    copy_to: Option<(Cursor, usize)>,
}

impl Bounce {
    /// No bounce buffer.
    pub const NONE: Bounce = Bounce {
        slot: None,
        copy_to: None,
    };
}

/// Result of mapping a command's data.
pub(crate) enum Mapped {
    /// The list has the segments of this many bytes.
    Data(usize, Bounce),
    /// There is no room now: too few descriptors, or all bounce buffers are in use.
    Full,
}

/// Maps the data of a disk's commands.
pub(crate) struct Data {
    memory: MemoryRef,
    limits: Limits,
    /// For data that isn't aligned to blocks. A host that bypasses its cache (QEMU: `cache=none`)
    /// would otherwise allocate and copy for each request: 110 to 200 MiB/s instead of 2000.
    bounces: BounceBuffers,
}

impl Data {
    /// Allocates at most `bounces` bounce buffers, each on demand.
    pub fn new(memory: MemoryRef, limits: Limits, bounces: u16) -> Data {
        Data {
            memory,
            limits,
            bounces: BounceBuffers::new(memory, bounces),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Lists the segments of the request's next blocks, as many as fit a command.
    pub fn map(&mut self, rest: &Request, list: &mut List) -> Result<Mapped, DiskError> {
        let (len, is_cut) = self.list(rest, list, false)?;
        if len > 0 {
            return Ok(Mapped::Data(len, Bounce::NONE));
        }
        // Unaligned, or a block in more pages than the device allows segments.
        if is_cut && list.is_short() {
            // Only the queue has too few descriptors.
            return Ok(Mapped::Full);
        }
        if let Some(mapped) = self.bounce(rest, list)? {
            return Ok(mapped);
        }
        // No memory for a bounce buffer.
        list.clear();
        match self.list(rest, list, true)? {
            (0, true) if list.is_short() => Ok(Mapped::Full),
            (0, _) => Err(DiskError::NoMemory),
            (len, _) => Ok(Mapped::Data(len, Bounce::NONE)),
        }
    }

    /// Lists the physical segments of the request's next bytes, a whole number of blocks. Returns
    /// their number, and whether the limits of the list ended it. They are 0 if not even a block
    /// fits, or if the memory isn't aligned to blocks and `unaligned` is false.
    fn list(
        &self,
        rest: &Request,
        list: &mut List,
        unaligned: bool,
    ) -> Result<(usize, bool), DiskError> {
        let wanted = rest.len.min(self.limits.bytes);
        let device_writes = !matches!(rest.operation, Operation::Write);
        let (mut gathered, mut is_cut) = (0, false);
        let mut memory = rest.memory;
        while gathered < wanted {
            let (start, len) = memory.here();
            if !unaligned && !start.addr().get().is_multiple_of(self.limits.block) {
                break;
            }
            let len = len.min(wanted - gathered);
            let before = gathered;
            let is_memory = self.memory.segments(
                start.as_ptr(),
                len,
                access(rest.operation),
                &mut |segment| {
                    let taken = list.push(segment, device_writes);
                    gathered += taken;
                    taken == segment.len
                },
            );
            if !is_memory {
                return Err(DiskError::BadBuffer);
            }
            if gathered - before < len {
                is_cut = true;
                break;
            }
            memory.advance(len);
        }
        let whole = gathered / self.limits.block * self.limits.block;
        list.truncate(gathered - whole);
        Ok((whole, is_cut))
    }

    /// Lists a bounce buffer for the request's next blocks. `None`: there are no buffers, and no
    /// memory for one.
    fn bounce(&mut self, rest: &Request, list: &mut List) -> Result<Option<Mapped>, DiskError> {
        let wanted = rest.len.min(bounce::BUFFER).min(self.limits.bytes);
        let how = access(rest.operation);
        let (mut memory, mut seen) = (rest.memory, 0);
        while seen < wanted {
            let (start, len) = memory.here();
            let len = len.min(wanted - seen);
            if len == 0
                || !self
                    .memory
                    .segments(start.as_ptr(), len, how, &mut |_| true)
            {
                return Err(DiskError::BadBuffer);
            }
            memory.advance(len);
            seen += len;
        }
        let Some(slot) = self.bounces.take(wanted) else {
            return Ok((!self.bounces.is_empty()).then_some(Mapped::Full));
        };
        let Some((region, offset)) = self.bounces.at(slot) else {
            return Ok(None);
        };
        let is_read = !matches!(rest.operation, Operation::Write);
        list.clear();
        let fits = list.push(
            Segment {
                phys: region.phys(offset),
                len: wanted,
            },
            is_read,
        );
        let len = fits / self.limits.block * self.limits.block;
        list.truncate(fits - len);
        if len == 0 {
            self.bounces.put(slot);
            return Ok(None);
        }
        let mut bounce = Bounce {
            slot: Some(slot),
            copy_to: None,
        };
        if is_read {
            bounce.copy_to = Some((rest.memory, len));
        } else {
            // SAFETY: the slot has just been taken, so the device doesn't have it.
            let to = unsafe { region.slice(offset, len) };
            copy(rest.memory, to, false);
        }
        Ok(Some(Mapped::Data(len, bounce)))
    }

    /// A command has completed, or wasn't started: frees its bounce buffer, after the copy of what
    /// was read if `is_done`.
    pub fn finish(&mut self, bounce: Bounce, is_done: bool) {
        let Some(slot) = bounce.slot else {
            return;
        };
        if let (Some((to, len)), Some((region, offset)), true) =
            (bounce.copy_to, self.bounces.at(slot), is_done)
        {
            // SAFETY: the device has returned the slot, and nothing else has it yet.
            let from = unsafe { region.slice(offset, len) };
            copy(to, from, true);
        }
        self.bounces.put(slot);
    }

    /// Leaks the memory, because the device may still use it.
    pub fn leak(&mut self) {
        self.bounces.leak();
    }
}

/// Copies `bytes` between a bounce buffer and the memory at the cursor, in either direction.
fn copy(mut memory: Cursor, mut bytes: &mut [u8], to_memory: bool) {
    while !bytes.is_empty() {
        let (start, len) = memory.here();
        let len = len.min(bytes.len());
        let (here, rest) = bytes.split_at_mut(len);
        // The memory is as long as the request.
        if here.is_empty() {
            return;
        }
        let (memory_at, bytes_at) = (start.as_ptr(), here.as_mut_ptr());
        let (from, to) = if to_memory {
            (bytes_at, memory_at)
        } else {
            (memory_at, bytes_at)
        };
        // SAFETY: as many bytes of the request's memory, which is ours to read or write until the
        // request is reported (promise to the constructors of `Request`), and of a bounce buffer.
        unsafe { core::ptr::copy_nonoverlapping(from, to, len) };
        memory.advance(len);
        bytes = rest;
    }
}

fn access(operation: Operation) -> Access {
    match operation {
        Operation::Write => Access::DeviceReads,
        _ => Access::DeviceWrites,
    }
}
