//! One connection: its bytes, its credit, and the packets that it owes its peer. No queues, no
//! clock.

use alloc::collections::VecDeque;

use super::packet::{Address, Header, Operation, STREAM, shutdown};

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing listens there, or the listener has no room.
    Refused,
    /// The peer, or the loss of the device's state, ended it.
    Reset,
    /// The peer, or the device, doesn't respond.
    TimedOut,
}

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Not now.
    WouldBlock,
    /// The connection has failed.
    Failed(Failure),
    /// The peer receives no more, or the program has ended sending.
    BrokenPipe,
    /// It isn't such a socket, or not an open one.
    WrongKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// REQUEST is to be sent.
    New,
    /// REQUEST was sent.
    Requested,
    /// Established.
    Open,
    /// Reset by one of the two.
    Over,
}

/// Whether a packet ended its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// The peer must be sent a RESET.
    Reset,
}

pub(super) struct Connection {
    pub local: Address,
    pub peer: Address,
    pub phase: Phase,
    pub failure: Option<Failure>,
    /// The program has closed it: what is left to send goes on, what arrives is dropped.
    pub closed: bool,
    /// Maximum number of bytes of `input`, and of `output`: the credit that the peer gets.
    share: u32,
    input: VecDeque<u8>,
    /// Bytes received, and those of them that the program took; modulo 2^32.
    received: u32,
    taken: u32,
    /// `taken` as the peer knows it.
    told: u32,
    peer_sends: bool,
    receive_ended: bool,
    output: VecDeque<u8>,
    sent: u32,
    /// The peer's credit.
    peer_buffer: u32,
    peer_taken: u32,
    peer_receives: bool,
    send_ended: bool,
    /// Flags of the last SHUTDOWN.
    announced: u32,
    response_due: bool,
    update_due: bool,
    reset_due: bool,
    credit_request_due: bool,
    /// A CREDIT_REQUEST went out since the peer's last packet.
    credit_requested: bool,
}

impl Connection {
    /// A connection that this end requests.
    pub fn new(local: Address, peer: Address, share: u32) -> Connection {
        Connection {
            local,
            peer,
            phase: Phase::New,
            failure: None,
            closed: false,
            share,
            input: VecDeque::new(),
            received: 0,
            taken: 0,
            told: 0,
            peer_sends: true,
            receive_ended: false,
            output: VecDeque::new(),
            sent: 0,
            peer_buffer: 0,
            peer_taken: 0,
            peer_receives: true,
            send_ended: false,
            announced: 0,
            response_due: false,
            update_due: false,
            reset_due: false,
            credit_request_due: false,
            credit_requested: false,
        }
    }

    /// A connection that `request` asks for.
    pub fn accepted(request: &Header, share: u32) -> Connection {
        let mut connection = Connection::new(request.destination, request.source, share);
        connection.phase = Phase::Open;
        connection.response_due = true;
        connection.peer_buffer = request.buffer;
        connection.peer_taken = request.taken;
        // A peer counts from 0; one that doesn't has no credit.
        if request.taken != 0 {
            connection.peer_buffer = 0;
            connection.peer_taken = 0;
        }
        connection
    }

    /// Bytes of memory that it may take.
    pub fn reserved(&self) -> usize {
        2 * self.share as usize
    }

    /// Bytes that the peer's program has taken, modulo 2^32.
    pub fn peer_taken(&self) -> u32 {
        self.peer_taken
    }

    /// Bytes that the peer can take now.
    fn credit(&self) -> u32 {
        let in_flight = self.sent.wrapping_sub(self.peer_taken);
        self.peer_buffer.saturating_sub(in_flight)
    }

    fn learn_credit(&mut self, header: &Header) -> Result<(), Violation> {
        let known = self.sent.wrapping_sub(self.peer_taken);
        // A peer can't take back what it took, nor take what it hasn't been sent.
        if self.sent.wrapping_sub(header.taken) > known {
            return Err(Violation::Reset);
        }
        self.peer_buffer = header.buffer;
        self.peer_taken = header.taken;
        self.credit_requested = false;
        Ok(())
    }

