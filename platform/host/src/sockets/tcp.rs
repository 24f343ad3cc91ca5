//! TCP on Linux's sockets (tcp(7)).

use super::address::Name;
use super::buffers::Buffers;
use super::{Kind, Pending, Socket, Sockets, calls};
use crate::owned_fd::OwnedFd;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use libc::{IPPROTO_TCP, SOL_SOCKET};
use net::{
    Congestion, ConnectOptions, Error, Handle, Keepalive, Lease, SendBuffer, Sender, TcpOptions,
};
use platform::Direction;

/// Bytes of a lease, which is a copy.
const LEASE: usize = 16 << 10;

/// Maximum time without an acknowledgement of sent data: `Config::send_timeout_ns`.
const USER_TIMEOUT_MS: i32 = 120_000;

/// Interval of the checks whether leased bytes are acknowledged.
const RECLAIM_INTERVAL_NS: u64 = 1_000_000;

/// A connection.
pub struct Connection {
    phase: Phase,
    /// Linux forgets it when the connection fails.
    pub peer: SocketAddr,
    /// Why it is over.
    pub failure: Option<Error>,
    /// The program sends no more.
    shut: bool,
    /// Leased bytes that Linux hasn't accepted completely, and the number accepted.
    shared: Option<Arc<dyn SendBuffer>>,
    sent: usize,
    /// Leased bytes that Linux has accepted, and the number of bytes accepted up to their end.
    unacknowledged: VecDeque<(Arc<dyn SendBuffer>, u64)>,
    /// Bytes that Linux has accepted since the beginning.
    taken: u64,
    /// This end sent the first SYN, which Linux counts as a byte.
    pub is_active: bool,
    /// Closed by the program; kept only for leased bytes.
    pub is_orphan: bool,
    options: TcpOptions,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
}

impl Connection {
    fn new(phase: Phase, peer: SocketAddr, options: TcpOptions) -> Connection {
        Connection {
            phase,
            peer,
            failure: None,
            shut: false,
            shared: None,
            sent: 0,
            unacknowledged: VecDeque::new(),
            taken: 0,
            is_active: false,
            is_orphan: false,
            options,
        }
    }
}

impl Sender for OwnedFd {
    fn send(&self, data: &[u8]) -> Result<usize, Error> {
        calls::send(self, data)
    }
}

impl Socket {
    pub fn connection(&mut self) -> Result<(&OwnedFd, &mut Connection), Error> {
        match &mut self.kind {
            Kind::Connection(connection) => Ok((&self.fd, connection)),
            _ => Err(Error::InvalidOperation),
        }
    }

    /// Whether it waits for the peer's SYN.
    pub fn is_connecting(&self) -> bool {
        matches!(&self.kind, Kind::Connection(one) if one.phase == Phase::Connecting)
    }

    /// Whether it is a connection whose peer has responded.
    pub fn is_open(&self) -> bool {
        matches!(&self.kind, Kind::Connection(one) if one.phase == Phase::Open)
    }

    /// Reads or peeks at data in buffers, and then in the system; `None` if there is nothing in
    /// buffers.
    fn take(&mut self, buffers: &mut Buffers, into: &mut [u8], flags: i32) -> Option<usize> {
        if self.received.is_empty() {
            return None;
        }
        // While a request is in progress, the system's data arrives with an event.
        let receives = matches!(self.read.asked, Pending::Data | Pending::DataNoMore);
        let n = if flags & libc::MSG_PEEK == 0 {
            let n = buffers.take(&mut self.received, into);
            self.read.blocked = receives && self.received.is_empty();
            n
        } else {
            buffers.peek(&self.received, into)
        };
        let rest = into.get_mut(n..).unwrap_or_default();
        let more = match receives || rest.is_empty() {
            true => 0,
            // A failure stays for the next read.
            false => self.receive(rest, flags).unwrap_or(0),
        };
        // Also if the system has nothing beyond the peeked bytes.
        self.read.blocked &= self.received.is_empty();
        Some(n + more)
    }

