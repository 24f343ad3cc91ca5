//! Cloud Hypervisor: its command line, as a pure function of the options, and its errors.
//!
//! Source: cloud-hypervisor/src/main.rs, vmm/src/config.rs and docs/device_model.md of its version
//! 53.

use super::{Api, CID, not_started, outcome, path, taps};
use crate::cli::Run;
use crate::failure::Failure;
use crate::options::Vsock;
use crate::run::command::takes_direct;
use crate::run::machine::{End, Monitor};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The executable.
pub const PROGRAM: &str = "cloud-hypervisor";

/// The arguments for the image in the file `kernel`, whose command line is `line`, with the API at
/// `socket`.
pub fn arguments(
    run: &Run,
    kernel: &Path,
    default_net: bool,
    line: &str,
    socket: Option<&Path>,
) -> Result<Vec<OsString>, Failure> {
    let mut words: Vec<String> = Vec::new();
    let mut pair = |option: &str, value: String| words.extend([option.to_owned(), value]);
    pair("--kernel", path(kernel)?);
    if !line.is_empty() {
        pair("--cmdline", line.to_owned());
    }
    pair("--cpus", format!("boot={}", run.cpus));
    pair(
        "--memory",
        format!("size={}M", run.mem.unwrap_or_default().0),
    );
    // By default the console is a virtio device, and there is no serial line.
    pair("--serial", "tty".into());
    pair("--console", "off".into());
    for disk in &run.disks {
        let file = quoted(&disk.file)?;
        let read_only = if disk.read_only { "on" } else { "off" };
        let direct = if takes_direct(&disk.file) {
            "on"
        } else {
            "off"
        };
        // Without its type the first sector of a raw disk is read-only.
        let value = format!(
            "path={file},image_type=raw,readonly={read_only},direct={direct},serial={}",
            disk.name
        );
        pair("--disk", value);
    }
    for (device, mac) in taps(run, default_net) {
        let mac = mac.map(|mac| format!(",mac={mac}")).unwrap_or_default();
        pair("--net", format!("tap={device}{mac}"));
    }
    if let Some(Vsock::Socket(socket)) = &run.vsock {
        pair("--vsock", format!("cid={CID},socket={}", quoted(socket)?));
    }
    let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    if let Some(socket) = socket {
        let mut value = OsString::from("path=");
        value.push(socket);
        words.extend(["--api-socket".into(), value]);
    }
    Ok(words)
}

/// A path as its option parser takes it.
fn quoted(file: &Path) -> Result<String, Failure> {
    let text = path(file)?;
    if text.contains('"') {
        let reason = "Cloud Hypervisor takes no name with a double quote";
        return Err(Failure::on(file, reason).remedy("rename it"));
    }
    match text.contains([',', '[', ']']) || text.trim() != text {
        true => Ok(format!("\"{text}\"")),
        false => Ok(text),
    }
}

/// A terminal that changes no bytes: our end, and Cloud Hypervisor's.
pub fn terminal() -> Result<(OwnedFd, OwnedFd), Failure> {
    let open = || -> io::Result<(OwnedFd, OwnedFd)> {
        let here = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&here)?;
        unlockpt(&here)?;
        let name = OsString::from_vec(ptsname(&here, Vec::new())?.into_bytes());
        let there = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(name)?;
        let mut settings = tcgetattr(&there)?;
        settings.make_raw();
        tcsetattr(&there, OptionalActions::Now, &settings)?;
        Ok((here, there.into()))
    };
    open().map_err(|error| Failure::new(format!("no terminal for Cloud Hypervisor: {error}")))
}

/// Its API, as the monitor of the machine.
pub struct CloudHypervisor(pub Api);

impl Monitor for CloudHypervisor {
    const NAME: &'static str = "Cloud Hypervisor";

    fn press_button(&self) {
        self.0.send();
    }

    fn complaint(line: &str) -> Option<&str> {
        // An error is a chain of numbered causes; its log has warnings by default.
        let text = line.trim_start();
        match text.split_once(": ") {
            Some((number, cause)) if number.parse::<u32>().is_ok() => Some(cause.trim()),
            _ if text.is_empty() || text.starts_with("Error: ") || text.contains(" WARN:") => None,
            _ => Some(text),
        }
    }

    fn not_started(program: &Path, error: &io::Error) -> Failure {
        let source = "https://github.com/cloud-hypervisor/cloud-hypervisor/releases";
        not_started(program, source, error)
    }

    fn outcome(&self, end: &End<'_>) -> Result<u8, Failure> {
        // The last cause is the first one in time.
        outcome(Self::NAME, end, end.complaints.last().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::{CloudHypervisor, Monitor as _, arguments, terminal};
    use std::io::{Read as _, Write as _};
    use std::path::Path;

    fn command(words: &str) -> String {
        let words = format!("--vmm cloud-hypervisor {words}");
        let socket = Path::new("/run/api");
        let (run, kernel) = (options(&words), Path::new("/srv/a.flat"));
        let words = arguments(&run, kernel, false, "A=1", Some(socket)).expect("arguments");
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn a_program_alone_has_a_serial_line() {
        assert_eq!(
            command("--mem 32M"),
            "--kernel /srv/a.flat --cmdline A=1 --cpus boot=1 --memory size=32M --serial tty \
             --console off --api-socket path=/run/api"
        );
        let run = options("--vmm cloud-hypervisor");
        let shown = arguments(&run, &run.program, false, "", None).expect("arguments");
        assert!(
            !shown
                .iter()
                .any(|word| word == "--api-socket" || word == "--cmdline")
        );
    }

    #[test]
    fn disks_keep_their_names_and_interfaces_their_devices() {
        let command = command(
            "--disk data=/srv/d.img --disk www=/srv/a,b.img,ro --net tap=tap7 --net tap=tap8 \
             --mac 52:54:00:00:00:01",
        );
        for part in [
            "--disk path=/srv/d.img,image_type=raw,readonly=off,direct=off,serial=data ",
            "--disk path=\"/srv/a,b.img\",image_type=raw,readonly=on,direct=off,serial=www ",
            "--net tap=tap7,mac=52:54:00:00:00:01 ",
            "--net tap=tap8 ",
        ] {
            assert!(command.contains(part), "{part}: {command}");
        }
    }

    #[test]
    fn the_last_cause_of_an_error_is_a_complaint() {
        for (line, complaint) in [
            (
                "Error: Cloud Hypervisor exited with the following chain of errors:",
                None,
            ),
            ("  0: Error booting VM", Some("Error booting VM")),
            ("", None),
            (
                "cloud-hypervisor: 0.1s: <vmm> WARN:vmm/src/a.rs:1 -- text",
                None,
            ),
            ("thread 'main' panicked", Some("thread 'main' panicked")),
        ] {
            assert_eq!(CloudHypervisor::complaint(line), complaint, "{line}");
        }
    }

    #[test]
    fn the_terminal_passes_every_byte() {
        let (here, there) = terminal().expect("a terminal");
        let (mut here, mut there) = (std::fs::File::from(here), std::fs::File::from(there));
        let bytes: Vec<u8> = (0..=255).collect();
        let mut got = vec![0; bytes.len()];
        here.write_all(&bytes).expect("written");
        there.read_exact(&mut got).expect("read");
        assert_eq!(got, bytes);
        there.write_all(&bytes).expect("written");
        here.read_exact(&mut got).expect("read");
        assert_eq!(got, bytes);
    }
}
