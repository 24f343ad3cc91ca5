"""`soil new`, `build` and `test`: projects outside of the repository, with the installed
library."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time

from harness.console import PATIENCE
from harness.context import ROOT, executable
from harness.runner import test

INSTALLED = os.path.join(ROOT, "_build", "install", "default")
FORMS = ("default", "soil")


def installed():
    """The environment of a user who has installed Soil."""
    assert os.path.exists(os.path.join(INSTALLED, "bin", "soil")), "run: dune build @install"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DUNE_BUILD_DIR", "INSIDE_DUNE")
    }
    for name, folder in (
        ("PATH", "bin"),
        ("OCAMLPATH", "lib"),
        ("CAML_LD_LIBRARY_PATH", "lib/stublibs"),
    ):
        before = environment.get(name)
        environment[name] = os.path.join(INSTALLED, folder) + (f":{before}" if before else "")
    return environment


class Project:
    """A project in the test's folder."""

    def __init__(self, context, name, template="cli"):
        self.context, self.environment = context, installed()
        self.folder = context.path(name)
        self.soil("new", name, "--template", template, cwd=context.directory)

    def soil(self, *words, cwd=None, check=True):
        return self.context.run(
            "soil", *words, env=self.environment, cwd=cwd or self.folder, check=check
        )

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def build(self):
        """The output of `soil build` about the programs."""
        return json.loads(self.soil("build", "--json").stdout)

    def results(self, *words, status=0):
        """The output of `soil test`: outcome and output by test and form."""
        done = self.soil("test", "--json", *words, check=False)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        reports = json.loads(done.stdout)
        return {(each["test"], each["form"]): each for each in reports}

    def run(self, context_name, *words):
        """The program, running in one form."""
        program = f"_build/{context_name}/main.exe"
        words = [os.path.join(INSTALLED, "bin", "soil"), "run", program, *words]
        return self.context.child(words, env=self.environment, cwd=self.folder)


def outcomes(results):
    return {key: each["outcome"] for key, each in results.items()}


BOTH_PASS = {("test/test", "process"): "passed", ("test/test", "image"): "passed"}


def built_and_tested(project):
    """The project builds in both forms, and its tests pass."""
    (built,) = project.build()
    assert built["program"] == "main", built
    for form, path in (("process", "_build/default/main.exe"), ("image", "_build/soil/main.exe")):
        made = built[form]
        size = os.path.getsize(os.path.join(project.folder, path))
        assert (made["path"], made["bytes"]) == (path, size), built
    assert built["image"]["stripped_bytes"] < built["image"]["bytes"], built
    assert outcomes(project.results()) == BOTH_PASS


def conversation(host, port, text):
    """A server's answer to `text`."""
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(4096):
            answer += part
        return answer


def on_tap(context):
    """A TAP and the options of `soil run` for it."""
    tap = context.tap()
    words = ["--net", f"tap={tap.name}", "--ip", tap.guest_cidr, "--gateway", tap.host]
    return tap, words


@test(limit=90)
def a_new_tcp_server(context):
    """`soil new --template tcp`: built, tested and run in both forms."""
    project = Project(context, "my-server", "tcp")
    built_and_tested(project)
    for form in FORMS:
        tap, words = on_tap(context)
        child = project.run(form, *words)
        child.wait_line("listening on")
        assert conversation(tap.guest, 7, b"hello\n") == b"hello\n", form
        child.stop()


@test(limit=90)
def a_new_http_server(context):
    """`soil new --template http`: built, tested and run in both forms."""
    project = Project(context, "site", "http")
    built_and_tested(project)
    for form in FORMS:
        tap, words = on_tap(context)
        child = project.run(form, *words)
        child.wait_line("listening on")
        request = (
            b"POST /upper HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext"
        )
        answer = conversation(tap.guest, 80, request)
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nTEXT"), answer
        child.wait_line("POST /upper")
        child.stop()


