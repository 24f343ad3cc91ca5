//! Memory of the machine: frames, page tables, the program's address space, and what devices share.
//!
//! Addresses (one address space, everything in ring 0):
//!
//! | from | what |
//! |---|---|
//! | 0 | nothing, up to the image: a null pointer faults |
//! | 1 MiB | the image, at its physical address; W^X by the page |
//! | [`PROGRAM`] | what the program maps, given memory on first touch; its stack at the end |
//! | [`DIRECT`] | all RAM at `DIRECT + physical`, not executable, without the image |
//! | [`HEAP`] | the kernel's heap |
//! | [`DEVICES`] | device registers at `DEVICES + physical`, uncached, mapped on demand |

use crate::areas::{Area, Areas, Protection, whole_pages};
use crate::cell::Exclusive;
use crate::frames::{Frames, PAGE};
use crate::paging::{
    BORROWED, KEPT, NO_EXECUTE, OutOfFrames, PRESENT, PageTables, TableMemory, UNCACHED, WRITABLE,
    frame_of,
};
use crate::pvh::{Physical, Region, StartInfo};
use crate::tlb::TlbGrowth;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

/// Where all RAM is mapped.
pub const DIRECT: u64 = 0xffff_8000_0000_0000;
/// Where the kernel's heap grows from.
const HEAP: u64 = 0xffff_9000_0000_0000;
/// Where device registers are mapped.
const DEVICES: u64 = 0xffff_a000_0000_0000;
/// The program's part of the address space.
pub const PROGRAM: Range<u64> = 0x40_0000_0000..0x80_0000_0000;
/// The size of the program's stack for C, as `ulimit -s` has it. OCaml's own stacks are in its heap.
pub const STACK_SIZE: u64 = 8 << 20;
/// Address space below the stack that is never mapped; as large as Linux has it, against large frames.
const STACK_GUARD: u64 = 1 << 20;
/// What the boot tables map.
const BOOT_MAPPED: u64 = 1 << 30;
const LARGE_PAGE: u64 = 2 << 20;
/// From so many pages on, forgetting all translations is cheaper than forgetting each.
const FLUSH_EACH: u64 = 64;

const READ_WRITE: Protection = Protection {
    read: true,
    write: true,
    execute: false,
};

unsafe extern "C" {
    static soil_image_start: u8;
    static soil_text_start: u8;
    static soil_text_end: u8;
    static soil_data_start: u8;
    static soil_image_end: u8;
}

/// The image's address ranges, from the linker script.
pub mod image {
    use super::Range;

    /// The whole image with its zeroed data.
    pub fn all() -> Range<u64> {
        (&raw const super::soil_image_start) as u64..(&raw const super::soil_image_end) as u64
    }

    /// Code.
    pub fn text() -> Range<u64> {
        (&raw const super::soil_text_start) as u64..(&raw const super::soil_text_end) as u64
    }

    /// Everything writable.
    pub fn data() -> Range<u64> {
        (&raw const super::soil_data_start) as u64..(&raw const super::soil_image_end) as u64
    }
}

/// Physical memory as the boot tables show it, less what is read as null.
pub struct BootMemory;

// SAFETY: what the loader left behind is changed by nobody while the kernel starts.
unsafe impl Physical for BootMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        // SAFETY: the first GiB is mapped at DIRECT by the boot tables.
        (end <= BOOT_MAPPED && address != 0)
            .then(|| unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, len) })
    }
}

/// How much memory there is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// What the machine gave, without the image and what firmware keeps.
    pub total: u64,
    /// Frames that nothing uses.
    pub free: u64,
    /// `total - free`: touched pages, kernel heap, page tables, device memory.
    pub in_use: u64,
    /// The most that was in use at once.
    pub high_water: u64,
    /// What the program and the kernel may come to use if they touch all they were promised.
    pub committed: u64,
}

/// Frames and the tables made of them.
struct Physics {
    frames: Frames<'static>,
    /// Frames that aren't the program's committed pages: tables, heap, device memory, stack pages.
    taken: u64,
}

