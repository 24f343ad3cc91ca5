//! Taking the machine's memory over from whoever loaded the image.

use super::{
    BOOT_MAPPED, DIRECT, HEAP, LARGE_PAGE, MEMORY, Memory, PROGRAM, Physics, READ_WRITE, STACK_END,
    STACK_GUARD, STACK_SIZE, image, stack_end, with, with_room,
};
use crate::areas::{Area, Areas, Protection};
use crate::frames::{Frames, PAGE};
use crate::paging::{NO_EXECUTE, OutOfFrames, PRESENT, PageTables, WRITABLE};
use crate::places;
use crate::pvh::{Physical, Region, StartInfo};
use crate::reserve::Reserve;
use crate::tlb::TlbGrowth;
use core::sync::atomic::Ordering;
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

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
    let [mappings, stack, heap] = places::numbers();
    let reserve = Reserve::new(physics.frames.total_count() as u64 * PAGE);
    let memory = Memory {
        reserve,
        physics,
        tables,
        areas: Areas::new(PROGRAM, PROGRAM.start + places::distance(mappings)),
        heap_end: HEAP + places::distance(heap),
        tlb: TlbGrowth::new(),
    };
    MEMORY.with(|cell| *cell = Some(memory));
    STACK_END.store(PROGRAM.end - places::distance(stack), Ordering::Relaxed);
    let stack = stack_end() - STACK_SIZE..stack_end();
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

/// Gives the memory below the image to the allocator, once nothing of the loader's is needed any
/// more. The first page stays out, so that no frame has the address 0.
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
