//! Taking over the machine's memory from the loader.

use super::aslr::{self, Noise};
use super::frames::Frames;
use super::layout::{
    DIRECT, HEAP, LARGE_PAGE, PROGRAM, STACK_GUARD, STACK_SIZE, image, set_stack, stack,
};
use super::physical::BootMemory;
use super::reserve::Reserve;
use super::space::{MEMORY, Memory, PhysicalMemory, READ_WRITE, with, with_room};
use super::tables::{OutOfFrames, PageTables};
use super::vma::{Protection, Vma, Vmas};
use super::windows::Windows;
use crate::arch::paging::{Kind, PAGE, large_page, page as entry_of};
use crate::arch::start::{boot_mapped, image_physical};
use crate::arch::{mmu, stacks};
use core::sync::atomic::{AtomicU64, Ordering};
use firmware::memory::{MemoryMap, Physical, Region};

/// Bytes of the page behind the map of frames that is never cleared: the loader writes the image
/// before it, and firmware begins at the end of memory.
pub const KEPT: usize = PAGE as usize;
/// Its address in the direct map; 0 before [`set_up`], and after [`release_kept`].
static KEPT_AT: AtomicU64 = AtomicU64::new(0);

/// The page of [`KEPT`] bytes that keeps what it has over a reset of the machine; null without one.
pub fn kept() -> *mut [u64; KEPT / 8] {
    KEPT_AT.load(Ordering::Relaxed) as *mut [u64; KEPT / 8]
}

/// Gives that page to the allocator, in a program that keeps nothing.
pub fn release_kept() {
    let start = KEPT_AT.swap(0, Ordering::Relaxed);
    if let Some(start) = start.checked_sub(DIRECT) {
        with(|memory| memory.physical.frames.add(start, start + KEPT as u64));
    }
}

/// The initrd's physical address and its length, 0 without one. Written once, by [`set_up`].
static INITRD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// The loader's initrd, which stays where it is; `None` if there is none in usable memory.
pub fn initrd() -> Option<&'static [u8]> {
    let [start, len] = INITRD.each_ref().map(|word| word.load(Ordering::Relaxed));
    DirectMemory::get(start, len as usize)
}

/// Why the machine can't be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// No memory map, or no usable memory after the image.
    NoMemory,
    /// Not enough for the page tables.
    TooLittle,
}

impl From<OutOfFrames> for SetupError {
    fn from(_: OutOfFrames) -> Self {
        Self::TooLittle
    }
}

/// Takes over the machine's memory, but for the initrd, and switches to the real page tables.
/// `noise` is for a processor without random numbers.
///
/// # Safety
/// Called once, on the boot tables; `map` and `initrd` are the loader's.
pub unsafe fn set_up(map: &impl MemoryMap, initrd: Region, noise: Noise) -> Result<(), SetupError> {
    let image = image::physical();
    let mapped = boot_mapped();
    let image_end = image.end.next_multiple_of(PAGE);
    let end = map
        .usable(&BootMemory)
        .map(|region| region.end)
        .max()
        .unwrap_or(0);
    let words = Frames::words_for(end);
    let map_bytes = (words as u64 * 8).next_multiple_of(PAGE);
    let kept = image_end + map_bytes;
    let free = kept + KEPT as u64;
    let holds = |region: &Region| region.start <= image_end && free <= region.end;
    if !map.usable(&BootMemory).any(|region| holds(&region)) || free > mapped.end {
        return Err(SetupError::NoMemory);
    }
    KEPT_AT.store(DIRECT + kept, Ordering::Relaxed);
    // SAFETY: usable memory after the image, which nothing uses yet and the boot tables map.
    let bits = unsafe { core::slice::from_raw_parts_mut((DIRECT + image_end) as *mut u64, words) };
    let mut physical = PhysicalMemory {
        frames: Frames::new(bits),
        taken: 0,
    };
    if initrd.start < free && initrd.end > image_end {
        return Err(SetupError::TooLittle);
    }
    physical.frames.keep(initrd.start, initrd.end);
    INITRD[0].store(initrd.start, Ordering::Relaxed);
    INITRD[1].store(initrd.end - initrd.start, Ordering::Relaxed);
    // The memory below the image holds the loader's structures; see `release_low`.
    for region in map.usable(&BootMemory) {
        physical
            .frames
            .add(region.start.max(free), region.end.min(mapped.end));
    }
    let mut tables = PageTables::new(&mut physical)?;
    map_image(&mut tables, &mut physical)?;
    map_direct(&mut tables, &mut physical, map)?;
    // SAFETY: the new tables map the image, its stack and the direct map as the boot tables do.
    unsafe {
        mmu::activate(tables.root());
    }
    for region in map.usable(&BootMemory) {
        physical
            .frames
            .add(region.start.max(mapped.end), region.end);
    }
    let [mappings, stack_number, heap] = aslr::numbers(noise);
    let reserve = Reserve::new(physical.frames.total_count() as u64 * PAGE);
    let memory = Memory {
        reserve,
        physical,
        tables,
        vmas: Vmas::new(PROGRAM, PROGRAM.start + aslr::distance(mappings)),
        heap_end: HEAP + aslr::distance(heap),
        windows: Windows::new(),
    };
    MEMORY.with(|cell| *cell = Some(memory));
    let stack_end = PROGRAM.end - aslr::distance(stack_number);
    set_stack(stack_end - STACK_SIZE..stack_end);
    let stack = stack();
    let guard = stack.start - STACK_GUARD..stack.start;
    with_room(|memory| {
        for (range, protection) in [(guard, Protection::default()), (stack, READ_WRITE)] {
            memory.vmas.insert(Vma {
                range,
                protection,
                committed: false,
            });
        }
    });
    Ok(())
}

