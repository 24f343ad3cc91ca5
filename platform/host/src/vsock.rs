//! Linux's own sockets of the family `AF_VSOCK` (vsock(7)).

use crate::owned_fd::OwnedFd;
use crate::{Host, Interest, check, errno, failure};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::ptr::null_mut;
use platform::error::{Answer, Error, Failure, Stop};
use platform::vsock::{Address, Id, Sockets};
use platform::{Direction, Interest as _};

/// `IOCTL_VM_SOCKETS_GET_LOCAL_CID`.
const GET_LOCAL_CID: libc::Ioctl = 0x7b9;
/// Events per call of `epoll_wait(2)`.
const BATCH: usize = 64;

/// The sockets by number, and the instance of epoll(7) that reports their changes.
struct Vsock {
    epoll: OwnedFd,
    sockets: Vec<Option<OwnedFd>>,
}

impl platform::Vsocks for Host {
    fn vsock(_: &mut Interest) -> Result<Box<dyn Sockets<Host>>, Failure> {
        // SAFETY: creates a descriptor.
        let probe = OwnedFd(unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0) });
        if probe.0 < 0 {
            let detail = "the kernel has no vsock: load its driver (modprobe vsock)";
            return Err(Failure::new(Error::NoDevice, detail));
        }
        // SAFETY: as above.
        let epoll = OwnedFd(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        if epoll.0 < 0 {
            return Err(failure("vsock: epoll_create1"));
        }
        let sockets = Vec::new();
        Ok(Box::new(Vsock { epoll, sockets }))
    }
}

/// The nearest code for an `errno` of a socket.
fn error(number: i32) -> Error {
    match number {
        libc::ECONNREFUSED => Error::ConnectionRefused,
        libc::ECONNRESET | libc::ECONNABORTED => Error::ConnectionReset,
        libc::ETIMEDOUT => Error::TimedOut,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENODEV => Error::Unreachable,
        libc::EADDRINUSE => Error::AddressInUse,
        libc::EADDRNOTAVAIL => Error::AddressNotAvailable,
        libc::ENOTCONN => Error::NotConnected,
        libc::ENOBUFS => Error::OutOfMemory,
        number => crate::error(number),
    }
}

/// The result of a call that returns -1 and sets `errno`.
fn answer(result: isize) -> Answer {
    match check(result) {
        Err(Stop::Error(_)) => Err(error(errno()).into()),
        other => other,
    }
}

fn encode(address: Address) -> libc::sockaddr_vm {
    // SAFETY: all zeros is a valid address.
    let mut encoded: libc::sockaddr_vm = unsafe { mem::zeroed() };
    encoded.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    encoded.svm_cid = address.cid;
    encoded.svm_port = address.port;
    encoded
}

const ADDRESS_LEN: libc::socklen_t = size_of::<libc::sockaddr_vm>() as libc::socklen_t;

impl Vsock {
    fn new_socket(&self) -> Result<OwnedFd, Failure> {
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: creates a descriptor.
        let fd = OwnedFd(unsafe { libc::socket(libc::AF_VSOCK, kind, 0) });
        match fd.0 {
            ..0 => Err(error(errno()).into()),
            _ => Ok(fd),
        }
    }

    /// Numbers a socket, and watches it: both directions, at changes only.
    fn insert(&mut self, fd: OwnedFd) -> Result<Id, Error> {
        let free = self.sockets.iter().position(Option::is_none);
        let place = free.unwrap_or(self.sockets.len());
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32,
            u64: place as u64,
        };
        let add = libc::EPOLL_CTL_ADD;
        // SAFETY: reads `event`.
        let added = unsafe { libc::epoll_ctl(self.epoll.0, add, fd.0, &raw mut event) };
        if added < 0 {
            return Err(error(errno()));
        }
        match self.sockets.get_mut(place) {
            Some(slot) => *slot = Some(fd),
            None => {
                self.sockets
                    .try_reserve(1)
                    .map_err(|_| Error::OutOfMemory)?;
                self.sockets.push(Some(fd));
            }
        }
        Ok(place as Id)
    }

    fn fd(&self, id: Id) -> Result<i32, Error> {
        let socket = self.sockets.get(id as usize).and_then(Option::as_ref);
        socket.map(|fd| fd.0).ok_or(Error::Closed)
    }

    fn is_ready(fd: i32, direction: Direction) -> bool {
        let mut wanted = libc::pollfd {
            fd,
            events: match direction {
                Direction::Read => libc::POLLIN | libc::POLLRDHUP,
                Direction::Write => libc::POLLOUT,
            },
            revents: 0,
        };
        // SAFETY: reads and writes `wanted`.
        unsafe { libc::poll(&raw mut wanted, 1, 0) != 0 }
    }

    /// Calls getsockname(2) or getpeername(2).
    fn address(
        &self,
        id: Id,
        get: unsafe extern "C" fn(
            libc::c_int,
            *mut libc::sockaddr,
            *mut libc::socklen_t,
        ) -> libc::c_int,
    ) -> Result<Address, Error> {
        let fd = self.fd(id)?;
        let mut found = encode(Address { cid: 0, port: 0 });
        let mut len = ADDRESS_LEN;
        // SAFETY: writes at most `len` bytes of `found`.
        let done = unsafe { get(fd, (&raw mut found).cast(), &raw mut len) };
        if done < 0 {
            return Err(error(errno()));
        }
        Ok(Address {
            cid: found.svm_cid,
            port: found.svm_port,
        })
    }
}

