//! Leases: received blocks that the program holds for longer than a call.

use super::Stack;
use crate::sockets::Socket;
use crate::tcp::Lease;
use crate::tcp::machine::Budget;
use crate::types::{Error, Handle};

/// Maximum number of outstanding leases. Memory that is guaranteed to a connection beyond the
/// budget's limit may be leased, too.
const LEASES: usize = 256;

impl Stack {
    /// Takes received bytes in place, at most 16 KiB, and consumes them; `None` means end of input.
    /// Errors as for [`Stack::tcp_read`], and [`Error::OutOfMemory`] while 256 leases are
    /// outstanding.
    pub fn tcp_read_lease(&mut self, connection: Handle) -> Result<Option<Lease>, Error> {
        let mut there = false;
        self.sockets.read(connection, 0, &mut |_| {
            there = true;
            0
        })?;
        let sockets = &mut self.sockets;
        if there && sockets.tcp.leases >= LEASES {
            return Err(Error::OutOfMemory);
        }
        let now_ns = sockets.now_ns;
        let Some(Socket::Connection(one)) = sockets.table.get_mut(connection) else {
            return Err(Error::BadHandle);
        };
        let over = one.over;
        let Some(machine) = one.machine.as_mut().filter(|_| there) else {
            return Ok(None);
        };
        let block = machine.take(&sockets.budget, now_ns);
        if over && machine.unread() == 0 {
            sockets.release(connection);
        } else if !over {
            // The peer may need a window update.
            sockets.touched(connection);
        }
        sockets.tcp.leases += usize::from(block.is_some());
        Ok(block.map(Lease))
    }

    /// Returns the memory of a lease.
    pub fn tcp_return(&mut self, lease: Lease) {
        self.sockets.tcp.leases = self.sockets.tcp.leases.saturating_sub(1);
        self.sockets.budget.recycle(lease.0);
    }
}
