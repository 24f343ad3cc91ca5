//! The error codes, and what an operation can answer.

use crate::ffi::Int;
use alloc::format;
use alloc::string::String;

/// Why an operation failed. The numbers are part of the interface: fixed, and never used again for
/// another meaning.
#[allow(non_camel_case_types, reason = "the name that C sees")]
pub type soil_error = Error;

/// Why an operation failed. The numbers are part of the interface: fixed, and never used again for
/// another meaning.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument is out of range: the caller's mistake.
    Invalid = 1,
    /// The descriptor has been closed, or never was one.
    Closed = 2,
    /// No file, directory or device of that name.
    NotFound = 3,
    /// The name is taken already.
    Exists = 4,
    /// A part of the path is not a directory.
    NotDirectory = 5,
    /// The path names a directory where a file is wanted.
    IsDirectory = 6,
    /// The directory still has entries.
    NotEmpty = 7,
    /// The disk, or a fixed-size table on it, is full.
    NoSpace = 8,
    /// The disk or the file can't be written.
    ReadOnly = 9,
    /// The name has characters or a form that the file system can't store.
    InvalidName = 10,
    /// The name or the path is longer than the file system can store.
    NameTooLong = 11,
    /// The file or the request is larger than the format allows.
    TooLarge = 12,
    /// What is on the disk contradicts itself.
    Corrupt = 13,
    /// The device failed.
    Io = 14,
    /// It is in use by someone else.
    Busy = 15,
    /// The object or the platform can't do that.
    Unsupported = 16,
    /// The peer's host refused the connection (RST).
    ConnectionRefused = 17,
    /// The peer reset the connection.
    ConnectionReset = 18,
    /// No answer in time.
    TimedOut = 19,
    /// No route, or the network says that the destination can't be reached.
    Unreachable = 20,
    /// The address and port are taken.
    AddressInUse = 21,
    /// The address is not one of this machine's.
    AddressNotAvailable = 22,
    /// The connection is not established.
    NotConnected = 23,
    /// The other side won't read any more.
    BrokenPipe = 24,
    /// The machine has no such device.
    NoDevice = 25,
    /// There is no source of random numbers.
    NoEntropy = 26,
    /// Memory has run out.
    OutOfMemory = 27,
    /// The table of descriptors, ports or connections is full.
    TooManyOpen = 28,
    /// The operation was cancelled.
    Cancelled = 29,
    /// The descriptor is of another kind.
    WrongKind = 30,
    /// The name has no address.
    NoSuchHost = 31,
    /// No network interface, or none with an address.
    NoNetwork = 32,
    /// No name server answered, or it answered with a failure.
    NameServerFailure = 33,
    /// The datagram doesn't fit.
    MessageTooLong = 34,
    /// An environment variable has a value that makes no sense.
    BadConfiguration = 35,
    /// The platform doesn't permit it.
    PermissionDenied = 36,
    /// A path leads over more than 40 symbolic links, or a file has as many names as it can have.
    TooManyLinks = 37,
    /// Two names on different volumes, which a rename or a hard link can't join.
    CrossVolume = 38,
}

/// A failure for the user: the code that the program decides by, and the line that a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub error: Error,
    /// What failed, on what, why, and the remedy, in one line; empty where the code says it all.
    pub detail: String,
}

impl Failure {
    /// A failure with a line of detail.
    pub fn new(error: Error, detail: impl Into<String>) -> Failure {
        Failure {
            error,
            detail: detail.into(),
        }
    }

    /// The same failure, with what it happened to in front of its detail.
    pub fn within(mut self, context: &str) -> Failure {
        self.detail = format!("{context}: {}", self.detail);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::new(error, String::new())
    }
}

/// Why there is no result yet, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It failed.
    Error(Error),
    /// Nothing was done; park on the descriptor and try again.
    WouldBlock,
    /// It was started; its completion will come.
    Pending,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

/// What an operation answers: a number, or why not.
pub type Answer = Result<usize, Stop>;

/// The form in which an answer crosses the boundary.
pub fn encode(answer: Answer) -> Int {
    match answer {
        Ok(n) => Int::try_from(n).unwrap_or(Int::MAX >> 1),
        Err(Stop::Error(error)) => -(error as Int),
        Err(Stop::WouldBlock) => crate::ffi::constants::WOULD_BLOCK,
        Err(Stop::Pending) => crate::ffi::constants::PENDING,
    }
}
