//! Runs the programs that make, check and grow file systems.

use crate::executables::find_tool;
use crate::failure::{Context as _, Failure};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A program and its package.
pub struct Tool {
    pub name: &'static str,
    pub package: &'static str,
}

impl Tool {
    const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }
}

pub const MKFS_FAT: Tool = Tool::new("mkfs.fat", "dosfstools");
pub const FSCK_FAT: Tool = Tool::new("fsck.fat", "dosfstools");
pub const MKFS_EXT4: Tool = Tool::new("mkfs.ext4", "e2fsprogs");
pub const E2FSCK: Tool = Tool::new("e2fsck", "e2fsprogs");
pub const RESIZE2FS: Tool = Tool::new("resize2fs", "e2fsprogs");
pub const SFDISK: Tool = Tool::new("sfdisk", "fdisk");
pub const QEMU_IMG: Tool = Tool::new("qemu-img", "qemu-utils");
pub const SBSIGN: Tool = Tool::new("sbsign", "sbsigntool");
pub const TAR: Tool = Tool::new("tar", "tar");
pub const CP: Tool = Tool::new("cp", "coreutils");

/// The result of a program.
pub struct Outcome {
    pub status: i32,
    /// Its output, errors last.
    pub text: String,
}

impl Outcome {
    /// Returns the last line, which most likely names the error.
    pub fn last_line(&self) -> &str {
        let mut lines = self.text.lines().rev().map(str::trim);
        lines.find(|line| !line.is_empty()).unwrap_or("no message")
    }
}

impl Tool {
    pub fn command(&self) -> Result<Command, Failure> {
        let Some(path) = find_tool(self.name) else {
            let Self { name, package } = self;
            let remedy = format!("apt-get install {package}");
            return Err(Failure::on(name, "isn't installed").remedy(remedy));
        };
        let mut command = Command::new(path);
        command.env("LC_ALL", "C.UTF-8");
        Ok(command)
    }

    /// Runs a command of this program with `input`, and calls `meanwhile` while it runs.
    pub fn run(
        &self,
        mut command: Command,
        input: &str,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Outcome, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .on(self.name)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that stops reading its input reports the reason itself.
            let _ = stdin.write_all(input.as_bytes());
        }
        let waiting = std::thread::spawn(move || child.wait_with_output());
        while !waiting.is_finished() {
            meanwhile();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let output = waiting
            .join()
            .map_err(|_| Failure::on(self.name, "its output was lost"))?
            .on(self.name)?;
        let text = [output.stdout, output.stderr].concat();
        Ok(Outcome {
            status: output.status.code().unwrap_or(128),
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    /// Runs it with these arguments and returns its error as one line.
    pub fn must(&self, arguments: &[&str], input: &str) -> Result<(), Failure> {
        let mut command = self.command()?;
        command.args(arguments);
        let outcome = self.run(command, input, &mut || {})?;
        if outcome.status == 0 {
            Ok(())
        } else {
            Err(Failure::on(self.name, outcome.last_line()))
        }
    }
}
