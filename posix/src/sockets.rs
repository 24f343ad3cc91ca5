//! BSD sockets: operations of a socket's descriptor, for each domain and type.
//!
//! A separate part: only `system_calls/sockets.rs`, which the link driver requests by
//! `soil_with_sockets`, creates sockets. The rest of the crate uses them as files ([`SocketFile`]),
//! so that a program with only files doesn't link TCP/IP.
//!
//! # Contexts
//! The state of a socket is used inside a call of the runtime (`attempts`), one at a time; its lock
//! is never waited for.

pub mod address;
mod attempts;
mod gate;
pub mod options;
pub mod resolver;
pub mod tcp;
#[cfg(test)]
pub(crate) mod tests;
pub mod udp;
pub mod unix;

use crate::blocking::readiness::Events;
use crate::errors::{Errno, Result, errno};
use crate::file::{Description, File, Offset, Pieces};
use crate::stat::Stat;
use address::Name;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use platform::error::Error;
use resources::Runtime;

/// The result of a call that receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Number of bytes stored.
    pub len: usize,
    /// The length of the datagram, which may be larger; for a stream `len`.
    pub whole: usize,
}

/// Open file descriptions sent with bytes.
pub type Rights = Vec<Arc<Description>>;

/// A socket. Addresses are `struct sockaddr`, flags those of `send` and `recv`: `MSG_DONTWAIT` also
/// stands for `O_NONBLOCK`. Errors are Linux's.
pub trait Socket: Any + Send + Sync {
    /// Domain, type and protocol, as `socket` has them.
    fn kind(&self) -> [i32; 3];

    /// `bind`.
    fn bind(&self, address: &[u8]) -> Result<()>;

    /// `listen`.
    fn listen(&self, backlog: i32) -> Result<()>;

    /// `accept`; with the peer's address. Blocks if `waits`.
    fn accept(&self, waits: bool) -> Result<(Box<dyn Socket>, Name)>;

    /// `connect`. Blocks if `waits`.
    fn connect(&self, address: &[u8], waits: bool) -> Result<()>;

    /// `sendto`, `send` and `write`; the number of bytes sent. May block.
    fn send(&self, from: &[u8], to: Option<&[u8]>, flags: i32) -> Result<usize>;

    /// `recvfrom`, `recv` and `read`; stores the sender's address in `from`. May block.
    fn receive(&self, into: &mut [u8], flags: i32, from: Option<&mut Name>) -> Result<Received>;

    /// [`Socket::send`] with open file descriptions (`SCM_RIGHTS`), which are taken from `rights`.
    fn send_with(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        flags: i32,
        rights: &mut Rights,
    ) -> Result<usize> {
        match rights.is_empty() {
            true => self.send(from, to, flags),
            false => Err(libc::EINVAL),
        }
    }

    /// [`Socket::receive`]; adds open file descriptions that were sent with the bytes to `rights`.
    fn receive_with(
        &self,
        into: &mut [u8],
        flags: i32,
        from: Option<&mut Name>,
        rights: &mut Rights,
    ) -> Result<Received> {
        let _ = rights;
        self.receive(into, flags, from)
    }

    /// `shutdown`.
    fn shutdown(&self, how: i32) -> Result<()>;

    /// `getsockname`.
    fn local(&self) -> Result<Name>;

    /// `getpeername`.
    fn peer(&self) -> Result<Name>;

    /// `setsockopt`.
    fn set(&self, level: i32, option: i32, value: &[u8]) -> Result<()>;

    /// `getsockopt`; the number of bytes stored in `into`.
    fn get(&self, level: i32, option: i32, into: &mut [u8]) -> Result<usize>;

    /// Its current events.
    fn events(&self, rt: &mut Runtime) -> Events;

    /// A number that changes with its readiness.
    fn changes(&self, rt: &Runtime) -> u64;

    /// Number of bytes that can be received at once, for `FIONREAD`.
    fn available(&self) -> Result<usize>;

    /// Closes it, at the program's end.
    fn close(&self);

    /// Closes this socket and others if only messages in their queues hold them: call it after a
    /// reference to its description was dropped. `None` if there is no such message.
    fn collector(&self) -> Option<fn()> {
        None
    }
}

/// A descriptor's socket.
pub struct SocketFile(pub Box<dyn Socket>);

impl SocketFile {
    fn is_stream(&self) -> bool {
        let [_, kind, _] = self.0.kind();
        kind == libc::SOCK_STREAM
    }
}

/// The flags of `send` and `recv` for status flags.
pub fn message_flags(flags: i32) -> i32 {
    match flags & libc::O_NONBLOCK {
        0 => 0,
        _ => libc::MSG_DONTWAIT,
    }
}

impl File for SocketFile {
    fn stat(&self) -> Result<Stat> {
        let number = core::ptr::from_ref(self).addr() as u64 | 1;
        Ok(Stat::special(libc::S_IFSOCK, 0o777, number))
    }

    fn name(&self) -> String {
        format!("socket:[{}]", core::ptr::from_ref(self).addr() | 1)
    }

    fn read(&self, into: &mut [u8], offset: Offset, flags: i32) -> Result<usize> {
        offset.check_stream()?;
        let received = self.0.receive(into, message_flags(flags), None)?;
        Ok(received.len)
    }

    fn write(&self, from: &[u8], offset: Offset, flags: i32) -> Result<usize> {
        offset.check_stream()?;
        self.0.send(from, None, message_flags(flags))
    }

    fn pieces(&self) -> Pieces {
        match self.is_stream() {
            true => Pieces::Each,
            false => Pieces::Message(unix::MAX_QUEUE),
        }
    }

    fn has_more(&self) -> bool {
        self.0.available().is_ok_and(|count| count > 0)
    }

    fn signals_broken_pipe(&self) -> bool {
        self.is_stream()
    }

    fn available(&self) -> Result<u64> {
        self.0.available().map(|count| count as u64)
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        self.0.events(rt)
    }

    fn changes(&self, rt: &mut Runtime) -> u64 {
        self.0.changes(rt)
    }

    fn shut_down(&self) {
        self.0.close();
    }

    fn collector(&self) -> Option<fn()> {
        self.0.collector()
    }
}

/// The error of an operation of the network.
fn network_errno(error: Error) -> Errno {
    match error {
        Error::TimedOut => libc::ETIMEDOUT,
        Error::TooManyOpen => libc::EADDRNOTAVAIL,
        other => errno(other),
    }
}

/// The directions that `shutdown` ends: receive, send.
fn directions(how: i32) -> Result<[bool; 2]> {
    match how {
        libc::SHUT_RD => Ok([true, false]),
        libc::SHUT_WR => Ok([false, true]),
        libc::SHUT_RDWR => Ok([true, true]),
        _ => Err(libc::EINVAL),
    }
}
