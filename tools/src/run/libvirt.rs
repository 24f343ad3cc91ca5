//! Builds a libvirt domain for an image (`--dry-run=libvirt`), as a pure function of the options.
//!
//! The domain is a q35, or a pc by `--machine pc`: libvirt 9 defines no microvm. For an image for
//! aarch64 it is a virt, without firmware: that would start the image as an EFI program. Source of
//! the elements: libvirt's formatdomain.

use super::command::{SETTINGS, cpu, nets, of_interface, restarts, takes_direct};
use crate::arch::Arch;
use crate::cli::{Machine, Run};
use crate::failure::Failure;
use crate::options::{Disk, Display, Net, Vsock};
use crate::program;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Returns the domain of the image in the file `kernel`, whose command line is `line`; `settings`
/// is the file with the variables that others must not see. Fails for options that no domain can
/// carry.
pub fn domain(
    run: &Run,
    kernel: &Path,
    default_net: bool,
    kvm: bool,
    line: &str,
    settings: Option<&Path>,
) -> Result<String, Failure> {
    check(run)?;
    let arch = run.machine().arch();
    let mut xml = Xml::default();
    xml.open(if kvm {
        "domain type='kvm'"
    } else {
        "domain type='qemu'"
    });
    xml.text("name", &program::name(&run.program));
    xml.line(&format!(
        "<memory unit='MiB'>{}</memory>",
        run.mem.unwrap_or_default().0
    ));
    xml.line(&format!("<vcpu>{}</vcpu>", run.cpus));
    xml.open("os");
    let machine = match run.machine() {
        Machine::Pc => "pc",
        Machine::Virt => "virt",
        Machine::Microvm | Machine::Q35 => "q35",
    };
    xml.line(&format!(
        "<type arch='{arch}' machine='{machine}'>hvm</type>"
    ));
    xml.text("kernel", &absolute(kernel));
    if !line.is_empty() {
        xml.text("cmdline", line);
    }
    xml.close("os");
    if let Some(file) = settings {
        let file = escaped(&absolute(file));
        let entry = format!("<entry name='{SETTINGS}' file='{file}'/>");
        xml.around("sysinfo type='fwcfg'", &entry);
    }
    match arch {
        Arch::X86_64 => {
            xml.line("<features><acpi/><apic/></features>");
            processor(&mut xml, cpu(run, kvm));
        }
        // ACPI is the firmware's there, and libvirt chooses the host's GIC itself. It has no name
        // for the property of `soil run`'s processor.
        Arch::Aarch64 => {
            let default = if kvm { "host" } else { "max" };
            processor(&mut xml, run.cpu.as_deref().unwrap_or(default));
        }
    }
    // The domain ends with its program, as a machine of `soil run` does.
    let reboot = if restarts(run) { "restart" } else { "destroy" };
    for (event, action) in [
        ("on_poweroff", "destroy"),
        ("on_reboot", reboot),
        ("on_crash", "destroy"),
    ] {
        xml.text(event, action);
    }
    xml.open("devices");
    let qemu = run.qemu_path();
    if qemu.is_absolute() {
        xml.text("emulator", &absolute(&qemu));
    }
    xml.line("<controller type='usb' model='none'/>");
    xml.line("<memballoon model='none'/>");
    let serial = match arch {
        Arch::X86_64 => {
            // A crash of the program: libvirt 9.0 knows no model on PCI.
            xml.line("<panic model='isa'/>");
            "isa-serial"
        }
        Arch::Aarch64 => "system-serial",
    };
    let target = format!("<target type='{serial}' port='0'/>");
    xml.around("serial type='pty'", &target);
    // For `virsh domifaddr --source agent`, `shutdown --mode agent`, `domfsfreeze`: the program's
    // guest agent.
    let target = "<target type='virtio' name='org.qemu.guest_agent.0'/>";
    xml.around("channel type='unix'", target);
    for (index, net) in nets(run, default_net).iter().enumerate() {
        interface(&mut xml, run, index, net);
    }
    for (index, disk) in run.disks.iter().enumerate() {
        storage(&mut xml, index, disk);
    }
    if let Some(Vsock::Cid(cid)) = run.vsock {
        let cid = format!("<cid auto='no' address='{cid}'/>");
        xml.around("vsock model='virtio'", &cid);
    }
    xml.around("rng model='virtio'", "<backend model='builtin'/>");
    displays(&mut xml, run);
    xml.close("devices");
    xml.close("domain");
    Ok(xml.text)
}

