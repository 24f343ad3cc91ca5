//! The one address space: page tables and the frames behind them, allocated on first touch.

use super::clear::{Own, clear_pages};
use super::frames::Frames;
use super::layout::{DIRECT, image, stack};
use super::reserve::{Reserve, heap_free, is_collecting, request_collection};
use super::tables::{PageTables, TableMemory};
use super::tlb;
use super::vma::{Protection, Vmas};
use super::windows::Windows;
use crate::arch::mmu::{flush, flush_all, flush_range};
use crate::arch::paging::{
    Kind, PAGE, RECORDS_WRITES, close, frame_of, is_borrowed, is_present, page as entry_of,
    publish, set_written,
};
use crate::arch::{cpu, interrupts};
use crate::cell::{Before, ExclusiveCell, Guard, rank};
use crate::smp;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

pub(super) const READ_WRITE: Protection = Protection {
    read: true,
    write: true,
    execute: false,
};

/// The amounts of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The machine's memory, without the image and the firmware's.
    pub total: u64,
    /// Unused frames.
    pub free: u64,
    /// Of them, what nobody was promised: neither the program, by a mapping that it hasn't touched,
    /// nor connections.
    pub available: u64,
    /// `total - free`: touched pages, kernel heap, page tables, device memory.
    pub in_use: u64,
    /// The maximum in use so far.
    pub high_water: u64,
    /// In use if the program and the kernel touch all their promised memory.
    pub committed: u64,
}

/// The frames of the machine, and the number taken.
pub(super) struct PhysicalMemory {
    pub(super) frames: Frames<'static>,
    /// Frames other than the program's committed pages: tables, heap, device memory, stack pages.
    pub(super) taken: u64,
}

// SAFETY: tables are in RAM, which the direct map contains; `Memory` is in one cell.
unsafe impl TableMemory for PhysicalMemory {
    fn allocate_table(&mut self) -> Option<u64> {
        let frame = self.frames.allocate()?;
        self.taken += 1;
        // SAFETY: the frame was free, so nothing else refers to it.
        unsafe { clear(DIRECT + frame) };
        Some(frame)
    }

    fn table(&mut self, frame: u64) -> *mut [u64; 512] {
        (DIRECT + frame) as *mut [u64; 512]
    }
}

/// The state of the address space.
pub(super) struct Memory {
    pub(super) physical: PhysicalMemory,
    pub(super) tables: PageTables,
    pub(super) vmas: Vmas,
    pub(super) heap_end: u64,
    pub(super) reserve: Reserve,
    pub(super) windows: Windows,
}

/// Whether a request for memory was ever refused. Outside [`MEMORY`], for a crash report that
/// occurs while that is in use.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Used by system calls, page faults and the runtime, with interrupts disabled, since another
/// thread may fault. A page fault of the processor that uses it is denied: the code that works on
/// memory touches only present pages.
pub(super) static MEMORY: ExclusiveCell<Option<Memory>, rank::Memory> = ExclusiveCell::new(None);

/// Closes the pages of `range` to all processors.
fn close_pages(memory: &mut Memory, range: &Range<u64>) {
    let Memory {
        physical, tables, ..
    } = memory;
    let mut present = range.end..range.start;
    let close = |_: &mut _, address: u64, entry| {
        if is_present(entry) {
            present = present.start.min(address)..present.end.max(address + PAGE);
        }
        close(entry)
    };
    tables.update(physical, range.start, range.end, close);
    if present.start < present.end {
        flush_range(present.clone());
        smp::flush(present);
    }
}

/// Stack that work on [`MEMORY`] may use, in pages.
const RESERVED_STACK: u64 = 4;

/// Touches the pages of the program's stack that the following work may use: while `MEMORY` is in
/// use, their faults couldn't be handled. (`resources` calls on that stack; all other stacks are
/// always present.)
#[inline(never)]
fn reserve_stack() {
    let local = core::hint::black_box(0u8);
    let top = (&raw const local) as u64;
    let stack = stack();
    if !stack.contains(&top) {
        return;
    }
    for page in 1..=RESERVED_STACK {
        let address = top.saturating_sub(page * PAGE).max(stack.start) as *mut u8;
        #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
        // SAFETY: the program's stack, below all that is in use; the value is written back.
        unsafe {
            address.write_volatile(address.read_volatile());
        }
    }
}

/// Runs `f` on the address space.
pub(super) fn with<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    let (mut memory, enabled) = begin();
    let result = match &mut *memory {
        Some(memory) => f(memory),
        None => not_set_up(),
    };
    end(memory, enabled);
    result
}

/// Begins work on [`MEMORY`]; returns also whether interrupts were enabled. Outlined from
/// [`with`], which is monomorphized for each use.
#[inline(never)]
fn begin() -> (Guard<'static, Option<Memory>, rank::Memory>, bool) {
    let enabled = interrupts::are_enabled();
    interrupts::disable();
    reserve_stack();
    (MEMORY.lock(), enabled)
}

