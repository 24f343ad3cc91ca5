//! Sockets of the virtio-vsock device.

use crate::{Image, Interest, Source, devices};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use drivers::device_type::DeviceType;
use drivers::vsock::{self, ListenError, Vsock};
use kernel::devices::MEMORY;
use kernel::guarded::Guarded;
use kernel::time;
use platform::error::{Answer, Error, Failure, Stop};
use platform::vsock::{ANY, Address, Id, Sockets};
use platform::{Direction, Memory};

/// Bytes that all connections may buffer: an eighth of the memory, within these limits.
const MIN_BUFFERED: u64 = 1 << 20;
const MAX_BUFFERED: u64 = 64 << 20;

/// The device, shared between its user and the wait, which arms its interrupts.
struct Shared(Guarded<Vsock>);

impl Source for Shared {
    fn has_pending(&self) -> bool {
        // If another thread's call uses the device, it has to be waited for.
        self.0.try_lock().is_some_and(|vsock| vsock.has_pending())
    }

    fn arm(&self) -> bool {
        let vsock = self.0.try_lock();
        vsock.is_none_or(|mut vsock| vsock.enable_interrupts())
    }
}

struct Device(Rc<Shared>);

impl platform::Vsocks for Image {
    fn vsock(_: &mut Interest) -> Result<Box<dyn Sockets<Image>>, Failure> {
        let limit = (Image::total_memory() / 8).clamp(MIN_BUFFERED, MAX_BUFFERED);
        let mut devices = devices::take(DeviceType::VSOCK).into_iter();
        let Some(found) = devices.next() else {
            let detail = "no vsock device: give the machine one (soil run --vsock)";
            return Err(Failure::new(Error::NoDevice, detail));
        };
        // A machine has one CID.
        devices::release(devices.collect());
        match Vsock::new(found.transport, MEMORY, limit as usize) {
            Ok(vsock) => Ok(Box::new(Device(Rc::new(Shared(Guarded::new(vsock)))))),
            Err(error) => {
                let detail = format!("vsock device at {}: {error}", found.place);
                Err(Failure::new(Error::Io, detail))
            }
        }
    }
}

impl Device {
    fn with<T>(&self, f: impl FnOnce(&mut vsock::Sockets) -> T) -> T {
        f(self.0.0.lock().sockets())
    }

    /// Fails once the device is out of use.
    fn check(&self) -> Result<(), Failure> {
        if self.0.0.lock().is_running() {
            return Ok(());
        }
        let detail = "the vsock device broke the virtio protocol";
        Err(Failure::new(Error::Io, detail))
    }
}

fn stop(stop: vsock::Stop) -> Stop {
    let failure = match stop {
        vsock::Stop::WouldBlock => return Stop::WouldBlock,
        vsock::Stop::BrokenPipe => Error::BrokenPipe,
        vsock::Stop::WrongKind => Error::WrongKind,
        vsock::Stop::Failed(vsock::Failure::Refused) => Error::ConnectionRefused,
        vsock::Stop::Failed(vsock::Failure::Reset) => Error::ConnectionReset,
        vsock::Stop::Failed(vsock::Failure::TimedOut) => Error::TimedOut,
    };
    failure.into()
}

fn address(found: Result<vsock::Address, vsock::Stop>) -> Result<Address, Error> {
    let found = found.map_err(|_| Error::WrongKind)?;
    Ok(Address {
        // The driver accepts no larger ones.
        cid: found.cid as u32,
        port: found.port,
    })
}

impl Sockets<Image> for Device {
    fn cid(&self) -> u32 {
        self.with(|sockets| sockets.cid() as u32)
    }

    fn listen(&mut self, address: Address, backlog: usize) -> Result<Id, Failure> {
        self.check()?;
        let cid = (address.cid != ANY).then_some(address.cid.into());
        let listening = self.with(|sockets| sockets.listen(cid, address.port, backlog));
        listening.map_err(|error| {
            Failure::from(match error {
                ListenError::AddressInUse => Error::AddressInUse,
                ListenError::AddressNotAvailable => Error::AddressNotAvailable,
                ListenError::TooMany => Error::TooManyOpen,
            })
        })
    }

    fn accept(&mut self, listener: Id) -> Answer {
        let accepted = self.with(|sockets| sockets.accept(listener));
        accepted.map(|id| id as usize).map_err(stop)
    }

    fn connect(&mut self, peer: Address) -> Result<Id, Failure> {
        self.check()?;
        let peer = vsock::Address {
            cid: peer.cid.into(),
            port: peer.port,
        };
        let now = time::monotonic_ns();
        let id = self.with(|sockets| sockets.connect(peer, now));
        id.ok_or(Error::TooManyOpen.into())
    }

    fn connected(&mut self, id: Id) -> Answer {
        let connected = self.with(|sockets| sockets.connected(id));
        connected.map(|()| 0).map_err(stop)
    }

    fn read(&mut self, id: Id, into: &mut [u8]) -> Answer {
        self.with(|sockets| sockets.read(id, into)).map_err(stop)
    }

    fn write(&mut self, id: Id, from: &[u8]) -> Answer {
        self.with(|sockets| sockets.write(id, from)).map_err(stop)
    }

    fn is_ready(&mut self, id: Id, direction: Direction) -> bool {
        self.with(|sockets| match direction {
            Direction::Read => sockets.is_readable(id),
            Direction::Write => sockets.is_writable(id),
        })
    }

    fn shut_down(&mut self, id: Id, receive: bool, send: bool) -> Answer {
        let done = self.with(|sockets| sockets.shut_down(id, receive, send));
        done.map(|()| 0).map_err(stop)
    }

    fn close(&mut self, id: Id) {
        let now = time::monotonic_ns();
        self.with(|sockets| sockets.close(id, now));
    }

    fn abort(&mut self, id: Id) {
        self.with(|sockets| sockets.abort(id));
    }

    fn local(&mut self, id: Id) -> Result<Address, Error> {
        address(self.with(|sockets| sockets.local(id)))
    }

    fn peer(&mut self, id: Id) -> Result<Address, Error> {
        address(self.with(|sockets| sockets.peer(id)))
    }

    fn poll(&mut self, now: u64, changed: &mut dyn FnMut(Id)) {
        let mut vsock = self.0.0.lock();
        // The driver has logged a device that broke the protocol; the connections report it.
        let _ = vsock.poll(now);
        while let Some(id) = vsock.sockets().take_changed() {
            changed(id);
        }
    }

    fn deadline(&self) -> Option<u64> {
        self.0.0.lock().deadline()
    }

    fn is_idle(&mut self) -> bool {
        self.0.0.lock().is_idle()
    }

    fn arm(&mut self, interest: &mut Interest) {
        interest.source(Rc::clone(&self.0) as Rc<dyn Source>);
    }
}
