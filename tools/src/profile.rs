//! `soil run --profile`: samples a program's processor time and draws a flame graph.
//!
//! The profiler works on unmodified programs: it stops the program [`RATE`] times a second, walks
//! its stacks by the unwinding tables, and continues it. It accesses an image through QEMU's gdb
//! server ([`remote`]), a process by ptrace ([`tracer`]).

pub mod access;
pub mod remote;
pub mod tracer;
mod unwind;

use crate::failure::{Context as _, Failure};
use crate::symbols::{self, Symbols};
use inferno::flamegraph::{self, Options};
use remote::Remote;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitStatus;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracer::{Child, Loaded, Tracer};
use unwind::Code;

/// Samples per second; not a divisor of common timer rates.
const RATE: u32 = 97;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / RATE as u64);

/// Functions of the idle machine; their samples don't count as processor time.
const IDLE: [&str; 1] = ["kernel::halt::sleep"];

/// The number of samples of each call stack.
type Stacks = HashMap<Vec<u64>, usize>;

/// The limit of distinct call stacks, of up to 1.6 kB each.
const MAX_STACKS: usize = 100_000;

/// Counts a sample. Beyond `most` distinct stacks, counts a new one as the empty stack.
fn add(stacks: &mut Stacks, mut calls: Vec<u64>, most: usize) {
    if stacks.len() >= most && !stacks.contains_key(&calls) {
        calls.clear();
    }
    *stacks.entry(calls).or_default() += 1;
}

/// The source of function names.
enum Names {
    Image(Box<Symbols>),
    Process(Loaded),
}

/// The symbols and unwinding tables of an image's file.
pub struct Image {
    symbols: Symbols,
    code: Code,
}

impl Image {
    /// Reads the image's file, or the unstripped file beside it.
    pub fn open(program: &Path) -> Result<Self, Failure> {
        let file = symbols::unstripped(program, None).ok_or_else(|| {
            Failure::on(program, "it has no symbols, and no file beside it has them")
                .remedy("profile the unstripped file")
        })?;
        Ok(Self {
            symbols: Symbols::open(&file)?,
            code: Code::open(&file)?,
        })
    }
}

/// A profile in progress.
pub struct Profile {
    thread: JoinHandle<(Stacks, Option<Names>)>,
}

impl Profile {
    /// Starts to profile an image, whose QEMU has a gdb server at the other end of `socket`.
    pub fn of_image(image: Image, socket: OwnedFd) -> Self {
        let Image { symbols, code } = image;
        let thread = std::thread::spawn(move || {
            let mut stacks = Stacks::new();
            // The loop ends when QEMU closes its end of the socket.
            let _ = sample(socket.into(), &code, &mut stacks);
            (stacks, Some(Names::Image(Box::new(symbols))))
        });
        Self { thread }
    }

    /// Starts to profile a child process. Nothing else may wait for the child; calls `ended` with
    /// its status.
    pub fn of_process(
        child: Child,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) -> Self {
        let thread = std::thread::spawn(move || {
            let mut stacks = Stacks::new();
            let (status, loaded) = match Tracer::new(child) {
                Ok(tracer) => {
                    let (status, loaded) = tracer.run(
                        Some(PERIOD),
                        |calls| add(&mut stacks, calls, MAX_STACKS),
                        |_, _| (),
                    );
                    (status, Some(Names::Process(loaded)))
                }
                Err(error) => (Err(error), None),
            };
            ended(status);
            (stacks, loaded)
        });
        Self { thread }
    }