@test(limit=90)
def a_new_store(context):
    """`soil new --template kv`: built, tested and run in both forms on one disk, on which the image
    finds the process's values."""
    project = Project(context, "store", "kv")
    built_and_tested(project)
    child = project.run("soil")
    assert child.finish() == 125, child.text
    remedy = "soil disk make data.img --fs ext4 --size 64M"
    assert remedy in child.text, child.text
    project.soil(*remedy.split()[1:])
    for form, asked, answers in (
        ("default", b"set /a one two\nget /a\n", b"ok \nok one two\n"),
        ("soil", b"get /a\nwhat\n", b"ok one two\nerror not a command\n"),
    ):
        tap, words = on_tap(context)
        child = project.run(form, "--disk", "data=data.img", *words)
        child.wait_line("listening on")
        assert conversation(tap.guest, 7000, asked) == answers, form
        child.stop()


@test(limit=90)
def a_new_command_line_tool(context):
    """`soil new --template cli`: built, tested and run in both forms, on standard input and on the
    files of a disk."""
    project = Project(context, "tool", "cli")
    built_and_tested(project)
    os.mkdir(os.path.join(project.folder, "texts"))
    project.write("texts/a.txt", "one two\nthree\n")
    project.soil("disk", "make", "texts.img", "texts", "--fs", "fat", "--size", "1M")
    for form in FORMS:
        program = f"_build/{form}/main.exe"
        done = project.soil("run", program, "--disk", "t=texts.img,ro", "--", "/t/a.txt")
        assert done.stdout == "      2       3 /t/a.txt\n", (form, done.stdout)
        missing = project.soil("run", program, "--", "/nowhere", check=False)
        assert missing.returncode == 1 and "/nowhere" in missing.stderr, (form, missing)


FAILING = """let () =
  print_endline "the reason";
  if Array.length Sys.argv > 1 then print_endline Sys.argv.(1);
  exit 3
"""
# Writes to its disk, which no other run may have written before.
WRITING = """let () =
  Soil.run @@ fun () ->
  if Soil.Fs.exists "/data/mine" then failwith "another run's file";
  Soil.Fs.write_file "/data/mine" Sys.argv.(1)
"""


@test(limit=90)
def tests_that_fail_hang_and_have_disks(context):
    """`soil test`: exit status, output and reason of each test in both forms; options and arguments
    in NAME.run, with a separate disk for each run; time limits; words that select."""
    project = Project(context, "tests")
    project.write("a/failing.ml", FAILING)
    project.write("a/hanging.ml", "let () = while true do () done\n")
    project.write("a/only_process.ml", "let () = ()\n")
    project.write(
        "a/dune",
        "(tests (names failing hanging) (modules failing hanging))\n"
        "(test (name only_process) (modules only_process)"
        " (enabled_if (= %{context_name} default)))\n",
    )
    project.write("a/failing.run", "-- 'an argument'\n")
    project.write("b/writing.ml", WRITING)
    project.write(
        "b/dune",
        "(test (name writing) (libraries soil))\n(rule (targets d.img)"
        " (action (ignore-stdout (run soil disk make d.img --fs fat --size 1M))))\n",
    )
    project.write("b/writing.run", "# the disk\n--disk data=d.img\n-- text\n")

    hanging = project.results("hanging", "--timeout", "3", status=1)
    assert set(outcomes(hanging).values()) == {"timed-out"} and len(hanging) == 2, hanging
    project.write("a/hanging.ml", "let () = ()\n")
    results = project.results("--timeout", "1000", status=1)
    assert outcomes(results) == {
        **BOTH_PASS,
        ("a/failing", "process"): "failed",
        ("a/failing", "image"): "failed",
        ("a/hanging", "process"): "passed",
        ("a/hanging", "image"): "passed",
        ("a/only_process", "process"): "passed",
        ("a/only_process", "image"): "skipped",
        ("b/writing", "process"): "passed",
        ("b/writing", "image"): "passed",
    }, results
    for form in ("process", "image"):
        failed = results["a/failing", form]
        assert failed["status"] == 3, failed
        assert failed["output"] == "the reason\nan argument\n", failed
    # Repeated: the disk in the build folder is unchanged.
    again = project.results("writing", "--form", "image")
    assert outcomes(again) == {("b/writing", "image"): "passed"}

    text = project.soil("test", "failing", "test/test", "--jobs", "1", check=False)
    assert text.returncode == 1 and text.stdout == (
        "FAIL  a/failing (process): exit status 3\n      the reason\n      an argument\n"
        "FAIL  a/failing (image): exit status 3\n      the reason\n      an argument\n"
        "ok    test/test (process)\n"
        "ok    test/test (image)\n"
        "2 passed, 2 failed\n"
    ), text.stdout


