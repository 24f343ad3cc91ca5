//! `soil strip`: the copy of an image that is deployed.

use crate::program::{self, Form};
use std::path::Path;
use std::process::Command;

/// Writes `output`, and says how large it is.
pub fn strip(image: &Path, output: &Path) -> Result<String, String> {
    let program = program::inspect(image).map_err(|(_, text)| text)?;
    if program.form != Form::Image {
        return Err(format!(
            "{} is no image: name one below _build/soil",
            image.display()
        ));
    }
    // binutils' strip keeps the notes by which the image boots and is recognized in a crash report.
    let status = Command::new("strip")
        .arg("--strip-all")
        .arg("-o")
        .arg(output)
        .arg(image)
        .status()
        .map_err(|error| format!("strip did not start ({error}): install binutils"))?;
    if !status.success() {
        return Err(format!("strip could not write {}", output.display()));
    }
    let stripped = program::inspect(output).map_err(|(_, text)| text)?;
    if stripped.form != Form::Image {
        return Err(format!(
            "{} has lost its boot note: this strip can't be used",
            output.display()
        ));
    }
    let size = std::fs::metadata(output)
        .map_err(|error| error.to_string())?
        .len();
    Ok(format!(
        "{}: {} KB; keep {} for the names in crash reports",
        output.display(),
        size.div_ceil(1000),
        image.display()
    ))
}
