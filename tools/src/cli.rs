//! The command line of `soil`.

pub mod image;
mod machine;
pub mod simulate;

pub use machine::{Controller, Firmware, Machine, OnFailure};

use crate::arch::Arch;
use crate::options::{
    self, Cidr, DiskSize, DisplaySize, Forward, Memory, Mount, Net, Processors, Values, Variable,
};
use crate::program::Form;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use configuration::is_slip;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// OCaml programs as Linux processes and as bootable machines.
#[derive(Debug, Parser)]
#[command(name = "soil", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// The subcommand to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Parses this process's arguments; for wrong ones ends it, with a message.
pub fn parse() -> Cli {
    let command = Cli::command().after_help(documents(installed_documents().as_deref()));
    let matches = command.try_get_matches();
    matches
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .unwrap_or_else(|error| {
            let words = std::env::args().skip(1);
            corrected(error, words).exit()
        })
}

/// The folder of the documents, where it is installed.
fn installed_documents() -> Option<PathBuf> {
    let program = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .ok()?;
    let prefix = program.parent()?.parent()?;
    // `make install`, opam, and a build.
    let below = ["share/doc/soil", "doc/soil"];
    let mut found = below.map(|below| prefix.join(below)).into_iter();
    found.find(|folder| folder.join("docs/README.md").is_file())
}

/// The end of the help: where the documents are.
fn documents(folder: Option<&Path>) -> String {
    let folder = match folder {
        Some(folder) => format!("{}: begin with docs/README.md", folder.display()),
        None => "docs/ in Soil's repository".to_owned(),
    };
    format!(
        "Manual pages (after 'make install'): man soil-run; man soil-environment, the SOIL_* \
        variables.\nDocuments: {folder}."
    )
}

/// Adds what was probably meant to an error. clap's measure finds nothing for short words, such as
/// `rnu`.
fn corrected(mut error: clap::Error, words: impl Iterator<Item = String>) -> clap::Error {
    // A wrong value names its option, too.
    let kinds = [
        (ContextKind::InvalidValue, ContextKind::SuggestedValue),
        (
            ContextKind::InvalidSubcommand,
            ContextKind::SuggestedSubcommand,
        ),
        (ContextKind::InvalidArg, ContextKind::SuggestedArg),
    ];
    for (invalid, suggested) in kinds {
        let Some(ContextValue::String(typed)) = error.get(invalid) else {
            continue;
        };
        if error.get(suggested).is_some() {
            continue;
        }
        let candidates = match (invalid, error.get(ContextKind::ValidValue)) {
            (ContextKind::InvalidValue, Some(ContextValue::Strings(values))) => values.clone(),
            (ContextKind::InvalidValue, _) => continue,
            (ContextKind::InvalidSubcommand, _) => subcommand_of(words).1,
            _ => subcommand_of(words).0,
        };
        let found = candidates.into_iter().find(|it| is_slip(typed, it));
        if let Some(found) = found {
            let found = match suggested {
                ContextKind::SuggestedSubcommand => ContextValue::Strings(vec![found]),
                _ => ContextValue::String(found),
            };
            error.insert(suggested, found);
        }
        break;
    }
    error
}

/// The options and the subcommands of the command that the words lead to.
fn subcommand_of(words: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let mut command = Cli::command();
    for word in words {
        match command.find_subcommand(&word).cloned() {
            Some(found) => command = found,
            None => break,
        }
    }
    let options = command.get_arguments().filter_map(|each| each.get_long());
    let commands = command
        .get_subcommands()
        .map(|each| each.get_name().to_owned());
    (
        options.map(|name| format!("--{name}")).collect(),
        commands.collect(),
    )
}

