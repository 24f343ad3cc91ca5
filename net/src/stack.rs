//! The stack: its public operations.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::{Config, Error, Handle, InterfaceConfig, InterfaceStatus, Link};

/// Names an interface; valid as long as the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId(pub(crate) usize);

/// What [`Stack::poll`] left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The budget was used up: call again without waiting.
    pub more_work: bool,
    /// When to call again even if nothing happens, in nanoseconds of the clock given to
    /// [`Stack::poll`]; `None`: only when a frame comes or an operation was made.
    pub next_deadline_ns: Option<u64>,
    /// Frames wait because a link answered `false` to [`Link::can_transmit`]: call again when it
    /// has room.
    pub transmit_blocked: bool,
}

/// What can be done with a socket without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read gives bytes, end of input or an error; an accept gives a connection; a datagram or
    /// the answer of a lookup is there.
    pub readable: bool,
    /// A write takes bytes or gives an error; a connect has finished, well or not.
    pub writable: bool,
    /// Both directions of the connection are over.
    pub hangup: bool,
    /// The connection failed; [`Stack::socket_error`] tells why.
    pub error: bool,
}

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP listener.
    Listener,
    /// A TCP connection.
    Connection,
    /// A UDP socket.
    Udp,
    /// A name lookup.
    Lookup,
}

/// Which addresses a lookup is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4, and IPv6 where an interface has a global IPv6 address.
    Any,
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

/// A TCP/IP stack. See the crate's description.
pub struct Stack {
    _unfinished: (),
}

/// Time and interfaces.
impl Stack {
    /// A stack with the loopback interface (127.0.0.1/8, ::1/128) and no other.
    ///
    /// `random` gives 64 unpredictable bits a call; it seeds the hash tables, picks ports, and seeds
    /// the initial sequence numbers and the identifiers of DHCP and DNS.
    pub fn new(config: Config, random: Box<dyn FnMut() -> u64>) -> Stack {
        let _ = (config, random);
        Stack { _unfinished: () }
    }

    /// Adds an interface. Its configuration begins with the next [`Stack::poll`].
    ///
    /// Fails with [`Error::InvalidArgument`] if the MAC address isn't unicast, or there are more
    /// fixed addresses, gateways or servers than [`InterfaceConfig`] says.
    pub fn add_interface(
        &mut self,
        link: Box<dyn Link>,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        let _ = (link, config);
        Err(Error::InvalidOperation)
    }

    /// The interfaces in the order in which they were added, without the loopback.
    pub fn interfaces(&self) -> Vec<InterfaceId> {
        Vec::new()
    }

    /// What is known about an interface now; `None` for an identifier of another stack.
    pub fn interface_status(&self, id: InterfaceId) -> Option<InterfaceStatus> {
        let _ = id;
        None
    }

    /// A number that changes whenever addresses, gateways or name servers change.
    pub fn configuration_generation(&self) -> u32 {
        0
    }

    /// Runs the stack: timers that are due, at most `budget` frames in for each interface, and what
    /// the sockets have to send, at most about `budget` frames out.
    ///
    /// `now_ns` is a monotonic clock of the caller's choice; going back is read as standing still.
    /// Operations made since the last call take effect (are sent) here. Never blocks.
    pub fn poll(&mut self, now_ns: u64, budget: usize) -> Progress {
        let _ = (now_ns, budget);
        Progress::default()
    }

    /// Calls `f` once for each socket that became ready since the last call.
    ///
    /// A socket is named when an operation on it answered [`Error::WouldBlock`] (or
    /// [`Stack::readiness`] found it not ready) and that may now be different, for reading or for
    /// writing. So: try, and wait for the event only after `WouldBlock`. Spurious events are
    /// possible, lost ones are not. Costs time for the sockets named only.
    pub fn take_events(&mut self, f: &mut dyn FnMut(Handle)) {
        let _ = f;
    }
}

/// All sockets.
impl Stack {
    /// What a handle names; `None` if it was closed.
    pub fn kind(&self, handle: Handle) -> Option<Kind> {
        let _ = handle;
        None
    }

