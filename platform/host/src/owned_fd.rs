//! File descriptors with an owner.

/// A file descriptor that is closed with its owner.
pub struct OwnedFd(pub i32);

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody uses it any more.
        unsafe { libc::close(self.0) };
    }
}