SHOWS = """let () =
  Array.iteri (fun i word -> if i > 0 then print_endline word) Sys.argv;
  print_endline "the end"
"""


@test(limit=90)
def tests_with_actions_and_expected_output(context):
    """`soil test`: arguments of a test's action and of rules, expected output, in both forms; dune
    runs cram tests and other actions as processes; the difference is shown."""
    project = Project(context, "actions", "cli")
    for name in ("plain", "wrong", "given", "shows"):
        project.write(f"a/{name}.ml", SHOWS)
    project.write("a/plain.expected", "the end\n")
    project.write("a/wrong.expected", "the beginning\n")
    project.write("a/shown.expected", "1\nthe end\n")
    project.write(
        "a/dune",
        "(tests (names plain wrong) (modules plain wrong))\n"
        "(test (name given) (modules given) (action (run %{test} 'a --b)))\n"
        "(executable (name shows) (modules shows))\n"
        "(rule (alias runtest) (action (run ./shows.exe one)))\n"
        "(rule (with-stdout-to shown.out (run ./shows.exe 1)))\n"
        "(rule (alias runtest) (action (diff shown.expected shown.out)))\n",
    )
    project.write("b/dune", "(cram (deps ../a/shows.exe))\n")
    project.write("b/cram.t", "  $ ../a/shows.exe\n  the end\n")
    project.write("c/dune", '(rule (alias runtest) (action (system "echo of dune; exit 3")))\n')
    results = project.results(status=1)
    both = {f"a/{name}": "passed" for name in ("plain", "given 'a --b", "shows one", "shows 1")} | {
        "test/test": "passed",
        "a/wrong": "failed",
    }
    expected = {(name, form): both[name] for name in both for form in ("process", "image")}
    expected |= {
        ("b/runtest", "process"): "passed",
        ("b/runtest", "image"): "skipped",
        ("c/runtest", "process"): "failed",
        ("c/runtest", "image"): "skipped",
    }
    assert outcomes(results) == expected, results
    for form in ("process", "image"):
        assert results["a/shows one", form]["output"] == "one\nthe end\n", results
        wrong = results["a/wrong", form]
        assert wrong["reason"] == (
            "its output isn't that of wrong.expected: "
            'line 1 is "the end" in place of "the beginning"'
        ), wrong
        assert wrong["output"] == "the end\n", wrong
    assert "of dune" in results["c/runtest", "process"]["output"], results
    assert "as processes only" in results["b/runtest", "image"]["reason"], results
    project.write("b/cram.t", "  $ ../a/shows.exe\n  the beginning\n")
    changed = project.results("b/", status=1)
    assert "-  the beginning" in changed["b/runtest", "process"]["output"], changed


def until(context, condition):
    while not condition():
        assert context.remaining() > 1, "it doesn't come"
        time.sleep(0.05)


@test(limit=90)
def ended_tests_leave_nothing(context):
    """`soil test` ended by Ctrl-C or killed leaves no QEMU, no dune and no test's program."""
    project = Project(context, "hanging")
    project.write("a/hanging.ml", "let () = while true do () done\n")
    project.write("a/dune", "(test (name hanging))\n")
    project.write("b/cram.t", "  $ sleep 3600\n")
    project.build()

    def ended(number, *words, running):
        command = [os.path.join(INSTALLED, "bin", "soil"), "test", "--timeout", "3600", *words]
        child = context.child(command, env=project.environment, cwd=project.folder)
        session = child.process.pid

        def runs():
            names = " ".join(of_session(session))
            return all(name in names for name in running)

        until(context, runs)
        if number == signal.SIGINT:
            # The terminal signals its whole group.
            os.killpg(session, number)
        else:
            child.signal(number)
        child.process.wait(context.remaining())
        until(context, lambda: not of_session(session))

    for number in (signal.SIGINT, signal.SIGKILL):
        ended(number, "hanging", "--jobs", "2", running=("qemu-system", "hanging.exe"))
        ended(number, "b/", running=("dune", "sleep"))
    project.write("slow/dune", '(rule (targets x) (action (system "sleep 3600; touch x")))\n')
    for number in (signal.SIGINT, signal.SIGKILL):
        ended(number, running=("dune", "sleep"))


