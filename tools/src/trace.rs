//! `soil run --trace`: records the activity of a program's tasks in a file for Perfetto, or in a
//! page that draws it.
//!
//! The scheduler calls a function for each event (`soil-sys/src/abi/trace.rs`), which records it in
//! a ring if a word in the program's memory enables it. `soil run` writes that word, and reads the
//! ring while the program runs and at its end.

use crate::failure::{Context as _, Failure};
use crate::profile::access::Access;
use crate::profile::remote::Remote;
use crate::profile::tracer::{Child, Live, Loaded, Tracer};
use crate::simulate::escaped;
use object::{Object as _, ObjectSymbol as _};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread::JoinHandle;
use std::time::Duration;

/// The layout of `reactor/src/trace.rs`.
const STATE: &str = "soil_trace_state";
const CAPACITY: u64 = 8192;
const WORDS: u64 = 5;

/// The maximum number of events in a trace, about 100 MB of memory and near Perfetto's limit.
const MAX_EVENTS: usize = 2_000_000;

/// Addresses in a program's file that a trace needs.
#[derive(Clone, Copy)]
pub struct Places {
    /// The tracing state.
    pub state: u64,
    /// The C library's exit function.
    pub exit: Option<u64>,
}

impl Places {
    /// Finds the addresses in the symbols of an unstripped file.
    pub fn find(file: &Path) -> Result<Self, Failure> {
        let bytes = std::fs::read(file).on(file)?;
        let object = object::File::parse(&*bytes)
            .map_err(|error| Failure::on(file, format!("no ELF file: {error}")))?;
        let find = |name| {
            let mut symbols = object.symbols();
            symbols
                .find(|it| it.name() == Ok(name))
                .map(|it| it.address())
        };
        let state = find(STATE).ok_or_else(|| {
            Failure::on(
                file,
                "no trace can be taken: it has no tasks of Soil, or no symbols",
            )
            .remedy("name the unstripped file of a program with the library soil")
        })?;
        Ok(Self {
            state,
            exit: find("_Exit"),
        })
    }
}

/// An event in the ring's format.
#[derive(Clone, Copy, Debug)]
struct Event {
    ns: u64,
    kind: u64,
    task: u64,
    name: [u8; 16],
}

/// The events read so far.
pub struct Trace {
    seen: u64,
    /// The number of events overwritten before they were read, or beyond [`MAX_EVENTS`].
    lost: u64,
    events: Vec<Event>,
    most: usize,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            seen: 0,
            lost: 0,
            events: Vec::new(),
            most: MAX_EVENTS,
        }
    }
}

impl Trace {
    /// Enables recording and reads the events since the last call. `moved` is the difference
    /// between the program's addresses and those of its file. `None` if reading memory fails.
    /// Doesn't trust the program: its memory may contain any numbers.
    pub fn read_events(
        &mut self,
        places: Places,
        moved: u64,
        access: &mut impl Access,
    ) -> Option<()> {
        let at = places.state.wrapping_add(moved);
        let state = words(&access.read(at, 24)?);
        let [on, count, ring] = state.try_into().ok()?;
        if on == 0 {
            access.write(at, 1)?;
        }
        if ring == 0 || count <= self.seen {
            return Some(());
        }
        let first = self.seen.max(count.saturating_sub(CAPACITY));
        let mut entries = Vec::new();
        let mut next = first;
        while next < count {
            let slot = next % CAPACITY;
            let len = (count - next).min(CAPACITY - slot);
            let piece = ring.wrapping_add(slot * WORDS * 8);
            entries.extend(words(&access.read(piece, len * WORDS * 8)?));
            next += len;
        }
        // A program running meanwhile may have overwritten the oldest events.
        let now = words(&access.read(at.wrapping_add(8), 8)?);
        let oldest = now.first()?.saturating_add(1).saturating_sub(CAPACITY);
        let kept = first.max(oldest).min(count);
        let entries = entries.chunks_exact(WORDS as usize);
        let skipped = usize::try_from(kept - first).ok()?;
        let room = self.most - self.events.len();
        let read = entries.len().saturating_sub(skipped);
        let beyond = read.saturating_sub(room) as u64;
        self.events
            .extend(entries.skip(skipped).take(room).map(event));
        self.lost = self.lost.saturating_add(kept - self.seen + beyond);
        self.seen = count;
        Some(())
    }

