"""The rule for tests that fail in a whole run (harness/flaky.py), in each of the three runners, on
tests made to fail here."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

from harness import flaky, runner
from harness.context import ROOT
from harness.runner import test

sys.path.insert(0, os.path.join(ROOT, "tools", "setup"))
import cargotest  # noqa: E402


def counted(context, name):
    """The number of calls for the name, this one included."""
    with open(context.path(f"count-{name}"), "a", encoding="ascii") as file:
        file.write("x")
        return file.tell()


def ended(context, tests):
    """Runs tests, functions by name, as a whole run does: the failures, their counts by outcome,
    and the report's lines."""
    # Only a hang must meet its limit.
    tests = [
        runner.Test(name, name, function, 2 if name == "hang" else 120, False)
        for name, function in tests.items()
    ]
    counts, _, failures = runner.run(tests, 2, False)
    told = runner.run_again(tests, counts, failures, False)
    return failures, (counts[runner.PASS], counts[runner.FAIL]), list(told)


@test()
def failed_tests_run_again_at_the_end(context):
    """A failed end-to-end test runs again after all others, twice at most; one that passes then
    counts as passed, and the report has the first line of its first failure."""
    order = context.path("order")

    def failing(name, times):
        def function(_):
            with open(order, "a", encoding="ascii") as file:
                file.write(name + "\n")
            count = counted(context, name)
            assert count > times, f"failure {count} of {name}\nmore"

        return function

    tests = {name: failing(name, times) for name, times in (("a", 1), ("b", 2), ("c", 3), ("d", 0))}
    failures, counts, told = ended(context, tests)
    assert counts == (3, 1), counts
    assert [re.sub(r"flaky_runs.py:\d+", "FILE", line) for line in told] == [
        "flaky: a (failed once: FILE: failure 1 of a)",
        "flaky: b (failed twice: FILE: failure 1 of b)",
    ], told
    with open(order, encoding="ascii") as file:
        names = file.read().split()
    assert sorted(names[:4]) == list("abcd") and sorted(names[4:7]) == list("abc"), names
    # The order of each round is that in which the tests of the round before ended.
    assert sorted(names[7:]) == ["b", "c"], names


@test()
def final_failures_are_not_run_again(context):
    """A panic, a crash report, a crash, a sanitizer's report, a counterexample and a hang fail at
    once, whatever the test prints; a limit below that of hangs doesn't."""

    def wrote(name, text, ending="true"):
        def function(inner):
            counted(context, name)
            inner.child(["sh", "-c", f"cat <<'END'\n{text}\nEND\n{ending}"]).finish()
            raise AssertionError("the answer is missing")

        return function

    def hang(inner):
        counted(context, "hang")
        inner.child(["sleep", "100"]).wait_line("never")

    def slow(inner):
        child = inner.child(["sleep", "100"])
        if counted(context, "slow") == 1:
            child.wait_line("never", timeout=0.1)

    def killed(_):
        counted(context, "killed")
        os.kill(os.getpid(), signal.SIGSEGV)

    texts = {
        "panic": "thread 'main' panicked at net/src/lib.rs:1:2:",
        "panic of an image": "Rust panic: panicked at net/src/lib.rs:1:2:",
        "report": "soil: crash: page fault",
        "sanitizer": "==1==ERROR: AddressSanitizer: heap-use-after-free",
        "counterexample": "mismatch: seed 5, /data, step 3, write: 1 byte",
    }
    final = {name: wrote(name, text) for name, text in texts.items()}
    final |= {"abort": wrote("abort", "", "kill -ABRT $$"), "hang": hang, "killed": killed}
    stalled = wrote("stalled", texts["counterexample"] + "\nsoil: the disk doesn't answer")
    failures, counts, told = ended(context, {**final, "slow": slow, "stalled": stalled})
    assert counts == (1, len(final) + 1), counts
    assert [line.split()[1] for line in told] == ["slow"], told
    reasons = {name: failure.final for name, failure in failures.items()}
    assert all(reasons[name] for name in final), reasons
    assert reasons["slow"] is None and reasons["stalled"] is None, reasons
    assert reasons["hang"] == "a hang" and reasons["panic"] == "a panic", reasons
    for name in final:
        assert counted(context, name) - 1 == 1, f"{name} was run again"
    assert counted(context, "stalled") - 1 == 3


@test()
def what_a_test_leaves_ends_with_it(context):
    """A process in a session of its own, whose parent has ended, is killed at the end of its test,
    and of one that hangs."""

    def leaving(name, seconds):
        def function(_):
            words = ["sh", "-c", "setsid sleep 1000 >/dev/null & echo $!"]
            pid = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
            with open(context.path(name), "w", encoding="ascii") as file:
                file.write(pid.strip())
            time.sleep(seconds)

        return function

    names = {"passes": 0, "hang": 100}
    _, counts, _ = ended(context, {name: leaving(name, names[name]) for name in names})
    assert counts == (1, 1), counts
    for name in names:
        with open(context.path(name), encoding="ascii") as file:
            pid = file.read()
        # Nothing but the number remains until its parent notices.
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                assert stat.read().rsplit(") ", 1)[1][0] == "Z", f"{name} left {pid}"


@test()
def many_failures_are_not_run_again(context):
    """More than ten failures share a cause, so none is repeated."""
    failures = {str(number): flaky.Failure("slow", None) for number in range(11)}
    asked = []
    assert flaky.run_again(failures, asked.append) == ({}, failures)
    assert not asked