    /// What can be done without waiting.
    pub fn readiness(&mut self, handle: Handle) -> Result<Readiness, Error> {
        let _ = handle;
        Err(Error::BadHandle)
    }

    /// Why a connection failed; `None` as long as it didn't. An orderly end is no failure.
    pub fn socket_error(&self, handle: Handle) -> Result<Option<Error>, Error> {
        let _ = handle;
        Err(Error::BadHandle)
    }

    /// The address of this end.
    pub fn local_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        let _ = handle;
        Err(Error::BadHandle)
    }

    /// The address of the other end; [`Error::InvalidOperation`] where there is none.
    pub fn peer_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        let _ = handle;
        Err(Error::BadHandle)
    }

    /// Gives the handle back. Never waits, and the handle is unknown afterwards.
    ///
    /// - Connection: what was written is still delivered, then FIN, in the background, for at most
    ///   [`Config::linger_ns`]. If bytes of the peer are left unread, or come later, the peer gets
    ///   an RST once everything written was acknowledged (RFC 9293, 3.10.4 and RFC 1122, 4.2.2.13).
    /// - Listener: its port is free at once; connections not accepted yet are aborted.
    /// - Lookup: cancelled.
    pub fn close(&mut self, handle: Handle) -> Result<(), Error> {
        let _ = handle;
        Err(Error::BadHandle)
    }

    /// Like [`Stack::close`], but what was not sent yet is lost and the peer gets an RST.
    pub fn abort(&mut self, handle: Handle) -> Result<(), Error> {
        let _ = handle;
        Err(Error::BadHandle)
    }
}

/// TCP.
impl Stack {
    /// Listens. An unspecified address means all interfaces: `0.0.0.0` those of IPv4, `[::]` both
    /// families. Port 0 takes an ephemeral one. `backlog` bounds the connections that are
    /// established (or in handshake) and not accepted; 0 is read as 1.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`].
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize) -> Result<Handle, Error> {
        let _ = (local, backlog);
        Err(Error::InvalidOperation)
    }

    /// The connection that was established first of those not accepted yet.
    pub fn tcp_accept(&mut self, listener: Handle) -> Result<Handle, Error> {
        let _ = listener;
        Err(Error::BadHandle)
    }

    /// Starts a connection; the SYN leaves with the next [`Stack::poll`]. `local` chooses the
    /// address and port of this end, unspecified parts being chosen by the stack.
    ///
    /// The handle becomes writable once it is established or failed: then ask
    /// [`Stack::tcp_connect_result`]. Errors at once: [`Error::InvalidArgument`],
    /// [`Error::Unreachable`] (no route), [`Error::AddressNotAvailable`], [`Error::AddressInUse`],
    /// [`Error::PortsExhausted`], [`Error::OutOfMemory`].
    pub fn tcp_connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<Handle, Error> {
        let _ = (remote, local);
        Err(Error::InvalidOperation)
    }

    /// How a connect went: `Ok` established, [`Error::WouldBlock`] still trying, otherwise why it
    /// failed ([`Error::ConnectionRefused`], [`Error::TimedOut`], [`Error::Unreachable`]…).
    pub fn tcp_connect_result(&mut self, connection: Handle) -> Result<(), Error> {
        let _ = connection;
        Err(Error::BadHandle)
    }

    /// Copies received bytes out; `Ok(0)` is the end of input (FIN), or an empty `buffer`.
    ///
    /// What had arrived before a FIN or RST is given first; after it comes `Ok(0)` or
    /// [`Error::ConnectionReset`].
    pub fn tcp_read(&mut self, connection: Handle, buffer: &mut [u8]) -> Result<usize, Error> {
        let _ = (connection, buffer);
        Err(Error::BadHandle)
    }

    /// Lets `f` look at received bytes in place; it returns how many of them are done with. The
    /// slice is never empty and may be only the first part of what is there. `Ok(0)` without a call
    /// of `f` is the end of input.
    pub fn tcp_read_with(
        &mut self,
        connection: Handle,
        f: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        let _ = (connection, f);
        Err(Error::BadHandle)
    }

    /// Copies bytes into the send buffer: as many as fit, at least one if `data` isn't empty.
    /// They leave with the next [`Stack::poll`].
    pub fn tcp_write(&mut self, connection: Handle, data: &[u8]) -> Result<usize, Error> {
        let _ = (connection, data);
        Err(Error::BadHandle)
    }

    /// Lets `f` fill the send buffer in place; it returns how many bytes it wrote from the start of
    /// the slice, which is never empty and may be only a part of the room there is.
    pub fn tcp_write_with(
        &mut self,
        connection: Handle,
        f: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<usize, Error> {
        let _ = (connection, f);
        Err(Error::BadHandle)
    }

    /// Ends the sending side: FIN after what was written. Doing it twice is fine.
    pub fn tcp_shutdown(&mut self, connection: Handle) -> Result<(), Error> {
        let _ = connection;
        Err(Error::BadHandle)
    }

    /// Bytes written and not acknowledged yet.
    pub fn tcp_unsent(&self, connection: Handle) -> Result<usize, Error> {
        let _ = connection;
        Err(Error::BadHandle)
    }

    /// Switches Nagle's algorithm off (`true`, the state of a new connection) or on (RFC 9293,
    /// 3.7.4). Writes made between two calls of [`Stack::poll`] are joined in any case.
    pub fn tcp_set_nodelay(&mut self, connection: Handle, nodelay: bool) -> Result<(), Error> {
        let _ = (connection, nodelay);
        Err(Error::BadHandle)
    }

    /// Probes an idle connection each `interval_ns`; `None`, the state of a new connection, does
    /// not. A peer silent for four intervals (at least) ends it with [`Error::TimedOut`].
    pub fn tcp_set_keepalive(
        &mut self,
        connection: Handle,
        interval_ns: Option<u64>,
    ) -> Result<(), Error> {
        let _ = (connection, interval_ns);
        Err(Error::BadHandle)
    }
}

