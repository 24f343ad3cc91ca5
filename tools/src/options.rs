//! Parses and checks the values of `soil run`'s options. Errors name the remedy.

mod disk;

pub use disk::{Disk, DiskSize, is_disk_name};

use disk::disk_name;
use fs::mounts::Word;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// The error for an invalid option value; clap prints it after the option's name.
fn invalid<T>(text: impl Into<String>) -> Result<T, String> {
    Err(text.into())
}

/// The error for sizes of memory and disks. A bare number is refused because it could mean bytes
/// or MiB.
const SIZE: &str = "expected a size with its unit, such as 64M or 1G";

/// The least memory that lets an image start, in MiB.
const MIN_MEMORY: u32 = 4;

/// Memory of the machine in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub u32);

impl Default for Memory {
    fn default() -> Self {
        Self(64)
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1),
            None => match text.strip_suffix(['G', 'g']) {
                Some(digits) => (digits, 1024),
                None => return invalid(SIZE),
            },
        };
        match digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)) {
            Some(mib) if (MIN_MEMORY..=1 << 20).contains(&mib) => Ok(Self(mib)),
            Some(_) => invalid(format!(
                "memory has to be between {MIN_MEMORY}M and 1024G: the smallest images need 5M"
            )),
            None => invalid(SIZE),
        }
    }
}

/// Number of the machine's processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors(pub u8);

/// As many as the kernel of an image has room for (`kernel/src/processors.rs`).
pub const MAX_PROCESSORS: u8 = 64;

impl Default for Processors {
    fn default() -> Self {
        Self(1)
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Processors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number @ 1..=MAX_PROCESSORS) => Ok(Self(number)),
            _ => invalid(format!(
                "a machine has 1 to {MAX_PROCESSORS} processors; without the option it has one"
            )),
        }
    }
}

/// The output of a program's displays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// Windows on the desktop.
    Window,
    /// A VNC server with this display number: port 5900 + number on 127.0.0.1.
    Vnc(u16),
    /// Nothing.
    None,
}

impl FromStr for Display {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("vnc=:");
        match (text, number.and_then(|number| number.parse().ok())) {
            ("window", _) => Ok(Self::Window),
            ("none", _) => Ok(Self::None),
            (_, Some(number @ 0..=59635)) => Ok(Self::Vnc(number)),
            _ => invalid("expected window, vnc=:N (such as vnc=:0, port 5900) or none"),
        }
    }
}

/// Valid widths and heights of a display, in pixels.
pub const DISPLAY_SIDE: RangeInclusive<u32> = 16..=8192;

/// Width and height of a display in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplaySize(pub u32, pub u32);

impl Default for DisplaySize {
    fn default() -> Self {
        Self(1280, 800)
    }
}

impl fmt::Display for DisplaySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

impl FromStr for DisplaySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| DISPLAY_SIDE.contains(side));
        let sides = text.split_once('x');
        match sides.map(|(width, height)| (side(width), side(height))) {
            Some((Some(width), Some(height))) => Ok(Self(width, height)),
            _ => invalid("expected a size such as 640x480, each side between 16 and 8192"),
        }
    }
}

/// The other end of the program's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// QEMU's user network (machine) or passt (process): unprivileged, with outgoing connections
    /// and `--forward`.
    User,
    /// A TAP device of the host.
    Tap(String),
    /// A passt process.
    Passt,
    /// The host's sockets (process), without a device.
    Host,
    /// No network device.
    None,
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "user" => Ok(Self::User),
            "passt" => Ok(Self::Passt),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            // Linux's IFNAMSIZ is 16 with the terminating zero.
            _ => match text.strip_prefix("tap=") {
                Some(device)
                    if (1..16).contains(&device.len())
                        && !device.contains(|c: char| c.is_whitespace() || "/,:".contains(c)) =>
                {
                    Ok(Self::Tap(device.to_owned()))
                }
                Some(device) => invalid(format!("'{device}' can't be the name of a TAP device")),
                None => invalid("expected user, tap=DEVICE, passt, host or none"),
            },
        }
    }
}

/// Where the sockets of a machine to its host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vsock {
    /// In the host's kernel, with this CID of the machine.
    Cid(u32),
    /// At a UNIX socket: of a vhost-user device for QEMU, else one that the VMM makes.
    Socket(PathBuf),
}

impl FromStr for Vsock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Ok(Self::Socket(text.into()));
        }
        match text.parse() {
            // The first ones are the hypervisor's, the loopback's and the host's; the last is any.
            Ok(cid) if (3..u32::MAX).contains(&cid) => Ok(Self::Cid(cid)),
            _ => invalid(
                "expected a CID of 3 or more, or the path of a socket with a '/' (./vsock.sock)",
            ),
        }
    }
}

/// An address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The program's own address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix: u8,
}

