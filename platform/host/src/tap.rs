//! A TAP device with `virtio_net_hdr` before each frame (Linux
//! `Documentation/networking/tuntap.rst`): frames of up to 64 KiB; the kernel segments and merges
//! TCP segments and completes checksums.
//!
//! At most one system call per frame: frames sent in a step leave with the call that waits
//! ([`Outgoing`]), and that delivers the first frame ([`Incoming`]). Further frames are read one by
//! one, and few of these reads find nothing, because [`Polling`] predicts how many there are.
//! Without a ring, each frame costs a call, and so does the wait, which then reports whether there
//! is something to read.

mod incoming;
mod outgoing;
mod polling;
mod slots;

use crate::link_wake::LinkWake;
use crate::owned_fd::OwnedFd;
use crate::{check, errno, failure, ring};
use alloc::alloc::alloc_zeroed;
use alloc::format;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;
use incoming::{Incoming, Read};
use net::{Link, LinkCapabilities, PartialChecksum, RxChecksum, RxMeta, SegmentKind, TxMeta};
use outgoing::Outgoing;
use platform::error::{Error, Failure, Stop};
use platform::link::{Offloads, Settings};
use polling::Polling;

/// Length of `struct virtio_net_hdr` (VIRTIO 1.2, 5.1.6, without `num_buffers`).
const HEADER: usize = 10;
/// The largest frame: an IP packet of 65 535 bytes and the Ethernet header.
const MAX_FRAME: usize = 65_535 + 14;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum has to be completed.
const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`: the checksum was verified.
const DATA_VALID: u8 = 2;
/// `VIRTIO_NET_HDR_GSO_TCPV4`.
const GSO_TCPV4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`.
const GSO_TCPV6: u8 = 4;

/// `TUNSETOFFLOAD`: the reader completes checksums (`TUN_F_CSUM`) and accepts large TCP frames
/// (`TUN_F_TSO4`, `TUN_F_TSO6`).
const CHECKSUMS: libc::c_ulong = 0x01;
const LARGE_FRAMES: libc::c_ulong = 0x02 | 0x04;

/// Maximum number of attempts to open a busy device, every 10 ms.
const BUSY_ATTEMPTS: u32 = 200;

/// A TAP device.
pub struct Tap {
    wake: LinkWake,
    mac: [u8; 6],
    mtu: usize,
    offloads: Offloads,
    polling: Polling,
    /// Reads the first frame of a batch on the ring; `None`: by a wait for `wake` and a read.
    incoming: Option<Incoming>,
    received: Vec<u8>,
    sender: Sender,
    /// The device has been removed.
    gone: bool,
    /// Closed after the owners of requests in flight.
    fd: OwnedFd,
}

// SAFETY: `net` requires links that can move between threads. This one belongs to the stack of the
// runtime, which one thread at a time uses (`runtime.rs`), as is everything that it shares with the
// runtime's waits; none of it depends on the thread.
unsafe impl Send for Tap {}

/// How frames are sent.
enum Sender {
    Ring(Outgoing),
    /// By write(2): a header and a frame, and how much of that is pending because the device had no
    /// room.
    Calls(Vec<u8>, usize),
}

/// The header of an outgoing frame.
fn encode(meta: TxMeta) -> [u8; HEADER] {
    let flags = if meta.checksum.is_some() {
        NEEDS_CSUM
    } else {
        0
    };
    let checksum = meta.checksum.unwrap_or(PartialChecksum {
        start: 0,
        offset: 0,
    });
    let (gso, header_len, size) = match meta.segmentation {
        None => (0, 0, 0),
        Some(cut) => {
            let gso = match cut.kind {
                SegmentKind::Tcp4 => GSO_TCPV4,
                SegmentKind::Tcp6 => GSO_TCPV6,
            };
            (gso, cut.header_len, cut.size)
        }
    };
    // In native byte order, the device's default.
    let [h0, h1] = u16::to_ne_bytes(header_len);
    let [s0, s1] = u16::to_ne_bytes(size);
    let [c0, c1] = checksum.start.to_ne_bytes();
    let [o0, o1] = checksum.offset.to_ne_bytes();
    [flags, gso, h0, h1, s0, s1, c0, c1, o0, o1]
}

/// Decodes the header of a received frame; the stack checks the numbers.
fn decode(header: &[u8; HEADER]) -> RxMeta {
    let &[flags, gso, _, _, s0, s1, c0, c1, o0, o1] = header;
    let checksum = if flags & NEEDS_CSUM != 0 {
        RxChecksum::Partial(PartialChecksum {
            start: u16::from_ne_bytes([c0, c1]),
            offset: u16::from_ne_bytes([o0, o1]),
        })
    } else if flags & DATA_VALID != 0 {
        RxChecksum::Valid
    } else {
        RxChecksum::Unknown
    };
    let size = u16::from_ne_bytes([s0, s1]);
    RxMeta {
        checksum,
        joined: (gso != 0 && size != 0).then_some(size),
    }
}

