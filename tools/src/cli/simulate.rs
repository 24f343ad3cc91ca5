//! The command line of `soil simulate`.

use super::{jobs, written_as};
use crate::options::Variable;
use clap::Args;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Its help's end.
pub const HELP: &str = "\
soil simulate test.exe --seeds 1-1000          # and shrink the first failure of each kind
soil simulate test.exe --for 10m
soil simulate test.exe --seed 41 --faults 3,7 --operations 2 --until 4.2
soil simulate test.exe --seed 41 --trace run.html
soil simulate test.exe --seed 41 --gdb db1 --at 4.1
soil simulate test.exe --seed 41 --bisect v1.2

TEST is a program of the library soil-sim. It runs in its own folder, once for each seed, with PATH,
HOME, TZ=UTC, LC_ALL=C and the variables of --env only. Exit status: 0 if nothing failed, otherwise
1.";

/// The largest seed: the largest integer of OCaml.
pub const MAX_SEED: u64 = (1 << 62) - 1;

/// The value of `--limit` if none is given.
const DEFAULT_LIMIT: &str = "120s";

/// `soil simulate`.
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// The test: a Linux program (_build/default/…/test.exe).
    pub test: PathBuf,
    /// The seeds, each of which is one run; with --for the first one counts.
    #[arg(long, value_name = "FIRST-LAST", default_value = "1-100")]
    pub seeds: Seeds,
    /// Run seed after seed, at least one, until this time is over.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Run this seed only, and print its report. Its failure is shrunk with --shrink-time only.
    #[arg(
        long,
        conflicts_with_all = ["seeds", "duration"],
        value_parser = clap::value_parser!(u64).range(..=MAX_SEED)
    )]
    pub seed: Option<u64>,
    /// Of the seed's faults inject only these, by their numbers; none: no fault.
    #[arg(long, value_name = "NUMBERS|none", requires = "seed")]
    pub faults: Option<Faults>,
    /// End each client after this many operations.
    #[arg(long, value_name = "NUMBER", requires = "seed")]
    pub operations: Option<u64>,
    /// End the run at this virtual time, in seconds, such as 4.2.
    #[arg(long, value_name = "TIME", requires = "seed")]
    pub until: Option<Instant>,
    /// Draw the run: as a picture (OUT.svg), or as a page with a list of the events (OUT.html).
    #[arg(
        long,
        value_name = "OUT.svg|OUT.html",
        requires = "seed",
        value_parser = drawing
    )]
    pub trace: Option<PathBuf>,
    /// With --trace: draw this many events, the last ones before the failure or the end.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "trace",
        default_value_t = 10_000
    )]
    pub events: usize,
    /// Stop this node in gdb, on this terminal, at the time of --at.
    #[arg(
        long,
        value_name = "NODE",
        requires_all = ["seed", "at"],
        conflicts_with_all = ["trace", "bisect", "json", "hashes"]
    )]
    pub gdb: Option<String>,
    /// The virtual time for --gdb, in seconds.
    #[arg(long, value_name = "TIME", requires = "gdb")]
    pub at: Option<Instant>,
    /// Find the first commit after this good one at which the seed fails as it does at HEAD. Builds
    /// in a temporary worktree.
    #[arg(
        long,
        value_name = "GOOD",
        requires = "seed",
        conflicts_with_all = ["trace", "json", "hashes"]
    )]
    pub bisect: Option<String>,
    /// With --bisect: what dune builds at each commit, as for 'dune build' (repeat for several).
    /// Default: all of the test's context.
    #[arg(long = "build", value_name = "TARGET", requires = "bisect")]
    pub targets: Vec<String>,
    /// Runs side by side (default: the number of processors).
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// End a run after this time; it has failed then.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_LIMIT)]
    pub limit: Duration,
    /// Run every seed twice, and fail if the two runs differ. Without it: the first three seeds
    /// and those that fail.
    #[arg(long)]
    pub check_determinism: bool,
    /// Print failures as they were found, with all their faults and operations.
    #[arg(long)]
    pub no_shrink: bool,
    /// Shrink failures for at most this time in all (default: 60s), and print the smallest runs so
    /// far. With --seed: begin with the given faults, operations and end.
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "no_shrink")]
    pub shrink_time: Option<Duration>,
    /// Shrink a failure by at most this many runs.
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    pub shrink_runs: usize,
    /// Set an environment variable for the test; NAME alone passes its present value on.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub variables: Vec<Variable>,
    /// Write a line with each seed and the hash of its run to this file.
    #[arg(long, value_name = "FILE")]
    pub hashes: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Simulate {
    /// The value of `--limit`, if it isn't the default.
    pub fn own_limit(&self) -> Option<String> {
        let is_own = duration(DEFAULT_LIMIT) != Ok(self.limit);
        is_own.then(|| format!("{}s", self.limit.as_secs_f64()))
    }
}

/// Seeds from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first one.
    pub first: u64,
    /// The last one; at least `first`.
    pub last: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let seed = |text: &str| text.parse::<u64>().ok().filter(|seed| *seed <= MAX_SEED);
        match (seed(first), seed(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(format!(
                "expected seeds such as 1-1000 or 41, at most {MAX_SEED}"
            )),
        }
    }
}

