//! The program's environment from the loader's command line, and the devices that it names. Hooks
//! ([`crate::boot::Hook`]) may add to it before the program starts.

use crate::console;
use crate::firmware::command_line::{CommandLine, MmioDevice};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The decoded command line, never freed; null before [`set_up`]. Written at boot only.
static COMMAND_LINE: AtomicPtr<CommandLine> = AtomicPtr::new(core::ptr::null_mut());

/// The decoded command line.
pub(crate) fn command_line() -> Option<&'static CommandLine> {
    // Acquire: pairs with `set`. SAFETY: only boxes that are never freed are stored there.
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
    let line = set(CommandLine::parse(line));
    // A driver may need what the line says of devices.
    console::select(line.variable(b"SOIL_CONSOLE"));
    for word in &line.unknown {
        // `escape_ascii` would be linked into every image.
        let mut word = word.clone();
        for byte in &mut word {
            if !byte.is_ascii_graphic() {
                *byte = b'?';
            }
        }
        let word = core::str::from_utf8(&word).unwrap_or_default();
        console::line(format_args!(
            "unknown word on the command line: {word} (NAME=value sets a variable, arguments \
            follow --)",
        ));
    }
    line
}

fn set(line: CommandLine) -> &'static CommandLine {
    let line: &'static CommandLine = Box::leak(Box::new(line));
    // Release: the box is complete for who loads its address.
    COMMAND_LINE.store(core::ptr::from_ref(line).cast_mut(), Ordering::Release);
    line
}

/// Adds the environment variables that the command line doesn't set, and the arguments if it has
/// none. Only from a hook, before the program starts.
pub fn add(variables: &[(&str, &str)], arguments: &[&str]) {
    let Some(line) = command_line() else {
        return;
    };
    set(completed(line, variables, arguments));
}

fn completed(line: &CommandLine, variables: &[(&str, &str)], arguments: &[&str]) -> CommandLine {
    let mut environment = line.environment.clone();
    for (name, value) in variables {
        if line.variable(name.as_bytes()).is_none() {
            environment.push([name.as_bytes(), b"=", value.as_bytes()].concat());
        }
    }
    let mut all = line.arguments.clone();
    if all.is_empty() {
        all.extend(arguments.iter().map(|word| word.as_bytes().to_vec()));
    }
    CommandLine {
        environment,
        arguments: all,
        mmio_devices: line.mmio_devices.clone(),
        unknown: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::completed;
    use crate::firmware::command_line::CommandLine;

    #[test]
    fn the_command_line_takes_precedence() {
        let line = CommandLine::parse(b"A=1 virtio_mmio.device=4K@0xd0000000:5");
        let added = completed(&line, &[("A", "2"), ("B", "3 4")], &["x", "y z"]);
        assert_eq!(added.environment, [b"A=1".to_vec(), b"B=3 4".to_vec()]);
        assert_eq!(added.arguments, [b"x".to_vec(), b"y z".to_vec()]);
        assert_eq!(added.mmio_devices, line.mmio_devices);
        let line = CommandLine::parse(b"-- own");
        assert_eq!(completed(&line, &[], &["x"]).arguments, [b"own".to_vec()]);
    }
}
