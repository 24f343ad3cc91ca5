//! Runs the Linux process, with the machine's options as environment variables.

use super::viewer::{Displays, Shown, in_memory};
use super::{command, passt, screenshot, shell, signals, terminal};
use crate::child::{dies_with_us, not_started};
use crate::cli::{Launcher, Run, Vmm};
use crate::exit_status::TIMED_OUT;
use crate::failure::Failure;
use crate::messages::{print, say_soon};
use crate::observe::{Observed, Wanted};
use crate::options::{Mount, Net};
use crate::profile::tracer;
use crate::symbols;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

enum Event {
    Signal(i32),
    Ended(std::io::Result<ExitStatus>),
}

/// Environment variables by name.
type Variables = Vec<(String, OsString)>;

/// The network of the process.
#[derive(Default)]
struct Network {
    /// The value of `SOIL_NET`: one word for each link.
    links: Vec<OsString>,
    /// passt, which runs until this is dropped.
    listening: Option<passt::Listening>,
    /// The command that starts passt, for `--dry-run`.
    shown: String,
}

/// The functions by which a program opens a database of SQLite.
const SQLITE: [&str; 2] = ["sqlite3_open", "sqlite3_open_v2"];

/// Returns a note for a program that opens databases and has volumes: SQLite's error doesn't say
/// that it looks for the file elsewhere.
fn sqlite_note(run: &Run, has_sqlite: bool) -> Option<String> {
    let has_volumes = !run.disks.is_empty() || !run.mounts.is_empty();
    (has_sqlite && has_volumes).then(|| {
        String::from(
            "in a process --disk and --mount are for Soil.Fs: SQLite opens files of this machine; \
             give it a folder of this machine, or run the image",
        )
    })
}

/// Runs the executable and returns its exit status, or 128 + signal if a signal ended it.
pub fn run(run: &Run) -> Result<u8, Failure> {
    if run.gdb.is_some() {
        let remedy = format!("for a process run 'gdb --args {}'", run.program.display());
        return Err(Failure::new("--gdb is for images").remedy(remedy));
    }
    if run.vmm != Vmm::Qemu {
        let remedy = "leave it out, or give the image (_build/soil/…)";
        return Err(Failure::new("--vmm is for images").remedy(remedy));
    }
    if run.vsock.is_some() {
        let remedy = "leave it out (a process has Linux's own sockets), or give the image";
        return Err(Failure::new("--vsock is for images").remedy(remedy));
    }
    if run.dry_run == Some(Launcher::Libvirt) {
        let subject = run.program.display().to_string();
        return Err(
            Failure::on(subject, "a process is no machine that libvirt starts")
                .remedy("give the image (_build/soil/…)"),
        );
    }
    let mut variables = machine_options(run);
    let network = network(run)?;
    if !network.links.is_empty() {
        let links = network.links.join(OsStr::new(";"));
        variables.push(("SOIL_NET".into(), links));
    }
    let mut displays = None;
    if run.dry_run.is_none() {
        displays = Displays::new(run)?;
    } else if run.shown_by().is_some() {
        // For a process that another launcher starts.
        variables.push(("SOIL_DISPLAY".into(), in_memory(&run.sizes()).into()));
    }
    variables.extend(displays.iter().map(Displays::variable));
    let program = std::path::absolute(&run.program).unwrap_or_else(|_| run.program.clone());
    if run.dry_run.is_some() {
        let shown = shown(run, &program, &variables);
        print(&format!("{}{shown}\n", network.shown))?;
        return Ok(0);
    }
    let wanted = Wanted::by(run, false)?;
    let (events, inbox) = channel();
    let stop = signals::forward(&signals::ENDING, events.clone(), Event::Signal)?;
    let closed = events.clone();
    let (child, observed) = start(run, &program, variables, displays.as_ref(), wanted, events)?;
    run.notes.iter().for_each(|note| say_soon(note));
    if let Some(note) = sqlite_note(run, symbols::refers_to(&program, &SQLITE)) {
        say_soon(&note);
    }
    let shown = displays.map(|displays| {
        // Closing a window requests a stop; without effect after the program's end.
        displays.begin(move || _ = closed.send(Event::Signal(SIGTERM)))
    });
    let ended = supervise(run.timeout, child, &inbox)?;
    drop((stop, network));
    let picture = shown.map_or(Ok(None), Shown::picture);
    if let Some(observed) = observed {
        say_soon(&observed.finish(&run.program)?);
    }
    let status = exit_status(run.timeout, ended)?;
    Ok(screenshot::status(run, picture, status))
}

