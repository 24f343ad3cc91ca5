//! The metadata of a machine: its identity, its network configuration and its user data, from a
//! disk ([`disk`]) or from a provider's metadata service ([`imds`]).
//!
//! Lowest layer first:
//!
//! - [`yaml`], `base64`, `value`: the formats of documents; JSON is serde_json's.
//! - [`network`]: network configurations; [`user_data`]: the program's section.
//! - [`iso9660`], `folder`: files on a labelled disk.
//! - `nocloud`, `config_drive`: the two layouts of such a disk; [`disk`] finds them.
//! - [`http`], [`imds`]: the clients of metadata services, without a connection.
//!
//! Everything that is read was written by somebody else. Sizes, counts and depths are bounded, no
//! input panics, and a path never leaves its folder. What isn't understood is ignored, and named
//! in [`Instance::ignored`].
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)
)]
#![forbid(unsafe_code)]

extern crate alloc;

mod base64;
mod config_drive;
pub mod disk;
mod folder;
pub mod http;
pub mod imds;
pub mod iso9660;
pub mod network;
mod nocloud;
pub mod user_data;
mod value;
pub mod yaml;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use network::{Interface, Network};
pub use user_data::{File, Program};

/// Maximum number of bytes of a document: user data, a list of metadata, a network configuration.
/// Google's service, which has the largest, allows 256 KiB of user data.
pub const MAX_DOCUMENT: usize = 256 << 10;

/// Maximum number of bytes of an identifier or of a host name.
const MAX_NAME: usize = 255;
/// Maximum lengths of a host name and of its labels (RFC 1035, 2.3.4).
const MAX_HOST_NAME: usize = 253;
const MAX_LABEL: usize = 63;
/// Maximum number of entries of [`Instance::ignored`], and of characters in each.
const MAX_IGNORED: usize = 16;
const MAX_NOTE: usize = 160;

/// Why metadata can't be used, in one line: the document, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Names the document.
    fn within(self, document: &str) -> Self {
        Self(format!("{document}: {}", self.0))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

impl core::error::Error for Error {}

/// The origin of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A disk labelled `cidata`.
    NoCloud,
    /// A disk labelled `config-2`.
    ConfigDrive,
    /// The metadata service of EC2, version 2, or one that imitates it.
    Ec2,
    /// Google's metadata service.
    Gce,
    /// OpenStack's metadata service.
    OpenStack,
    /// Hetzner's metadata service.
    Hetzner,
    /// DigitalOcean's metadata service.
    DigitalOcean,
}

impl Source {
    /// The name: for the services the word of `SOIL_METADATA`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCloud => "nocloud",
            Self::ConfigDrive => "config-drive",
            Self::Ec2 => "ec2",
            Self::Gce => "gce",
            Self::OpenStack => "openstack",
            Self::Hetzner => "hetzner",
            Self::DigitalOcean => "digitalocean",
        }
    }
}

/// The metadata of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Where it comes from.
    pub source: Source,
    /// The provider's identifier of the machine; empty if there is none.
    pub id: String,
    /// The host name; empty if there is none.
    pub host_name: String,
    /// The network configuration; without interfaces if there is none.
    pub network: Network,
    /// The user data as it was found; empty if there is none.
    pub user_data: Vec<u8>,
    /// The program's section of the user data.
    pub program: Program,
    /// What was found and is ignored, for the log: printable, and bounded.
    pub ignored: Vec<String>,
}

impl Instance {
    /// An instance without contents.
    fn new(source: Source) -> Self {
        Self {
            source,
            id: String::new(),
            host_name: String::new(),
            network: Network::default(),
            user_data: Vec::new(),
            program: Program::default(),
            ignored: Vec::new(),
        }
    }

    /// Takes the identifier, if it is printable and not too long.
    fn set_id(&mut self, id: &str) {
        self.id = self.name("instance id", id).unwrap_or_default();
    }

    /// Takes the host name: letters, digits, `-` and `.` (RFC 952, RFC 1123, 2.1), up to the first
    /// blank, as cloud-init does: EC2 gives several names where a network has several domains. What
    /// else people write, as in `web_1`, becomes `-`. Both have a note.
    fn set_host_name(&mut self, name: &str) {
        let name = name.trim();
        let name = name.strip_suffix('.').unwrap_or(name);
        let first = name.split_whitespace().next().unwrap_or_default();
        let valid = valid_host_name(first);
        if valid.is_empty() && !name.is_empty() {
            self.ignore(format!("the host name \"{name}\", which isn't valid"));
        } else if valid != name {
            self.ignore(format!(
                "the host name \"{name}\", which isn't valid (RFC 1123): \"{valid}\" is used"
            ));
        }
        self.host_name = valid;
    }

