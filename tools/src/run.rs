//! `soil run`: runs both forms of a program.

mod backlog;
pub mod command;
pub mod control;
mod firmware;
mod gathered;
mod input;
pub mod kvm;
mod libvirt;
mod lifeline;
mod machine;
mod output;
mod passt;
mod ports;
mod process;
mod processor;
mod qemu;
pub mod scratch;
mod screenshot;
mod serial;
mod shell;
mod signals;
mod terminal;
mod viewer;
mod vmm;
mod watch;

use crate::arch::Arch;
use crate::cli::{Accelerator, Launcher, OnFailure, Run, Vmm, value_name};
use crate::disk::format::{Access, check_raw};
use crate::failure::{Context as _, Failure};
use crate::flat;
use crate::messages::{print, print_error, say};
use crate::needs::{self, Question};
use crate::options::{self, Mount, Net};
use crate::program::{self, Form};
use crate::words;
use crate::{secrets, zone};
use command::Wiring;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use std::ffi::{OsStr, OsString};
use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The variable that selects an image's console, and its words for displays and for output by a
/// port.
const CONSOLE: &str = "SOIL_CONSOLE";
const ON_DISPLAY: &str = "display";
const BY_PORT: &str = "output";

/// Runs the program and returns its exit status.
pub fn run(run: &Run) -> Result<u8, Failure> {
    if run.watch {
        return watch::run(run);
    }
    if let Some(kind) = run.firmware {
        return firmware::run(run, kind);
    }
    let program = program::inspect(&run.program)?;
    let run = &processor::completed(run, &program)?;
    let completed;
    let run = match program.has_needs && !run.ignore_needs {
        true => {
            let answer = Question::of_run(run).ask()?;
            if let Some(ends) = &answer.ends {
                print(&ends.output)?;
                print_error(&ends.error);
                return Ok(ends.status);
            }
            completed = needs::complete(run, program.form, &answer)?;
            &completed
        }
        false => run,
    };
    check(run)?;
    check_console(run, &program)?;
    check_on_failure(run, program.form)?;
    secrets::warn_of_command_lines(run, program.form);
    let default_net = program.network.unwrap_or(false);
    match program.form {
        Form::Process => process::run(run),
        Form::Image => {
            crate::warn_of_unknown_variables();
            check_vsock(run)?;
            image(run, &program, default_net)
        }
    }
}

/// Checks valid options for conflicts with each other and with the host.
fn check(run: &Run) -> Result<(), Failure> {
    check_disks(run)?;
    run.mounts
        .iter()
        .try_for_each(|mount| mountable(run, mount))?;
    if !run.display_sizes.is_empty() && run.shown_by().is_none() {
        let remedy = "give --display window, vnc=:N or none as well";
        return Err(Failure::new("--display-size is that of no display").remedy(remedy));
    }
    check_network(run)
}

/// Checks that QEMU finds the other end of the machine's sockets.
fn check_vsock(run: &Run) -> Result<(), Failure> {
    const DEVICE: &str = "/dev/vhost-vsock";
    if run.vmm != Vmm::Qemu || run.dry_run.is_some() {
        return Ok(());
    }
    match &run.vsock {
        None => Ok(()),
        Some(options::Vsock::Cid(_)) => {
            let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
            opened.map(drop).map_err(|error| {
                Failure::on(format!("--vsock: {DEVICE}"), error).remedy(
                    "load the kernel's driver ('modprobe vhost_vsock'), or give the socket of a \
                     vhost-device-vsock: --vsock ./SOCKET",
                )
            })
        }
        Some(options::Vsock::Socket(path)) => {
            let found = std::fs::metadata(path);
            let reason = match found {
                Ok(found) if found.file_type().is_socket() => return Ok(()),
                Ok(_) => "not a socket".to_owned(),
                Err(error) => error.to_string(),
            };
            let path = path.display();
            let remedy = format!(
                "start the device: vhost-device-vsock --vm guest-cid=3,socket={path},\
                 uds-path=./vsock.sock"
            );
            Err(Failure::on(format!("--vsock {path}"), reason).remedy(remedy))
        }
    }
}

