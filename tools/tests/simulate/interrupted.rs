//! Shrinking that ends early, and signals.

use crate::stand_in::{ONE_LEADER, Ran, Test};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

const WHOLE: &str = "  soil simulate test.exe --seed 2 --faults 3,6 --operations 2 --until 4.17\n";

/// The command that goes on to shrink the failure, from its options on.
fn resumed(ran: &Ran) -> String {
    let begin = "  not shrunk to the end; to go on: soil simulate test.exe ";
    let mut lines = ran.output.lines();
    let line = lines.find_map(|line| line.strip_prefix(begin));
    line.unwrap_or_else(|| panic!("{ran:?}")).to_owned()
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn shrinking_ends_in_time_and_goes_on() {
    let test = Test::new(ONE_LEADER);
    let ran = test.run(&["--seeds", "1-3", "--shrink-time", "0.0000005s"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.output.starts_with("FAILED one leader"), "{ran:?}");
    assert!(!ran.output.contains(WHOLE), "{ran:?}");
    let command = resumed(&ran);
    assert_eq!(command, "--seed 2 --shrink-time 0.000001s");
    let longer = command.replace("0.000001s", "10m");
    let ran = test.run(&words(&longer));
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.output.contains(WHOLE), "{ran:?}");
    assert!(!ran.output.contains("to go on"), "{ran:?}");
}

#[test]
fn shrinking_ends_after_so_many_runs_and_goes_on() {
    let test = Test::new(ONE_LEADER);
    let mut ran = test.run(&["--seeds", "2", "--shrink-runs", "5", "--shrink-time", "10m"]);
    let mut times = 0;
    while ran.output.contains("to go on") {
        let command = resumed(&ran);
        assert!(
            command.contains(" --shrink-time 600s --shrink-runs "),
            "{ran:?}"
        );
        ran = test.run(&words(&command));
        times += 1;
    }
    assert!(times > 0 && ran.output.contains(WHOLE), "{ran:?}");
}

/// Waits for a file that the test writes.
fn wait_for(file: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < until, "{} isn't written", file.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn terminated(soil: Child) -> Ran {
    kill_process(Pid::from_child(&soil), Signal::TERM).expect("it runs");
    Ran::of(&soil.wait_with_output().expect("waited for"))
}

#[test]
fn a_signal_while_a_failure_is_shrunk_leaves_the_smallest_run() {
    // Two faults are left when a run hangs.
    let script = format!(
        "if [ \"$SOIL_SIM_FAULTS\" = 3,6 ] && [ -n \"$SOIL_SIM_OPERATIONS\" ]; then
          touch hangs; exec sleep 1000
        fi
        {ONE_LEADER}"
    );
    let test = Test::new(&script);
    let soil = test
        .command(&["--seeds", "1-3", "--shrink-time", "2m"])
        .spawn();
    wait_for(&test.path("hangs"));
    let ran = terminated(soil.expect("soil starts"));
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.output
            .contains("  soil simulate test.exe --seed 2 --faults 3,6\n"),
        "{ran:?}"
    );
    assert_eq!(resumed(&ran), "--seed 2 --faults 3,6 --shrink-time 120s");
    assert!(
        ran.output.contains("\n3 seeds, 1 failed, interrupted: "),
        "{ran:?}"
    );
}

#[test]
fn a_signal_leaves_the_results_of_the_seeds_before_it() {
    // Two run at a time.
    let script = "[ $seed -lt 5 ] || { touch hangs$seed; exec sleep 1000; }
        [ $seed = 3 ] || report passed
        report failed ',\"check\":\"sum\"'";
    let test = Test::new(script);
    let soil = test.command(&["--seeds", "1-8", "--json"]).spawn();
    for file in ["hangs5", "hangs6"] {
        wait_for(&test.path(file));
    }
    let ran = terminated(soil.expect("soil starts"));
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let summary: serde_json::Value = serde_json::from_str(&ran.output).expect("JSON");
    assert_eq!(summary["seeds"], 4, "{summary}");
    assert_eq!(summary["interrupted"], true, "{summary}");
    let failure = &summary["failures"][0];
    assert_eq!(failure["check"], "sum", "{summary}");
    // None was made smaller.
    assert_eq!(failure["command"], "soil simulate test.exe --seed 3");
    assert_eq!(
        failure["resume"],
        "soil simulate test.exe --seed 3 --shrink-time 60s"
    );
    let test = Test::new("touch hangs1; exec sleep 1000");
    let soil = test.command(&["--seed", "1"]).spawn().expect("soil starts");
    wait_for(&test.path("hangs1"));
    let ran = terminated(soil);
    assert_eq!(
        (ran.status, ran.errors.as_str()),
        (Some(1), "soil: interrupted before the run ended\n")
    );
}
