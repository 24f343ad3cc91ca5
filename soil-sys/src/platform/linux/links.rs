//! The network devices of the process, by `SOIL_NET`: a list separated by `;` of
//! - `user` (the default): `passt`, started here, carries frames over a socket and needs no privileges; `SOIL_FORWARD` names the ports of
//!   this host that it hands on, as `HOST:OWN` or `HOST:OWN/udp`, separated by `,`;
//! - `passt=SOCKET`: a `passt` that runs already;
//! - `tap=DEVICE`: a TAP device that this user may open;
//! - `none`.
//!
//! Their Ethernet addresses are those of `SOIL_MAC`; else a TAP's is made from the device's own, and others are random.

use super::{Linux, errno, error, passt, tap};
use crate::error::Error;
use crate::net::{Device, choose_mac};
use crate::platform::Platform;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

/// How to wait for a link.
#[derive(Clone)]
pub struct LinkWake {
    /// Readable when a frame has come; -1 when nothing will come any more.
    fd: Rc<Cell<i32>>,
}

impl LinkWake {
    /// For a link on `fd`.
    pub fn new(fd: &OwnedFd) -> LinkWake {
        LinkWake {
            fd: Rc::new(Cell::new(fd.0)),
        }
    }

    /// What to wait for.
    pub fn fd(&self) -> i32 {
        self.fd.get()
    }

    /// Says that the other end has gone: a cable that is pulled, and nothing to wait for.
    pub fn gone(&self, what: &str) {
        if self.fd.replace(-1) >= 0 {
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

/// A failure of the C library as code and words: `what: reason`.
pub fn failure(what: &str) -> (Error, String) {
    let number = errno();
    let mut text = [0u8; 128];
    // SAFETY: writes a string of at most this length, with a zero at its end.
    unsafe { libc::strerror_r(number, text.as_mut_ptr().cast(), text.len()) };
    let reason = core::ffi::CStr::from_bytes_until_nul(&text).ok();
    let reason = reason
        .and_then(|reason| reason.to_str().ok())
        .unwrap_or("failed");
    (error(number), format!("{what}: {reason}"))
}

/// Opens the devices that `SOIL_NET` names.
pub fn open() -> Result<Vec<Device>, (Error, String)> {
    let text = Linux::variable("SOIL_NET").filter(|text| !text.is_empty());
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
                let (tap, wake) = tap::open(device, index)?;
                (Box::new(tap), wake)
            }
            Some(("passt", socket)) => {
                let (passt, wake) = passt::connect(socket, choose_mac(index, None)?)?;
                (Box::new(passt), wake)
            }
            None if word == "user" || word == "passt" => {
                let forward = Linux::variable("SOIL_FORWARD").unwrap_or_default();
                let (passt, wake) = passt::start(&forward, choose_mac(index, None)?)?;
                (Box::new(passt), wake)
            }
            _ => {
                let detail =
                    format!("SOIL_NET: \"{word}\": give user, tap=DEVICE, passt=SOCKET or none");
                return Err((Error::BadConfiguration, detail));
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