/// Refuses options that act outside of the machine or on QEMU's command line only.
fn check(run: &Run) -> Result<(), Failure> {
    let refused = [
        ("--pcap", run.pcap.is_some()),
        ("--screenshot", run.screenshot.is_some()),
        ("--profile", run.profile.is_some()),
        ("--trace", run.trace.is_some()),
        ("--gdb", run.gdb.is_some()),
        ("--timeout", run.timeout.is_some()),
        (
            "--vsock SOCKET",
            matches!(run.vsock, Some(Vsock::Socket(_))),
        ),
        ("--qemu-arg", !run.qemu_arguments.is_empty()),
        ("--device-option", !run.device_options.is_empty()),
    ];
    match refused.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            let reason = "a libvirt domain has no such setting";
            Err(Failure::on(option, reason).remedy("leave it out with --dry-run=libvirt"))
        }
        None => Ok(()),
    }
}

/// The processor, from QEMU's name of a model with features (`qemu64,+rdrand`).
fn processor(xml: &mut Xml, model: &str) {
    let mut words = model.split(',');
    match words.next().unwrap_or_default() {
        "host" => xml.open("cpu mode='host-passthrough'"),
        "max" => xml.open("cpu mode='maximum'"),
        name => {
            xml.open("cpu mode='custom' match='exact' check='none'");
            xml.text("model", name);
        }
    }
    for word in words {
        let (policy, name) = match word.strip_prefix('-') {
            Some(name) => ("disable", name),
            None => ("require", word.strip_prefix('+').unwrap_or(word)),
        };
        let name = escaped(name);
        xml.line(&format!("<feature policy='{policy}' name='{name}'/>"));
    }
    xml.close("cpu");
}

/// An interface. Forwarded ports belong to the first one, and need passt, which the libvirt of
/// Debian 12 (9.0.0) lacks.
fn interface(xml: &mut Xml, run: &Run, index: usize, net: &Net) {
    let forwards = match index {
        0 => run.forwards.as_slice(),
        _ => &[],
    };
    match net {
        Net::None | Net::Host => return,
        Net::Tap(name) => {
            xml.open("interface type='ethernet'");
            let name = escaped(name);
            xml.line(&format!("<target dev='{name}' managed='no'/>"));
        }
        Net::User | Net::Passt => {
            xml.open("interface type='user'");
            if *net == Net::Passt || !forwards.is_empty() {
                xml.line("<backend type='passt'/>");
            }
            for ip in of_interface(&run.ips, index) {
                let family = if ip.address.is_ipv4() { "ipv4" } else { "ipv6" };
                let (address, prefix) = (ip.address, ip.prefix);
                xml.line(&format!(
                    "<ip family='{family}' address='{address}' prefix='{prefix}'/>"
                ));
            }
            for forward in forwards {
                let (protocol, host, program) = (forward.protocol, forward.host, forward.program);
                let address = match forward.address {
                    IpAddr::V4(address) if address.is_unspecified() => String::new(),
                    address => format!(" address='{address}'"),
                };
                let range = format!("<range start='{host}' to='{program}'/>");
                xml.around(&format!("portForward proto='{protocol}'{address}"), &range);
            }
        }
    }
    if let Some(mac) = run.macs.get(index) {
        xml.line(&format!("<mac address='{}'/>", escaped(mac)));
    }
    xml.line("<model type='virtio'/>");
    // No option ROM: nothing boots from the network.
    xml.line("<rom enabled='no'/>");
    xml.close("interface");
}

fn storage(xml: &mut Xml, index: usize, disk: &Disk) {
    let is_device = std::fs::metadata(&disk.file).is_ok_and(|m| m.file_type().is_block_device());
    let (kind, attribute) = if is_device {
        ("block", "dev")
    } else {
        ("file", "file")
    };
    xml.open(&format!("disk type='{kind}' device='disk'"));
    let cache = if takes_direct(&disk.file) {
        " cache='none'"
    } else {
        ""
    };
    // Without the policies QEMU stops a machine when the host's disk is full.
    xml.line(&format!(
        "<driver name='qemu' type='raw'{cache} error_policy='report' rerror_policy='report' \
         discard='unmap'/>"
    ));
    let file = escaped(&absolute(&disk.file));
    xml.line(&format!("<source {attribute}='{file}'/>"));
    xml.line(&format!(
        "<target dev='vd{}' bus='virtio'/>",
        letters(index)
    ));
    if let Some(bytes) = disk.sector {
        xml.line(&format!(
            "<blockio logical_block_size='{bytes}' physical_block_size='{bytes}'/>"
        ));
    }
    xml.text("serial", &disk.name);
    if disk.read_only {
        xml.line("<readonly/>");
    }
    xml.close("disk");
}

