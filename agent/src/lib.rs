//! QEMU's guest agent protocol (`qga/qapi-schema.json`), for a virtio-serial port named
//! `org.qemu.guest_agent.0`: a codec and a state machine without devices.
//!
//! A request is one line of JSON; so is a response. The host is untrusted: a line, the answers to
//! it and the requests that wait are bounded, and nothing it sends panics.
//!
//! ```
//! use agent::{Agent, Answer, Request};
//!
//! let mut agent = Agent::new("1.0");
//! agent.push(b"{\"execute\": \"guest-ping\"}\n{\"execute\": \"guest-fsfreeze-freeze\"}\n");
//! assert_eq!(agent.next_request(), None);
//! assert_eq!(agent.output(), b"{\"return\":{}}\n");
//! agent.consume(agent.output().len());
//! assert_eq!(agent.next_request(), Some(Request::Freeze));
//! agent.answer(Ok(Answer::Volumes(2)));
//! assert_eq!(agent.output(), b"{\"return\":2}\n");
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod protocol;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use self::protocol::{Command, Failure, Message};

/// Maximum number of bytes of a request's line. Longer lines are discarded, with an error.
pub const MAX_LINE: usize = 4096;

/// The byte by which a host resets the parser, and which precedes the response to
/// `guest-sync-delimited`. It occurs in no UTF-8.
const DELIMITER: u8 = 0xff;

/// What the host asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `guest-network-get-interfaces`: answer with [`Answer::Interfaces`].
    Interfaces,
    /// `guest-shutdown`: answer with [`Answer::Done`], which sends no response.
    Shutdown(Shutdown),
    /// `guest-fsfreeze-freeze`: make all volumes consistent on their disks and hold writes; answer
    /// with [`Answer::Volumes`].
    Freeze,
    /// `guest-fsfreeze-thaw`: release the writes; answer with [`Answer::Volumes`].
    Thaw,
    /// `guest-get-time`: answer with [`Answer::Time`].
    Time,
    /// `guest-set-time`: set the clock to this number of nanoseconds since 1970 (UTC), or `None` to
    /// that of the machine's clock; answer with [`Answer::Set`].
    SetTime(Option<i64>),
}

/// The mode of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Switch the power off, the default.
    PowerDown,
    /// Stop the processor.
    Halt,
    /// Start again.
    Reboot,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The network interfaces.
    Interfaces(Vec<Interface>),
    /// Number of volumes that were frozen or thawed. A freeze of none freezes nothing.
    Volumes(u32),
    /// Nanoseconds since 1970 (UTC).
    Time(i64),
    /// The time was set.
    Set,
    /// Done; no response is sent.
    Done,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub hardware_address: Option<[u8; 6]>,
    /// Its addresses, with the number of bits of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// The agent's end of the port. It handles one request at a time, and the next when the owner has
/// taken the response.
pub struct Agent {
    version: &'static str,
    /// The unread part of the input; at most [`MAX_LINE`] bytes.
    input: Vec<u8>,
    /// The rest of a line that is too long is being discarded.
    discarding: bool,
    output: Vec<u8>,
    pending: Option<Pending>,
    frozen: bool,
}

/// A request that the owner has to answer.
struct Pending {
    request: Request,
    /// JSON, as the host wrote it.
    id: Option<String>,
    /// The host that sent it is gone: its response is dropped.
    orphaned: bool,
}

impl Agent {
    /// An agent of a system of this `version`, which `guest-info` and `guest-get-osinfo` report.
    pub fn new(version: &'static str) -> Agent {
        Agent {
            version,
            input: Vec::new(),
            discarding: false,
            output: Vec::new(),
            pending: None,
            frozen: false,
        }
    }

    /// Takes input as far as it fits; returns the number of bytes taken. Call
    /// [`next_request`](Agent::next_request) before offering the rest.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(MAX_LINE - self.input.len());
        self.input.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// The next request that the owner must [`answer`](Agent::answer). The agent itself responds to
    /// the others. `None`: the input has no further complete request, an answer is due, or there is
    /// output to be [consumed](Agent::consume) first.
    pub fn next_request(&mut self) -> Option<Request> {
        while self.pending.is_none() && self.output.is_empty() {
            let line = self.next_line()?;
            match line {
                Ok(line) => self.handle(&line),
                Err(failure) => self.respond(Err(failure), None),
            }
            if let Some(pending) = &self.pending {
                return Some(pending.request);
            }
        }
        None
    }

