//! A socket device (virtio 1.2, 5.10): connections to the host and, through it, to other machines,
//! without a network.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{Buffer, DeviceError, Queue};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef, Region};

mod connection;
mod packet;
mod sockets;

pub use connection::{Failure, Stop};
use packet::HEADER_LEN;
pub use packet::{Address, Header, Operation};
pub use sockets::{ANY, CONNECT_NS, HOST, Id, LOCAL, ListenError, Sockets};

/// `VIRTIO_VSOCK_F_STREAM` (5.10.3).
const STREAM_FEATURE: u64 = 1;

const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;
const EVENT_QUEUE: u16 = 2;

const RECEIVE_BUFFERS: u16 = 64;
const RECEIVE_LEN: usize = 8 << 10;
const TRANSMIT_BUFFERS: u16 = 16;
/// A packet has as much as vhost-device-vsock and Linux buffer, or send at once.
const TRANSMIT_LEN: usize = (64 << 10) + 64;
const EVENT_BUFFERS: u16 = 8;
/// `struct virtio_vsock_event`: an id, which is always `VIRTIO_VSOCK_EVENT_TRANSPORT_RESET`.
const EVENT_LEN: usize = 4;

/// Packets between this machine's own sockets per poll.
const MAX_LOCAL: usize = 64;

/// Nanoseconds in which a device takes a packet. It takes them at once; its process or its host may
/// be stopped for a while.
const TAKE_NS: u64 = 10_000_000_000;
/// Nanoseconds without a received packet after which a connection's peer is asked for one.
const PROBE_NS: u64 = 20_000_000_000;

/// Buffers of equal length in shared memory.
struct Pool {
    region: Region,
    len: usize,
}

impl Pool {
    fn new(memory: MemoryRef, count: u16, len: usize) -> Result<Pool, Error> {
        let region = Region::new(memory, usize::from(count) * len, 64);
        let region = region.ok_or(Error::OutOfMemory)?;
        Ok(Pool { region, len })
    }

    fn phys(&self, index: u16) -> u64 {
        self.region.phys(usize::from(index) * self.len)
    }

    /// # Safety
    ///
    /// The device doesn't have the buffer, and there is no other reference to it.
    #[allow(clippy::mut_from_ref)] // Disjoint buffers.
    unsafe fn bytes(&self, index: u16, len: usize) -> &mut [u8] {
        // SAFETY: the caller's promise.
        unsafe { self.region.slice(usize::from(index) * self.len, len) }
    }
}

/// A socket device with its sockets. Dropping it resets the device.
///
/// ```
/// use drivers::fake::{HostMemory, Options, SocketHost, connect};
/// use drivers::vsock::{ANY, Address, HOST, Vsock};
///
/// let memory = HostMemory::new();
/// let (transport, device) = connect(memory, SocketHost::new(3), Options::default());
/// device.with(|host| host.echo.push(7));
/// let mut vsock = Vsock::new(Box::new(transport), memory, 1 << 20)?;
/// let peer = Address { cid: HOST, port: 7 };
/// let id = vsock.sockets().connect(peer, 0).expect("room");
/// vsock.poll(0)?;
/// device.step();
/// vsock.poll(0)?;
/// assert_eq!(vsock.sockets().connected(id), Ok(()));
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Vsock {
    device: Device,
    receive: Queue,
    transmit: Queue,
    event: Queue,
    receive_pool: Pool,
    transmit_pool: Pool,
    event_pool: Pool,
    /// Transmit buffers that the device doesn't have.
    free: Vec<u16>,
    sockets: Sockets,
    /// When the device has to have taken a packet.
    take_by: Option<u64>,
    /// The time is up, once: the machine itself may have been stopped.
    is_late: bool,
    /// When to ask a peer for a packet.
    probe_at: Option<u64>,
}

