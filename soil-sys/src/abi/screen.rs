//! The console on a display: a part of its own, since what refers to it carries it.

use crate::ffi::Int;
use resources::displays;
use resources::runtime::call;

/// Shows the console on the first display as well, if the machine's command line has
/// `SOIL_CONSOLE=display`; does nothing in a process. To be called once. Errors: `Too_many`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_use_screen() -> Int {
    call(displays::show_console)
}