/// A buffer for one frame and its header. The C library maps allocations of its capacity
/// ([`slots::MIN_MAPPED`]), so that untouched pages take no memory.
fn buffer() -> Result<Vec<u8>, Failure> {
    let layout = Layout::array::<u8>(slots::MIN_MAPPED).map_err(|_| Error::OutOfMemory)?;
    // SAFETY: the layout isn't empty.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Error::OutOfMemory)?;
    // SAFETY: memory of this capacity from the global allocator; zeros are valid bytes.
    Ok(unsafe { Vec::from_raw_parts(memory.as_ptr(), HEADER + MAX_FRAME, slots::MIN_MAPPED) })
}

/// A datagram socket as a handle for queries about network devices of this host.
struct Devices(OwnedFd);

impl Devices {
    fn new() -> Devices {
        // SAFETY: a call without pointers.
        Devices(OwnedFd(unsafe {
            libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0)
        }))
    }

    /// Queries the device named in `request`, which gets the result.
    fn query(&self, request: &mut libc::ifreq, what: libc::Ioctl) -> bool {
        // SAFETY: the query reads and writes `request` only.
        self.0.0 >= 0 && unsafe { libc::ioctl(self.0.0, what, &raw mut *request) } >= 0
    }
}

/// The MTU of a network device of this host.
fn mtu(devices: &Devices, request: &mut libc::ifreq) -> Option<usize> {
    if !devices.query(request, libc::SIOCGIFMTU) {
        return None;
    }
    // SAFETY: after a success this is the field that was written.
    usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok()
}

/// An Ethernet address for our end of the device: its own with the last bit changed, so that it is
/// the same in each run, and neighbors need not learn a new one.
fn own_mac(devices: &Devices, request: &mut libc::ifreq) -> Option<[u8; 6]> {
    if !devices.query(request, libc::SIOCGIFHWADDR) {
        return None;
    }
    // SAFETY: after a success this is the field that was written.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    let [a, b, c, d, e, f, ..] = address.map(|byte| byte.to_ne_bytes()[0]);
    // Unicast, locally administered.
    Some([a & 0xfc | 2, b, c, d, e, f ^ 1])
}

