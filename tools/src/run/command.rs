//! Builds QEMU's command line for a program as a pure function of the options, which `--dry-run`
//! prints and the tests check.

use super::passt;
use crate::cli::{Controller, Machine, OnFailure, Run, value_name};
use crate::disk::format::Format;
use crate::options::{Disk, Display, DisplaySize, Net, Values, Vsock, given};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Decisions of `soil run` beyond the options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wiring<'a> {
    /// The file to boot, if it isn't the program's.
    pub kernel: Option<&'a Path>,
    /// KVM instead of TCG.
    pub kvm: bool,
    /// Output by a port of a virtio console, beside the serial line.
    pub port: bool,
    /// The program uses the network and no option says otherwise.
    pub default_net: bool,
    /// Sockets that QEMU inherits; `None` for `--dry-run`, which names a file instead.
    pub sockets: Option<Sockets>,
    /// The socket to passt.
    pub passt: Option<RawFd>,
    /// The file with the variables that the command line doesn't show.
    pub settings: Option<&'a Path>,
    /// The options for firmware that boots the first disk, in place of a program.
    pub boot: &'a [OsString],
}

/// The file of QEMU's device for firmware with them, and the variable that names it to the image.
pub const SETTINGS: &str = "opt/org.soil/settings";
pub const SETTINGS_VARIABLE: &str = "SOIL_FW_CFG";

/// QEMU's ends of the sockets to `soil run`.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    /// Exit status and crash report (isa-debugcon).
    pub control: RawFd,
    /// QMP.
    pub monitor: RawFd,
    /// The pipe of the console's output, which `virt` has a second port for.
    pub output: RawFd,
    /// The gdb server, for `--profile` and `--trace`.
    pub observer: Option<RawFd>,
}

/// The network interfaces according to the options.
pub fn nets(run: &Run, default_net: bool) -> Vec<Net> {
    let wanted = default_net || !run.ips.is_empty() || !run.forwards.is_empty();
    match run.nets.as_slice() {
        [] if wanted => vec![Net::User],
        nets => nets
            .iter()
            .filter(|net| **net != Net::None)
            .cloned()
            .collect(),
    }
}

/// The program's configuration as `NAME=value`, the same for both forms.
pub fn variables(run: &Run) -> Vec<(String, OsString)> {
    let lists = [
        ("SOIL_IP", join(&run.ips, ";")),
        ("SOIL_GATEWAY", join(&run.gateways, ";")),
        ("SOIL_DNS", join(&run.dns, ",")),
        ("SOIL_MOUNT", join(&run.mounts, ";")),
        ("SOIL_LOG", run.log.as_ref().map(value_name)),
    ];
    let mut all: Vec<(String, OsString)> = lists
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), value?.into())))
        .collect();
    let sets = |name: &str| run.variables.iter().any(|variable| variable.name == name);
    if run.ignore_needs && !sets("SOIL_NEEDS") {
        all.push(("SOIL_NEEDS".into(), "ignore".into()));
    }
    if let Some(action) = &run.on_failure {
        all.push((OnFailure::VARIABLE.into(), value_name(action).into()));
    }
    all.extend(given(&run.variables));
    all
}

/// The items with a separator between them; `None` if there are none.
fn join<T: ToString>(items: &[T], separator: &str) -> Option<String> {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    (!items.is_empty()).then(|| items.join(separator))
}

/// The part of an option that ends with a file's name.
pub fn with_file(text: impl Into<OsString>, file: &Path) -> OsString {
    let mut text = text.into();
    text.push(escaped(file.as_os_str()));
    text
}

/// The values of one interface.
pub fn of_interface<T>(values: &[Values<T>], index: usize) -> &[T] {
    values.get(index).map_or(&[], |values| &values.0)
}

/// Doubles commas, as QEMU's option syntax requires inside a value.
fn escaped(value: &OsStr) -> OsString {
    let bytes = value.as_encoded_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        out.push(*byte);
        if *byte == b',' {
            out.push(b',');
        }
    }
    std::os::unix::ffi::OsStringExt::from_vec(out)
}

/// QEMU's name of a disk's format.
fn format_of(disk: &Path) -> &'static str {
    Format::of(disk).and_then(Format::of_qemu).unwrap_or("raw")
}

