"""Input and output beside computations that never yield: `Soil_pool` and `Soil_threads.blocking`."""

import http.client
import time

from harness.console import PATIENCE
from harness.context import MACHINES, outcome

from cases.network import in_every_form

PROGRAM = "tests/programs/http/beside_cpu.exe"
TURNS = "tests/programs/threads/turns.exe"
SLEEPS = "tests/programs/threads/sleeps.exe"
REQUESTS = 300
# The longest wait for an answer, in seconds: docs/performance/domains.md.
LONGEST = 1.0


def beside_jobs(context, form, kind, number, running, cpus=1, fails=False):
    """A server answers while all jobs compute, which only a request ends."""
    tap = context.tap()
    options = [] if form == "process" else ["--cpus", str(cpus)]
    child = context.soil(PROGRAM, form, kind, str(number), tap=tap, options=options)
    child.wait_line("ready")
    tap.wait_up()
    client = http.client.HTTPConnection(tap.guest, 8000, timeout=PATIENCE)

    def get(path):
        client.request("GET", path)
        return client.getresponse().read().decode()

    while int(get("/begun")) < running:
        time.sleep(0.01)
    if fails:
        get("/fail")
    before = int(get("/steps"))
    longest = 0.0
    for number_of_request in range(REQUESTS):
        path = f"/{number_of_request}"
        begun = time.monotonic()
        assert get(path) == path
        longest = max(longest, time.monotonic() - begun)
    context.bound("the longest wait for an answer, in seconds", longest, LONGEST)
    # Neither starves.
    while int(get("/steps")) == before:
        time.sleep(0.01)
    assert get("/stop") == "stopped"
    child.wait_line(f"{number} jobs ended, {number} had begun, {int(fails)} failed")
    client.close()


@in_every_form()
def http_beside_a_pool(context, form):
    """HTTP beside a pool whose workers run jobs that never yield."""
    # In a process there are at most as many workers as processors.
    beside_jobs(context, form, "pool", 3, 1 if form == "process" else 3)


@in_every_form()
def http_beside_blocking_calls(context, form):
    """HTTP beside threads of `Soil_threads.blocking` that never yield."""
    beside_jobs(context, form, "blocking", 3, 3)


@in_every_form(forms=MACHINES, limit=180)
def http_beside_domains(context, form):
    """HTTP in the first domain beside three that allocate without a pause, on four processors and
    on two; the third one raises an exception."""
    beside_jobs(context, form, "domains", 3, 3, cpus=4, fails=True)
    beside_jobs(context, form, "domains", 1, 1, cpus=2)


@in_every_form()
def tasks_before_computing_threads(context, form):
    """A thread that computes gives way to the tasks that it wakes long before its slice of 50 ms has
    ended, also beside seven others. Both are counted in its steps, so that a slow host changes
    neither."""
    for number in (1, 8):
        status, output = outcome(context.soil(TURNS, form, str(number)), context)
        assert (status, output.strip()) == (0, "the tasks come first"), (number, status, output)


@in_every_form()
def sleeping_threads_leave_devices_alone(context, form):
    """Threads that sleep by `select` or `poll` without a descriptor, as OCaml's tick thread does,
    don't become the thread that polls the devices. Its sleeps are counted."""
    status, output = outcome(context.soil(SLEEPS, form), context)
    expected = "waits for devices: 0 in threads, some in a task"
    assert (status, output.strip()) == (0, expected), (status, output)
