//! Protocols that `tools/models` runs.

pub use crate::memory::{Access, Allocation, Segment};
pub use crate::nvme::command::{Command, io};
pub use crate::nvme::queue::{QueuePair, Sizes};
pub use crate::nvme::registers::offset;
pub use crate::queue::{Buffer, Options, Queue};