/// The machine's options, except its network, as variables.
fn machine_options(run: &Run) -> Variables {
    let mut variables = command::variables(run);
    for disk in &run.disks {
        let file = std::path::absolute(&disk.file).unwrap_or_else(|_| disk.file.clone());
        let mut value = file.into_os_string();
        if let Some(bytes) = disk.sector {
            value.push(format!(",sector={bytes}"));
        }
        if disk.read_only {
            value.push(",ro");
        }
        variables.push((format!("SOIL_DISK_{}", disk.name), value));
    }
    if let Some((_, mounts)) = variables.iter_mut().find(|(name, _)| name == "SOIL_MOUNT") {
        let absolute: Vec<String> = run.mounts.iter().map(absolute).collect();
        *mounts = absolute.join(";").into();
    }
    if let Some(file) = &run.pcap {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        variables.push(("SOIL_PCAP".into(), file.into_os_string()));
    }
    if !run.macs.is_empty() {
        variables.push(("SOIL_MAC".into(), run.macs.join(";").into()));
    }
    variables
}

/// Creates the links of the process; starts passt for forwarded ports. Without links the program
/// uses the host's sockets, unless an option requires a device's frames.
fn network(run: &Run) -> Result<Network, Failure> {
    let mut network = Network::default();
    let has_frames = !run.macs.is_empty() || run.pcap.is_some();
    for (index, net) in command::nets(run, has_frames).iter().enumerate() {
        network.links.push(match net {
            Net::None => OsString::from("none"),
            Net::Host => OsString::from("host"),
            Net::Tap(device) => format!("tap={device}").into(),
            Net::User | Net::Passt if run.forwards.is_empty() || index > 0 => "user".into(),
            Net::User | Net::Passt if run.dry_run.is_some() => {
                network.shown = passt::shown(&run.forwards);
                format!("passt={}", passt::SHOWN_SOCKET).into()
            }
            Net::User | Net::Passt => {
                let passt = passt::Listening::start(&run.forwards)?;
                let mut value = OsString::from("passt=");
                value.push(&passt.path);
                network.listening = Some(passt);
                value
            }
        });
    }
    if network.links.is_empty() && !run.nets.is_empty() {
        network.links.push("none".into());
    }
    Ok(network)
}

/// The command that runs `program` with these variables.
fn shown(run: &Run, program: &Path, variables: &Variables) -> String {
    let mut line = String::from("env");
    for (name, value) in variables {
        let word = [name.as_ref(), value.as_os_str()].join(OsStr::new("="));
        line = line + " " + &shell::quoted(&word);
    }
    let arguments = run.arguments.iter().map(OsString::as_os_str);
    for word in [program.as_os_str()].into_iter().chain(arguments) {
        line = line + " " + &shell::quoted(word);
    }
    line
}