// SAFETY: tables are in RAM, which the direct map shows; `Memory` is behind one lock.
unsafe impl TableMemory for Physics {
    fn allocate_table(&mut self) -> Option<u64> {
        let frame = self.frames.allocate()?;
        self.taken += 1;
        // SAFETY: the frame was free, so nothing else looks at it.
        unsafe { clear(DIRECT + frame) };
        Some(frame)
    }

    fn table(&mut self, frame: u64) -> *mut [u64; 512] {
        (DIRECT + frame) as *mut [u64; 512]
    }
}

struct Memory {
    physics: Physics,
    tables: PageTables,
    areas: Areas,
    heap_end: u64,
    tlb: TlbGrowth,
    refused: bool,
}

static MEMORY: Exclusive<Option<Memory>> = Exclusive::new(None);

/// Stack that work on [`MEMORY`] may take, in pages.
const RESERVED_STACK: u64 = 4;

/// Touches the pages of the program's stack that the work ahead may take: while `MEMORY` is in use, their faults couldn't
/// be served. (`soil-sys` calls on that stack; all other stacks are always there.)
#[inline(never)]
fn reserve_stack() {
    let local = core::hint::black_box(0u8);
    let top = (&raw const local) as u64;
    let lowest = PROGRAM.end - STACK_SIZE;
    if !(lowest..PROGRAM.end).contains(&top) {
        return;
    }
    for page in 1..=RESERVED_STACK {
        let address = top.saturating_sub(page * PAGE).max(lowest) as *mut u8;
        // SAFETY: the program's stack, below all that is in use; what is there is written back.
        unsafe { address.write_volatile(address.read_volatile()) };
    }
}

fn with<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    reserve_stack();
    MEMORY.with(|memory| match memory {
        Some(memory) => f(memory),
        None => panic!("memory was used before it was set up"),
    })
}

/// As [`with`], for what changes the areas: gives their list room first, while memory can still be allocated.
fn with_room<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    if let Some(capacity) = with(|memory| memory.areas.wants_capacity()) {
        let storage = Vec::with_capacity(capacity);
        let old = with(|memory| memory.areas.move_to(storage));
        drop(old);
    }
    with(f)
}

/// Zeroes the page at `address`.
///
/// # Safety
/// The page is mapped and writable, and nothing refers to it.
unsafe fn clear(address: u64) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::write_bytes(address as *mut u8, 0, PAGE as usize) };
}

/// Makes the processor forget the translation of one page.
fn flush(address: u64) {
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(address));
}

/// Makes the processor forget all translations. QEMU's software TLB grows only here, see [`TlbGrowth`].
fn flush_all() {
    x86_64::instructions::tlb::flush_all();
}

/// Why the machine can't be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUpError {
    /// No memory map, or nothing usable behind the image.
    NoMemory,
    /// So little that not even the page tables fit.
    TooLittle,
}

impl From<OutOfFrames> for SetUpError {
    fn from(_: OutOfFrames) -> Self {
        Self::TooLittle
    }
}

