//! The tree as a part of images: only programs that open files link it.

use super::Tree;
use crate::errors::Result;
use crate::file::Description;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// Returns the tree of a program with files.
type TreeOf = fn() -> &'static dyn Tree;

unsafe extern "C" {
    // The linker script places the part with files between the two, if it was linked.
    static soil_tree_start: u8;
    static soil_tree_end: u8;
}

/// The tree of a program that was linked without files: an empty root directory.
struct Empty;

impl Tree for Empty {
    fn open(&self, path: String, _: i32) -> Result<Arc<Description>> {
        static LOGGED: AtomicBool = AtomicBool::new(false);
        // The C library looks up the time zone on its own, and uses UTC without it.
        if path != "/etc/localtime" && !LOGGED.swap(true, Ordering::Relaxed) {
            kernel::console::line(format_args!(
                "open of {path}: ENOENT: the image has no files, as the program names no function \
                 that opens one (call open_in or Unix.openfile by name where it is passed on)"
            ));
        }
        Err(libc::ENOENT)
    }
}

/// The program's tree.
pub fn tree() -> &'static dyn Tree {
    let (start, end) = (&raw const soil_tree_start, &raw const soil_tree_end);
    // Not by comparing the two, which are the same address in some images, but never for Rust.
    let count = (end.addr() - start.addr()) / size_of::<TreeOf>();
    #[allow(clippy::cast_ptr_alignment, reason = "the section has pointers only")]
    // SAFETY: the linker script places whole pointers to functions of this type (`file_tree::tree`)
    // between the two: one or none.
    let trees = unsafe { core::slice::from_raw_parts(start.cast::<TreeOf>(), count) };
    trees.first().map_or(&Empty, |tree| tree())
}
