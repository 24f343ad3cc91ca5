//! The `soil` command: starts programs in both forms, makes projects, and says what a machine lacks.

mod cli;
mod options;
mod program;
mod report;
mod run;
mod words;

use clap::Parser as _;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
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
