//! Open file descriptions in unreceived messages.
//!
//! A message holds its descriptions. Sockets in their own queues, or in each other's, would never
//! be closed. [`unreachable`] finds them: all references to such a socket are from messages in
//! queues of such sockets. It runs
//! - when a descriptor of a socket in flight is closed whose queue has descriptions,
//! - when a queue with descriptions is discarded,
//! - when a message finds no room for its descriptions.
//!
//! A call that uses a description while another thread closes its last descriptor may leave such a
//! socket behind. The next run finds it.
//!
//! Source: Linux's `net/unix/garbage.c`.

use super::Inner;
use super::held::{COUNT, DISCARDED, Entry, NOWHERE, SOCKETS, index_of, unix};
use super::queue::Queue;
use crate::blocking::operation;
use crate::errors::{Errno, Result};
use crate::process;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

/// Calls `f` with the queue of a socket, and with those of connections that it hasn't accepted.
fn each_queue(socket: &Inner, mut f: impl FnMut(&mut Queue)) {
    let mut state = socket.state.lock();
    f(&mut state.queue);
    for connection in state.pending.iter().flat_map(|it| &it.connections) {
        // No socket is its own connection.
        f(&mut connection.0.state.lock_nested().queue);
    }
}

/// Calls `f` with the entry of each socket that the messages in a socket's queues hold.
fn each_within(sockets: &mut [Entry], index: usize, mut f: impl FnMut(usize, &mut Entry)) {
    let Some(socket) = sockets.get(index).map(|entry| Arc::clone(&entry.socket)) else {
        return;
    };
    each_queue(&socket, |queue| {
        for socket in queue.rights().filter_map(|description| unix(description)) {
            let index = index_of(socket);
            if let Some(entry) = sockets.get_mut(index) {
                f(index, entry);
            }
        }
    });
}

/// The sockets that are reachable only from messages in their own queues; none if memory is short.
/// Inside a call of the runtime.
fn unreachable() -> Vec<Arc<Inner>> {
    // The states of sockets come before this lock. No other call uses the list meanwhile.
    let mut sockets = core::mem::take(&mut *SOCKETS.lock());
    let found = unreachable_of(&mut sockets);
    *SOCKETS.lock() = sockets;
    found
}

fn unreachable_of(sockets: &mut [Entry]) -> Vec<Arc<Inner>> {
    let count = sockets.len();
    let (mut reached, mut found) = (Vec::new(), Vec::new());
    if reached.try_reserve(count).is_err() || found.try_reserve(count).is_err() {
        return found;
    }
    for entry in sockets.iter_mut() {
        entry.within = 0;
        entry.is_reachable = Weak::strong_count(&entry.description) > entry.held;
    }
    for index in 0..count {
        if sockets.get(index).is_some_and(|entry| !entry.is_reachable) {
            each_within(sockets, index, |_, entry| entry.within += 1);
        }
    }
    // Others are in a queue that can be read.
    for (index, entry) in sockets.iter_mut().enumerate() {
        entry.is_reachable |= entry.held > entry.within;
        if entry.is_reachable {
            reached.push(index);
        }
    }
    while let Some(index) = reached.pop() {
        each_within(sockets, index, |index, entry| {
            if !entry.is_reachable {
                entry.is_reachable = true;
                reached.push(index);
            }
        });
    }
    let left = sockets.iter().filter(|entry| !entry.is_reachable);
    found.extend(left.map(|entry| Arc::clone(&entry.socket)));
    found
}

/// Discards the messages in queues of unreachable sockets.
fn discard_unreachable() {
    let _ = operation::now(|_| {
        for socket in unreachable() {
            each_queue(&socket, |queue| *queue = Queue::new());
        }
        Ok::<_, Errno>(())
    });
}

/// Whether a socket may become unreachable when a descriptor of it is closed.
pub fn may_hold_itself(socket: &Inner) -> bool {
    let mut holds = false;
    if index_of(socket) != NOWHERE {
        each_queue(socket, |queue| holds |= queue.rights().next().is_some());
    }
    holds
}

/// Closes sockets that are reachable only from messages in their own queues.
pub fn collect() {
    discard_unreachable();
    close_discarded();
}

/// Fails with [`libc::ETOOMANYREFS`] if messages can't hold `more` descriptions. Their maximum is
/// the program's limit of descriptors (`RLIMIT_NOFILE`).
pub fn check_room(more: usize) -> Result<()> {
    let is_full = || {
        COUNT.load(Ordering::Relaxed).saturating_add(more)
            > process::with(|process| process.table.limit())
    };
    if more > 0 && is_full() {
        collect();
        if is_full() {
            return Err(libc::ETOOMANYREFS);
        }
    }
    Ok(())
}

/// Closes the descriptions of discarded messages, outside of the runtime.
pub fn close_discarded() {
    /// A call closes them, and continues with those of messages that this discards. Without it
    /// sockets in messages of sockets would be closed by recursion.
    static CLOSES: AtomicBool = AtomicBool::new(false);
    let next = || DISCARDED.lock().pop();
    while !DISCARDED.lock().is_empty() && !CLOSES.swap(true, Ordering::Relaxed) {
        while let Some(description) = next() {
            drop(description);
        }
        // The messages may have held the only references to sockets that are still in flight.
        discard_unreachable();
        CLOSES.store(false, Ordering::Relaxed);
    }
}