/// Starts the program and reports its end to `events`.
fn start(
    run: &Run,
    program: &Path,
    variables: Variables,
    displays: Option<&Displays>,
    wanted: Option<Wanted>,
    events: Sender<Event>,
) -> Result<(Pid, Option<Observed>), Failure> {
    let mut command = Command::new(program);
    command.args(&run.arguments).envs(variables);
    dies_with_us(&mut command);
    if let Some(displays) = displays {
        displays.inherited_by(&mut command);
    }
    // Fails only when the end doesn't matter any more.
    let ended = move |status| _ = events.send(Event::Ended(status));
    let failed = |error| not_started(&run.program, &error);
    if let Some(wanted) = wanted {
        let waiting = tracer::waiting(&mut command).map_err(failed)?;
        let observed = wanted.process(waiting, program, ended);
        let child = command.spawn().map_err(failed)?;
        return Ok((Pid::from_child(&child), Some(observed)));
    }
    let mut child = command.spawn().map_err(failed)?;
    let id = Pid::from_child(&child);
    // The child's PID stays valid until the thread reports the end.
    std::thread::spawn(move || ended(child.wait()));
    Ok((id, None))
}

/// Waits for the end of `child`, forwards signals to it, and kills it after `timeout`. Returns the
/// status, or `None` after the timeout.
fn supervise(
    timeout: Option<Duration>,
    child: Pid,
    inbox: &Receiver<Event>,
) -> Result<Option<ExitStatus>, Failure> {
    let lost = || Failure::new("the program's end was lost");
    let send = |signal: Signal| _ = kill_process(child, signal);
    let end = timeout.map(|after| Instant::now() + after);
    let mut timed_out = false;
    loop {
        let event = match end.filter(|_| !timed_out) {
            Some(end) => inbox.recv_timeout(end.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Ended(status)) => {
                let lost = |error| Failure::new(format!("the program's end was lost: {error}"));
                let status = status.map_err(lost)?;
                return Ok((!timed_out).then_some(status));
            }
            Ok(Event::Signal(number)) => {
                // A terminal sends Ctrl-C and Ctrl-\ to the child as well. A second one would make
                // it end at once, so only SIGTERM and SIGHUP are forwarded.
                if ![SIGINT, SIGQUIT].contains(&number) || !terminal::sends_signals_to_our_group() {
                    send(Signal::from_named_raw(number).unwrap_or(Signal::TERM));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                timed_out = true;
                send(Signal::KILL);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(lost()),
        }
    }
}

/// The exit status of `soil run`; `ended` is `None` after the timeout.
fn exit_status(timeout: Option<Duration>, ended: Option<ExitStatus>) -> Result<u8, Failure> {
    let Some(status) = ended else {
        let after = timeout.unwrap_or_default().as_secs_f64();
        // The reader of this line may have blocked the program, too.
        say_soon(&format!("ended after {after} s (--timeout)"));
        return Ok(TIMED_OUT);
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(255)),
        (None, Some(signal)) => Err(Failure::new(format!(
            "the program was ended by signal {signal}"
        ))
        .with_status(u8::try_from(128 + signal).unwrap_or(255))),
        (None, None) => Err(Failure::new("the program's end was lost")),
    }
}

/// Formats the mount, with an absolute path for a host folder.
fn absolute(mount: &Mount) -> String {
    let mut mount = mount.clone();
    if mount.kind.as_deref() == Some("host")
        && let Ok(path) = std::path::absolute(&mount.source)
        && let Some(path) = path.to_str()
    {
        path.clone_into(&mut mount.source);
    }
    mount.to_string()
}

#[cfg(test)]
mod tests {
    use super::sqlite_note;
    use crate::cli::{Cli, Command, Run};
    use clap::Parser as _;

    fn run(options: &str) -> Run {
        let words = format!("soil run program {options}");
        match Cli::try_parse_from(words.split_whitespace())
            .expect("valid")
            .command
        {
            Command::Run(run) => *run,
            _ => panic!("not a run"),
        }
    }

    #[test]
    fn a_program_with_databases_and_volumes_gets_a_note() {
        for (options, has_sqlite, noted) in [
            ("--disk data=d.img", true, true),
            ("--mount /data=memory:1M", true, true),
            ("--disk data=d.img", false, false),
            ("", true, false),
        ] {
            let note = sqlite_note(&run(options), has_sqlite);
            assert_eq!(note.is_some(), noted, "{options}");
        }
    }
}