    /// Writes the file, a page if its name ends so, and returns a message about it.
    pub fn write(&self, program: &Path, out: &Path) -> Result<String, Failure> {
        let file = File::create(out).on(out)?;
        let mut file = BufWriter::new(file);
        let program = program.display().to_string();
        let is_page = out.extension().is_some_and(|end| end == "html");
        let tasks = match is_page {
            true => page(&program, &self.events, &mut file).on(out)?,
            false => json(&program, &self.events, &mut file).on(out)?,
        };
        file.flush().on(out)?;
        let opened = match is_page {
            true => "in a browser",
            false => "with https://ui.perfetto.dev, or record it as OUT.html",
        };
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(", {lost} lost"),
        };
        Ok(format!(
            "{}: {} events of {tasks} tasks{lost}; open it {opened}",
            out.display(),
            self.events.len()
        ))
    }
}

/// The interval between reads of an image's ring.
const PERIOD: Duration = Duration::from_millis(20);

/// A trace in progress.
pub struct Tracing(JoinHandle<Trace>);

impl Tracing {
    /// Starts to trace an image, whose QEMU has a gdb server at the other end of `socket`.
    pub fn of_image(places: Places, socket: OwnedFd) -> Self {
        Self(std::thread::spawn(move || {
            let mut trace = Trace::default();
            // The loop ends when QEMU closes its end of the socket.
            let _ = follow(socket.into(), places, &mut trace);
            trace
        }))
    }

    /// Starts to trace a child process that runs `file`. Nothing else may wait for the child; calls
    /// `ended` with its status.
    pub fn of_process(
        child: Child,
        file: PathBuf,
        places: Places,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) -> Self {
        Self(std::thread::spawn(move || {
            let mut trace = Trace::default();
            ended(Tracer::new(child).and_then(|tracer| {
                let peek = |memory: &mut Live, loaded: &mut Loaded| {
                    let moved = loaded.moved(&file);
                    // If reading memory fails, the process has ended.
                    let _ = moved.and_then(|moved| trace.read_events(places, moved, memory));
                };
                tracer.run(None, |_| (), peek).0
            }));
            trace
        }))
    }

    /// Writes the file after the program's end and returns a message about it.
    pub fn finish(self, program: &Path, out: &Path) -> Result<String, Failure> {
        self.0.join().unwrap_or_default().write(program, out)
    }
}

