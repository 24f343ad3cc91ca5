"""One list of programs, run in every form through `soil run` with the same expected output."""

import os
import re
import signal
import subprocess
import time

from harness.console import falls_asleep
from harness.context import BINUTILS, FORMS, MACHINES, PROCESSOR, ROOT, clean, forms_of
from harness.runner import test

from cases.network import machine_pid

EXPECTED = os.path.join(ROOT, "tests", "programs", "expected")
FAULTS = "tests/programs/faults/faults.exe"


def expected(label):
    with open(os.path.join(EXPECTED, label + ".txt"), encoding="utf-8") as file:
        return file.read()


class Program:
    """A program of `tests/programs` and its expected outcome.

    The whole output must be `expected/LABEL.txt`, unless `contains` lists required parts.
    """

    def __init__(self, label, program=None, arguments=(), status=0, options=(), **rest):
        self.label, self.program = label, program or label.replace("-", "_")
        self.arguments, self.status, self.options = list(arguments), status, list(options)
        self.forms = forms_of(*rest.pop("forms", FORMS))
        self.environment = rest.pop("environment", {})
        self.contains = rest.pop("contains", None)
        self.limit = rest.pop("limit", 60)
        self.long = rest.pop("long", False)
        self.shows = rest.pop("shows", None)
        assert not rest, rest

    def shown(self):
        """The line of --list: by default the comment at the head of the program."""
        if self.shows:
            return self.shows
        path = self.program.removesuffix(".exe").replace("/networked/", "/")
        path = path if "/" in path else f"tests/programs/{path}"
        with open(os.path.join(ROOT, path + ".ml")) as file:
            return re.match(r"\(\*\s*(.*?)\s*\*\)", file.read(), re.DOTALL)[1]

    def check(self, context, form, tap=None):
        options = list(self.options)
        for name, value in self.environment.items():
            options += ["--env", f"{name}={value}"]
        arguments = [word() if callable(word) else word for word in self.arguments]
        child = context.soil(self.program, form, *arguments, options=options, tap=tap)
        status = child.finish(context.remaining())
        output = clean(child.text)
        if self.contains is None:
            wanted = expected(self.label)
            assert output == wanted, f"printed:\n{output}\nexpected:\n{wanted}"
        else:
            for text in self.contains:
                assert text in output, f"{text!r} is missing from:\n{output}"
        assert status == self.status, f"status {status}, expected {self.status}; printed:\n{output}"


QUOTING = ["plain", "two words", "", "  blanks  ", 'a "quoted" word', "back\\slash\\", "$HOME `id` ;|&",
           "tab\tnewline\nend", "grüße ☃", "--", "-n", "NAME=value", "'single'", "virtio_mmio.device=1"]  # fmt: skip

INVALID = f"{'undefined' if PROCESSOR == 'aarch64' else 'invalid'} instruction"
# Libraries behave the same on each kind of machine.
LIBRARY_FORMS = forms_of("process", "microvm")
# Libraries that are about domains, where they are installed: the arguments of short and long runs,
# if there are any, and numbers of processors that a short run outnumbers by its domains.
OF_DOMAINS = [
    ("lock-free", "2", "4", (), "Saturn's structures lose nothing between domains."),
    ("awaiting", "2", "4", (), "Domains and threads wait for one another by domain-local-await."),
    ("linearizable", None, "2 1", (), "Multicoretests' Lin and STM find an order for each result."),
    ("parallel", "2", "4", (1, 2), "Domainslib's pools share tasks, its channels lose nothing."),
    ("fibers", "2", "4", (2,), "Eio's fibers run, wait, end and serve in several domains."),
]


def of_domains():
    """Programs on those, in a process, and on more processors than they have domains: else a line
    says so, amid the output of those that don't have all of them from the start."""
    for label, short, long, outnumbered, shows in OF_DOMAINS:
        runs = [(f"{label}-on-{cpus}", short, cpus, MACHINES[:1]) for cpus in outnumbered]
        if short:
            runs.append((label, short, 4, LIBRARY_FORMS))
        runs.append((f"{label}-of-{long}" if short else label, long, 8, LIBRARY_FORMS))
        for name, arguments, cpus, forms in runs:
            for form in forms:
                yield Program(
                    name,
                    f"tests/programs/libraries/{label.replace('-', '_')}.exe",
                    arguments.split(),
                    forms=[form],
                    options=["--cpus", str(cpus)] if form != "process" else [],
                    contains=[expected(label)],
                    limit=3600 if arguments is long else 600,
                    long=arguments is long,
                    shows=shows,
                )


