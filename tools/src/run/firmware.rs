//! `soil run --firmware`: a machine that boots a disk as a host does, by QEMU's firmware.

use super::command::{Wiring, with_file};
use super::serial::Origin;
use super::{check, check_vsock, scratch, show, start, takes_kvm};
use crate::arch::Arch;
use crate::cli::{Firmware, Launcher, Machine, Run, value_name};
use crate::disk::format::Format;
use crate::failure::{Context as _, Failure};
use crate::image;
use crate::options::{Disk, Memory};
use loader::elf;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Memory without `--mem`, in MiB: OVMF takes more than 64.
const MEMORY: u32 = 256;

/// Where distributions and QEMU have the firmware: code and variables without keys.
const X86_64: [(&str, &str); 4] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/qemu/edk2-x86_64-code.fd",
        "/usr/share/qemu/edk2-i386-vars.fd",
    ),
];
const AARCH64: [(&str, &str); 3] = [
    (
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/usr/share/AAVMF/AAVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
        "/usr/share/edk2/aarch64/vars-template-pflash.raw",
    ),
    (
        "/usr/share/qemu/edk2-aarch64-code.fd",
        "/usr/share/qemu/edk2-arm-vars.fd",
    ),
];
/// The same for Secure Boot.
const X86_64_SECURE: [&str; 4] = [
    "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
    "/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd",
    "/usr/share/qemu/edk2-x86_64-secure-code.fd",
];

const AARCH64_SECURE: [&str; 2] = [
    "/usr/share/AAVMF/AAVMF_CODE.secboot.fd",
    "/usr/share/AAVMF/AAVMF_CODE.ms.fd",
];

/// The machine's copy of the variables in the command that `--dry-run` prints.
const SHOWN_VARIABLES: &str = "variables.fd";

/// Boots the disk `run.program`, and returns the exit status of what is on it.
pub fn run(run: &Run, kind: Firmware) -> Result<u8, Failure> {
    let run = &completed(run)?;
    check(run)?;
    check_vsock(run)?;
    if run.dry_run == Some(Launcher::Libvirt) {
        let reason = "no description of a disk's machine";
        return Err(Failure::on("--dry-run=libvirt", reason)
            .remedy("virt-install --import --disk FILE,bus=virtio (docs/book/deploying.md)"));
    }
    let found = match kind {
        Firmware::Bios => None,
        Firmware::Uefi => Some(files(run)?),
    };
    let folder = found.as_ref().filter(|_| run.dry_run.is_none());
    let folder = folder.map(|_| scratch::Folder::new().on("a folder for the firmware's variables"));
    let folder = folder.transpose()?;
    let mut words = Vec::new();
    let mut first = String::new();
    if let Some((code, template)) = &found {
        let own = match &folder {
            Some(folder) => {
                let own = folder.path().join(SHOWN_VARIABLES);
                let bytes = std::fs::read(template).on(template)?;
                std::fs::write(&own, bytes).on(&own)?;
                own
            }
            None => {
                let template = super::shell::quoted(template.as_os_str());
                first = format!("cp {template} {SHOWN_VARIABLES} &&\n");
                PathBuf::from(SHOWN_VARIABLES)
            }
        };
        words = flash(run, code, &own);
    }
    let wiring = Wiring {
        kvm: takes_kvm(run)?,
        boot: &words,
        ..Wiring::default()
    };
    if run.dry_run.is_some() {
        show(run, &wiring, "", &first)?;
        return Ok(0);
    }
    start(run, wiring, "", None, Origin::Plain)
}

