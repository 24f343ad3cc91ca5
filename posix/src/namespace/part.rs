//! The tree as a part of images: only programs that open files link it.

use super::Tree;
use crate::errors::Result;
use crate::file::Description;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::part::Slot as _;

kernel::slot! {
    /// The tree of a program with files.
    pub enum Trees: fn() -> &'static dyn Tree = "tree";
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
    Trees::parts().first().map_or(&Empty, |tree| tree())
}
