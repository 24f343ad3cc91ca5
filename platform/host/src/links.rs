//! The network devices of the process, by `SOIL_NET`: a list separated by `;` of
//! - `user` (the default): `passt`, started here, carries frames over a socket and needs no
//!   privileges; `SOIL_FORWARD` names the ports of this host that it hands on, as `HOST:OWN` or
//!   `HOST:OWN/udp`, separated by `,`;
//! - `passt=SOCKET`: a `passt` that runs already;
//! - `tap=DEVICE`: a TAP device that this user may open;
//! - `none`.
//!
//! Their Ethernet addresses are those of `SOIL_MAC`; else a TAP's is made from the device's own,
//! and others are random.

use crate::{Host, Interest, errno, error, passt, recording, ring, tap};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use platform::error::{Error, Failure};
use platform::link::{Device, RecordingSink, Settings};
use platform::{Links, System};

/// How to wait for a link.
#[derive(Clone)]
pub struct LinkWake {
    state: Rc<Wake>,
}

struct Wake {
    /// Readable when a frame has come; -1 when there is nothing to wait for.
    fd: Cell<i32>,
    /// What the last wait found, until somebody asks.
    readable: Cell<Option<bool>>,
}

impl LinkWake {
    /// For a link on `fd`.
    pub fn new(fd: &OwnedFd) -> LinkWake {
        LinkWake {
            state: Rc::new(Wake {
                fd: Cell::new(fd.0),
                readable: Cell::new(None),
            }),
        }
    }

    /// What to wait for; -1 for nothing, or what the ring tells.
    pub fn fd(&self) -> i32 {
        self.state.fd.get()
    }

    /// Changes what to wait for.
    pub fn set(&self, fd: Option<&OwnedFd>) {
        self.state.fd.set(fd.map_or(-1, |fd| fd.0));
    }

    /// Notes what a wait has found.
    pub fn note_readiness(&self, readable: bool) {
        self.state.readable.set(Some(readable));
    }

    /// Whether there was something to read at the end of the last wait, if there was a wait since
    /// the last call.
    pub fn take_readiness(&self) -> Option<bool> {
        self.state.readable.take()
    }

    /// Says that the other end has gone: a cable that is pulled, and nothing to wait for.
    pub fn gone(&self, what: &str) {
        if self.state.fd.replace(-1) >= 0 {
            log::warn!("{what} is gone: the network interface is dead");
        }
    }
}

/// A file descriptor that is closed with its owner.
pub struct OwnedFd(pub i32);

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody uses it any more.
        unsafe { libc::close(self.0) };
    }
}

/// The failure of a call of the C library: `what: reason`.
pub fn failure(what: &str) -> Failure {
    let number = errno();
    let mut text = [0u8; 128];
    // SAFETY: writes a string of at most this length, with a zero at its end.
    unsafe { libc::strerror_r(number, text.as_mut_ptr().cast(), text.len()) };
    let reason = core::ffi::CStr::from_bytes_until_nul(&text).ok();
    let reason = reason
        .and_then(|reason| reason.to_str().ok())
        .unwrap_or("failed");
    Failure::new(error(number), format!("{what}: {reason}"))
}

/// Opens the devices that `SOIL_NET` names, on the ring where they can use one.
fn open(ring: &ring::Handle, settings: Settings) -> Result<Vec<Device<Host>>, Failure> {
    let text = Host::variable("SOIL_NET");
    let text = text.as_deref().unwrap_or("user");
    let mut devices = Vec::new();
    for word in text
        .split(';')
        .map(str::trim)
        .filter(|&word| word != "none")
    {
        let index = devices.len();
        let (link, wake): (Box<dyn net::Link>, LinkWake) = match word.split_once('=') {
            Some(("tap", device)) => {
                let (tap, wake) = tap::open(device, index, ring, settings)?;
                (Box::new(tap), wake)
            }
            Some(("passt", socket)) => {
                let (passt, wake) = passt::connect(socket, (settings.mac)(index, None)?)?;
                (Box::new(passt), wake)
            }
            None if word == "user" || word == "passt" => {
                let forward = Host::variable("SOIL_FORWARD").unwrap_or_default();
                let (passt, wake) = passt::start(&forward, (settings.mac)(index, None)?)?;
                (Box::new(passt), wake)
            }
            _ => {
                let detail =
                    format!("SOIL_NET: \"{word}\": give user, tap=DEVICE, passt=SOCKET or none");
                return Err(Failure::new(Error::BadConfiguration, detail));
            }
        };
        devices.push(Device {
            name: format!("eth{index}"),
            link,
            wake,
        });
    }
    Ok(devices)
}

impl Links for Host {
    const NO_NETWORK: &str =
        "no network interface: SOIL_NET is none: give user, tap=DEVICE or passt=SOCKET";

    fn links(interest: &mut Interest, settings: Settings) -> Result<Vec<Device<Host>>, Failure> {
        open(&interest.ring(), settings)
    }

    fn recording(target: &str) -> Result<RecordingSink, Failure> {
        recording::open(target)
    }
}