fn follow(socket: UnixStream, places: Places, trace: &mut Trace) -> io::Result<()> {
    let mut remote = Remote::new(socket)?;
    // Stops before the exit: the machine's end would lose the events since the last read.
    if let Some(exit) = places.exit {
        remote.breakpoint(exit, true)?;
    }
    loop {
        let _ = trace.read_events(places, 0, &mut remote);
        remote.go()?;
        if remote.stops_within(PERIOD)? {
            let _ = trace.read_events(places, 0, &mut remote);
            if let Some(exit) = places.exit {
                remote.breakpoint(exit, false)?;
            }
            return remote.go();
        }
        remote.stop()?;
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks();
    words.iter().copied().map(u64::from_le_bytes).collect()
}

fn event(words: &[u64]) -> Event {
    let word = |at| words.get(at).copied().unwrap_or(0);
    let name = u128::from(word(3)) | u128::from(word(4)) << 64;
    Event {
        ns: word(0),
        kind: word(1),
        task: word(2),
        name: name.to_le_bytes(),
    }
}

impl Event {
    fn name(&self) -> String {
        let bytes = self.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// A task's current slice: its name, category and start.
#[derive(Default)]
struct Task {
    since: u64,
    does: String,
    category: &'static str,
    /// The operation that it waits for next.
    operation: String,
}

/// A record in Chrome's "Trace Event Format", with times in microseconds.
#[derive(Default, Serialize)]
struct Record<'a> {
    ph: &'static str,
    pid: u32,
    tid: u64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// The scope of an instant.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Name<'a>>,
}

/// The arguments of a record that names a track.
#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

impl<'a> Record<'a> {
    /// The name of the program, or of a track.
    fn track(kind: &'a str, tid: u64, name: &'a str) -> Self {
        let args = Some(Name { name });
        Self {
            ph: "M",
            pid: 1,
            tid,
            name: kind,
            args,
            ..Self::default()
        }
    }

    /// A task's slice, which ends at `until`; `begin` is the start of the trace.
    fn slice(tid: u64, task: &'a Task, begin: u64, until: u64) -> Self {
        Self {
            ph: "X",
            pid: 1,
            tid,
            name: &task.does,
            cat: Some(task.category),
            ts: Some(micros(task.since.saturating_sub(begin))),
            dur: Some(micros(until.saturating_sub(task.since))),
            ..Self::default()
        }
    }

    /// An operation that completed without waiting.
    fn instant(tid: u64, name: &'a str, begin: u64, at: u64) -> Self {
        Self {
            ph: "i",
            pid: 1,
            tid,
            name,
            cat: Some("done"),
            ts: Some(micros(at.saturating_sub(begin))),
            s: Some("t"),
            ..Self::default()
        }
    }
}

fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// The page that draws a trace, without resources of others.
const PAGE: &str = include_str!("trace/page.html");

/// Writes JSON into a script: within one only `<`, which JSON has in strings only, can end it.
struct InScript<W>(W);

impl<W: Write> Write for InScript<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'<') {
            match piece.split_last() {
                Some((b'<', rest)) => {
                    self.0.write_all(rest)?;
                    self.0.write_all(b"\\u003c")?;
                }
                _ => self.0.write_all(piece)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes a page (HTML) with the events. Returns the number of tasks.
fn page(program: &str, events: &[Event], out: &mut impl Write) -> io::Result<usize> {
    let mut tasks = 0;
    for (index, piece) in PAGE.split("@@").enumerate() {
        match (index % 2, piece) {
            (0, piece) => out.write_all(piece.as_bytes())?,
            (_, "TITLE") => out.write_all(escaped(program).as_bytes())?,
            _ => tasks = json(program, events, &mut InScript(&mut *out))?,
        }
    }
    Ok(tasks)
}

/// Writes the events in Chrome's trace format (JSON object format), with a track for each task.
/// Track 0 is the program while no task can run. Returns the number of tasks.
fn json(program: &str, events: &[Event], out: &mut impl Write) -> io::Result<usize> {
    out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
    serde_json::to_writer(&mut *out, &Record::track("process_name", 0, program))?;
    let mut write = |record: Record<'_>| {
        out.write_all(b",\n")?;
        Ok::<(), io::Error>(serde_json::to_writer(&mut *out, &record)?)
    };
    write(Record::track("thread_name", 0, "program"))?;
    let begin = events.first().map_or(0, |event| event.ns);
    let end = events.last().map_or(0, |event| event.ns);
    let mut tasks: BTreeMap<u64, Task> = BTreeMap::new();
    let mut named = 0;
    for event in events {
        let number = event.task;
        if number > 0 && !tasks.contains_key(&number) {
            named += 1;
            write(Record::track(
                "thread_name",
                number,
                &format!("task {number}"),
            ))?;
        }
        let task = tasks.entry(number).or_default();
        let (does, category) = match event.kind {
            1 => ("runs".to_owned(), "run"),
            2 if event.name().is_empty() => (std::mem::take(&mut task.operation), "wait"),
            2 => (event.name(), "wait"),
            4 => {
                task.operation = event.name();
                continue;
            }
            5 => ("sleeps".to_owned(), "wait"),
            7 => {
                write(Record::instant(number, &event.name(), begin, event.ns))?;
                continue;
            }
            _ => (String::new(), ""),
        };
        if !task.does.is_empty() {
            write(Record::slice(number, task, begin, event.ns))?;
        }
        *task = Task {
            since: event.ns,
            does,
            category,
            operation: String::new(),
        };
    }
    for (number, task) in &tasks {
        if !task.does.is_empty() {
            write(Record::slice(*number, task, begin, end))?;
        }
    }
    out.write_all(b"\n]}\n")?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Places, Trace, WORDS, json, page};
    use crate::profile::access::Access;
    use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::collections::HashMap;

    /// A program's memory as a map of words.
    #[derive(Default)]
    struct Memory(HashMap<u64, u64>);

    const STATE: u64 = 0x1000;
    const RING: u64 = 0x8000;
    const PLACES: Places = Places {
        state: STATE - 0x100,
        exit: None,
    };

    impl Memory {
        fn word(&self, address: u64) -> u64 {
            self.0.get(&address).copied().unwrap_or(0)
        }

        fn record(&mut self, ns: u64, kind: u64, task: u64, name: &str) {
            let count = self.word(STATE + 8);
            let mut bytes = [0; 16];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            let name = u128::from_le_bytes(bytes);
            let words = [ns, kind, task, name as u64, (name >> 64) as u64];
            for (i, word) in words.into_iter().enumerate() {
                let slot = count % CAPACITY * WORDS + i as u64;
                self.0.insert(RING + slot * 8, word);
            }
            self.0.insert(STATE + 8, count + 1);
            self.0.insert(STATE + 16, RING);
        }
    }

    impl Access for Memory {
        fn read(&mut self, address: u64, len: u64) -> Option<Vec<u8>> {
            let words = (address..address + len).step_by(8);
            Some(words.flat_map(|at| self.word(at).to_le_bytes()).collect())
        }

        fn write(&mut self, address: u64, word: u64) -> Option<()> {
            self.0.insert(address, word);
            Some(())
        }
    }

    #[test]
    fn the_ring_is_read_once_and_what_was_overwritten_is_counted() {
        let (mut memory, mut trace) = (Memory::default(), Trace::default());
        let mut peek = |memory: &mut Memory| {
            trace.read_events(PLACES, 0x100, memory).expect("memory");
            let last = trace.events.last().map(|event| event.ns);
            (trace.events.len() as u64, trace.lost, last)
        };
        assert_eq!(peek(&mut memory), (0, 0, None));
        assert_eq!(memory.word(STATE), 1, "switched on");
        for ns in 0..10 {
            memory.record(ns, 1, 1, "");
        }
        assert_eq!(peek(&mut memory), (10, 0, Some(9)));
        assert_eq!(peek(&mut memory), (10, 0, Some(9)));
        for ns in 10..10 + CAPACITY + 5 {
            memory.record(ns, 1, 1, "");
        }
        // The program may overwrite the oldest remaining event during the read.
        let (read, lost, last) = peek(&mut memory);
        assert_eq!(read + lost, 15 + CAPACITY);
        assert_eq!((lost, last), (6, Some(14 + CAPACITY)));
    }

    #[test]
    fn what_a_task_does_becomes_slices() {
        let (mut memory, mut trace) = (Memory::default(), Trace::default());
        for (ns, kind, task, name) in [
            (1000, 1, 1, ""),
            (2000, 4, 1, "read"),
            (2500, 2, 1, ""),
            (3000, 5, 0, ""),
            (5500, 6, 0, ""),
            (6001, 1, 1, ""),
            (6500, 7, 1, "read"),
            (7000, 2, 1, "sixteen \"bytes\""),
            (8000, 1, 1, ""),
            (9000, 3, 1, ""),
        ] {
            memory.record(ns, kind, task, name);
        }
        trace
            .read_events(PLACES, 0x100, &mut memory)
            .expect("memory");
        let (records, tasks) = records(&trace);
        let mut shown = Vec::new();
        for record in &records {
            let [track, name, at, long] = ["tid", "name", "ts", "dur"].map(|key| &record[key]);
            match record["ph"].as_str() {
                Some("X") => shown.push(format!("{track} {name} {at} {long}")),
                Some("i") => shown.push(format!("{track} {name} at {at}")),
                _ => (),
            }
        }
        assert_eq!(tasks, 1);
        assert_eq!(
            shown,
            [
                "1 \"runs\" 0.0 1.5",
                "0 \"sleeps\" 2.0 2.5",
                "1 \"read\" 1.5 3.501",
                "1 \"read\" at 5.5",
                "1 \"runs\" 5.001 0.999",
                "1 \"sixteen \\\"bytes\\\"\" 6.0 1.0",
                "1 \"runs\" 7.0 1.0",
            ]
        );
    }

    #[test]
    fn the_page_has_the_trace_and_nothing_of_others() {
        let (mut memory, mut trace) = (Memory::default(), Trace::default());
        memory.record(1, 1, 1, "");
        memory.record(2, 2, 1, "</script>@@<");
        memory.record(3, 1, 1, "");
        trace
            .read_events(PLACES, 0x100, &mut memory)
            .expect("memory");
        let mut text = Vec::new();
        let tasks = page("a<b>.exe", &trace.events, &mut text).expect("written to memory");
        let text = String::from_utf8(text).expect("text");
        assert_eq!(tasks, 1);
        assert!(text.contains("<title>a&lt;b&gt;.exe</title>"), "{text}");
        assert_eq!(text.matches("</script>").count(), 2);
        let begin = "type=\"application/json\">";
        let (_, rest) = text.split_once(begin).expect("a trace");
        let (found, _) = rest.split_once("</script>").expect("an end");
        let found: serde_json::Value = serde_json::from_str(found).expect("JSON");
        let (records, _) = records(&trace);
        assert_eq!(found["traceEvents"][0]["args"]["name"], "a<b>.exe");
        // All but the program's name.
        let found = found["traceEvents"].as_array().expect("a list");
        assert_eq!(found[1..], records[1..]);
        assert!(found.iter().any(|it| it["name"] == "</script>@@<"));
        for outside in ["http://", "https://", "src=", "url(", "import "] {
            assert!(!text.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_files_name_says_whether_it_is_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, trace) = (std::path::Path::new("main.exe"), Trace::default());
        for (name, begin, viewer) in [
            ("OUT.html", "<!doctype html>", "in a browser"),
            ("OUT.json", "{", "ui.perfetto.dev"),
            ("html", "{", "ui.perfetto.dev"),
        ] {
            let out = folder.path().join(name);
            let message = trace.write(program, &out).expect("written");
            let text = std::fs::read_to_string(&out).expect("text");
            assert!(text.to_lowercase().starts_with(begin), "{name}: {text:.80}");
            assert!(message.contains(viewer), "{name}: {message}");
        }
    }

    /// The records of the file, and the number of tasks.
    fn records(trace: &Trace) -> (Vec<serde_json::Value>, usize) {
        let mut text = Vec::new();
        let tasks = json("main.exe", &trace.events, &mut text).expect("written to memory");
        let parsed: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        (
            parsed["traceEvents"].as_array().expect("a list").clone(),
            tasks,
        )
    }

    #[test]
    fn a_trace_keeps_so_many_events_and_counts_the_rest() {
        let (mut memory, mut trace) = (Memory::default(), Trace::default());
        trace.most = 15;
        for ns in 0..30 {
            memory.record(ns, 1, 1, "");
            if ns % 10 == 9 {
                trace
                    .read_events(PLACES, 0x100, &mut memory)
                    .expect("memory");
            }
        }
        let last = trace.events.last().map(|event| event.ns);
        assert_eq!((trace.events.len(), trace.lost, last), (15, 15, Some(14)));
    }

    /// A memory that answers reads with the words of a list, cyclically.
    struct Hostile {
        words: Vec<u64>,
        next: usize,
        most: u64,
    }

    impl Access for Hostile {
        fn read(&mut self, _: u64, len: u64) -> Option<Vec<u8>> {
            self.most = self.most.max(len);
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < len {
                let word = self.words[self.next % self.words.len()];
                self.next += 1;
                // Some reads fail.
                if word == 0xbad {
                    return None;
                }
                bytes.extend(word.to_le_bytes());
            }
            Some(bytes)
        }

        fn write(&mut self, _: u64, _: u64) -> Option<()> {
            Some(())
        }
    }

    proptest! {
        #[test]
        fn any_memory_gives_a_trace_of_bounded_size(
            words in proptest::collection::vec(
                prop_oneof![
                    0..20u64,
                    Just(CAPACITY - 1),
                    Just(CAPACITY + 3),
                    Just(0xbad),
                    Just(u64::MAX),
                    Just(u64::MAX - 7),
                    any::<u64>(),
                ],
                1..40,
            ),
        ) {
            let mut trace = Trace { most: 1000, ..Trace::default() };
            let mut memory = Hostile { words, next: 0, most: 0 };
            for _ in 0..6 {
                let _ = trace.read_events(PLACES, u64::MAX - 5, &mut memory);
            }
            prop_assert!(trace.events.len() <= 1000);
            prop_assert!(memory.most <= CAPACITY * WORDS * 8);
            let (records, tasks) = records(&trace);
            let named = records.iter().filter(|record| record["name"] == "thread_name");
            prop_assert_eq!(named.count(), tasks + 1);
        }
    }
}