    /// Receives by recv(2); keeps the reason why a connection is over.
    fn receive(&mut self, into: &mut [u8], flags: i32) -> Result<usize, Error> {
        self.connection()?;
        let (room, peeks) = (into.len(), flags & libc::MSG_PEEK != 0);
        if room == 0 {
            return Ok(0);
        }
        let part = |done: &usize| !peeks && *done > 0 && *done < room;
        let answer = self.attempt(Direction::Read, |fd| calls::receive(fd, into, flags), part);
        if let Ok(done) = answer
            && done < super::buffers::SIZE
        {
            self.in_bulk = false;
        }
        let (_, connection) = self.connection()?;
        match (answer, connection.failure) {
            // Linux reports the reason once, and end of input afterwards.
            (Ok(0) | Err(Error::NotConnected), Some(failure)) => Err(failure),
            (Err(failure), _) if is_over(failure) => {
                connection.failure = Some(failure);
                Err(failure)
            }
            (answer, _) => answer,
        }
    }

    /// Sends by send(2), after any leased bytes.
    fn send(&mut self, from: &[u8]) -> Result<usize, Error> {
        let answer = self.attempt(
            Direction::Write,
            |fd| calls::send(fd, from),
            |done| *done < from.len(),
        );
        self.note_sent(answer)
    }

    /// Records what a send has returned.
    fn note_sent(&mut self, answer: Result<usize, Error>) -> Result<usize, Error> {
        let (_, connection) = self.connection()?;
        match answer {
            Err(Error::BrokenPipe) if !connection.shut => {
                // The reset arrived after the peer's FIN.
                let failure = *connection.failure.get_or_insert(Error::ConnectionReset);
                Err(failure)
            }
            Err(failure) if is_over(failure) => {
                connection.failure = Some(failure);
                Err(failure)
            }
            answer => {
                connection.taken += answer.unwrap_or(0) as u64;
                answer
            }
        }
    }

    /// Releases leases that the peer has acknowledged; returns whether some are left.
    fn reclaim(&mut self) -> bool {
        let Ok((fd, connection)) = self.connection() else {
            return false;
        };
        if connection.failure.is_some() {
            connection.unacknowledged.clear();
        }
        let left = match connection.unacknowledged.is_empty() {
            true => 0,
            false => calls::count(fd, libc::TIOCOUTQ) as u64,
        };
        let heard = connection.taken.saturating_sub(left);
        while let Some((bytes, end)) = connection.unacknowledged.front()
            && *end <= heard
        {
            bytes.acknowledged();
            connection.unacknowledged.pop_front();
        }
        !connection.unacknowledged.is_empty()
    }
}

/// Whether a connection is over with this error.
pub fn is_over(failure: Error) -> bool {
    matches!(
        failure,
        Error::ConnectionReset
            | Error::ConnectionRefused
            | Error::ConnectionAborted
            | Error::TimedOut
            | Error::Unreachable
    )
}

/// Applies the options that Linux has per connection.
fn apply(fd: &OwnedFd, options: &TcpOptions) -> Result<(), Error> {
    if options.mss > 0 {
        let mss = i32::from(options.mss);
        calls::set(fd, IPPROTO_TCP, libc::TCP_MAXSEG, &mss)?;
    }
    Ok(())
}

/// A time in seconds, at least one.
fn seconds(ns: u64) -> i32 {
    i32::try_from(ns.div_ceil(1_000_000_000).max(1)).unwrap_or(i32::MAX)
}

impl Sockets {
    /// A new TCP socket with the defaults of the stack's sockets.
    fn tcp_socket(&self, v6: bool) -> Result<OwnedFd, Error> {
        let fd = calls::socket(v6, libc::SOCK_STREAM)?;
        calls::set(&fd, IPPROTO_TCP, libc::TCP_NODELAY, &1i32)?;
        calls::set(&fd, IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &USER_TIMEOUT_MS)?;
        // Urgent bytes are bytes of the stream (RFC 6093, 3.1).
        calls::set(&fd, SOL_SOCKET, libc::SO_OOBINLINE, &1i32)?;
        if self.congestion != Congestion::default() {
            set_congestion(&fd, self.congestion)?;
        }
        Ok(fd)
    }