impl Sockets<Host> for Vsock {
    fn cid(&self) -> u32 {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: reads the path.
        let device = OwnedFd(unsafe { libc::open(c"/dev/vsock".as_ptr(), flags) });
        let mut cid: u32 = platform::vsock::ANY;
        // SAFETY: writes a 32-bit number; an error leaves it, as a kernel without a transport does.
        unsafe { libc::ioctl(device.0, GET_LOCAL_CID, &raw mut cid) };
        cid
    }

    fn listen(&mut self, address: Address, backlog: usize) -> Result<Id, Failure> {
        let fd = self.new_socket()?;
        let encoded = encode(address);
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        // SAFETY: reads the address.
        let done = unsafe {
            libc::bind(fd.0, (&raw const encoded).cast(), ADDRESS_LEN) == 0
                && libc::listen(fd.0, backlog) == 0
        };
        if !done {
            return Err(error(errno()).into());
        }
        Ok(self.insert(fd)?)
    }

    fn accept(&mut self, listener: Id) -> Answer {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let fd = self.fd(listener)?;
        // SAFETY: the addresses are null.
        let accepted = unsafe { libc::accept4(fd, null_mut(), null_mut(), flags) };
        answer(accepted as isize)?;
        Ok(self.insert(OwnedFd(accepted))? as usize)
    }

    fn connect(&mut self, peer: Address) -> Result<Id, Failure> {
        let fd = self.new_socket()?;
        let encoded = encode(peer);
        // SAFETY: reads the address.
        let done = unsafe { libc::connect(fd.0, (&raw const encoded).cast(), ADDRESS_LEN) };
        if done < 0 && errno() != libc::EINPROGRESS {
            return Err(refused(error(errno())).into());
        }
        Ok(self.insert(fd)?)
    }

    fn connected(&mut self, id: Id) -> Answer {
        let fd = self.fd(id)?;
        if !Vsock::is_ready(fd, Direction::Write) {
            return Err(Stop::WouldBlock);
        }
        let mut number: libc::c_int = 0;
        let mut len = size_of::<libc::c_int>() as libc::socklen_t;
        let (level, name) = (libc::SOL_SOCKET, libc::SO_ERROR);
        // SAFETY: writes a number of this length.
        let got =
            unsafe { libc::getsockopt(fd, level, name, (&raw mut number).cast(), &raw mut len) };
        answer(got as isize)?;
        match number {
            0 => Ok(0),
            number => Err(refused(error(number)).into()),
        }
    }

    fn read(&mut self, id: Id, into: &mut [u8]) -> Answer {
        let fd = self.fd(id)?;
        // SAFETY: writes within `into`.
        answer(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), 0) })
    }

    fn write(&mut self, id: Id, from: &[u8]) -> Answer {
        let fd = self.fd(id)?;
        let flags = libc::MSG_NOSIGNAL;
        // SAFETY: reads within `from`.
        answer(unsafe { libc::send(fd, from.as_ptr().cast(), from.len(), flags) })
    }

    fn is_ready(&mut self, id: Id, direction: Direction) -> bool {
        self.fd(id)
            .map_or(true, |fd| Vsock::is_ready(fd, direction))
    }

    fn shut_down(&mut self, id: Id, receive: bool, send: bool) -> Answer {
        let how = match (receive, send) {
            (true, true) => libc::SHUT_RDWR,
            (true, false) => libc::SHUT_RD,
            (false, true) => libc::SHUT_WR,
            (false, false) => return Ok(0),
        };
        let fd = self.fd(id)?;
        // SAFETY: changes the socket.
        answer(unsafe { libc::shutdown(fd, how) } as isize)
    }

    fn close(&mut self, id: Id) {
        if let Some(slot) = self.sockets.get_mut(id as usize) {
            *slot = None;
        }
    }

    fn abort(&mut self, id: Id) {
        // vsock has no SO_LINGER: the kernel sends what it has.
        self.close(id);
    }

    fn local(&mut self, id: Id) -> Result<Address, Error> {
        self.address(id, libc::getsockname)
    }

    fn peer(&mut self, id: Id) -> Result<Address, Error> {
        self.address(id, libc::getpeername)
    }

    fn poll(&mut self, _: u64, changed: &mut dyn FnMut(Id)) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let count = BATCH as libc::c_int;
        // SAFETY: writes at most `count` events.
        let found = unsafe { libc::epoll_wait(self.epoll.0, events.as_mut_ptr(), count, 0) };
        let found = usize::try_from(found).unwrap_or(0);
        for event in events.iter().take(found) {
            changed(event.u64 as Id);
        }
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn is_idle(&mut self) -> bool {
        // The kernel sends what is left.
        true
    }

    fn arm(&mut self, interest: &mut Interest) {
        interest.descriptor(self.epoll.0, Direction::Read);
    }
}

/// The reason of a failed request: the reset that refuses it.
fn refused(error: Error) -> Error {
    match error {
        Error::ConnectionReset => Error::ConnectionRefused,
        other => other,
    }
}
