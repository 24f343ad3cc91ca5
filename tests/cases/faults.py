"""Bad input and missing files: one clear line that names the cause, and a failure status."""

from harness.context import FORMS, MACHINES, SOIL, executable, outcome
from harness.runner import test

INTERFACES = "tests/programs/soil/interfaces.exe"


def fails_with(context, child, *texts):
    """The child ends by itself with a nonzero status, and its output contains each of `texts`,
    ignoring case."""
    status, output = outcome(child, context)
    assert status != 0, f"status 0:\n{output}"
    for text in texts:
        assert text.lower() in output.lower(), f"{text!r} is missing from:\n{output}"
    return output


@test()
def no_network_device(context):
    """A program that needs a network without a device reports it."""
    for form in FORMS:
        child = context.soil(INTERFACES, form, options=["--net", "none"])
        fails_with(context, child, "no network")


@test(limit=120)
def no_dhcp_answer(context):
    """A line that names DHCP and the remedy appears within the documented time."""
    children = [context.soil(INTERFACES, form, tap=context.tap(), dhcp=True) for form in FORMS]
    for child in children:
        fails_with(context, child, "dhcp", "SOIL_IP")


@test()
def bad_addresses(context):
    """Invalid configuration, given past `soil run`'s own checks."""
    for form in FORMS:
        tap = context.tap()
        child = context.soil(
            INTERFACES, form, tap=tap, dhcp=True, options=["--env", "SOIL_IP=10.0.0.300/24"]
        )
        fails_with(context, child, "SOIL_IP", "10.0.0.300")


@test()
def unknown_options(context):
    """`soil run` names the option, or the value, that it rejects."""
    hello = executable("examples/hello/main.exe", "microvm")
    for words in (
        ["--fast"],
        ["--mem", "lots"],
        ["--machine", "toaster"],
        ["--net", "carrier-pigeon"],
        ["--ip", "10.0.0.300"],
        ["--disk", "nofile"],
        ["--forward", "80"],
    ):
        done = context.run(SOIL, "run", hello, *words, check=False)
        assert done.returncode not in (0, 101), f"{words}: status {done.returncode}"
        named = words[0] in done.stderr or words[-1] in done.stderr
        assert named and "panicked" not in done.stderr, f"{words}: {done.stderr}"


@test()
def not_a_program(context):
    """A missing file, a directory, a text file, a Linux program from another build."""
    text = context.path("text")
    with open(text, "w", encoding="ascii") as file:
        file.write("hello\n")
    for path in (context.path("missing"), context.directory, text):
        done = context.run(SOIL, "run", path, check=False)
        assert done.returncode not in (0, 101) and path in done.stderr, f"{path}: {done}"


@test()
def missing_disk(context):
    """`soil run` names a disk whose file is missing; the program names a disk that was never
    given."""
    for form in FORMS:
        missing = context.path("missing.img")
        child = context.soil(
            "tests/programs/soil/stop.exe", form, "end", options=["--disk", f"data={missing}"]
        )
        fails_with(context, child, missing)
        child = context.soil("tests/programs/soil/stop.exe", form, "end")
        fails_with(context, child, "data")


@test()
def too_little_memory(context):
    """A clear line from `soil run`, or from the image if it can start; never a hang."""
    for machine in MACHINES:
        for memory, texts in (
            ("3M", ("memory has to be between 4M and",)),
            # By OCaml, where it starts, or where it calls the program.
            ("4M", ("not enough memory", "give the machine more (soil run --mem)")),
        ):
            child = context.soil("examples/hello/main.exe", machine, options=["--mem", memory])
            output = fails_with(context, child).lower()
            assert any(text.lower() in output for text in texts), output


@test()
def port_in_use(context):
    """The error names a port in use; the port is free again after a close."""
    for form in FORMS:
        tap = context.tap()
        child = context.soil("tests/programs/soil/ports.exe", form, tap=tap)
        output = fails_with(context, child, "7000", "address in use")
        for text in ("a free port: true", "free again: 7000"):
            assert text in output, f"{form}: {text!r} is missing from:\n{output}"


@test()
def tap_that_is_not_there(context):
    """`soil run` names a TAP that doesn't exist."""
    for form in FORMS:
        child = context.soil(INTERFACES, form, options=["--net", "tap=nosuchtap"])
        fails_with(context, child, "nosuchtap")
