//! A server with only the stack, on a TAP device of Linux, for measurements and for tests against
//! Linux's TCP: `cargo run --release -p net --example tap -- DEV CIDR [plain]`.
//!
//! Port 7 echoes, 9 discards, 19 sends without end, 80 answers HTTP requests with 1 KiB. With
//! `plain` the device offers no offloads. The device must exist or the process be allowed to create
//! it: `ip tuntap add dev DEV mode tap vnet_hdr`.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::Instant;

use net::{
    Config, Error, Handle, InterfaceConfig, Link, LinkCapabilities, PartialChecksum, RxChecksum,
    RxMeta, SegmentKind, Stack, TxMeta,
};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6.
const OFFLOADS: libc::c_ulong = 7;
/// `struct virtio_net_hdr`, without the number of buffers.
const HEADER: usize = 10;
const FRAME_MAX: usize = 65_549;

/// The device: one system call per frame, which may be 64 KiB long.
struct Tap {
    file: File,
    offloads: bool,
    buffer: Vec<u8>,
    full: bool,
}

impl Tap {
    fn open(name: &str, offloads: bool) -> std::io::Result<Tap> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun")?;
        let mut request = [0u8; 40];
        for (to, from) in request.iter_mut().zip(name.bytes().take(15)) {
            *to = from;
        }
        request[16..18].copy_from_slice(&(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR).to_ne_bytes());
        let fd = file.as_raw_fd();
        let flags = if offloads { OFFLOADS } else { 0 };
        // SAFETY: `request` is a `struct ifreq` of 40 bytes that outlives the call.
        let mut result = unsafe { libc::ioctl(fd, TUNSETIFF, request.as_mut_ptr()) };
        if result == 0 {
            // SAFETY: this request takes a number.
            result = unsafe { libc::ioctl(fd, TUNSETOFFLOAD, flags) };
        }
        if result == 0 {
            // SAFETY: this request takes a number.
            result = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
        }
        if result != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Tap {
            file,
            offloads,
            buffer: vec![0; HEADER + FRAME_MAX],
            full: false,
        })
    }

    /// Waits for a frame, for at most `timeout_ns`.
    fn wait(fd: i32, events: i16, timeout_ns: Option<u64>) {
        let timeout = timeout_ns.map_or(-1, |ns| ns.div_ceil(1_000_000).min(60_000) as i32);
        let mut poll = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // SAFETY: one `pollfd` that outlives the call.
        unsafe { libc::poll(&mut poll, 1, timeout) };
    }
}

impl Link for Tap {
    fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            mac: [2, 0x50, 0x4f, 0x49, 0x4c, 1],
            mtu: 1500,
            tx_checksum: self.offloads,
            tso4: self.offloads,
            tso6: false,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let Ok(len) = self.file.read(&mut self.buffer) else {
            return false;
        };
        if len < HEADER {
            return false;
        }
        let (header, rest) = self.buffer.split_at_mut(HEADER);
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let checksum = match header[0] {
            1 => RxChecksum::Partial(PartialChecksum {
                start: half(6),
                offset: half(8),
            }),
            2 => RxChecksum::Valid,
            _ => RxChecksum::Unknown,
        };
        let meta = RxMeta {
            checksum,
            joined: (header[1] != 0).then(|| half(4)),
        };
        f(&mut rest[..len - HEADER], meta);
        true
    }

    fn can_transmit(&mut self) -> bool {
        !self.full
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        let (header, rest) = self.buffer.split_at_mut(HEADER);
        let Some(frame) = rest.get_mut(..len) else {
            return false;
        };
        let meta = fill(frame);
        header.fill(0);
        if let Some(partial) = meta.checksum {
            header[0] = 1;
            header[6..8].copy_from_slice(&partial.start.to_ne_bytes());
            header[8..10].copy_from_slice(&partial.offset.to_ne_bytes());
        }
        if let Some(segmentation) = meta.segmentation {
            header[1] = if segmentation.kind == SegmentKind::Tcp4 {
                1
            } else {
                4
            };
            header[2..4].copy_from_slice(&segmentation.header_len.to_ne_bytes());
            header[4..6].copy_from_slice(&segmentation.size.to_ne_bytes());
        }
        // A TAP accepts every frame at once and drops those that its other side has no room for.
        let _ = self.file.write(&self.buffer[..HEADER + len]);
        true
    }

    fn flush(&mut self) {}
}