PROGRAMS = [
    Program("hello", "examples/hello/main.exe", shows="The example `hello` says its line."),
    Program("arguments", arguments=QUOTING),
    Program("arguments-none", "arguments"),
    Program(
        "environment",
        arguments=["GREETING", "EMPTY", "ODD", "ABSENT"],
        environment={"GREETING": "hello world", "EMPTY": "", "ODD": 'a "b" \\c=d'},
    ),
    Program("exit-0", "exit_status", ["0"]),
    Program("exit-3", "exit_status", ["3"], status=3),
    Program("exit-200", "exit_status", ["200"], status=200),
    Program("exits"),
    Program("uncaught", status=2),
    Program("aborts", status=134, contains=["before"]),
    Program("effects"),
    Program("gc-churn", options=["--mem", "64M"]),
    Program("floats"),
    Program("exceptions"),
    Program("marshalling"),
    Program("bigarrays"),
    Program("random-numbers"),
    *(
        Program(
            "another-domain",
            "tests/programs/soil/another_domain.exe",
            forms=[form],
            options=["--cpus", "2"] if form != "process" else [],
        )
        for form in LIBRARY_FORMS
    ),
    *(Program(label, f"tests/programs/libraries/{label}.exe") for label in ("numbers", "digests")),
    *(
        Program(name, f"tests/programs/libraries/{name.replace('-', '_')}.exe", forms=LIBRARY_FORMS)
        for name in (
            "glibc-names",
            "collections",
            "parser",
            "foreign",
            "texts",
            "documents",
            "derived",
            "ciphers",
            "addresses",
            "buffers",
            "markups",
            "structures",
            "folders",
            "encoded",
            "system",
            "cooperative",
        )
    ),
    *of_domains(),
    Program(
        "own-events",
        "tests/programs/unmodified/runtime_events/own_events.exe",
        forms=LIBRARY_FORMS,
        shows="A program reads its own Runtime_events.",
    ),
    Program(
        "own-events-from-the-start",
        "tests/programs/unmodified/runtime_events/own_events.exe",
        environment={
            "OCAML_RUNTIME_EVENTS_START": "1",
            "OCAML_RUNTIME_EVENTS_DIR": "/tmp",
            "OCAMLRUNPARAM": "b,d=3",
            "GIVEN": "b,d=3",
        },
        forms=LIBRARY_FORMS,
        contains=[expected("own-events")],
        shows="The runtime makes its ring of events before the program begins.",
    ),
    *(
        Program(name, f"tests/programs/ecosystem/{name}.exe", forms=LIBRARY_FORMS)
        for name in ("beside", "certificates")
    ),
    Program(
        "site",
        "tests/programs/ecosystem/site.exe",
        forms=LIBRARY_FORMS,
        options=["--mount", "/memory=memory:16M"],
    ),
    Program("pauses", "tests/programs/sight/pauses.exe", forms=LIBRARY_FORMS),
    Program("cxx", "tests/programs/cxx/cxx.exe", forms=LIBRARY_FORMS),
    Program("cxx-exception-alone", "tests/programs/cxx/thrown.exe", forms=LIBRARY_FORMS),
    Program("two-rusts", "tests/programs/rust/two_rusts.exe", forms=LIBRARY_FORMS),
    Program(
        "two-rusts-panic",
        "tests/programs/rust/two_rusts.exe",
        ["panic"],
        forms=("process",),
        shows="The second one panics and catches it.",
    ),
    # After a line that reports that io_uring is missing.
    Program(
        "loop",
        "tests/programs/libraries/loop.exe",
        forms=LIBRARY_FORMS,
        contains=[expected("loop")],
    ),
    Program(
        "properties",
        "tests/programs/libraries/properties.exe",
        forms=LIBRARY_FORMS,
        contains=[
            "holds\nshort lists: [0; 0; 0; 0; 0] (after 22 shrink steps)",
            "Test Successful in",
            "3 tests run.",
            "Expected: `1'",
            "Received: `2'",
            "alcotest found it",
        ],
    ),
    Program(
        "database",
        "tests/programs/libraries/database.exe",
        ["/tmp", "delete", "truncate", "persist"],
        forms=LIBRARY_FORMS,
    ),
    Program("clocks", arguments=[lambda: str(time.time())]),
    # OCaml's own limit, 1 GiB, would be filled and moved several times; on the machines memory ends
    # first.
    Program("overflow", environment={"OCAMLRUNPARAM": "l=2M"}),
    Program("overflow-of-memory", "overflow", forms=MACHINES, options=["--mem", "64M"]),
    Program("out-of-memory"),
    *(
        Program(f"calls-{group}", "calls", [group])
        for group in ("pointers", "waits", "legacy", "descriptors", "signals")
    ),
    # Processors with a large XSAVE area, of which images enable as much as signal frames hold.
    *(
        Program(
            f"calls-signals-on-{model.lower()}",
            "calls",
            ["signals"],
            options=["--cpu", model],
            forms=MACHINES,
            contains=[expected("calls-signals")],
            shows=f"Signals, on an alternate stack too, on QEMU's processor {model}.",
        )
        for model in ("max", "SapphireRapids")
    ),
    # Linux maps as much as requested.
    Program("calls-protections", "calls", ["protections"], forms=MACHINES),
    # After it, `soil run` names the signal that ended the process.
    Program("signals", arguments=["itself"], status=138, contains=[expected("signals")]),
    Program("fortified", arguments=["fits"]),
    Program(
        "page-fault-stack",
        "calls",
        ["page-fault-stack"],
        status=139,
        forms=MACHINES,
        contains=["guard page of a kernel stack: stack overflow"],
    ),
    Program("fault-null", FAULTS, ["null"], status=139, contains=["before"]),
    Program("fault-code", FAULTS, ["code"], status=139, contains=["before"]),
    Program("fault-stack", FAULTS, ["stack"], status=139, contains=["before"]),
    Program("fault-far", FAULTS, ["far"], status=139, contains=["before"]),
    Program("fault-illegal", FAULTS, ["illegal"], status=132, contains=["before"]),
    Program("fault-breakpoint", FAULTS, ["breakpoint"], status=133, contains=["before"]),
    # Interrupt 7 of the 8259, where firmware has it, without a device.
    Program("spurious-interrupt", FAULTS, ["spurious"], forms=MACHINES, contains=["survived"]),
    Program("fault-divide", FAULTS, ["divide"], status=136, contains=["before"]),
    # QEMU's software processor has no SIMD exceptions, whatever MXCSR says.
    Program("fault-float", FAULTS, ["float"], status=136, forms=("process",), contains=["before"]),
    Program("fault-x87", FAULTS, ["x87"], status=136, contains=["before"]),
    Program(
        "fault-report-illegal",
        FAULTS,
        ["illegal"],
        status=132,
        forms=MACHINES,
        contains=[INVALID, "test_fault at"],
    ),
    Program(
        "fault-report",
        FAULTS,
        ["null"],
        status=139,
        forms=MACHINES,
        contains=["null pointer", "test_fault at", "Faults.provoke at", "build-id"],
    ),
    Program(
        "fault-report-stack",
        FAULTS,
        ["stack"],
        status=139,
        forms=MACHINES,
        contains=["stack overflow", "endless"],
    ),
]