impl Vsock {
    /// Starts the device, whose connections buffer at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the device is left reset.
    pub fn new(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        limit: usize,
    ) -> Result<Vsock, Error> {
        let features = device::feature::QUEUE | STREAM_FEATURE;
        let mut device = Device::new(
            transport,
            memory,
            DeviceType::VSOCK,
            features,
            &|features| features,
        )?;
        let receive = device.queue(memory, RECEIVE_QUEUE, (1, RECEIVE_BUFFERS), 1)?;
        let transmit = device.queue(memory, TRANSMIT_QUEUE, (1, TRANSMIT_BUFFERS), 1)?;
        let event = device.queue(memory, EVENT_QUEUE, (1, EVENT_BUFFERS), 1)?;
        let receive_pool = Pool::new(memory, receive.size(), RECEIVE_LEN)?;
        let transmit_pool = Pool::new(memory, transmit.size(), TRANSMIT_LEN)?;
        let event_pool = Pool::new(memory, event.size(), EVENT_LEN)?;
        let cid = device.config_u64(0).ok_or(Error::BadConfig)?;
        device.start();
        let free = (0..transmit.size()).rev().collect();
        let mut vsock = Vsock {
            device,
            receive,
            transmit,
            event,
            receive_pool,
            transmit_pool,
            event_pool,
            free,
            sockets: Sockets::new(own_cid(cid)?, limit),
            take_by: None,
            is_late: false,
            probe_at: None,
        };
        for index in 0..vsock.receive.size() {
            vsock.give_receive(index);
        }
        for index in 0..vsock.event.size() {
            vsock.give_event(index);
        }
        vsock.receive.kick(vsock.device.transport());
        vsock.event.kick(vsock.device.transport());
        Ok(vsock)
    }