fn map_image(tables: &mut PageTables, physical: &mut PhysicalMemory) -> Result<(), OutOfFrames> {
    let (all, text, data) = (image::all(), image::text(), image::data());
    let guards = stacks::guards();
    for page in (all.start..all.end).step_by(PAGE as usize) {
        let frame = image_physical(page);
        let kind = if text.contains(&page) {
            Kind::Code
        } else if page >= data.start {
            Kind::Data
        } else {
            Kind::Constant
        };
        if guards.contains(&page) {
            // Nothing is mapped below a stack; the frame is used elsewhere.
            physical.frames.add(frame, frame + PAGE);
        } else {
            tables.set(physical, page, entry_of(frame, kind))?;
        }
    }
    Ok(())
}

fn map_direct(
    tables: &mut PageTables,
    physical: &mut PhysicalMemory,
    map: &impl MemoryMap,
) -> Result<(), OutOfFrames> {
    let image = image::physical();
    let guards = stacks::guards().map(image_physical);
    let mut mapped = 0;
    for region in map.usable(&BootMemory) {
        let first = (region.start & !(LARGE_PAGE - 1)).max(mapped);
        for block in (first..region.end).step_by(LARGE_PAGE as usize) {
            mapped = block + LARGE_PAGE;
            if block >= image.end || mapped <= image.start {
                tables.set_large(physical, DIRECT + block, large_page(block, Kind::Data))?;
                continue;
            }
            for page in (block..mapped).step_by(PAGE as usize) {
                if !image.contains(&page) || guards.contains(&page) {
                    tables.set(physical, DIRECT + page, entry_of(page, Kind::Data))?;
                }
            }
        }
    }
    Ok(())
}

/// The physical address of the page plus 1 that other processors may start in; 0 for none. Written
/// once, by [`release_low`].
static START_PAGE: AtomicU64 = AtomicU64::new(0);

/// The physical address of a page that nothing uses, where a PC's other processors may start: they
/// begin in real mode. `None` if the machine has no memory there.
pub fn start_page() -> Option<u64> {
    START_PAGE.load(Ordering::Relaxed).checked_sub(1)
}

/// The lowest whole page of the regions, below 640 KiB.
fn lowest_page(regions: &[Region]) -> Option<u64> {
    const END: u64 = 640 << 10;
    let first = |region: &Region| {
        let start = region.start.checked_next_multiple_of(PAGE)?;
        (start + PAGE <= region.end.min(END)).then_some(start)
    };
    regions.iter().filter_map(first).min()
}

/// Gives the memory below the image to the allocator, once the loader's data is no longer needed.
/// The lowest page stays out, for [`start_page`]. So no frame has the address 0.
pub fn release_low(map: &impl MemoryMap) {
    let image_start = image::physical().start;
    let low = map
        .usable(&DirectMemory)
        .filter(|region| region.start < image_start);
    // Collected first, since the map itself lies in that memory.
    let mut regions = [Region { start: 0, end: 0 }; 8];
    regions
        .iter_mut()
        .zip(low)
        .for_each(|(kept, region)| *kept = region);
    let kept = lowest_page(&regions);
    START_PAGE.store(kept.map_or(0, |page| page + 1), Ordering::Relaxed);
    let first = kept.unwrap_or(0) + PAGE;
    with(|memory| {
        for region in regions {
            memory
                .physical
                .frames
                .add(region.start.max(first), region.end.min(image_start));
        }
    });
}

/// The direct map, to read the loader's data in low memory.
pub struct DirectMemory;

impl Physical for DirectMemory {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        Self::get(address, len)
    }
}

impl DirectMemory {
    #[inline(never)]
    fn get(address: u64, len: usize) -> Option<&'static [u8]> {
        let end = address.checked_add(len as u64)?;
        let known = (address..end)
            .step_by(PAGE as usize)
            .chain(end.checked_sub(1))
            .all(|page| with(|memory| memory.present(DIRECT + page)));
        // SAFETY: mapped, as checked above; nothing changes the loader's data.
        (address != 0 && known)
            .then(|| unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, len) })
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE, Region, lowest_page};

    #[test]
    fn processors_start_in_the_lowest_page_below_640_kib() {
        let region = |start, end| Region { start, end };
        // As QEMU, and some UEFI, describe it.
        assert_eq!(lowest_page(&[region(0, 0x9_fc00)]), Some(0));
        let high = region(0x5_0123, 0xa_0000);
        assert_eq!(lowest_page(&[high]), Some(0x5_1000));
        assert_eq!(lowest_page(&[high, region(PAGE, 3 * PAGE)]), Some(PAGE));
        // Too small, at the end of it, none.
        let tiny = region(0x800, 0x1800);
        assert_eq!(
            lowest_page(&[tiny, region(0x9_f000, 0xa_0000)]),
            Some(0x9_f000)
        );
        assert_eq!(lowest_page(&[tiny, region(0x9_f001, 0x10_0000)]), None);
        assert_eq!(lowest_page(&[region(0, 0); 8]), None);
    }
}
