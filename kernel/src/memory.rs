//! Memory of the machine: frames, page tables, the program's address space, and what devices share.
//!
//! Addresses (one address space, everything in ring 0):
//!
//! | from | what |
//! |---|---|
//! | 0 | nothing, up to the image: a null pointer faults |
//! | 1 MiB | the image, at its physical address; W^X by the page |
//! | [`PROGRAM`] | what the program maps, given memory on first touch, from a random place in the first quarter on; its stack at a random place in the last |
//! | [`DIRECT`] | all RAM at `DIRECT + physical`, not executable, without the image |
//! | `HEAP` | the kernel's heap, from a random place on |
//! | `DEVICES` | device registers at `DEVICES + physical`, uncached, mapped on demand |

mod describe;
mod device;
mod mapping;
mod start;

pub use describe::{describe, is_readable, permits};
pub use device::{allocate_contiguous, free_contiguous, is_ram, map_device, segments};
pub use mapping::{MapError, discard, is_free, map, protect, protection, remap, stack, unmap};
pub use start::{BootMemory, DirectMemory, SetUpError, release_low, set_up};

use crate::areas::{Areas, Protection};
use crate::cell::Exclusive;
use crate::frames::{Frames, PAGE};
use crate::paging::{BORROWED, NO_EXECUTE, PRESENT, PageTables, TableMemory, WRITABLE, frame_of};
use crate::reserve::Reserve;
use crate::tlb::TlbGrowth;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where all RAM is mapped.
pub const DIRECT: u64 = 0xffff_8000_0000_0000;
/// Where the kernel's heap grows from.
const HEAP: u64 = 0xffff_9000_0000_0000;
/// Where device registers are mapped.
const DEVICES: u64 = 0xffff_a000_0000_0000;
/// The program's part of the address space.
pub const PROGRAM: Range<u64> = 0x40_0000_0000..0x80_0000_0000;
/// The size of the program's stack for C, as `ulimit -s` has it. OCaml's own stacks are in its
/// heap.
pub const STACK_SIZE: u64 = 8 << 20;
/// Where the program's stack ends: [`start`] chooses.
static STACK_END: AtomicU64 = AtomicU64::new(PROGRAM.end);

/// One past the last byte of the program's stack for C.
pub fn stack_end() -> u64 {
    STACK_END.load(Ordering::Relaxed)
}

/// Address space below the stack that is never mapped; as large as Linux has it, against large
/// frames.
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
    reserve: Reserve,
}

/// Whether a request for memory was ever refused. Beside the lock, for the report of a crash that
/// came while it was held.
static REFUSED: AtomicBool = AtomicBool::new(false);

static MEMORY: Exclusive<Option<Memory>> = Exclusive::new(None);

/// Stack that work on [`MEMORY`] may take, in pages.
const RESERVED_STACK: u64 = 4;

/// Touches the pages of the program's stack that the work ahead may take: while `MEMORY` is in use,
/// their faults couldn't be served. (`soil-sys` calls on that stack; all other stacks are always
/// there.)
#[inline(never)]
fn reserve_stack() {
    let local = core::hint::black_box(0u8);
    let top = (&raw const local) as u64;
    let lowest = stack_end() - STACK_SIZE;
    if !(lowest..stack_end()).contains(&top) {
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
        None => not_set_up(),
    })
}

#[cold]
#[inline(never)]
fn not_set_up() -> ! {
    panic!("memory was used before it was set up")
}

/// As [`with`], for what changes the areas: gives their list room first, while memory can still be
/// allocated.
fn with_room<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    make_room();
    with(f)
}

#[inline(never)]
fn make_room() {
    if let Some(capacity) = with(|memory| memory.areas.wants_capacity()) {
        let storage = Vec::with_capacity(capacity);
        let old = with(|memory| memory.areas.move_to(storage));
        drop(old);
    }
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

/// Makes the processor forget all translations. QEMU's software TLB grows only here, see
/// [`TlbGrowth`].
fn flush_all() {
    x86_64::instructions::tlb::flush_all();
}

/// Gives QEMU's software TLB room for `pages` ahead, for who will use so many again and again; see
/// [`TlbGrowth`]. A millisecond for 4096 of them. Does nothing on hardware.
pub fn widen_tlb(pages: u64) {
    if !crate::machine::is_emulated() {
        return;
    }
    with(|memory| {
        for touched in memory.tlb.grow_to(pages) {
            let first = DIRECT + image::all().end.next_multiple_of(PAGE);
            for page in (first..first + touched * PAGE).step_by(PAGE as usize) {
                if !memory.present(page) {
                    break;
                }
                // SAFETY: the direct map shows the page; what is there doesn't matter.
                unsafe { (page as *const u8).read_volatile() };
            }
            flush_all();
        }
    });
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

    /// Frames that may still be promised. A part is kept back for page tables of pages that aren't
    /// touched yet.
    fn uncommitted(&self) -> u64 {
        let total = self.physics.frames.total_count() as u64;
        let tables_to_come = total / 512 + 16;
        total.saturating_sub(tables_to_come + self.physics.taken + self.areas.committed() / PAGE)
    }

    /// Whether the program may be promised `bytes` more: the reserve isn't for it.
    fn can_commit(&mut self, bytes: u64) -> bool {
        let can = bytes == 0 || self.reserve.leaves(self.uncommitted() * PAGE, bytes);
        if !can {
            REFUSED.store(true, Ordering::Relaxed);
        }
        can
    }

    fn look_for_shortness(&mut self) -> bool {
        let available = self.uncommitted() * PAGE + crate::heap::free() as u64;
        let short = self.reserve.is_short(available);
        SHORT.store(short, Ordering::Relaxed);
        short
    }

    fn fault(&mut self, address: u64, write: bool, fetch: bool) -> Fault {
        let page = address & !(PAGE - 1);
        let Some(area) = self.areas.find(address) else {
            return Fault::Denied;
        };
        let allowed = area.protection;
        if !allowed.allows(write, fetch) {
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
}

fn flags(protection: Protection) -> u64 {
    let write = if protection.write { WRITABLE } else { 0 };
    let execute = if protection.execute { 0 } else { NO_EXECUTE };
    write | execute
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

/// Memory was short when it was looked at last.
static SHORT: AtomicBool = AtomicBool::new(false);

/// Whether what the kernel's heap has left is kept for what can't do without: what can is to refuse
/// work meanwhile. Costs nothing while there is enough.
pub fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed) && with(|memory| memory.look_for_shortness())
}

/// Says how much of the kernel's heap was promised to what may take it later, in bytes.
pub fn set_promised(bytes: u64) {
    with(|memory| {
        memory.reserve.promised = bytes;
        memory.look_for_shortness();
    });
}

/// Whether a request for memory was ever refused.
pub fn was_refused() -> bool {
    REFUSED.load(Ordering::Relaxed)
}

/// Adds `len` bytes (whole pages) to the kernel's heap and returns where they are, behind those of
/// the last call.
pub fn grow_heap(len: usize) -> Option<*mut [u8]> {
    with(|memory| {
        if len as u64 / PAGE > memory.uncommitted() {
            REFUSED.store(true, Ordering::Relaxed);
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
        memory.look_for_shortness();
        Some(core::ptr::slice_from_raw_parts_mut(start as *mut u8, len))
    })
}
