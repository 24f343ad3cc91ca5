//! Sockets of virtio-vsock, and Linux's `AF_VSOCK`: connections between a machine and its host.
//!
//! Sockets are used from calls only, and never block.

use crate::error::{Answer, Error, Failure};
use crate::{Direction, Wait};

/// Any CID of this machine, or any free port.
pub const ANY: u32 = u32::MAX;

/// A machine and a port in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The context identifier: 1 is this machine, 2 the host.
    pub cid: u32,
    /// The port.
    pub port: u32,
}

/// A connection or a listener: a small number, used again after [`Sockets::close`].
pub type Id = u32;

/// The sockets of platform `P`.
pub trait Sockets<P: Wait> {
    /// This machine's CID.
    fn cid(&self) -> u32;

    /// Listens at an address, with up to `backlog` connections that wait for
    /// [`accept`](Sockets::accept).
    fn listen(&mut self, address: Address, backlog: usize) -> Result<Id, Failure>;

    /// Takes an established connection; `WouldBlock`.
    fn accept(&mut self, listener: Id) -> Answer;

    /// Requests a connection.
    fn connect(&mut self, peer: Address) -> Result<Id, Failure>;

    /// 0 when the connection is established; `WouldBlock`.
    fn connected(&mut self, id: Id) -> Answer;

    /// Reads received bytes; 0 is the end.
    fn read(&mut self, id: Id, into: &mut [u8]) -> Answer;

    /// Writes bytes; returns their number.
    fn write(&mut self, id: Id, from: &[u8]) -> Answer;

    /// Whether an operation would not block.
    fn is_ready(&mut self, id: Id, direction: Direction) -> bool;

    /// Ends receiving, or sending.
    fn shut_down(&mut self, id: Id, receive: bool, send: bool) -> Answer;

    /// Closes it; what was written is still sent.
    fn close(&mut self, id: Id);

    /// Closes a connection with a reset; what was not sent is lost.
    fn abort(&mut self, id: Id);

    /// The address of this end.
    fn local(&mut self, id: Id) -> Result<Address, Error>;

    /// The address of the peer.
    fn peer(&mut self, id: Id) -> Result<Address, Error>;

    /// Exchanges packets; calls `changed` with each socket whose readiness may have changed.
    fn poll(&mut self, now: u64, changed: &mut dyn FnMut(Id));

    /// When [`poll`](Sockets::poll) has work although nothing arrives, in monotonic nanoseconds.
    fn deadline(&self) -> Option<u64>;

    /// Whether nothing is left to send.
    fn is_idle(&mut self) -> bool;

    /// Before a wait: adds the events of the sockets to the awaited ones.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest);
}
