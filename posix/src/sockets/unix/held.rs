//! The open file descriptions held by messages, and those that are sockets.

use super::super::Rights;
use super::{Inner, Unix};
use crate::errors::Result;
use crate::file::Description;
use crate::sockets::SocketFile;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicUsize, Ordering};
use sync::mutex::{Mutex, level};

/// A socket held by messages.
pub struct Entry {
    pub socket: Arc<Inner>,
    /// Its description.
    pub description: Weak<Description>,
    /// Number of references to the description from messages.
    pub held: usize,
    /// Number of those in queues of sockets that only messages hold.
    pub within: usize,
    /// It is reachable from elsewhere than such sockets.
    pub is_reachable: bool,
}

/// The sockets held by messages. Used inside calls of the runtime, before the states of sockets or
/// within them: no two calls at a time.
pub static SOCKETS: Mutex<Vec<Entry>, level::InFlight> = Mutex::new(Vec::new());
/// Number of descriptions held by messages.
pub static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Descriptions of discarded messages, to be closed outside of the runtime.
pub static DISCARDED: Mutex<Rights, level::Discarded> = Mutex::new(Rights::new());

/// The index in [`SOCKETS`] of a socket that no message holds.
pub const NOWHERE: usize = usize::MAX;

/// The index of a socket in [`SOCKETS`].
pub fn index_of(socket: &Inner) -> usize {
    socket.in_flight.load(Ordering::Relaxed)
}

/// The Unix-domain socket of a description.
pub fn unix(description: &Description) -> Option<&Arc<Inner>> {
    let SocketFile(socket) = description.downcast()?;
    let socket: &dyn Any = &**socket;
    socket.downcast_ref().map(|Unix(inner)| inner)
}

/// Descriptions of a message. Those that aren't taken are [`DISCARDED`].
pub struct Held(Rights);

impl Held {
    /// Takes ownership of the rights, inside a call of the runtime. [`libc::ENOMEM`].
    pub fn new(rights: &mut Rights) -> Result<Held> {
        if !rights.is_empty() {
            let mut sockets = SOCKETS.lock();
            sockets
                .try_reserve(rights.len())
                .map_err(|_| libc::ENOMEM)?;
            COUNT.fetch_add(rights.len(), Ordering::Relaxed);
            for description in &*rights {
                if let Some(socket) = unix(description) {
                    add(&mut sockets, description, socket);
                }
            }
        }
        Ok(Held(core::mem::take(rights)))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Description>> {
        self.0.iter()
    }

    /// Appends them to `rights`.
    pub fn take(&mut self, rights: &mut Rights) {
        if !self.is_empty() {
            let mut sockets = SOCKETS.lock();
            COUNT.fetch_sub(self.0.len(), Ordering::Relaxed);
            for socket in self.0.iter().filter_map(|description| unix(description)) {
                remove(&mut sockets, socket);
            }
            rights.append(&mut self.0);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_empty() {
            self.take(&mut DISCARDED.lock());
        }
    }
}

/// Counts a message's reference; there is room for an entry.
fn add(sockets: &mut Vec<Entry>, description: &Arc<Description>, socket: &Arc<Inner>) {
    if let Some(entry) = sockets.get_mut(index_of(socket)) {
        entry.held += 1;
        return;
    }
    socket.in_flight.store(sockets.len(), Ordering::Relaxed);
    sockets.push(Entry {
        socket: Arc::clone(socket),
        description: Arc::downgrade(description),
        held: 1,
        within: 0,
        is_reachable: false,
    });
}

/// Removes a message's reference.
fn remove(sockets: &mut Vec<Entry>, socket: &Inner) {
    let index = index_of(socket);
    let Some(entry) = sockets.get_mut(index) else {
        return;
    };
    entry.held -= 1;
    if entry.held == 0 {
        socket.in_flight.store(NOWHERE, Ordering::Relaxed);
        sockets.swap_remove(index);
        if let Some(moved) = sockets.get(index) {
            moved.socket.in_flight.store(index, Ordering::Relaxed);
        }
    }
}
