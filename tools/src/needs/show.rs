//! `soil needs`: formats the needs as text and as JSON.

use super::answer::{Answer, Need, Protocol, Volume, either, host_port};
use crate::disk::shown;
use crate::failure::{Context as _, Failure};
use serde::Serialize;
use std::path::Path;

/// The document of `soil needs --json`.
#[derive(Serialize)]
struct Shown<'a> {
    program: &'a Path,
    needs: &'a [Need],
}

/// Formats the needs as JSON.
pub fn json(program: &Path, answer: &Answer) -> Result<String, Failure> {
    let needs = &answer.needs;
    serde_json::to_string_pretty(&Shown { program, needs }).on(program)
}

/// The numbers of the next declared interface and display.
#[derive(Clone, Copy, Default)]
struct Places {
    interface: usize,
    display: usize,
}

/// Formats the needs as a table: kind, name, requirements, and the option that meets them.
pub fn text(program: &Path, answer: &Answer) -> String {
    if answer.needs.is_empty() {
        return format!("{}: declares no needs", program.display());
    }
    let mut places = Places::default();
    let rows = answer.needs.iter().map(|need| {
        let row = row(need, places);
        places.interface += usize::from(matches!(need, Need::Net { .. }));
        places.display += usize::from(matches!(need, Need::Display { .. }));
        row
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let [first, second, third] = [width(0), width(1), width(2)];
    let lines = rows.iter().map(|[kind, name, what, option]| {
        let line = format!("{kind:first$}  {name:second$}  {what:third$}  {option}");
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Joins the words that aren't empty.
fn joined<const N: usize>(words: [String; N]) -> String {
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(", ")
}

fn when(condition: bool, word: &str) -> String {
    if condition {
        word.to_owned()
    } else {
        String::new()
    }
}

fn size(at_least: u64) -> String {
    match at_least {
        0 => String::new(),
        bytes => format!("at least {}", shown(bytes)),
    }
}

fn row(need: &Need, places: Places) -> [String; 4] {
    let row = |kind: &str, name: &str, what: String, option: String| {
        [kind.to_owned(), name.to_owned(), what, option]
    };
    match need {
        Need::Volume(volume) => {
            let Volume { name, at, .. } = volume;
            let what = joined([
                volume.doc.clone(),
                either(&volume.file_systems),
                size(volume.at_least),
                when(volume.read_only, "read-only"),
                when(volume.optional, "optional"),
            ]);
            let option = match *at == format!("/{name}") {
                true => format!("--disk {name}=FILE"),
                false => format!("--disk {name}=FILE (at {at})"),
            };
            row("volume", name, what, option)
        }
        Need::Disk(disk) => {
            let what = joined([
                disk.doc.clone(),
                size(disk.at_least),
                when(disk.read_only, "read-only"),
                when(disk.optional, "optional"),
            ]);
            let name = &disk.name;
            row("disk", name, what, format!("--disk {name}=FILE"))
        }
        Need::Net { name, doc } => {
            let what = joined([doc.clone(), format!("eth{}", places.interface)]);
            row("net", name, what, "--net NET".into())
        }
        Need::Port {
            name,
            number,
            protocol,
            doc,
        } => {
            let host = host_port(*number);
            let tcp = format!("--forward {host}:{number}");
            let (protocol, option) = match protocol {
                Protocol::Tcp => ("tcp", tcp),
                Protocol::Udp => ("udp", format!("{tcp}/udp")),
                Protocol::Both => ("tcp and udp", format!("{tcp} {tcp}/udp")),
            };
            let what = joined([doc.clone(), format!("{protocol} {number}")]);
            row("port", name, what, option)
        }
        Need::Display {
            name,
            at_least: (width, height),
            optional,
            doc,
        } => {
            let least = match (width, height) {
                (0, 0) => String::new(),
                _ => format!("at least {width}x{height}"),
            };
            let place = format!("display{}", places.display);
            let what = joined([doc.clone(), place, least, when(*optional, "optional")]);
            row("display", name, what, "--display window".into())
        }
        Need::Input => {
            let what = "keyboard, pointer".to_owned();
            row("input", "", what, "--display window".into())
        }
        Need::Memory { bytes } => {
            let mib = bytes.div_ceil(1 << 20);
            row("memory", "", shown(*bytes), format!("--mem {mib}M"))
        }
        Need::Cpus { count } => row("cpus", "", count.to_string(), format!("--cpus {count}")),
    }
}