def register():
    for program in PROGRAMS:
        for form in program.forms:
            test(
                f"{program.label}-{form}",
                limit=program.limit,
                long=program.long,
                shows=program.shown(),
            )(lambda context, program=program, form=form: program.check(context, form))


register()


@test()
def a_signal_from_outside(context):
    """A stop request reaches the program's handler: SIGTERM (for a machine, the power button), or
    SIGINT for a program that handles only that."""
    for form in FORMS:
        for mode, number in (("term", signal.SIGTERM), ("break", signal.SIGINT)):
            child = context.soil("signals", form, mode)
            child.wait_line("ready")
            os.kill(child.pid, number)
            status = child.finish(context.remaining())
            output = clean(child.text)
            assert "asked to stop\nthe end\n" in output and status == 7, (
                f"{form}, {mode}: status {status}\n{output}"
            )


RESTARTED = "read-restart"


@test(limit=60)
def signals_and_waits(context):
    """A signal ends a wait with EINTR. With SA_RESTART a read restarts, but no wait for a time, for
    input or for a signal."""
    names = [
        f"{wait}-restart" for wait in ("read", "poll", "select", "nanosleep", "futex", "pause")
    ]
    for form in FORMS:
        children = {
            name: context.soil("calls", form, f"interrupted-{name}", stdin=subprocess.PIPE)
            for name in ("read", *names)
        }
        for name, child in children.items():
            child.wait_line("ready")
            assert falls_asleep(machine_pid(child), 0.3), f"{form}: {name} doesn't wait"
            os.kill(child.pid, signal.SIGTERM)
            result = "-1, errno 4"
            if name == RESTARTED:
                # The byte must not arrive before the signal.
                child.wait_line("handled")
                child.process.stdin.write(b"x\n")
                child.process.stdin.flush()
                result = "1, errno 0"
            status = child.finish(context.remaining())
            assert f"{name}: {result}, signals: 1\n" in clean(child.text), f"{form}: {child.text}"
            assert status == 0, f"{form}, {name}: status {status}"


