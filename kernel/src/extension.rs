//! System calls handled by other parts, which are linked only into programs that need them.
//!
//! The link driver sees from a program's objects which parts it needs (`tools/src/link/parts.rs`)
//! and asks the linker for their symbols. A part that isn't linked costs nothing.

use crate::arch::gates::SystemCallFrame;
use crate::errno::Errno;

/// Handles the system call that saved the frame, or returns `None` for an unknown one.
pub type Extension = extern "C" fn(&mut SystemCallFrame, &mut Result<u64, Errno>) -> bool;

unsafe extern "C" {
    // The linker script places the linked extensions between the two.
    static soil_extensions_start: Extension;
    static soil_extensions_end: Extension;
}

/// Places an extension, which is linked if the symbol `$name` is referenced.
#[macro_export]
macro_rules! system_call_extension {
    ($name:literal, $function:path) => {
        // A section of its own: the archive's objects are joined, and equal names with them.
        $crate::place!(concat!(".soil_extensions.", $name), $name, $function);
    };
}

/// The result of the first extension that handles the call.
pub(crate) fn handle(call: &mut SystemCallFrame) -> Option<Result<u64, Errno>> {
    let (start, end) = (
        &raw const soil_extensions_start,
        &raw const soil_extensions_end,
    );
    let count = (end as usize - start as usize) / size_of::<Extension>();
    // SAFETY: the linker script puts whole pointers to functions of this type, from the macro
    // above, between the two.
    let extensions = unsafe { core::slice::from_raw_parts(start, count) };
    let mut result = Err(Errno::ENOSYS);
    extensions
        .iter()
        .any(|extension| extension(call, &mut result))
        .then_some(result)
}
