//! Parses a program's answer: one JSON object in its output (`soil-ocaml/src/needs.ml`).

use crate::options::{DISPLAY_SIDE, is_disk_name};
use crate::program::ANSWER;
use memchr::memmem;
use serde::{Deserialize, Serialize};

/// Linux's default `ip_unprivileged_port_start`: lower ports need privileges.
const FIRST_UNPRIVILEGED: u16 = 1024;
/// The offset of the host ports for those.
const OFFSET: u16 = 8000;

/// The program's answer.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct Answer {
    pub needs: Vec<Need>,
    /// Set if the program only prints with these arguments.
    #[serde(default)]
    pub ends: Option<Ends>,
}

/// The outcome of a program that only prints, as with `--help`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Ends {
    pub status: u8,
    pub output: String,
    pub error: String,
}

/// A need, named after the function of `Soil.Needs` that declares it. Sizes are in bytes, 0 for
/// any.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Need {
    Volume(Volume),
    Disk(Disk),
    Net {
        name: String,
        doc: String,
    },
    Port {
        name: String,
        number: u16,
        protocol: Protocol,
        doc: String,
    },
    Display {
        name: String,
        /// The least width and height in pixels, 0 for any.
        at_least: (u32, u32),
        optional: bool,
        doc: String,
    },
    /// A keyboard and a pointer.
    Input,
    Memory {
        bytes: u64,
    },
    Cpus {
        count: u32,
    },
}

/// A disk with a file system, or another mount in its place.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Volume {
    pub name: String,
    /// The program's mount point.
    pub at: String,
    /// The accepted file systems; empty: any.
    pub file_systems: Vec<FileSystem>,
    pub at_least: u64,
    /// Whether the program only reads it.
    pub read_only: bool,
    pub optional: bool,
    pub doc: String,
}

/// A disk that the program accesses by sectors.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Disk {
    pub name: String,
    pub at_least: u64,
    /// Whether the program only reads it.
    pub read_only: bool,
    pub optional: bool,
    pub doc: String,
}

/// An accepted file system of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    Fat,
    Ext4,
    Tar,
    Memory,
    Host,
}

impl FileSystem {
    /// Its name in `--mount`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fat => "fat",
            Self::Ext4 => "ext4",
            Self::Tar => "tar",
            Self::Memory => "memory",
            Self::Host => "host",
        }
    }
}

/// The transport protocols of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Both,
}

impl Protocol {
    /// Each of them.
    pub fn each(self) -> &'static [crate::options::Protocol] {
        use crate::options::Protocol::{Tcp, Udp};
        match self {
            Self::Tcp => &[Tcp],
            Self::Udp => &[Udp],
            Self::Both => &[Tcp, Udp],
        }
    }
}

/// Finds the answer in a program's output, or the error in it. `None` if there is no answer.
///
/// Doesn't trust the program: accepts only answers that are safe to print on a terminal and to use
/// in `soil run`'s options.
pub fn find(output: &[u8]) -> Option<Result<Answer, String>> {
    let start = memmem::find(output, ANSWER)?;
    let object = output.get(start + 1..)?;
    // Other output may follow on the console.
    let line = object.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let parsed = serde_json::from_str(&line).map_err(|error| error.to_string());
    Some(
        parsed.and_then(|answer: Answer| match checked(&answer.needs) {
            None => Ok(answer),
            Some(wrong) => Err(wrong),
        }),
    )
}