impl Cidr {
    /// The network's first address.
    pub fn network(&self) -> IpAddr {
        let kept = u32::from(self.prefix);
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - kept).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: IpAddr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= longest).then_some(Self { address, prefix })
        });
        match parsed {
            Some(cidr) => Ok(cidr),
            None => invalid("expected ADDRESS/PREFIX such as 10.0.0.2/24"),
        }
    }
}

/// The values of one interface, separated by commas in the option; `dhcp` stands for no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<T>(pub Vec<T>);

impl<T: fmt::Display> fmt::Display for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{value}")?;
        }
        Ok(())
    }
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Values<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "dhcp" {
            return Ok(Self(Vec::new()));
        }
        let values = text
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<T>, _>>();
        values.map(Self).map_err(|error| error.to_string())
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A host port forwarded to a port of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The host's listening address; 127.0.0.1 by default.
    pub address: IpAddr,
    /// The host's port.
    pub host: u16,
    /// The program's port.
    pub program: u16,
    /// The forwarded protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Forward {
    /// As it is given, with the address unless that is the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => {}
            IpAddr::V4(address) => write!(f, "{address}:")?,
            IpAddr::V6(address) => write!(f, "[{address}]:")?,
        }
        write!(f, "{}:{}", self.host, self.program)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, protocol) = match text.rsplit_once('/') {
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some((rest, "tcp")) => (rest, Protocol::Tcp),
            Some(_) => return invalid("the protocol after '/' has to be tcp or udp"),
            None => (text, Protocol::Tcp),
        };
        let parsed = rest.rsplit_once(':').and_then(|(front, program)| {
            let (address, host) = match front.rsplit_once(':') {
                Some((address, host)) => {
                    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
                    (bare.unwrap_or(address).parse().ok()?, host)
                }
                None => (IpAddr::from([127, 0, 0, 1]), front),
            };
            let host = host.parse().ok().filter(|port| *port != 0)?;
            let program = program.parse().ok().filter(|port| *port != 0)?;
            Some(Self {
                address,
                host,
                program,
                protocol,
            })
        });
        match parsed {
            Some(forward) => Ok(forward),
            None => invalid("expected [ADDRESS:]HOST-PORT:PROGRAM-PORT[/udp] such as 8080:80"),
        }
    }
}

/// A mount of the program: its path, kind and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// An absolute path.
    pub path: String,
    /// The file system; `None`: detected from the disk.
    pub kind: Option<String>,
    /// A disk's name, optionally with `/` and a partition's number or label; a host directory's
    /// path; or a memory volume's size.
    pub source: String,
    /// Whether the mount is read-only.
    pub read_only: bool,
    /// Whether the volume grows to the size of its disk.
    pub grow: bool,
}

/// The syntax of a mount, for errors.
const MOUNT: &str = "expected /PATH=TYPE:SOURCE or /PATH=DISK (such as /data=fat:data, \
    /www=host:site, /tmp=memory:16M)";

impl Mount {
    /// The disk of this mount, if it is on one.
    pub fn disk(&self) -> Option<&str> {
        let on_disk = !matches!(self.kind.as_deref(), Some("host" | "memory"));
        on_disk.then(|| self.source.split('/').next().unwrap_or_default())
    }
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(word) = Word::parse(text) else {
            return invalid(MOUNT);
        };
        let Word {
            point: path,
            kind,
            source,
            read_only,
            grow,
        } = word;
        if !path.starts_with('/') || text.contains(';') {
            return invalid(format!(
                "'{path}' has to be an absolute path, and nothing may have a ';'"
            ));
        }
        match kind {
            None | Some("fat" | "ext4" | "tar" | "host" | "memory") => {}
            Some("embed") => {
                return invalid(
                    "embedded trees need no --mount: the program has them where it registers them",
                );
            }
            Some(kind) => {
                return invalid(format!(
                    "no file system is called '{kind}': write fat, ext4, tar, memory or host"
                ));
            }
        }
        let mount = Self {
            path: path.to_owned(),
            kind: kind.map(str::to_owned),
            source: source.to_owned(),
            read_only,
            grow,
        };
        if let Some(disk) = mount.disk() {
            disk_name(disk)?;
        } else if source.is_empty() && kind == Some("host") {
            return invalid(MOUNT);
        }
        Ok(mount)
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, colon) = match &self.kind {
            Some(kind) => (kind.as_str(), ":"),
            None => ("", ""),
        };
        let option = match (self.read_only, self.grow) {
            (true, _) => ",ro",
            (_, true) => ",grow",
            _ => "",
        };
        write!(f, "{}={kind}{colon}{}{option}", self.path, self.source)
    }
}

/// An environment variable for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None`: the value in `soil run`'s own environment.
    pub value: Option<String>,
}

