//! A question over TCP, for responses that don't fit a datagram (RFC 1035, 4.2.2, RFC 7766).

use crate::Network;
use alloc::vec::Vec;
use core::net::SocketAddr;

use net::{Error, Handle};

/// Maximum time for connecting, sending and receiving.
const TIMEOUT_NS: u64 = 5_000_000_000;
/// Maximum number of bytes read at once.
const PIECE: usize = 512;

/// The connection to one server for one question.
pub(super) struct Stream {
    connection: Handle,
    pub(super) id: u16,
    pub(super) deadline_ns: u64,
    /// Unwritten rest of the length and the query.
    rest: Vec<u8>,
    /// Something was written since the last call of `has_written`.
    written: bool,
    /// Received part of the length and the response.
    received: Vec<u8>,
}

impl Stream {
    /// Starts the connection. `None` if that fails.
    pub(super) fn new(
        stack: &mut Network,
        server: SocketAddr,
        id: u16,
        query: &[u8],
        now_ns: u64,
    ) -> Option<Stream> {
        let connection = stack.tcp_connect(server, None).ok()?;
        let mut rest = (query.len() as u16).to_be_bytes().to_vec();
        rest.extend(query);
        Some(Stream {
            connection,
            id,
            deadline_ns: now_ns.saturating_add(TIMEOUT_NS),
            rest,
            written: false,
            received: Vec::new(),
        })
    }

    /// Advances as far as possible: returns the response, [`Error::WouldBlock`], or why it failed.
    pub(super) fn run(&mut self, stack: &mut Network, now_ns: u64) -> Result<&[u8], Error> {
        if now_ns >= self.deadline_ns {
            return Err(Error::TimedOut);
        }
        stack.tcp_connect_result(self.connection)?;
        while !self.rest.is_empty() {
            let written = stack.tcp_write(self.connection, &self.rest)?;
            self.written = true;
            self.rest.drain(..written.min(self.rest.len()));
        }
        loop {
            if let [high, low, answer @ ..] = self.received.as_slice() {
                let len = u16::from_be_bytes([*high, *low]) as usize;
                if answer.len() >= len {
                    break;
                }
            }
            let mut piece = [0; PIECE];
            let len = stack.tcp_read(self.connection, &mut piece)?;
            if len == 0 {
                return Err(Error::ConnectionReset);
            }
            self.received.extend(piece.get(..len).unwrap_or_default());
        }
        Ok(self.received.get(2..).unwrap_or_default())
    }

    /// Whether something was written since the last call.
    pub(super) fn has_written(&mut self) -> bool {
        core::mem::take(&mut self.written)
    }

    /// Ends the connection.
    pub(super) fn close(self, stack: &mut Network) {
        // The handle is ours. All data has been received, so there is no reason to wait for a FIN.
        let _ = stack.abort(self.connection);
    }
}