/// Takes over the machine's memory and switches to the real page tables.
///
/// # Safety
/// Called once, on the boot tables.
pub unsafe fn set_up(info: &StartInfo) -> Result<(), SetUpError> {
    let image = image::all();
    let image_end = image.end.next_multiple_of(PAGE);
    let end = info
        .usable(&BootMemory)
        .map(|region| region.end)
        .max()
        .unwrap_or(0);
    let words = Frames::words_for(end);
    let map_bytes = (words as u64 * 8).next_multiple_of(PAGE);
    let holds = |region: &Region| region.start <= image_end && image_end + map_bytes <= region.end;
    if !info.usable(&BootMemory).any(|region| holds(&region)) || image_end + map_bytes > BOOT_MAPPED
    {
        return Err(SetUpError::NoMemory);
    }
    // SAFETY: usable memory behind the image, which nothing uses yet and the boot tables map.
    let bits = unsafe { core::slice::from_raw_parts_mut((DIRECT + image_end) as *mut u64, words) };
    let mut physics = Physics {
        frames: Frames::new(bits),
        taken: 0,
    };
    // What lies below the image holds the loader's structures; see `release_low`.
    for region in info.usable(&BootMemory) {
        physics.frames.add(
            region.start.max(image_end + map_bytes),
            region.end.min(BOOT_MAPPED),
        );
    }
    let mut tables = PageTables::new(&mut physics)?;
    map_image(&mut tables, &mut physics)?;
    map_direct(&mut tables, &mut physics, info)?;
    // SAFETY: the new tables map the image, its stack and the direct map as the boot tables do.
    unsafe {
        Cr3::write(
            PhysFrame::containing_address(PhysAddr::new_truncate(tables.root())),
            Cr3Flags::empty(),
        );
    }
    for region in info.usable(&BootMemory) {
        physics
            .frames
            .add(region.start.max(BOOT_MAPPED), region.end);
    }
    let memory = Memory {
        physics,
        tables,
        areas: Areas::new(PROGRAM),
        heap_end: HEAP,
        tlb: TlbGrowth::new(),
        refused: false,
    };
    MEMORY.with(|cell| *cell = Some(memory));
    let stack = PROGRAM.end - STACK_SIZE..PROGRAM.end;
    let guard = stack.start - STACK_GUARD..stack.start;
    with_room(|memory| {
        for (range, protection) in [(guard, Protection::default()), (stack, READ_WRITE)] {
            memory.areas.insert(Area {
                range,
                protection,
                committed: false,
            });
        }
    });
    Ok(())
}

fn map_image(tables: &mut PageTables, physics: &mut Physics) -> Result<(), OutOfFrames> {
    let (all, text, data) = (image::all(), image::text(), image::data());
    let guards = crate::stacks::guards();
    for page in (all.start..all.end).step_by(PAGE as usize) {
        let flags = if text.contains(&page) {
            PRESENT
        } else if page >= data.start {
            PRESENT | WRITABLE | NO_EXECUTE
        } else {
            PRESENT | NO_EXECUTE
        };
        if guards.contains(&page) {
            // Below a stack nothing is mapped; the frame has a use elsewhere.
            physics.frames.add(page, page + PAGE);
        } else {
            tables.set(physics, page, page | flags)?;
        }
    }
    Ok(())
}

fn map_direct(
    tables: &mut PageTables,
    physics: &mut Physics,
    info: &StartInfo,
) -> Result<(), OutOfFrames> {
    let image = image::all();
    let flags = PRESENT | WRITABLE | NO_EXECUTE;
    let mut mapped = 0;
    for region in info.usable(&BootMemory) {
        let first = (region.start & !(LARGE_PAGE - 1)).max(mapped);
        for block in (first..region.end).step_by(LARGE_PAGE as usize) {
            mapped = block + LARGE_PAGE;
            if block >= image.end || mapped <= image.start {
                tables.set_large(physics, DIRECT + block, block | flags)?;
                continue;
            }
            let guards = crate::stacks::guards();
            for page in (block..mapped).step_by(PAGE as usize) {
                if !image.contains(&page) || guards.contains(&page) {
                    tables.set(physics, DIRECT + page, page | flags)?;
                }
            }
        }
    }
    Ok(())
}

/// Gives the memory below the image to the allocator, once nothing of the loader's is needed any more. The first page
/// stays out, so that no frame has the address 0.
pub fn release_low(info: &StartInfo) {
    let image_start = image::all().start;
    let low = info
        .usable(&DirectMemory)
        .filter(|region| region.start < image_start);
    // Collected first, for the map itself lies in that memory.
    let mut regions = [Region { start: 0, end: 0 }; 8];
    regions
        .iter_mut()
        .zip(low)
        .for_each(|(kept, region)| *kept = region);
    with(|memory| {
        for region in regions {
            memory
                .physics
                .frames
                .add(region.start.max(PAGE), region.end.min(image_start));
        }
    });
}

