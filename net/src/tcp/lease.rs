//! Received bytes that the program reads where they lie, for longer than a call.

use super::machine::{Block, Budget};
use crate::shared::Socket;
use crate::{Error, Handle, Stack};

/// Leases that may be out at a time. What memory is guaranteed to a connection beyond the budget's
/// limit may be out, too.
const LEASES: usize = 256;

/// The first bytes that a connection had received, taken out of its buffer without a copy.
///
/// They count as used memory until [`Stack::tcp_return`], so that whoever keeps leases makes all
/// windows smaller. Dropping one leaves its bytes counted for good.
#[must_use = "its memory is counted until it is given back with Stack::tcp_return"]
pub struct Lease(Block);

impl Lease {
    /// The bytes, at least one. They are the holder's to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

impl Stack {
    /// Takes received bytes as they lie, at most 16 KiB; `None` is the end of input. They count as
    /// read. Errors as for [`Stack::tcp_read`], and [`Error::OutOfMemory`] while 256 leases are
    /// out.
    pub fn tcp_read_lease(&mut self, connection: Handle) -> Result<Option<Lease>, Error> {
        let mut there = false;
        self.core.read(connection, 0, &mut |_| {
            there = true;
            0
        })?;
        let core = &mut self.core;
        if there && core.tcp.leases >= LEASES {
            return Err(Error::OutOfMemory);
        }
        let now_ns = core.now_ns;
        let Some(Socket::Connection(one)) = core.sockets.get_mut(connection) else {
            return Err(Error::BadHandle);
        };
        let over = one.over;
        let Some(machine) = one.machine.as_mut().filter(|_| there) else {
            return Ok(None);
        };
        let block = machine.take(&core.budget, now_ns);
        if over && machine.unread() == 0 {
            core.release(connection);
        } else if !over {
            // The window may have to be told.
            core.touched(connection);
        }
        core.tcp.leases += usize::from(block.is_some());
        Ok(block.map(Lease))
    }

    /// Gives the memory of a lease back.
    pub fn tcp_return(&mut self, lease: Lease) {
        self.core.tcp.leases = self.core.tcp.leases.saturating_sub(1);
        self.core.budget.recycle(lease.0);
    }
}