/// QEMU's arguments for an image whose kernel command line is `line`.
pub fn arguments(run: &Run, wiring: &Wiring<'_>, line: &str) -> Vec<OsString> {
    let mut args = Arguments(Vec::new());
    let accel = if wiring.kvm { "kvm" } else { "tcg" };
    // Omits devices that no program uses, because each costs start-up time.
    match run.machine() {
        // Secure Boot's variables are changed in system management mode only.
        Machine::Q35 if run.secure_boot.is_some() => {
            args.pair("-M", format!("q35,accel={accel},smm=on"));
        }
        Machine::Q35 if run.firmware.is_some() => args.pair("-M", format!("q35,accel={accel}")),
        // Interrupts by messages: with KVM those of MMIO devices take three exits to QEMU each.
        Machine::Microvm if wiring.kvm => args.pair("-M", "microvm,accel=kvm,pcie=on"),
        Machine::Microvm => args.pair("-M", "microvm,accel=tcg"),
        Machine::Virt if wiring.kvm => args.pair("-M", "virt,accel=kvm,gic-version=host"),
        // Its usual interrupt controller serves eight processors.
        Machine::Virt if run.cpus.0 > 8 => args.pair("-M", "virt,accel=tcg,gic-version=3"),
        Machine::Virt => args.pair("-M", "virt,accel=tcg"),
        Machine::Q35 => args.pair(
            "-M",
            format!("q35,accel={accel},usb=off,vmport=off,sata=off,smbus=off"),
        ),
        Machine::Pc => args.pair("-M", format!("pc,accel={accel},usb=off,vmport=off")),
    }
    args.pair("-cpu", cpu(run, wiring.kvm));
    let memory = run.mem.unwrap_or_default().0;
    args.pair("-m", format!("{memory}M"));
    if run.cpus.0 > 1 {
        args.pair("-smp", run.cpus.to_string());
    }
    if let Some(Vsock::Socket(_)) = run.vsock {
        // The device is another process, which reads and writes the machine's memory.
        let object = format!("memory-backend-memfd,id=memory,size={memory}M,share=on");
        args.pair("-object", object);
        args.pair("-machine", "memory-backend=memory");
    }
    for flag in ["-nodefaults", "-no-user-config"] {
        args.one(flag);
    }
    if !restarts(run) {
        args.one("-no-reboot");
    }
    match run.shown_by() {
        Some(Display::Window) => {
            // For the window's title.
            if let Some(name) = run.program.file_name() {
                args.pair("-name", escaped(name));
            }
            // QEMU hides the desktop's pointer above a program that has set no cursor of its own.
            args.pair("-display", "gtk,show-cursor=on");
        }
        Some(Display::Vnc(number)) => args.pair("-display", format!("vnc=127.0.0.1:{number}")),
        Some(Display::None) | None => args.pair("-display", "none"),
    }
    if Bus::of(run, wiring) == Bus::Mmio {
        args.pair("-global", "virtio-mmio.force-legacy=false");
    }
    args.pair("-chardev", "stdio,id=console,signal=off");
    args.pair("-serial", "chardev:console");
    if let Some(file) = &run.pcap {
        args.pair("-chardev", with_file("file,id=pcap,path=", file));
        match run.machine() {
            Machine::Virt => args.pair("-serial", "chardev:pcap"),
            Machine::Microvm | Machine::Q35 | Machine::Pc => args.pair(
                "-device",
                "isa-serial,index=1,iobase=0x2f8,irq=3,chardev=pcap",
            ),
        }
    }
    match wiring.sockets {
        Some(sockets) => {
            args.pair(
                "-chardev",
                format!("socket,id=soilctl,fd={}", sockets.control),
            );
            args.pair(
                "-chardev",
                format!("socket,id=monitor,fd={}", sockets.monitor),
            );
            // Short for `-mon`, of which QEMU 11 warns.
            args.pair("-qmp", "chardev:monitor");
        }
        None => args.pair("-chardev", "file,id=soilctl,path=soil-control.txt"),
    }
    let is_pc = run.machine() != Machine::Virt;
    match is_pc {
        true => args.pair("-device", "isa-debugcon,iobase=0xe9,chardev=soilctl"),
        // Always at the same place on the bus, where the kernel finds it without a search.
        false => args.pair("-device", "pci-serial,chardev=soilctl,addr=1e"),
    }
    if let Some(sockets) = wiring.sockets.filter(|_| !is_pc || wiring.port) {
        // Ours is a pipe, in the order of all that leads there. By its number: not every host, or
        // sandbox, has a `/dev/stdout`, or one that leads here. QEMU truncates a file that it
        // doesn't append to, which a pipe refuses.
        args.pair(
            "-add-fd",
            format!("fd={},set=1,opaque=output", sockets.output),
        );
        let output = |id| format!("file,id={id},path=/dev/fdset/1,append=on");
        if !is_pc {
            // A write to QEMU's PL011 stops the machine until the byte is read, so the image sends
            // its output by this port as soon as it has found it.
            args.pair("-chardev", output("output"));
            args.pair("-device", "pci-serial,chardev=output,addr=1d");
        }
        if wiring.port {
            args.pair("-chardev", output("port"));
            args.pair("-device", console(run, wiring));
            // QEMU has port 0 for consoles that drop what their reader doesn't accept at once.
            args.pair(
                "-device",
                "virtserialport,chardev=port,nr=1,name=org.soil.output",
            );
        }
    }
    if run.screenshot.is_some() {
        // Pauses the machine at its end, which keeps its picture.
        args.pair("-action", "shutdown=pause,reboot=shutdown");
    } else if is_pc {
        args.pair("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04");
    }
    virtio(&mut args, run, wiring);
    if let Some(observer) = wiring.sockets.and_then(|sockets| sockets.observer) {
        args.pair("-chardev", format!("socket,id=observer,fd={observer}"));
        args.pair("-gdb", "chardev:observer");
        // The observer starts the machine, so that it misses nothing.
        args.one("-S");
    }
    if let Some(port) = run.gdb {
        args.pair("-gdb", format!("tcp:127.0.0.1:{port}"));
        args.one("-S");
    }
    if run.firmware.is_some() {
        args.0.extend(wiring.boot.iter().cloned());
    } else {
        args.pair("-kernel", wiring.kernel.unwrap_or(&run.program));
    }
    if !line.is_empty() {
        args.pair("-append", line);
    }
    if let Some(file) = wiring.settings {
        let settings = with_file(format!("name={SETTINGS},file="), file);
        args.pair("-fw_cfg", settings);
    }
    args.0.extend(run.qemu_arguments.iter().cloned());
    args.0
}