    /// Applies a packet of the peer, other than REQUEST.
    pub fn input(&mut self, header: &Header, bytes: &[u8]) -> Result<(), Violation> {
        if header.operation == Operation::RESET {
            let was_ended = !self.peer_sends && !self.peer_receives;
            let is_answer = self.announced == shutdown::RECEIVE | shutdown::SEND;
            match self.phase {
                Phase::New | Phase::Requested => self.fail(Failure::Refused),
                Phase::Open if was_ended || is_answer => self.end(),
                Phase::Open => self.fail(Failure::Reset),
                Phase::Over => {}
            }
            return Ok(());
        }
        // Linux ignores them as well: vhost-device-vsock 0.3 sends 0 when it finds nothing to send.
        if !(Operation::REQUEST.0..=Operation::CREDIT_REQUEST.0).contains(&header.operation.0) {
            return Ok(());
        }
        self.learn_credit(header)?;
        match (header.operation, self.phase) {
            (Operation::RESPONSE, Phase::Requested) => self.phase = Phase::Open,
            (Operation::DATA, Phase::Open) => self.data(bytes)?,
            (Operation::CREDIT_UPDATE, Phase::Open) => {}
            (Operation::CREDIT_REQUEST, Phase::Open) => self.update_due = true,
            (Operation::SHUTDOWN, Phase::Open) => {
                if header.flags & shutdown::RECEIVE != 0 {
                    self.peer_receives = false;
                    self.output = VecDeque::new();
                }
                if header.flags & shutdown::SEND != 0 {
                    self.peer_sends = false;
                }
                // The peer waits for it (5.10.6.5).
                self.reset_due |= !self.peer_sends && !self.peer_receives;
            }
            _ => return Err(Violation::Reset),
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let len = u32::try_from(bytes.len()).map_err(|_| Violation::Reset)?;
        let unread = self.received.wrapping_sub(self.taken);
        if !self.peer_sends || len > self.share.saturating_sub(unread) {
            return Err(Violation::Reset);
        }
        self.received = self.received.wrapping_add(len);
        if self.closed || self.receive_ended {
            self.take(len);
            return Ok(());
        }
        self.input
            .try_reserve(bytes.len())
            .map_err(|_| Violation::Reset)?;
        self.input.extend(bytes);
        Ok(())
    }

    /// Counts bytes that left the buffer.
    fn take(&mut self, len: u32) {
        self.taken = self.taken.wrapping_add(len);
        self.update_due |= self.taken.wrapping_sub(self.told) >= self.share / 4;
    }

    /// Ends it without an error.
    fn end(&mut self) {
        self.phase = Phase::Over;
        self.peer_sends = false;
        self.peer_receives = false;
        self.output = VecDeque::new();
    }

    /// Ends it with an error, without a packet. What was received can still be read.
    pub fn fail(&mut self, failure: Failure) {
        if self.phase != Phase::Over {
            self.failure = Some(failure);
            self.end();
        }
    }

    /// Ends it with an error, and sends a RESET.
    pub fn abort(&mut self, failure: Failure) {
        self.reset_due |= !matches!(self.phase, Phase::New | Phase::Over);
        self.fail(failure);
    }

    /// Whether its peer may still know of it, or waits for a RESET.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over && !self.reset_due
    }

    /// The program closes it.
    pub fn close(&mut self) {
        self.closed = true;
        let unread = self.input.len() as u32;
        self.input = VecDeque::new();
        self.take(unread);
        if self.phase != Phase::Open {
            self.abort(Failure::Reset);
        }
    }

    /// Whether all that the program wrote was sent.
    pub fn is_flushed(&self) -> bool {
        let is_announced = self.wanted() & !self.announced == 0;
        self.output.is_empty() && (!self.closed || is_announced || self.phase != Phase::Open)
    }

    /// See [`Sockets::connected`](super::Sockets::connected).
    pub fn connected(&self) -> Result<(), Stop> {
        match (self.failure, self.phase) {
            (Some(failure), _) => Err(Stop::Failed(failure)),
            (None, Phase::New | Phase::Requested) => Err(Stop::WouldBlock),
            (None, Phase::Open | Phase::Over) => Ok(()),
        }
    }

