//! Symbolizes crash reports: maps addresses to functions of OCaml, C and Rust.

use crate::failure::{Context as _, Failure};
use crate::messages::{OUTPUT, Output};
use crate::symbols::{Symbols, build_id, unstripped};
use std::io::{self, BufRead, Write};
use std::path::Path;

/// The fields of a report.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crash<'a> {
    reason: Option<&'a str>,
    build_id: Option<&'a str>,
    /// The trace of the faulting thread, then those of the others.
    traces: Vec<Trace<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Trace<'a> {
    /// The processor's number, if the program has started several.
    processor: Option<&'a str>,
    /// The thread's number, if the program has created several.
    thread: Option<&'a str>,
    frames: Vec<u64>,
}

impl Trace<'_> {
    /// The trace, if it has something, before the next one.
    fn ended(&mut self) -> Option<Self> {
        let ended = std::mem::take(self);
        (ended != Self::default()).then_some(ended)
    }
}

fn parse(lines: &[String]) -> Crash<'_> {
    let mut crash = Crash::default();
    let mut trace = Trace::default();
    for line in lines {
        match line.split_once(' ') {
            Some(("reason", reason)) => crash.reason = Some(reason),
            Some(("build-id", id)) => crash.build_id = Some(id),
            Some(("processor", number)) => {
                crash.traces.extend(trace.ended());
                let (processor, thread) = match number.split_once(", thread ") {
                    Some((processor, thread)) => (processor, Some(thread)),
                    None => (number, None),
                };
                (trace.processor, trace.thread) = (Some(processor), thread);
            }
            Some(("thread", number)) => {
                // The first trace is of the thread that the processor ran.
                if trace.thread.is_some() || !trace.frames.is_empty() || !crash.traces.is_empty() {
                    crash.traces.extend(trace.ended());
                }
                trace.thread = Some(number);
            }
            Some(("frame", address)) => trace.frames.extend(parse_address(address)),
            _ => {}
        }
    }
    crash.traces.push(trace);
    crash
}

/// Parses `0x` and hexadecimal digits.
pub fn parse_address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// Prints the crash report of `program`: the reason and the symbolized trace. Omits the registers,
/// which the console shows.
pub fn print(program: &Path, lines: &[String], out: &mut impl Write) -> io::Result<()> {
    let crash = parse(lines);
    let shown = program.display();
    writeln!(
        out,
        "soil: {shown} crashed: {}",
        crash.reason.unwrap_or("it gives no reason")
    )?;
    let symbols = match unstripped(program, crash.build_id) {
        Some(file) => Symbols::open(&file).map_err(|error| format!("no names: {error}")),
        None => Err(format!(
            "no names: no unstripped image with build-id {} is beside {shown}",
            crash.build_id.unwrap_or("(none)")
        )),
    };
    if let Err(text) = &symbols {
        writeln!(out, "soil: {text}")?;
    }
    for (which, trace) in crash.traces.iter().enumerate() {
        let owners = [("processor", trace.processor), ("thread", trace.thread)];
        let owners: Vec<String> = owners
            .iter()
            .filter_map(|(kind, number)| Some(format!("{kind} {}", (*number)?)))
            .collect();
        if !owners.is_empty() {
            let fault = if which == 0 { ", at fault" } else { "" };
            writeln!(out, "{}{fault}:", owners.join(", "))?;
        }
        // The first address is the faulting instruction, the others are return addresses.
        let named = trace.frames.iter().enumerate().map(|(number, address)| {
            let names = symbols
                .as_ref()
                .map(|symbols| symbols.names(*address, number > 0));
            (*address, names.unwrap_or_default())
        });
        for (number, (address, names)) in named.enumerate() {
            frame(out, &format!("#{number:<3}"), address, &names)?;
        }
    }
    if crash.traces.iter().any(|trace| trace.frames.len() > 1) {
        writeln!(
            out,
            "  (from #1 on: return addresses found on the stack; some may be of calls that are \
            over)"
        )?;
    }
    Ok(())
}