# Builds; runs tests until a signal ends it, and records the signal.
WAITING_DUNE = """#!/bin/sh
case "$*" in *@@*) ;; *) exec {dune} "$@" ;; esac
for signal in INT TERM; do trap "echo $signal >> {signals}" $signal; done
echo ready >> {signals}
until grep -q TERM {signals}; do
  sleep 0.2 &
  wait
done
"""


@test(limit=60)
def dune_is_told_once_to_end(context):
    """Ctrl-C ends `soil test`, and then, by one signal, the dune that runs a folder's tests. After
    three within a second dune would end at once and leave the tests running."""
    project = Project(context, "told")
    project.write("b/cram.t", "  $ true\n")
    signals, path = context.path("signals"), context.path("bin")
    os.mkdir(path)
    dune = shutil.which("dune", path=project.environment["PATH"])
    with open(os.path.join(path, "dune"), "w", encoding="ascii") as file:
        file.write(WAITING_DUNE.format(dune=dune, signals=signals))
    os.chmod(file.name, 0o755)
    environment = {**project.environment, "PATH": f"{path}:{project.environment['PATH']}"}
    command = [os.path.join(INSTALLED, "bin", "soil"), "test", "b/"]
    child = context.child(command, env=environment, cwd=project.folder)
    until(context, lambda: os.path.exists(signals))
    os.killpg(child.process.pid, signal.SIGINT)
    child.process.wait(context.remaining())
    until(context, lambda: not of_session(child.process.pid))
    with open(signals, encoding="ascii") as file:
        told = file.read().split()
    assert told == ["ready", "TERM"], told


@test(limit=60)
def errors_of_new_build_and_test(context):
    """For a bad name, folder, workspace or source, or a dune error, one line names the remedy."""
    project = Project(context, "project")

    def refused(*words, cwd=context.directory, says, environment=None):
        done = context.run(
            os.path.join(INSTALLED, "bin", "soil"),
            *words,
            env=environment or project.environment,
            cwd=cwd,
            check=False,
        )
        last = done.stderr.rstrip("\n").rsplit("\n", 1)[-1]
        assert done.returncode == 1 and re.fullmatch(says, last), (words, done)
        return done.stderr

    refused("new", "1a", says="soil: '1a' is no project name: a letter, then .*")
    refused("new", "project", says="soil: project: already exists, and not empty: .*soil init.*")
    refused("build", says="soil: neither dune-project nor dune-workspace .*soil new.*")
    bare = context.path("bare")
    os.mkdir(bare)
    with open(os.path.join(bare, "dune-project"), "w", encoding="ascii") as file:
        file.write("(lang dune 3.17)\n")
    refused("test", cwd=bare, says="soil: .*/bare: .*no context that links images: .*soil init.*")
    refused("test", "nothing", cwd=project.folder, says="soil: no test is called nothing")
    nowhere = {**project.environment, "PATH": context.path("empty")}
    refused("build", cwd=project.folder, environment=nowhere, says="soil: dune: .*soil doctor.*")
    project.write("main.ml", "let () = 1 + true\n")
    errors = refused("build", cwd=project.folder, says="soil: dune could not build everything")
    assert 'File "main.ml", line 1' in errors, errors


SAYS = """let () =
  Soil.run @@ fun () ->
  print_endline "{}";
  Soil.Clock.sleep 3600.
"""


