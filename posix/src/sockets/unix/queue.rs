//! Messages that a Unix-domain socket hasn't received yet.

use super::super::options::fill;
use super::super::{Received, Rights};
use crate::errors::Result;
use crate::sockets::address::Name;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use spin::Mutex;

/// The most bytes of a queue, and so of a message (`net.core.wmem_default`).
pub const MOST: usize = 212_992;
/// The most messages of a socket that keeps their bounds (`net.unix.max_dgram_qlen`).
const MOST_MESSAGES: usize = 512;

/// Bytes with their sender, and the descriptors that came with them.
pub struct Message {
    data: Vec<u8>,
    /// Number of bytes that were received.
    taken: usize,
    sender: Name,
    rights: Rights,
}

impl Message {
    /// Takes the rights over. [`libc::ENOMEM`].
    pub fn new(bytes: &[u8], sender: Name, rights: &mut Rights) -> Result<Message> {
        let mut data = Vec::new();
        data.try_reserve(bytes.len()).map_err(|_| libc::ENOMEM)?;
        data.extend_from_slice(bytes);
        Ok(Message {
            data,
            taken: 0,
            sender,
            rights: core::mem::take(rights),
        })
    }

    fn rest(&self) -> &[u8] {
        self.data.get(self.taken..).unwrap_or_default()
    }
}

/// The queue.
#[derive(Default)]
pub struct Queue {
    messages: VecDeque<Message>,
    /// Bytes in them that weren't received.
    bytes: usize,
}

/// Descriptors of messages that weren't received, to be closed outside of the runtime.
static DISCARDED: Mutex<Rights> = Mutex::new(Rights::new());

impl Queue {
    /// An empty queue.
    pub const fn new() -> Queue {
        Queue {
            messages: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether there is nothing to receive.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Number of bytes that can be added.
    pub fn room(&self, is_stream: bool) -> usize {
        if !is_stream && self.messages.len() >= MOST_MESSAGES {
            return 0;
        }
        // An empty queue takes a message of any length that is allowed.
        MOST.saturating_sub(self.bytes)
    }

    /// Number of bytes that a call receives at most: of a stream all, else of the first message.
    pub fn available(&self, is_stream: bool) -> usize {
        match is_stream {
            true => self.bytes,
            false => self.messages.front().map_or(0, |first| first.rest().len()),
        }
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.data.len();
        self.messages.push_back(message);
    }

    /// Receives the next message, or as many bytes of a stream as there are; they stay if it only
    /// `peeks`. `None` if there is nothing.
    pub fn take(
        &mut self,
        into: &mut [u8],
        is_stream: bool,
        peeks: bool,
        from: &mut Name,
        rights: &mut Rights,
    ) -> Option<Received> {
        let first = self.messages.front()?;
        *from = first.sender;
        if !is_stream {
            let received = Received {
                len: fill(into, first.rest()),
                whole: first.rest().len(),
            };
            if !peeks && let Some(mut first) = self.messages.pop_front() {
                self.bytes -= first.data.len();
                rights.append(&mut first.rights);
            }
            return Some(received);
        }
        let mut done = 0;
        for message in &self.messages {
            // Descriptors are received with the first bytes of theirs.
            if done > 0 && !message.rights.is_empty() {
                break;
            }
            done += fill(into.get_mut(done..).unwrap_or_default(), message.rest());
            if done >= into.len() {
                break;
            }
        }
        if !peeks {
            self.consume(done, rights);
        }
        Some(Received {
            len: done,
            whole: done,
        })
    }

    /// Drops the first `count` bytes of a stream.
    fn consume(&mut self, mut count: usize, rights: &mut Rights) {
        self.bytes -= count;
        while let Some(first) = self.messages.front_mut() {
            let len = first.rest().len().min(count);
            first.taken += len;
            count -= len;
            if len > 0 || first.data.is_empty() {
                rights.append(&mut first.rights);
            }
            if !first.rest().is_empty() {
                return;
            }
            self.messages.pop_front();
            if count == 0 {
                return;
            }
        }
    }

    /// Gives the messages up, inside a call of the runtime.
    pub fn discard(self) {
        let mut discarded = DISCARDED.lock();
        for mut message in self.messages {
            discarded.append(&mut message.rights);
        }
    }
}

/// Closes the descriptors of messages that were given up, outside of the runtime.
pub fn close_discarded() {
    let rights = core::mem::take(&mut *DISCARDED.lock());
    drop(rights);
}