    /// Writes the flame graph after the program's end.
    pub fn finish(self, program: &Path, svg: &Path) -> Result<String, Failure> {
        let (stacks, names) = self.thread.join().unwrap_or_default();
        let (lines, idle) = match &names {
            Some(Names::Image(symbols)) => fold(&stacks, |address, is_return| {
                symbols.functions(address, is_return)
            }),
            Some(Names::Process(loaded)) => fold(&stacks, loaded.functions()),
            None => fold(&stacks, |_, _| Vec::new()),
        };
        let busy: usize = stacks.values().sum::<usize>() - idle;
        let mut options = Options::default();
        let name = program.display();
        options.title = format!("{name}: {busy} samples, {RATE} a second");
        options.count_name = "samples".into();
        options.deterministic = true;
        let mut text = Vec::new();
        // inferno fails on an empty profile.
        let nothing = ["(nothing was running) 1".to_owned()];
        let shown = if lines.is_empty() {
            &nothing[..]
        } else {
            &lines
        };
        flamegraph::from_lines(&mut options, shown.iter().map(String::as_str), &mut text)
            .map_err(|error| Failure::on(svg, format!("the flame graph: {error}")))?;
        std::fs::write(svg, text).on(svg)?;
        Ok(format!(
            "{}: {busy} samples of the running program, {idle} of the idle one",
            svg.display()
        ))
    }
}

fn sample(socket: UnixStream, code: &Code, stacks: &mut Stacks) -> io::Result<()> {
    let mut remote = Remote::new(socket)?;
    let mut next = Instant::now();
    loop {
        remote.go()?;
        next = (next + PERIOD).max(Instant::now() + PERIOD / 2);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        remote.stop()?;
        let registers = remote.registers(code.arch())?;
        let calls = unwind::calls(registers, code, &mut remote.memory());
        add(stacks, calls, MAX_STACKS);
    }
}

/// Returns the stacks in inferno's format, outermost function first, sorted by name; and the number
/// of samples of an idle machine, which the stacks exclude.
fn fold(stacks: &Stacks, functions: impl Fn(u64, bool) -> Vec<String>) -> (Vec<String>, usize) {
    let mut idle = 0;
    let mut known: HashMap<(u64, bool), Vec<String>> = HashMap::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for (calls, count) in stacks {
        let mut names = Vec::new();
        for (i, address) in calls.iter().enumerate() {
            let key = (*address, i > 0);
            let functions = known.entry(key).or_insert_with(|| {
                let mut names = functions(*address, i > 0);
                if names.is_empty() {
                    names.push("(unknown)".into());
                }
                names
            });
            for name in functions {
                // A second frame in the same file without symbols adds no information.
                if !(name.starts_with(['[', '(']) && names.last() == Some(name)) {
                    names.push(name.clone());
                }
            }
        }
        if calls.is_empty() {
            names.push("(of too many different stacks)".to_owned());
        }
        if names.iter().take(3).any(|name| IDLE.contains(&&**name)) {
            idle += count;
            continue;
        }
        names.reverse();
        let names: Vec<String> = names
            .iter()
            .map(|name| name.replace([';', '\n'], ","))
            .collect();
        *lines.entry(names.join(";")).or_default() += count;
    }
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|(names, count)| format!("{names} {count}"))
        .collect();
    lines.sort();
    (lines, idle)
}

#[cfg(test)]
mod tests {
    use super::{Stacks, add, fold};

    #[test]
    fn so_many_different_stacks_are_kept() {
        let mut stacks = Stacks::new();
        for sample in [1, 2, 3, 1, 4] {
            add(&mut stacks, vec![sample, 10], 2);
        }
        let expected = [(vec![1, 10], 2), (vec![2, 10], 1), (vec![], 2)];
        assert_eq!(stacks, Stacks::from(expected));
        let (lines, _) = fold(&stacks, |_, _| vec!["f".into()]);
        assert_eq!(lines, ["(of too many different stacks) 2", "f;f 3"]);
    }

    #[test]
    fn stacks_are_folded_by_the_names_of_their_functions() {
        let stacks = Stacks::from([
            (vec![1, 11, 21], 2),
            (vec![2, 11, 21], 3),
            (vec![3, 21], 4),
            (vec![9, 21], 5),
        ]);
        let name = |address: u64, is_return: bool| {
            assert_eq!(address > 10, is_return);
            match address {
                1 | 2 => vec!["inlined".into(), "leaf;1".into()],
                3 => vec![],
                9 => vec!["kernel::halt::sleep".into()],
                11 => vec!["caller".into()],
                _ => vec!["main".into()],
            }
        };
        let (lines, idle) = fold(&stacks, name);
        assert_eq!(lines, ["main;(unknown) 4", "main;caller;leaf,1;inlined 5"]);
        assert_eq!(idle, 5);
    }
}
