//! The `soil` command: starts programs in both forms, makes projects, and says what a machine lacks.

mod cli;
mod demangle;
mod options;
mod program;
mod report;
mod run;
mod symbols;
mod words;

use clap::Parser as _;
use cli::{Cli, Command};
use run::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = |result: Result<(), String>| result.map(|()| 0).map_err(Failure::usage);
    let result = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Symbolize { program, addresses } => done(report::symbolize(&program, &addresses)),
        _ => Ok(0),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("soil: {}", failure.text);
            ExitCode::from(failure.status)
        }
    }
}