/// The end of Linux's name of a virtio disk: a, …, z, aa, ab, ….
fn letters(index: usize) -> String {
    let digit = char::from(b'a' + (index % 26) as u8);
    match index / 26 {
        0 => digit.to_string(),
        rest => format!("{}{digit}", letters(rest - 1)),
    }
}

/// The displays, with a keyboard and a pointer.
fn displays(xml: &mut Xml, run: &Run) {
    let Some(shown) = run.shown_by() else {
        xml.line("<video><model type='none'/></video>");
        return;
    };
    for (index, size) in run.sizes().iter().enumerate() {
        let primary = if index == 0 { "yes" } else { "no" };
        xml.open("video");
        let model = format!("model type='virtio' heads='1' primary='{primary}'");
        let resolution = format!("<resolution x='{}' y='{}'/>", size.0, size.1);
        xml.around(&model, &resolution);
        xml.close("video");
    }
    xml.line("<input type='keyboard' bus='virtio'/>");
    xml.line("<input type='tablet' bus='virtio'/>");
    match shown {
        // virt-viewer and virt-manager show a window on the domain's VNC server.
        Display::Window => xml.line("<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>"),
        Display::Vnc(number) => {
            let port = 5900 + u32::from(number);
            xml.line(&format!(
                "<graphics type='vnc' port='{port}' autoport='no' listen='127.0.0.1'/>"
            ));
        }
        Display::None => {}
    }
}

/// libvirtd has another working directory.
fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_string_lossy().into_owned()
}