/// The processor model: the host's for KVM; for TCG QEMU's default with RDRAND, which programs
/// without devices (and so without virtio-rng) depend on.
pub fn cpu(run: &Run, kvm: bool) -> &str {
    match &run.cpu {
        Some(model) => model,
        None if kvm => "host",
        // Pointer authentication by an algorithm that costs little to emulate.
        None if run.machine() == Machine::Virt => "max,pauth-impdef=on",
        None => "qemu64,+rdrand",
    }
}

/// Whether a reset starts the machine again, instead of ending it.
pub fn restarts(run: &Run) -> bool {
    let action = variables(run)
        .into_iter()
        .rfind(|(name, _)| name == OnFailure::VARIABLE);
    let reboot = value_name(&OnFailure::Reboot);
    run.firmware.is_some() || action.is_some_and(|(_, name)| name == *reboot)
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn one(&mut self, word: impl AsRef<OsStr>) {
        self.0.push(word.as_ref().to_owned());
    }

    fn pair(&mut self, option: &str, value: impl AsRef<OsStr>) {
        self.one(option);
        self.one(value);
    }
}

/// The bus of the machine's virtio devices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bus {
    Mmio,
    Pci,
}

impl Bus {
    fn of(run: &Run, wiring: &Wiring<'_>) -> Self {
        match run.machine() {
            Machine::Microvm if wiring.kvm => Self::Pci,
            Machine::Microvm | Machine::Virt => Self::Mmio,
            Machine::Q35 | Machine::Pc => Self::Pci,
        }
    }
}

/// A virtio device, with the properties of `--device-option`.
fn device(run: &Run, bus: Bus, kind: &str, properties: &str) -> String {
    let mut text = match bus {
        Bus::Mmio => format!("virtio-{kind}-device,{properties}"),
        // Modern only: the legacy interface costs a port range and start-up time. No option ROM:
        // nothing boots from the network.
        Bus::Pci if kind == "net" => {
            format!("virtio-net-pci,{properties},disable-legacy=on,romfile=")
        }
        Bus::Pci => format!("virtio-{kind}-pci,{properties},disable-legacy=on"),
    };
    for option in run
        .device_options
        .iter()
        .filter(|option| option.device == kind)
    {
        text.push(',');
        text.push_str(&option.property);
    }
    text
}

