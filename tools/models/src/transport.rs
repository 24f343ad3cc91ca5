//! What queues use of `drivers`.

/// As in `drivers`, for a queue.
#[expect(missing_docs, reason = "as in `drivers`")]
#[derive(Debug)]
pub enum Error {
    NoQueue(u16),
    QueueTooSmall(u16),
    BadQueue(u16),
    OutOfMemory,
    DeviceError,
}

/// As in `drivers`.
#[expect(missing_docs, reason = "as in `drivers`")]
#[derive(Clone, Copy, Debug)]
pub struct QueueAddresses {
    pub size: u16,
    pub descriptors: u64,
    pub driver: u64,
    pub device: u64,
}

/// As in `drivers`.
#[expect(missing_docs, reason = "as in `drivers`")]
#[derive(Clone, Copy, Debug)]
pub enum QueueSize {
    AtMost(u16),
    Exactly(u16),
}

/// As in `drivers`, for a queue.
#[expect(missing_docs, reason = "as in `drivers`")]
pub trait Transport {
    fn is_legacy(&self) -> bool;
    fn queue_size(&mut self, queue: u16) -> Option<QueueSize>;
    fn activate_queue(&mut self, queue: u16, addresses: &QueueAddresses) -> Result<(), Error>;
    fn notify(&self, queue: u16);
}

/// As in `drivers`, for a command.
#[expect(missing_docs, reason = "as in `drivers`")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    Io,
    NoSpace,
    ReadOnly,
    Unsupported,
}
