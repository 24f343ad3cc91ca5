//! The console: a 16550 UART at the first serial port, and QEMU's debug port for messages to `soil
//! run`.
//!
//! Standard input, output and error output are one serial line, used in one of three ways
//! ([`Sender`]):
//!
//! - A terminal is at its other end, as with `-serial stdio` of a bare QEMU. Input has a line
//!   discipline.
//! - `soil run` is there, with a pipe or a file as its input (`SOIL_CONSOLE=pipe` on the command
//!   line).
//! - `soil run` is there, with a terminal as its input that edits lines by itself
//!   (`SOIL_CONSOLE=terminal`).
//!
//! With `soil run` both directions are framed (`framing.rs`), so that every byte passes unchanged.
//! Input is not sent before the machine has asked for it, by the line `SOIL-INPUT` on the debug
//! port: a UART that is being set up loses bytes, and a program that doesn't read leaves the input
//! to others. On machines without that port the frames carry its lines.
//!
//! The transmitter is full while QEMU's output is not read. A write of the program then halts, as
//! on a full pipe, until there is room or a signal arrives; a write of the kernel spins, and it and
//! the machine's end wait for [`TIMEOUT_NS`] at most. Output takes no cell and allocates nothing,
//! so that a crash can be reported from any context. A PL011 of QEMU is never full: the write of a
//! byte ends when QEMU's output takes it, and the whole machine waits. `soil run` gives a `virt`
//! another port for output.
//!
//! Under KVM each byte of a UART is an exit from the virtual machine. There `soil run` adds a port
//! of a virtio console (`SOIL_CONSOLE=pipe,output`), which takes the program's output with one exit
//! a line, once its driver has started ([`Line`]). Input, the output of the boot and reports of
//! crashes stay with the UART, whose bytes arrive in the same pipe. Programs without devices
//! contain no such driver.
//!
//! Output can also be shown on a display ([`Mirrors`]; `SOIL_CONSOLE=display`), by code that
//! only programs with a display link.
//!
//! The port is no console to QEMU: its `virtconsole` drops what its reader doesn't accept at once
//! (`flush_buf` in hw/char/virtio-console.c throttles only ports that aren't consoles). Sources:
//! there, and QEMU docs/specs (isa-debugcon returns its own port number on reads).

mod framing;
mod input;
pub mod kept;
mod line;
mod line_discipline;
mod log;
mod output;
mod pending;
mod port;

pub use framing::Stream;
pub use input::{
    has_input, listen, listen_for_reports, report_requested, select, set_up, try_read,
};
pub use line::{Line, PORT_NS, Port, Serial};
pub use line_discipline::Sender;
pub use log::{drain_now, drain_with, flush_log, log, restarting, status_line};
pub use output::{
    ErrorOutput, MAX_BURST, Mirror, Mirrors, POLL_NS, TIMEOUT_NS, UART, find_control, has_room,
    line, mirror, note_taken, try_write, write_control, write_now, write_serial,
};
pub use pending::Pending;
pub use port::{Driver, Drivers, Request, Role, leave_port, waits};

/// Whether there is a console at all.
pub fn is_present() -> bool {
    output::has_serial() || port::is_used()
}