/// The device for the port of the output.
fn console(run: &Run, wiring: &Wiring<'_>) -> String {
    let has_pci = run.machine() != Machine::Microvm || wiring.kvm;
    match has_pci {
        // QEMU's thread of the processor writes the output within the exit of its doorbell: the
        // image polls for free buffers.
        true => device(run, Bus::Pci, "serial", "max_ports=2,ioeventfd=off"),
        false => device(run, Bus::Mmio, "serial", "max_ports=2"),
    }
}

/// Adds the virtio devices. The image finds them in the order of the options: interfaces, disks,
/// entropy, sockets, displays, keyboard, pointer.
fn virtio(args: &mut Arguments, run: &Run, wiring: &Wiring) {
    let bus = Bus::of(run, wiring);
    let mut devices: Vec<Arguments> = Vec::new();
    for (index, net) in nets(run, wiring.default_net).iter().enumerate() {
        devices.push(network(run, wiring, index, net));
    }
    for (index, disk) in run.disks.iter().enumerate() {
        devices.push(storage(run, bus, index, disk));
    }
    let mut entropy = Arguments(Vec::new());
    entropy.pair("-object", "rng-builtin,id=entropy");
    entropy.pair("-device", device(run, bus, "rng", "rng=entropy"));
    devices.push(entropy);
    devices.extend(run.vsock.iter().map(|vsock| sockets(bus, vsock)));
    devices.extend(displays(run, bus));
    // The first device is at the end of the bus.
    if bus == Bus::Mmio {
        devices.reverse();
    }
    args.0
        .extend(devices.into_iter().flat_map(|device| device.0));
}

/// The device of sockets to the host.
fn sockets(bus: Bus, vsock: &Vsock) -> Arguments {
    let mut args = Arguments(Vec::new());
    let (kind, properties) = match vsock {
        Vsock::Cid(cid) => ("vhost-vsock", format!("guest-cid={cid}")),
        Vsock::Socket(path) => {
            args.pair("-chardev", with_file("socket,id=vsock,path=", path));
            ("vhost-user-vsock", "chardev=vsock".to_owned())
        }
    };
    let bus = match bus {
        Bus::Mmio => "device",
        // These have no option for that: they have no legacy interface.
        Bus::Pci => "pci-non-transitional",
    };
    args.pair("-device", format!("{kind}-{bus},{properties}"));
    args
}

fn network(run: &Run, wiring: &Wiring<'_>, index: usize, net: &Net) -> Arguments {
    let mut args = Arguments(Vec::new());

    let backend = match net {
        Net::None | Net::Host => return args,
        Net::Tap(name) => {
            // QEMU itself tries vnet_hdr and falls back if the device lacks it.
            let name = escaped(name.as_ref());
            format!(
                "tap,id=net{index},ifname={},script=no,downscript=no",
                name.to_string_lossy()
            )
        }
        Net::Passt => match wiring.passt {
            Some(fd) => format!("socket,id=net{index},fd={fd}"),
            None => format!(
                "stream,id=net{index},server=off,addr.type=unix,addr.path={}",
                passt::SHOWN_SOCKET
            ),
        },
        Net::User => user_network(run, index),
    };
    args.pair("-netdev", backend);
    let mut properties = format!("netdev=net{index}");
    if let Some(mac) = run.macs.get(index) {
        properties = properties + ",mac=" + mac;
    }
    args.pair(
        "-device",
        device(run, Bus::of(run, wiring), "net", &properties),
    );
    args
}

/// QEMU's user network, with a range that contains the addresses of `--ip`. The first interface
/// gets the forwarded ports.
fn user_network(run: &Run, index: usize) -> String {
    let mut text = format!("user,id=net{index}");
    let ips = of_interface(&run.ips, index);
    // Writing to a String can't fail.
    for ip in ips {
        let _ = match ip.address {
            IpAddr::V4(_) => write!(text, ",net={}/{}", ip.network(), ip.prefix),
            IpAddr::V6(_) => write!(
                text,
                ",ipv6-prefix={},ipv6-prefixlen={}",
                ip.network(),
                ip.prefix
            ),
        };
    }
    for gateway in of_interface(&run.gateways, index) {
        let name = if gateway.is_ipv4() {
            "host"
        } else {
            "ipv6-host"
        };
        let _ = write!(text, ",{name}={gateway}");
    }
    let own = ips
        .iter()
        .find(|ip| ip.address.is_ipv4())
        .map(|ip| ip.address.to_string());
    let own = own.unwrap_or_default();
    for forward in run.forwards.iter().filter(|_| index == 0) {
        let _ = write!(
            text,
            ",hostfwd={}:{}:{}-{own}:{}",
            forward.protocol, forward.address, forward.host, forward.program
        );
    }
    text
}

