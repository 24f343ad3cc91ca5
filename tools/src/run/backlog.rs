//! Raises the listen backlog of forwarded ports.
//!
//! QEMU's user network (libslirp) listens on them with a backlog of 1. If a third client connects
//! before QEMU accepts the first, Linux drops its SYN, and the client retries after 1, 3, 7 …
//! seconds. The backlog belongs to the socket, and a parent may duplicate its child's descriptors:
//! calling listen(2) again raises it.

use crate::options::{Forward, Protocol};
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{SocketAddrAny, getsockname, listen};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Linux caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Raises the backlog of the sockets of `qemu` that listen on forwarded ports.
///
/// If the host denies access to a child's descriptors (Yama's `ptrace_scope` 2 and 3, some
/// containers), QEMU's backlog stays unchanged.
pub fn raise(qemu: u32, forwards: &[Forward]) -> io::Result<()> {
    let ports: Vec<u16> = forwards
        .iter()
        .filter(|forward| forward.protocol == Protocol::Tcp)
        .map(|forward| forward.host)
        .collect();
    let Some(pid) = i32::try_from(qemu).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    if ports.is_empty() {
        return Ok(());
    }
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    for entry in std::fs::read_dir(format!("/proc/{qemu}/fd"))? {
        let Some(number) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A descriptor closed meanwhile isn't a listening socket.
        if let Ok(socket) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())
            && listens_at(&socket).is_some_and(|port| ports.contains(&port))
        {
            listen(&socket, BACKLOG)?;
        }
    }
    Ok(())
}

/// Returns the TCP port that the socket listens on.
fn listens_at(socket: &OwnedFd) -> Option<u16> {
    if !socket_acceptconn(socket).ok()? {
        return None;
    }
    let name: SocketAddrAny = getsockname(socket).ok()?;
    SocketAddr::try_from(name)
        .ok()
        .map(|address| address.port())
}