/// The direct map, for what the loader left in low memory.
pub struct DirectMemory;

// SAFETY: as for `BootMemory`.
unsafe impl Physical for DirectMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        let known = (address..end)
            .step_by(PAGE as usize)
            .chain(end.checked_sub(1))
            .all(|page| with(|memory| memory.present(DIRECT + page)));
        // SAFETY: mapped, as was just found.
        (address != 0 && known)
            .then(|| unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, len) })
    }
}

/// What became of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The page is there now; run on.
    Mapped,
    /// The access isn't allowed.
    Denied,
    /// It is, but no frame was left.
    OutOfMemory,
}

impl Memory {
    fn present(&mut self, address: u64) -> bool {
        self.tables.get(&mut self.physics, address).0 & PRESENT != 0
    }

    /// Frames that may still be promised. A part is kept back for page tables of pages that aren't touched yet.
    fn uncommitted(&self) -> u64 {
        let total = self.physics.frames.total_count() as u64;
        let tables_to_come = total / 512 + 16;
        total.saturating_sub(tables_to_come + self.physics.taken + self.areas.committed() / PAGE)
    }

    fn can_commit(&mut self, bytes: u64) -> bool {
        let can = bytes / PAGE <= self.uncommitted();
        self.refused |= !can;
        can
    }

    fn fault(&mut self, address: u64, write: bool, fetch: bool) -> Fault {
        let page = address & !(PAGE - 1);
        let Some(area) = self.areas.find(address) else {
            return Fault::Denied;
        };
        let allowed = area.protection;
        if !(if fetch {
            allowed.execute
        } else if write {
            allowed.write
        } else {
            allowed.read
        }) {
            return Fault::Denied;
        }
        let committed = area.committed;
        let area_end = area.range.end;
        if self.present(page) {
            // A stale translation: the entry was opened since the processor cached it.
            flush(page);
            return Fault::Mapped;
        }
        // Runs of touches, as of a heap that grows, are met half-way.
        let pages = if self.sequential(page) { 8 } else { 1 };
        let end = area_end.min(page + pages * PAGE);
        for page in (page..end).step_by(PAGE as usize) {
            if !self.give(page, allowed, committed) {
                return if page == address & !(PAGE - 1) {
                    Fault::OutOfMemory
                } else {
                    Fault::Mapped
                };
            }
        }
        if self.tlb.touched((end - page) / PAGE) {
            flush_all();
        }
        Fault::Mapped
    }

    /// Whether the page before is there, and the one behind isn't.
    fn sequential(&mut self, page: u64) -> bool {
        self.present(page - PAGE) && self.present(page.saturating_sub(2 * PAGE))
    }

    /// Puts a zeroed frame behind `page`; false when there is none.
    fn give(&mut self, page: u64, allowed: Protection, committed: bool) -> bool {
        if self.tables.get(&mut self.physics, page).0 != 0 {
            return true;
        }
        if !committed && self.uncommitted() == 0 {
            return false;
        }
        let Some(frame) = self.physics.frames.allocate() else {
            return false;
        };
        // SAFETY: the frame was free, so nothing else looks at it.
        unsafe { clear(DIRECT + frame) };
        let entry = frame | PRESENT | flags(allowed);
        if self.tables.set(&mut self.physics, page, entry).is_err() {
            self.physics.frames.free(frame);
            return false;
        }
        if !committed {
            self.physics.taken += 1;
        }
        true
    }

    /// Takes the pages of `range` back.
    fn release(&mut self, range: &Range<u64>) {
        let Self {
            physics,
            tables,
            areas,
            ..
        } = self;
        let mut count = 0;
        tables.update(
            physics,
            range.start,
            range.end,
            |physics, address, entry| {
                if entry & BORROWED == 0 {
                    physics.frames.free(frame_of(entry));
                    if areas.find(address).is_some_and(|area| !area.committed) {
                        physics.taken -= 1;
                    }
                }
                if count < FLUSH_EACH {
                    flush(address);
                }
                count += 1;
                0
            },
        );
        if count >= FLUSH_EACH {
            flush_all();
        }
    }