/// The options with the disk as the first of the machine's, and the machine that boots it.
fn completed(run: &Run) -> Result<Run, Failure> {
    let mut run = run.clone();
    let disk = run.program.clone();
    if let Some(format) = Format::of(&disk).filter(|format| format.of_qemu().is_none()) {
        let remedy = format.to_raw(&disk);
        return Err(Failure::on(disk, "a compressed file, not a disk").remedy(remedy));
    }
    let machine = run
        .given_machine
        .unwrap_or_else(|| match image::machine_of(&disk) {
            Some(elf::Machine::Aarch64) => Machine::Virt,
            Some(elf::Machine::X86_64) => Machine::Q35,
            None if Arch::HOST == Arch::Aarch64 => Machine::Virt,
            None => Machine::Q35,
        });
    let kind = run.firmware;
    let refused = match (machine, kind) {
        (Machine::Microvm, _) => Some("has no firmware that boots disks"),
        (Machine::Virt, Some(Firmware::Bios)) => Some("boots by UEFI only"),
        (Machine::Pc, _) if run.secure_boot.is_some() => Some("has no Secure Boot here"),
        _ => None,
    };
    if let Some(reason) = refused {
        let subject = format!("--machine {}", value_name(&machine));
        return Err(Failure::on(subject, reason)
            .remedy("give --machine q35, or --machine virt --firmware uefi for arm64"));
    }
    if run.secure_boot.is_some() && kind == Some(Firmware::Bios) {
        return Err(Failure::on("--secure-boot", "a BIOS has none").remedy("give --firmware uefi"));
    }
    run.given_machine = Some(machine);
    run.mem = run.mem.or(Some(Memory(MEMORY)));
    run.disks.insert(
        0,
        Disk {
            name: "boot".into(),
            file: disk,
            read_only: false,
            sector: None,
        },
    );
    Ok(run)
}

/// The firmware's code and variables.
fn files(run: &Run) -> Result<(PathBuf, PathBuf), Failure> {
    let exists = |path: &&str| Path::new(path).exists();
    let arch = run.machine().arch();
    let missing = || {
        let package = match arch {
            Arch::X86_64 => "ovmf",
            Arch::Aarch64 => "qemu-efi-aarch64",
        };
        Failure::new("--firmware uefi: no firmware in the folders of distributions")
            .remedy(format!("apt-get install {package}"))
    };
    if let Some(variables) = &run.secure_boot {
        let known: &[&str] = match arch {
            Arch::X86_64 => &X86_64_SECURE,
            Arch::Aarch64 => &AARCH64_SECURE,
        };
        let code = known.iter().copied().find(exists).ok_or_else(missing)?;
        return Ok((code.into(), variables.clone()));
    }
    let known: &[(&str, &str)] = match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    };
    let found = known
        .iter()
        .find(|(code, variables)| exists(code) && exists(variables));
    let (code, variables) = found.ok_or_else(missing)?;
    Ok((code.into(), variables.into()))
}

/// QEMU's options for the firmware in flash memory.
fn flash(run: &Run, code: &Path, variables: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    // The system management mode of a PC keeps the variables from the program.
    if run.secure_boot.is_some() && run.machine().arch() == Arch::X86_64 {
        words.extend(["-global", "driver=cfi.pflash01,property=secure,value=on"].map(Into::into));
    }
    for (unit, options, file) in [(0, "readonly=on,", code), (1, "", variables)] {
        let text = format!("if=pflash,format=raw,unit={unit},{options}file=");
        words.extend(["-drive".into(), with_file(text, file)]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{completed, flash};
    use crate::cli::{Cli, Command, Run};
    use crate::failure::Failure;
    use clap::Parser;
    use std::path::Path;

    fn secure(machine: &str) -> Result<Run, Failure> {
        let words = "soil run disk.img --firmware uefi --secure-boot keys.fd --machine";
        match Cli::try_parse_from(words.split(' ').chain([machine])).map(|cli| cli.command) {
            Ok(Command::Run(run)) => completed(&run),
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn secure_boot_is_for_machines_whose_firmware_has_it() {
        for (machine, protects) in [("q35", true), ("virt", false)] {
            let run = secure(machine).unwrap_or_else(|error| panic!("{machine}: {error}"));
            let words = flash(&run, Path::new("code.fd"), Path::new("own.fd"));
            let is_protected = words.iter().any(|word| {
                word.to_string_lossy()
                    .contains("cfi.pflash01,property=secure")
            });
            assert_eq!(is_protected, protects, "{machine}: {words:?}");
        }
        let error = secure("pc").err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("has no Secure Boot here")));
    }
}
