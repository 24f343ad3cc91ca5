//! The tree as a part of images: only programs that open files have it.

use super::Tree;
use crate::errors::Result;
use crate::file::Description;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// Gives out the tree of a program with files.
type TreeOf = fn() -> &'static dyn Tree;

unsafe extern "C" {
    // The linker script puts the part with files between the two, if it was linked.
    static soil_tree_start: u8;
    static soil_tree_end: u8;
}

/// The tree of a program that was linked without files: a root directory with nothing in it.
struct Empty;

impl Tree for Empty {
    fn open(&self, path: String, _: i32) -> Result<Arc<Description>> {
        static LOGGED: AtomicBool = AtomicBool::new(false);
        // The C library asks for the time zone of its own accord, and has UTC without it.
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
    // Not by comparing the two, which are the same place in some images and never in Rust's eyes.
    let count = (end.addr() - start.addr()) / size_of::<TreeOf>();
    // SAFETY: the linker script puts whole pointers to functions of this type (`volumes::tree`)
    // between the two: one or none.
    let trees = unsafe { core::slice::from_raw_parts(start.cast::<TreeOf>(), count) };
    trees.first().map_or(&Empty, |tree| tree())
}
