//! Memory for a machine that never gives any back: a bump allocator, identity-mapped.

#![expect(clippy::disallowed_methods, reason = "memory, not registers")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};
use drivers::memory::{Access, Allocation, Memory, Segment};

/// From 16 MiB on, well above the image, to 128 MiB, below the least memory of a benchmark guest.
const START: usize = 16 << 20;
const END: usize = 128 << 20;

/// All memory of the machine that isn't the image.
pub struct Bump {
    next: AtomicUsize,
}

/// The machine's memory.
#[global_allocator]
pub static MEMORY: Bump = Bump { next: AtomicUsize::new(START) };

impl Bump {
    fn take(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        let start = self.next.load(Ordering::Relaxed).next_multiple_of(align);
        let end = start.checked_add(len).filter(|end| *end <= END)?;
        self.next.store(end, Ordering::Relaxed);
        NonNull::new(start as *mut u8)
    }
}

// SAFETY: memory is handed out once and never taken back; it is zero because QEMU starts with
// zeroed memory.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align()).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

// SAFETY: as above; everything is identity-mapped, memory and registers, and stays so.
unsafe impl Memory for Bump {
    fn allocate(&self, len: usize, align: usize) -> Option<Allocation> {
        let ptr = self.take(len, align)?;
        Some(Allocation { ptr, phys: ptr.as_ptr() as u64, len })
    }

    unsafe fn free(&self, _: Allocation) {}

    fn segments(
        &self,
        ptr: *const u8,
        len: usize,
        _: Access,
        visit: &mut dyn FnMut(Segment) -> bool,
    ) -> bool {
        visit(Segment { phys: ptr as u64, len });
        true
    }

    fn map_mmio(&self, phys: u64, _: usize) -> Option<NonNull<u8>> {
        NonNull::new(phys as *mut u8)
    }

    fn now_ns(&self) -> u64 {
        // SAFETY: reads the counter, which counts about as fast.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
}

/// # Safety
///
/// C's function of the same name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: promised by the caller.
    unsafe {
        asm!("rep movsq", "mov rcx, {rest}", "rep movsb", rest = in(reg) len % 8,
             inout("rcx") len / 8 => _, inout("rdi") to => _, inout("rsi") from => _);
    }
    to
}

/// # Safety
///
/// C's function of the same name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: forwards, no byte is overwritten before it is read.
        return unsafe { memcpy(to, from, len) };
    }
    for i in (0..len).rev() {
        // SAFETY: promised by the caller; volatile so that the compiler doesn't make a call of
        // memmove of it.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) }
    }
    to
}

/// # Safety
///
/// C's function of the same name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: promised by the caller.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") value as u8);
    }
    to
}

/// # Safety
///
/// C's function of the same name.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    for i in 0..len {
        // SAFETY: promised by the caller; volatile for the same reason as above.
        let (l, r) = unsafe { (left.add(i).read_volatile(), right.add(i).read_volatile()) };
        if l != r {
            return i32::from(l) - i32::from(r);
        }
    }
    0
}

/// # Safety
///
/// C's function of the same name.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { memcmp(left, right, len) }
}

/// Named by the prebuilt core library; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