/// The name of an option's value on the command line.
pub fn value_name(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program, as the machine (_build/soil/…/main.exe) or as the process
    /// (_build/default/…/main.exe).
    Run(Box<Run>),
    /// Write a new project in the folder NAME.
    New {
        /// The project's name; also its folder, which is new or empty.
        name: String,
        /// The program that it begins with.
        #[arg(long, value_enum, default_value_t = Template::Tcp)]
        template: Template,
    },
    /// Build everything in the workspace, as processes and as images, and list the programs.
    Build {
        /// Build with dune's release profile.
        #[arg(long)]
        release: bool,
        /// Print the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run the workspace's tests, each as a process and as an image.
    #[command(after_help = TEST_HELP)]
    Test(Testing),
    /// Run a test of a distributed system with many seeds, in virtual time and with faults, and
    /// shrink its failures.
    #[command(after_help = simulate::HELP)]
    Simulate(Box<simulate::Simulate>),
    /// Add the `soil` context to the dune workspace here; nothing else in it is changed.
    Init {
        /// The processor that images are for; another one than this machine's has a context of its
        /// own.
        #[arg(long, value_enum, default_value_t = Arch::HOST, hide_default_value = true)]
        arch: Arch,
    },
    /// List the programs that this machine lacks, and the command that installs them.
    Doctor(Doctor),
    /// Print what a program needs of its machine (`Soil.Needs`).
    Needs(ShowNeeds),
    /// Name the functions of addresses in a program, or of a crash report read from standard input.
    Symbolize {
        /// The unstripped program.
        program: PathBuf,
        /// Addresses such as 0x101a2f; none: a crash report is read from standard input.
        addresses: Vec<String>,
    },
    /// Make a disk that boots a program by BIOS and by UEFI, or change one, or make a container
    /// image; needs no root.
    #[command(after_help = image::HELP)]
    Image(Box<image::MakeImage>),
    /// Make, list, extract, check and grow disk images; needs no root.
    #[command(subcommand)]
    Disk(Disk),
    /// Write the files of a directory as an OCaml module that makes them part of the program, to
    /// standard output.
    #[command(after_help = EMBED_HELP)]
    Embed {
        /// The directory.
        directory: PathBuf,
        /// Mount point in the program (default: / and the directory's name).
        #[arg(long, value_name = "/PATH", value_parser = mount_point)]
        at: Option<String>,
    },
    /// Write a copy of an image without symbols and debug information, for deployment.
    Strip {
        /// Write what loaders of Linux's Image on arm64 take (QEMU's -kernel), from an image for
        /// aarch64.
        #[arg(long)]
        flat: bool,
        /// The image as dune built it.
        image: PathBuf,
        /// The stripped copy.
        output: PathBuf,
    },
    /// Print the script by which a shell completes commands of soil ('make install' installs them).
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual's pages, one for each command and one for the variables ('make install'
    /// installs them).
    Man {
        /// The directory whose folders man1 and man7 they are written to.
        directory: PathBuf,
    },
}

/// `soil needs`.
#[derive(Args, Debug)]
pub struct ShowNeeds {
    /// The program: an image or a Linux executable. It is started without devices to be asked.
    pub program: PathBuf,
    /// The program's arguments, if its needs depend on them.
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Set an environment variable for the program; NAME alone passes its present value on.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub variables: Vec<Variable>,
    /// The QEMU to run.
    #[command(flatten)]
    pub qemu: Qemu,
}

/// The option for QEMU of the commands that start machines.
#[derive(Args, Clone, Debug)]
pub struct Qemu {
    /// The QEMU to run (default: qemu-system-x86_64, or that of the image's architecture).
    #[arg(long = "qemu", value_name = "PATH", env = "SOIL_QEMU")]
    pub given: Option<PathBuf>,
}

impl Qemu {
    /// The QEMU for images of an architecture.
    pub fn path(&self, arch: Arch) -> PathBuf {
        let usual = || arch.qemu().into();
        self.given.clone().unwrap_or_else(usual)
    }
}

/// The projects that `soil new` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A server of a protocol on TCP.
    Tcp,
    /// An HTTP server (needs the library cohttp).
    Http,
    /// A key-value store on a disk.
    Kv,
    /// A command-line tool.
    Cli,
    /// A server with a disk, and a test of it in virtual time (needs e2fsprogs).
    Simulation,
}

const TEST_HELP: &str = "\
A test is a (test) or (tests) stanza of a dune file, or a rule of the alias runtest that runs a
program of the workspace with words or files as arguments. It passes if its program ends with status
0, and prints what NAME.expected has, or the file of a (diff). Both forms run in the folder where
dune built them, by 'soil run' with --net none (the loopback is there). Cram tests and other actions
are run by dune, as processes only. A file NAME.run beside the dune file of the test NAME has
further options of 'soil run', and the program's arguments behind --:

# storage.run
--disk data=data.img --mem 128M
-- --verbose

Disks that are written to are copied for each run. A test whose program isn't built in one form is
skipped there.";