    fn map(&mut self, range: Range<u64>, protection: Protection) -> bool {
        let reused = self.areas.committed_in(&range);
        let len = range.end - range.start;
        if protection.write && !self.can_commit(len.saturating_sub(reused)) {
            return false;
        }
        if !self.areas.is_free(&range) {
            self.release(&range);
            self.areas.remove(&range);
        }
        self.areas.insert(Area {
            range,
            protection,
            committed: protection.write,
        });
        true
    }

    fn protect(&mut self, range: &Range<u64>, protection: Protection) -> Result<(), MapError> {
        let (used, newly_committed) = self.areas.measure(range, protection);
        if used != range.end - range.start || !self.areas.allows(range) {
            return Err(MapError::NotMapped);
        }
        if !self.can_commit(newly_committed) {
            return Err(MapError::OutOfMemory);
        }
        // Pages that were touched read-only become committed ones.
        let mut moved = 0;
        let Self {
            physics,
            tables,
            areas,
            ..
        } = self;
        let open = protection != Protection::default();
        tables.update(physics, range.start, range.end, |_, address, entry| {
            if newly_committed > 0 && areas.find(address).is_some_and(|area| !area.committed) {
                moved += 1;
            }
            let state = if open {
                PRESENT | flags(protection)
            } else {
                KEPT
            };
            frame_of(entry) | state
        });
        self.physics.taken -= moved;
        self.areas.protect(range, protection);
        if range.end - range.start <= FLUSH_EACH * PAGE {
            (range.start..range.end)
                .step_by(PAGE as usize)
                .for_each(flush);
        } else {
            flush_all();
        }
        Ok(())
    }

    /// Moves the pages of `from` to `to`, which is free and as large at least; false, with nothing moved, when no memory is left
    /// for page tables.
    fn move_pages(&mut self, from: &Range<u64>, to: u64) -> bool {
        let pages = (from.start..from.end).step_by(PAGE as usize);
        let mut moved = |page: u64, by: &mut dyn FnMut(&mut Self, u64, u64) -> bool| {
            let (entry, _) = self.tables.get(&mut self.physics, page);
            entry == 0 || by(self, to + (page - from.start), entry)
        };
        // The tables come first, so that the second round can't stop half-way.
        let mut prepare = |memory: &mut Self, target: u64, _| {
            memory.tables.set(&mut memory.physics, target, 0).is_ok()
        };
        if !pages.clone().all(|page| moved(page, &mut prepare)) {
            return false;
        }
        let mut carry_out = |memory: &mut Self, target: u64, entry| {
            memory
                .tables
                .set(&mut memory.physics, target, entry)
                .is_ok()
        };
        pages.clone().for_each(|page| {
            moved(page, &mut carry_out);
        });
        self.tables
            .update(&mut self.physics, from.start, from.end, |_, _, _| 0);
        flush_all();
        true
    }
}

fn flags(protection: Protection) -> u64 {
    let write = if protection.write { WRITABLE } else { 0 };
    let execute = if protection.execute { 0 } else { NO_EXECUTE };
    write | execute
}

/// Why a change of the address space was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The request makes no sense: no length, an address out of bounds or not on a page.
    Invalid,
    /// More than there is memory or address space for.
    OutOfMemory,
    /// The range isn't mapped.
    NotMapped,
}

/// Gives memory to the page that was touched at `address`, if the program may touch it.
pub fn fault(address: u64, write: bool, fetch: bool) -> Fault {
    MEMORY
        .try_with(|memory| {
            memory
                .as_mut()
                .map(|memory| memory.fault(address, write, fetch))
        })
        .flatten()
        .unwrap_or(Fault::Denied)
}