/// See [`begin`].
#[inline(never)]
fn end(memory: Guard<'static, Option<Memory>, rank::Memory>, enabled: bool) {
    drop(memory);
    if enabled {
        interrupts::enable();
    }
}

#[cold]
#[inline(never)]
fn not_set_up() -> ! {
    panic!("memory was used before it was set up")
}

/// As [`with`], for changes of the VMAs: first grows their list, while memory can still be
/// allocated.
pub(super) fn with_room<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    make_room();
    with(f)
}

#[inline(never)]
fn make_room() {
    if let Some(capacity) = with(|memory| memory.vmas.wants_capacity()) {
        let storage = Vec::with_capacity(capacity);
        let old = with(|memory| memory.vmas.move_to(storage));
        drop(old);
    }
}

/// Zeroes the page at `address`.
///
/// # Safety
/// The page is mapped and writable, and nothing refers to it.
pub(super) unsafe fn clear(address: u64) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::write_bytes(address as *mut u8, 0, PAGE as usize) };
}

/// Grows QEMU's software TLB for `pages` in advance, for a caller that will use that many
/// repeatedly; see `tlb.rs`. A millisecond for 4096 of them. Does nothing on hardware.
pub fn grow_tlb(pages: u64) {
    if !cpu::is_emulated() {
        return;
    }
    with(|memory| {
        for touched in tlb::own().grow_to(pages) {
            let first = DIRECT + image::physical().end.next_multiple_of(PAGE);
            for page in (first..first + touched * PAGE).step_by(PAGE as usize) {
                if !memory.present(page) {
                    break;
                }
                #[expect(clippy::disallowed_methods, reason = "memory, not registers")]
                // SAFETY: the direct map contains the page; any value is valid.
                unsafe {
                    (page as *const u8).read_volatile();
                }
            }
            flush_all();
        }
    });
}

/// The outcome of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The page is present now; resume.
    Mapped,
    /// The access isn't allowed.
    Denied,
    /// The access is allowed, but no frame was left.
    OutOfMemory,
}

impl Memory {
    /// Whether a page is mapped at `address`.
    pub(super) fn present(&mut self, address: u64) -> bool {
        is_present(self.tables.get(&mut self.physical, address).0)
    }

    /// Frames that may still be promised. Some are reserved for page tables of untouched pages.
    fn uncommitted(&self) -> u64 {
        let total = self.physical.frames.total_count() as u64;
        let tables_to_come = total / 512 + 16;
        total.saturating_sub(tables_to_come + self.physical.taken + self.vmas.committed() / PAGE)
    }

    /// Whether the program may be promised `bytes` more, outside the reserve.
    pub(super) fn can_commit(&mut self, bytes: u64) -> bool {
        let available = self.uncommitted() * PAGE;
        let can = bytes == 0 || self.reserve.leaves(available, bytes, is_collecting());
        if !can {
            REFUSED.store(true, Ordering::Relaxed);
            request_collection();
        }
        self.check_fullness(available.saturating_sub(bytes));
        can
    }

    /// Records and returns whether a program with so much `available` is nearly full; when it
    /// becomes so, requests a collection.
    fn check_fullness(&mut self, available: u64) -> bool {
        let was = NEARLY_FULL.load(Ordering::Relaxed);
        let is = self.reserve.is_nearly_full(available, was);
        if is != was {
            NEARLY_FULL.store(is, Ordering::Relaxed);
        }
        if is && !was {
            request_collection();
        }
        is
    }

    /// Records and returns whether memory is short.
    fn check_shortness(&mut self) -> bool {
        let uncommitted = self.uncommitted() * PAGE;
        self.check_fullness(uncommitted);
        let short = self.reserve.is_short(uncommitted + heap_free() as u64);
        SHORT.store(short, Ordering::Relaxed);
        short
    }

    /// Allocates the page that was touched at `address`, if the program may touch it.
    pub(super) fn fault(&mut self, address: u64, write: bool, fetch: bool) -> Fault {
        let page = address & !(PAGE - 1);
        let Some(vma) = self.vmas.find(address) else {
            return Fault::Denied;
        };
        let allowed = vma.protection;
        if !allowed.allows(write, fetch) {
            return Fault::Denied;
        }
        let committed = vma.committed;
        let vma_end = vma.range.end;
        if self.present(page) {
            // A stale translation: the entry was made accessible since the processor cached it.
            if !RECORDS_WRITES && write {
                // Or the first write since `take_written`.
                let set = |_: &mut _, _, entry| set_written(entry);
                self.tables
                    .update(&mut self.physical, page, page + PAGE, set);
            }
            flush(page);
            return Fault::Mapped;
        }
        // Sequential touches, as of a heap that grows, get several pages at once.
        let pages = if self.sequential(page) { 8 } else { 1 };
        let end = vma_end.min(page + pages * PAGE);
        for page in (page..end).step_by(PAGE as usize) {
            if !self.map_zeroed(page, allowed, committed) {
                return if page == address & !(PAGE - 1) {
                    Fault::OutOfMemory
                } else {
                    Fault::Mapped
                };
            }
        }
        publish();
        if tlb::own().touched((end - page) / PAGE) {
            flush_all();
        }
        Fault::Mapped
    }

