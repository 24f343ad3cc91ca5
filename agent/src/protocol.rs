//! Requests and responses in JSON. Errors have QMP's form: a class and a description.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Answer, Interface, Request, Shutdown};

/// An error for the host.
#[derive(Debug)]
pub(crate) struct Failure {
    class: &'static str,
    text: String,
}

impl Failure {
    pub fn generic(text: String) -> Failure {
        let class = "GenericError";
        Failure { class, text }
    }

    pub fn not_found(text: String) -> Failure {
        let class = "CommandNotFound";
        Failure { class, text }
    }
}

/// A request of the host.
#[derive(Debug)]
pub(crate) enum Command {
    Sync(i64),
    SyncDelimited(i64),
    Ping,
    Info,
    OsInfo,
    FreezeStatus,
    /// The program answers it.
    Ask(Request),
}

/// The names of all commands; whether they work while volumes are frozen; whether they respond on
/// success.
const COMMANDS: [(&str, bool, bool); 12] = [
    ("guest-sync", true, true),
    ("guest-sync-delimited", true, true),
    ("guest-ping", true, true),
    ("guest-info", true, true),
    ("guest-get-osinfo", false, true),
    ("guest-get-time", false, true),
    ("guest-set-time", false, true),
    ("guest-network-get-interfaces", false, true),
    ("guest-shutdown", false, false),
    ("guest-fsfreeze-status", true, true),
    ("guest-fsfreeze-freeze", false, true),
    ("guest-fsfreeze-thaw", true, true),
];

impl Command {
    pub fn name(&self) -> &'static str {
        match self {
            Command::Sync(_) => "guest-sync",
            Command::SyncDelimited(_) => "guest-sync-delimited",
            Command::Ping => "guest-ping",
            Command::Info => "guest-info",
            Command::OsInfo => "guest-get-osinfo",
            Command::FreezeStatus => "guest-fsfreeze-status",
            Command::Ask(Request::Time) => "guest-get-time",
            Command::Ask(Request::SetTime(_)) => "guest-set-time",
            Command::Ask(Request::Interfaces) => "guest-network-get-interfaces",
            Command::Ask(Request::Shutdown(_)) => "guest-shutdown",
            Command::Ask(Request::Freeze) => "guest-fsfreeze-freeze",
            Command::Ask(Request::Thaw) => "guest-fsfreeze-thaw",
        }
    }

    pub fn works_frozen(&self) -> bool {
        let name = self.name();
        COMMANDS
            .iter()
            .any(|&(known, frozen, _)| known == name && frozen)
    }
}

/// A request with the `id` that its response repeats.
pub(crate) struct Message {
    /// JSON, as the host wrote it.
    pub id: Option<String>,
    pub command: Result<Command, Failure>,
}

/// The members of an object, of which a few are expected: names, and values as JSON.
///
/// `serde_json::Value` would link trees, floating-point numbers and their output into each image
/// with an agent.
#[derive(Default)]
struct Members<'a>(Vec<(String, &'a str)>);

impl<'a> Members<'a> {
    fn take(&mut self, name: &str) -> Option<&'a str> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Any member.
    fn first(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| name.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

pub(crate) fn parse(line: &[u8]) -> Message {
    let is_object = line.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<Members<'_>>(line) {
        Ok(mut members) => Message {
            id: members.take("id").map(ToString::to_string),
            command: command(members),
        },
        Err(error) if is_object || error.is_syntax() || error.is_eof() => {
            failed(format!("JSON parse error: {error}"))
        }
        Err(_) => failed("QMP input must be a JSON object".into()),
    }
}

fn failed(text: String) -> Message {
    Message {
        id: None,
        command: Err(Failure::generic(text)),
    }
}

fn command(mut members: Members<'_>) -> Result<Command, Failure> {
    let generic = |text: &str| Failure::generic(text.to_string());
    let name: String = match members.take("execute").map(serde_json::from_str) {
        Some(Ok(name)) => name,
        Some(Err(_)) => return Err(generic("QMP input member 'execute' must be a string")),
        None => return Err(generic("QMP input lacks member 'execute'")),
    };
    let mut arguments: Members<'_> = match members.take("arguments").map(serde_json::from_str) {
        Some(Ok(arguments)) => arguments,
        None => Members::default(),
        Some(Err(_)) => return Err(generic("QMP input member 'arguments' must be an object")),
    };
    if let Some(member) = members.first() {
        let text = format!("QMP input member '{member}' is unexpected");
        return Err(Failure::generic(text));
    }
    let command = match name.as_str() {
        "guest-sync" => Command::Sync(number(&mut arguments, "id")?),
        "guest-sync-delimited" => Command::SyncDelimited(number(&mut arguments, "id")?),
        "guest-ping" => Command::Ping,
        "guest-info" => Command::Info,
        "guest-get-osinfo" => Command::OsInfo,
        "guest-get-time" => Command::Ask(Request::Time),
        "guest-set-time" => Command::Ask(Request::SetTime(optional(&mut arguments, "time")?)),
        "guest-fsfreeze-status" => Command::FreezeStatus,
        "guest-network-get-interfaces" => Command::Ask(Request::Interfaces),
        "guest-shutdown" => Command::Ask(Request::Shutdown(mode(&mut arguments)?)),
        "guest-fsfreeze-freeze" => Command::Ask(Request::Freeze),
        "guest-fsfreeze-thaw" => Command::Ask(Request::Thaw),
        _ => {
            let text = format!("The command {name} has not been found");
            return Err(Failure::not_found(text));
        }
    };
    match arguments.first() {
        Some(argument) => Err(Failure::generic(format!(
            "Parameter '{argument}' is unexpected"
        ))),
        None => Ok(command),
    }
}

