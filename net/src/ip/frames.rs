//! The short queue of finished frames beside each link.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::types::{Handle, TxMeta};

/// Limits of a link's finished frames: frames and bytes. Replies beyond them are dropped, so
/// requests faster than the link can carry gain nothing.
pub(crate) const QUEUE: usize = 256;
pub(crate) const QUEUE_BYTES: usize = 512 << 10;

/// Finished frames that the link had no room for, or that were made while it delivered one.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    frames: VecDeque<(Vec<u8>, TxMeta)>,
    bytes: usize,
    /// Sockets that wait for room.
    pub(crate) blocked: Vec<Handle>,
    /// Frames were passed to the link since its last flush.
    pub(crate) dirty: bool,
}

impl Queue {
    /// Appends a frame; `false` if there is no room.
    pub(crate) fn push(&mut self, frame: Vec<u8>, meta: TxMeta) -> bool {
        if self.frames.len() >= QUEUE || self.bytes + frame.len() > QUEUE_BYTES {
            return false;
        }
        self.bytes += frame.len();
        self.frames.push_back((frame, meta));
        true
    }

    /// The first frame.
    pub(crate) fn first(&self) -> Option<&(Vec<u8>, TxMeta)> {
        self.frames.front()
    }

    /// Removes the first frame.
    pub(crate) fn remove_first(&mut self) {
        if let Some((frame, _)) = self.frames.pop_front() {
            self.bytes -= frame.len();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