/// The numbers of injected faults, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<u64>);

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        let numbers: Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
        let mut numbers =
            numbers.map_err(|_| "expected numbers such as 3,7, or none".to_owned())?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Self(numbers))
    }
}

/// The value of SOIL_SIM_FAULTS: numbers with commas between them, without any for no fault.
impl Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&words.join(","))
    }
}

/// A virtual time in nanoseconds since the start; written in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl FromStr for Instant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('s').unwrap_or(text);
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = (is_number(seconds) && is_number(fraction) && fraction.len() <= 9)
            .then(|| {
                let seconds: u64 = seconds.parse().ok()?;
                let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
                seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
            })
            .flatten();
        parsed
            .map(Self)
            .ok_or_else(|| "expected seconds of virtual time, such as 4 or 4.25".into())
    }
}

impl Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, fraction) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        match fraction {
            0 => write!(f, "{seconds}"),
            _ => {
                let digits = format!("{fraction:09}");
                write!(f, "{seconds}.{}", digits.trim_end_matches('0'))
            }
        }
    }
}

/// A duration such as 90s, 10m or 1h30m; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let fail = || "expected a duration such as 90s, 10m or 1h30m".to_owned();
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = rest.split_at(end.unwrap_or(rest.len()));
        let seconds = match unit.as_bytes().first() {
            None | Some(b's') => 1.0,
            Some(b'm') => 60.0,
            Some(b'h') => 3600.0,
            Some(_) => return Err(fail()),
        };
        total += number.parse::<f64>().map_err(|_| fail())? * seconds;
        rest = unit.get(1..).unwrap_or_default();
    }
    let duration = Duration::try_from_secs_f64(total).map_err(|_| fail())?;
    Some(duration)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(fail)
}

/// A file whose name says SVG or HTML.
fn drawing(text: &str) -> Result<PathBuf, String> {
    match text.ends_with(".html") {
        true => written_as("html", text),
        false => written_as("svg", text),
    }
}

#[cfg(test)]
mod tests {
    use super::{Faults, Instant, MAX_SEED, Seeds, drawing, duration};
    use crate::cli::{Cli, Command};
    use clap::Parser as _;
    use std::time::Duration;

    fn parse(words: &[&str]) -> Result<super::Simulate, String> {
        let words = [&["soil", "simulate", "test.exe"], words].concat();
        match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Command::Simulate(options)) => Ok(*options),
            Ok(other) => panic!("parsed as {other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn seeds_are_a_range_or_one() {
        let seeds = |text: &str| text.parse::<Seeds>().map(|it| (it.first, it.last)).ok();
        assert_eq!(seeds("1-1000"), Some((1, 1000)));
        assert_eq!(seeds("41"), Some((41, 41)));
        assert_eq!(
            seeds(&format!("0-{MAX_SEED}")),
            Some((0, 4_611_686_018_427_387_903))
        );
        for wrong in ["", "-", "2-1", "1-", "-1", "a", "1-4611686018427387904"] {
            assert_eq!(seeds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn virtual_times_are_exact() {
        for (text, ns) in [
            ("4.2", 4_200_000_000),
            ("0", 0),
            ("0.000000001", 1),
            ("12", 12_000_000_000),
            ("1.000001", 1_000_001_000),
        ] {
            assert_eq!(text.parse(), Ok(Instant(ns)));
            assert_eq!(Instant(ns).to_string(), text);
        }
        assert_eq!("3s".parse(), Ok(Instant(3_000_000_000)));
        for wrong in ["", ".", "-1", "1.0000000001", "1e3", "x", "20000000000"] {
            assert!(wrong.parse::<Instant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn faults_are_numbers_or_none() {
        assert_eq!("7,3,7".parse(), Ok(Faults(vec![3, 7])));
        assert_eq!("none".parse(), Ok(Faults(vec![])));
        assert_eq!(Faults(vec![3, 7]).to_string(), "3,7");
        for wrong in ["", "3,", "a", "3-7"] {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [
            ("90", 90.0),
            ("10m", 600.0),
            ("1h30m", 5400.0),
            ("0.5s", 0.5),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)));
        }
        for wrong in ["", "0", "m", "10d", "1.2.3s", "-3"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_of_one_run_need_its_seed() {
        let run = parse(&["--seed", "41", "--faults", "3,7", "--until", "4.2"]).expect("valid");
        assert_eq!(run.seed, Some(41));
        assert_eq!(run.faults, Some(Faults(vec![3, 7])));
        for (words, named) in [
            (&["--faults", "3"][..], "--seed"),
            (&["--trace", "a.svg"], "--seed"),
            (&["--seed", "1", "--gdb", "db0"], "--at"),
            (&["--seed", "1", "--seeds", "1-2"], "--seeds"),
            (&["--seed", "4611686018427387904"], "--seed"),
            (&["--seed", "1", "--trace", "a.png"], "name it a.svg"),
        ] {
            let error = parse(words).expect_err("invalid");
            assert!(error.contains(named), "{error}");
        }
        assert!(drawing("run.html").is_ok() && drawing("run.svg").is_ok());
    }
}
