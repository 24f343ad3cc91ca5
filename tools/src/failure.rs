//! The error type of the tools.

use std::fmt::{self, Display};
use std::path::Path;

/// A failure, printed as one line: `subject: reason: remedy`.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file, program, option or volume path that failed.
    subject: Option<String>,
    /// The failed operation or the operating system's error.
    reason: String,
    /// The command or change that fixes it.
    remedy: Option<String>,
    /// The exit status, if it isn't the command's default.
    pub status: Option<u8>,
}

impl Failure {
    /// A failure without a subject.
    pub fn new(reason: impl Display) -> Self {
        Self {
            subject: None,
            reason: reason.to_string(),
            remedy: None,
            status: None,
        }
    }

    /// A failure of `subject`, a file or another name.
    pub fn on(subject: impl AsRef<Path>, reason: impl Display) -> Self {
        Self {
            subject: Some(subject.as_ref().display().to_string()),
            ..Self::new(reason)
        }
    }

    /// Adds the remedy.
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.reason)?;
        match &self.remedy {
            Some(remedy) => write!(f, ": {remedy}"),
            None => Ok(()),
        }
    }
}

/// Adds a subject to an error.
pub trait Context<T> {
    /// Converts the error to a failure with this subject.
    fn on(self, subject: impl AsRef<Path>) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn on(self, subject: impl AsRef<Path>) -> Result<T, Failure> {
        self.map_err(|error| Failure::on(subject, error))
    }
}

#[cfg(test)]
mod tests {
    use super::{Context as _, Failure};

    #[test]
    fn a_line_has_the_subject_the_reason_and_the_remedy() {
        let failure = Failure::on("a.img", "has 2 partitions").remedy("say --partition 1");
        assert_eq!(
            failure.to_string(),
            "a.img: has 2 partitions: say --partition 1"
        );
        assert_eq!(Failure::new("no reason").to_string(), "no reason");
        let missing = std::fs::read("/nowhere/x").on("/nowhere/x");
        let text = missing.expect_err("no such file").to_string();
        assert!(text.starts_with("/nowhere/x: No such file"), "{text}");
    }
}