/// Maps `len` bytes, at `fixed` (replacing what is there) or where there is room.
pub fn map(fixed: Option<u64>, len: u64, protection: Protection) -> Result<u64, MapError> {
    let len = whole_pages(len).ok_or(MapError::Invalid)?;
    with_room(|memory| {
        let range = match fixed {
            Some(start) => start..start.checked_add(len).ok_or(MapError::Invalid)?,
            None => memory.areas.gap(len).ok_or(MapError::OutOfMemory)?,
        };
        if range.start % PAGE != 0 || !memory.areas.allows(&range) {
            return Err(MapError::Invalid);
        }
        let start = range.start;
        if memory.map(range, protection) {
            Ok(start)
        } else {
            Err(MapError::OutOfMemory)
        }
    })
}

/// The end of a new stack of `len` bytes with an unmapped page below it. Its pages get their memory when they are touched;
/// it is never taken back.
pub fn stack(len: usize) -> Option<NonNull<u8>> {
    let len = whole_pages(len as u64)?;
    with_room(|memory| {
        let whole = memory.areas.gap(len.checked_add(PAGE)?)?;
        let stack = whole.start + PAGE..whole.end;
        let guard = whole.start..stack.start;
        for (range, protection) in [(guard, Protection::default()), (stack, READ_WRITE)] {
            memory.areas.insert(Area {
                range,
                protection,
                committed: false,
            });
        }
        NonNull::new(whole.end as *mut u8)
    })
}

/// Whether the `len` bytes at `start` could be mapped there without replacing anything.
pub fn is_free(start: u64, len: u64) -> bool {
    start
        .checked_add(len)
        .is_some_and(|end| with(|memory| memory.areas.is_free(&(start..end))))
}

fn range(start: u64, len: u64) -> Result<Range<u64>, MapError> {
    let len = whole_pages(len).ok_or(MapError::Invalid)?;
    let end = start.checked_add(len).ok_or(MapError::Invalid)?;
    if start.is_multiple_of(PAGE) {
        Ok(start..end)
    } else {
        Err(MapError::Invalid)
    }
}

/// Takes `len` bytes at `start` out of the address space; what isn't mapped there is no error.
pub fn unmap(start: u64, len: u64) -> Result<(), MapError> {
    let range = range(start, len)?;
    with_room(|memory| {
        if !memory.areas.allows(&range) {
            return Err(MapError::Invalid);
        }
        memory.release(&range);
        memory.areas.remove(&range);
        Ok(())
    })
}

/// Changes what may be done with `len` bytes at `start`.
pub fn protect(start: u64, len: u64, protection: Protection) -> Result<(), MapError> {
    let range = range(start, len)?;
    // The image's own pages keep the protection they have: RELRO and the like ask for less than W^X gives already.
    if image::all().contains(&start) {
        return Ok(());
    }
    with(|memory| memory.protect(&range, protection))
}

/// Forgets the contents of `len` bytes at `start`: they read as zero when touched again.
pub fn discard(start: u64, len: u64) -> Result<(), MapError> {
    let range = range(start, len)?;
    with_room(|memory| {
        if !memory.areas.allows(&range) {
            return Err(MapError::Invalid);
        }
        memory.release(&range);
        Ok(())
    })
}

/// Changes the length of a mapping; moves its pages (no copy) where it can't grow in place and `may_move`.
pub fn remap(start: u64, old_len: u64, new_len: u64, may_move: bool) -> Result<u64, MapError> {
    let old = range(start, old_len)?;
    let new_len = whole_pages(new_len).ok_or(MapError::Invalid)?;
    let old_len = old.end - old.start;
    if new_len <= old_len {
        if new_len < old_len {
            unmap(start + new_len, old_len - new_len)?;
        }
        return Ok(start);
    }
    with_room(|memory| {
        let area = memory
            .areas
            .find(start)
            .filter(|area| area.range.end >= old.end);
        let Area {
            protection,
            committed,
            ..
        } = area.ok_or(MapError::NotMapped)?.clone();
        if committed && !memory.can_commit(new_len - old_len) {
            return Err(MapError::OutOfMemory);
        }
        let tail = old.end..start.checked_add(new_len).ok_or(MapError::Invalid)?;
        if memory.areas.allows(&tail) && memory.areas.is_free(&tail) {
            memory.areas.insert(Area {
                range: tail,
                protection,
                committed,
            });
            return Ok(start);
        }
        if !may_move {
            return Err(MapError::OutOfMemory);
        }
        let new = memory.areas.gap(new_len).ok_or(MapError::OutOfMemory)?;
        let to = new.start;
        if !memory.move_pages(&old, to) {
            return Err(MapError::OutOfMemory);
        }
        memory.areas.remove(&old);
        memory.areas.insert(Area {
            range: new,
            protection,
            committed,
        });
        Ok(to)
    })
}

