//! Memory exhausted during a transaction: nothing was written, and the next sync completes it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount};
use crate::common::{names, write_file};
use crate::exclusive;
use fs::fake::Disk;
use fs::{Error, Health, set_memory_short};

const BLOCK: usize = 1024;

/// Refuses memory for a block, once: 1 is the next one, 0 for never.
static REFUSED: AtomicU64 = AtomicU64::new(0);

struct Refusing;

// SAFETY: forwards every call that it doesn't refuse to `System`.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let is_block = (layout.size(), layout.align()) == (BLOCK, 1);
        let left = REFUSED.load(Ordering::Relaxed);
        if is_block && left > 0 {
            REFUSED.store(left - 1, Ordering::Relaxed);
            if left == 1 {
                return std::ptr::null_mut();
            }
        }
        // SAFETY: forwards the caller's guarantee.
        unsafe { System.alloc(layout) }
    }
    // Callers of this function need the memory in any case.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwards the caller's guarantee.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: forwards the caller's guarantee.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

#[test]
fn a_sync_without_memory_leaves_everything_to_the_next() {
    let _alone = exclusive();
    for args in [&["-b", "1024"][..], &["-b", "1024", "-O", "^has_journal"]] {
        let disk = Disk::new(mkfs(16 << 20, args), 512);
        let mut volume = mount(&disk);
        for n in 0..600 {
            write_file(&mut *volume, &format!("{n}"), b"").unwrap();
        }
        drop(volume);
        let before = disk.bytes();
        let mut refused = 0;
        for nth in 1.. {
            let disk = Disk::new(before.clone(), 512);
            let mut volume = mount(&disk);
            volume.mkdir("d").unwrap();
            write_file(&mut *volume, "d/f", &[7; 5000]).unwrap();
            // Reading inodes uses the memory that operations have left.
            for n in [100, 230, 360, 490] {
                volume.stat(&format!("{n}")).unwrap();
            }
            REFUSED.store(nth, Ordering::Relaxed);
            let synced = volume.sync();
            let was_refused = REFUSED.swap(0, Ordering::Relaxed) == 0;
            assert_eq!(volume.health(), Health::Writable, "{args:?}, block {nth}");
            if was_refused {
                assert_eq!(synced, Err(Error::OutOfMemory), "{args:?}, block {nth}");
                refused += 1;
                write_file(&mut *volume, "more", &[8; 3000]).unwrap();
                volume.sync().unwrap();
            }
            let stopped = Disk::new(disk.bytes(), 512);
            fsck_stopped(&stopped.bytes()).unwrap_or_else(|text| panic!("{nth}: {text}"));
            let mut again = mount(&stopped);
            assert_eq!(names(&mut *again, "d").unwrap(), ["f"]);
            assert_eq!(again.stat("more").is_ok(), was_refused);
            drop(again);
            drop(volume);
            fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}, {nth}: {text}"));
            if !was_refused {
                break;
            }
        }
        assert!(refused > 1, "{args:?}: {refused} times");
    }
}

/// A few sectors of a journal name any number of blocks.
#[test]
fn a_journal_is_not_replayed_while_memory_is_short() {
    let _alone = exclusive();
    let disk = Disk::new(mkfs(16 << 20, &["-b", "1024"]), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "file", &[1; 3000]).unwrap();
    volume.sync().unwrap();
    let stopped = Disk::new(disk.bytes(), 512);
    set_memory_short(true);
    let refused = fs::ext4::mount(Box::new(stopped.clone()), Default::default()).err();
    set_memory_short(false);
    let refused = refused.unwrap();
    assert_eq!(refused.error, Error::OutOfMemory, "{refused}");
    assert!(refused.detail.contains("e2fsck"), "{refused}");
    assert!(stopped.bytes() == disk.bytes(), "written");
    let mut again = mount(&stopped);
    assert_eq!(names(&mut *again, "/").unwrap(), ["file", "lost+found"]);
}
