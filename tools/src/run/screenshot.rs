//! `--screenshot`: writes the picture of a display at the program's end.

use crate::cli::Run;
use crate::failure::{Context as _, Failure};
use crate::messages::say_soon;
use crate::picture::Picture;
use std::fs::File;

/// `EX_IOERR` of sysexits.h.
const NO_PICTURE: u8 = 74;

/// Writes the first display's picture, if requested. Returns the exit status of `soil run` for a
/// program that ended with `status`.
pub fn status(run: &Run, picture: Result<Option<Picture>, Failure>, status: u8) -> u8 {
    let written = match (picture, &run.screenshot) {
        (Ok(_), None) => Ok(()),
        (Ok(Some(picture)), Some(path)) => File::create(path)
            .and_then(|file| picture.write_png(file))
            .on(path),
        (Ok(None), Some(path)) => {
            let reason = "the program has shown nothing on its first display";
            Err(Failure::on(
                format!("--screenshot {}", path.display()),
                reason,
            ))
        }
        (Err(failure), _) => Err(failure),
    };
    match written {
        Ok(()) => status,
        Err(failure) => {
            say_soon(&failure.to_string());
            if status == 0 { NO_PICTURE } else { status }
        }
    }
}