/// `soil test`.
#[derive(Args, Debug)]
pub struct Testing {
    /// Only tests whose folder and name contain one of these words.
    pub words: Vec<String>,
    /// Only this form of them.
    #[arg(long, value_enum)]
    pub form: Option<Form>,
    /// Build with dune's release profile.
    #[arg(long)]
    pub release: bool,
    /// Tests side by side (default: the number of processors).
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// End a test after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub timeout: std::time::Duration,
    /// Print the results as JSON.
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Build and run the tests again when the workspace's sources change, until Ctrl-C. Other
    /// builds and tests may run meanwhile.
    #[arg(long)]
    pub watch: bool,
}

/// `soil doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Install the packages, as root on Debian; never removes one.
    #[arg(long)]
    pub fix: bool,
    /// Print the findings as JSON.
    #[arg(long, conflicts_with = "fix")]
    pub json: bool,
    /// Check what images for this processor need.
    #[arg(long, value_enum, default_value_t = Arch::HOST, hide_default_value = true)]
    pub arch: Arch,
    /// With --fix and --arch of another processor: Debian's packages of libraries for it, of OCaml
    /// (libzarith-ocaml-dev) or C (libgmp-dev).
    #[arg(value_name = "PACKAGE", requires_all = ["fix", "arch"])]
    pub packages: Vec<String>,
}

/// Shells that can complete commands of `soil`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash, with the package bash-completion.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

/// `soil disk`.
#[derive(Debug, Subcommand)]
pub enum Disk {
    /// Make an image, empty or with the files of a directory.
    Make(MakeDisk),
    /// List the files of an image: FAT, ext4 or a tar archive; or its partitions.
    List {
        /// The image.
        image: PathBuf,
        /// Where to start.
        #[arg(default_value = "/")]
        path: String,
        /// A partition's number or label; not needed when there is one.
        #[arg(long, value_name = "NAME")]
        partition: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy the files of an image into a new or empty directory.
    Extract {
        /// The image.
        image: PathBuf,
        /// The directory.
        directory: PathBuf,
        /// Where to start.
        #[arg(default_value = "/")]
        path: String,
        /// A partition's number or label; not needed when there is one.
        #[arg(long, value_name = "NAME")]
        partition: Option<String>,
    },
    /// Check the file system of an image, without changing it.
    Check {
        /// The image.
        image: PathBuf,
        /// A partition's number or label; not needed when there is one.
        #[arg(long, value_name = "NAME")]
        partition: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Enlarge an image and its file system (the last partition, if it has any).
    Grow {
        /// The image.
        image: PathBuf,
        /// Its new size.
        #[arg(long)]
        size: DiskSize,
        /// A partition's number or label; not needed when there is one.
        #[arg(long, value_name = "NAME")]
        partition: Option<String>,
    },
}

/// `soil disk make`.
#[derive(Args, Debug)]
pub struct MakeDisk {
    /// The image.
    pub image: PathBuf,
    /// The directory whose files it gets; without one it is empty.
    pub directory: Option<PathBuf>,
    /// The image's size, such as 64M or 1G; unused space takes no room on the host.
    #[arg(long)]
    pub size: DiskSize,
    /// The file system.
    #[arg(long, value_enum)]
    pub fs: FileSystem,
    /// The label of the file system and of the partition.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub label: String,
    /// Make a partition table with one partition.
    #[arg(long, value_enum)]
    pub partition: Option<PartitionTable>,
    /// Replace an existing image.
    #[arg(long)]
    pub force: bool,
}

/// File systems that `soil disk` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileSystem {
    /// FAT12, 16 or 32, by size; every system can read it.
    Fat,
    /// ext4 with its journal.
    Ext4,
}

/// Partition tables that `soil disk` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PartitionTable {
    /// A GUID partition table.
    Gpt,
}

const EMBED_HELP: &str = "\
In a dune file, as a library of its own (no other module names it, so -linkall keeps it):

(library
 (name site)
 (library_flags (-linkall))
 (libraries soil))

(rule
 (deps (source_tree www))
 (action (with-stdout-to site.ml (run soil embed www --at /www))))

A program with site among its (libraries …) has the files below /www.

Symbolic links are followed; a file with several names is there once. Compiling takes about a second
for each MiB.";

