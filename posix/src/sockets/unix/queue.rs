//! Messages that a Unix-domain socket hasn't received yet.

use super::super::options::fill;
use super::super::{Received, Rights};
use super::held::Held;
use crate::errors::Result;
use crate::file::Description;
use crate::sockets::address::Name;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Maximum bytes of a queue, and so of a message (`net.core.wmem_default`).
pub const MAX_QUEUE: usize = 212_992;
/// Bytes up to which a stream's messages are merged, so that small ones use little memory.
const JOINED: usize = 4096;
/// Maximum number of messages of a socket that preserves their boundaries
/// (`net.unix.max_dgram_qlen`).
const MAX_MESSAGES: usize = 512;

/// Bytes with their sender, and the descriptors sent with them.
pub struct Message {
    data: Vec<u8>,
    /// Number of bytes received.
    taken: usize,
    sender: Name,
    rights: Held,
}

impl Message {
    /// Takes ownership of the rights, inside a call of the runtime. [`libc::ENOMEM`].
    pub fn new(bytes: &[u8], sender: Name, rights: &mut Rights) -> Result<Message> {
        let mut data = Vec::new();
        data.try_reserve(bytes.len()).map_err(|_| libc::ENOMEM)?;
        data.extend_from_slice(bytes);
        Ok(Message {
            data,
            taken: 0,
            sender,
            rights: Held::new(rights)?,
        })
    }

    fn rest(&self) -> &[u8] {
        self.data.get(self.taken..).unwrap_or_default()
    }

    /// Whether the next message of a stream can be appended to this one.
    fn takes(&self, next: &Message) -> bool {
        self.data.len() + next.data.len() <= JOINED
            && self.rights.is_empty()
            && next.rights.is_empty()
            && self.sender == next.sender
    }
}

/// The queue.
#[derive(Default)]
pub struct Queue {
    messages: VecDeque<Message>,
    /// Number of unreceived bytes.
    bytes: usize,
}

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
        if !is_stream && self.messages.len() >= MAX_MESSAGES {
            return 0;
        }
        // An empty queue accepts a message of any permitted length.
        let around = self.messages.len() * size_of::<Message>();
        MAX_QUEUE.saturating_sub(self.bytes + around)
    }

    /// Maximum number of bytes that a call receives: all of a stream's, otherwise those of the
    /// first message.
    pub fn available(&self, is_stream: bool) -> usize {
        match is_stream {
            true => self.bytes,
            false => self.messages.front().map_or(0, |first| first.rest().len()),
        }
    }

    /// Adds a message; merges it with the last one of a stream if it is small. [`libc::ENOMEM`].
    pub fn push(&mut self, message: Message, is_stream: bool) -> Result<()> {
        let len = message.data.len();
        match self.messages.back_mut() {
            Some(last) if is_stream && last.takes(&message) => {
                last.data.try_reserve(len).map_err(|_| libc::ENOMEM)?;
                last.data.extend_from_slice(&message.data);
            }
            _ => {
                self.messages.try_reserve(1).map_err(|_| libc::ENOMEM)?;
                self.messages.push_back(message);
            }
        }
        self.bytes += len;
        Ok(())
    }

    /// Receives the next message, or as many bytes of a stream as there are; they are kept if it
    /// only `peeks`. `None` if there is nothing.
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
                first.rights.take(rights);
            }
            return Some(received);
        }
        let mut done = 0;
        for message in &self.messages {
            // Descriptors are received with their message's first bytes.
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
            // As on Linux, even a read of no bytes takes them.
            first.rights.take(rights);
            if !first.rest().is_empty() {
                return;
            }
            self.messages.pop_front();
            if count == 0 {
                return;
            }
        }
    }

    /// The open file descriptions in the messages.
    pub fn rights(&self) -> impl Iterator<Item = &Arc<Description>> {
        self.messages
            .iter()
            .flat_map(|message| message.rights.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::{JOINED, MAX_QUEUE, Message, Name, Queue, Rights};
    use std::vec;
    use std::vec::Vec;

    fn push(queue: &mut Queue, bytes: &[u8]) {
        let message = Message::new(bytes, Name::NONE, &mut Rights::new());
        queue.push(message.expect("memory"), true).expect("memory");
    }

    fn take(queue: &mut Queue, len: usize) -> Vec<u8> {
        let mut into = vec![0; len];
        let taken = queue.take(&mut into, true, false, &mut { Name::NONE }, &mut vec![]);
        into.truncate(taken.map_or(0, |it| it.len));
        into
    }

    #[test]
    fn small_messages_of_a_stream_are_joined() {
        let mut queue = Queue::new();
        let mut numbers = (0..=u8::MAX).cycle();
        let mut count = 0;
        while queue.room(true) > 0 {
            push(&mut queue, &[numbers.next().unwrap_or(0)]);
            count += 1;
        }
        assert!(count > MAX_QUEUE / 2, "{count}");
        assert_eq!(queue.messages.len(), count.div_ceil(JOINED));
        assert_eq!(queue.available(true), count);
        let all = take(&mut queue, MAX_QUEUE).into_iter();
        assert!(all.eq((0..=u8::MAX).cycle().take(count)));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_queue_that_is_never_empty_keeps_its_size() {
        let mut queue = Queue::new();
        push(&mut queue, b"x");
        for _ in 0..10_000 {
            push(&mut queue, b"y");
            assert_eq!(take(&mut queue, 1).len(), 1);
            assert!(queue.messages.len() <= 2);
            assert!(queue.messages.iter().all(|it| it.data.len() <= JOINED));
        }
        assert_eq!(take(&mut queue, 9), b"y");
    }
}
