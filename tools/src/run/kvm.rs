//! Checks whether KVM works by booting a small program under it: inside another machine, the
//! presence of /dev/kvm proves little.

use crate::arch::Arch;
use crate::child::dies_with_us;
use crate::cli::{Machine, value_name};
use crate::flat;
use crate::progress;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The limit of processor time for a probe; a working one takes about 50 ms.
const PROCESSOR_TIME: Duration = Duration::from_secs(3);

/// The limit of real time, for a busy host.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The value that the probe writes to isa-debug-exit, and QEMU's status for it.
const ANSWER: u8 = 0x2a;
const ANSWER_STATUS: i32 = ((ANSWER as i32) << 1) | 1;

/// The program that arm64's machines boot: Linux's header of 64 bytes, whose first instruction
/// branches behind it, and a call of PSCI's SYSTEM_OFF, for which QEMU ends with status 0: mov w0,
/// #0x8; movk w0, #0x8400, lsl #16; hvc #0; b to itself
fn flat_probe() -> Vec<u8> {
    const CODE: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
    let mut image = flat::header(16, 4096);
    image.extend(CODE.into_iter().flat_map(u32::to_le_bytes));
    image
}

/// Builds a bootable ELF file for x86-64: one segment at 1 MiB, whose code exits by isa-debug-exit,
/// and the PVH note with its entry point.
pub fn probe_image() -> Vec<u8> {
    const ENTRY: u64 = 0x10_0000;
    // A KVM that emulates each instruction supports only basic ones, so the probe enables and uses
    // SSE: mov eax, cr4; or eax, OSFXSR | OSXMMEXCPT; mov cr4, eax; xorps xmm0, xmm0; mov al,
    // ANSWER; mov dx, 0xf4; out dx, al; cli; hlt; jmp to the hlt
    const CODE: [u8; 25] = [
        0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x06, 0x00, 0x00, 0x0f, 0x22, 0xe0, 0x0f, 0x57, 0xc0, 0xb0,
        ANSWER, 0x66, 0xba, 0xf4, 0x00, 0xee, 0xfa, 0xf4, 0xeb, 0xfd,
    ];
    const HEADERS: u64 = 64 + 2 * 56;
    const NOTE: u64 = 12 + 4 + 8;
    let code_at = HEADERS + NOTE;

    let mut image = Vec::new();
    let half = |image: &mut Vec<u8>, value: u16| image.extend(value.to_le_bytes());
    let word = |image: &mut Vec<u8>, value: u32| image.extend(value.to_le_bytes());
    let long = |image: &mut Vec<u8>, value: u64| image.extend(value.to_le_bytes());
    // ELF64, little endian, executable, x86-64.
    image.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    half(&mut image, 2);
    half(&mut image, 62);
    word(&mut image, 1);
    long(&mut image, ENTRY);
    long(&mut image, 64);
    long(&mut image, 0);
    word(&mut image, 0);
    for value in [64, 56, 2, 64, 0, 0] {
        half(&mut image, value);
    }
    // PT_LOAD (read, execute) and PT_NOTE.
    let size = CODE.len() as u64;
    for (kind, flags, at, address, size, align) in
        [(1, 5, code_at, ENTRY, size, 1), (4, 4, HEADERS, 0, NOTE, 4)]
    {
        word(&mut image, kind);
        word(&mut image, flags);
        for value in [at, address, address, size, size, align] {
            long(&mut image, value);
        }
    }
    word(&mut image, 4);
    word(&mut image, 8);
    word(&mut image, 18);
    image.extend(b"Xen\0");
    long(&mut image, ENTRY);
    image.extend(CODE);
    image
}

/// Whether QEMU's machine boots under KVM here. Caches the result for this boot of the host, this
/// QEMU and this kind of machine.
///
/// The processor model must be that of the run: with nested KVM, `host` may abort while QEMU's
/// default boots.
pub fn works(qemu: &Path, machine: Machine, cpu: &str) -> bool {
    let device = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    if device.is_err() {
        return false;
    }
    let note = note_file(qemu, machine, cpu);
    if let Some(known) = note
        .as_ref()
        .and_then(|note| std::fs::read_to_string(note).ok())
    {
        match known.trim() {
            "works" => return true,
            "fails" => return false,
            // Written by another version with another probe.
            _ => {}
        }
    }
    let answer = progress::during("trying KVM", || boots(qemu, machine, "kvm", cpu));
    if let Some(note) = note {
        // The cache only saves time: without it the probe runs again.
        let _ = note.parent().map(std::fs::create_dir_all);
        forget_earlier_boots(&note);
        let _ = std::fs::write(note, if answer { "works\n" } else { "fails\n" });
    }
    answer
}

