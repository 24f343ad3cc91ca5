//! Sockets: their creation, connections, addresses.

use crate::address::{self, Given};
use crate::kernel;
use crate::network::{Network, number};
use crate::objects::{Kind, Phase, Socket};
use crate::options;
use crate::state::{self, State};
use crate::wait::{self, FOREVER, NOT, block};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of the C library's cache of names, which a node doesn't have.
const NAME_CACHE: &str = "/var/run/nscd/socket";

/// Any address, and any port.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The kind in a type with flags.
fn kind_of(kind: i32) -> i32 {
    kind & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
}

/// socket(2); `None` for a kind that the simulation doesn't have.
pub fn socket(domain: i32, kind: i32) -> Option<Result<i32, i32>> {
    let new = match (domain, kind_of(kind)) {
        (libc::AF_INET, libc::SOCK_STREAM) => Kind::Socket(Socket::new(true)),
        (libc::AF_INET, libc::SOCK_DGRAM) => Kind::Socket(Socket::new(false)),
        (libc::AF_UNIX, _) => Kind::Local,
        // As on a machine without them: the C library looks for IPv6, and for the interfaces.
        (libc::AF_INET6 | libc::AF_NETLINK, _) => return Some(Err(libc::EAFNOSUPPORT)),
        _ => return None,
    };
    Some(state::with(|state| state.add(new, kind)))
}

/// The calls that name an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    Bind,
    Connect,
}

/// bind(2) and connect(2); `None` for an address that the simulation doesn't have.
pub fn name(what: Naming, fd: i32, at: usize, len: usize) -> Option<Result<isize, i32>> {
    let given = match address::read(at, len) {
        Ok(given) => given,
        Err(error) => return Some(Err(error)),
    };
    let local =
        state::with(|state| matches!(state.object(fd).map(|object| &object.kind), Ok(Kind::Local)));
    Some(match (what, given) {
        (Naming::Connect, Given::Path(path)) if path == NAME_CACHE => Err(libc::ENOENT),
        (_, Given::Path(_)) if local => return None,
        (Naming::Bind, Given::Internet(address)) => block(NOT, |state| bind(state, fd, address)),
        (Naming::Connect, Given::Internet(address)) => connect(fd, address),
        (Naming::Connect, Given::None) => state::with(|state| disconnect(state, fd)),
        _ => Err(libc::EAFNOSUPPORT),
    })
}

fn bind(state: &mut State, fd: i32, local: SocketAddr) -> Result<isize, i32> {
    let (socket, network) = state.socket(fd)?;
    if socket.handle.is_some() {
        return Err(libc::EINVAL);
    }
    let bound = match socket.stream {
        true => network.stack.tcp_bind(local),
        false => network.stack.udp_bind(local),
    };
    socket.handle = Some(bound.map_err(number)?);
    Ok(0)
}

/// Binds a socket for datagrams to any port, unless it is bound.
pub fn bind_any(state: &mut State, fd: i32) -> Result<(), i32> {
    let (socket, _) = state.socket(fd)?;
    match socket.handle {
        Some(_) => Ok(()),
        None => bind(state, fd, ANY).map(|_| ()),
    }
}

/// listen(2).
pub fn listen(fd: i32, backlog: i32) -> Result<isize, i32> {
    block(NOT, |state| {
        let (socket, network) = state.socket(fd)?;
        if !socket.stream {
            return Err(libc::EOPNOTSUPP);
        }
        if !matches!(socket.phase, Phase::Idle | Phase::Listening) {
            return Err(libc::EINVAL);
        }
        let handle = match socket.handle {
            Some(handle) => handle,
            None => network.stack.tcp_bind(ANY).map_err(number)?,
        };
        socket.handle = Some(handle);
        // As on Linux a negative one is large; this is the limit of its sysctl.
        let backlog = (backlog as u32).min(4096) as usize;
        network
            .stack
            .tcp_listen_bound(handle, backlog)
            .map_err(number)?;
        socket.phase = Phase::Listening;
        Ok(0)
    })
}

/// accept4(2). The peer's address goes to `to`.
pub fn accept(fd: i32, to: usize, len_at: usize, flags: i32) -> Result<isize, i32> {
    let until = until(fd, 0, true)?;
    // Before the connection leaves the queue: without a free descriptor it stays there.
    let new = kernel::reserve(flags & libc::SOCK_CLOEXEC != 0)?;
    match block(until, |state| accept_one(state, fd, new, flags)) {
        Ok(peer) => {
            address::write(to, len_at, Some(peer));
            Ok(new as isize)
        }
        Err(error) => {
            kernel::close(new);
            Err(error)
        }
    }
}