/// The QEMU name of a display.
pub fn display_name(index: usize) -> String {
    format!("display{index}")
}

/// The displays; any display adds a keyboard and a pointer.
fn displays(run: &Run, bus: Bus) -> Vec<Arguments> {
    let mut devices = Vec::new();
    let mut add = |kind: &str, properties: String| {
        let mut args = Arguments(Vec::new());
        args.pair("-device", device(run, bus, kind, &properties));
        devices.push(args);
    };
    let sizes = run.sizes();
    for (index, DisplaySize(width, height)) in sizes.iter().enumerate() {
        let name = display_name(index);
        add("gpu", format!("id={name},xres={width},yres={height}"));
    }
    if !sizes.is_empty() {
        add("keyboard", "id=keyboard".into());
        add("tablet", "id=pointer".into());
    }
    devices
}

/// By default QEMU stops a machine whose write finds the host's disk full. A program can handle an
/// error of the disk, and answer meanwhile.
const REPORT: &str = "werror=report,rerror=report";

fn storage(run: &Run, bus: Bus, index: usize, disk: &Disk) -> Arguments {
    let mut args = Arguments(Vec::new());
    let is_device = std::fs::metadata(&disk.file).is_ok_and(|m| m.file_type().is_block_device());
    let driver = if is_device { "host_device" } else { "file" };
    let read_only = if disk.read_only { "on" } else { "off" };
    let direct = if takes_direct(&disk.file) {
        "cache.direct=on,file.cache.direct=on,file.aio=native,"
    } else {
        ""
    };
    let booted = run.firmware.filter(|_| index == 0);
    let format = booted.map_or("raw", |_| format_of(&disk.file));
    let text = format!(
        "driver={format},node-name=disk{index},read-only={read_only},discard=unmap,{direct}\
        file.driver={driver},file.filename="
    );
    args.pair("-blockdev", with_file(text, &disk.file));
    if booted.is_some() {
        let drive = "drive=disk0,bootindex=0";
        let device = match run.controller {
            Controller::VirtioBlk => format!("virtio-blk-pci,{drive},{REPORT}"),
            Controller::VirtioScsi => {
                args.pair("-device", "virtio-scsi-pci");
                format!("scsi-hd,{drive},{REPORT}")
            }
            // It has no other policy.
            Controller::Nvme => format!("nvme,serial=boot,{drive}"),
            Controller::Ide => format!("ide-hd,{drive},{REPORT}"),
        };
        args.pair("-device", device);
        return args;
    }
    // With a write cache QEMU offers VIRTIO_BLK_F_FLUSH; without it a program's sync would have
    // no effect.
    let mut options = format!(
        "drive=disk{index},serial={},write-cache=on,{REPORT}",
        disk.name
    );
    if let Some(bytes) = disk.sector {
        // Writing to a string can't fail.
        let _ = write!(
            options,
            ",logical_block_size={bytes},physical_block_size={bytes}"
        );
    }
    args.pair("-device", device(run, bus, "blk", &options));
    args
}