/// Removes the cache files of earlier boots.
fn forget_earlier_boots(note: &Path) {
    // "kvm-" and the 36 characters of a boot ID.
    let prefix = |name: &str| name.get(..40).map(str::to_owned);
    let own = note
        .file_name()
        .and_then(|name| prefix(&name.to_string_lossy()));
    let files = note
        .parent()
        .and_then(|folder| std::fs::read_dir(folder).ok());
    for file in files.into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("kvm-") && prefix(&name) != own {
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// The cache file of the result; its name contains everything that the result depends on.
fn note_file(qemu: &Path, machine: Machine, cpu: &str) -> Option<PathBuf> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let program = crate::executables::find_program(qemu)?;
    let changed = std::fs::metadata(&program).ok()?.modified().ok()?;
    let changed = changed
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?
        .as_secs();
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    let name = program.to_string_lossy().replace('/', "_");
    let cpu = cpu.replace('/', "_");
    Some(cache.join("soil").join(format!(
        "kvm-{}-{machine:?}-{cpu}-{changed}{name}",
        boot.trim()
    )))
}

/// Boots the probe under an accelerator.
fn boots(qemu: &Path, machine: Machine, accelerator: &str, cpu: &str) -> bool {
    let Ok(folder) = crate::run::scratch::Folder::new() else {
        return false;
    };
    // The status to expect, QEMU's further options, and the program.
    let (expected, options, probe): (_, &[&str], _) = match machine.arch() {
        Arch::X86_64 => (
            ANSWER_STATUS,
            &["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
            probe_image(),
        ),
        Arch::Aarch64 => (0, &[], flat_probe()),
    };
    let name = value_name(&machine);
    let model = match (machine, accelerator) {
        // As command.rs starts it.
        (Machine::Virt, "kvm") => "virt,gic-version=host",
        _ => &name,
    };
    let image = folder.path().join("probe");
    let written = std::fs::File::create(&image).and_then(|mut file| file.write_all(&probe));
    if written.is_err() {
        return false;
    }
    let mut command = Command::new(qemu);
    dies_with_us(&mut command);
    let started = command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-m",
            "16M",
        ])
        .args(["-M", model, "-accel", accelerator, "-cpu", cpu])
        .args(options)
        .arg("-kernel")
        .arg(&image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.is_ok_and(|child| answers(child, expected))
}

/// Whether the probe exits with the expected status in time. Kills it otherwise.
fn answers(mut child: Child, expected: i32) -> bool {
    let end = Instant::now() + TIMEOUT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code() == Some(expected),
            Ok(None) if Instant::now() < end && processor_time(child.id()) < PROCESSOR_TIME => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Returns a process's processor time (proc_pid_stat(5): utime and stime, in hundredths of a
/// second, Linux's `USER_HZ`); zero if it can't be read.
fn processor_time(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may contain brackets and blanks.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let hundredths = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum::<u64>();
    Duration::from_millis(10 * hundredths)
}

#[cfg(test)]
mod tests {
    use super::{ANSWER_STATUS, answers, boots, forget_earlier_boots};
    use crate::cli::Machine;
    use crate::executables::find_program;
    use std::path::Path;

    /// Whether [`answers`] accepts a script in place of QEMU.
    fn works(script: &str) -> bool {
        let child = std::process::Command::new("sh")
            .args(["-c", script])
            .spawn();
        answers(child.expect("a shell"), ANSWER_STATUS)
    }

    #[test]
    fn the_probe_of_each_machine_ends_it() {
        for machine in [Machine::Microvm, Machine::Q35, Machine::Virt] {
            let qemu = Path::new(machine.arch().qemu());
            if find_program(qemu).is_none() {
                println!("left out: no {}", qemu.display());
                continue;
            }
            assert!(boots(qemu, machine, "tcg", "max"), "{machine:?}");
        }
    }

    #[test]
    fn a_probe_that_is_not_run_for_some_time_counts() {
        assert!(works(&format!("sleep 4; exit {ANSWER_STATUS}")));
    }

    #[test]
    fn a_probe_that_computes_without_end_is_ended() {
        assert!(!works("while :; do :; done"));
    }

    #[test]
    fn notes_of_earlier_boots_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |boot: char, rest: &str| {
            let path = folder
                .path()
                .join(format!("kvm-{}-{rest}", boot.to_string().repeat(36)));
            std::fs::write(&path, "fails\n").expect("written");
            path
        };
        let (old, other, new) = (file('a', "x"), file('b', "y"), file('b', "x"));
        let foreign = folder.path().join("linux");
        std::fs::write(&foreign, "").expect("written");
        forget_earlier_boots(&new);
        assert!(!old.exists() && other.exists() && new.exists() && foreign.exists());
    }
}
