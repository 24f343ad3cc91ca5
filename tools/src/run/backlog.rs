//! More room for connections to forwarded ports.
//!
//! QEMU's own network (libslirp) listens at them with a backlog of 1. Linux drops the SYN of a third
//! client that comes before QEMU accepts the first, and that client tries again after 1, 3, 7 …
//! seconds. The backlog is the socket's, and a parent may have its child's descriptors: calling
//! listen(2) once more raises it.

use crate::options::{Forward, Protocol};
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{SocketAddrAny, getsockname, listen};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Linux takes less where `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

/// Raises the backlog of the sockets of `qemu` that listen at forwarded ports.
///
/// Where the host doesn't give us the descriptors of a child (Yama's `ptrace_scope` 2 and 3, some
/// containers), QEMU's backlog stays as it is.
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
        // One that is closed by now is none of those.
        if let Ok(socket) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())
            && listens_at(&socket).is_some_and(|port| ports.contains(&port))
        {
            listen(&socket, BACKLOG)?;
        }
    }
    Ok(())
}

/// The TCP port at which it listens.
fn listens_at(socket: &OwnedFd) -> Option<u16> {
    if !socket_acceptconn(socket).ok()? {
        return None;
    }
    let name: SocketAddrAny = getsockname(socket).ok()?;
    SocketAddr::try_from(name)
        .ok()
        .map(|address| address.port())
}