/// Checks that disk names are unique, that each disk can be opened, and that no two writable disks
/// share a file.
fn check_disks(run: &Run) -> Result<(), Failure> {
    let mut files: Vec<(u64, u64, &options::Disk)> = Vec::new();
    for (index, disk) in run.disks.iter().enumerate() {
        let name = &disk.name;
        let mut earlier = run.disks.iter().take(index);
        if earlier.any(|earlier| earlier.name == *name) {
            return Err(Failure::new(format!("two disks are called {name}"))
                .remedy("give each a name of its own"));
        }
        let metadata = disk_file(disk, run.firmware.is_some() && index == 0)?;
        let (device, number) = (metadata.dev(), metadata.ino());
        let same = |(a, b, other): &&(u64, u64, &options::Disk)| {
            (*a, *b) == (device, number) && !(disk.read_only && other.read_only)
        };
        if let Some((.., other)) = files.iter().find(same) {
            let (file, other) = (disk.file.display(), &other.name);
            let reason = format!("{file} is the disk {other} as well");
            return Err(Failure::on(format!("disk {name}"), reason)
                .remedy("give it once, or both as NAME=FILE,ro"));
        }
        files.push((device, number, disk));
    }
    Ok(())
}

/// Opens a disk's file as the machine will, and checks that it is usable as a disk. One that
/// firmware boots may have any format of QEMU's.
fn disk_file(disk: &options::Disk, is_booted: bool) -> Result<Metadata, Failure> {
    let subject = format!("disk {}: {}", disk.name, disk.file.display());
    let file = OpenOptions::new()
        .read(true)
        .write(!disk.read_only)
        .open(&disk.file)
        .map_err(|error| {
            let failure = Failure::on(&subject, &error);
            match error.kind() {
                io::ErrorKind::NotFound if disk.file.to_string_lossy().contains(',') => {
                    failure.remedy("options of a disk are ,sector=BYTES and ,ro, in this order")
                }
                io::ErrorKind::NotFound => failure.remedy(
                    "make one with the files of a folder: soil disk make FILE FOLDER --size 64M \
                     --fs fat",
                ),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    failure.remedy("give it as NAME=FILE,ro to read it only")
                }
                _ => failure,
            }
        })?;
    let metadata = file.metadata().on(&subject)?;
    if metadata.is_dir() {
        let remedy = "give a disk image or a block device";
        return Err(Failure::on(subject, "a folder").remedy(remedy));
    }
    let access = Access::Program {
        read_only: disk.read_only,
    };
    if !is_booted {
        check_raw(&subject, &disk.file, access)?;
    }
    if metadata.is_file() && (metadata.len() == 0 || metadata.len() % 512 != 0) {
        let bytes = metadata.len();
        let reason = format!("has {bytes} bytes, which is no whole number of 512-byte sectors");
        return Err(Failure::on(subject, reason).remedy("is it cut off?"));
    }
    Ok(metadata)
}

/// Checks that the networks are compatible with each other and with the forwarded ports.
fn check_network(run: &Run) -> Result<(), Failure> {
    for net in run.nets.iter().filter(|_| run.dry_run.is_none()) {
        if let Net::Tap(device) = net {
            tap_exists(device)?;
        }
    }
    if run.nets.iter().filter(|net| **net == Net::Passt).count() > 1 {
        return Err(Failure::new("--net passt can be given once"));
    }
    for (alone, name) in [(Net::None, "none"), (Net::Host, "host")] {
        if run.nets.len() > 1 && run.nets.contains(&alone) {
            let reason = format!("--net {name} doesn't go with another --net");
            return Err(Failure::new(reason));
        }
    }
    if run.pcap.is_some() && run.nets.contains(&Net::Host) {
        let reason =
            "--pcap doesn't go with --net host: the program has no frames of its own there";
        return Err(
            Failure::new(reason).remedy("give --net user, or record the host's with tcpdump")
        );
    }
    if run.forwards.is_empty() {
        return Ok(());
    }
    match run.nets.first() {
        Some(Net::Tap(_)) => Err(Failure::new(
            "--forward needs --net user or passt first: with a TAP device the program has an \
             address of its own",
        )),
        Some(Net::Host) => Err(Failure::new(
            "--forward needs --net user or passt: with the host's own sockets the program's ports \
             are the host's",
        )),
        Some(Net::None) => {
            Err(Failure::new("--forward needs a network").remedy("leave out --net none"))
        }
        _ => Ok(()),
    }
}

/// Checks that the disk or folder of a mount exists.
fn mountable(run: &Run, mount: &Mount) -> Result<(), Failure> {
    let fail = |reason: String| Failure::on(format!("--mount {mount}"), reason);
    let same =
        |other: &&Mount| other.path.trim_end_matches('/') == mount.path.trim_end_matches('/');
    if run.mounts.iter().filter(same).count() > 1 {
        return Err(fail(format!("{} is given twice", mount.path)));
    }
    match mount.disk() {
        Some(name) if !run.disks.iter().any(|disk| disk.name == name) => {
            Err(fail(format!("no disk is called {name}")).remedy(format!("add --disk {name}=FILE")))
        }
        None if mount.kind.as_deref() == Some("host") && !Path::new(&mount.source).is_dir() => Err(
            fail(format!("{} is no folder of this machine", mount.source)),
        ),
        _ => Ok(()),
    }
}