/// `soil run`; the exit status is in its help.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Exit status: the program's own (all 8 bits); 124 after --timeout; 125 when \
the program could not be started; 126 when the machine ended without a status; 127 when the file \
does not exist; 128 and the signal's number when a signal ended a process (139: a \
segmentation fault) or soil run (143: SIGTERM, 130: Ctrl-C); 134 when an image crashed. Of an image that ends with 0 but whose output could not be written: 74, or 141 \
when its reader had closed the pipe. Of a program that ends with 0 without a picture for --screenshot: \
74."
)]
pub struct Run {
    /// The program: an image or a Linux executable.
    pub program: PathBuf,
    /// The program's arguments.
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
    /// Memory of the machine (an image; a process has what Linux gives it). Default: 64M, or the
    /// program's declared need.
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<Memory>,
    /// Processors of the machine, 1 to 64 (an image; a process has those of this machine).
    /// Default 1; a program uses more only if it starts domains.
    #[arg(long, value_name = "NUMBER", default_value_t)]
    pub cpus: Processors,
    /// Hypervisor (VMM) to run. Firecracker and Cloud Hypervisor need KVM, and TAP devices for a
    /// network.
    #[arg(long, value_enum, default_value_t = Vmm::Qemu)]
    pub vmm: Vmm,
    /// The kind of machine QEMU makes (default: microvm; virt for an image for aarch64).
    #[arg(long = "machine", value_enum, value_name = "MACHINE")]
    pub given_machine: Option<Machine>,
    /// Boot a disk by this firmware: PROGRAM is its file, of soil image or another. The disk has
    /// the settings; --disk adds others. The machine is a q35 (virt for arm64) with 256M unless
    /// options say otherwise, and starts again when it is reset.
    #[arg(
        long,
        value_enum,
        conflicts_with_all = [
            "arguments", "variables", "on_failure", "mounts", "ips", "dns", "log", "pcap",
            "profile", "trace", "ignore_needs", "watch", "vmm"
        ]
    )]
    pub firmware: Option<Firmware>,
    /// The controller of the disk that --firmware boots.
    #[arg(long, value_enum, default_value_t = Controller::VirtioBlk, requires = "firmware")]
    pub controller: Controller,
    /// Boot with Secure Boot and the keys in this file, of which the machine gets a copy: variables
    /// of OVMF, such as /usr/share/OVMF/OVMF_VARS_4M.ms.fd (arm64: /usr/share/AAVMF/AAVMF_VARS.ms.fd),
    /// or those that virt-fw-vars makes.
    #[arg(long, value_name = "FILE", requires = "firmware")]
    pub secure_boot: Option<PathBuf>,
    /// QEMU's processor model.
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// Give the program a disk: a file or a block device. sector=: bytes of a sector, 512 or 4096;
    /// ro: read-only.
    #[arg(long = "disk", value_name = "NAME=FILE[,sector=BYTES][,ro]")]
    pub disks: Vec<options::Disk>,
    /// Mount at /PATH: TYPE:DISK with fat, ext4 or tar (without TYPE: detected), where DISK may end
    /// in /NUMBER, /LABEL or /PARTUUID=GUID for a partition; host:FOLDER (process form);
    /// memory:SIZE. With ,ro at the end: read-only; with ,grow: ext4 grows to its disk's size. A
    /// disk without a mount point appears at /DISK. In the process form only Soil.Fs sees these
    /// volumes: Unix and C libraries such as SQLite use the host's files.
    #[arg(long = "mount", value_name = "/PATH=[TYPE:]SOURCE[,ro|,grow]")]
    pub mounts: Vec<Mount>,
    /// The network: user, tap=DEVICE, passt, host (process form: the sockets of this machine) or
    /// none; repeat for several interfaces. Default: for an image, user if the program
    /// uses the network (a stripped one doesn't show whether it does); for a process host, or user
    /// with --ip, --forward, --mac or --pcap.
    #[arg(long = "net", value_name = "NET")]
    pub nets: Vec<Net>,
    /// The interface's addresses, separated by commas; dhcp (the default): ask DHCP. The
    /// second --ip belongs to the second --net, and so on.
    #[arg(long = "ip", value_name = "ADDRESS/PREFIX|dhcp")]
    pub ips: Vec<Values<Cidr>>,
    /// The interface's default routes, one for IPv4 and one for IPv6.
    #[arg(long = "gateway", value_name = "ADDRESS", requires = "ips")]
    pub gateways: Vec<Values<IpAddr>>,
    /// A name server (repeat for several); the port is 53 unless one is given, for IPv6 as in
    /// [::1]:5353.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = name_server)]
    pub dns: Vec<String>,
    /// The network device's hardware address; the second belongs to the second --net.
    #[arg(long = "mac", value_name = "MAC", value_parser = mac)]
    pub macs: Vec<String>,
    /// Forward a port of this host to a port of the program. With user all clients have one
    /// address in an image, 10.0.2.2; passt keeps theirs.
    #[arg(long = "forward", value_name = "[ADDRESS:]PORT:PORT[/udp]")]
    pub forwards: Vec<Forward>,
    /// Give the machine sockets to its host (Soil.Vsock): by the host's kernel, with a CID from 3
    /// on; or by a socket, whose path has a '/': QEMU connects to the vhost-user device there,
    /// Firecracker and Cloud Hypervisor make it.
    #[arg(long, value_name = "CID|SOCKET")]
    pub vsock: Option<options::Vsock>,
    /// Record the frames of all interfaces in this file (pcapng), for Wireshark and tcpdump.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Give the program a display, a keyboard and a pointer: in a window; on a VNC server of
    /// 127.0.0.1, which every user of this host can watch and use; none: shown nowhere.
    /// Default: none, or a window if the program declares the need of a display.
    #[arg(long, value_name = "window|vnc=:N|none")]
    pub display: Option<options::Display>,
    /// Size of the display (1280x800 without this option); several sizes with commas between them
    /// are several displays.
    #[arg(
        long = "display-size",
        value_name = "WIDTHxHEIGHT",
        value_delimiter = ','
    )]
    pub display_sizes: Vec<DisplaySize>,
    /// When the program ends, write what the first display shows to this file (PNG). Implies
    /// --display none.
    #[arg(long, value_name = "FILE.png", value_parser = |text: &str| written_as("png", text))]
    pub screenshot: Option<PathBuf>,
    /// Set an environment variable for the program; NAME alone passes its present value on.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub variables: Vec<Variable>,
    /// When the program crashes, or ends with another status than 0: end the machine (without this
    /// option), start it again, after a pause that doubles up to five minutes, or halt it. Sets
    /// SOIL_ON_FAILURE (an image).
    #[arg(long, value_enum, value_name = "ACTION")]
    pub on_failure: Option<OnFailure>,
    /// Level of the log.
    #[arg(long, value_enum)]
    pub log: Option<Log>,
    /// Sample what the program spends its time on, as a flame graph in this file (SVG).
    #[arg(
        long,
        value_name = "OUT.svg",
        conflicts_with = "gdb",
        value_parser = |text: &str| written_as("svg", text)
    )]
    pub profile: Option<PathBuf>,
    /// Record what the program's tasks do: as a page that draws it (OUT.html), or for Perfetto (JSON).
    #[arg(long, value_name = "OUT.html|OUT.json", conflicts_with_all = ["gdb", "profile"])]
    pub trace: Option<PathBuf>,
    /// Stop before the first instruction and wait for gdb on port 1234 (of 127.0.0.1). Every user
    /// of this host can connect to it, and read and write the machine's memory.
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1234"
    )]
    pub gdb: Option<u16>,
    /// End the program after this many seconds, with exit status 124.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<std::time::Duration>,
    /// Accelerator of the machine; auto uses kvm only if a probe boots.
    #[arg(long, value_enum, default_value_t = Accelerator::Auto)]
    pub accel: Accelerator,
    /// Run the program without asking what it needs (`soil needs`), unchecked and without defaults
    /// for that.
    #[arg(long)]
    pub ignore_needs: bool,
    /// Build the program again when its sources change (with dune), and start it again when it
    /// changes; until Ctrl-C.
    #[arg(long, conflicts_with = "dry_run")]
    pub watch: bool,
    /// Print the command instead of running it, for another launcher (of Firecracker the file for
    /// its --config-file); libvirt: print a domain for virsh and virt-manager (an image; machine
    /// q35, KVM unless --accel tcg).
    #[arg(
        long,
        value_enum,
        value_name = "LAUNCHER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "command"
    )]
    pub dry_run: Option<Launcher>,
    /// Lines that are said when the program has started.
    #[arg(skip)]
    pub notes: Vec<String>,
    /// The QEMU to run.
    #[command(flatten)]
    pub qemu: Qemu,
    /// A further argument for QEMU (repeat for several).
    #[arg(long = "qemu-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub qemu_arguments: Vec<OsString>,
    /// Further properties for virtio devices, such as net:csum=off or blk:packed=off.
    #[arg(
        long = "device-option",
        value_name = "net|blk|rng|gpu:PROPERTY=VALUE",
        value_parser = device_option
    )]
    pub device_options: Vec<DeviceOption>,
}

