//! File descriptors with an owner.

/// A file descriptor that its owner closes on drop.
pub struct OwnedFd(pub i32);

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // SAFETY: this owns the descriptor, which isn't used after the drop.
        unsafe { libc::close(self.0) };
    }
}
