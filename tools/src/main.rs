//! The `soil` command: runs programs in both forms, creates projects and disks, checks the host.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

// The link driver uses the rest.
#[allow(dead_code)]
mod arch;
mod build;
mod child;
mod cli;
mod desktop;
mod disk;
mod doctor;
mod dune;
mod embed;
mod executables;
mod exit_status;
mod failure;
mod flat;
mod image;
mod image_lock;
mod installed;
mod json;
mod manual;
mod messages;
mod needs;
mod observe;
mod oci;
mod options;
mod picture;
mod profile;
mod program;
mod progress;
mod project;
mod report;
mod run;
mod secrets;
mod sexp;
mod simulate;
mod stand_in;
mod strip;
mod symbols;
mod testing;
mod toolchain;
mod trace;
mod words;
mod zone;

use cli::{Command, parse};
use failure::Failure;
use std::path::Path;
use std::process::ExitCode;

/// Names the variables of this process's environment that nothing of Soil reads.
fn warn_of_unknown_variables() {
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && let Some(unknown) = configuration::unknown(name)
        {
            messages::say(&format!("warning: unknown variable {name}{unknown}"));
        }
    }
}

fn print_line(text: &str) -> Result<u8, Failure> {
    messages::print(&format!("{text}\n")).map(|()| 0)
}

fn main() -> ExitCode {
    let done = |result: Result<(), Failure>| result.map(|()| 0);
    let said = |result: Result<String, Failure>| result.and_then(|text| print_line(&text));
    let command = parse().command;
    let is_run = matches!(command, Command::Run(_));
    if !is_run {
        // A process that `soil run` starts says it itself.
        warn_of_unknown_variables();
    }
    let result = match command {
        Command::Run(options) => run::run(&options),
        Command::Needs(options) => said(needs::show(&options)),
        Command::Symbolize { program, addresses } => done(report::symbolize(&program, &addresses)),
        Command::New { name, template } => said(project::new(&name, template)),
        Command::Build { release, json } => done(build::run(release, json)),
        Command::Test(options) => testing::run(&options).map(|passed| u8::from(!passed)),
        Command::Simulate(options) => simulate::run(&options).map(|passed| u8::from(!passed)),
        Command::Init { arch } => said(project::init(Path::new("."), arch)),
        Command::Doctor(options) => doctor::run(&options).map(|complete| u8::from(!complete)),
        Command::Completions { shell } => done(manual::completions(shell)),
        Command::Man { directory } => done(manual::pages(&directory)),
        Command::Disk(command) => disk::run(&command).and_then(|text| match text.is_empty() {
            true => Ok(0),
            false => print_line(&text),
        }),
        Command::Image(options) => said(image::run(&options)),
        Command::Embed { directory, at } => {
            let mut output = std::io::BufWriter::new(messages::Output::default());
            done(embed::run(&directory, at.as_deref(), &mut output))
        }
        Command::Strip {
            flat: true,
            image,
            output,
        } => said(strip::flat(&image, &output)),
        Command::Strip { image, output, .. } => said(strip::strip(&image, &output)),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            messages::say(&failure.to_string());
            let status = failure.status.filter(|_| is_run);
            ExitCode::from(status.unwrap_or(if is_run { exit_status::NOT_STARTED } else { 1 }))
        }
    }
}
