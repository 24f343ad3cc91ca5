//! Virtual machine monitors other than QEMU: the options that they have, and how they run.
//!
//! Their machines have no port for the control channel: an image sends its lines in the frames of
//! the serial line. The status of a console without frames is its last line, `soil: status N`.

mod api;
mod cloud_hypervisor;
mod firecracker;

use super::command::nets;
use super::machine::{self, End, Launch, Monitor};
use super::scratch;
use super::serial::Origin;
use super::shell;
use crate::child;
use crate::cli::{Accelerator, Launcher, Machine, Run, Vmm};
use crate::exit_status::NO_STATUS;
use crate::failure::{Context as _, Failure};
use crate::image_lock;
use crate::messages;
use crate::options::{Net, Vsock};
use api::Api;
use cloud_hypervisor::CloudHypervisor;
use firecracker::Firecracker;
use lock::Usage;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The CID of a machine whose sockets end at a UNIX socket: the first that is free for machines.
const CID: u32 = 3;

/// Runs the image in the file `kernel`, whose command line is `line`, and returns its exit status.
pub fn run(
    run: &Run,
    kernel: &Path,
    default_net: bool,
    line: &str,
    origin: Origin,
) -> Result<u8, Failure> {
    check(run, default_net)?;
    if run.vmm == Vmm::Firecracker {
        let configuration = firecracker::configuration(run, kernel, default_net, line)?;
        if run.dry_run.is_some() {
            crate::json::print(&configuration)?;
            return Ok(0);
        }
        let folder = scratch::Folder::new().on("a folder for Firecracker's socket")?;
        let (socket, file) = (folder.path().join("api"), folder.path().join("config.json"));
        std::fs::write(&file, configuration.to_string()).on(&file)?;
        // Firecracker takes no locks itself.
        let locks = run.disks.iter().map(|disk| {
            let usage = if disk.read_only {
                Usage::Read
            } else {
                Usage::Write
            };
            image_lock::take(&disk.file, usage)
        });
        let _locks = locks.collect::<Result<Vec<_>, _>>()?;
        let arguments = firecracker::arguments(&socket, &file);
        let monitor = Firecracker(Api::firecracker(socket));
        return start(run, firecracker::PROGRAM, arguments, None, origin, monitor);
    }
    let arguments =
        |socket: Option<&Path>| cloud_hypervisor::arguments(run, kernel, default_net, line, socket);
    if run.dry_run.is_some() {
        let shown = shell::shown(OsStr::new(cloud_hypervisor::PROGRAM), &arguments(None)?);
        messages::print(&(shown + "\n"))?;
        return Ok(0);
    }
    let folder = scratch::Folder::new().on("a folder for Cloud Hypervisor's socket")?;
    let socket = folder.path().join("api");
    let arguments = arguments(Some(&socket))?;
    // It reads input from a terminal only.
    let terminal = Some(cloud_hypervisor::terminal()?);
    let monitor = CloudHypervisor(Api::cloud_hypervisor(socket));
    start(
        run,
        cloud_hypervisor::PROGRAM,
        arguments,
        terminal,
        origin,
        monitor,
    )
}

/// Starts the VMM `program` and returns the exit status of its machine.
fn start(
    run: &Run,
    program: &str,
    arguments: Vec<OsString>,
    terminal: Option<(OwnedFd, OwnedFd)>,
    origin: Origin,
    monitor: impl Monitor,
) -> Result<u8, Failure> {
    let mut command = Command::new(program);
    command.args(arguments);
    let launch = Launch {
        program: Path::new(program),
        command,
        inherited: Vec::new(),
        control: None,
        terminal,
        output: None,
    };
    let connect = |_, _| {
        run.notes.iter().for_each(|note| messages::say(note));
        Ok(monitor)
    };
    machine::run(run, launch, origin, connect).map(|(status, _)| status)
}

/// The VMM's name for messages.
fn name(vmm: Vmm) -> &'static str {
    match vmm {
        Vmm::Qemu => "QEMU",
        Vmm::Firecracker => Firecracker::NAME,
        Vmm::CloudHypervisor => CloudHypervisor::NAME,
    }
}

