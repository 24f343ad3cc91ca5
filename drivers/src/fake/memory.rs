//! Memory of the test process as a machine's memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::vec::Vec;

use crate::memory::{Access, Allocation, Memory, Segment};

const PAGE: usize = 4096;
/// Time from one reading of the clock to the next.
const READING_NS: u64 = 1_000_000;
/// Physical addresses of contiguous memory: within the 32-bit page numbers of legacy queues.
const CONTIGUOUS: Range<u64> = 1 << 32..1 << 44;
/// Memory found by `segments` has this bit in its physical addresses, and no two of its pages are
/// adjacent (the next one is two pages further), as in a kernel that pages on demand.
const SCATTERED: u64 = 1 << 60;

/// Memory whose physical addresses are not its virtual ones, and which records what devices may
/// access.
pub struct HostMemory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Contiguous memory: physical address to the test's address, length and alignment.
    allocations: BTreeMap<u64, (usize, usize, usize)>,
    /// End of the physical addresses that were used.
    end: u64,
    /// Bytes that may still be allocated.
    budget: Option<usize>,
    /// Virtual ranges passed to `segments`, and the access.
    exposed: Vec<(usize, usize, Access)>,
    /// The time. Each reading takes a while.
    now_ns: u64,
    /// Register blocks: physical address, memory.
    registers: Vec<(u64, usize, usize)>,
}

impl HostMemory {
    /// Memory that lives as long as the process (the drivers require that; a test doesn't mind).
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> &'static HostMemory {
        Box::leak(Box::new(HostMemory {
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes allocations fail once `bytes` more are allocated.
    pub fn limit(&self, bytes: usize) {
        self.state().budget = Some(bytes);
    }

    /// Lets time pass.
    pub fn pass(&self, ns: u64) {
        self.state().now_ns += ns;
    }

    /// Bytes of contiguous memory that are allocated.
    pub fn allocated(&self) -> usize {
        self.state()
            .allocations
            .values()
            .map(|(_, len, _)| len)
            .sum()
    }

    /// Forgets the ranges that devices may access besides contiguous memory: those of completed
    /// requests.
    pub fn revoke(&self) {
        self.state().exposed.clear();
    }

    /// A block of registers at physical address `phys`, for `map_mmio`. It is memory: reads return
    /// what was written.
    pub fn add_registers(&self, phys: u64, words: &'static mut [u32]) {
        self.state()
            .registers
            .push((phys, words.as_mut_ptr() as usize, size_of_val(words)));
    }

    /// The test's pointer to physical address `phys`.
    ///
    /// # Panics
    ///
    /// If the range was never given to a device for that access: the driver is wrong.
    pub(crate) fn host(&self, phys: u64, len: usize, access: Access) -> NonNull<u8> {
        self.find(phys, len, access)
            .unwrap_or_else(|why| panic!("DMA of {len} at {phys:#x}, {access:?}: {why}"))
    }

    /// Whether devices may access the range: contiguous memory is allocated, other memory was given
    /// for that access.
    pub(crate) fn is_given(&self, phys: u64, len: usize, access: Access) -> bool {
        self.find(phys, len, access).is_ok()
    }

    fn find(&self, phys: u64, len: usize, access: Access) -> Result<NonNull<u8>, &'static str> {
        let state = self.state();
        let virt = if CONTIGUOUS.contains(&phys) {
            let found = state.allocations.range(..=phys).next_back();
            let (start, (virt, size, _)) = found.ok_or("not allocated")?;
            if phys - start + len as u64 > *size as u64 {
                return Err("longer than the allocation");
            }
            virt + (phys - start) as usize
        } else {
            let phys = phys & !SCATTERED;
            let virt = (phys as usize >> 13 << 12) | phys as usize & (PAGE - 1);
            if virt % PAGE + len > PAGE && len > 0 {
                return Err("across scattered pages");
            }
            // Adjacent ranges that were given one after another may be used as one.
            let mut at = virt;
            while at < virt + len.max(1) {
                let here = |(start, size, given): &&(usize, usize, Access)| {
                    (*start..start + size).contains(&at) && *given == access
                };
                let (start, size, _) = state.exposed.iter().find(here).ok_or("never given")?;
                at = start + size;
            }
            virt
        };
        NonNull::new(virt as *mut u8).ok_or("a null pointer")
    }

    /// Reads what a device would.
    pub fn read(&self, phys: u64, bytes: &mut [u8]) {
        let from = self.host(phys, bytes.len(), Access::DeviceReads);
        // SAFETY: `host` checked that the range is live memory that devices may touch.
        unsafe {
            from.as_ptr()
                .copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len())
        }
    }

    /// Writes what a device would.
    pub fn write(&self, phys: u64, bytes: &[u8]) {
        let to = self.host(phys, bytes.len(), Access::DeviceWrites);
        // SAFETY: `host` checked that the range is live memory that devices may touch.
        unsafe {
            to.as_ptr()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        }
    }
}

// SAFETY: memory comes from the process's allocator and stays until freed; nothing moves.
unsafe impl Memory for HostMemory {
    fn allocate(&self, len: usize, align: usize) -> Option<Allocation> {
        let layout = Layout::from_size_align(len, align)
            .ok()
            .filter(|_| len > 0)?;
        let mut state = self.state();
        if let Some(budget) = &mut state.budget {
            *budget = budget.checked_sub(len)?;
        }
        // SAFETY: the layout isn't empty.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // Not adjacent to the one before.
        let after = state.end.max(CONTIGUOUS.start) + 1;
        let phys = after.next_multiple_of(align as u64);
        state.end = phys + len as u64;
        let virt = ptr.as_ptr() as usize;
        state.allocations.insert(phys, (virt, len, align));
        Some(Allocation { ptr, phys, len })
    }

    unsafe fn free(&self, allocation: Allocation) {
        let (_, len, align) = self
            .state()
            .allocations
            .remove(&allocation.phys)
            .expect("freed what is allocated");
        // SAFETY: it came from `alloc_zeroed` with this layout, and was in the table, so wasn't
        // freed before.
        unsafe {
            dealloc(
                allocation.ptr.as_ptr(),
                Layout::from_size_align_unchecked(len, align),
            );
        }
    }

    fn segments(
        &self,
        ptr: *const u8,
        len: usize,
        access: Access,
        visit: &mut dyn FnMut(Segment) -> bool,
    ) -> bool {
        let start = ptr as usize;
        // Tests use the null page as "not memory".
        if start < PAGE {
            return false;
        }
        self.state().exposed.push((start, len, access));
        let mut at = start;
        while at < start + len {
            let piece = (PAGE - at % PAGE).min(start + len - at);
            let phys = SCATTERED | (at >> 12 << 13 | at & (PAGE - 1)) as u64;
            if !visit(Segment { phys, len: piece }) {
                break;
            }
            at += piece;
        }
        true
    }

    fn now_ns(&self) -> u64 {
        let mut state = self.state();
        state.now_ns += READING_NS;
        state.now_ns
    }

    fn map_mmio(&self, phys: u64, len: usize) -> Option<NonNull<u8>> {
        let end = phys.checked_add(len as u64)?;
        let state = self.state();
        let inside =
            |(start, _, size): &&(u64, usize, usize)| phys >= *start && end <= start + *size as u64;
        let (start, virt, _) = state.registers.iter().find(inside)?;
        NonNull::new((virt + (phys - start) as usize) as *mut u8)
    }
}
