//! Volumes without a disk, such as folders of the host: their calls run on a fiber, which they
//! suspend while a blocking call is offloaded.

use alloc::boxed::Box;
use fs::{MountError, Volume, VolumeOptions};

/// The result of mounting.
pub type Mounted = Result<Box<dyn Volume>, MountError>;

/// Mounts the folder named by the text, on a fiber.
pub type MountFolder<Offload> = fn(&str, &VolumeOptions, Waiting<Offload>) -> Mounted;

/// The platform's driver for folders of the host.
#[derive(Clone, Copy)]
pub struct Folders<Offload> {
    /// Bytes of stack for its calls.
    pub stack: usize,
    /// See [`MountFolder`].
    pub mount: MountFolder<Offload>,
}

/// The means by which a volume's calls wait.
pub struct Waiting<Offload> {
    /// Suspends the calls.
    pub fiber: Box<dyn Suspend>,
    /// Runs blocking system calls meanwhile.
    pub offload: Offload,
}

/// Suspends a volume's call, so that everything else continues. It is used only during such a call,
/// on its fiber.
pub trait Suspend: Send {
    /// Whether the call can't be suspended. It then fails if it would have to wait, and is repeated
    /// when it can.
    fn is_unresponsive(&self) -> bool;

    /// Suspends the call until any event.
    fn wait(&self);

    /// Suspends the call until all others have had their turn.
    fn yield_now(&self);

    /// Makes the active job's answer wait for `answer`, which is polled after each event until it
    /// returns a result: `Ok` for the job's own answer, or the failure that replaces it. The next
    /// job begins meanwhile.
    fn suspend_answer(&self, answer: SuspendedAnswer);
}

/// See [`Suspend::suspend_answer`].
pub type SuspendedAnswer = Box<dyn FnMut() -> Option<Result<(), fs::Error>>>;
