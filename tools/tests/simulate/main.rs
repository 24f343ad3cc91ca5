//! `soil simulate` with a shell script in the place of a test.

mod bisect;
mod interrupted;
mod stand_in;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use stand_in::{ONE_LEADER, Ran, Test};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn a_failure_is_shrunk_and_the_command_repeats_it() {
    let test = Test::new(ONE_LEADER);
    let ran = test.run(&["--seeds", "1-30"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert_eq!(
        ran.without_times(),
        "FAILED one leader: db0 and db2 both lead in term 2   (10 of 30 seeds, first 2)\n  \
           since 4 s\n  \
           partition db0 | db1 db2 at 1.500 s\n  \
           kill db1 at 3.000 s\n  \
           soil simulate test.exe --seed 2 --faults 3,6 --operations 2 --until 4.17\n  \
           kill           30 seeds, 210 times; none in 0\n  \
           partition      30 seeds, 30 times; none in 0\n  \
           a leader fell  held in 30 seeds\n",
        "{ran:?}"
    );
    // Another seed may fail before the first one does.
    let (said, _) = ran.errors.split_once(" in term ").expect("a line");
    assert!(
        said.ends_with(": one leader: db0 and db2 both lead"),
        "{ran:?}"
    );
    // A slow machine has lines of progress, too. The failure comes at once, and whole before it is
    // shrunk.
    let said = ran.errors.lines().filter(|it| it.contains("one leader"));
    assert_eq!(said.count(), 2, "{ran:?}");
    let whole = "FAILED one leader: db0 and db2 both lead in term 2   (10 of 30 seeds, first 2)\n  \
        since 4 s\n  \
        kill db1 at 0.000 s\n";
    assert!(ran.errors.contains(whole), "{ran:?}");
    assert!(
        ran.errors.contains("  soil simulate test.exe --seed 2\n"),
        "{ran:?}"
    );
    let options = "--seed 2 --faults 3,6 --operations 2 --until 4.17";
    let options: Vec<&str> = options.split(' ').collect();
    let ran = test.run(&options);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.output.contains("kill db1 at 3.000 s\n"), "{ran:?}");
    // Each of the options counts.
    for (option, value) in [
        ("--faults", "3"),
        ("--faults", "none"),
        ("--operations", "1"),
        ("--until", "4.1"),
    ] {
        let ran = test.run(&["--seed", "2", option, value]);
        assert_eq!(ran.status, Some(0), "{option}: {ran:?}");
    }
    let ran = test.run(&["--seeds", "2", "--no-shrink"]);
    assert!(
        ran.output.contains("  soil simulate test.exe --seed 2\n"),
        "{ran:?}"
    );
}

#[test]
fn without_failures_the_status_is_0_and_hashes_are_written() {
    let test = Test::new("report passed ',\"virtual_ns\":60000000000,\"events\":10'");
    let ran = test.run(&["--seeds", "8-11", "--hashes", "hashes"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let line = "4 seeds, all passed: 4 min 0 s of virtual time and 40 events in ";
    assert!(ran.output.starts_with(line), "{ran:?}");
    assert_eq!(
        test.lines("hashes"),
        ["8 9f8", "9 9f9", "10 9f10", "11 9f11"]
    );
    // At least one, and none beyond the last.
    for seeds in ["1-2", "4611686018427387903"] {
        let time = if seeds == "1-2" { "0.000001s" } else { "1m" };
        let ran = test.run(&["--seeds", seeds, "--for", time]);
        assert!(ran.output.starts_with("1 seed, all passed: "), "{ran:?}");
    }
    let ran = test.run(&["--for", "0.3s", "--json"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let summary: serde_json::Value = serde_json::from_str(&ran.output).expect("JSON");
    assert!(summary["seeds"].as_u64() >= Some(1), "{summary}");
    assert_eq!(summary["passed"], true);
}

#[test]
fn json_has_the_failures() {
    let ran = Test::new(ONE_LEADER).run(&["--seeds", "1-4", "--json"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let summary: serde_json::Value = serde_json::from_str(&ran.output).expect("JSON");
    let failure = &summary["failures"][0];
    assert_eq!(failure["check"], "one leader", "{summary}");
    assert_eq!(failure["verdict"], "failed");
    assert_eq!(failure["first_seed"], 2);
    assert_eq!(failure["faults"][0]["name"], "partition");
    assert_eq!(summary["faults"]["kill"]["times"], 28);
}

#[test]
fn what_never_happens_in_twenty_seeds_is_a_failure() {
    let test = Test::new("report passed ',\"covered\":{\"kill\":0},\"sometimes\":{\"it fell\":0}'");
    assert_eq!(test.run(&["--seeds", "1-19"]).status, Some(0));
    let ran = test.run(&["--seeds", "1-20"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    for line in [
        "FAILED never exercised: kill\n",
        "FAILED never exercised: it fell\n",
        "  no fault at all in 20 seeds\n",
        "20 seeds, none failed, 2 never exercised: ",
    ] {
        assert!(ran.output.contains(line), "{ran:?}");
    }
}

#[test]
fn operations_that_are_over_before_the_faults_are_a_failure() {
    let script = "report passed ',\"workload\":{\"operations\":300,\"returned\":290,\
        \"last\":14000000000,\"faults\":5,\"late\":'$late'}'";
    let ran = Test::new(&format!("late=5; {script}")).run(&["--seeds", "1-3"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    for line in [
        "900 operations, 870 with a result, the last at 14.000 s; 15 of 15 faults (100 %) struck \
            after it\n",
        "FAILED nothing tested: all 15 faults struck after the last operation, which was at \
            14.000 s: leave ~operations of Soil_sim.workload out, ",
        "3 seeds, none failed, nothing tested: ",
    ] {
        assert!(ran.output.contains(line), "{line}: {ran:?}");
    }
    // One fault in time is enough. A run that options cut short may have none.
    let test = Test::new(&format!("late=$((4 + seed)); {script}"));
    let ran = test.run(&["--seeds", "0-1", "--json"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let summary: serde_json::Value = serde_json::from_str(&ran.output).expect("JSON");
    assert_eq!(summary["operations"]["late_faults"], 9, "{summary}");
    assert_eq!(test.run(&["--seed", "1"]).status, Some(1));
    let ran = test.run(&["--seed", "1", "--faults", "1"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.output.starts_with("300 operations, "), "{ran:?}");
}

#[test]
fn a_late_error_leaves_the_results() {
    let test = Test::new("report passed");
    for (arguments, error) in [
        (["--hashes", "no/hashes"], "no/hashes: "),
        (["--trace", "no/run.svg"], "the run wrote no events"),
    ] {
        let ran = test.run(&[&["--seed", "1"][..], &arguments].concat());
        assert_eq!(ran.status, Some(1), "{ran:?}");
        assert!(ran.output.starts_with("1 seed, all passed: "), "{ran:?}");
        assert!(ran.errors.contains(error), "{ran:?}");
    }
    // A test that vanishes, at a seed and while a failure is shrunk.
    let script = "[ $seed -lt 6 ] || chmod -x test.exe; report passed";
    let ran = Test::new(script).run(&["--seeds", "1-30"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.output.contains(" seeds, none failed: "), "{ran:?}");
    assert!(ran.errors.contains("did not start"), "{ran:?}");
    let script = format!("[ -z \"${{SOIL_SIM_FAULTS+set}}\" ] || chmod -x test.exe\n{ONE_LEADER}");
    let ran = Test::new(&script).run(&["--seeds", "1-3"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.output.contains("  soil simulate test.exe --seed 2\n"),
        "{ran:?}"
    );
    assert!(ran.errors.contains("did not start"), "{ran:?}");
}

#[test]
fn runs_that_differ_are_failures() {
    let test = Test::new("hash=$RANDOM$RANDOM$$; report passed");
    let ran = test.run(&["--seeds", "1-8"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let line = "NONDETERMINISTIC two runs of the same seed differ   (3 of 8 seeds, first 1)\n";
    assert!(ran.output.starts_with(line), "{ran:?}");
    let ran = test.run(&["--seeds", "1-8", "--check-determinism"]);
    assert!(ran.output.contains("(8 of 8 seeds, first 1)"), "{ran:?}");
    // Seeds that fail run twice, too.
    let test = Test::new("echo $seed >>ran; hash=$$; [ $seed -lt 6 ] || hash=; report failed");
    let ran = test.run(&["--seeds", "1-8", "--no-shrink"]);
    let line = "NONDETERMINISTIC two runs of the same seed differ   (5 of 8 seeds, first 1)\n";
    assert!(ran.output.starts_with(line), "{ran:?}");
    // Without a hash there is nothing to compare.
    assert!(
        ran.output
            .contains("FAILED no message   (3 of 8 seeds, first 6)\n"),
        "{ran:?}"
    );
    let mut runs = test.lines("ran");
    runs.sort();
    assert_eq!(runs.concat(), "1122334455678");
    // A verdict alone can differ.
    let test = Test::new("[ -e ran ] && report failed; touch ran; report passed");
    let ran = test.run(&["--seeds", "1", "--no-shrink"]);
    assert!(ran.output.starts_with("NONDETERMINISTIC "), "{ran:?}");
}

#[test]
fn each_run_has_the_same_surroundings() {
    let test = Test::new(
        "env | sort | grep -v '^_=\\|^SHLVL=\\|^PWD=' >environment
        grep -o '^.*stack' /proc/self/maps >>stacks
        ps -o pgid= $$ | tr -d ' ' >group; echo $$ >>group
        report passed",
    );
    let mut command = test.command(&["--seed", "7", "--faults", "none", "--env", "GIVEN=a b"]);
    command.env("LEAKS", "1").env("TZ", "Asia/Tokyo");
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    let ran = Ran::of(&command.output().expect("soil starts"));
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let environment = test.lines("environment");
    let names: Vec<&str> = environment
        .iter()
        .filter_map(|line| line.split('=').next())
        .filter(|name| *name != "HOME")
        .collect();
    let expected = "GIVEN LC_ALL PATH SOIL_SIM_FAULTS SOIL_SIM_REPORT SOIL_SIM_SEED TZ";
    assert_eq!(names.join(" "), expected);
    for line in ["GIVEN=a b", "TZ=UTC", "SOIL_SIM_FAULTS=", "SOIL_SIM_SEED=7"] {
        assert!(
            environment.iter().any(|found| found == line),
            "{line}: {environment:?}"
        );
    }
    let group = test.lines("group");
    assert_eq!(group[0], group[1], "the leader of a group of its own");
    // Some sandboxes forbid it.
    let is_allowed = Command::new("setarch").args(["-R", "true"]).status();
    if is_allowed.is_ok_and(|status| status.success()) {
        let stacks = test.lines("stacks");
        assert_eq!((stacks.len(), &stacks[0]), (2, &stacks[1]));
    }
}

#[test]
fn a_test_that_dies_or_hangs_has_failed() {
    let test = Test::new("echo before; echo 'Fatal error: exception Not_found' >&2; exit 2");
    let ran = test.run(&["--seeds", "1-3"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let line = "ERROR ended with status 2, without a report: Fatal error: exception Not_found   \
        (3 of 3 seeds, first 1)\n";
    assert!(ran.output.starts_with(line), "{ran:?}");
    assert!(ran.output.contains("  before\n"), "{ran:?}");
    let test = Test::new("sleep 1000 & echo $! >node; wait");
    let ran = test.run(&["--seeds", "1", "--limit", "0.5s", "--no-shrink"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.output
            .starts_with("ERROR still running after 0.5 s (--limit)"),
        "{ran:?}"
    );
    let command = "  soil simulate test.exe --limit 0.5s --seed 1\n";
    assert!(ran.output.contains(command), "{ran:?}");
    assert_gone(&test);
    // The second of two runs.
    let test = Test::new("[ -e ran ] && exec sleep 1000; touch ran; report passed");
    let arguments = ["--seeds", "1", "--limit", "1s", "--no-shrink"];
    let ran = test.run(&[&arguments[..], &["--hashes", "hashes"]].concat());
    assert!(
        ran.output.starts_with("ERROR still running after 1 s"),
        "{ran:?}"
    );
    assert_eq!(test.lines("hashes"), ["1 9f1"]);
    // A failure of the first is more than that.
    let test = Test::new("[ -e ran ] && exec sleep 1000; touch ran; report failed");
    let ran = test.run(&arguments);
    assert!(ran.output.starts_with("FAILED no message"), "{ran:?}");
    fs::remove_file(test.path("test.exe")).expect("removed");
    let ran = test.run(&["--seeds", "1-3"]);
    assert_eq!((ran.status, ran.output.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.errors.contains("test.exe: did not start: "), "{ran:?}");
    assert!(ran.errors.contains("'dune build'"), "{ran:?}");
}

#[test]
fn a_test_ends_with_the_command() {
    let test = Test::new("echo $$ >node; exec sleep 1000");
    let mut soil = test
        .command(&["--seeds", "1"])
        .spawn()
        .expect("soil starts");
    let until = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(test.path("node"))
        .unwrap_or_default()
        .is_empty()
    {
        assert!(Instant::now() < until, "it doesn't start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = Pid::from_child(&soil);
    kill_process(pid, Signal::TERM).expect("it runs");
    soil.wait().expect("waited for");
    assert_gone(&test);
}

/// Waits until the process in the file `node` has ended.
fn assert_gone(test: &Test) {
    let node = test.lines("node")[0].parse().expect("a number");
    let node = Pid::from_raw(node).expect("a process");
    let until = Instant::now() + Duration::from_secs(60);
    let is_alive = || {
        let state = fs::read_to_string(format!("/proc/{}/stat", node.as_raw_nonzero()));
        // A zombie has ended; nothing may collect it in a container.
        let is_zombie = state.is_ok_and(|state| state.contains(") Z "));
        test_kill_process(node).is_ok() && !is_zombie
    };
    while is_alive() {
        assert!(Instant::now() < until, "it still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_is_drawn() {
    let test = Test::new(ONE_LEADER);
    let ran = test.run(&["--seed", "2", "--trace", "run.svg"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let line = "soil: run.svg: all 3 events, 0.000000 s to 0.000000 s\n";
    assert!(ran.errors.ends_with(line), "{ran:?}");
    let picture = fs::read_to_string(test.path("run.svg")).expect("written");
    assert!(
        picture.starts_with("<svg ") && picture.contains("class=\"lost\""),
        "{picture}"
    );
    let ran = test.run(&["--seed", "2", "--trace", "run.html", "--events", "1"]);
    assert!(
        ran.errors.contains("run.html: events 3 to 3 of 3"),
        "{ran:?}"
    );
    let page = fs::read_to_string(test.path("run.html")).expect("written");
    assert!(
        page.contains("[[2,9,\"FAILED one leader: two\"]]"),
        "{page}"
    );
    assert!(!ran.errors.contains("differs"), "{ran:?}");
    let script = format!("[ -z \"$SOIL_SIM_TRACE\" ] || seed=3\n{ONE_LEADER}");
    let script = script.replace("report passed \"", "seed=2 report passed \"");
    let ran = Test::new(&script).run(&["--seed", "2", "--trace", "run.svg"]);
    assert!(
        ran.errors
            .contains("soil: the run that is drawn differs: passed: no message\n"),
        "{ran:?}"
    );
    let ran = Test::new("report passed").run(&["--seed", "2", "--trace", "run.svg"]);
    assert!(ran.errors.contains("the run wrote no events"), "{ran:?}");
}

#[test]
fn a_debugger_has_the_terminal() {
    // Ctrl-C is gdb's.
    let script = "kill -INT $$; read -r line; echo \"$SOIL_SIM_GDB $line\"; report passed";
    let test = Test::new(script);
    let mut command = test.command(&["--seed", "2", "--gdb", "db1", "--at", "4.1"]);
    let file = test.path("input");
    fs::write(&file, "continue\n").expect("written");
    command.stdin(fs::File::open(file).expect("there"));
    let ran = Ran::of(&command.output().expect("soil starts"));
    assert_eq!(ran.output, "db1@4100000000 continue\n", "{ran:?}");
    assert_eq!(
        (ran.status, ran.errors.as_str()),
        (Some(0), "soil: passed: no message\n")
    );
}

#[test]
fn output_that_is_long_or_held_open_stops_nothing() {
    let test = Test::new(
        "for n in $(seq 20000); do echo \"a line of output $n\"; done
        sleep 1000 & echo $! >node
        setsid sh -c 'echo $$ >apart; exec sleep 1000' &
        until [ -s apart ]; do sleep 0.01; done
        exit 3",
    );
    let mut soil = test
        .command(&["--seeds", "1", "--no-shrink"])
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(soil.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(
        first.contains("status 3, without a report: a line of output 20000"),
        "{first}"
    );
    soil.wait().expect("waited for");
    assert_gone(&test);
    // A process in a group of its own isn't the command's to end.
    for apart in test.lines("apart") {
        let apart = Pid::from_raw(apart.parse().expect("a number"));
        kill_process(apart.expect("a process"), Signal::KILL).expect("it runs");
    }
}