def of_session(number):
    """The processes of a session, except its leader."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                name, fields = file.read().rsplit(")", 1)
        except OSError:
            continue
        state, session = fields.split()[0], int(fields.split()[3])
        if session == number and int(pid) != number and state != "Z":
            found.append(name)
    return found


def watched(context, form):
    project = Project(context, "watched")
    project.write("main.ml", SAYS.format("one"))
    project.build()
    child = project.run(form, "--watch")
    child.wait_line("one")
    project.write("main.ml", SAYS.format("two"))
    child.wait_line("two")
    seen = len(child.lines)
    project.write("main.ml", "let () = 1 + true\n")
    child.wait_line("Error", after=seen)
    project.write("main.ml", 'let () = print_endline "three"; exit 4\n')
    child.wait_line("three")
    child.wait_line("ended with exit status: 4; waiting for a change")
    project.write("main.ml", SAYS.format("four"))
    child.wait_line("four")
    # Others build here meanwhile: Soil's commands, dune, and a second one that watches.
    assert project.build()[0]["program"] == "main"
    context.run("dune", "build", "--root", ".", env=project.environment, cwd=project.folder)
    second = project.run(form, "--watch")
    second.wait_line("four")
    project.write("main.ml", SAYS.format("five"))
    child.wait_line("five")
    second.wait_line("five")
    second.signal(signal.SIGTERM)
    assert second.finish() == 128 + signal.SIGTERM, second.text
    child.signal(signal.SIGTERM)
    status = child.finish()
    assert status == 128 + signal.SIGTERM, status
    assert "neither a Soil image" not in child.text, child.text
    until(context, lambda: not of_session(child.process.pid))


@test(limit=120)
def watched_process(context):
    """`soil run --watch` rebuilds and restarts a process when its source changes, continues when it
    doesn't compile or the program ends, and ends everything that it started. Other builds in the
    workspace succeed meanwhile."""
    watched(context, "default")


@test(limit=120)
def watched_image(context):
    """The same with the image."""
    watched(context, "soil")


@test(limit=120)
def watched_tests(context):
    """`soil test --watch` runs the tests again when a source changes, also after an error of a
    build, beside other builds."""
    project = Project(context, "watched")
    project.write("a/checked.ml", "let () = exit 3\n")
    project.write("a/dune", "(test (name checked))\n")
    command = [os.path.join(INSTALLED, "bin", "soil"), "test", "--watch", "checked"]
    command += ["--form", "process"]
    child = context.child(command, env=project.environment, cwd=project.folder)
    child.wait_line("0 passed, 1 failed")
    child.wait_line("waiting for a change")

    def changed(text, *shown):
        seen = len(child.lines)
        project.write("a/checked.ml", text)
        for line in (*shown, "waiting for a change"):
            child.wait_line(line, after=seen)

    changed("let () = 1 + true\n", "Error", "dune could not build everything")
    assert project.soil("build", check=False).returncode == 1
    changed("let () = ()\n", "ok    a/checked (process)", "1 passed, 0 failed")
    assert len(project.build()) == 1
    child.signal(signal.SIGTERM)
    child.process.wait(context.remaining())
    until(context, lambda: not of_session(child.process.pid))


def on_terminal(context, *words, environment, seen=lambda _: None):
    """A command's output on a terminal; `seen` is called with the output so far."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    printed = b""
    try:
        while select.select([ours], [], [], context.remaining())[0]:
            printed += os.read(ours, 4096)
            seen(printed.decode(errors="replace"))
    except OSError:
        pass  # EIO: it has ended, and so have all its children.
    child.wait(context.remaining())
    os.close(ours)
    return printed.decode()