impl Run {
    /// The kind of machine QEMU makes.
    pub fn machine(&self) -> Machine {
        self.given_machine.unwrap_or(Machine::of(Arch::HOST))
    }

    /// The QEMU that makes it.
    pub fn qemu_path(&self) -> PathBuf {
        self.qemu.path(self.machine().arch())
    }

    /// The output of the program's displays, if it has any.
    pub fn shown_by(&self) -> Option<options::Display> {
        let implied = self.screenshot.is_some().then_some(options::Display::None);
        self.display.or(implied)
    }

    /// The sizes of its displays.
    pub fn sizes(&self) -> Vec<DisplaySize> {
        match (self.shown_by(), self.display_sizes.as_slice()) {
            (None, _) => Vec::new(),
            (Some(_), []) => vec![DisplaySize::default()],
            (Some(_), sizes) => sizes.to_vec(),
        }
    }
}

/// A property for every virtio device of one kind.
#[derive(Clone, Debug)]
pub struct DeviceOption {
    /// net, blk, rng or gpu.
    pub device: String,
    /// QEMU's PROPERTY=VALUE.
    pub property: String,
}

/// The virtual machine monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Vmm {
    /// QEMU, with all options.
    Qemu,
    /// Firecracker.
    Firecracker,
    /// Cloud Hypervisor.
    CloudHypervisor,
}