fn frame(out: &mut impl Write, number: &str, address: u64, names: &[String]) -> io::Result<()> {
    let mut names = names.iter();
    let first = names.next().map_or("?", String::as_str);
    writeln!(out, "  {number} {address:#012x} {first}")?;
    names.try_for_each(|caller| {
        writeln!(
            out,
            "  {:width$} {:12} inlined into {caller}",
            "",
            "",
            width = number.len()
        )
    })
}

/// Runs `soil symbolize`: names the addresses, or those of a report on standard input.
pub fn symbolize(program: &Path, addresses: &[String]) -> Result<(), Failure> {
    let file = unstripped(program, None).ok_or_else(|| {
        Failure::on(
            program,
            "no symbols in it, and no unstripped file beside it",
        )
        .remedy("name the image that dune built")
    })?;
    let mut out = Output::default();
    if addresses.is_empty() {
        name_lines(program, &file, io::stdin().lock(), &mut out)
    } else {
        let symbols = Symbols::open(&file)?;
        let parsed: Result<Vec<u64>, Failure> = addresses
            .iter()
            .map(|text| {
                let no_address = || Failure::new(format!("'{text}' is no address"));
                parse_address(text).ok_or_else(|| no_address().remedy("write it as 0x101a2f"))
            })
            .collect();
        parsed?
            .iter()
            .try_for_each(|address| frame(&mut out, "", *address, &symbols.names(*address, false)))
            .on(OUTPUT)
    }
}

/// Copies the input and adds a name after each `frame 0x…`: from `file`, the symbols of `program`,
/// or from a file beside it with the report's build-id. Refuses the report of another build, whose
/// addresses are those of other functions.
fn name_lines(
    program: &Path,
    file: &Path,
    input: impl BufRead,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut symbols = Symbols::open(file)?;
    let mut first = true;
    for line in input.lines() {
        let line = line.on("standard input")?;
        if let Some(id) = reported_build(&line) {
            let of_report =
                unstripped(program, Some(id)).ok_or_else(|| other_build(program, id))?;
            symbols = Symbols::open(&of_report)?;
        }
        match line.split_once("frame ").and_then(|(_, rest)| own(rest)) {
            Some(address) => {
                let names = symbols.names(address, !first);
                frame(out, "frame", address, &names).on(OUTPUT)?;
                first = false;
            }
            None => {
                first = !line.contains("frame 0x");
                writeln!(out, "{line}").on(OUTPUT)?;
            }
        }
    }
    Ok(())
}

/// The address in a line of a frame: alone, or before the name that a process has printed. `None`
/// for that of a shared library (`0x1000 in libc.so.6: abort`).
fn own(frame: &str) -> Option<u64> {
    match frame.trim().split_once(' ') {
        None => parse_address(frame),
        Some((_, name)) if name.starts_with("in ") => None,
        Some((address, _)) => parse_address(address),
    }
}

