//! Addresses of Unix-domain sockets: files of the tree, and abstract names.

use super::{FAMILY, Inner};
use crate::errors::Result;
use crate::sockets::address::Name;
use crate::stat::FileId;
use crate::{namespace, process};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use alloc::{format, string::String};
use core::sync::atomic::{AtomicU32, Ordering};
use sync::mutex::{Mutex, level};

/// The object that an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The address of a listener, which its connections share.
    None,
    /// An abstract name.
    Abstract(Vec<u8>),
    /// A file.
    File(FileId),
}

static BINDINGS: Mutex<Vec<(Key, Weak<Inner>)>, level::Bindings> = Mutex::new(Vec::new());
/// Number of addresses selected by the system.
static CHOSEN: AtomicU32 = AtomicU32::new(0);

/// The absolute path of an address, up to a zero.
fn absolute(path: &[u8]) -> Result<String> {
    let end = path.iter().position(|byte| *byte == 0);
    let path = path.get(..end.unwrap_or(path.len())).unwrap_or_default();
    namespace::absolute(libc::AT_FDCWD as u64, path)
}

/// The form of an address: the family and the bytes after it.
fn name(path: &[u8]) -> Name {
    let mut bytes = Vec::from((libc::AF_UNIX as u16).to_le_bytes());
    bytes.extend_from_slice(path);
    Name::new(&bytes)
}

fn insert(key: Key, socket: &Arc<Inner>) -> Result<()> {
    let mut bindings = BINDINGS.lock();
    let taken = |(other, _): &(Key, Weak<Inner>)| *other == key;
    if bindings.iter().any(taken) {
        return Err(libc::EADDRINUSE);
    }
    bindings.push((key, Arc::downgrade(socket)));
    Ok(())
}

/// Binds a socket to the bytes after the family in its address.
pub fn add(path: &[u8], socket: &Arc<Inner>) -> Result<(Name, Key)> {
    match path {
        [] => loop {
            let number = CHOSEN.fetch_add(1, Ordering::Relaxed) & 0xf_ffff;
            let path = format!("\0{number:05x}").into_bytes();
            let key = Key::Abstract(path.clone());
            if insert(key.clone(), socket).is_ok() {
                return Ok((name(&path), key));
            }
        },
        [0, ..] => {
            let key = Key::Abstract(path.to_vec());
            insert(key.clone(), socket)?;
            Ok((name(path), key))
        }
        _ => {
            let at = absolute(path)?;
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            let made = namespace::open(at, flags).map_err(|errno| match errno {
                libc::EEXIST | libc::EISDIR => libc::EADDRINUSE,
                errno => errno,
            })?;
            let file = made.file().stat()?.id();
            drop(made);
            process::with(|process| process.socket_names.push(file));
            let key = Key::File(file);
            insert(key.clone(), socket)?;
            // As on Linux, the name ends with a zero.
            let end = path.iter().position(|byte| *byte == 0);
            let mut path = Vec::from(path.get(..end.unwrap_or(path.len())).unwrap_or_default());
            path.push(0);
            Ok((name(&path), key))
        }
    }
}

/// Removes a binding; a file is kept.
pub fn remove(key: &Key) {
    if *key != Key::None {
        BINDINGS.lock().retain(|(other, _)| other != key);
    }
}

/// The socket that is bound to the bytes after the family in an address. [`libc::ENOENT`],
/// [`libc::ECONNREFUSED`].
pub fn find(path: &[u8]) -> Result<Arc<Inner>> {
    let key = match path {
        [] => return Err(libc::ECONNREFUSED),
        [0, ..] => Key::Abstract(path.to_vec()),
        _ => {
            let stat = namespace::stat(&absolute(path)?, true)?;
            Key::File(stat.id())
        }
    };
    let bindings = BINDINGS.lock();
    let found = bindings.iter().find(|(other, _)| *other == key);
    let socket = found.and_then(|(_, socket)| socket.upgrade());
    socket.ok_or(libc::ECONNREFUSED)
}

const _: () = assert!(FAMILY == size_of::<u16>());
