"""POSIX threads and OCaml's, in programs that weren't written for Soil and beside tasks."""

from cases.programs import Program, expected
from harness.context import MACHINES
from harness.runner import test

FOLDER = "tests/programs/threads/"
UNMODIFIED = "tests/programs/unmodified/"

PROGRAMS = [
    # 4,000 threads in little memory: stacks take only the memory they touch.
    Program(
        "posix-threads",
        FOLDER + "posix_threads.exe",
        ["4000"],
        status=7,
        options=["--mem", "128M"],
        limit=120,
        shows="Threads, futexes, cancellation, signals and robust mutexes as C libraries use them.",
    ),
    Program(
        "systhreads",
        FOLDER + "systhreads.exe",
        options=["--mem", "64M"],
        shows="Thread, Mutex, Condition, Event, Semaphore and signals of OCaml's systhreads.",
    ),
    Program(
        "systhreads-shutdown",
        FOLDER + "systhreads.exe",
        options=["--mem", "64M"],
        environment={"OCAMLRUNPARAM": "c"},
        contains=[expected("systhreads")],
        shows="The runtime's shutdown ends the thread that gives the others their turns.",
    ),
    Program(
        "threads-and-tasks",
        FOLDER + "threads_and_tasks.exe",
        shows="Tasks of Soil go on beside threads that compute, sleep and wait.",
    ),
    # The machine waits for DHCP in the first call.
    Program(
        "connects",
        FOLDER + "connects.exe",
        forms=MACHINES[:1],
        options=["--net", "user"],
        contains=["in progress\nin progress\nin progress\nthe end\n"],
    ),
    Program("threads-and-files", FOLDER + "threads_and_files.exe"),
    Program(
        "thread-stress",
        FOLDER + "thread_stress.exe",
        ["3000", "1"],
        limit=120,
    ),
    Program(
        "threads-of-soil",
        FOLDER + "threads_of_soil.exe",
        shows="Threads wait by Soil, several at once, and hand work over to tasks.",
    ),
    Program(
        "thread-fault",
        FOLDER + "thread_fault.exe",
        status=139,
        forms=MACHINES,
        contains=["thread 3, at fault:", "thread 1:", "thread 2:", "fault_in_a_thread", "main"],
        shows="The report of a crash has the thread at fault and every thread's trace.",
    ),
    Program("thread-signals", UNMODIFIED + "thread_signals.exe"),
    Program("signal-waits", UNMODIFIED + "signal_waits.exe"),
]


@test(limit=4000, long=True)
def an_hour_of_thread_stress(context):
    """Threads at random for an hour in an image, with another seed each minute."""
    for seed in range(60):
        words = ["60000", str(1000 + seed)]
        Program("thread-stress", FOLDER + "thread_stress.exe", words).check(context, "microvm")


def add(program):
    for form in program.forms:
        test(name=f"{program.label}-{form}", limit=program.limit, shows=program.shown())(
            lambda context, program=program, form=form: program.check(context, form)
        )


for each in PROGRAMS:
    add(each)
