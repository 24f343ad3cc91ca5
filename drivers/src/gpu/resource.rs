//! The state of a resource on the host.

use super::control::What;

/// The state of a resource on the host, once all commands in flight are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    #[default]
    Nothing,
    /// A resource whose storage is the guest's memory.
    Blob,
    /// A resource for copies, without attached memory.
    Created,
    /// The same, with memory attached.
    Attached,
    /// The same, after one complete copy.
    Copied,
}

impl Host {
    /// The state after a command was refused.
    pub fn without(self, what: What) -> Host {
        self.min(match what {
            What::Create => Host::Nothing,
            What::Attach => Host::Created,
            _ => Host::Attached,
        })
    }
}