/// Checks that the TAP device exists: root would create a missing one by opening it, connected to
/// nothing.
fn tap_exists(device: &str) -> Result<(), Failure> {
    let found = socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|handle| name_to_index(&handle, device));
    found.map(drop).map_err(|error| {
        Failure::on(format!("--net tap={device}"), error).remedy(format!(
            "make it with: ip tuntap add dev {device} mode tap vnet_hdr user $USER; ip addr add \
            10.0.0.1/24 dev {device}; ip link set {device} up (and give the program --ip \
            10.0.0.2/24)"
        ))
    })
}

/// Returns the value of the console variable from the options.
fn console(run: &Run) -> Option<OsString> {
    let mut variables = command::variables(run).into_iter();
    variables.find_map(|(name, value)| (name == CONSOLE).then_some(value))
}

/// Whether the value of the console variable has this word.
fn says(run: &Run, word: &str) -> bool {
    let words = console(run).unwrap_or_default();
    let mut words = words.as_bytes().split(|byte| *byte == b',');
    words.any(|other| other == word.as_bytes())
}

/// Checks that a program with its console on a display, or its output by a port, supports that, and
/// that there is a display.
fn check_console(run: &Run, program: &program::Program) -> Result<(), Failure> {
    let Some(words) = console(run) else {
        return Ok(());
    };
    let subject = format!("{CONSOLE}={}", words.display());
    let mut all = words.as_bytes().split(|byte| *byte == b',');
    if !all.all(|word| [ON_DISPLAY.as_bytes(), BY_PORT.as_bytes()].contains(&word)) {
        let reason = format!(
            "the console is the serial line to soil run, its output a port with {BY_PORT}, and \
            {ON_DISPLAY} at most"
        );
        return Err(Failure::on(subject, reason).remedy(format!("give {CONSOLE}={ON_DISPLAY}")));
    }
    if program.form == Form::Process {
        return Err(Failure::on(subject, "a process has its terminal").remedy("run the image"));
    }
    if says(run, BY_PORT) && program.has_console_driver == Some(false) {
        let reason = format!("{} has no driver of ports", run.program.display());
        let remedy = "link it with -ccopt -Wl,-u,soil_with_console, or leave the word out";
        return Err(Failure::on(subject, reason).remedy(remedy));
    }
    if says(run, BY_PORT) && run.vmm != Vmm::Qemu {
        let remedy = format!("leave out {BY_PORT}");
        return Err(Failure::on(subject, "only QEMU has such a port").remedy(remedy));
    }
    if !says(run, ON_DISPLAY) {
        return Ok(());
    }
    if program.shows_console == Some(false) {
        let reason = format!("{} has no console for displays", run.program.display());
        let remedy = "add soil-display.console to the libraries of its dune file";
        return Err(Failure::on(subject, reason).remedy(remedy));
    }
    if run.shown_by().is_none() {
        let remedy = "add --display window, or vnc=:1, or none";
        return Err(Failure::on(subject, "the machine has no display").remedy(remedy));
    }
    Ok(())
}

/// Checks that the machine can do what `--on-failure` says.
fn check_on_failure(run: &Run, form: Form) -> Result<(), Failure> {
    let Some(action) = run.on_failure else {
        return Ok(());
    };
    let subject = format!("--on-failure {}", value_name(&action));
    match (form, run.vmm) {
        (Form::Process, _) => Err(Failure::on(subject, "a process is no machine")
            .remedy("let systemd start it again: Restart=on-failure")),
        (Form::Image, Vmm::Firecracker) if action == OnFailure::Reboot => {
            let reason = "Firecracker ends with its machine's reset";
            Err(Failure::on(subject, reason).remedy("leave it out, or give another --vmm"))
        }
        (Form::Image, _) => Ok(()),
    }
}