/// Attaches to the TAP device `name` as interface `index`; returns the link and its wake-up.
pub fn open(
    name: &str,
    index: usize,
    ring: &ring::Handle,
    settings: Settings,
) -> Result<(Tap, LinkWake), Failure> {
    // SAFETY: all zeros is a valid request.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        let detail = format!("SOIL_NET: \"{name}\" is not the name of a TAP device");
        return Err(Failure::new(Error::BadConfiguration, detail));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags =
        (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: the name ends with a zero byte, and `request` has the call's type.
    let fd = unsafe {
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let fd = OwnedFd(libc::open(c"/dev/net/tun".as_ptr(), flags));
        if fd.0 < 0 {
            return Err(failure("/dev/net/tun"));
        }
        let mut attempts = 0;
        while libc::ioctl(fd.0, libc::TUNSETIFF, &raw mut request) < 0 {
            // Linux closes files in use by a ring some time after its process has ended: this may
            // be a restarted program.
            if *libc::__errno_location() == libc::EBUSY && attempts < BUSY_ATTEMPTS {
                attempts += 1;
                libc::usleep(10_000);
                continue;
            }
            let hint = "make it with: ip tuntap add dev NAME mode tap user USER";
            return Err(failure(&format!("TAP device {name} ({hint})")));
        }
        // A persistent TAP keeps the header length that its last user, such as QEMU, set.
        let length = HEADER as libc::c_int;
        if libc::ioctl(fd.0, libc::TUNSETVNETHDRSZ, &raw const length) < 0 {
            return Err(failure(&format!("TAP device {name}: length of headers")));
        }
        // The device may also limit the frames that aren't read yet: a write never waits for one,
        // as on a wire.
        let most = libc::c_int::MAX;
        if libc::ioctl(fd.0, libc::TUNSETSNDBUF, &raw const most) < 0 {
            return Err(failure(&format!("TAP device {name}: room for frames")));
        }
        fd
    };
    let mut offloads = settings.offloads;
    let mut taken = 0;
    if offloads.rx_checksum {
        taken |= CHECKSUMS;
    }
    if offloads.large_receive {
        taken |= LARGE_FRAMES;
    }
    // SAFETY: plain request with a number.
    let can = unsafe { libc::ioctl(fd.0, libc::TUNSETOFFLOAD, taken) } >= 0;
    let devices = Devices::new();
    let mac = (settings.mac)(index, own_mac(&devices, &mut request))?;
    let mtu = mtu(&devices, &mut request).unwrap_or(1500);
    offloads.tx_checksum &= can;
    offloads.segmentation &= can;
    Tap::new(fd, ring, mac, mtu, offloads)
}

/// Fills a header and a frame.
fn write_frame(bytes: &mut [u8], fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
    let Some((header, frame)) = bytes.split_first_chunk_mut() else {
        return false;
    };
    *header = encode(fill(frame));
    true
}

/// Writes the frame in `sent` to the device; returns the number of bytes that are pending because
/// it has no room.
fn send(fd: i32, sent: &[u8]) -> usize {
    // SAFETY: reads within `sent`.
    let written = unsafe { libc::write(fd, sent.as_ptr().cast(), sent.len()) };
    match check(written) {
        Err(Stop::WouldBlock) => sent.len(),
        // On any other error (the device is down) the frame is lost, as on a wire.
        _ => 0,
    }
}

impl Tap {
    fn new(
        fd: OwnedFd,
        ring: &ring::Handle,
        mac: [u8; 6],
        mtu: usize,
        offloads: Offloads,
    ) -> Result<(Tap, LinkWake), Failure> {
        let wake = LinkWake::new(&fd);
        let incoming = Incoming::new(fd.0, ring);
        if incoming.is_some() {
            wake.set(None);
        }
        let tap = Tap {
            incoming,
            wake: wake.clone(),
            mac,
            mtu,
            offloads,
            polling: Polling::new(),
            received: buffer()?,
            sender: match Outgoing::new(fd.0, ring) {
                Some(outgoing) => Sender::Ring(outgoing),
                None => Sender::Calls(buffer()?, 0),
            },
            gone: false,
            fd,
        };
        Ok((tap, wake))
    }
}

impl Tap {
    /// Reads one frame.
    fn read(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let buffer = self.received.as_mut_slice();
        // SAFETY: writes within `buffer`.
        let n = unsafe { libc::read(self.fd.0, buffer.as_mut_ptr().cast(), buffer.len()) };
        self.polling.note(n >= 0);
        match usize::try_from(n) {
            Ok(n) => deliver(buffer.get_mut(..n).unwrap_or_default(), f),
            Err(_) => self.failed(errno()),
        }
        n >= 0
    }

    /// After a failed read: nothing has arrived, or nothing will any more.
    fn failed(&mut self, error: i32) {
        if error == libc::EBADFD {
            self.gone = true;
            self.wake.gone("the TAP device");
        }
    }
}

/// Delivers a frame after its header to the stack.
fn deliver(bytes: &mut [u8], f: &mut dyn FnMut(&mut [u8], RxMeta)) {
    if let Some((header, frame)) = bytes.split_first_chunk_mut() {
        f(frame, decode(header));
    }
}

impl Link for Tap {
    fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            mac: self.mac,
            mtu: self.mtu,
            tx_checksum: self.offloads.tx_checksum,
            tso4: self.offloads.segmentation,
            tso6: self.offloads.segmentation,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        match self.incoming.as_mut().map(Incoming::take) {
            _ if self.gone => return false,
            Some(Read::InFlight) => return false,
            Some(Read::Frame(start, len)) => {
                // SAFETY: the frame is ours until the next `start_read`, and of that length.
                deliver(
                    unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), len) },
                    f,
                );
                self.polling.begin();
                self.polling.note(true);
                return true;
            }
            Some(Read::Failed(error)) => {
                // Kernels before 6.4 may not wait for such a device on a ring.
                self.incoming = None;
                self.wake.set(Some(&self.fd));
                self.failed(error.raw_os_error());
                return false;
            }
            Some(Read::None) | None => (),
        }
        let on_ring = self.incoming.is_some();
        let readiness = || {
            if on_ring {
                Some(false)
            } else {
                self.wake.take_readiness()
            }
        };
        let frame = self.polling.may_read(readiness) && self.read(f);
        if let Some(incoming) = self.incoming.as_mut().filter(|_| !frame) {
            incoming.start_read();
        }
        frame
    }

    fn can_transmit(&mut self) -> bool {
        match &mut self.sender {
            // As to an unplugged cable.
            _ if self.gone => true,
            Sender::Ring(outgoing) => outgoing.has_room(),
            Sender::Calls(sent, waiting) => {
                if let Some(rest) = sent.get(..*waiting).filter(|rest| !rest.is_empty()) {
                    *waiting = send(self.fd.0, rest);
                }
                *waiting == 0
            }
        }
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        let len = HEADER + len;
        if len > HEADER + MAX_FRAME || !self.can_transmit() {
            return false;
        }
        match &mut self.sender {
            Sender::Ring(outgoing) => outgoing.send(len, |bytes| write_frame(bytes, fill)),
            Sender::Calls(sent, waiting) => {
                let Some(bytes) = sent.get_mut(..len) else {
                    return false;
                };
                let filled = write_frame(bytes, fill);
                *waiting = send(self.fd.0, bytes);
                filled
            }
        }
    }

    /// Frames on the ring leave with the next system call, which the runtime makes before the
    /// program resumes.
    fn flush(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::{HEADER, OwnedFd, Tap, decode, encode, ring};
    use core::time::Duration;
    use net::{Link, PartialChecksum, RxChecksum, SegmentKind, Segmentation, TxMeta};
    use std::vec::Vec;

    /// Frames stay whole and in order in both directions, with and without a ring; a socket that
    /// preserves boundaries is the device.
    fn carries_frames(handle: &ring::Handle) {
        let mut ends = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK;
        // SAFETY: `ends` has room for both.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
        assert_eq!(made, 0);
        let [ours, its] = ends.map(OwnedFd);
        let (mut tap, wake) =
            Tap::new(ours, handle, [2; 6], 1500, super::Offloads::ALL).expect("memory");
        let wait = || {
            let time = Some(Duration::from_millis(1));
            if handle.with(|ring| ring.wait(&mut [], time)).is_none() {
                wake.note_readiness(true);
            }
        };
        let (mut got, mut put) = (Vec::new(), 0u8);
        for batch in [1u8, 1, 5, 0, 30, 3, 20] {
            for _ in 0..batch {
                let mut bytes = [0; HEADER + 60];
                bytes[HEADER..].fill(put);
                // SAFETY: reads within `bytes`.
                let n = unsafe { libc::write(its.0, bytes.as_ptr().cast(), bytes.len()) };
                assert_eq!(n, bytes.len() as isize);
                put += 1;
            }
            for _ in 0..2 {
                wait();
                while tap.receive(&mut |frame, _| got.push((frame.len(), frame[0], frame[59]))) {}
            }
        }
        for _ in 0..100 {
            wait();
            while tap.receive(&mut |frame, _| got.push((frame.len(), frame[0], frame[59]))) {}
        }
        let all: Vec<_> = (0..put).map(|n| (60, n, n)).collect();
        assert_eq!(got, all);

        let mut bytes = [0u8; 100];
        let mut take = || {
            // SAFETY: writes within `bytes`.
            let n = unsafe { libc::read(its.0, bytes.as_mut_ptr().cast(), bytes.len()) };
            (n == 60 + HEADER as isize).then(|| (bytes[HEADER], bytes[HEADER + 59]))
        };
        let mut sent = 0;
        for _ in 0..5 {
            let before = sent;
            // More than there are slots, and more than the socket has room for.
            while sent < before + 40
                && tap.transmit(60, &mut |frame| {
                    frame.fill(sent);
                    TxMeta::default()
                })
            {
                sent += 1;
            }
            wait();
            for n in before..sent {
                assert_eq!(take(), Some((n, n)));
                wait();
                tap.can_transmit();
            }
        }
        assert!(sent > 16, "{sent}");
        assert_eq!(take(), None);
    }

    #[test]
    fn carries_frames_on_a_ring() {
        carries_frames(&ring::Handle::default());
    }

    #[test]
    fn carries_frames_without_a_ring() {
        carries_frames(&ring::Handle::forbidden());
    }

    #[test]
    fn headers_are_those_of_virtio() {
        let checksum = Some(PartialChecksum {
            start: 34,
            offset: 16,
        });
        let kind = SegmentKind::Tcp4;
        let segmentation = Some(Segmentation {
            kind,
            size: 1460,
            header_len: 54,
        });
        let header = encode(TxMeta {
            checksum,
            segmentation,
        });
        assert_eq!(header, [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0]);
        assert_eq!(encode(TxMeta::default()), [0; 10]);
    }

    #[test]
    fn reads_what_is_known_about_the_checksum() {
        let partial = PartialChecksum {
            start: 34,
            offset: 6,
        };
        let header = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0];
        assert_eq!(decode(&header).checksum, RxChecksum::Partial(partial));
        assert_eq!(
            decode(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]).checksum,
            RxChecksum::Valid
        );
        assert_eq!(decode(&[0; 10]).checksum, RxChecksum::Unknown);
    }
}