/// The launchers that `--dry-run` writes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Launcher {
    /// A shell: the command line; of Firecracker its configuration file.
    Command,
    /// libvirt: a domain in XML.
    Libvirt,
}

/// QEMU's accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// KVM if a probe boots under it, otherwise TCG.
    Auto,
    /// KVM, or an error.
    Kvm,
    /// QEMU's translation of instructions (TCG).
    Tcg,
}

/// Levels of logging.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Log {
    /// Errors only.
    Error,
    /// Errors and warnings.
    Warn,
    /// Also informational messages.
    Info,
    /// Also debug messages.
    Debug,
}

fn mount_point(text: &str) -> Result<String, String> {
    let mut names = text.split('/').skip(1);
    let plain = text == "/" || names.all(|name| !matches!(name, "" | "." | ".."));
    if text.starts_with('/') && plain {
        Ok(text.to_owned())
    } else {
        Err("expected a path such as /www".into())
    }
}

fn name_server(text: &str) -> Result<String, String> {
    let has_port = text
        .parse::<SocketAddr>()
        .is_ok_and(|server| server.port() != 0);
    match has_port || text.parse::<IpAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => {
            Err("expected an address such as 10.0.0.1, 10.0.0.1:5353 or [fd00::1]:5353".into())
        }
    }
}

fn mac(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(hex) {
        return Err("expected six bytes such as 52:54:00:12:34:56".into());
    }
    let multicast =
        u8::from_str_radix(parts.first().copied().unwrap_or("1"), 16).is_ok_and(|b| b & 1 == 1);
    if multicast {
        Err("this is a multicast address".into())
    } else {
        Ok(text.to_owned())
    }
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let parsed = text.parse().ok().filter(|seconds| *seconds > 0.0);
    parsed
        .and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected seconds, such as 10 or 0.5".into())
}

