//! The Linux process, given the machine's options as environment variables.

use super::output::say_soon;
use super::{Failure, command, dies_with_us, passt, shell, signals, terminal};
use crate::cli::Run;
use crate::options::{Mount, Net};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGQUIT};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

enum Event {
    Signal(i32),
    Ended(std::io::Result<ExitStatus>),
}

/// Runs the executable; the result is its exit status, 128 and the signal's number when a signal
/// ended it.
pub fn run(run: &Run, default_net: bool) -> Result<u8, Failure> {
    if run.gdb.is_some() {
        let program = run.program.display();
        return Err(Failure::start(format!(
            "--gdb is for images: for a process run 'gdb --args {program}'"
        )));
    }
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
        *mounts = run
            .mounts
            .iter()
            .map(absolute)
            .collect::<Vec<_>>()
            .join(";")
            .into();
    }
    if let Some(file) = &run.pcap {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        variables.push(("SOIL_PCAP".into(), file.into_os_string()));
    }
    if !run.macs.is_empty() {
        variables.push(("SOIL_MAC".into(), run.macs.join(";").into()));
    }
    // With no ports to forward the program starts passt itself, when it first uses the network.
    let mut listening = None;
    let mut first = String::new();
    let mut links = Vec::new();
    for (index, net) in command::nets(run, default_net).iter().enumerate() {
        links.push(match net {
            Net::None => OsString::from("none"),
            Net::Tap(device) => format!("tap={device}").into(),
            Net::User | Net::Passt if run.forwards.is_empty() || index > 0 => "user".into(),
            Net::User | Net::Passt if run.dry_run => {
                first = passt::shown(&run.forwards);
                format!("passt={}", passt::SHOWN_SOCKET).into()
            }
            Net::User | Net::Passt => {
                let passt = passt::Listening::start(&run.forwards)?;
                let mut value = OsString::from("passt=");
                value.push(&passt.path);
                listening = Some(passt);
                value
            }
        });
    }
    if links.is_empty() && !run.nets.is_empty() {
        links.push("none".into());
    }
    if !links.is_empty() {
        variables.push(("SOIL_NET".into(), links.join(OsStr::new(";"))));
    }
    let program = std::path::absolute(&run.program).unwrap_or_else(|_| run.program.clone());
    if run.dry_run {
        let mut line = String::from("env");
        for (name, value) in &variables {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            line = line + " " + &shell::quoted(&word);
        }
        for word in [program.as_os_str()]
            .into_iter()
            .chain(run.arguments.iter().map(OsString::as_os_str))
        {
            line = line + " " + &shell::quoted(word);
        }
        println!("{first}{line}");
        return Ok(0);
    }
    let mut child = Command::new(&program);
    child.args(&run.arguments).envs(variables);
    dies_with_us(&mut child);
    let (events, inbox) = channel();
    let stop = signals::forward(&signals::ENDING, events.clone(), Event::Signal)?;
    let mut child = child
        .spawn()
        .map_err(|error| super::not_started(&run.program, &error))?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // The child is waited for elsewhere; until that has reported, its number is its own.
    std::thread::spawn(move || events.send(Event::Ended(child.wait())));
    let send = |signal: Signal| id.map(|id| kill_process(id, signal));
    let end = run.timeout.map(|after| Instant::now() + after);
    let mut timed_out = false;
    let status = loop {
        let event = match end.filter(|_| !timed_out) {
            Some(end) => inbox.recv_timeout(end.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Ended(status)) => break status,
            Ok(Event::Signal(number)) => {
                // A terminal sends Ctrl-C and Ctrl-\ to the child as well; twice is what "at once"
                // means to it, so only SIGTERM and SIGHUP are handed on.
                if ![SIGINT, SIGQUIT].contains(&number) || !terminal::sends_signals_to_our_group() {
                    let signal = Signal::from_named_raw(number).unwrap_or(Signal::TERM);
                    send(signal);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                timed_out = true;
                send(Signal::KILL);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::start("the program's end was lost"));
            }
        }
    };
    drop((stop, listening));
    let status =
        status.map_err(|error| Failure::start(format!("the program's end was lost: {error}")))?;
    if timed_out {
        let after = run.timeout.unwrap_or_default().as_secs_f64();
        // Who reads it may have held up the program as well.
        say_soon(&format!("ended after {after} s (--timeout)"));
        return Ok(124);
    }
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(255)),
        (None, Some(signal)) => Err(Failure {
            status: u8::try_from(128 + signal).unwrap_or(255),
            text: format!("the program was ended by signal {signal}"),
        }),
        (None, None) => Err(Failure::start("the program's end was lost")),
    }
}

/// A mount that means the same from any working directory.
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