/// How much memory there is and what became of it.
pub fn statistics() -> Statistics {
    with(|memory| {
        let total = memory.physics.frames.total_count() as u64 * PAGE;
        let free = memory.physics.frames.free_count() as u64 * PAGE;
        let committed = memory.areas.committed() + memory.physics.taken * PAGE;
        let high_water = total - memory.physics.frames.lowest_free_count() as u64 * PAGE;
        Statistics {
            total,
            free,
            in_use: total - free,
            high_water,
            committed,
        }
    })
}

/// Whether a request for memory was ever refused.
pub fn was_refused() -> bool {
    with(|memory| memory.refused)
}

/// Adds `len` bytes (whole pages) to the kernel's heap and returns where they are, behind those of the last call.
pub fn grow_heap(len: usize) -> Option<*mut [u8]> {
    with(|memory| {
        if !memory.can_commit(len as u64) {
            return None;
        }
        let start = memory.heap_end;
        for page in (start..start + len as u64).step_by(PAGE as usize) {
            if !memory.give(page, READ_WRITE, false) {
                // The pages that were given stay mapped and are used by the next, smaller growth.
                return None;
            }
        }
        memory.heap_end += len as u64;
        Some(core::ptr::slice_from_raw_parts_mut(start as *mut u8, len))
    })
}

/// `len` zeroed bytes, contiguous, at a physical address that is a multiple of `align`: (physical, virtual).
pub fn allocate_contiguous(len: usize, align: usize) -> Option<(u64, *mut u8)> {
    let len = whole_pages(len as u64)?;
    with(|memory| {
        if !memory.can_commit(len) {
            return None;
        }
        let first = memory
            .physics
            .frames
            .allocate_run((len / PAGE) as usize, align as u64)?;
        memory.physics.taken += len / PAGE;
        for page in (first..first + len).step_by(PAGE as usize) {
            // SAFETY: these frames were free.
            unsafe { clear(DIRECT + page) };
        }
        Some((first, (DIRECT + first) as *mut u8))
    })
}

/// Takes back what [`allocate_contiguous`] gave.
///
/// # Safety
/// `physical` and `len` are of one call, and neither the processor nor a device uses the memory.
pub unsafe fn free_contiguous(physical: u64, len: usize) {
    let Some(len) = whole_pages(len as u64) else {
        return;
    };
    with(|memory| {
        for page in (physical..physical + len).step_by(PAGE as usize) {
            memory.physics.frames.free(page);
            memory.physics.taken -= 1;
        }
    });
}

/// Calls `visit` with the physical ranges behind the `len` bytes at `start`, in order, neighbours joined, until it returns
/// false; touches pages that weren't yet. False where some of it isn't readable memory: `visit` may have been called by then.
pub fn segments(
    start: u64,
    len: usize,
    write: bool,
    visit: &mut dyn FnMut(u64, usize) -> bool,
) -> bool {
    let Some(end) = start.checked_add(len as u64) else {
        return false;
    };
    let mut joined: Option<(u64, usize)> = None;
    let mut address = start;
    while address < end {
        let Some((physical, size)) = translate(address, write) else {
            return false;
        };
        let piece = (size - address % size).min(end - address);
        address += piece;
        joined = match joined {
            Some((first, len)) if first + len as u64 == physical => {
                Some((first, len + piece as usize))
            }
            Some((first, len)) => {
                if !visit(first, len) {
                    return true;
                }
                Some((physical, piece as usize))
            }
            None => Some((physical, piece as usize)),
        };
    }
    if let Some((first, len)) = joined {
        visit(first, len);
    }
    true
}

