//! Sockets to the machine's host: `AF_VSOCK`, or a virtio-vsock device.

use crate::current::{Current, Interest};
use crate::types::{Int, copy};
use crate::{Driver, Operations, Runtime};
use alloc::boxed::Box;
use alloc::vec::Vec;
use platform::Vsocks;
use platform::error::{Answer, Error, Failure, Stop};
use platform::vsock::{Address, Id, Sockets};
use platform::{Clock, Direction};
use reactor::table::{Fd, Kind};

/// Not an index of a descriptor: the socket has none.
const NO_FD: u32 = u32::MAX;

/// The sockets, and the descriptor of each.
pub struct Vsock {
    sockets: Box<dyn Sockets<Current>>,
    /// Indices in the table of descriptors, by the socket's number.
    descriptors: Vec<u32>,
    /// Sockets that changed during a poll; kept for its allocation.
    changed: Vec<Id>,
}

static CONNECTION: Operations = Operations {
    kind: Kind::Vsock,
    read: |rt, key, into| open(rt)?.read(key, into),
    write: |rt, key, from| open(rt)?.write(key, from),
    ready,
    shutdown: |rt, key, receive, send| open(rt)?.shut_down(key, receive, send),
    close,
};

static LISTENER: Operations = Operations::without_data(Kind::VsockListener, ready, close);

/// The sockets of an open descriptor.
fn open(rt: &mut Runtime) -> Result<&mut dyn Sockets<Current>, Error> {
    let vsock = rt.resources.vsock.as_deref_mut().ok_or(Error::Closed)?;
    Ok(&mut *vsock.sockets)
}

/// The sockets. The first call takes the device.
fn sockets(rt: &mut Runtime) -> Result<&mut dyn Sockets<Current>, Stop> {
    if rt.resources.vsock.is_none() {
        rt.start()?;
        let found = Current::vsock(&mut rt.interest).or_else(|failure| rt.fail(failure))?;
        install(rt, found)?;
    }
    Ok(open(rt)?)
}

/// Installs these sockets.
fn install(rt: &mut Runtime, sockets: Box<dyn Sockets<Current>>) -> Result<(), Error> {
    rt.register(&Driver {
        poll,
        deadline: |rt| rt.resources.vsock.as_deref()?.sockets.deadline(),
        interest,
        finish,
        counter: |_, _| 0,
    })?;
    rt.resources.vsock = Some(Box::leak(Box::new(Vsock {
        sockets,
        descriptors: Vec::new(),
        changed: Vec::new(),
    })));
    Ok(())
}

fn poll(rt: &mut Runtime, now: u64) {
    let Some(vsock) = rt.resources.vsock.as_deref_mut() else {
        return;
    };
    let mut changed = core::mem::take(&mut vsock.changed);
    vsock.sockets.poll(now, &mut |id| changed.push(id));
    for id in changed.drain(..) {
        let Some(vsock) = rt.resources.vsock.as_deref_mut() else {
            return;
        };
        let index = vsock.descriptors.get(id as usize).copied();
        let Some(index) = index.filter(|index| *index != NO_FD) else {
            continue;
        };
        for direction in [Direction::Read, Direction::Write] {
            if open(rt).is_ok_and(|sockets| sockets.is_ready(id, direction)) {
                rt.wake(index, direction);
            }
        }
    }
    if let Some(vsock) = rt.resources.vsock.as_deref_mut() {
        vsock.changed = changed;
    }
}

fn interest(rt: &mut Runtime, interest: &mut Interest) {
    if let Some(vsock) = rt.resources.vsock.as_deref_mut() {
        vsock.sockets.arm(interest);
    }
}

fn finish(rt: &mut Runtime) -> bool {
    poll(rt, Current::monotonic_ns());
    open(rt).is_ok_and(|sockets| sockets.is_idle())
}

fn ready(rt: &mut Runtime, key: u32, direction: Direction) -> Result<bool, Error> {
    Ok(open(rt)?.is_ready(key, direction))
}