/// A file that is written as `format`: refuses a name that promises another one.
fn written_as(format: &str, text: &str) -> Result<PathBuf, String> {
    const FORMATS: [&str; 11] = [
        "bmp", "gif", "html", "jpeg", "jpg", "json", "pdf", "png", "ppm", "svg", "webp",
    ];
    let path = PathBuf::from(text);
    let suffix = path
        .extension()
        .map(|suffix| suffix.to_string_lossy().to_ascii_lowercase());
    match suffix.filter(|suffix| suffix != format && FORMATS.contains(&&**suffix)) {
        Some(_) => {
            let other = path.with_extension(format);
            Err(format!(
                "it is written as {}: name it {}",
                format.to_uppercase(),
                other.display()
            ))
        }
        None => Ok(path),
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    let parsed = text.parse().ok().filter(|number| *number > 0);
    parsed.ok_or_else(|| "expected a number from 1 on".into())
}

fn device_option(text: &str) -> Result<DeviceOption, String> {
    let parsed = text.split_once(':').filter(|(device, property)| {
        ["net", "blk", "rng", "gpu"].contains(device) && property.contains('=')
    });
    match parsed {
        Some((device, property)) => Ok(DeviceOption {
            device: device.to_owned(),
            property: property.to_owned(),
        }),
        None => {
            Err("expected net:PROPERTY=VALUE, blk:…, rng:… or gpu:… (such as net:csum=off)".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command};
    use clap::{CommandFactory as _, Parser as _};

    fn run(words: &[&str]) -> Result<super::Run, clap::Error> {
        match Cli::try_parse_from([&["soil", "run"], words].concat())?.command {
            Command::Run(run) => Ok(*run),
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_the_dashes_are_the_programs() {
        let run = run(&[
            "main.exe", "--disk", "a=b", "--gdb", "--", "--mem", "x y", "--",
        ])
        .expect("valid");
        assert_eq!(run.arguments, ["--mem", "x y", "--"]);
        assert_eq!((run.disks.len(), run.gdb, run.mem), (1, Some(1234), None));
    }

    #[test]
    fn the_help_says_where_the_documents_are() {
        let text = super::documents(Some("/usr/share/doc/soil".as_ref()));
        assert!(
            text.contains("Documents: /usr/share/doc/soil: begin"),
            "{text}"
        );
        assert!(text.contains("man soil-environment"), "{text}");
        assert!(super::documents(None).contains("repository"));
    }

    #[test]
    fn a_slip_of_the_keyboard_has_a_suggestion() {
        for (words, meant) in [
            (&["rnu"][..], "'run'"),
            (&["dsik"], "'disk'"),
            (&["ned"], "'new'"),
            (&["disk", "lsit"], "'list'"),
            (&["run", "a.exe", "--nte", "user"], "'--net'"),
            (&["run", "a.exe", "--pu", "1"], "'--cpus'"),
            (&["run", "a.exe", "--vmm", "qmeu"], "'qemu'"),
            (&["run", "a.exe", "--timeuot", "3"], "'--timeout'"),
            (&["new", "a", "--template", "tpc"], "'tcp'"),
        ] {
            let error = Cli::try_parse_from([&["soil"], words].concat()).expect_err("wrong");
            let words = words.iter().map(|word| (*word).to_owned());
            let text = super::corrected(error, words).to_string();
            let tips: Vec<_> = text.lines().filter(|line| line.contains("tip: ")).collect();
            assert!(tips.iter().any(|tip| tip.contains(meant)), "{text}");
        }
        let error = Cli::try_parse_from(["soil", "xyz"]).expect_err("wrong");
        let text = super::corrected(error, ["xyz".to_owned()].into_iter()).to_string();
        assert!(!text.contains("tip: "), "{text}");
    }

    #[test]
    fn embedded_files_have_an_absolute_path() {
        let at = |at: &str| Cli::try_parse_from(["soil", "embed", "www", "--at", at]).is_ok();
        assert!(at("/") && at("/www") && at("/a/b"));
        assert!(!at("www") && !at("/a/../b") && !at("/a//b") && !at("/a/"));
    }

    #[test]
    fn unknown_options_and_bad_values_name_themselves() {
        for (words, named) in [
            (["main.exe", "--memory", "1G"], "--memory"),
            (["main.exe", "--mem", "1T"], "--mem"),
            (["main.exe", "--timeout", "-1"], "-1"),
            (["main.exe", "--mac", "01:00:00:00:00:00"], "--mac"),
            (["main.exe", "--forward", "80"], "--forward"),
            (
                ["main.exe", "--screenshot", "a.jpg"],
                "written as PNG: name it a.png",
            ),
            (
                ["main.exe", "--profile", "a.json"],
                "written as SVG: name it a.svg",
            ),
        ] {
            let error = run(&words).expect_err("invalid").to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
