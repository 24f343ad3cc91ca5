//! Requests and responses in JSON. Errors have QMP's form: a class and a description.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

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
    pub id: Option<Value>,
    pub command: Result<Command, Failure>,
}

pub(crate) fn parse(line: &[u8]) -> Message {
    match serde_json::from_slice(line) {
        Ok(Value::Object(mut members)) => Message {
            id: members.remove("id"),
            command: command(members),
        },
        Ok(_) => failed("QMP input must be a JSON object".into()),
        Err(error) => failed(format!("JSON parse error: {error}")),
    }
}

fn failed(text: String) -> Message {
    Message {
        id: None,
        command: Err(Failure::generic(text)),
    }
}

fn command(mut members: Map<String, Value>) -> Result<Command, Failure> {
    let generic = |text: &str| Failure::generic(text.to_string());
    let name = match members.remove("execute") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(generic("QMP input member 'execute' must be a string")),
        None => return Err(generic("QMP input lacks member 'execute'")),
    };
    let mut arguments = match members.remove("arguments") {
        Some(Value::Object(arguments)) => arguments,
        None => Map::new(),
        Some(_) => return Err(generic("QMP input member 'arguments' must be an object")),
    };
    if let Some(member) = members.keys().next() {
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
    match arguments.keys().next() {
        Some(argument) => Err(Failure::generic(format!(
            "Parameter '{argument}' is unexpected"
        ))),
        None => Ok(command),
    }
}

/// A number that a command requires.
fn number(arguments: &mut Map<String, Value>, name: &str) -> Result<i64, Failure> {
    let found = optional(arguments, name)?;
    found.ok_or_else(|| Failure::generic(format!("Parameter '{name}' is missing")))
}

/// A number that a command takes.
fn optional(arguments: &mut Map<String, Value>, name: &str) -> Result<Option<i64>, Failure> {
    let Some(value) = arguments.remove(name) else {
        return Ok(None);
    };
    let wrong = || format!("Invalid parameter type for '{name}', expected: integer");
    let number = value.as_i64();
    number.map(Some).ok_or_else(|| Failure::generic(wrong()))
}

/// The argument `mode` of `guest-shutdown`.
fn mode(arguments: &mut Map<String, Value>) -> Result<Shutdown, Failure> {
    match arguments.remove("mode").as_ref().map(Value::as_str) {
        None | Some(Some("powerdown")) => Ok(Shutdown::PowerDown),
        Some(Some("halt")) => Ok(Shutdown::Halt),
        Some(Some("reboot")) => Ok(Shutdown::Reboot),
        Some(_) => {
            let text = "Invalid parameter 'mode': expected powerdown, halt or reboot";
            Err(Failure::generic(text.into()))
        }
    }
}

/// `GuestAgentInfo`.
pub(crate) fn info(version: &str, frozen: bool) -> Value {
    let describe = |&(name, works_frozen, responds): &(&str, bool, bool)| {
        json!({
            "name": name,
            "enabled": works_frozen || !frozen,
            "success-response": responds,
        })
    };
    let commands: Vec<Value> = COMMANDS.iter().map(describe).collect();
    json!({ "version": version, "supported_commands": commands })
}

/// `GuestOSInfo`.
pub(crate) fn os_info(version: &str) -> Value {
    json!({
        "id": "soil",
        "name": "Soil",
        "pretty-name": format!("Soil {version}"),
        "version": version,
        "version-id": version,
        "kernel-release": version,
        "machine": "x86_64",
    })
}

/// The value that is returned to the host; `None`: no response.
pub(crate) fn describe(answer: &Answer) -> Option<Value> {
    match answer {
        Answer::Interfaces(interfaces) => Some(interfaces.iter().map(describe_interface).collect()),
        Answer::Volumes(count) => Some(json!(count)),
        Answer::Time(ns) => Some(json!(ns)),
        Answer::Set => Some(json!({})),
        Answer::Done => None,
    }
}

/// `GuestNetworkInterface`.
fn describe_interface(interface: &Interface) -> Value {
    let describe = |(address, prefix): &(core::net::IpAddr, u8)| {
        json!({
            "ip-address": address.to_string(),
            "ip-address-type": if address.is_ipv4() { "ipv4" } else { "ipv6" },
            "prefix": prefix,
        })
    };
    let addresses: Vec<Value> = interface.addresses.iter().map(describe).collect();
    let mut value = json!({ "name": interface.name, "ip-addresses": addresses });
    if let Some([a, b, c, d, e, f]) = interface.hardware_address {
        let text = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        value["hardware-address"] = json!(text);
    }
    value
}

pub(crate) fn response(result: Result<Value, Failure>, id: Option<Value>) -> Value {
    let mut value = match result {
        Ok(value) => json!({ "return": value }),
        Err(Failure { class, text }) => json!({ "error": { "class": class, "desc": text } }),
    };
    if let Some(id) = id {
        value["id"] = id;
    }
    value
}