fn close(rt: &mut Runtime, key: u32) {
    if let Some(vsock) = rt.resources.vsock.as_deref_mut() {
        if let Some(place) = vsock.descriptors.get_mut(key as usize) {
            *place = NO_FD;
        }
        vsock.sockets.close(key);
    }
}

/// Creates the descriptor of a socket; resets the connection on failure.
fn describe(rt: &mut Runtime, id: Id, operations: &'static Operations) -> Answer {
    let inserted = rt.table.insert(operations, id);
    let vsock = rt.resources.vsock.as_deref_mut().ok_or(Error::Closed)?;
    let missing = (id as usize + 1).saturating_sub(vsock.descriptors.len());
    match inserted {
        Ok(fd) if vsock.descriptors.try_reserve(missing).is_ok() => {
            if missing > 0 {
                vsock.descriptors.resize(id as usize + 1, NO_FD);
            }
            if let Some(place) = vsock.descriptors.get_mut(id as usize) {
                *place = fd.index;
            }
            Ok(fd.encode() as usize)
        }
        other => {
            vsock.sockets.abort(id);
            if let Ok(fd) = other {
                rt.table.remove(fd, |_| ());
            }
            Err(other.err().unwrap_or(Error::OutOfMemory).into())
        }
    }
}

/// Decodes a CID and a port.
fn address(cid: Int, port: Int) -> Result<Address, Error> {
    let number = |n: Int| u32::try_from(n).map_err(|_| Error::Invalid);
    Ok(Address {
        cid: number(cid)?,
        port: number(port)?,
    })
}

/// See `soil_vsock_cid`.
pub fn cid(rt: &mut Runtime) -> Answer {
    Ok(sockets(rt)?.cid() as usize)
}

/// See `soil_vsock_listen`.
pub fn listen(rt: &mut Runtime, cid: Int, port: Int, backlog: Int) -> Answer {
    let address = address(cid, port)?;
    let backlog = usize::try_from(backlog).map_err(|_| Error::Invalid)?;
    let listening = sockets(rt)?.listen(address, backlog);
    let id = listening.or_else(|failure: Failure| rt.fail(failure))?;
    describe(rt, id, &LISTENER)
}

/// See `soil_vsock_accept`.
pub fn accept(rt: &mut Runtime, listener: Fd) -> Answer {
    let key = rt.table.key_of(listener, &LISTENER)?;
    let id = open(rt)?.accept(key)?;
    describe(rt, id as Id, &CONNECTION)
}

/// See `soil_vsock_connect`.
pub fn connect(rt: &mut Runtime, cid: Int, port: Int) -> Answer {
    let peer = address(cid, port)?;
    let connecting = sockets(rt)?.connect(peer);
    let id = connecting.or_else(|failure: Failure| rt.fail(failure))?;
    describe(rt, id, &CONNECTION)
}

/// See `soil_vsock_connected`.
pub fn connected(rt: &mut Runtime, fd: Fd) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    open(rt)?.connected(key)
}

/// See `soil_vsock_abort`.
pub fn abort(rt: &mut Runtime, fd: Fd) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    open(rt)?.abort(key);
    rt.close(fd)
}

/// Writes an address as two little-endian numbers of 4 bytes.
fn encode(address: Address, into: &mut [u8]) -> Answer {
    let bytes = [address.cid.to_le_bytes(), address.port.to_le_bytes()].concat();
    copy(&bytes, into);
    Ok(0)
}

/// See `soil_vsock_local`.
pub fn local(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    let listener = rt.table.key_of(fd, &LISTENER);
    let key = listener.or_else(|_| rt.table.key_of(fd, &CONNECTION))?;
    let address = open(rt)?.local(key)?;
    encode(address, into)
}

/// See `soil_vsock_peer`.
pub fn peer(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let address = open(rt)?.peer(key)?;
    encode(address, into)
}
