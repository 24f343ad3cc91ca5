//! The program's environment from the loader's command line, and the devices that it names.

use crate::console;
use crate::firmware::command_line::{CommandLine, MmioDevice};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The decoded command line, never freed; null before [`set_up`]. Written once, at boot.
static COMMAND_LINE: AtomicPtr<CommandLine> = AtomicPtr::new(core::ptr::null_mut());

/// The decoded command line.
fn command_line() -> Option<&'static CommandLine> {
    // SAFETY: set once by `set_up`, to a box that is never freed.
    unsafe { COMMAND_LINE.load(Ordering::Acquire).as_ref() }
}

/// The value that the command line gives the environment variable `name`.
pub fn variable(name: &[u8]) -> Option<&'static [u8]> {
    command_line()?.variable(name)
}

/// The environment that the command line gives, as `NAME=value`.
pub fn variables() -> &'static [Vec<u8>] {
    command_line().map_or(&[], |line| &line.environment)
}

/// The virtio-mmio devices that the command line names.
pub fn mmio_devices() -> &'static [MmioDevice] {
    command_line().map_or(&[], |line| &line.mmio_devices)
}

/// Decodes the command line; a line on the console names each unknown word.
pub fn set_up(line: &[u8]) -> &'static CommandLine {
    let line: &'static CommandLine = Box::leak(Box::new(CommandLine::parse(line)));
    COMMAND_LINE.store(core::ptr::from_ref(line).cast_mut(), Ordering::Release);
    // A driver may need what the line says of devices.
    console::select(line.variable(b"SOIL_CONSOLE"));
    for word in &line.unknown {
        // `escape_ascii` would be linked into every image.
        let printable = |byte: &u8| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '?'
            }
        };
        let word: String = word.iter().map(printable).collect();
        console::line(format_args!(
            "unknown word on the command line: {word} (NAME=value sets a variable, arguments \
            follow --)",
        ));
    }
    line
}