    /// See `Stack::tcp_bind_family`.
    pub fn bind(&mut self, local: SocketAddr, v6_only: bool) -> Result<Handle, Error> {
        if local.ip().is_multicast() {
            return Err(Error::InvalidArgument);
        }
        let open = |local: SocketAddr| {
            let v6 = local.is_ipv6();
            let fd = self.tcp_socket(v6)?;
            if v6 {
                let only = i32::from(v6_only);
                calls::set(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &only)?;
            }
            calls::set(&fd, SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?;
            calls::bind(&fd, local, v6)?;
            Ok((fd, v6))
        };
        let (fd, v6) = calls::with_either_family(local, v6_only, open)?;
        let bound = calls::local(&fd)?;
        // `SO_REUSEADDR` would let two sockets have a port until one of them listens.
        let is_taken = |(_, other): (usize, &Socket)| {
            matches!(other.kind, Kind::Port { .. })
                && calls::local(&other.fd).is_ok_and(|taken| taken == bound)
        };
        if self.table.iter().any(is_taken) {
            return Err(Error::AddressInUse);
        }
        let kind = Kind::Port {
            listening: false,
            accepted: false,
            options: TcpOptions::default(),
        };
        self.insert(fd, v6, kind)
    }

    /// See `Stack::tcp_listen_bound`.
    pub fn listen(&mut self, bound: Handle, backlog: usize) -> Result<(), Error> {
        let socket = self.socket(bound)?;
        let Kind::Port { listening, .. } = &mut socket.kind else {
            return Err(Error::InvalidOperation);
        };
        // Linux accepts one more.
        let backlog = i32::try_from(backlog.saturating_sub(1)).unwrap_or(i32::MAX);
        // SAFETY: a call without pointers.
        calls::check(unsafe { libc::listen(socket.fd.0, backlog) } as isize)?;
        *listening = true;
        Ok(())
    }

    /// See `Stack::tcp_accept`.
    pub fn accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        let socket = self.socket(listener)?;
        let Kind::Port {
            listening: true,
            options,
            ..
        } = socket.kind
        else {
            return Err(Error::InvalidOperation);
        };
        let v6 = socket.v6;
        loop {
            let socket = self.socket(listener)?;
            let taken = socket.attempt(Direction::Read, calls::accept, |_| false);
            match taken {
                // The peer aborted it before it was accepted.
                Err(Error::ConnectionAborted) => {}
                Err(Error::WouldBlock) => {
                    self.arm(listener, Direction::Read);
                    return Err(Error::WouldBlock);
                }
                Err(failure) => return Err(failure),
                Ok((fd, peer)) => {
                    if let Kind::Port { accepted, .. } = &mut socket.kind {
                        *accepted = true;
                    }
                    let connection = Connection::new(Phase::Open, peer, options);
                    return self.insert(fd, v6, Kind::Connection(connection));
                }
            }
        }
    }

