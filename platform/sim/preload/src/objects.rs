//! The kinds of objects behind descriptors.

use net::Handle;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

/// An open object, which several descriptors may share (an open file description).
pub struct Object {
    /// Number of its descriptors.
    pub references: u32,
    /// `O_NONBLOCK`.
    pub nonblocking: bool,
    /// What arrived so far, unless the object itself tells: an edge-triggered interest in reading
    /// is reported again when it changes ([`crate::readiness::arrivals`]).
    pub arrivals: u64,
    /// Attempts to write that succeeded or found no room: the same for interests in writing.
    pub writes: u64,
    pub kind: Kind,
}

/// The kinds.
pub enum Kind {
    /// TCP or UDP.
    Socket(Socket),
    /// `AF_UNIX`, without a peer: there is none in a node.
    Local,
    /// An end of a pipe, or of a pair of sockets.
    End(End),
    /// eventfd(2).
    Counter { value: u64, semaphore: bool },
    /// timerfd_create(2).
    Timer(Timer),
    /// epoll_create1(2).
    Epoll(Epoll),
    /// The node's output, with the number of its stream.
    Console(u8),
}

/// The state of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Perhaps bound.
    Idle,
    Listening,
    Connecting,
    Connected,
}

/// A socket of the stack.
pub struct Socket {
    pub stream: bool,
    /// None before it is bound or connected.
    pub handle: Option<Handle>,
    pub phase: Phase,
    /// A connect has returned that it is connected.
    pub connect_reported: bool,
    /// The program has fetched the error of the failed connection.
    pub error_fetched: bool,
    /// shutdown(2) for reading, and for writing.
    pub read_shut: bool,
    pub write_shut: bool,
    /// Bytes of datagrams, or accepted connections, that it took from the stack.
    pub taken: u64,
    /// A datagram that was read with `MSG_PEEK`.
    pub peeked: Option<(Vec<u8>, SocketAddr)>,
    pub options: Options,
}

impl Socket {
    pub fn new(stream: bool) -> Socket {
        Socket {
            stream,
            handle: None,
            phase: Phase::Idle,
            connect_reported: false,
            error_fetched: false,
            read_shut: false,
            write_shut: false,
            taken: 0,
            peeked: None,
            options: Options::default(),
        }
    }
}

impl Socket {
    /// The program gets the error of the connection, unless it had it before.
    pub fn take_failure(&mut self) -> bool {
        !std::mem::replace(&mut self.error_fetched, true)
    }
}

/// Options, which connections inherit from their listener.
#[derive(Clone, Default)]
pub struct Options {
    /// Numbers by level and name, as the program set them.
    pub numbers: BTreeMap<(i32, i32), i32>,
    /// Seconds, if set.
    pub linger: Option<u32>,
    /// Nanoseconds; 0: no limit.
    pub receive_timeout: u64,
    pub send_timeout: u64,
}

/// Bytes on their way inside the process.
pub struct Channel {
    pub bytes: VecDeque<u8>,
    /// Number of writes.
    pub arrivals: u64,
    pub reader_gone: bool,
    pub writer_gone: bool,
}

/// A channel, as its two ends share it.
pub type SharedChannel = Rc<RefCell<Channel>>;

/// An end of a pipe or of a pair of sockets.
pub struct End {
    pub input: Option<SharedChannel>,
    pub output: Option<SharedChannel>,
    pub socket: bool,
}

/// A timer, by the monotonic clock in nanoseconds.
pub struct Timer {
    /// The clock of absolute times.
    pub clock: i32,
    pub next: Option<u64>,
    /// 0: it expires once.
    pub interval: u64,
}

/// What an epoll descriptor waits for.
#[derive(Default)]
pub struct Epoll {
    /// By descriptor and object.
    pub interests: BTreeMap<(i32, u64), Interest>,
    /// The interest that comes first next time, so that all have their turn.
    pub next: (i32, u64),
}

/// One descriptor's events.
pub struct Interest {
    pub events: u32,
    pub data: u64,
    /// Edge-triggered: the events that were reported.
    pub reported: u32,
    /// Counts of the object when they were.
    pub arrivals: u64,
    pub writes: u64,
}