    /// The sockets. [`poll`](Vsock::poll) sends what operations on them need to send.
    pub fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }

    /// Acknowledges the device's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// False once the device broke the protocol.
    pub fn is_running(&self) -> bool {
        self.device.is_running()
    }

    /// There are as many descriptors as buffers: it always fits. The header is cleared first:
    /// vhost-device-vsock 0.3 returns some buffers without an operation, or untouched, and the
    /// packet that was there before would arrive again.
    fn give_receive(&mut self, index: u16) {
        // SAFETY: the driver owns the buffer until the `add` below.
        unsafe { self.receive_pool.bytes(index, HEADER_LEN) }.fill(0);
        let buffer = Buffer::writable(self.receive_pool.phys(index), RECEIVE_LEN);
        let added = self.receive.add(&[buffer], u32::from(index));
        debug_assert!(added.is_ok());
    }

    fn give_event(&mut self, index: u16) {
        let buffer = Buffer::writable(self.event_pool.phys(index), EVENT_LEN);
        let added = self.event.add(&[buffer], u32::from(index));
        debug_assert!(added.is_ok());
    }

    /// Exchanges packets with the device, at time `now` in nanoseconds: a bounded number. Call it
    /// after an interrupt, after operations on sockets, and at the [`deadline`](Vsock::deadline).
    /// Never blocks.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceError`]; all connections have failed then.
    pub fn poll(&mut self, now: u64) -> Result<(), Error> {
        if !self.device.is_running() {
            self.lose(Failure::Reset);
            return Err(Error::DeviceError);
        }
        self.exchange(now).map_err(|DeviceError| {
            log::error!(
                target: "drivers",
                "the socket device broke the virtio protocol and was reset"
            );
            for queue in [&mut self.receive, &mut self.transmit, &mut self.event] {
                queue.mark_failed();
            }
            self.device.stop();
            self.lose(Failure::Reset);
            Error::DeviceError
        })
    }

    fn lose(&mut self, failure: Failure) {
        let cid = self.sockets.cid();
        self.sockets.fail_all(failure, cid);
    }

    fn exchange(&mut self, now: u64) -> Result<(), DeviceError> {
        self.take_events()?;
        while let Some(done) = self.transmit.pop()? {
            self.free.push(done.token as u16);
            self.take_by = None;
            self.is_late = false;
        }
        self.take_packets(now)?;
        self.check_time(now);
        self.sockets.expire(now);
        self.send(now);
        self.receive.kick(self.device.transport());
        self.transmit.kick(self.device.transport());
        self.event.kick(self.device.transport());
        Ok(())
    }

    /// Applies the reset of the transport (5.10.6.6): connections are lost, and the CID may differ.
    fn take_events(&mut self) -> Result<(), DeviceError> {
        while let Some(done) = self.event.pop()? {
            if done.written as usize == EVENT_LEN {
                let cid = self.device.config_u64(0).and_then(|cid| own_cid(cid).ok());
                let cid = cid.unwrap_or(self.sockets.cid());
                self.sockets.fail_all(Failure::Reset, cid);
            }
            self.give_event(done.token as u16);
        }
        Ok(())
    }

    fn take_packets(&mut self, now: u64) -> Result<(), DeviceError> {
        // One round at most: a device could go on forever.
        for _ in 0..self.receive.size() {
            let Some(done) = self.receive.pop()? else {
                break;
            };
            let index = done.token as u16;
            self.probe_at = None;
            // SAFETY: the device has returned the buffer.
            let bytes = unsafe { self.receive_pool.bytes(index, done.written as usize) };
            if let Some(header) = Header::decode(bytes) {
                let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
                let cid = self.sockets.cid();
                // The device speaks for others, and to this machine; payloads come whole.
                let is_sound = ![LOCAL, cid].contains(&header.source.cid)
                    && header.destination.cid == cid
                    && payload.len() >= header.len as usize;
                if is_sound {
                    let payload = payload.get(..header.len as usize).unwrap_or_default();
                    self.sockets.input(&header, payload, now);
                }
            }
            self.give_receive(index);
        }
        Ok(())
    }

    /// Ends all connections if the device doesn't take packets, and keeps it busy so that this
    /// shows.
    fn check_time(&mut self, now: u64) {
        if self.take_by.is_some_and(|by| by <= now) {
            if self.is_late {
                self.lose(Failure::TimedOut);
            }
            self.is_late = !self.is_late;
            self.take_by = Some(now.saturating_add(TAKE_NS / 2));
        }
        match self.probe_at {
            Some(at) if at > now => {}
            Some(_) if !self.sockets.probe() => self.probe_at = None,
            None if !self.sockets.has_connections() => {}
            _ => self.probe_at = Some(now.saturating_add(PROBE_NS)),
        }
    }

    fn send(&mut self, now: u64) {
        let mut local = 0;
        while local < MAX_LOCAL
            && let Some(&index) = self.free.last()
        {
            // SAFETY: the driver owns a free buffer.
            let bytes = unsafe { self.transmit_pool.bytes(index, TRANSMIT_LEN) };
            let (header, payload) = bytes.split_at_mut(HEADER_LEN);
            let Some((packet, is_local)) = self.sockets.output(payload) else {
                break;
            };
            let len = packet.len as usize;
            if is_local {
                local += 1;
                self.sockets.input(&packet, &payload[..len], now);
                continue;
            }
            header.copy_from_slice(&packet.encode());
            let buffer = Buffer::readable(self.transmit_pool.phys(index), HEADER_LEN + len);
            let added = self.transmit.add(&[buffer], u32::from(index));
            debug_assert!(added.is_ok());
            self.free.pop();
            self.take_by.get_or_insert(now.saturating_add(TAKE_NS / 2));
        }
    }

    /// Whether nothing is left to send, or the device is out of use.
    pub fn is_idle(&mut self) -> bool {
        !self.device.is_running()
            || self.sockets.is_flushed() && self.transmit.in_flight() == 0
            || self.is_late
    }

    /// When [`poll`](Vsock::poll) has work although the device does nothing, in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        if !self.device.is_running() {
            return None;
        }
        let times = [self.sockets.deadline(), self.take_by, self.probe_at];
        times.into_iter().flatten().min()
    }

    /// Call before waiting: requests an interrupt for the next packet or event, and for completed
    /// transmission if packets wait for that. Returns true if there is already work: don't wait.
    #[must_use = "true: completions are queued and may raise no interrupt; poll, don't wait"]
    pub fn enable_interrupts(&mut self) -> bool {
        if !self.device.is_running() {
            return false;
        }
        let mut work = self.receive.enable_interrupts();
        work |= self.event.enable_interrupts();
        if self.sockets.has_output() {
            work |= !self.free.is_empty() || self.transmit.enable_interrupts();
        }
        work
    }

    /// Whether memory shows packets, events, or buffers for packets that wait.
    pub fn has_pending(&self) -> bool {
        let waits = self.sockets.has_output();
        self.receive.has_used() || self.event.has_used() || waits && self.transmit.has_used()
    }
}

/// The CID of the configuration (5.10.4), whose upper half is reserved.
fn own_cid(cid: u64) -> Result<u64, Error> {
    match cid {
        0..=HOST => Err(Error::BadConfig),
        cid if cid >= u64::from(ANY) => Err(Error::BadConfig),
        cid => Ok(cid),
    }
}

impl Drop for Vsock {
    fn drop(&mut self) {
        if !self.device.stop() {
            for queue in [&mut self.receive, &mut self.transmit, &mut self.event] {
                queue.leak();
            }
            for pool in [
                &mut self.receive_pool,
                &mut self.transmit_pool,
                &mut self.event_pool,
            ] {
                pool.region.leak();
            }
        }
    }
}

#[cfg(test)]
mod tests;