    fn name(&mut self, what: &str, text: &str) -> Option<String> {
        let text = text.trim();
        if text.len() <= MAX_NAME && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(String::from(text));
        }
        self.ignore(format!("the {what} \"{text}\", which isn't valid"));
        None
    }

    /// Takes the user data and the program's section of it.
    fn set_user_data(&mut self, bytes: Vec<u8>) {
        self.program = user_data::read(&bytes, &mut |note| note_ignored(&mut self.ignored, note));
        self.user_data = bytes;
    }

    /// Takes the result of reading a network configuration.
    fn set_network(&mut self, read: impl FnOnce(&mut dyn FnMut(String)) -> Result<Network, Error>) {
        let network = read(&mut |note| note_ignored(&mut self.ignored, note));
        match network {
            Ok(network) => self.network = network,
            Err(error) => self.ignore(format!("{error}")),
        }
    }

    /// Notes something that is ignored.
    fn ignore(&mut self, note: String) {
        note_ignored(&mut self.ignored, note);
    }
}

/// The host name for `name`: in each label what a label can't contain becomes a hyphen, none at
/// either end. Empty if nothing is left, or if it is too long.
fn valid_host_name(name: &str) -> String {
    let separates = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    let label = |label: &str| {
        let words: Vec<&str> = label
            .split(separates)
            .filter(|word| !word.is_empty())
            .collect();
        String::from(words.join("-").trim_matches('-'))
    };
    let labels: Vec<String> = name
        .split('.')
        .map(label)
        .filter(|l| !l.is_empty())
        .collect();
    let fits = labels.iter().all(|label| label.len() <= MAX_LABEL);
    let name = labels.join(".");
    if fits && name.len() <= MAX_HOST_NAME {
        name
    } else {
        String::new()
    }
}

fn note_ignored(ignored: &mut Vec<String>, note: String) {
    match ignored.len() + 1 {
        ..MAX_IGNORED => ignored.push(printable(&note)),
        MAX_IGNORED => ignored.push(String::from("and more")),
        _ => {}
    }
}

/// Replaces what could disturb a terminal or a log, and cuts long texts.
fn printable(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(MAX_NOTE)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(MAX_NOTE).is_some() {
        line.push('…');
    }
    line
}

/// The error of a file that is longer than [`MAX_DOCUMENT`].
fn too_large(size: u64) -> Error {
    Error::new(format!("{size} bytes; at most 256 KiB are supported"))
}

#[cfg(test)]
mod tests {
    use super::{Instance, MAX_IGNORED, MAX_NOTE, Source};

    #[test]
    fn host_names_are_checked() {
        let mut instance = Instance::new(Source::NoCloud);
        instance.set_host_name(" web-1.example.org\n");
        assert_eq!(instance.host_name, "web-1.example.org");
        assert!(instance.ignored.is_empty());
        let long = ["a".repeat(64), "a.".repeat(128)];
        for (given, expected) in [
            ("xn--bcher-kva.example.", "xn--bcher-kva.example"),
            ("my server", "my"),
            (
                "ip-10-0-0-5.example.org.\tother.example",
                "ip-10-0-0-5.example.org",
            ),
            ("my_server 1", "my-server"),
            ("web_1.example.org", "web-1.example.org"),
            ("-a", "a"),
            (".a", "a"),
            ("a..b_", "a.b"),
            ("a\0b", "a-b"),
            ("a;b", "a-b"),
            ("a; b", "a"),
            ("b\u{fc}cher", "b-cher"),
            ("___", ""),
            (&long[0], ""),
            (&long[1], ""),
            ("", ""),
        ] {
            let mut instance = Instance::new(Source::NoCloud);
            instance.set_host_name(given);
            assert_eq!(instance.host_name, expected, "{given}");
            let named = instance
                .ignored
                .iter()
                .all(|note| note.contains("the host name"));
            let told = usize::from(given.trim_end_matches('.') != expected);
            assert!(
                named && instance.ignored.len() == told,
                "{given}: {:?}",
                instance.ignored
            );
        }
    }

    #[test]
    fn notes_are_bounded_and_printable() {
        let mut instance = Instance::new(Source::NoCloud);
        for _ in 0..MAX_IGNORED + 5 {
            instance.ignore(format!("\x1b[2J{}", "x".repeat(500)));
        }
        assert_eq!(instance.ignored.len(), MAX_IGNORED);
        assert_eq!(instance.ignored[MAX_IGNORED - 1], "and more");
        assert!(instance.ignored[0].starts_with("?[2Jx"));
        assert_eq!(instance.ignored[0].chars().count(), MAX_NOTE + 1);
    }
}