/// Until when a call on a descriptor waits that has the flags of recv(2).
pub fn until(fd: i32, flags: i32, reads: bool) -> Result<u64, i32> {
    state::with(|state| {
        let object = state.object(fd)?;
        let nonblocking = object.nonblocking || flags & libc::MSG_DONTWAIT != 0;
        let timeout = match &object.kind {
            Kind::Socket(socket) if reads => socket.options.receive_timeout,
            Kind::Socket(socket) => socket.options.send_timeout,
            _ => 0,
        };
        Ok(match (nonblocking, timeout) {
            (true, _) => NOT,
            (false, 0) => FOREVER,
            (false, timeout) => wait::after(timeout),
        })
    })
}

fn accept_one(state: &mut State, fd: i32, new: i32, flags: i32) -> Result<SocketAddr, i32> {
    let (listener, network) = state.socket(fd)?;
    if listener.phase != Phase::Listening {
        return Err(if listener.stream {
            libc::EINVAL
        } else {
            libc::EOPNOTSUPP
        });
    }
    let listening = listener.handle.ok_or(libc::EINVAL)?;
    let handle = network.stack.tcp_accept(listening).map_err(number)?;
    listener.taken += 1;
    let peer = network.stack.peer_address(handle).unwrap_or(ANY);
    let mut socket = Socket::new(true);
    socket.options = listener.options.clone();
    socket.handle = Some(handle);
    socket.phase = Phase::Connected;
    socket.connect_reported = true;
    options::apply(&socket, network);
    state.insert(new, Kind::Socket(socket), flags & libc::SOCK_NONBLOCK != 0);
    Ok(peer)
}

/// connect(2).
fn connect(fd: i32, remote: SocketAddr) -> Result<isize, i32> {
    // As on Linux the unspecified address is this host.
    let remote = match remote.ip().is_unspecified() {
        true => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), remote.port()),
        false => remote,
    };
    let until = until(fd, 0, false)?;
    let mut started = false;
    let result = block(until, |state| {
        if !started {
            begin(state, fd, remote, until != NOT)?;
            started = true;
        }
        match established(state, fd) {
            Ok(_) => state.socket(fd)?.0.connect_reported = true,
            Err(libc::EAGAIN) => return Err(libc::EAGAIN),
            Err(error) => return Err(failed(state, fd, error)?),
        }
        Ok(0)
    });
    match result {
        Err(libc::EAGAIN) => Err(libc::EINPROGRESS),
        other => other,
    }
}

/// A connect has failed with `error`; returns its result. Another may follow.
fn failed(state: &mut State, fd: i32, error: i32) -> Result<i32, i32> {
    let (socket, network) = state.socket(fd)?;
    let error = match socket.take_failure() {
        true => error,
        false => libc::ECONNABORTED,
    };
    if let Some(handle) = socket.handle.take() {
        // It has failed, and so has nothing to deliver.
        let _ = network.stack.abort(handle);
    }
    socket.phase = Phase::Idle;
    socket.error_fetched = false;
    Ok(error)
}

/// Starts a connection, or chooses the peer of datagrams; `waits` if the call does.
fn begin(state: &mut State, fd: i32, remote: SocketAddr, waits: bool) -> Result<(), i32> {
    let stream = state.socket(fd)?.0.stream;
    if !stream {
        bind_any(state, fd)?;
        let (socket, network) = state.socket(fd)?;
        let handle = socket.handle.ok_or(libc::EINVAL)?;
        network
            .stack
            .udp_connect(handle, Some(remote))
            .map_err(number)?;
        socket.phase = Phase::Connected;
        return Ok(());
    }
    let before = established(state, fd);
    let (socket, _) = state.socket(fd)?;
    match (socket.phase, before) {
        (Phase::Idle, _) => (),
        (Phase::Listening, _) => return Err(libc::EISCONN),
        (Phase::Connected, _) if socket.connect_reported => return Err(libc::EISCONN),
        // The first call after the establishment reports it, and others wait for it.
        (Phase::Connected, _) => return Ok(()),
        (Phase::Connecting, Err(libc::EAGAIN)) if waits => return Ok(()),
        (Phase::Connecting, Err(libc::EAGAIN)) => return Err(libc::EALREADY),
        (Phase::Connecting, result) => {
            let error = result.err().unwrap_or(libc::ECONNABORTED);
            return Err(failed(state, fd, error)?);
        }
    }
    let (socket, network) = state.socket(fd)?;
    let stack = &mut network.stack;
    let opened = match socket.handle {
        Some(bound) => stack.tcp_connect_bound(bound, remote),
        None => stack.tcp_connect(remote, None),
    };
    socket.handle = Some(opened.map_err(number)?);
    socket.phase = Phase::Connecting;
    options::apply(socket, network);
    // Without a wait it doesn't even return what the loopback has answered meanwhile.
    match waits {
        true => Ok(()),
        false => Err(libc::EINPROGRESS),
    }
}

