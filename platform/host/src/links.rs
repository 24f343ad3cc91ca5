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

use crate::link_wake::LinkWake;
use crate::{Host, Interest, passt, recording, ring, tap};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::link::{Device, RecordingSink, Settings};
use platform::{Links, System};

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