/// A number that a command requires.
fn number(arguments: &mut Members<'_>, name: &str) -> Result<i64, Failure> {
    let found = optional(arguments, name)?;
    found.ok_or_else(|| Failure::generic(format!("Parameter '{name}' is missing")))
}

/// A number that a command takes.
fn optional(arguments: &mut Members<'_>, name: &str) -> Result<Option<i64>, Failure> {
    let number = arguments.take(name).map(serde_json::from_str).transpose();
    let wrong = || format!("Invalid parameter type for '{name}', expected: integer");
    number.map_err(|_| Failure::generic(wrong()))
}

/// The argument `mode` of `guest-shutdown`.
fn mode(arguments: &mut Members<'_>) -> Result<Shutdown, Failure> {
    match arguments.take("mode") {
        None | Some("\"powerdown\"") => Ok(Shutdown::PowerDown),
        Some("\"halt\"") => Ok(Shutdown::Halt),
        Some("\"reboot\"") => Ok(Shutdown::Reboot),
        Some(_) => {
            let text = "Invalid parameter 'mode': expected powerdown, halt or reboot";
            Err(Failure::generic(text.into()))
        }
    }
}

/// A text as JSON.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Items separated by commas.
fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let mut text = String::from("[");
    for item in items {
        let comma = if text.len() == 1 { "" } else { "," };
        // Writing to a string can't fail.
        let _ = write!(text, "{comma}{item}");
    }
    text.push(']');
    text
}

/// `GuestAgentInfo`.
pub(crate) fn info(version: &str, frozen: bool) -> String {
    let describe = |&(name, works_frozen, responds): &(&str, bool, bool)| {
        let enabled = works_frozen || !frozen;
        format!("{{\"name\":\"{name}\",\"enabled\":{enabled},\"success-response\":{responds}}}")
    };
    let commands = list(COMMANDS.iter().map(describe));
    let version = Quoted(version);
    format!("{{\"version\":{version},\"supported_commands\":{commands}}}")
}

/// `GuestOSInfo`.
pub(crate) fn os_info(version: &str) -> String {
    let full = format!("Soil {version}");
    let (full, version) = (Quoted(&full), Quoted(version));
    format!(
        "{{\"id\":\"soil\",\"name\":\"Soil\",\"pretty-name\":{full},\"version\":{version},\
         \"version-id\":{version},\"kernel-release\":{version},\"machine\":\"x86_64\"}}"
    )
}

/// The value that is returned to the host; `None`: no response.
pub(crate) fn describe(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Interfaces(interfaces) => Some(list(interfaces.iter().map(describe_interface))),
        Answer::Volumes(count) => Some(count.to_string()),
        Answer::Time(ns) => Some(ns.to_string()),
        Answer::Set => Some("{}".into()),
        Answer::Done => None,
    }
}

/// `GuestNetworkInterface`.
fn describe_interface(interface: &Interface) -> String {
    let describe = |(address, prefix): &(core::net::IpAddr, u8)| {
        let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        format!(
            "{{\"ip-address\":\"{address}\",\"ip-address-type\":\"{kind}\",\"prefix\":{prefix}}}"
        )
    };
    let addresses = list(interface.addresses.iter().map(describe));
    let hardware = match interface.hardware_address {
        Some([a, b, c, d, e, f]) => {
            format!(",\"hardware-address\":\"{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}\"")
        }
        None => String::new(),
    };
    let name = Quoted(&interface.name);
    format!("{{\"name\":{name}{hardware},\"ip-addresses\":{addresses}}}")
}

/// The line of a response, without its end.
pub(crate) fn response(result: &Result<String, Failure>, id: Option<&str>) -> String {
    let (before, id) = match id {
        Some(id) => (",\"id\":", id),
        None => ("", ""),
    };
    match result {
        Ok(value) => format!("{{\"return\":{value}{before}{id}}}"),
        Err(Failure { class, text }) => {
            let text = Quoted(text);
            format!("{{\"error\":{{\"class\":\"{class}\",\"desc\":{text}}}{before}{id}}}")
        }
    }
}
