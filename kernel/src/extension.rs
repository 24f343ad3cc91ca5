//! System calls handled by other parts, which are linked only into programs that need them.
//!
//! The link driver sees from a program's objects which parts it needs (`tools/src/link/parts.rs`)
//! and asks the linker for their symbols. A part that isn't linked costs nothing.

use crate::arch::gates::SystemCallFrame;
use crate::errno::Errno;
use crate::part::Slot as _;

/// Handles the system call that saved the frame, or returns `None` for an unknown one.
pub type Extension = fn(&mut SystemCallFrame) -> Option<Result<u64, Errno>>;

crate::slot! {
    /// The extensions, in the order in which they are asked.
    pub enum SystemCalls: Extension = "system_calls";
}

/// The result of the first extension that handles the call.
pub(crate) fn handle(call: &mut SystemCallFrame) -> Option<Result<u64, Errno>> {
    SystemCalls::parts()
        .iter()
        .find_map(|extension| extension(call))
}
