//! Before the program: what happens when it fails, and the pause after it did.

use crate::clock::NS;
use crate::power::failure::{self, Action};
use crate::{console, environment, memory, power, time, wait};

/// The variable with an action's name.
const VARIABLE: &[u8] = b"SOIL_ON_FAILURE";

/// Reads the variable, and pauses if the last boot's program failed. As a hook of the boot, after
/// the others, which may set the variable.
pub extern "C" fn recover() {
    let name = environment::variable(VARIABLE).filter(|name| !name.is_empty());
    let action = name.map_or(Some(Action::PowerOff), Action::named);
    let action = action.unwrap_or_else(|| {
        console::line(format_args!(
            "SOIL_ON_FAILURE: unknown: give reboot, poweroff or halt"
        ));
        Action::PowerOff
    });
    if action == Action::Reboot {
        failure::take_last();
        if let Some(last) = failure::last() {
            pause(last.record.count, last.record.pause_s());
        }
    } else {
        memory::release_kept();
    }
    failure::set(action);
}

fn pause(count: u8, seconds: u64) {
    console::line(format_args!(
        "the program failed ({count} in a row): it starts in {seconds} s"
    ));
    let end = time::monotonic_ns().saturating_add(seconds * NS);
    while time::monotonic_ns() < end {
        // Lets the power button interrupt.
        wait::wait_until(Some(end));
        if power::requested() != 0 {
            power::exit(0);
        }
    }
}
