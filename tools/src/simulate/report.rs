//! The report of one run, as the test writes it, and the kinds of failures.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// The outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All checks held.
    Passed,
    /// A check failed.
    Failed,
    /// Two runs of one seed differed.
    Nondeterministic,
    /// The test itself failed, without a verdict.
    Error,
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Nondeterministic => "nondeterministic",
            Self::Error => "error",
        })
    }
}

/// A fault that was injected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Fault {
    /// Its number in this seed's runs.
    pub id: u64,
    /// The kind, such as "partition".
    pub name: String,
    /// The nodes and other details, such as "db0 | db1 db2".
    #[serde(default)]
    pub what: String,
    /// The virtual time in nanoseconds.
    pub at: u64,
}

/// The operations of a run's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Workload {
    /// Those that began.
    pub operations: u64,
    /// Those that ended with a result.
    pub returned: u64,
    /// When the last one began or ended: virtual nanoseconds.
    pub last: u64,
    /// The faults that struck.
    pub faults: u64,
    /// Those of them that struck after the last operation.
    pub late: u64,
}

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The outcome.
    pub verdict: Verdict,
    /// The name of the check that failed; may be empty.
    #[serde(default)]
    pub check: String,
    /// The details, with several lines if need be.
    #[serde(default)]
    pub message: String,
    /// The hash of all events; empty if there is none.
    #[serde(default)]
    pub hash: String,
    /// The virtual time at the end, in nanoseconds.
    #[serde(default)]
    pub virtual_ns: u64,
    /// The number of events.
    #[serde(default)]
    pub events: u64,
    /// The faults, in the order of their times.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// The largest number of operations of a client.
    #[serde(default)]
    pub operations: u64,
    /// The operations of all clients; `None` if there were none.
    #[serde(default)]
    pub workload: Option<Workload>,
    /// How often each kind of fault was exercised; 0 for one that was only declared.
    #[serde(default)]
    pub covered: BTreeMap<String, u64>,
    /// How often each `sometimes` held.
    #[serde(default)]
    pub sometimes: BTreeMap<String, u64>,
}

impl Report {
    /// The report of a run that failed without one.
    pub fn error(seed: u64, message: String) -> Self {
        Self {
            seed,
            verdict: Verdict::Error,
            check: String::new(),
            message,
            hash: String::new(),
            virtual_ns: 0,
            events: 0,
            faults: Vec::new(),
            operations: 0,
            workload: None,
            covered: BTreeMap::new(),
            sometimes: BTreeMap::new(),
        }
    }

    /// The kind of the failure; `None` if the run passed.
    pub fn kind(&self) -> Option<Kind> {
        (self.verdict != Verdict::Passed).then(|| Kind {
            verdict: self.verdict,
            check: self.check.clone(),
            line: normalised(self.message.lines().next().unwrap_or_default()),
        })
    }

    /// Whether smaller runs can fail in the same way: one run alone doesn't differ from another.
    pub fn can_shrink(&self) -> bool {
        !matches!(self.verdict, Verdict::Passed | Verdict::Nondeterministic)
    }

    /// The check and the message in one text, whose first line names both.
    pub fn described(&self) -> String {
        described(&self.check, &self.message)
    }
}

/// A check and a message in one text.
pub fn described(check: &str, message: &str) -> String {
    match (check, message) {
        ("", "") => "no message".to_owned(),
        (check, "") => check.to_owned(),
        ("", message) => message.to_owned(),
        (check, message) => format!("{check}: {message}"),
    }
}

/// The kind of a failure: failures of one kind probably have one cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    verdict: Verdict,
    check: String,
    /// The first line of the message, without its numbers but exit statuses.
    line: String,
}

/// What precedes an exit status, which tells causes apart as other numbers don't.
const STATUS: &str = "ended with status ";

/// A line with `#` in place of each number, decimal or hexadecimal (0x…), except exit statuses.
fn normalised(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    // Whether the digits that follow are an exit status.
    let mut is_status = false;
    while let Some(character) = rest.chars().next() {
        let hex = rest.strip_prefix("0x");
        let hex = hex.filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
        if let Some(digits) = hex {
            shown.push('#');
            rest = digits.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        } else if character.is_ascii_digit() && !is_status {
            shown.push('#');
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else {
            is_status &= character.is_ascii_digit();
            shown.push(character);
            is_status |= shown.ends_with(STATUS);
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
    }
    shown
}

/// A virtual time as text, such as "1.200 s".
pub fn seconds(ns: u64) -> String {
    let ms = ns / 1_000_000;
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict, normalised};

    fn failed(check: &str, message: &str) -> Report {
        Report {
            verdict: Verdict::Failed,
            check: check.to_owned(),
            ..Report::error(1, message.to_owned())
        }
    }

    #[test]
    fn numbers_do_not_tell_failures_apart() {
        assert_eq!(
            normalised("db0 and db12 lead in term 3: 0xdeadBEEF"),
            "db# and db# lead in term #: #"
        );
        assert_eq!(
            normalised("db0 ended with status 127 at 0.5 s"),
            "db# ended with status 127 at #.# s"
        );
        assert_eq!(normalised("né 0x 0xg"), "né #x #xg");
        let one = failed("one leader", "db0 and db2 in term 3\nlog of db0").kind();
        assert_eq!(one, failed("one leader", "db1 and db0 in term 17").kind());
        assert_ne!(one, failed("order", "db0 and db2 in term 3").kind());
        assert_ne!(one, failed("one leader", "db0 fell").kind());
        let error = Report::error(1, "db0 and db2 in term 3".to_owned());
        assert_ne!(one, error.kind());
        let passed = Report {
            verdict: Verdict::Passed,
            ..error
        };
        assert_eq!(passed.kind(), None);
    }

    #[test]
    fn a_report_may_leave_out_all_but_the_verdict() {
        let text = r#"{"seed":7,"verdict":"failed","unknown":[1],
            "faults":[{"id":0,"name":"kill","what":"db1","at":12}]}"#;
        let report: Report = serde_json::from_str(text).expect("valid");
        assert_eq!((report.seed, report.verdict), (7, Verdict::Failed));
        assert_eq!(report.faults[0].at, 12);
        assert_eq!(report.described(), "no message");
        assert_eq!(failed("a", "b\nc").described(), "a: b\nc");
    }
}
