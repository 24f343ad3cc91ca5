//! `soil strip`: makes a stripped copy of an image for deployment.

use crate::failure::{Context as _, Failure};
use crate::program::{self, Form};
use std::path::Path;
use std::process::Command;

/// Writes `output` and returns a message with its size.
pub fn strip(image: &Path, output: &Path) -> Result<String, Failure> {
    let program = program::inspect(image)?;
    if program.form != Form::Image {
        return Err(Failure::on(image, "no image").remedy("name one below _build/soil"));
    }
    if !program.has_sections {
        // Nothing to remove, and binutils' strip refuses it.
        std::fs::copy(image, output).on(output)?;
        return written(image, output);
    }
    // binutils' strip keeps the PVH note and the build-id, which identifies the image in crash
    // reports.
    let status = Command::new("strip")
        .arg("--strip-all")
        .arg("-o")
        .arg(output)
        .arg(image)
        .status()
        .map_err(|error| {
            Failure::on("strip", format!("did not start: {error}"))
                .remedy("apt-get install binutils")
        })?;
    if !status.success() {
        return Err(Failure::on(output, "strip could not write it"));
    }
    let stripped = program::inspect(output)?;
    if stripped.form != Form::Image {
        let reason = "it lost its boot note, so this machine's strip can't be used";
        return Err(Failure::on(output, reason).remedy("apt-get install binutils"));
    }
    written(image, output)
}

/// The message about a stripped copy.
fn written(image: &Path, output: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(output).on(output)?.len();
    Ok(format!(
        "{}: {} KB; keep {} for the names in crash reports",
        output.display(),
        size.div_ceil(1000),
        image.display()
    ))
}