/// Refuses options that the VMM doesn't have.
fn check(run: &Run, default_net: bool) -> Result<(), Failure> {
    const NO_DISPLAY: &str = "has no displays";
    const NO_GDB: &str = "offers no gdb server that soil run knows";
    const OF_QEMU: &str = "isn't QEMU";
    let name = name(run.vmm);
    let refused = [
        (
            "--dry-run=libvirt",
            "isn't started by libvirt",
            run.dry_run == Some(Launcher::Libvirt),
        ),
        (
            "--machine",
            "makes one kind of machine",
            run.machine() != Machine::of(run.machine().arch()),
        ),
        ("--cpu", "passes the host's processor on", run.cpu.is_some()),
        ("--accel tcg", "needs KVM", run.accel == Accelerator::Tcg),
        ("--display", NO_DISPLAY, run.display.is_some()),
        ("--screenshot", NO_DISPLAY, run.screenshot.is_some()),
        ("--gdb", NO_GDB, run.gdb.is_some()),
        ("--profile", NO_GDB, run.profile.is_some()),
        ("--trace", NO_GDB, run.trace.is_some()),
        ("--qemu-arg", OF_QEMU, !run.qemu_arguments.is_empty()),
        ("--device-option", OF_QEMU, !run.device_options.is_empty()),
    ];
    if let Some((option, reason, _)) = refused.into_iter().find(|(.., given)| *given) {
        let reason = format!("{name} {reason}");
        return Err(Failure::on(option, reason).remedy(format!("leave out {option} or --vmm")));
    }
    if run.pcap.is_some() {
        let reason = format!("{name} has no second serial port for the frames");
        let remedy = "record them on the TAP device: tcpdump -i DEVICE -w FILE";
        return Err(Failure::on("--pcap", reason).remedy(remedy));
    }
    if let Some(Vsock::Cid(_)) = run.vsock {
        let reason = format!("{name} connects the machine's sockets to a UNIX socket");
        return Err(Failure::on("--vsock CID", reason)
            .remedy("give the path of one that it makes: --vsock ./vsock.sock"));
    }
    if let Some(disk) = run.disks.iter().find(|disk| disk.sector == Some(4096)) {
        let reason = format!("{name}'s disks have sectors of 512 bytes");
        return Err(Failure::on(format!("disk {}", disk.name), reason)
            .remedy("leave out ,sector=4096 or --vmm"));
    }
    let has_user = |net: &Net| matches!(net, Net::User | Net::Passt);
    if nets(run, default_net).iter().any(has_user) {
        let subject = match run.nets.iter().find(|net| has_user(net)) {
            Some(Net::Passt) => "--net passt",
            Some(_) => "--net user",
            None if run.forwards.is_empty() => "the program's network",
            None => "--forward",
        };
        let reason = format!("{name} connects TAP devices only");
        return Err(Failure::on(subject, reason)
            .remedy("give --net tap=DEVICE, or --net none ('ip tuntap add' makes a device)"));
    }
    Ok(())
}

/// The interfaces' TAP devices with their hardware addresses.
fn taps(run: &Run, default_net: bool) -> Vec<(String, Option<String>)> {
    let nets = nets(run, default_net);
    let taps = nets
        .iter()
        .enumerate()
        .filter_map(|(index, net)| match net {
            Net::Tap(device) => Some((device.clone(), run.macs.get(index).cloned())),
            _ => None,
        });
    taps.collect()
}

/// An absolute path as text, which both VMMs take.
fn path(file: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file));
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::on(file, "a VMM takes names in UTF-8 only").remedy("rename it"))
}

/// The error for a VMM that couldn't be started.
fn not_started(program: &Path, source: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::on(program, "not on this machine")
            .remedy(format!("install it from {source}, in a folder of PATH")),
        _ => child::not_started(program, error),
    }
}

/// The outcome of a machine without a status on the control channel. `error` is the VMM's own.
fn outcome(name: &str, end: &End<'_>, error: Option<&str>) -> Result<u8, Failure> {
    match (
        end.status.and_then(|status| status.code()),
        end.console.last_status,
    ) {
        (Some(0), Some(status)) => Ok(status),
        (Some(0), None) => {
            let why = "its console doesn't end with 'soil: status N'";
            Err(end.without_status(name, why))
        }
        (Some(_), _) if !end.console.spoke => {
            let text = error.unwrap_or("it gives no reason");
            Err(Failure::new(format!("{name} did not start: {text}")))
        }
        _ => {
            let failure = end.without_status(name, "");
            Err(failure.with_status(NO_STATUS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::cli::{Cli, Command, Run};
    use clap::Parser as _;

    /// The options of a run of /srv/a.exe.
    pub fn options(words: &str) -> Run {
        let words = ["soil", "run", "/srv/a.exe"]
            .into_iter()
            .chain(words.split_whitespace());
        match Cli::try_parse_from(words).expect("valid").command {
            Command::Run(run) => *run,
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn options_that_a_vmm_lacks_are_refused_by_name() {
        for vmm in ["firecracker", "cloud-hypervisor"] {
            for (words, subject) in [
                ("--machine q35", "--machine: "),
                ("--cpu host", "--cpu: "),
                ("--accel tcg", "--accel tcg: "),
                ("--display none", "--display: "),
                ("--screenshot a.png", "--screenshot: "),
                ("--gdb", "--gdb: "),
                ("--profile a.svg", "--profile: "),
                ("--trace a.json", "--trace: "),
                ("--qemu-arg=-S", "--qemu-arg: "),
                ("--device-option net:csum=off", "--device-option: "),
                ("--dry-run=libvirt", "--dry-run=libvirt: "),
                ("--pcap a", "--pcap: "),
                ("--vsock 3", "--vsock CID: "),
                ("--disk data=d,sector=4096", "disk data: "),
                ("--net user", "--net user: "),
                ("--net passt", "--net passt: "),
                ("--forward 80:80", "--forward: "),
                ("--ip 10.0.0.2/24", "the program's network: "),
            ] {
                let run = options(&format!("--vmm {vmm} {words}"));
                let text = check(&run, false).expect_err(words).to_string();
                assert!(
                    text.starts_with(subject) && text.matches(": ").count() >= 2,
                    "{text}"
                );
            }
            let run = options(&format!("--vmm {vmm}"));
            assert!(check(&run, true).is_err(), "the program uses the network");
            for words in [
                "--net none",
                "--net tap=tap7",
                "--timeout 3",
                "--vsock ./v.sock",
                "--disk data=d,sector=512",
            ] {
                let run = options(&format!("--vmm {vmm} {words}"));
                check(&run, false).expect(words);
            }
        }
    }
}