#[derive(Clone, Copy, PartialEq)]
enum Service {
    Echo,
    Discard,
    Generate,
    Http,
}

/// Does the pending work of a connection; `false` once it is over.
fn serve(
    stack: &mut Stack,
    handle: Handle,
    service: Service,
    response: &[u8],
    rest: &mut Vec<u8>,
) -> bool {
    let mut buffer = [0; 65_536];
    loop {
        while !rest.is_empty() {
            match stack.tcp_write(handle, rest) {
                Ok(len) => drop(rest.drain(..len)),
                Err(Error::WouldBlock) => return true,
                Err(_) => return false,
            }
        }
        if service == Service::Generate {
            match stack.tcp_write(handle, &buffer) {
                Ok(_) => continue,
                Err(Error::WouldBlock) => return true,
                Err(_) => return false,
            }
        }
        match stack.tcp_read(handle, &mut buffer) {
            Ok(0) => return false,
            Ok(len) => match service {
                Service::Echo => rest.extend(&buffer[..len]),
                // The load generator sends one request at a time, in one piece.
                Service::Http => rest.extend(response),
                Service::Discard | Service::Generate => {}
            },
            Err(Error::WouldBlock) => return true,
            Err(_) => return false,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device, cidr, options @ ..] = &arguments[..] else {
        return Err("usage: tap DEV CIDR [plain]".into());
    };
    let tap = Tap::open(device, !options.iter().any(|option| option == "plain"))?;
    let fd = tap.file.as_raw_fd();
    let mut source = || -> net::RandomBits {
        let mut system = File::open("/dev/urandom").expect("the system's entropy");
        Box::new(move || {
            let mut bytes = [0; 8];
            system.read_exact(&mut bytes).expect("the system's entropy");
            u64::from_ne_bytes(bytes)
        })
    };
    let config = Config {
        tcp_memory: 64 << 20,
        ..Config::default()
    };
    let mut stack = Stack::new(config, &mut source);
    let interface = InterfaceConfig {
        addresses: vec![cidr.parse()?],
        ..Default::default()
    };
    stack.add_interface(Box::new(tap), &interface)?;
    let services = [
        (7, Service::Echo),
        (9, Service::Discard),
        (19, Service::Generate),
        (80, Service::Http),
    ];
    let mut listeners = Vec::new();
    for (port, service) in services {
        let address = std::net::SocketAddr::from(([0u16; 8], port));
        listeners.push((stack.tcp_listen(address, 1024)?, service));
    }
    let response = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n".as_slice(),
        &[b'x'; 1024],
    ]
    .concat();
    let mut connections: HashMap<Handle, (Service, Vec<u8>)> = HashMap::new();
    let start = Instant::now();
    let mut ready: Vec<Handle> = listeners.iter().map(|(listener, _)| *listener).collect();
    println!("serving {cidr} on {device}");
    loop {
        for handle in ready.drain(..) {
            if let Some((_, service)) = listeners.iter().find(|(listener, _)| *listener == handle) {
                while let Ok(accepted) = stack.tcp_accept(handle) {
                    let mut rest = Vec::new();
                    if serve(&mut stack, accepted, *service, &response, &mut rest) {
                        connections.insert(accepted, (*service, rest));
                    } else {
                        stack.close(accepted)?;
                    }
                }
            } else if let Some((service, rest)) = connections.get_mut(&handle)
                && !serve(&mut stack, handle, *service, &response, rest)
            {
                connections.remove(&handle);
                stack.close(handle)?;
            }
        }
        let now_ns = start.elapsed().as_nanos() as u64;
        let progress = stack.poll(now_ns, 64);
        stack.take_events(&mut |handle| ready.push(handle));
        if ready.is_empty() && !progress.more_work {
            let timeout_ns = progress
                .next_deadline_ns
                .map(|at| at.saturating_sub(now_ns));
            Tap::wait(fd, libc::POLLIN, timeout_ns);
        }
    }
}