@test(limit=60)
def colours_and_progress_on_terminals_only(context):
    """Progress where a command takes long, and colours, both only on terminals; no colours with
    NO_COLOR."""
    environment = {**installed(), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    soil = os.path.join(INSTALLED, "bin", "soil")
    slow, sign = context.path("qemu"), "asking the program what it needs"
    words = (soil, "needs", executable("tests/programs/soil/needs.exe", "microvm"), "--qemu", slow)

    def stand_in(work):
        with open(slow, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{work}\nexit 1\n")
        os.chmod(slow, 0o755)

    def seen(printed):
        if sign in printed:
            with open(slow + ".seen", "w", encoding="ascii"):
                pass

    stand_in('until [ -e "$0.seen" ]; do sleep 0.1; done')
    shown = on_terminal(context, *words, environment=environment, seen=seen)
    assert sign in shown, shown
    stand_in("sleep 2")
    piped = context.run(*words, env=environment, check=False)
    assert "asking" not in piped.stdout + piped.stderr, piped
    colour = "\x1b[1m\x1b[3"
    assert colour in on_terminal(context, soil, "doctor", environment=environment)
    plain = {**environment, "NO_COLOR": "1"}
    assert colour not in on_terminal(context, soil, "doctor", environment=plain)
    assert "\x1b" not in context.run(soil, "doctor", env=environment, check=False).stdout


APT = """#!/bin/sh
echo "$@" >>{asked}
exit {status}
"""


@test(limit=60)
def the_doctor_installs_what_is_missing(context):
    """`soil doctor`: findings as text and JSON; `--fix` has apt install the missing packages, never
    remove one, and prints the command where it can't; colours only on terminals."""
    environment = {**installed(), "PATH": context.path("bin")}
    os.mkdir(context.path("bin"))
    soil, asked = os.path.join(INSTALLED, "bin", "soil"), context.path("asked")

    def doctor(*words, status=1):
        done = context.run(soil, "doctor", *words, env=environment, check=False)
        assert done.returncode == status, done
        return done

    found = {each["name"]: each for each in json.loads(doctor("--json").stdout)}
    assert found["QEMU"]["required"] and not found["QEMU"]["found"], found
    assert found["QEMU"]["packages"] == ["qemu-system-x86"], found
    text = doctor().stdout
    assert "MISSING  QEMU" in text and "\x1b" not in text, text
    command = text.rstrip("\n").rsplit("\n", 1)[-1].strip()
    assert command.startswith("apt-get install --no-remove --no-install-recommends "), text
    assert " qemu-system-x86" in command, text
    assert found["OCaml"]["packages"] == ["ocaml", "ocaml-findlib"], found
    assert "no apt-get" in doctor("--fix").stderr

    apt = context.path("bin/apt-get")
    for status, said in ((0, ""), (100, f"apt-get could not install them: run: {command}")):
        with open(apt, "w", encoding="ascii") as file:
            file.write(APT.format(asked=asked, status=status))
        os.chmod(apt, 0o755)
        assert said in doctor("--fix").stderr, said
        with open(asked, encoding="ascii") as file:
            words = file.read()
        assert words == command.replace("apt-get", "--yes", 1) + "\n", words
        os.unlink(asked)


@test(limit=60)
def the_doctor_names_holes_of_ocaml(context):
    """`soil doctor` lists the known vulnerabilities of the OCaml found, as text and JSON, and none
    for a version without any."""
    environment = {**installed(), "PATH": context.path("bin")}
    os.mkdir(context.path("bin"))
    soil, compiler = os.path.join(INSTALLED, "bin", "soil"), context.path("bin/ocamlopt")

    def doctor(version, *words):
        with open(compiler, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho {version}\n")
        os.chmod(compiler, 0o755)
        return context.run(soil, "doctor", *words, env=environment, check=False).stdout

    found = {each["name"]: each for each in json.loads(doctor("5.3.0", "--json"))}
    line = "CVE-2026-28364: Marshal.from_*, input_value, mended in OCaml 5.4.1"
    assert found["OCaml"]["found"] and found["OCaml"]["holes"][0] == line, found["OCaml"]
    assert found["QEMU"]["holes"] == [], found["QEMU"]
    assert f"  {line}\n" in doctor("5.3.0")
    newer = doctor("5.4.1")
    assert "known holes" in newer and "CVE-2026-28364" not in newer, newer
    assert "known holes" not in doctor("5.5.2")


@test(limit=60)
def names_of_variables_that_nothing_reads(context):
    """A program warns of a misspelt `SOIL_*` variable at its start, in both forms, and so do the
    commands; `soil image` does for a program that starts elsewhere. None warns of others."""
    environment = {**installed(), "SOIL_TEST_OF_OTHERS": "1"}
    soil = os.path.join(INSTALLED, "bin", "soil")
    told = "unknown variable SOIL_MUONT: did you mean SOIL_MOUNT?"
    for form in ("process", "microvm"):
        program = executable("tests/programs/soil/tasks.exe", form)
        for name, said in (("SOIL_MUONT", 1), ("SOIL_MOUNTS_", 1), ("SOIL_DISK_DATA_", 0)):
            options = ["--env", f"{name}=", "--log", "warn", "--timeout", "60"]
            done = context.run(soil, "run", program, *options, env=environment, check=False)
            text = done.stdout + done.stderr
            assert text.count("unknown variable") == said, (form, name, text)
            assert (told in text) == (name == "SOIL_MUONT"), (form, name, text)
    wrong = {**environment, "SOIL_QEMUU": "/bin/true"}
    line = "soil: warning: unknown variable SOIL_QEMUU: did you mean SOIL_QEMU?\n"
    for words in (("completions", "bash"), ("needs", "/bin/true")):
        done = context.run(soil, *words, env=wrong)
        assert done.stderr.count(line) == 1, done.stderr
    assert context.run(soil, "completions", "bash", env=environment).stderr == ""
    output = context.path("container")
    words = ("image", "/bin/true", "--format", "oci", "-o", output, "--env", "SOIL_MUONT=/")
    done = context.run(soil, *words, env=environment)
    told = "soil: warning: --env SOIL_MUONT: unknown variable: did you mean SOIL_MOUNT?\n"
    assert done.stderr == told, done.stderr


@test(limit=60)
def formats_of_disks_by_their_names(context):
    """A disk has the format of its name; a name of a format that isn't written, and a file that
    isn't raw, are refused with the command that helps."""
    environment = installed()
    image = executable("tests/programs/soil/tasks.exe", "microvm")

    def soil(*words, says=None):
        done = context.run(
            "soil", *words, env=environment, cwd=context.directory, check=says is None
        )
        if says:
            assert done.returncode != 0 and says in done.stderr, (words, done)

    soil("image", image, "-o", "a.qcow2")
    with open(context.path("a.qcow2"), "rb") as file:
        assert file.read(4) == b"QFI\xfb"
    convert = "qemu-img convert -O"
    soil("image", image, "-o", "a.vmdk", says=f"{convert} vmdk a.img a.vmdk")
    soil("image", image, "-o", "a.vdi", says=f"{convert} vdi a.img a.vdi")
    soil("image", image, "-o", "b.qcow2", "--format", "raw", says="leave out --format")
    make = ("disk", "make", "b.qcow2", "--fs", "fat", "--size", "1M")
    soil(*make, says=f"{convert} qcow2 b.img b.qcow2")
    raw = f"a disk in the format qcow2, not raw: {convert} raw a.qcow2 disk.img"
    for command in ("list", "check"):
        soil("disk", command, "a.qcow2", says=raw)
    soil("run", image, "--disk", "data=a.qcow2", says=raw)


@test(limit=60)
def data_as_json(context):
    """`soil disk list --json` has files and partitions, `soil disk check --json` the state of a
    file system; the exit status is the same."""
    environment = installed()

    def soil(*words, check=True):
        return context.run(
            "soil", "disk", *words, env=environment, cwd=context.directory, check=check
        )

    os.makedirs(context.path("files/folder"))
    with open(context.path("files/folder/a"), "w", encoding="ascii") as file:
        file.write("text")
    os.symlink("folder/a", context.path("files/link"))
    os.utime(context.path("files/folder/a"), (0, 86400))
    soil("make", "d.img", "files", "--fs", "ext4", "--size", "4M")
    listed = json.loads(soil("list", "d.img", "--json").stdout)["files"]
    files = {each.pop("path"): each for each in listed}
    assert set(files) == {"/folder", "/folder/a", "/link", "/lost+found"}, files
    assert files["/folder/a"] == {"kind": "file", "bytes": 4, "modified": 86400, "target": None}
    assert files["/link"]["target"] == "folder/a", files
    state = json.loads(soil("check", "d.img", "--json").stdout)
    clean = {
        "image": "d.img",
        "file_system": "ext4",
        "clean": True,
        "needs_replay": False,
        "report": "",
    }
    assert state == clean, state
    with open(context.path("d.img"), "r+b") as file:
        # The first group's block bitmap and the blocks after it.
        file.seek(16384)
        file.write(b"\xff" * 65536)
    damaged = soil("check", "d.img", "--json", check=False)
    state = json.loads(damaged.stdout)
    assert damaged.returncode == 1 and not state["clean"] and state["report"], damaged
    soil("make", "p.img", "--fs", "fat", "--size", "8M", "--partition", "gpt", "--label", "ONE")
    assert json.loads(soil("list", "p.img", "--json").stdout) == {"files": []}