CRATE = """
pub fn third(values: &[u8]) -> u8 { values[2] }

#[cfg(test)]
mod tests {
    fn count(name: &str) -> u64 {
        use std::io::Write;
        let path = format!("{}/count-{name}", std::env::var("FOLDER").unwrap());
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(b"x").unwrap();
        file.metadata().unwrap().len()
    }
    #[test] fn passes() { count("passes"); }
    #[test] fn once() { assert_eq!(count("once"), 2, "the timer\\ncame late"); }
    #[test] fn returns() -> Result<(), String> {
        if count("returns") > 2 { Ok(()) } else { Err("no answer".into()) }
    }
    #[test] fn product() { count("product"); super::third(&[1, 2]); }
    #[test] fn always() { assert!(count("always") > 9); }
}
"""


def compiled(context, name, text):
    source, program = context.path(name + ".rs"), context.path(name)
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    context.run("rustc", "--edition", "2024", "--test", source, "-o", program)
    return cargotest.Program(f"{name}.rs ({name})", (program,), context.directory)


def run_programs(context, programs):
    """Whether something failed, and the output of cargotest.py."""
    os.environ["FOLDER"] = context.directory
    path = context.path("printed")
    output = os.dup(1)
    with open(path, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        try:
            failed = cargotest.run_all(programs)
        finally:
            sys.stdout.flush()
            os.dup2(output, 1)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    print(text)
    return failed, text


@test()
def failed_tests_of_crates_run_again(context):
    """A test's own assertion, or the error that it returns, is repeated by itself; a panic outside
    the tests' code and an aborted program aren't. The counts are corrected."""
    program = compiled(context, "crate", CRATE)
    failed, text = run_programs(context, [program])
    assert failed
    place = cargotest.place(program)
    told = [line for line in text.splitlines() if line.startswith("flaky: ")]
    assert told == [
        f"flaky: {place}: tests::once (failed once: assertion `left == right` failed: the timer)",
        f'flaky: {place}: tests::returns (failed twice: Error: "no answer")',
    ], told
    results = re.findall(r"^crate.rs \(crate\): test result: .*?failed", text, re.MULTILINE)
    assert results == ["crate.rs (crate): test result: FAILED. 3 passed; 2 failed"], results
    assert re.search(r"tests::product: not run again: a panic at .*crate.rs:2$", text, re.MULTILINE)
    names = ("passes", "once", "returns", "product", "always")
    # This count is one higher.
    assert [counted(context, name) - 1 for name in names] == [1, 2, 3, 1, 3]

    text = CRATE.replace("super::third(&[1, 2]);", "std::process::abort();")
    failed, text = run_programs(context, [compiled(context, "aborts", text)])
    assert failed and "aborts.rs (aborts): ended with status -6" in text, text
    assert "flaky" not in text, text


DUNE = """
(tests (names main) (modes exe) (libraries alcotest unix))
"""
MAIN = """
let count name =
  let path = Filename.concat (Sys.getenv "FOLDER") ("count-" ^ name) in
  Out_channel.with_open_gen [ Open_append; Open_creat ] 0o600 path (fun file ->
      Out_channel.output_string file "x"; Out_channel.flush file;
      Int64.to_int (Out_channel.length file))
(* Not a tail call: Alcotest names its place, as dune does that of a failed test. *)
let once () = Alcotest.(check int) "the timer" 2 (count "once"); ignore (count "passed")
let () =
  ignore (count "main");
  Alcotest.run "main" [ "a.b", [ Alcotest.test_case "passes" `Quick ignore;
                                 Alcotest.test_case "once, (odd)" `Quick once ] ]
"""


def dune_run(context, main):
    """The status and the output of dunetest.py, with this program among the tests."""
    folder = context.path("project")
    os.makedirs(os.path.join(folder, "t"), exist_ok=True)
    files = {"dune-project": "(lang dune 3.17)", "t/dune": DUNE, "t/main.ml": main}
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    environment = {**os.environ, "FOLDER": context.directory}
    environment.pop("DUNE_BUILD_DIR", None)
    words = [
        os.path.join(ROOT, "tools/setup/dunetest.py"),
        "--root",
        ".",
        "@_build/default/runtest",
    ]
    done = context.run(*words, cwd=folder, env=environment, check=False)
    return done.returncode, done.stdout


def counts_of(text):
    """The counts that tools/setup/test.sh takes from Alcotest."""
    passed = re.findall(r"^Test Successful .* (\d+) tests? run\.$", text, re.MULTILINE)
    return sum(map(int, passed)), len(re.findall(r"^\d+ failures?!", text, re.MULTILINE))


@test(limit=120)
def failed_ocaml_tests_run_again(context):
    """Dune repeats the program whose test failed; the report has the test's name."""
    status, text = dune_run(context, MAIN)
    assert status == 0, text
    assert text.splitlines()[-1] == "flaky: t: a.b: once, (odd) (failed once: FAIL the timer)", text
    assert counts_of(text) == (2, 0), text
    assert counted(context, "main") - 1 == 2


@test(limit=120)
def final_failures_of_ocaml_tests_are_not_run_again(context):
    """A program killed by a signal and an exception outside the tests fail at once."""
    for runs, text in enumerate(
        (
            MAIN.replace("let once () =", "let once () = Unix.(kill (getpid ()) Sys.sigsegv);"),
            MAIN.replace("Alcotest.run", 'ignore (failwith "no test"); Alcotest.run'),
        )
    ):
        status, output = dune_run(context, text)
        assert status == 1 and "flaky" not in output, output
        # Each count adds one.
        assert counted(context, "main") == 2 * runs + 2, output