OVERFLOWS = ("strcpy", "stpcpy", "strcat", "strncat", "memcpy", "sprintf", "vsprintf", "snprintf", "fgets", "fread", "poll", "realpath",
             "getgroups", "longjmp")  # fmt: skip


@test(limit=120)
def too_small_buffers(context):
    """The checked variants of C's functions end the program, as glibc's do, before they write
    beyond a buffer."""
    for form in LIBRARY_FORMS:
        children = [(kind, context.soil("fortified", form, kind)) for kind in OVERFLOWS]
        for kind, child in children:
            status = child.finish(context.remaining())
            output = clean(child.text)
            assert status == 134 and "before" in output and "after" not in output, (
                f"{form}, {kind}: status {status}\n{output}"
            )


@test()
def what_a_machine_is_called(context):
    """The same fields as Linux's `struct utsname`; those that an image sets are fixed."""
    for form in MACHINES:
        child = context.soil("calls", form, "names")
        assert child.finish(context.remaining()) == 0, child.text
        wanted = f"uname: 0\nLinux|soil|6.0.0-soil|Soil|{PROCESSOR}\n"
        assert clean(child.text) == wanted, child.text


@test()
def places_differ_from_boot_to_boot(context):
    """Addresses of the stack and of mappings differ; the same random numbers place the kernel's
    heap."""
    for form in FORMS:
        outputs = []
        for _ in range(3):
            child = context.soil("calls", form, "places")
            assert child.finish(context.remaining()) == 0, child.text
            outputs.append(clean(child.text).splitlines())
        for lines in zip(*outputs, strict=True):
            assert len(set(lines)) == 3, f"{form}: {outputs}"


@test()
def an_image_as_a_process(context):
    """Linux starts it too: it prints what it is, and fails."""
    from harness.context import executable

    done = context.run(executable("examples/hello/main.exe", "microvm"), check=False)
    assert (done.returncode, done.stdout) == (126, ""), done
    assert done.stderr.count("\n") == 1 and "soil run" in done.stderr, done.stderr


@test()
def statuses_are_distinct(context):
    """Success, exit 3, exit 200, an uncaught exception and an abort are distinguishable."""
    for form in FORMS:
        statuses = [
            context.soil(program, form, *arguments).finish(context.remaining())
            for program, arguments in (
                ("exit_status", ["0"]),
                ("exit_status", ["3"]),
                ("exit_status", ["200"]),
                ("uncaught", []),
                ("aborts", []),
            )
        ]
        assert len(set(statuses)) == 5, f"{form}: {statuses}"