/// The build-id that a line of a report says; a log may have put words before it.
fn reported_build(line: &str) -> Option<&str> {
    let (_, id) = line.rsplit_once("build-id ")?;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

fn other_build(program: &Path, id: &str) -> Failure {
    let own = match build_id(program) {
        Some(own) => format!("this file has {own}"),
        None => "this file has none".to_owned(),
    };
    let reason = format!("the report is of another build: of the build-id {id}, and {own}");
    Failure::on(program, reason)
        .remedy("name the unstripped image of that build, or put it into this folder")
}

#[cfg(test)]
mod tests {
    use super::{name_lines, parse, parse_address, print, reported_build};
    use crate::symbols::build_id;
    use proptest::prelude::{any, proptest};

    #[test]
    fn a_report_has_every_thread() {
        let lines = [
            "reason x",
            "thread 3",
            "frame 0x10",
            "thread 1",
            "thread 2",
            "frame 0x20",
        ];
        let lines = lines.map(str::to_owned);
        let crash = parse(&lines);
        let found = crash
            .traces
            .iter()
            .map(|trace| (trace.thread, trace.frames.as_slice()));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                (Some("3"), &[0x10][..]),
                (Some("1"), &[]),
                (Some("2"), &[0x20])
            ]
        );
        let mut out = Vec::new();
        print("/nowhere/x".as_ref(), &lines, &mut out).expect("a vector takes it");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.contains("thread 3, at fault:") && text.contains("thread 1:\nthread 2:"),
            "{text}"
        );
    }

    #[test]
    fn a_report_has_every_processor() {
        let lines = [
            "reason x",
            "processor 2",
            "thread 3",
            "frame 0x10",
            "processor 0",
            "frame 0x20",
            "processor 1, thread 4",
            "frame 0x20",
            "thread 1",
        ];
        let mut out = Vec::new();
        print("/nowhere/x".as_ref(), &lines.map(str::to_owned), &mut out)
            .expect("a vector takes it");
        let text = String::from_utf8(out).expect("text");
        let names: Vec<_> = text.lines().filter(|line| line.ends_with(':')).collect();
        assert_eq!(
            names,
            [
                "processor 2, thread 3, at fault:",
                "processor 0:",
                "processor 1, thread 4:",
                "thread 1:"
            ]
        );
    }

    #[test]
    fn a_report_has_a_reason_and_frames() {
        let lines: Vec<String> = [
            "reason page fault: read at 0x0",
            "build-id 00ff",
            "register rax 0x1",
            "frame 0x10",
            "frame x",
        ]
        .map(str::to_owned)
        .into();
        let crash = parse(&lines);
        assert_eq!(
            (crash.reason, crash.traces[0].frames.as_slice()),
            (Some("page fault: read at 0x0"), &[0x10][..])
        );
        let mut out = Vec::new();
        print("/nowhere/x".as_ref(), &lines, &mut out).expect("a vector takes it");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.contains("x crashed: page fault") && text.contains("build-id 00ff"),
            "{text}"
        );
        assert!(text.contains("0x0000000010 ?"), "{text}");
    }

    #[test]
    fn the_report_of_another_build_is_refused() {
        let this = std::env::current_exe().expect("known");
        let named = |input: &str| {
            let mut out = Vec::new();
            let result = name_lines(&this, &this, input.as_bytes(), &mut out);
            result.map(|()| String::from_utf8(out).expect("text"))
        };
        let own = build_id(&this).expect("tests have one");
        let report = |id: &str| format!("soil: crash: x\n  build-id {id}\n  frame 0x1\n");
        let text = named(&report(&own)).expect("of this build");
        assert!(text.contains("frame 0x0000000001 "), "{text}");
        let other = "00".repeat(20);
        let error = named(&report(&other))
            .expect_err("of another build")
            .to_string();
        for part in [
            &*this.to_string_lossy(),
            &other,
            &own,
            "name the unstripped image",
        ] {
            assert!(error.contains(part), "{error}");
        }
        // Of a process, which has printed names.
        let text = named("  frame 0x1 f\n  frame 0x2 in libc.so.6: abort\n").expect("read");
        assert!(
            text.contains("frame 0x0000000001 ") && !text.contains(" f\n"),
            "{text}"
        );
        assert!(text.contains("  frame 0x2 in libc.so.6: abort\n"), "{text}");
        // The second of two reports.
        let error = named(&(report(&own) + &report(&other))).expect_err("of another build");
        assert!(error.to_string().contains(&other), "{error}");
        assert_eq!(reported_build("2026-11-27 vm: build-id 00ff"), Some("00ff"));
        assert_eq!(reported_build("no build-id here"), None);
    }

    proptest! {
        #[test]
        fn any_report_is_printed(lines: Vec<String>, address in any::<String>()) {
            parse_address(&address);
            print("/nowhere/x".as_ref(), &lines, &mut Vec::new()).expect("a vector takes it");
        }
    }
}