    /// Whether the previous page is present, and the next isn't.
    fn sequential(&mut self, page: u64) -> bool {
        self.present(page - PAGE) && self.present(page.saturating_sub(2 * PAGE))
    }

    /// Maps a zeroed frame at `page`; false when there is none.
    pub(super) fn map_zeroed(&mut self, page: u64, allowed: Protection, committed: bool) -> bool {
        if self.tables.get(&mut self.physical, page).0 != 0 {
            return true;
        }
        if !committed && self.uncommitted() == 0 {
            return false;
        }
        let Some(frame) = self.physical.frames.allocate() else {
            return false;
        };
        // SAFETY: the frame was free, so nothing else refers to it.
        unsafe { clear(DIRECT + frame) };
        let entry = entry_of(frame, kind(allowed));
        if self.tables.set(&mut self.physical, page, entry).is_err() {
            self.physical.frames.free(frame);
            return false;
        }
        if !committed {
            self.physical.taken += 1;
        }
        true
    }

    /// Frees the pages of `range`.
    pub(super) fn release(&mut self, range: &Range<u64>) {
        let mut cached = Own::Cached;
        if smp::is_smp() {
            // No processor may use a page whose frame is free.
            close_pages(self, range);
            cached = Own::Forgotten;
        }
        let Self {
            physical,
            tables,
            vmas,
            ..
        } = self;
        clear_pages(
            tables,
            physical,
            range,
            &mut cached,
            |physical, address, entry| {
                if !is_borrowed(entry) {
                    physical.frames.free(frame_of(entry));
                    if vmas.find(address).is_some_and(|vma| !vma.committed) {
                        physical.taken -= 1;
                    }
                }
            },
        );
    }
}

/// The use of a page with `protection`.
pub(super) fn kind(protection: Protection) -> Kind {
    match protection {
        Protection { write: true, .. } => Kind::Data,
        Protection { execute: true, .. } => Kind::Code,
        _ => Kind::Constant,
    }
}

/// Allocates the page that was touched at `address`, if the program may touch it.
pub fn fault(address: u64, write: bool, fetch: bool) -> Fault {
    MEMORY
        .with_unless_own(|memory| {
            memory
                .as_mut()
                .map(|memory| memory.fault(address, write, fetch))
        })
        .flatten()
        .unwrap_or(Fault::Denied)
}

/// The amounts of memory.
pub fn statistics() -> Statistics {
    with(|memory| {
        let total = memory.physical.frames.total_count() as u64 * PAGE;
        let free = memory.physical.frames.free_count() as u64 * PAGE;
        let committed = memory.vmas.committed() + memory.physical.taken * PAGE;
        let high_water = total - memory.physical.frames.lowest_free_count() as u64 * PAGE;
        let uncommitted = memory.uncommitted() * PAGE;
        let available = uncommitted.saturating_sub(memory.reserve.promised);
        Statistics {
            total,
            free,
            available: available.min(free),
            in_use: total - free,
            high_water,
            committed,
        }
    })
}

/// Memory was short at the last check.
static SHORT: AtomicBool = AtomicBool::new(false);

/// Whether memory is short: only the reserve is left, so everything that can be refused is to be
/// refused. Costs nothing while there is enough.
pub fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed) && with(|memory| memory.check_shortness())
}

/// The program was nearly full at the last check.
static NEARLY_FULL: AtomicBool = AtomicBool::new(false);

/// Whether the program is nearly full: it is about to be refused memory, so what brings it more
/// to do should wait. Costs nothing while there is enough.
pub fn is_nearly_full() -> bool {
    NEARLY_FULL.load(Ordering::Relaxed)
        && with(|memory| {
            let available = memory.uncommitted() * PAGE;
            memory.check_fullness(available)
        })
}

/// Sets the number of bytes of the kernel's heap promised to connections, which may allocate them
/// later.
pub fn set_promised(bytes: u64) {
    with(|memory| {
        memory.reserve.promised = bytes;
        memory.check_shortness();
    });
}

/// Whether a request for memory was ever refused.
pub fn was_refused() -> bool {
    REFUSED.load(Ordering::Relaxed)
}

/// Adds `len` bytes (whole pages) to the kernel's heap and returns them; they follow those of the
/// last call.
pub fn grow_heap<T, R: Before<rank::Memory>>(
    _heap: &Guard<'_, T, R>,
    len: usize,
) -> Option<*mut [u8]> {
    with(|memory| {
        if len as u64 / PAGE > memory.uncommitted() {
            REFUSED.store(true, Ordering::Relaxed);
            return None;
        }
        let start = memory.heap_end;
        for page in (start..start + len as u64).step_by(PAGE as usize) {
            if !memory.map_zeroed(page, READ_WRITE, false) {
                // The allocated pages stay mapped for the next, smaller growth.
                return None;
            }
        }
        publish();
        memory.heap_end += len as u64;
        memory.check_shortness();
        Some(core::ptr::slice_from_raw_parts_mut(start as *mut u8, len))
    })
}