@test()
def unknown_system_call_is_logged_once(context):
    """It returns ENOSYS each time, and one line names it."""
    for form in MACHINES:
        child = context.soil("unknown_call", form)
        status = child.finish(context.remaining())
        output = clean(child.text)
        assert status == 0 and output.count("errno 38\n") == 3, output
        named = [line for line in output.splitlines() if "acct" in line]
        assert len(named) == 1, f"{form}: expected one line about acct:\n{output}"


@test()
def an_image_without_files_says_so(context):
    """A program that only passes `open_in` on has no files in its image: the first `open` logs it."""
    for form in MACHINES:
        child = context.soil("tests/programs/alone/passed_on.exe", form)
        status = child.finish(context.remaining())
        output = clean(child.text)
        assert status == 0 and "/etc/passwd: No such file or directory" in output, output
        logged = [line for line in output.splitlines() if "the image has no files" in line]
        assert len(logged) == 1 and "open of /etc/passwd: ENOENT" in logged[0], output


@test()
def memory_runs_out(context):
    """Out_of_memory, or a clear line and a failure status; never a hang."""
    for form in MACHINES:
        child = context.soil("exhaust", form, options=["--mem", "48M"])
        status = child.finish(context.remaining())
        output = clean(child.text)
        raised = (
            "out of memory after some blocks: true" in output and "afterwards: 1000000" in output
        )
        assert (raised and status == 0) or ("out of memory" in output.lower() and status != 0), (
            f"{form}: status {status}\n{output}"
        )


@test()
def console_input(context):
    """Lines typed at the console reach read_line, in every form."""
    import subprocess

    for form in FORMS:
        child = context.soil("read_lines", form, stdin=subprocess.PIPE)
        child.wait_line("ready")
        for line in ("first", "", "two words", "end"):
            child.process.stdin.write(line.encode() + b"\n")
            child.process.stdin.flush()
        status = child.finish(context.remaining())
        output = clean(child.text)
        for text in ("got [first]\n", "got []\n", "got [two words]\n", "3 lines\n"):
            assert text in output, f"{form}: {text!r} is missing from:\n{output}"
        assert status == 0, f"{form}: status {status}"


@test()
def stripped_image_boots(context):
    """An image without symbols boots."""
    from harness.context import SOIL, executable

    stripped = context.path("main.exe")
    hello = executable("examples/hello/main.exe", "microvm")
    context.run(BINUTILS + "strip", "-o", stripped, hello)
    for machine in MACHINES:
        done = context.run(SOIL, "run", stripped, "--machine", machine)
        assert "Hello" in done.stdout, done.stdout


@test()
def image_is_a_pvh_elf(context):
    """The files in _build/soil have the PVH entry note, and aren't Linux programs."""
    from harness.context import executable

    path = executable("examples/hello/main.exe", "microvm")
    notes = context.run("readelf", "-nW", path).stdout
    assert "Xen" in notes and "0x00000012" in notes, notes
    segments = context.run("readelf", "-lW", path).stdout
    assert "INTERP" not in segments and "DYNAMIC" not in segments, segments


@test()
def an_image_carries_what_it_uses(context):
    """hello's image has no constant used only by the network or disks, and no section more than it
    needs. It keeps the standard library's paths, which name no machine."""
    from harness.context import executable

    stripped = context.path("main.exe")
    hello = executable("examples/hello/main.exe", "microvm")
    context.run(BINUTILS + "strip", "-o", stripped, hello)
    with open(stripped, "rb") as file:
        image = file.read()
    for words in (b"EFI PART", b"10.0.0.1", b"Linux swap"):
        assert words not in image, words
    lines = context.run("readelf", "-SW", stripped).stdout.splitlines()
    names = [line.split("]")[1].split()[0] for line in lines if "]" in line and "[Nr]" not in line]
    wanted = ".note.gnu.build-id .soil_parts .rodata .text.libc .text .tbss .data .bss .shstrtab"
    # Objects that come with Rust 1.97 bring a small exception table.
    known = {"x86_64": ".note.Xen", "aarch64": ".note.Soil"}
    assert names[1] == known[PROCESSOR], names
    assert [name for name in names[2:] if name != ".gcc_except_table"] == wanted.split(), names
