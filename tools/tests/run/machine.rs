//! The stand-in for QEMU, and what every test of it needs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The beginning of every stand-in: the numbers of its sockets, from its own command line, as file
/// descriptors 8 and 9.
const SOCKETS: &str = r#"#!/bin/bash
for word in "$@"; do
  case $word in
  socket,id=soilctl,fd=*) exec 8>&"${word##*=}" ;;
  socket,id=monitor,fd=*) exec 9<&"${word##*=}" ;;
  esac
done
"#;

/// A machine's program, and the script in QEMU's place.
pub struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_script(&folder.path().join("qemu"), &format!("{SOCKETS}{script}"));
        fs::write(folder.path().join("main.exe"), image()).expect("written");
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        // A shell without job control starts what it runs in the background with INT and QUIT
        // ignored, and `soil run` leaves ignored signals alone.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT,QUIT", env!("CARGO_BIN_EXE_soil")])
            .arg("run")
            .arg(self.path("main.exe"))
            .arg("--qemu")
            .arg(self.path("qemu"));
        command.args(["--accel", "tcg"]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().expect("soil starts"))
    }
}

/// Writes a program. A shell does: children of other tests, between their fork and exec, would
/// otherwise hold it open for writing, and exec fails then ("Text file busy").
pub fn write_script(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut input = writer.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("written");
    drop(input);
    assert!(writer.wait().expect("waited for").success());
}

/// The end of a run.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The smallest file that is taken for an image: an ELF header, one segment of notes, and the note.
fn image() -> Vec<u8> {
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 62] {
        image.extend(half.to_le_bytes());
    }
    image.extend(1_u32.to_le_bytes());
    for long in [0x10_0000_u64, 64, 0] {
        image.extend(long.to_le_bytes());
    }
    image.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        image.extend(half.to_le_bytes());
    }
    for word in [4_u32, 4] {
        image.extend(word.to_le_bytes());
    }
    for long in [120_u64, 0, 0, 24, 24, 4] {
        image.extend(long.to_le_bytes());
    }
    for word in [4_u32, 8, 18] {
        image.extend(word.to_le_bytes());
    }
    image.extend(b"Xen\0");
    image.extend(0x10_0000_u64.to_le_bytes());
    image
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(child.id().to_string())
        .status();
    assert!(status.expect("kill runs").success());
}

/// Waits until `holds`; the limit only ends what hangs.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of a child whose outputs need not be read.
pub fn status_of(child: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_until("the end of soil run", || {
        status = child.try_wait().expect("waited for");
        status.is_some()
    });
    status.and_then(|status| status.code())
}

/// Whether a process is there and not merely to be waited for.
pub fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