/// Runs the image.
fn image(run: &Run, program: &program::Program, default_net: bool) -> Result<u8, Failure> {
    if let Some(mount) = run
        .mounts
        .iter()
        .find(|mount| mount.kind.as_deref() == Some("host"))
    {
        let subject = format!("--mount {mount}");
        return Err(
            Failure::on(subject, "a machine can't reach a folder of the host")
                .remedy("put it on a disk, or run the process form"),
        );
    }
    if run.nets.contains(&Net::Host) {
        let reason = "--net host is for processes: a machine has no sockets of the host";
        return Err(Failure::new(reason).remedy("give --net user, or run the process form"));
    }
    // A machine started from a printed command line has no `soil run` at its serial line.
    let origin = serial::Origin::of_standard_input();
    let kvm = run.vmm == Vmm::Qemu && takes_kvm(run)?;
    // Translated, a byte of the serial line costs next to nothing.
    let port = run.vmm == Vmm::Qemu
        && run.dry_run.is_none()
        && program.has_console_driver != Some(false)
        && (kvm || says(run, BY_PORT));
    let Line {
        shown: line,
        hidden,
    } = line(run, run.dry_run.is_none().then_some(origin), port)?;
    if hidden.is_some() && run.dry_run.is_some() {
        let file = secrets::SHOWN_FILE;
        let names = secrets::names(&run.variables).join(" and ");
        say(&format!(
            "write {names} as NAME=\"VALUE\" to {file}, which only you can read (umask 077)"
        ));
    }
    let flat = flat(run)?;
    let kernel = flat.as_ref().map_or(&run.program, |flat| &flat.file);
    // A description is no script, so the command that writes the flat form is printed beside it.
    let is_described = match run.dry_run {
        Some(Launcher::Libvirt) => true,
        Some(Launcher::Command) => run.vmm != Vmm::Qemu,
        None => false,
    };
    let say_command = || {
        if let Some(flat) = flat.as_ref().filter(|_| is_described) {
            let command = flat.shown(&run.program);
            say(&format!("write the kernel of this machine: {command}"));
        }
    };
    if run.vmm != Vmm::Qemu {
        return vmm::run(run, kernel, default_net, &line, origin).inspect(|_| say_command());
    }
    if run.dry_run == Some(Launcher::Libvirt) {
        let settings = hidden.map(|_| Path::new(secrets::SHOWN_FILE));
        let domain = libvirt::domain(run, kernel, default_net, kvm, &line, settings)?;
        say_command();
        print(&domain)?;
        return Ok(0);
    }
    let wiring = Wiring {
        kernel: flat.as_ref().map(|flat| &*flat.file),
        kvm,
        port,
        default_net,
        ..Wiring::default()
    };
    if run.dry_run.is_some() {
        let wiring = Wiring {
            settings: hidden.map(|_| Path::new(secrets::SHOWN_FILE)),
            ..wiring
        };
        let first = flat.as_ref().map(|flat| flat.shown(&run.program) + "\n");
        show(run, &wiring, &line, &first.unwrap_or_default())?;
        return Ok(0);
    }
    start(run, wiring, &line, hidden, origin)
}

/// Prints the command, after others.
fn show(run: &Run, wiring: &Wiring<'_>, line: &str, first: &str) -> Result<(), Failure> {
    let arguments = command::arguments(run, wiring, line);
    let passt = match command::nets(run, wiring.default_net).contains(&Net::Passt) {
        true => passt::shown(&run.forwards),
        false => String::new(),
    };
    let shown = shell::shown(run.qemu_path().as_os_str(), &arguments);
    print(&format!("{first}{passt}{shown}\n"))
}

/// Whether the machine uses KVM.
fn takes_kvm(run: &Run) -> Result<bool, Failure> {
    match run.accel {
        Accelerator::Tcg => Ok(false),
        Accelerator::Kvm if run.dry_run.is_some() || kvm_works(run) => Ok(true),
        Accelerator::Kvm => {
            let reason = "--accel kvm: KVM starts no machine here";
            Err(Failure::new(reason)
                .remedy("leave out --accel kvm ('soil doctor' says what /dev/kvm lacks)"))
        }
        Accelerator::Auto => Ok(match run.dry_run {
            Some(Launcher::Command) => false,
            // A domain is for hosts of machines.
            Some(Launcher::Libvirt) => true,
            None => kvm_works(run),
        }),
    }
}

/// Starts QEMU, and the other end of its network.
fn start(
    run: &Run,
    wiring: Wiring<'_>,
    line: &str,
    hidden: Option<String>,
    origin: serial::Origin,
) -> Result<u8, Failure> {
    let passt = match command::nets(run, wiring.default_net).contains(&Net::Passt) {
        true => Some(passt::Listening::start(&run.forwards)?),
        false => None,
    };
    let socket = passt.as_ref().map(passt::Listening::connect).transpose()?;
    let wiring = Wiring {
        passt: socket.as_ref().map(OwnedFd::as_raw_fd),
        ..wiring
    };
    qemu::run(run, wiring, line, hidden, origin, socket)
}