/// Escapes text for XML, also inside single quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            // A parser turns a bare one into a space or drops it.
            '\t' | '\n' | '\r' => {
                // Writing to a string can't fail.
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// An indented document.
#[derive(Default)]
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn line(&mut self, line: &str) {
        for _ in 0..self.depth {
            self.text.push_str("  ");
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn open(&mut self, tag: &str) {
        self.line(&format!("<{tag}>"));
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(&format!("</{name}>"));
    }

    /// An element with one line inside.
    fn around(&mut self, tag: &str, line: &str) {
        self.open(tag);
        self.line(line);
        self.close(tag.split(' ').next().unwrap_or(tag));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.line(&format!("<{name}>{}</{name}>", escaped(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::{domain, letters};
    use crate::cli::{Cli, Command, Run};
    use crate::failure::Failure;
    use clap::Parser as _;

    fn of(run: &Run, kvm: bool, line: &str) -> Result<String, Failure> {
        domain(run, &run.program, false, kvm, line, None)
    }

    fn run(options: &str) -> Run {
        let words = ["soil", "run", "/srv/a&b.exe", "--dry-run=libvirt"];
        let words = words.into_iter().chain(options.split_whitespace());
        match Cli::try_parse_from(words).expect("valid").command {
            Command::Run(run) => *run,
            other => panic!("parsed as {other:?}"),
        }
    }

    fn xml(options: &str) -> String {
        of(&run(options), true, "A='1'\n<b>").expect("a domain")
    }

    #[test]
    fn a_program_alone_is_a_q35_with_a_serial_line() {
        let xml = xml("--machine q35 --mem 32M");
        for part in [
            "<domain type='kvm'>",
            "<name>a&amp;b</name>",
            "<memory unit='MiB'>32</memory>",
            "<kernel>/srv/a&amp;b.exe</kernel>",
            "<cmdline>A=&apos;1&apos;&#10;&lt;b&gt;</cmdline>",
            "<cpu mode='host-passthrough'>",
            "<target type='isa-serial' port='0'/>",
            "<target type='virtio' name='org.qemu.guest_agent.0'/>",
            "<panic model='isa'/>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert!(xml.contains("<on_reboot>destroy</on_reboot>"), "{xml}");
        let restarts = self::xml("--on-failure reboot");
        assert!(
            restarts.contains("<on_reboot>restart</on_reboot>"),
            "{restarts}"
        );
        for absent in ["<interface", "<disk", "<graphics", "<emulator"] {
            assert!(!xml.contains(absent), "{absent}: {xml}");
        }
        assert!(xml.contains("machine='q35'"), "{xml}");
        assert!(self::xml("--machine pc").contains("machine='pc'"));
    }

    #[test]
    fn a_model_with_features_becomes_elements() {
        let run = run("--machine q35 --qemu /opt/qemu");
        let xml = of(&run, false, "").expect("a domain");
        assert!(xml.contains("<domain type='qemu'>") && xml.contains("<model>qemu64</model>"));
        assert!(xml.contains("<feature policy='require' name='rdrand'/>"));
        assert!(xml.contains("<emulator>/opt/qemu</emulator>") && !xml.contains("<cmdline>"));
    }

    #[test]
    fn an_image_for_aarch64_gets_a_virt_without_devices_of_pcs() {
        let run = run("--machine virt");
        for (kvm, mode) in [(true, "host-passthrough"), (false, "maximum")] {
            let xml = domain(&run, "/srv/a.flat".as_ref(), false, kvm, "", None).expect("a domain");
            for part in [
                "<type arch='aarch64' machine='virt'>hvm</type>",
                "<kernel>/srv/a.flat</kernel>",
                &format!("<cpu mode='{mode}'>"),
                "<target type='system-serial' port='0'/>",
            ] {
                assert!(xml.contains(part), "{part}: {xml}");
            }
            for absent in ["isa", "apic", "acpi", "feature"] {
                assert!(!xml.contains(absent), "{absent}: {xml}");
            }
        }
        let run = self::run("--machine virt --cpu cortex-a72");
        let xml = of(&run, false, "").expect("a domain");
        assert!(xml.contains("<model>cortex-a72</model>"), "{xml}");
    }

    #[test]
    fn disks_keep_their_names_and_sectors() {
        let xml = xml("--disk data=/srv/d.img --disk www=/srv/w.img,sector=4096,ro");
        for part in [
            " error_policy='report' rerror_policy='report' discard='unmap'/>",
            "<source file='/srv/d.img'/>",
            "<target dev='vda' bus='virtio'/>",
            "<serial>data</serial>",
            "<target dev='vdb' bus='virtio'/>",
            "<blockio logical_block_size='4096' physical_block_size='4096'/>",
            "<serial>www</serial>\n      <readonly/>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert_eq!(
            [0, 25, 26, 701, 702].map(letters),
            ["a", "z", "aa", "zz", "aaa"]
        );
    }

    #[test]
    fn forwarded_ports_need_passt_and_belong_to_the_first_interface() {
        let xml = xml(
            "--net user --net tap=tap7 --ip 10.0.0.2/24 --forward 8080:80 \
            --forward 0.0.0.0:53:53/udp --mac 52:54:00:00:00:01",
        );
        for part in [
            "<backend type='passt'/>",
            "<ip family='ipv4' address='10.0.0.2' prefix='24'/>",
            "<portForward proto='tcp' address='127.0.0.1'>",
            "<range start='8080' to='80'/>",
            "<portForward proto='udp'>",
            "<mac address='52:54:00:00:00:01'/>",
            "<target dev='tap7' managed='no'/>",
        ] {
            assert_eq!(xml.matches(part).count(), 1, "{part}: {xml}");
        }
        assert!(!super::tests::xml("--net user").contains("'passt'"));
    }

    #[test]
    fn displays_have_a_server_of_this_host() {
        let shown = xml("--display vnc=:7 --display-size 640x480,320x200");
        assert!(shown.contains("port='5907'") && shown.contains("<resolution x='640' y='480'/>"));
        assert_eq!(shown.matches("primary='no'").count(), 1, "{shown}");
        assert!(xml("--display window").contains("autoport='yes' listen='127.0.0.1'"));
    }

    #[test]
    fn an_option_that_no_domain_has_is_refused_by_name() {
        for option in [
            "--pcap a",
            "--gdb",
            "--timeout 3",
            "--qemu-arg=-S",
            "--trace t",
        ] {
            let name = option.split(['=', ' ']).next().expect("a word");
            let error = of(&run(option), true, "").expect_err(option);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("{name}: a libvirt domain")),
                "{text}"
            );
        }
    }
}
