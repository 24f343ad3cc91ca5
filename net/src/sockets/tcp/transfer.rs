//! Reads, writes and option changes of one connection.

use crate::sockets::{Socket, Sockets};
use crate::tcp::budget::Budget;
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::machine::Machine;
use crate::types::{Error, Handle};

impl Sockets {
    pub(crate) fn connection_mut(&mut self, handle: Handle) -> Result<&mut Connection, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Connection(connection)) => Ok(connection),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// The connection of a handle, if its handshake is complete.
    pub(crate) fn connected_mut(&mut self, handle: Handle) -> Result<&mut Connection, Error> {
        let connection = self.connection_mut(handle)?;
        if connection.phase == Phase::Connecting {
            return Err(connection.error().unwrap_or(Error::NotConnected));
        }
        Ok(connection)
    }

    pub(crate) fn machine(&self, handle: Handle) -> Result<Option<&Machine>, Error> {
        match self.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.machine.as_ref()),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Changes a connection that isn't over.
    pub(crate) fn change(
        &mut self,
        handle: Handle,
        f: impl FnOnce(&mut Machine),
    ) -> Result<(), Error> {
        let connection = self.connection_mut(handle)?;
        if let Some(machine) = connection.machine.as_mut().filter(|_| !connection.over) {
            f(machine);
            self.touched(handle);
        }
        Ok(())
    }

    /// Passes received bytes to `f` in place, piece by piece until it has had `most` bytes, at least
    /// one piece; `f` returns the number of consumed bytes. The slice is never empty. `Ok(0)` without
    /// a call of `f` means end of input.
    pub(crate) fn read(
        &mut self,
        handle: Handle,
        most: usize,
        f: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<usize, Error> {
        let now_ns = self.now_ns;
        self.connected_mut(handle)?;
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return Err(Error::BadHandle);
        };
        let end = match connection.error() {
            Some(error) if !connection.is_complete() => Err(error),
            _ => Ok(0),
        };
        let over = connection.over;
        let Some(machine) = &mut connection.machine else {
            return end;
        };
        if machine.peek().is_empty() {
            if over || machine.readable() || end.is_err() {
                return end;
            }
            connection.wakes.read = true;
            return Err(Error::WouldBlock);
        }
        let mut done = 0;
        loop {
            let bytes = machine.peek();
            let offered = bytes.len();
            let len = f(bytes).min(offered);
            machine.consume(&mut self.budget, len, now_ns);
            done += len;
            if len < offered || done >= most || machine.unread() == 0 {
                break;
            }
        }
        if over && machine.unread() == 0 {
            self.release(handle);
        } else if !over && machine.wants_output() {
            // The peer needs a window update.
            self.mark_dirty(handle);
        }
        Ok(done)
    }

    /// Lets `f` write; returns the number of bytes written, 0 if there is no room.
    pub(crate) fn write(
        &mut self,
        handle: Handle,
        f: impl FnOnce(&mut Machine, &mut Budget) -> usize,
    ) -> Result<usize, Error> {
        self.timers.prefetch(handle.index);
        let connection = self.connected_mut(handle)?;
        connection.prefetch();
        if let Some(error) = connection.error() {
            return Err(error);
        }
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return Err(Error::BadHandle);
        };
        let sends = |machine: &&mut Machine| machine.state().can_send();
        let over = connection.over;
        let Some(machine) = connection.machine.as_mut().filter(|_| !over).filter(sends) else {
            return Err(Error::BrokenPipe);
        };
        match f(machine, &mut self.budget) {
            0 => {
                connection.wakes.write = true;
                Err(Error::WouldBlock)
            }
            len => {
                self.touched(handle);
                Ok(len)
            }
        }
    }
}
