//! `--json`: prints one JSON document to standard output.

use crate::failure::{Context as _, Failure};
use serde::Serialize;
use std::io::Write as _;

/// Prints `value` as indented JSON.
pub fn print(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).on("standard output")?;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::on("standard output", error))
        }
        _ => Ok(()),
    }
}