/// The result of a connect: `EAGAIN` while it is in progress, `ENOTCONN` if there was none.
pub fn established(state: &mut State, fd: i32) -> Result<isize, i32> {
    let (socket, network) = state.socket(fd)?;
    match (socket.phase, socket.handle) {
        (Phase::Connected, _) => Ok(0),
        (Phase::Connecting, Some(handle)) => {
            network.stack.tcp_connect_result(handle).map_err(number)?;
            socket.phase = Phase::Connected;
            Ok(0)
        }
        _ => Err(libc::ENOTCONN),
    }
}

/// connect(2) with `AF_UNSPEC`, for datagrams.
fn disconnect(state: &mut State, fd: i32) -> Result<isize, i32> {
    let (socket, network) = state.socket(fd)?;
    if socket.stream {
        return Err(libc::EOPNOTSUPP);
    }
    if let Some(handle) = socket.handle {
        network.stack.udp_connect(handle, None).map_err(number)?;
    }
    socket.phase = Phase::Idle;
    Ok(0)
}

/// shutdown(2).
pub fn shutdown(fd: i32, how: i32) -> Result<isize, i32> {
    if !matches!(how, libc::SHUT_RD | libc::SHUT_WR | libc::SHUT_RDWR) {
        return Err(libc::EINVAL);
    }
    block(NOT, |state| {
        let object = state.object(fd)?;
        if let Kind::End(end) = &mut object.kind {
            if !end.socket {
                return Err(libc::ENOTSOCK);
            }
            if let (Some(output), true) = (&end.output, how != libc::SHUT_RD) {
                output.borrow_mut().writer_gone = true;
            }
            if let (Some(input), true) = (&end.input, how != libc::SHUT_WR) {
                input.borrow_mut().reader_gone = true;
            }
            return Ok(0);
        }
        let connected = established(state, fd);
        let (socket, network) = state.socket(fd)?;
        let stops_reading = how != libc::SHUT_WR;
        match (socket.phase, connected) {
            (Phase::Listening, _) if stops_reading => return stop_listening(socket, network),
            (Phase::Listening, _) => return Ok(0),
            (Phase::Connecting, Err(libc::EAGAIN)) => {
                if let Some(handle) = socket.handle.take() {
                    // It has nothing to deliver.
                    let _ = network.stack.abort(handle);
                }
                socket.phase = Phase::Idle;
                return Ok(0);
            }
            (_, Ok(_)) => (),
            _ => return Err(libc::ENOTCONN),
        }
        socket.read_shut |= stops_reading;
        socket.write_shut |= how != libc::SHUT_RD;
        if let (true, Some(handle)) = (socket.stream && how != libc::SHUT_RD, socket.handle) {
            network.stack.tcp_shutdown(handle).map_err(number)?;
        }
        Ok(0)
    })
}

/// The listener becomes a bound socket.
fn stop_listening(socket: &mut Socket, network: &mut Network) -> Result<isize, i32> {
    // Before what can fail: without its handle the socket doesn't listen.
    socket.phase = Phase::Idle;
    if let Some(handle) = socket.handle.take() {
        let local = network.stack.local_address(handle).map_err(number)?;
        network.stack.close(handle).map_err(number)?;
        socket.handle = Some(network.stack.tcp_bind(local).map_err(number)?);
    }
    Ok(0)
}

/// getsockname(2), and with `peer` getpeername(2).
pub fn address_of(fd: i32, peer: bool, to: usize, len_at: usize) -> Result<isize, i32> {
    let address = block(NOT, |state| match &state.object(fd)?.kind {
        Kind::End(end) if end.socket => Ok(None),
        Kind::Local => Ok(None),
        _ if peer => {
            // ENOTCONN for one that has failed, too.
            established(state, fd).map_err(|_| libc::ENOTCONN)?;
            let (socket, network) = state.socket(fd)?;
            let handle = socket.handle.ok_or(libc::ENOTCONN)?;
            let address = network.stack.peer_address(handle);
            address.map(Some).map_err(|_| libc::ENOTCONN)
        }
        _ => own(state, fd).map(Some),
    })?;
    address::write(to, len_at, address);
    Ok(0)
}

fn own(state: &mut State, fd: i32) -> Result<SocketAddr, i32> {
    let (socket, network) = state.socket(fd)?;
    let Some(handle) = socket.handle else {
        return Ok(ANY);
    };
    let mut local = network.stack.local_address(handle).map_err(number)?;
    // Of connected datagrams it is the one that they leave from.
    if local.ip().is_unspecified()
        && let Ok(peer) = network.stack.peer_address(handle)
        && let Ok(source) = network.stack.source_address(peer.ip())
    {
        local.set_ip(source);
    }
    Ok(local)
}