/// The physical address of `address` and the size of its page.
fn translate(address: u64, write: bool) -> Option<(u64, u64)> {
    with(|memory| {
        let (entry, _) = memory.tables.get(&mut memory.physics, address);
        if entry & PRESENT == 0 && memory.fault(address, write, false) != Fault::Mapped
            || entry & PRESENT != 0 && write && entry & WRITABLE == 0
        {
            return None;
        }
        let (entry, size) = memory.tables.get(&mut memory.physics, address);
        Some(((frame_of(entry) & !(size - 1)) + address % size, size))
    })
}

/// Whether some of the `len` bytes at `physical` are memory that the machine gave as usable.
pub fn is_ram(physical: u64, len: usize) -> bool {
    let end = physical.saturating_add(len as u64);
    let pages = (physical & !(PAGE - 1)..end).step_by(PAGE as usize);
    with(|memory| {
        pages.into_iter().any(|page| {
            DIRECT
                .checked_add(page)
                .is_none_or(|page| memory.present(page))
        })
    })
}

/// Maps device registers (or firmware tables) at a physical address; `None` when no memory is left for the tables.
pub fn map_device(physical: u64, len: usize) -> Option<*mut u8> {
    let end = physical
        .checked_add(len as u64)
        .filter(|end| *end < 1 << 44)?;
    with(|memory| {
        for page in (physical & !(PAGE - 1)..end).step_by(PAGE as usize) {
            let entry = page | PRESENT | WRITABLE | UNCACHED | NO_EXECUTE | BORROWED;
            memory
                .tables
                .set(&mut memory.physics, DEVICES + page, entry)
                .ok()?;
        }
        Some((DEVICES + physical) as *mut u8)
    })
}

/// What an address that faulted belongs to, in words for the crash report.
pub fn describe(address: u64, write: bool, fetch: bool) -> &'static str {
    let image = image::all();
    if address < PAGE {
        "null page: a null pointer was used"
    } else if address < image.start {
        "near the null page: a field or element of a null pointer was used"
    } else if crate::stacks::guards().contains(&(address & !(PAGE - 1))) {
        "guard page of a kernel stack: stack overflow"
    } else if is_stack_guard(address) {
        "guard page: stack overflow (in C or Rust; OCaml's own stacks are checked)"
    } else if write && image::text().contains(&address) {
        "write to code"
    } else if write && image.contains(&address) {
        "write to read-only data"
    } else if fetch {
        "execution of what isn't code"
    } else if PROGRAM.contains(&address) {
        "memory that isn't mapped, or not for this access (freed?)"
    } else {
        "an address where nothing can be"
    }
}

/// Whether `address` is closed and a stack, which alone is writable without being committed, lies above.
fn is_stack_guard(address: u64) -> bool {
    let find = |memory: &mut Option<Memory>| {
        let areas = &memory.as_ref()?.areas;
        let guard = areas
            .find(address)
            .filter(|area| area.protection == Protection::default())?;
        let above = areas.find(guard.range.end)?;
        Some(above.protection.write && !above.committed)
    };
    MEMORY.try_with(find).flatten().unwrap_or(false)
}

/// Whether `address` can be read without a fault that ends the program; for traces of a broken stack.
pub fn is_readable(address: u64) -> bool {
    MEMORY
        .try_with(|memory| {
            memory.as_mut().is_some_and(|memory| {
                memory.present(address) && (!(DEVICES..DEVICES + (1 << 44)).contains(&address))
            })
        })
        .unwrap_or(false)
}

/// The protection bits of `mmap` and `mprotect`.
pub fn protection(bits: u64) -> Protection {
    Protection {
        read: bits & 7 != 0,
        write: bits & 2 != 0,
        execute: bits & 4 != 0,
    }
}
