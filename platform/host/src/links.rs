//! The network devices of the process, by `SOIL_NET`: a list separated by `;` of
//! - `user`: `passt`, started here, carries frames over a socket and needs no privileges;
//!   `SOIL_FORWARD` names the ports of this host that it forwards, as `HOST:OWN` or `HOST:OWN/udp`,
//!   separated by `,`;
//! - `passt=SOCKET`: a running `passt`;
//! - `tap=DEVICE`: a TAP device that this user may open;
//! - `none`.
//!
//! Or it is `host` (the default): the program's sockets are Linux's own ([`crate::sockets`]), and
//! there is no device.
//!
//! The devices' Ethernet addresses are those of `SOIL_MAC`; else a TAP's is made from the device's
//! own, and others are random.

use crate::link_wake::LinkWake;
use crate::sockets::Sockets;
use crate::{Host, Interest, hosted, passt, recording, ring, tap};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use platform::error::{Error, Failure};
use platform::link::{Device, RecordingSink, Settings};
use platform::{Links, System};

/// Settings of a stack of the program's own.
const STACK_SETTINGS: [&str; 8] = [
    "SOIL_IP",
    "SOIL_GATEWAY",
    "SOIL_MAC",
    "SOIL_FORWARD",
    "SOIL_FILTER",
    "SOIL_OFFLOAD",
    "SOIL_PCAP",
    "SOIL_MDNS",
];

/// Fails for a setting that Linux's sockets can't honour. Errors: `BadConfiguration`.
fn refuse_settings() -> Result<(), Failure> {
    let given = |name: &&&str| Host::variable(name).is_some();
    let Some(name) = STACK_SETTINGS.iter().find(given) else {
        return Ok(());
    };
    let detail = format!(
        "{name}: the host's own sockets (SOIL_NET=host) are configured by the host: give \
         SOIL_NET=user or tap=DEVICE, or leave {name} out"
    );
    Err(Failure::new(Error::BadConfiguration, detail))
}

/// Opens the devices that `SOIL_NET` names, on the ring if they can use one.
fn open(ring: &ring::Handle, settings: Settings) -> Result<Vec<Device<Host>>, Failure> {
    if Host::hosted() {
        return refuse_settings().map(|()| Vec::new());
    }
    if let Some(link) = sim::SimulatedLink::open() {
        return Ok(alloc::vec![Device {
            name: String::from("eth0"),
            link: Box::new(link),
            wake: LinkWake::none(),
        }]);
    }
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
                let detail = format!(
                    "SOIL_NET: \"{word}\": give host, user, tap=DEVICE, passt=SOCKET or none"
                );
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
    type Transport = Box<dyn net::Transport>;

    fn hosted() -> bool {
        hosted::decide()
    }

    fn transport(
        interest: &mut Interest,
        config: net::Config,
        random: &mut dyn FnMut() -> net::RandomBits,
    ) -> Self::Transport {
        if Host::hosted() {
            return Box::new(Sockets::new(interest, config.congestion));
        }
        Box::new(net::Stack::new(config, random))
    }

    const NO_NETWORK: &str =
        "no network interface: SOIL_NET is none: give host, user, tap=DEVICE or passt=SOCKET";

    fn links(interest: &mut Interest, settings: Settings) -> Result<Vec<Device<Host>>, Failure> {
        open(&interest.ring(), settings)
    }

    fn recording(target: &str) -> Result<RecordingSink, Failure> {
        recording::open(target)
    }
}
