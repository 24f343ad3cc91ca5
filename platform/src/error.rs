//! The error codes, and the results of operations.

use alloc::format;
use alloc::string::String;

/// Code of a failure. The list only grows, at its end; a number is never reused with another
/// meaning.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// An argument is out of range: the caller's mistake.
    Invalid = 1,
    /// The descriptor was closed, by this task or by another.
    Closed = 2,
    /// No such file, directory or device.
    NotFound = 3,
    /// The file or directory exists already.
    Exists = 4,
    /// A directory was needed, or a component of the path is a file.
    NotDirectory = 5,
    /// The path names a directory where a file is needed.
    IsDirectory = 6,
    /// The directory has entries.
    NotEmpty = 7,
    /// The disk, or a fixed-size table on it, is full.
    NoSpace = 8,
    /// The disk, the file or the descriptor can't be written.
    ReadOnly = 9,
    /// The file system can't store this name.
    InvalidName = 10,
    /// A name or path is longer than the file system allows.
    NameTooLong = 11,
    /// The size or the offset is beyond what the format allows.
    TooLarge = 12,
    /// The file system's data is inconsistent.
    Corrupt = 13,
    /// The device failed.
    Io = 14,
    /// It is in use elsewhere in the program, or a disk by another program.
    Busy = 15,
    /// The device, the file system or the platform can't do it.
    Unsupported = 16,
    /// The peer's host refused the connection (RST).
    ConnectionRefused = 17,
    /// The peer reset the connection.
    ConnectionReset = 18,
    /// A deadline, or the protocol's own limit, has passed.
    TimedOut = 19,
    /// There is no route, or a router reports that the destination can't be reached.
    Unreachable = 20,
    /// Another descriptor has this address and port.
    AddressInUse = 21,
    /// No interface has this address, or all ports are taken.
    AddressNotAvailable = 22,
    /// The connection isn't established, or no longer.
    NotConnected = 23,
    /// The other side no longer reads.
    BrokenPipe = 24,
    /// The machine has no such device.
    NoDevice = 25,
    /// The machine has no source of random numbers.
    NoEntropy = 26,
    /// Out of memory.
    OutOfMemory = 27,
    /// The table of descriptors, ports or connections is full.
    TooManyOpen = 28,
    /// The operation was cancelled.
    Cancelled = 29,
    /// The descriptor is of a kind that can't do this.
    WrongKind = 30,
    /// The name has no address, or none of the family asked for.
    NoSuchHost = 31,
    /// There is no network interface, or none with an address yet.
    NoNetwork = 32,
    /// No name server responded, or the response was a failure.
    NameServerFailure = 33,
    /// The datagram is larger than can be sent.
    MessageTooLong = 34,
    /// The value of an environment variable is invalid.
    BadConfiguration = 35,
    /// The host doesn't permit it.
    PermissionDenied = 36,
    /// A path crosses more than 40 symbolic links, or a file has the maximum number of names.
    TooManyLinks = 37,
    /// Two paths are on different volumes, which a rename or a hard link can't span.
    CrossVolume = 38,
    /// Every task waits for another one, and nothing can wake any of them (raised in OCaml).
    Deadlock = 39,
    /// A certificate wasn't accepted: the peer's here, or this end's by the peer.
    Certificate = 40,
    /// The peer broke the TLS protocol, or no parameters were agreed on.
    Tls = 41,
}

/// A failure for the user: the code for the program, and a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub error: Error,
    /// One line for the user: operation, object, cause and remedy; empty where the code suffices.
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

    /// The same failure, with its object before the detail.
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

impl From<fs::Error> for Error {
    fn from(error: fs::Error) -> Error {
        match error {
            fs::Error::Invalid => Error::Invalid,
            fs::Error::Closed => Error::Closed,
            fs::Error::NotFound => Error::NotFound,
            fs::Error::Exists => Error::Exists,
            fs::Error::NotDirectory => Error::NotDirectory,
            fs::Error::IsDirectory => Error::IsDirectory,
            fs::Error::NotEmpty => Error::NotEmpty,
            fs::Error::NoSpace => Error::NoSpace,
            fs::Error::ReadOnly => Error::ReadOnly,
            fs::Error::InvalidName => Error::InvalidName,
            fs::Error::NameTooLong => Error::NameTooLong,
            fs::Error::TooLarge => Error::TooLarge,
            fs::Error::Corrupt => Error::Corrupt,
            fs::Error::Io => Error::Io,
            fs::Error::Busy => Error::Busy,
            fs::Error::Unsupported => Error::Unsupported,
            // A file marked read-only, or a descriptor opened without writing.
            fs::Error::PermissionDenied => Error::ReadOnly,
            fs::Error::Denied => Error::PermissionDenied,
            fs::Error::OutOfMemory => Error::OutOfMemory,
            fs::Error::TooManyOpen => Error::TooManyOpen,
            fs::Error::TooManyLinks => Error::TooManyLinks,
            fs::Error::CrossVolume => Error::CrossVolume,
        }
    }
}

impl From<fs::MountError> for Failure {
    fn from(failure: fs::MountError) -> Failure {
        Failure::new(failure.error.into(), failure.detail)
    }
}

/// Why an operation has no result yet, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It failed.
    Error(Error),
    /// Nothing was done; park on the descriptor and retry.
    WouldBlock,
    /// It was started; its completion will follow.
    Pending,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

/// Result of an operation: a number, or the reason why there is none.
pub type Answer = Result<usize, Stop>;
