//! `--json`: prints one JSON document to standard output.

use crate::failure::{Context as _, Failure};
use crate::messages::{self, OUTPUT};
use serde::Serialize;

/// Prints `value` as indented JSON.
pub fn print(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).on(OUTPUT)?;
    messages::print(&(text + "\n"))
}
