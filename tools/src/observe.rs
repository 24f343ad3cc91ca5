//! Observers of a program from outside while it runs: `--profile` and `--trace`.

use crate::cli::Run;
use crate::failure::{Context as _, Failure};
use crate::profile::tracer::Child;
use crate::profile::{Image, Profile};
use crate::symbols;
use crate::trace::{Places, Tracing};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// An observer that the options ask for, with what it needs of the program's file.
pub struct Wanted {
    kind: Kind,
    out: PathBuf,
}

enum Kind {
    ProfileOfImage(Box<Image>),
    ProfileOfProcess,
    Trace(Places),
}

/// A program that is looked at.
pub struct Observed {
    kind: Observer,
    out: PathBuf,
}

enum Observer {
    Profile(Profile),
    Trace(Tracing),
}

impl Wanted {
    /// The observer by the options. Creates the file that is to be written, so that one that can't
    /// be is no surprise in the end.
    pub fn by(run: &Run, is_image: bool) -> Result<Option<Self>, Failure> {
        let (kind, out) = match (&run.profile, &run.trace) {
            (Some(out), _) if is_image => {
                let image = Image::open(&run.program)?;
                (Kind::ProfileOfImage(Box::new(image)), out)
            }
            (Some(out), _) => (Kind::ProfileOfProcess, out),
            (None, Some(out)) => {
                let file = symbols::unstripped(&run.program, None);
                let places = Places::find(file.as_deref().unwrap_or(&run.program))?;
                (Kind::Trace(places), out)
            }
            (None, None) => return Ok(None),
        };
        std::fs::write(out, "").on(out)?;
        let out = out.clone();
        Ok(Some(Self { kind, out }))
    }

    /// Begins with an image, whose QEMU has a gdb server at the other end of `socket`.
    pub fn image(self, socket: OwnedFd) -> Option<Observed> {
        let kind = match self.kind {
            Kind::ProfileOfImage(image) => Observer::Profile(Profile::of_image(*image, socket)),
            Kind::Trace(places) => Observer::Trace(Tracing::of_image(places, socket)),
            Kind::ProfileOfProcess => return None,
        };
        let out = self.out;
        Some(Observed { kind, out })
    }

    /// Begins with a process that runs `file`, a child of this one that no one else waits for;
    /// `ended` is called with its status.
    pub fn process(
        self,
        child: Child,
        file: &Path,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) -> Observed {
        let kind = match self.kind {
            Kind::Trace(places) => {
                let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
                Observer::Trace(Tracing::of_process(child, file, places, ended))
            }
            _ => Observer::Profile(Profile::of_process(child, ended)),
        };
        let out = self.out;
        Observed { kind, out }
    }
}

impl Observed {
    /// Writes the file, after the program's end; a line that tells of it.
    pub fn finish(self, program: &Path) -> Result<String, Failure> {
        match self.kind {
            Observer::Profile(profile) => profile.finish(program, &self.out),
            Observer::Trace(trace) => trace.finish(program, &self.out),
        }
    }
}