    /// See `Stack::tcp_connect_with`.
    pub fn connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &ConnectOptions,
    ) -> Result<Handle, Error> {
        check_peer(remote)?;
        let v6 = remote.is_ipv6();
        let fd = self.tcp_socket(v6)?;
        calls::mark(&fd, v6, options.hop_limit, options.dscp)?;
        apply(&fd, &options.tcp)?;
        if let Some(local) = local {
            calls::bind(&fd, local, v6)?;
        }
        self.begin(fd, v6, remote, options.tcp)
    }

    /// See `Stack::tcp_connect_bound`.
    pub fn connect_bound(&mut self, bound: Handle, remote: SocketAddr) -> Result<Handle, Error> {
        check_peer(remote)?;
        let socket = self.socket(bound)?;
        let Kind::Port {
            listening: false,
            options,
            ..
        } = socket.kind
        else {
            return Err(Error::InvalidOperation);
        };
        if !socket.v6 && remote.is_ipv6() {
            return Err(Error::AddressNotAvailable);
        }
        // The same socket under another handle: it stays where it is if this fails.
        let v6 = socket.v6;
        // SAFETY: a call without pointers.
        let copy = unsafe { libc::fcntl(socket.fd.0, libc::F_DUPFD_CLOEXEC, 0) };
        calls::check(copy as isize)?;
        let handle = self.begin(OwnedFd(copy), v6, remote, options)?;
        self.remove(bound);
        Ok(handle)
    }

    fn begin(
        &mut self,
        fd: OwnedFd,
        v6: bool,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<Handle, Error> {
        let begun = calls::connect(&fd, &Name::new(remote, v6));
        let mut connection = Connection::new(Phase::Connecting, remote, options);
        connection.is_active = true;
        let waits = match begun {
            Ok(()) => {
                connection.phase = Phase::Open;
                false
            }
            Err(Error::WouldBlock) => true,
            // As the stack does: the connection reports it.
            Err(Error::ConnectionRefused) => {
                connection.failure = Some(Error::ConnectionRefused);
                false
            }
            Err(failure) => return Err(failure),
        };
        let handle = self.insert(fd, v6, Kind::Connection(connection))?;
        self.socket(handle)?.write.blocked = waits;
        Ok(handle)
    }

    /// See `Stack::tcp_connect_result`.
    pub fn connect_result(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.socket(handle)?;
        let is_blocked = socket.write.blocked;
        let (fd, connection) = socket.connection()?;
        if let Some(failure) = connection.failure {
            return Err(failure);
        }
        if connection.phase == Phase::Open {
            return Ok(());
        }
        if !is_blocked {
            if let Some(failure) = calls::take_error(fd) {
                connection.failure = Some(failure);
                return Err(failure);
            }
            if calls::peer(fd).is_ok() {
                connection.phase = Phase::Open;
                return Ok(());
            }
            socket.write.blocked = true;
        }
        self.arm(handle, Direction::Write);
        Err(Error::WouldBlock)
    }

    /// See `Stack::tcp_read` and `Stack::tcp_peek`.
    pub fn read(&mut self, handle: Handle, into: &mut [u8], flags: i32) -> Result<usize, Error> {
        self.socket(handle)?;
        if let Some(buffers) = &mut self.buffers
            && let Some(socket) = self.table.get_mut(super::index(handle))
            && let Some(done) = socket.take(buffers, into, flags)
        {
            return Ok(done);
        }
        let answer = self.socket(handle)?.receive(into, flags);
        if answer == Err(Error::WouldBlock) {
            self.arm(handle, Direction::Read);
        }
        answer
    }

    /// See `Stack::tcp_read_lease`.
    pub fn lease(&mut self, handle: Handle) -> Result<Option<Lease>, Error> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(LEASE)
            .map_err(|_| Error::OutOfMemory)?;
        copy.resize(LEASE, 0);
        let n = self.read(handle, &mut copy, 0)?;
        if n == 0 {
            return Ok(None);
        }
        let bytes = copy.get(..n).unwrap_or_default();
        Lease::copied(bytes).map(Some).ok_or(Error::OutOfMemory)
    }

    /// See `Stack::tcp_write`.
    pub fn write(&mut self, handle: Handle, from: &[u8]) -> Result<usize, Error> {
        let socket = self.socket(handle)?;
        let (_, connection) = socket.connection()?;
        let answer = match &connection.shared {
            _ if from.is_empty() => Ok(0),
            None => socket.send(from),
            Some(_) => Err(Error::WouldBlock),
        };
        if answer == Err(Error::WouldBlock) {
            self.arm(handle, Direction::Write);
        }
        answer
    }

    /// See [`net::Sender`]. `None`: [`Sockets::write`] would block or fail, or leased bytes count
    /// what is sent.
    pub fn sender(&mut self, handle: Handle) -> Option<Arc<dyn Sender>> {
        let socket = self.socket(handle).ok()?;
        let Kind::Connection(connection) = &socket.kind else {
            return None;
        };
        let is_free = connection.phase == Phase::Open
            && connection.failure.is_none()
            && !connection.shut
            && connection.shared.is_none()
            && connection.unacknowledged.is_empty()
            && !socket.write.blocked;
        is_free.then(|| socket.fd.clone() as Arc<dyn Sender>)
    }

    /// See [`net::Sender`].
    pub fn sent(&mut self, handle: Handle, answer: Result<usize, Error>) -> Result<usize, Error> {
        let socket = self.socket(handle)?;
        let is_full = matches!(answer, Ok(_) | Err(Error::WouldBlock));
        // There may be room again, and its event gone: it came after the send, which was outside of
        // the sockets, and before this call.
        socket.write.blocked = is_full && !calls::is_ready(&socket.fd, Direction::Write);
        let answer = socket.note_sent(answer);
        if answer == Err(Error::WouldBlock) {
            self.arm(handle, Direction::Write);
        }
        answer
    }

    /// See `Stack::tcp_write_shared`. Linux copies the bytes; the lease ends when the peer has
    /// acknowledged them.
    pub fn share(&mut self, handle: Handle, bytes: Arc<dyn SendBuffer>) -> Result<(), Error> {
        let (_, connection) = self.socket(handle)?.connection()?;
        if let Some(failure) = connection.failure {
            return Err(failure);
        }
        if connection.shut {
            return Err(Error::BrokenPipe);
        }
        if connection.phase == Phase::Connecting {
            return Err(Error::WouldBlock);
        }
        // One pending lease is enough: Linux has its own buffer.
        if connection.shared.is_some() {
            self.arm(handle, Direction::Write);
            return Err(Error::WouldBlock);
        }
        connection.shared = Some(bytes);
        connection.sent = 0;
        self.send_shared(handle);
        Ok(())
    }

    /// Sends leased bytes, as far as there is room, and then what waited for that.
    pub fn send_shared(&mut self, handle: Handle) {
        let Some(socket) = self.table.get_mut(super::index(handle)) else {
            return;
        };
        while let Kind::Connection(connection) = &mut socket.kind
            && let Some(bytes) = connection.shared.clone()
        {
            let rest = bytes.bytes().get(connection.sent..).unwrap_or_default();
            let answer = match rest.is_empty() {
                true => Ok(0),
                false => socket.send(rest),
            };
            let Kind::Connection(connection) = &mut socket.kind else {
                return;
            };
            match answer {
                Ok(done) if done < rest.len() => connection.sent += done,
                Ok(_) => {
                    let end = connection.taken;
                    connection.unacknowledged.push_back((bytes, end));
                    connection.shared = None;
                }
                Err(Error::WouldBlock) => {
                    self.arm(handle, Direction::Write);
                    return;
                }
                Err(failure) => {
                    connection.failure.get_or_insert(failure);
                    connection.shared = None;
                }
            }
        }
        let Kind::Connection(connection) = &socket.kind else {
            return;
        };
        if connection.shut {
            end_sending(&socket.fd);
        }
        if connection.is_orphan {
            self.orphans -= 1;
            self.remove(handle);
        } else if !connection.unacknowledged.is_empty() && !self.unacknowledged.contains(&handle) {
            self.unacknowledged.push(handle);
        }
    }

    /// Releases leases that peers have acknowledged, of which Linux sends no event. Returns when to
    /// check again.
    pub fn reclaim(&mut self, now_ns: u64) -> Option<u64> {
        let mut at = 0;
        while let Some(&handle) = self.unacknowledged.get(at) {
            let waits = self.socket(handle).is_ok_and(Socket::reclaim);
            at += usize::from(waits);
            if !waits {
                self.unacknowledged.swap_remove(at);
            }
        }
        (!self.unacknowledged.is_empty()).then_some(now_ns + RECLAIM_INTERVAL_NS)
    }

    /// See `Stack::tcp_shutdown`.
    pub fn shutdown(&mut self, handle: Handle) -> Result<(), Error> {
        let (fd, connection) = self.socket(handle)?.connection()?;
        if connection.phase == Phase::Connecting {
            return Err(connection.failure.unwrap_or(Error::NotConnected));
        }
        connection.shut = true;
        if connection.shared.is_none() {
            end_sending(fd);
        }
        Ok(())
    }

    /// See `Stack::close`.
    pub fn close(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.socket(handle)?;
        if let Kind::Connection(connection) = &mut socket.kind
            && connection.shared.is_some()
        {
            connection.is_orphan = true;
            self.orphans += 1;
            return Ok(());
        }
        self.remove(handle);
        Ok(())
    }

    /// See `Stack::abort`.
    pub fn abort(&mut self, handle: Handle) -> Result<(), Error> {
        let socket = self.socket(handle)?;
        if socket.connection().is_ok() {
            calls::set_linger(&socket.fd, true)?;
        }
        self.remove(handle);
        Ok(())
    }

    /// Options of a connection or a port.
    pub fn options(&mut self, handle: Handle) -> Result<&mut TcpOptions, Error> {
        match &mut self.socket(handle)?.kind {
            Kind::Port { options, .. } => Ok(options),
            Kind::Connection(connection) => Ok(&mut connection.options),
            Kind::Udp(_) => Err(Error::InvalidOperation),
        }
    }

    /// See `Stack::tcp_set_options`.
    pub fn set_options(&mut self, handle: Handle, options: &TcpOptions) -> Result<(), Error> {
        apply(&self.socket(handle)?.fd, options)?;
        *self.options(handle)? = *options;
        Ok(())
    }

    /// Sets a numeric option of a connection.
    pub fn set(
        &mut self,
        handle: Handle,
        level: i32,
        option: i32,
        value: i32,
    ) -> Result<(), Error> {
        let (fd, _) = self.socket(handle)?.connection()?;
        calls::set(fd, level, option, &value)
    }

    /// See `Stack::tcp_set_keepalive`.
    pub fn set_keepalive(
        &mut self,
        handle: Handle,
        keepalive: Option<Keepalive>,
    ) -> Result<(), Error> {
        if let Some(wanted) = keepalive {
            let interval = seconds(wanted.interval_ns);
            self.set(
                handle,
                IPPROTO_TCP,
                libc::TCP_KEEPIDLE,
                seconds(wanted.idle_ns),
            )?;
            self.set(handle, IPPROTO_TCP, libc::TCP_KEEPINTVL, interval)?;
            let probes = i32::from(wanted.probes.clamp(1, 127));
            self.set(handle, IPPROTO_TCP, libc::TCP_KEEPCNT, probes)?;
        }
        let on = i32::from(keepalive.is_some());
        self.set(handle, SOL_SOCKET, libc::SO_KEEPALIVE, on)
    }

    /// See `Stack::tcp_set_user_timeout`.
    pub fn set_user_timeout(&mut self, handle: Handle, timeout_ns: u64) -> Result<(), Error> {
        let ms = i32::try_from(timeout_ns.div_ceil(1_000_000)).unwrap_or(i32::MAX);
        self.set(handle, IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms)
    }

    /// See `Stack::tcp_set_linger`. Linux decides how long it delivers in the background; the time
    /// is for the peer's FIN (`TCP_LINGER2`).
    pub fn set_linger(&mut self, handle: Handle, linger_ns: u64) -> Result<(), Error> {
        let (fd, _) = self.socket(handle)?.connection()?;
        calls::set_linger(fd, linger_ns == 0)?;
        if linger_ns > 0 {
            let wait = seconds(linger_ns).min(120);
            calls::set(fd, IPPROTO_TCP, libc::TCP_LINGER2, &wait)?;
        }
        Ok(())
    }

    /// See `Stack::tcp_set_congestion`.
    pub fn set_congestion(&mut self, handle: Handle, chosen: Congestion) -> Result<(), Error> {
        let (fd, _) = self.socket(handle)?.connection()?;
        set_congestion(fd, chosen)
    }
}

/// Rejects addresses that aren't unicast.
fn check_peer(remote: SocketAddr) -> Result<(), Error> {
    let ip = remote.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    match ip.is_unspecified() || ip.is_multicast() || broadcast || remote.port() == 0 {
        true => Err(Error::InvalidArgument),
        false => Ok(()),
    }
}

fn end_sending(fd: &OwnedFd) {
    // A connection that is over has nothing to shut down. SAFETY: a call without pointers.
    unsafe { libc::shutdown(fd.0, libc::SHUT_WR) };
}

fn set_congestion(fd: &OwnedFd, chosen: Congestion) -> Result<(), Error> {
    match chosen {
        Congestion::Cubic => calls::set(fd, IPPROTO_TCP, libc::TCP_CONGESTION, b"cubic"),
        // Linux's `reno` is RFC 6582.
        Congestion::NewReno => calls::set(fd, IPPROTO_TCP, libc::TCP_CONGESTION, b"reno"),
    }
}
