//! Queries a program for its needs: starts it without devices by another `soil run` and parses its
//! output.

use super::REFUSED;
use super::answer::{self, Answer};
use crate::child::dies_with_us;
use crate::cli::{Accelerator, Machine, Run, ShowNeeds, value_name};
use crate::exit_status::TIMED_OUT;
use crate::failure::{Context as _, Failure};
use crate::messages::print_error;
use crate::options::{Memory, Variable};
use crate::progress;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The query's time limit. An image boots in a tenth of a second.
const LIMIT: Duration = Duration::from_secs(30);
/// The maximum output to read, in bytes.
const MAX_OUTPUT: u64 = 1 << 20;
/// Memory of the queried machine, in MiB: the program's own need isn't known yet.
const MEMORY: u32 = 256;

/// A program and all options that may affect its answer.
pub struct Question<'a> {
    program: &'a Path,
    arguments: &'a [OsString],
    variables: &'a [Variable],
    memory: Option<Memory>,
    limit: Duration,
    machine: Option<Machine>,
    accel: Accelerator,
    cpu: Option<&'a str>,
    qemu: Option<&'a Path>,
}

impl<'a> Question<'a> {
    pub fn of_run(run: &'a Run) -> Self {
        Self {
            program: &run.program,
            arguments: &run.arguments,
            variables: &run.variables,
            memory: run.mem,
            limit: run.timeout.unwrap_or(LIMIT).min(LIMIT),
            machine: run.given_machine,
            accel: run.accel,
            cpu: run.cpu.as_deref(),
            qemu: run.qemu.given.as_deref(),
        }
    }

    pub fn of_needs(options: &'a ShowNeeds) -> Self {
        Self {
            program: &options.program,
            arguments: &options.arguments,
            variables: &options.variables,
            memory: None,
            limit: LIMIT,
            machine: None,
            accel: Accelerator::Auto,
            cpu: None,
            qemu: options.qemu.given.as_deref(),
        }
    }

    /// Starts the program and returns its answer.
    pub fn ask(&self) -> Result<Answer, Failure> {
        progress::during("asking the program what it needs", || self.answer())
    }

    fn answer(&self) -> Result<Answer, Failure> {
        let refuse = |why: String, remedy: &str| {
            let failure = Failure::on(self.program, why).remedy(remedy);
            Err(failure.with_status(REFUSED))
        };
        let mut child = self
            .command()?
            .spawn()
            .map_err(|error| Failure::on("soil run", error))?;
        let mut output = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            // After an error, the output read so far still counts.
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut output);
        }
        // More output would fill the pipe and block; killing `soil run` ends its machine.
        let flood = output.len() as u64 == MAX_OUTPUT;
        if flood {
            let _ = child.kill();
        }
        let errors = child.stderr.take().map(|pipe| {
            let mut errors = Vec::new();
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut errors);
            String::from_utf8_lossy(&errors).into_owned()
        });
        let status = child.wait().on("soil run")?;
        let errors = errors.unwrap_or_default();
        match answer::find(&output) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(wrong)) => {
                let remedy = "is it of another version of Soil? --ignore-needs runs it";
                return refuse(format!("its needs can't be understood ({wrong})"), remedy);
            }
            None => {}
        }
        let remedy = "call Soil.run (or Soil.Needs.answer) before anything is waited for or used; \
            --ignore-needs runs it unchecked";
        if flood {
            return refuse(
                "prints endlessly instead of reporting its needs".into(),
                remedy,
            );
        }
        match status.code() {
            Some(code) if code == i32::from(TIMED_OUT) && errors.contains("--timeout") => {
                let seconds = self.limit.as_secs_f64();
                refuse(format!("did not say what it needs in {seconds} s"), remedy)
            }
            Some(0) => refuse("ended without saying what it needs".into(), remedy),
            _ => {
                print_error(&errors);
                refuse(
                    "failed before it said what it needs".into(),
                    "its messages are above; --ignore-needs runs it unchecked",
                )
            }
        }
    }

    fn command(&self) -> Result<Command, Failure> {
        let this = std::env::current_exe().on("soil")?;
        let mut command = Command::new(this);
        command.arg("run").arg("--ignore-needs");
        let memory = self.memory.map_or(MEMORY, |Memory(mib)| mib.max(MEMORY));
        command
            .args(["--net", "none"])
            .args(["--timeout", &self.limit.as_secs_f64().to_string()])
            .args(["--mem", &format!("{memory}M")])
            .args(["--accel", &value_name(&self.accel)]);
        if let Some(machine) = &self.machine {
            command.args(["--machine", &value_name(machine)]);
        }
        if let Some(qemu) = self.qemu {
            command.arg("--qemu").arg(qemu);
        }
        if let Some(cpu) = self.cpu {
            command.args(["--cpu", cpu]);
        }
        for variable in self.variables {
            let value = match &variable.value {
                Some(value) => format!("={value}"),
                None => String::new(),
            };
            command
                .arg("--env")
                .arg(format!("{}{value}", variable.name));
        }
        command
            .args(["--env", "SOIL_NEEDS=json"])
            .arg(self.program)
            .arg("--")
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        dies_with_us(&mut command);
        Ok(command)
    }
}