/// UDP.
impl Stack {
    /// A UDP socket. An unspecified address receives on all interfaces (`[::]` of both families);
    /// port 0 takes an ephemeral one.
    ///
    /// Errors: [`Error::AddressInUse`], [`Error::AddressNotAvailable`], [`Error::PortsExhausted`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<Handle, Error> {
        let _ = local;
        Err(Error::InvalidOperation)
    }

    /// Queues one datagram; it leaves with the next [`Stack::poll`].
    ///
    /// Errors: [`Error::WouldBlock`] (queue full), [`Error::MessageTooLong`],
    /// [`Error::Unreachable`] (no route), [`Error::InvalidArgument`].
    pub fn udp_send_to(
        &mut self,
        socket: Handle,
        data: &[u8],
        remote: SocketAddr,
    ) -> Result<(), Error> {
        let _ = (socket, data, remote);
        Err(Error::BadHandle)
    }

    /// Takes the oldest datagram: its whole length (which is more than what was copied if `buffer`
    /// was too small; the rest is lost) and its sender.
    pub fn udp_recv_from(
        &mut self,
        socket: Handle,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr), Error> {
        let _ = (socket, buffer);
        Err(Error::BadHandle)
    }
}

/// Names.
impl Stack {
    /// Starts looking a name up. Numeric addresses and `localhost` are answered without a server.
    ///
    /// The handle becomes readable when the answer (or failure) is there. Errors at once:
    /// [`Error::InvalidArgument`] (not a name), [`Error::NoNameServer`], [`Error::OutOfMemory`].
    pub fn dns_lookup(&mut self, name: &str, family: AddressFamily) -> Result<Handle, Error> {
        let _ = (name, family);
        Err(Error::NoNameServer)
    }

    /// The addresses found, IPv4 first, never none. [`Error::WouldBlock`] as long as servers are
    /// asked; [`Error::NameNotFound`] and [`Error::TimedOut`] tell how it failed. The answer stays
    /// until the handle is closed.
    pub fn dns_result(&mut self, lookup: Handle) -> Result<Vec<IpAddr>, Error> {
        let _ = lookup;
        Err(Error::BadHandle)
    }
}
