//! The stack on which ticks run.

use crate::Image;
use kernel::wait;
use platform::Memory as _;

/// Bytes of the stack for ticks.
pub const STACK: usize = 64 << 10;

/// Starts the ticks, unless they have begun; false if there is no memory for their stack.
pub fn start() -> bool {
    if wait::has_ticks() {
        return true;
    }
    let stack = Image::stack(STACK);
    stack.inspect(|stack| wait::start_ticks(*stack)).is_some()
}