    /// See [`Sockets::read`](super::Sockets::read).
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Stop> {
        if self.receive_ended || into.is_empty() {
            return Ok(0);
        }
        let len = into.len().min(self.input.len());
        if len > 0 {
            let (first, second) = self.input.as_slices();
            let from_first = first.len().min(len);
            into[..from_first].copy_from_slice(&first[..from_first]);
            into[from_first..len].copy_from_slice(&second[..len - from_first]);
            self.input.drain(..len);
            self.take(len as u32);
            return Ok(len);
        }
        match self.failure {
            Some(failure) => Err(Stop::Failed(failure)),
            None if !self.peer_sends => Ok(0),
            None => Err(Stop::WouldBlock),
        }
    }

    /// See [`Sockets::write`](super::Sockets::write).
    pub fn write(&mut self, from: &[u8]) -> Result<usize, Stop> {
        if let Some(failure) = self.failure {
            return Err(Stop::Failed(failure));
        }
        if self.send_ended || !self.peer_receives {
            return Err(Stop::BrokenPipe);
        }
        let len = from.len().min(self.room());
        if len == 0 && !from.is_empty() || self.phase != Phase::Open {
            return Err(Stop::WouldBlock);
        }
        if self.output.try_reserve(len).is_err() {
            return Err(Stop::WouldBlock);
        }
        self.output.extend(&from[..len]);
        Ok(len)
    }

    fn room(&self) -> usize {
        (self.share as usize).saturating_sub(self.output.len())
    }

    /// Whether a read returns something, the end, or an error.
    pub fn is_readable(&self) -> bool {
        !self.input.is_empty() || !self.peer_sends || self.receive_ended || self.failure.is_some()
    }

    /// Whether a quarter of the buffer is free, or a write fails. A connection that isn't
    /// established yet isn't writable.
    pub fn is_writable(&self) -> bool {
        let has_room = self.phase == Phase::Open && self.room() >= self.share as usize / 4;
        has_room || self.failure.is_some() || self.send_ended || !self.peer_receives
    }

    /// See [`Sockets::shut_down`](super::Sockets::shut_down).
    pub fn shut_down(&mut self, receive: bool, send: bool) {
        if receive && !self.receive_ended {
            self.receive_ended = true;
            let unread = self.input.len() as u32;
            self.input = VecDeque::new();
            self.take(unread);
        }
        self.send_ended |= send;
    }

    /// Asks the peer for a packet, which shows that the device works.
    pub fn probe(&mut self) {
        self.credit_request_due = self.phase == Phase::Open;
    }

    /// The flags of SHUTDOWN that the peer should know.
    fn wanted(&self) -> u32 {
        let receive = u32::from(self.receive_ended || self.closed) * shutdown::RECEIVE;
        let send = u32::from(self.send_ended || self.closed) * shutdown::SEND;
        receive | send
    }

    /// The next packet, its payload written to `into`.
    pub fn output(&mut self, into: &mut [u8]) -> Option<Header> {
        let mut flags = 0;
        let mut len = 0;
        let can_send = self.credit().min(self.output.len() as u32) as usize;
        let operation = if self.reset_due {
            self.reset_due = false;
            self.end();
            Operation::RESET
        } else if self.phase == Phase::New {
            self.phase = Phase::Requested;
            Operation::REQUEST
        } else if self.phase != Phase::Open {
            return None;
        } else if self.response_due {
            self.response_due = false;
            Operation::RESPONSE
        } else if can_send > 0 {
            len = can_send.min(into.len());
            let (first, second) = self.output.as_slices();
            let from_first = first.len().min(len);
            into[..from_first].copy_from_slice(&first[..from_first]);
            into[from_first..len].copy_from_slice(&second[..len - from_first]);
            self.output.drain(..len);
            self.sent = self.sent.wrapping_add(len as u32);
            Operation::DATA
        } else if self.output.is_empty() && self.wanted() & !self.announced != 0 {
            flags = self.wanted();
            self.announced = flags;
            Operation::SHUTDOWN
        } else if self.credit_request_due || !self.output.is_empty() && !self.credit_requested {
            self.credit_request_due = false;
            self.credit_requested = true;
            Operation::CREDIT_REQUEST
        } else if self.update_due {
            Operation::CREDIT_UPDATE
        } else {
            return None;
        };
        self.told = self.taken;
        self.update_due = false;
        Some(Header {
            source: self.local,
            destination: self.peer,
            len: len as u32,
            kind: STREAM,
            operation,
            flags,
            buffer: self.share,
            taken: self.taken,
        })
    }
}
