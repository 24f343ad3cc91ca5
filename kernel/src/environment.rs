//! The program's environment from the loader's command line, or a file that it names, and the
//! devices that it names. Hooks ([`crate::boot::Hook`]) may add to it before the program starts.

use crate::board::fw_cfg;
use crate::console;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};
use firmware::command_line::{CommandLine, MmioDevice};

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

/// The variable that names a file of QEMU's device for firmware with more of the command line.
/// Launchers pass what other users of the host must not see in it, since they see a process's
/// arguments.
const FILE: &[u8] = b"SOIL_FW_CFG";
/// The most bytes of that file, as of a command line.
const MAX_FILE: usize = 64 << 10;

/// Decodes the command line; a line on the console names each unknown word.
///
/// # Errors
/// The name of the file, if that is missing or too long.
pub fn set_up(line: &[u8]) -> Result<&'static CommandLine, &'static str> {
    let mut line = CommandLine::parse(line);
    let file = line.variable(FILE).map(|name| fw_cfg::file(name, MAX_FILE));
    let is_missing = matches!(file, Some(None));
    if let Some(text) = file.flatten() {
        let file = CommandLine::parse(&text);
        if !file.unknown.is_empty() {
            // The words themselves are no one else's business.
            line.unknown.push(b"SOIL_FW_CFG:*".to_vec());
        }
        line.complete(file);
    }
    let line = set(line);
    // A driver may need what the line says of devices.
    console::select(line.variable(b"SOIL_CONSOLE"));
    if is_missing {
        let name = line.variable(FILE).unwrap_or_default();
        return Err(core::str::from_utf8(name).unwrap_or_default());
    }
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
    Ok(line)
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
    let mut completed = CommandLine {
        environment: line.environment.clone(),
        arguments: line.arguments.clone(),
        mmio_devices: line.mmio_devices.clone(),
        unknown: Vec::new(),
    };
    let variables = variables.iter();
    let arguments = arguments.iter();
    completed.complete(CommandLine {
        environment: variables
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
            .collect(),
        arguments: arguments.map(|word| word.as_bytes().to_vec()).collect(),
        ..CommandLine::default()
    });
    completed
}

#[cfg(test)]
mod tests {
    use super::completed;
    use firmware::command_line::CommandLine;

    #[test]
    fn the_command_line_takes_precedence() {
        let line = CommandLine::parse(b"A=1 virtio_mmio.device=4K@0xd0000000:5");
        let added = completed(&line, &[("A", "2"), ("B", "3 4")], &["x", "y z"]);
        assert_eq!(added.environment, [b"A=1".to_vec(), b"B=3 4".to_vec()]);
        assert_eq!(added.arguments, [b"x".to_vec(), b"y z".to_vec()]);
        assert_eq!(added.mmio_devices, line.mmio_devices);
        let line = CommandLine::parse(b"-- own");
        assert_eq!(completed(&line, &[], &["x"]).arguments, [b"own".to_vec()]);
        // As from a file.
        let mut line = CommandLine::parse(b"A=1");
        line.complete(CommandLine::parse(b"A=2\nAB=\"x y\"\nloud\n-- z"));
        assert_eq!(line.environment, [b"A=1".to_vec(), b"AB=x y".to_vec()]);
        assert_eq!(line.arguments, [b"z".to_vec()]);
    }
}
