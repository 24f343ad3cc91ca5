//! The `soil` command: runs programs in both forms, makes projects and disks, and checks the host.

mod cli;
mod demangle;
mod disk;
mod doctor;
mod embed;
mod options;
mod program;
mod project;
mod report;
mod run;
mod sexp;
#[path = "link/stand_in.rs"]
mod stand_in;
mod strip;
mod symbols;
mod words;

extern crate alloc;
// The runtime's locks of disks; the runtime itself doesn't link with Rust's standard library.
#[allow(dead_code)]
#[path = "../../platform/host/src/disk/lock.rs"]
mod lock;
// The kernel's parser, to test `words`; the kernel itself doesn't link into a Linux program.
#[cfg(test)]
#[allow(dead_code, missing_docs)]
#[path = "../../kernel/src/firmware/command_line.rs"]
mod kernel_command_line;

use clap::Parser as _;
use cli::{Cli, Command};
use run::Failure;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = |result: Result<(), String>| result.map(|()| 0).map_err(Failure::usage);
    let said = |result: Result<String, String>| done(result.map(|text| println!("{text}")));
    let result = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Symbolize { program, addresses } => done(report::symbolize(&program, &addresses)),
        Command::New { name } => said(project::new(&name)),
        Command::Init => said(project::init(Path::new("."))),
        Command::Doctor => Ok(u8::from(!doctor::run())),
        Command::Disk(command) => disk::run(&command)
            .map(|text| {
                if !text.is_empty() {
                    println!("{text}");
                }
                0
            })
            .map_err(Failure::usage),
        Command::Embed { directory, at } => {
            let mut output = std::io::BufWriter::new(std::io::stdout().lock());
            done(embed::run(&directory, at.as_deref(), &mut output))
        }
        Command::Strip { image, output } => said(strip::strip(&image, &output)),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            run::say(&failure.text);
            ExitCode::from(failure.status)
        }
    }
}
