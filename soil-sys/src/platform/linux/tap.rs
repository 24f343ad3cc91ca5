//! A TAP device with `virtio_net_hdr` before each frame (Linux `Documentation/networking/tuntap.rst`): one system call for a frame of up
//! to 64 KiB, the kernel cutting and joining TCP segments and completing checksums.

use super::links::{LinkWake, OwnedFd, failure};
use super::{Stop, check};
use crate::error::Error;
use crate::net::choose_mac;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use net::{Link, LinkCapabilities, PartialChecksum, RxChecksum, RxMeta, SegmentKind, TxMeta};

/// Length of `struct virtio_net_hdr` (VIRTIO 1.2, 5.1.6, without `num_buffers`).
const HEADER: usize = 10;
/// The largest frame: an IP packet of 65 535 bytes and the Ethernet header.
const LARGEST: usize = 65_535 + 14;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum is still to be completed.
const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`: the checksum was verified.
const DATA_VALID: u8 = 2;
/// `VIRTIO_NET_HDR_GSO_TCPV4`.
const GSO_TCPV4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`.
const GSO_TCPV6: u8 = 4;

/// `TUNSETOFFLOAD`: the reader completes checksums (`TUN_F_CSUM`) and takes large TCP frames (`TUN_F_TSO4`, `TUN_F_TSO6`).
const OFFLOADS: libc::c_ulong = 0x01 | 0x02 | 0x04;

/// See the head of this file.
pub struct Tap {
    fd: OwnedFd,
    wake: LinkWake,
    mac: [u8; 6],
    mtu: usize,
    offload: bool,
    received: Vec<u8>,
    /// Header and frame that are being sent.
    sent: Vec<u8>,
    /// Bytes of `sent` that the device had no room for.
    waiting: usize,
}

/// The header of a frame that goes out.
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
    // Of the machine's own byte order, as the device is told nothing else.
    let [h0, h1] = u16::to_ne_bytes(header_len);
    let [s0, s1] = u16::to_ne_bytes(size);
    let [c0, c1] = checksum.start.to_ne_bytes();
    let [o0, o1] = checksum.offset.to_ne_bytes();
    [flags, gso, h0, h1, s0, s1, c0, c1, o0, o1]
}

/// What the header of a frame that came in says; the stack checks the numbers.
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

/// A buffer for one frame and its header.
fn buffer() -> Result<Vec<u8>, (Error, String)> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(HEADER + LARGEST)
        .map_err(|_| (Error::OutOfMemory, String::new()))?;
    buffer.resize(HEADER + LARGEST, 0);
    Ok(buffer)
}

/// Asks about a network device of this host: `request` has its name and gets the answer.
fn ask(request: &mut libc::ifreq, what: libc::Ioctl) -> bool {
    // SAFETY: a datagram socket serves as a handle for the query, which reads and writes `request` only.
    unsafe {
        let socket = OwnedFd(libc::socket(
            libc::AF_INET,
            libc::SOCK_DGRAM | libc::SOCK_CLOEXEC,
            0,
        ));
        socket.0 >= 0 && libc::ioctl(socket.0, what, &raw mut *request) >= 0
    }
}

/// The MTU of a network device of this host.
fn mtu(request: &mut libc::ifreq) -> Option<usize> {
    if !ask(request, libc::SIOCGIFMTU) {
        return None;
    }
    // SAFETY: after a success this is the field that was written.
    usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok()
}

/// An Ethernet address for our end of the device: its own with the last bit changed, so that it is the same in each run, and neighbours
/// need not learn a new one.
fn own_mac(request: &mut libc::ifreq) -> Option<[u8; 6]> {
    if !ask(request, libc::SIOCGIFHWADDR) {
        return None;
    }
    // SAFETY: after a success this is the field that was written.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    let [a, b, c, d, e, f, ..] = address.map(|byte| byte as u8);
    // One station, locally administered.
    Some([a & 0xfc | 2, b, c, d, e, f ^ 1])
}

/// Attaches to the TAP device `name` as interface `index`; the link and how to wait for it.
pub fn open(name: &str, index: usize) -> Result<(Tap, LinkWake), (Error, String)> {
    // SAFETY: all zeros is a valid request.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        let detail = format!("SOIL_NET: \"{name}\" is not the name of a TAP device");
        return Err((Error::BadConfiguration, detail));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags =
        (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: the name ends with a zero byte, and `request` is what the call wants.
    let fd = unsafe {
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let fd = OwnedFd(libc::open(c"/dev/net/tun".as_ptr(), flags));
        if fd.0 < 0 {
            return Err(failure("/dev/net/tun"));
        }
        if libc::ioctl(fd.0, libc::TUNSETIFF, &raw mut request) < 0 {
            let hint = "make it with: ip tuntap add dev NAME mode tap user USER";
            return Err(failure(&format!("TAP device {name} ({hint})")));
        }
        // A persistent TAP keeps the length that its last user, such as QEMU, chose.
        let length = HEADER as libc::c_int;
        if libc::ioctl(fd.0, libc::TUNSETVNETHDRSZ, &raw const length) < 0 {
            return Err(failure(&format!("TAP device {name}: length of headers")));
        }
        fd
    };
    // SAFETY: plain request with a number.
    let offload = unsafe { libc::ioctl(fd.0, libc::TUNSETOFFLOAD, OFFLOADS) } >= 0;
    let mac = choose_mac(index, own_mac(&mut request))?;
    let wake = LinkWake::new(&fd);
    let tap = Tap {
        wake: wake.clone(),
        mac,
        mtu: mtu(&mut request).unwrap_or(1500),
        offload,
        received: buffer()?,
        sent: buffer()?,
        waiting: 0,
        fd,
    };
    Ok((tap, wake))
}

impl Tap {
    /// Gives the frame in `sent` to the device, unless it has no room.
    fn send(&mut self) {
        let Some(bytes) = self.sent.get(..self.waiting) else {
            return;
        };
        // SAFETY: reads within `bytes`.
        let written = unsafe { libc::write(self.fd.0, bytes.as_ptr().cast(), bytes.len()) };
        // Whatever else went wrong (the device is down) happens to frames on a wire, too.
        if check(written) != Err(Stop::WouldBlock) {
            self.waiting = 0;
        }
    }
}

impl Link for Tap {
    fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            mac: self.mac,
            mtu: self.mtu,
            tx_checksum: self.offload,
            tso4: self.offload,
            tso6: self.offload,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let buffer = self.received.as_mut_slice();
        // SAFETY: writes within `buffer`.
        let n = unsafe { libc::read(self.fd.0, buffer.as_mut_ptr().cast(), buffer.len()) };
        let Some((header, frame)) = check(n)
            .ok()
            .and_then(|n| buffer.get_mut(..n)?.split_first_chunk_mut())
        else {
            return false;
        };
        f(frame, decode(header));
        true
    }

    fn can_transmit(&mut self) -> bool {
        if self.waiting > 0 {
            self.send();
        }
        self.waiting == 0
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        if !self.can_transmit() {
            return false;
        }
        let bytes = self
            .sent
            .get_mut(..HEADER + len)
            .and_then(<[u8]>::split_first_chunk_mut);
        let Some((header, frame)) = bytes else {
            return false;
        };
        *header = encode(fill(frame));
        self.waiting = HEADER + len;
        self.send();
        true
    }

    fn flush(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use net::{PartialChecksum, RxChecksum, SegmentKind, Segmentation, TxMeta};

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