/// Returns the first error: a value that the library never sends.
fn checked(needs: &[Need]) -> Option<String> {
    let plain = |text: &str| !text.chars().any(char::is_control);
    for need in needs {
        let (name, doc) = match need {
            Need::Volume(Volume { name, doc, .. })
            | Need::Disk(Disk { name, doc, .. })
            | Need::Net { name, doc }
            | Need::Port { name, doc, .. }
            | Need::Display { name, doc, .. } => (name, doc),
            Need::Input | Need::Memory { .. } | Need::Cpus { .. } => continue,
        };
        if !is_disk_name(name) {
            return Some(format!("{name:?} is no name of a need"));
        }
        if !plain(doc) {
            return Some(format!("{name} is described by {doc:?}"));
        }
        match need {
            Need::Volume(Volume { at, .. })
                if !at.starts_with('/') || !plain(at) || at.contains(['=', ';', ',']) =>
            {
                return Some(format!("{at:?} is no place for the volume {name}"));
            }
            Need::Port { number: 0, .. } => return Some(format!("port {name} has number 0")),
            Need::Display { at_least, .. } if at_least.0.max(at_least.1) > *DISPLAY_SIDE.end() => {
                let (width, height) = at_least;
                return Some(format!("display {name} has {width}x{height} pixels"));
            }
            _ => {}
        }
    }
    None
}

/// Formats the accepted file systems, as in "fat or ext4".
pub fn either(file_systems: &[FileSystem]) -> String {
    let names: Vec<&str> = file_systems.iter().map(|f| f.name()).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        names => names.concat(),
    }
}

/// The default host port for a port of the program, without `--forward`.
pub fn host_port(number: u16) -> u16 {
    match number < FIRST_UNPRIVILEGED {
        true => number + OFFSET,
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::{Need, Protocol, find};
    use proptest::prelude::{any, prop_assert, proptest};

    fn answer(needs: &str) -> Vec<u8> {
        format!("noise\x1e{{\"soil_needs\":1,\"needs\":{needs}}}\r\nsoil: later\n").into_bytes()
    }

    fn refused(needs: &str) -> String {
        let found = find(&answer(needs)).expect("an answer");
        found.expect_err("refused")
    }

    #[test]
    fn an_answer_stands_anywhere_in_the_output() {
        let text = r#"[{"kind":"port","name":"http","number":80,"protocol":"tcp","doc":"a\u0022"},
            {"kind":"memory","bytes":1048576}]"#
            .replace('\n', "");
        let found = find(&answer(&text)).expect("an answer").expect("valid");
        let port = Need::Port {
            name: "http".into(),
            number: 80,
            protocol: Protocol::Tcp,
            doc: "a\"".into(),
        };
        assert_eq!(found.needs, [port, Need::Memory { bytes: 1 << 20 }]);
        assert_eq!(found.ends, None);
        assert!(find(b"needs nothing").is_none());
        assert!(find(&answer("[]")[..15]).is_none());
    }

    #[test]
    fn what_the_library_would_not_say_is_refused() {
        assert!(refused("[{\"kind\":\"gpu\"}]").contains("gpu"));
        assert!(refused("[").contains("line 1"));
        let port = |name: &str, number: u32, doc: &str| {
            let named = format!(r#""kind":"port","name":"{name}","doc":"{doc}""#);
            refused(&format!(
                r#"[{{{named},"number":{number},"protocol":"tcp"}}]"#
            ))
        };
        assert!(port("A B", 1, "").contains("A B"));
        assert!(port("a", 0, "").contains("number 0"));
        assert!(port("a", 65536, "").contains("65536"));
        assert!(port("a", 1, "\\u001b[2J").contains("described"));
        let display = |width: u64| {
            let named = r#""kind":"display","name":"a","doc":"","optional":false"#;
            refused(&format!(r#"[{{{named},"at_least":[16,{width}]}}]"#))
        };
        assert!(display(8193).contains("16x8193"));
        assert!(display(1 << 32).contains("4294967296"));
        let at = r#"[{"kind":"volume","name":"a","at":"/a;b","file_systems":[],"at_least":0,
            "read_only":false,"optional":false,"doc":""}]"#
            .replace('\n', "");
        assert!(refused(&at).contains("no place"));
    }

    proptest! {
        #[test]
        fn any_output_is_taken(before in any::<Vec<u8>>(), after in any::<Vec<u8>>()) {
            let mut output = before;
            output.extend(crate::program::ANSWER);
            output.extend(after);
            prop_assert!(find(&output).is_some_and(|found| found.is_err()));
        }
    }
}