    /// Takes a complete line out of the input, without its end. Lines that the host aborted by the
    /// delimiter are dropped, and blank ones.
    fn next_line(&mut self) -> Option<Result<Vec<u8>, Failure>> {
        loop {
            let ends = |byte: &u8| *byte == b'\n' || *byte == DELIMITER;
            let Some(at) = self.input.iter().position(ends) else {
                if self.discarding {
                    self.input.clear();
                } else if self.input.len() == MAX_LINE {
                    self.input.clear();
                    self.discarding = true;
                    let text = format!("the request is longer than {MAX_LINE} bytes");
                    return Some(Err(Failure::generic(text)));
                }
                return None;
            };
            let complete = self.input[at] == b'\n' && !self.discarding;
            self.discarding = false;
            let mut line: Vec<u8> = self.input.drain(..=at).collect();
            line.pop();
            if complete && !line.trim_ascii().is_empty() {
                return Some(Ok(line));
            }
        }
    }

    fn handle(&mut self, line: &[u8]) {
        let Message { id, command } = protocol::parse(line);
        let command = match command {
            Ok(command) => command,
            Err(failure) => return self.respond(Err(failure), id),
        };
        if self.frozen && !command.works_frozen() {
            let text = format!(
                "Command {} has been disabled: the volumes are frozen",
                command.name()
            );
            return self.respond(Err(Failure::not_found(text)), id);
        }
        match command {
            Command::Sync(number) => self.respond(Ok(number.to_string()), id),
            Command::SyncDelimited(number) => {
                self.output.push(DELIMITER);
                self.respond(Ok(number.to_string()), id);
            }
            Command::Ping => self.respond(Ok("{}".into()), id),
            Command::Info => self.respond(Ok(protocol::info(self.version, self.frozen)), id),
            Command::FreezeStatus => {
                let status = if self.frozen {
                    "\"frozen\""
                } else {
                    "\"thawed\""
                };
                self.respond(Ok(status.into()), id);
            }
            Command::OsInfo => self.respond(Ok(protocol::os_info(self.version)), id),
            Command::Ask(request) => {
                self.pending = Some(Pending {
                    request,
                    id,
                    orphaned: false,
                });
            }
        }
    }

    /// Answers the request that [`next_request`](Agent::next_request) returned, with a description
    /// of the error if it failed. Has no effect if none is due.
    pub fn answer(&mut self, answer: Result<Answer, String>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        match (pending.request, &answer) {
            (Request::Freeze, Ok(Answer::Volumes(count))) => self.frozen = *count > 0,
            (Request::Thaw, Ok(_)) => self.frozen = false,
            _ => {}
        }
        if pending.orphaned {
            return;
        }
        match answer.map(|answer| protocol::describe(&answer)) {
            Ok(Some(value)) => self.respond(Ok(value), pending.id),
            Ok(None) => {}
            Err(text) => self.respond(Err(Failure::generic(text)), pending.id),
        }
    }

    /// The owner has thawed the volumes without a request.
    pub fn thawed(&mut self) {
        self.frozen = false;
    }

    /// Drops the output, and the response to a pending request: another host has opened the port.
    /// The input stays, since the new host may have sent it; a host drops an old host's unfinished
    /// line by the byte 0xFF.
    pub fn drop_output(&mut self) {
        self.output.clear();
        if let Some(pending) = &mut self.pending {
            pending.orphaned = true;
        }
    }

    /// Adds a response: a value as JSON, or an error.
    fn respond(&mut self, result: Result<String, Failure>, id: Option<String>) {
        let response = protocol::response(&result, id.as_deref());
        self.output.extend_from_slice(response.as_bytes());
        self.output.push(b'\n');
    }

    /// Bytes to be sent to the host.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Removes the first `count` bytes of the output, which were sent.
    pub fn consume(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
    }

    /// Whether the volumes are frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }
}