/// Whether a file can be opened with O_DIRECT, which bypasses the host's page cache.
///
/// QEMU then passes a machine's batch of writes to the host in one system call, which either
/// completes or never starts. So killing QEMU can't separate the tables and directories of a file
/// system that commits them in one batch. (Some file systems, such as older tmpfs, don't support
/// O_DIRECT.)
pub fn takes_direct(file: &Path) -> bool {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(file)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Sockets, Wiring, arguments, variables};
    use crate::cli::{Cli, Command, Run};
    use clap::Parser as _;

    const WIRING: Wiring<'_> = Wiring {
        kernel: None,
        kvm: false,
        port: false,
        default_net: false,
        sockets: Some(Sockets {
            control: 7,
            monitor: 8,
            output: 9,
            observer: None,
        }),
        passt: None,
        settings: None,
        boot: &[],
    };

    fn run(words: &str) -> Run {
        let words = ["soil", "run", "main.exe"]
            .into_iter()
            .chain(words.split_whitespace());
        match Cli::try_parse_from(words).expect("valid").command {
            Command::Run(run) => *run,
            other => panic!("parsed as {other:?}"),
        }
    }

    fn command(words: &str) -> String {
        let args = arguments(&run(words), &WIRING, "A=1");
        args.iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_microvm_with_kvm_has_its_devices_on_pci() {
        let command = |kvm| {
            let wiring = Wiring { kvm, ..WIRING };
            let run = run("--machine microvm --net user --disk a=a.img --vsock 3 --display none");
            let args = arguments(&run, &wiring, "");
            let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        };
        let kvm = command(true);
        assert!(kvm.contains("-M microvm,accel=kvm,pcie=on "), "{kvm}");
        for kind in ["net", "blk", "rng", "gpu", "keyboard", "tablet"] {
            assert!(
                kvm.contains(&format!("-device virtio-{kind}-pci,")),
                "{kvm}"
            );
        }
        assert!(kvm.contains("vhost-vsock-pci-non-transitional,"), "{kvm}");
        assert!(!kvm.contains("mmio") && !kvm.contains("-device,"), "{kvm}");
        // In the order of the options.
        assert!(kvm.find("virtio-net") < kvm.find("virtio-blk"), "{kvm}");
        let tcg = command(false);
        assert!(tcg.contains("-M microvm,accel=tcg "), "{tcg}");
        assert!(
            tcg.find("virtio-net-device") > tcg.find("virtio-blk-device"),
            "{tcg}"
        );
    }

    #[test]
    fn a_program_alone_gets_a_console_and_entropy_only() {
        let default = match std::env::consts::ARCH {
            "aarch64" => "--machine virt",
            _ => "--machine microvm",
        };
        assert_eq!(command(""), command(default));
        let command = command("--machine microvm");
        assert!(command.contains("virtio-rng-device"), "{command}");
        assert!(command.contains("-cpu qemu64,+rdrand"), "{command}");
        for absent in ["virtio-net", "virtio-blk", "-netdev"] {
            assert!(!command.contains(absent), "{absent}: {command}");
        }
        assert!(command.contains("microvm,accel=tcg") && command.ends_with("-append A=1"));
        assert!(command.contains("socket,id=soilctl,fd=7"));
        assert!(command.contains("socket,id=monitor,fd=8 -qmp chardev:monitor"));
    }

    #[test]
    fn a_machine_that_starts_again_isnt_ended_by_its_reset() {
        for (words, ends) in [
            ("", true),
            ("--on-failure halt", true),
            ("--on-failure reboot", false),
            ("--env SOIL_ON_FAILURE=reboot", false),
            ("--on-failure reboot --env SOIL_ON_FAILURE=halt", true),
        ] {
            assert_eq!(command(words).contains("-no-reboot"), ends, "{words}");
        }
        let variables = variables(&run("--on-failure reboot"));
        assert_eq!(variables, [("SOIL_ON_FAILURE".into(), "reboot".into())]);
    }

    #[test]
    fn firmware_boots_the_first_disk() {
        let command = |words: &str| {
            let boot = ["-bios".into(), "X".into()];
            let wiring = Wiring {
                boot: &boot,
                ..WIRING
            };
            let words = format!("--machine q35 --firmware uefi --disk a=a.img {words}");
            let args = arguments(&run(&words), &wiring, "");
            let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        };
        let uefi = command("--disk seed=s.img,ro");
        for part in [
            "-M q35,accel=tcg ",
            "-device virtio-blk-pci,drive=disk0,bootindex=0,werror=report,rerror=report ",
            "drive=disk1,serial=seed",
            "-device virtio-rng-pci",
            "-bios X",
        ] {
            assert!(uefi.contains(part), "{part}: {uefi}");
        }
        for absent in ["-kernel", "-append", "-no-reboot", "sata=off"] {
            assert!(!uefi.contains(absent), "{absent}: {uefi}");
        }
        assert!(command("--secure-boot V").contains("-M q35,accel=tcg,smm=on "));
        for (controller, devices) in [
            (
                "virtio-scsi",
                "-device virtio-scsi-pci -device scsi-hd,drive=disk0,bootindex=0",
            ),
            ("nvme", "-device nvme,serial=boot,drive=disk0,bootindex=0"),
            ("ide", "-device ide-hd,drive=disk0,bootindex=0"),
        ] {
            let command = command(&format!("--controller {controller}"));
            assert!(command.contains(devices), "{command}");
        }
    }

    #[test]
    fn hidden_variables_are_in_a_file() {
        let wiring = Wiring {
            settings: Some("a,b".as_ref()),
            ..WIRING
        };
        let words = arguments(&run(""), &wiring, "");
        let expected = ["-fw_cfg", "name=opt/org.soil/settings,file=a,,b"];
        assert!(words.windows(2).any(|pair| pair == expected), "{words:?}");
        assert!(!command("").contains("-fw_cfg"));
    }

    #[test]
    fn an_image_for_aarch64_gets_a_machine_of_it() {
        let virt = "--machine virt --pcap a.pcap --disk data=a.img --net user";
        let command = command(virt);
        for part in [
            "-M virt,accel=tcg -cpu max,pauth-impdef=on",
            "-device pci-serial,chardev=soilctl,addr=1e",
            "-add-fd fd=9,set=1,opaque=output -chardev file,id=output,path=/dev/fdset/1,append=on",
            "-device pci-serial,chardev=output,addr=1d",
            "-serial chardev:console -chardev file,id=pcap,path=a.pcap -serial chardev:pcap",
            "-global virtio-mmio.force-legacy=false",
            "virtio-net-device,netdev=net0",
            "virtio-blk-device,drive=disk0",
        ] {
            assert!(command.contains(part), "{part}: {command}");
        }
        assert!(!command.contains("isa-"), "{command}");
        let flat = Wiring {
            kernel: Some("flat".as_ref()),
            ..WIRING
        };
        let words = arguments(&run(virt), &flat, "");
        assert!(words.windows(2).any(|pair| pair == ["-kernel", "flat"]));
        assert_eq!(run(virt).qemu_path().as_os_str(), "qemu-system-aarch64");
        let shown = Wiring {
            sockets: None,
            ..WIRING
        };
        let words = arguments(&run(virt), &shown, "");
        let output = "pci-serial,chardev=output,addr=1d";
        assert!(words.iter().all(|word| word != output));
    }

    #[test]
    fn output_has_a_port_of_its_own() {
        let command = |words: &str, kvm, port| {
            let wiring = Wiring {
                kvm,
                port,
                ..WIRING
            };
            let args = arguments(&run(words), &wiring, "");
            let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        };
        let port = "-chardev file,id=port,path=/dev/fdset/1,append=on";
        let on_pci = "-device virtio-serial-pci,max_ports=2,ioeventfd=off,disable-legacy=on \
            -device virtserialport,chardev=port,nr=1,name=org.soil.output ";
        for (machine, kvm) in [
            ("microvm", true),
            ("q35", true),
            ("pc", false),
            ("virt", true),
            ("virt", false),
        ] {
            let command = command(&format!("--machine {machine}"), kvm, true);
            let both = format!("{port} {on_pci}");
            assert!(command.contains(&both), "{command}");
            assert_eq!(command.matches("-add-fd fd=9,set=1,").count(), 1);
        }
        let microvm = command("--machine microvm", false, true);
        assert!(
            microvm.contains("-device virtio-serial-device,max_ports=2 -device virtserialport")
        );
        let without = command("--machine microvm", true, false);
        assert!(!without.contains("serial-pci") && !without.contains("-add-fd"));
    }

    #[test]
    fn each_display_is_a_device_of_its_size() {
        let command = command("--display none --display-size 640x480,320x200");
        let first = "virtio-gpu-device,id=display0,xres=640,yres=480";
        let second = "virtio-gpu-device,id=display1,xres=320,yres=200";
        // The image finds a microvm's last device first.
        let found = [first, second].map(|device| command.find(device).expect(device));
        assert!(found[0] > found[1], "{command}");
        assert!(command.contains("virtio-keyboard-device") && command.contains("-display none"));
        let command = super::tests::command("--machine q35 --display vnc=:7");
        assert!(command.contains("-display vnc=127.0.0.1:7"), "{command}");
        assert!(
            command.contains("virtio-gpu-pci,id=display0,xres=1280,yres=800"),
            "{command}"
        );
        assert!(!super::tests::command("").contains("virtio-gpu"));
    }

    #[test]
    fn a_machine_with_a_screenshot_stays_at_its_end() {
        let command = command("--screenshot a.png");
        assert!(command.contains("-action shutdown=pause,reboot=shutdown"));
        assert!(!command.contains("isa-debug-exit") && command.contains("virtio-gpu"));
    }

    #[test]
    fn disks_are_found_by_their_serial_number() {
        let command = command("--machine q35 --disk data=a,b.img --disk www=c.img,sector=4096,ro");
        assert!(command.contains(
            "serial=www,write-cache=on,werror=report,rerror=report,logical_block_size=4096,"
        ));
        assert!(
            command
                .contains("file.filename=a,,b.img -device virtio-blk-pci,drive=disk0,serial=data")
        );
        assert!(
            command.contains("node-name=disk1,read-only=on"),
            "{command}"
        );
    }

    /// QEMU offers flushes if the write cache is on, or can be enabled (`config-wce`).
    #[test]
    fn disks_offer_flushes_unless_that_is_asked_for() {
        for machine in ["microvm", "q35", "pc"] {
            let disks = format!("--machine {machine} --disk a=a.img --disk b=b.img,ro,sector=4096");
            let command = command(&disks);
            let devices = command.split(" -device virtio-blk-").skip(1);
            let devices: Vec<_> = devices.map(|text| text.split(' ').next()).collect();
            assert_eq!(devices.len(), 2);
            for device in devices.into_iter().flatten() {
                let options: Vec<_> = device.split(',').collect();
                assert!(options.contains(&"write-cache=on"), "{device}");
                assert!(!device.contains("config-wce"), "{device}");
            }
            assert!(!command.contains("cache.no-flush"), "{command}");
            let other = self::command(&format!("{disks} --device-option blk:write-cache=off"));
            let at = |text| other.find(text).expect("there");
            assert!(
                at("write-cache=on") < at("write-cache=off"),
                "the last counts"
            );
        }
    }

    #[test]
    fn forwards_lead_to_the_static_address() {
        let command = command(
            "--forward 8080:80 --forward 0.0.0.0:53:53/udp --ip 10.1.2.3/24 --gateway 10.1.2.1",
        );
        assert!(
            command.contains(
                "user,id=net0,net=10.1.2.0/24,host=10.1.2.1,hostfwd=tcp:127.0.0.1:8080-10.1.2.3:80,\
                hostfwd=udp:0.0.0.0:53-10.1.2.3:53"
            ),
            "{command}"
        );
        let command =
            self::command("--net tap=tap7 --mac 52:54:00:00:00:01 --device-option net:csum=off");
        assert!(command.contains("tap,id=net0,ifname=tap7,script=no,downscript=no"));
        assert!(
            command.contains("netdev=net0,mac=52:54:00:00:00:01,csum=off"),
            "{command}"
        );
    }

    #[test]
    fn several_interfaces_have_their_own_addresses() {
        let words =
            "--net tap=a --ip 10.0.0.2/24,fd00::2/64 --net user --ip dhcp --mac 52:54:00:00:00:01";
        let command = command(words);
        assert!(
            command.contains("tap,id=net0,ifname=a") && command.contains("-netdev user,id=net1 ")
        );
        assert!(
            command.contains("netdev=net0,mac=52:54:00:00:00:01 ")
                && command.contains("netdev=net1 ")
        );
        let second_first =
            |command: &str| command.find("netdev=net1") < command.find("netdev=net0");
        assert!(second_first(&command));
        assert!(!second_first(&self::command(&format!(
            "--machine q35 {words}"
        ))));
        let variables = variables(&run(words));
        assert_eq!(
            variables,
            [("SOIL_IP".into(), "10.0.0.2/24,fd00::2/64;".into())]
        );
    }

    #[test]
    fn options_become_variables() {
        let run = run(
            "--ip 10.0.0.2/8 --dns 1.1.1.1:5353 --dns 9.9.9.9 --mount /d=fat:d --mount /e=fat:e --log \
            debug --env A=b=c",
        );
        let text: Vec<String> = variables(&run)
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
            .collect();
        assert_eq!(
            text,
            [
                "SOIL_IP=10.0.0.2/8",
                "SOIL_DNS=1.1.1.1:5353,9.9.9.9",
                "SOIL_MOUNT=/d=fat:d;/e=fat:e",
                "SOIL_LOG=debug",
                "A=b=c"
            ]
        );
    }
}