/// The values of `--env`: a name alone has the present one, if any.
pub fn given(variables: &[Variable]) -> Vec<(String, OsString)> {
    let value = |variable: &Variable| match &variable.value {
        Some(value) => Some(value.into()),
        None => std::env::var_os(&variable.name),
    };
    let named = variables
        .iter()
        .filter_map(|variable| Some((variable.name.clone(), value(variable)?)));
    named.collect()
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let mut bytes = name.bytes();
        let starts = bytes
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return invalid("expected NAME=VALUE, the name of letters, digits and '_'");
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, Disk, Forward, Memory, Mount, Net, Processors, Protocol, Values, Variable};
    use proptest::prelude::{any, proptest};

    #[test]
    fn processors_have_bounds() {
        assert_eq!("1".parse(), Ok(Processors(1)));
        assert_eq!("64".parse(), Ok(Processors(64)));
        for bad in ["", "0", "65", "256", "-1", "two", "1.5"] {
            let error = bad.parse::<Processors>().expect_err(bad).to_string();
            assert!(error.contains("1 to 64 processors"), "{error}");
        }
    }

    #[test]
    fn memory_has_units_and_bounds() {
        assert_eq!("64M".parse(), Ok(Memory(64)));
        assert_eq!("1G".parse(), Ok(Memory(1024)));
        assert_eq!("4M".parse(), Ok(Memory(4)));
        for bad in [
            "",
            "M",
            "64",
            "64K",
            "0M",
            "3M",
            "-5M",
            "99999999999999G",
            "4194304G",
        ] {
            assert!(bad.parse::<Memory>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_named() {
        assert_eq!("tap=tap0".parse(), Ok(Net::Tap("tap0".into())));
        for bad in [
            "",
            "tap",
            "tap=",
            "tap=a/b",
            "tap=a,b",
            "tap=abcdefghijklmnop",
            "bridge",
        ] {
            assert!(bad.parse::<Net>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_forward_has_two_ports() {
        let forward: Forward = "8080:80".parse().expect("valid");
        assert_eq!((forward.host, forward.program), (8080, 80));
        assert!(forward.address.is_loopback());
        let forward: Forward = "[::1]:53:5353/udp".parse().expect("valid");
        assert_eq!((forward.host, forward.protocol), (53, Protocol::Udp));
        assert!(forward.address.is_ipv6());
        for text in ["8080:80", "0.0.0.0:53:53/udp", "[::1]:53:5353/udp"] {
            let forward: Forward = text.parse().expect("valid");
            assert_eq!(forward.to_string(), text);
        }
        for bad in [
            "",
            "80",
            "0:80",
            "80:0",
            "80:65536",
            "x:80",
            "80:80/sctp",
            "1.2.3:80:80",
        ] {
            assert!(bad.parse::<Forward>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_prefix() {
        let cidr: Cidr = "10.77.3.2/16".parse().expect("valid");
        assert_eq!(cidr.network().to_string(), "10.77.0.0");
        let cidr: Cidr = "fd00::5/64".parse().expect("valid");
        assert_eq!(cidr.network().to_string(), "fd00::");
        for bad in ["10.0.0.1", "10.0.0.1/33", "10.0.0/8", "::/129", "/24"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interface_has_several_values_or_none() {
        let values: Values<Cidr> = "10.0.0.2/24,fd00::2/64".parse().expect("valid");
        assert_eq!(values.to_string(), "10.0.0.2/24,fd00::2/64");
        assert_eq!("dhcp".parse(), Ok(Values::<Cidr>(Vec::new())));
        for bad in ["", "10.0.0.2/24,", "dhcp,10.0.0.2/24"] {
            assert!(bad.parse::<Values<Cidr>>().is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_and_variables() {
        for (good, disk) in [
            ("/data=fat:d", Some("d")),
            ("/data=ext4:d/2,ro", Some("d")),
            ("/data=ext4:d,grow", Some("d")),
            ("/data=d/my label", Some("d")),
            ("/=host:/some/where", None),
            ("/tmp=memory:16M", None),
        ] {
            let mount: Mount = good.parse().expect(good);
            assert_eq!((mount.to_string().as_str(), mount.disk()), (good, disk));
        }
        for bad in [
            "data=fat:d",
            "/data",
            "/data=ext9:d",
            "/data=embed:d",
            "/data=fat:",
            "/data=host:",
            "/a;b=fat:d",
            "/a=host:b;c",
        ] {
            assert!(bad.parse::<Mount>().is_err(), "{bad}");
        }
        assert!(
            "A_1=x=y"
                .parse::<Variable>()
                .is_ok_and(|v| v.value.as_deref() == Some("x=y"))
        );
        assert!("HOME".parse::<Variable>().is_ok_and(|v| v.value.is_none()));
        for bad in ["", "=x", "1A=x", "A B=x", "A-B=x"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_panics(text in any::<String>()) {
            let _ = text.parse::<Memory>();
            let _ = text.parse::<Disk>();
            let _ = text.parse::<Net>();
            let _ = text.parse::<Forward>();
            let _ = text.parse::<Cidr>().map(|cidr| cidr.network());
            let _ = text.parse::<Mount>();
            let _ = text.parse::<Variable>();
        }
    }
}
