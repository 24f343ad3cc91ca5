//! Firecracker: its configuration, as a pure function of the options, and its errors.
//!
//! Source: src/firecracker/swagger/firecracker.yaml and docs/getting-started.md of Firecracker.

use super::{Api, CID, not_started, outcome, path, taps};
use crate::cli::Run;
use crate::failure::Failure;
use crate::options::Vsock;
use crate::run::machine::{End, Monitor};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// The executable.
pub const PROGRAM: &str = "firecracker";
/// The longest command line, with the terminating zero (`CMDLINE_MAX_SIZE`).
const LIMIT: usize = 2048;
/// The longest word that it adds for a device: ` virtio_mmio.device=4K@0xc0001000:5`, with an
/// interrupt of two digits.
const DEVICE_WORD: usize = 37;
/// The word that it adds for a machine without PCI (src/vmm/src/builder.rs).
const MACHINE_WORD: &str = " pci=off";

/// The contents of its configuration file for the image in the file `kernel`, whose command line is
/// `line`.
pub fn configuration(
    run: &Run,
    kernel: &Path,
    default_net: bool,
    line: &str,
) -> Result<Value, Failure> {
    let taps = taps(run, default_net);
    // The entropy device is the other one.
    let devices = run.disks.len() + taps.len() + usize::from(run.vsock.is_some()) + 1;
    let limit = (LIMIT - 1 - MACHINE_WORD.len()).saturating_sub(devices * DEVICE_WORD);
    if line.len() > limit {
        let length = line.len();
        return Err(Failure::new(format!(
            "arguments and environment take {length} bytes and Firecracker's command line holds \
             {limit} with {devices} devices"
        ))
        .remedy("pass long data on a disk"));
    }
    let interfaces = taps.into_iter().enumerate().map(|(index, (device, mac))| {
        let mut interface = json!({ "iface_id": format!("net{index}"), "host_dev_name": device });
        if let Some(mac) = mac {
            interface["guest_mac"] = mac.into();
        }
        interface
    });
    let interfaces: Vec<Value> = interfaces.collect();
    let mut drives = Vec::new();
    for disk in &run.disks {
        drives.push(json!({
            "drive_id": disk.name,
            "is_root_device": false,
            "is_read_only": disk.read_only,
            "path_on_host": path(&disk.file)?,
            // Without it the disk offers no flushes, and nothing is durable.
            "cache_type": "Writeback",
        }));
    }
    let mut configuration = json!({
        "boot-source": { "kernel_image_path": path(kernel)?, "boot_args": line },
        "machine-config": {
            "vcpu_count": run.cpus.0, "mem_size_mib": run.mem.unwrap_or_default().0,
        },
        "drives": drives,
        "network-interfaces": interfaces,
        "entropy": {},
    });
    if let Some(Vsock::Socket(socket)) = &run.vsock {
        configuration["vsock"] = json!({ "guest_cid": CID, "uds_path": path(socket)? });
    }
    Ok(configuration)
}

/// The arguments for a configuration in this file.
pub fn arguments(socket: &Path, file: &Path) -> Vec<OsString> {
    vec![
        "--api-sock".into(),
        socket.into(),
        "--config-file".into(),
        file.into(),
        // By default its log is on the console.
        "--log-path".into(),
        "/dev/stderr".into(),
        "--level".into(),
        "Error".into(),
    ]
}

/// Its API, as the monitor of the machine.
pub struct Firecracker(pub Api);

impl Monitor for Firecracker {
    const NAME: &'static str = "Firecracker";

    fn press_button(&self) {
        self.0.send();
    }

    fn complaint(line: &str) -> Option<&str> {
        // The log has a time and the instance in front; standard error repeats its last line.
        match line.split_once("] ") {
            Some((_, text)) if !text.starts_with("Firecracker exiting") => Some(text),
            _ => None,
        }
    }

    fn not_started(program: &Path, error: &io::Error) -> Failure {
        let source = "https://github.com/firecracker-microvm/firecracker/releases";
        not_started(program, source, error)
    }

    fn outcome(&self, end: &End<'_>) -> Result<u8, Failure> {
        outcome(Self::NAME, end, end.complaints.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::{Firecracker, Monitor as _, configuration};
    use crate::cli::Run;
    use crate::failure::Failure;
    use serde_json::{Value, json};

    /// The configuration of a program without a network.
    fn of(run: &Run, line: &str) -> Result<Value, Failure> {
        configuration(run, &run.program, false, line)
    }

    #[test]
    fn a_configuration_has_what_the_options_say() {
        let run = options(
            "--vmm firecracker --mem 128M --disk data=/srv/d.img --disk www=/srv/w.img,ro \
             --net tap=tap7 --net tap=tap8 --mac 52:54:00:00:00:01",
        );
        let kernel = "/srv/a.flat".as_ref();
        let found = configuration(&run, kernel, true, "A=1 -- x").expect("a configuration");
        assert_eq!(
            found,
            json!({
                "boot-source": { "kernel_image_path": "/srv/a.flat", "boot_args": "A=1 -- x" },
                "machine-config": { "vcpu_count": 1, "mem_size_mib": 128 },
                "drives": [
                    {
                        "drive_id": "data", "is_root_device": false, "is_read_only": false,
                        "path_on_host": "/srv/d.img", "cache_type": "Writeback",
                    },
                    {
                        "drive_id": "www", "is_root_device": false, "is_read_only": true,
                        "path_on_host": "/srv/w.img", "cache_type": "Writeback",
                    },
                ],
                "network-interfaces": [
                    {
                        "iface_id": "net0", "host_dev_name": "tap7",
                        "guest_mac": "52:54:00:00:00:01",
                    },
                    { "iface_id": "net1", "host_dev_name": "tap8" },
                ],
                "entropy": {},
            })
        );
        let alone = of(&options("--vmm firecracker"), "").expect("one");
        // `drives` has no default in Firecracker's parser.
        assert_eq!(alone["drives"], json!([]));
        assert_eq!(alone["network-interfaces"], json!([]));
    }

    #[test]
    fn the_command_line_has_room_for_the_devices() {
        let length = 2047 - 8 - 37;
        let run = options("--vmm firecracker");
        assert!(of(&run, &"a".repeat(length)).is_ok());
        let error = of(&run, &"a".repeat(length + 1)).expect_err("too long");
        assert!(
            error.to_string().contains("holds 2002 with 1 devices"),
            "{error}"
        );
        let run = options("--vmm firecracker --disk data=d --net tap=tap7");
        assert!(of(&run, &"a".repeat(length - 74)).is_ok());
        assert!(of(&run, &"a".repeat(length - 73)).is_err());
    }

    #[test]
    fn the_log_has_no_times_in_messages() {
        let line = "2026-11-25T10:00:00.000000000 [anonymous-instance:main] Kvm error: no /dev/kvm";
        assert_eq!(Firecracker::complaint(line), Some("Kvm error: no /dev/kvm"));
        for other in [
            "Error: RunWithApi(MicroVMStoppedWithError(GenericError))",
            "2026-11-25T10:00:00.0 [anonymous-instance:main] Firecracker exiting with error.",
        ] {
            assert_eq!(Firecracker::complaint(other), None);
        }
    }
}