/// The flat form of an image, which QEMU boots on the machine `virt`, and other VMMs on theirs.
struct Flat {
    file: PathBuf,
    /// The folder of the file, removed at the end of the run. `--dry-run` writes none.
    _folder: Option<scratch::Folder>,
}

impl Flat {
    /// The command that writes it, for `--dry-run`, which doesn't.
    fn shown(&self, program: &Path) -> String {
        let [image, file] = [program, &self.file].map(|path| shell::quoted(path.as_os_str()));
        format!("soil strip --flat {image} {file}")
    }
}

/// Writes the flat form of an image for aarch64; `None` for x86-64, whose ELF files QEMU boots.
fn flat(run: &Run) -> Result<Option<Flat>, Failure> {
    if run.machine().arch() == Arch::X86_64 {
        return Ok(None);
    }
    if run.dry_run.is_some() {
        let file = run.program.with_extension("flat");
        return Ok(Some(Flat {
            file,
            _folder: None,
        }));
    }
    let folder = scratch::Folder::new().on("a folder for the machine's files")?;
    let file = folder.path().join("image");
    std::fs::write(&file, flat::read(&run.program)?).on(&file)?;
    Ok(Some(Flat {
        file,
        _folder: Some(folder),
    }))
}

fn kvm_works(run: &Run) -> bool {
    let machine = run.machine();
    machine.arch().is_host() && kvm::works(&run.qemu_path(), machine, command::cpu(run, true))
}

/// The kernel's command line.
struct Line {
    /// What QEMU's own command line has of it.
    shown: String,
    /// The rest, for a file.
    hidden: Option<String>,
}

/// Returns the kernel's command line.
fn line(run: &Run, origin: Option<serial::Origin>, port: bool) -> Result<Line, Failure> {
    let mut variables = command::variables(run);
    for (name, value) in &mut variables {
        if name == "TZ" {
            *value = zone::value(value);
        }
    }
    if run.pcap.is_some() {
        // The machine writes to its second serial port, which QEMU copies to the file.
        variables.push(("SOIL_PCAP".into(), "serial".into()));
    }
    if run.vmm == Vmm::Firecracker && !run.disks.is_empty() {
        // Its disks' serial numbers are those of their files.
        let names: Vec<&str> = run.disks.iter().map(|disk| disk.name.as_str()).collect();
        variables.push(("SOIL_DISKS".into(), names.join(",").into()));
    }
    // The word for the serial line comes first.
    let words: Vec<&str> = origin
        .map(serial::Origin::word)
        .into_iter()
        .chain(port.then_some(BY_PORT))
        .chain(says(run, ON_DISPLAY).then_some(ON_DISPLAY))
        .collect();
    variables.retain(|(name, _)| name != CONSOLE);
    if !words.is_empty() {
        variables.push((CONSOLE.into(), words.join(",").into()));
    }
    if let Some(name) = run.program.file_name() {
        variables.insert(0, ("SOIL_ARGV0".into(), name.to_owned()));
    }
    // Other users see QEMU's command line. Firecracker has the kernel's in a private file.
    let names = match run.vmm {
        Vmm::Qemu => secrets::names(&run.variables),
        Vmm::Firecracker | Vmm::CloudHypervisor => Vec::new(),
    };
    let is_hidden = |(name, _): &(String, OsString)| names.contains(&name.as_str());
    let (hidden, mut shown): (Vec<_>, Vec<_>) = variables.into_iter().partition(is_hidden);
    if !hidden.is_empty() {
        shown.push((command::SETTINGS_VARIABLE.into(), command::SETTINGS.into()));
    }
    let hidden = (!hidden.is_empty()).then(|| encoded(hidden, &[]));
    Ok(Line {
        shown: encoded(shown, &run.arguments)?,
        hidden: hidden.transpose()?,
    })
}

/// The words of a command line.
fn encoded(variables: Vec<(String, OsString)>, arguments: &[OsString]) -> Result<String, Failure> {
    let variables: Vec<OsString> = variables
        .into_iter()
        .map(|(name, value)| [name.as_ref(), value.as_os_str()].join(OsStr::new("=")))
        .collect();
    words::encode(
        variables.iter().map(|word| word.as_bytes()),
        arguments.iter().map(|word| word.as_bytes()),
    )
    .map_err(|length| {
        Failure::new(format!(
            "arguments and environment take {length} bytes and a machine's command line holds {}",
            words::LIMIT
        ))
        .remedy("pass long data on a disk")
    })
}
