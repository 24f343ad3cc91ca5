"""Sublibraries' own tests in an image; `dune runtest` runs them as processes."""

from harness.context import clean
from harness.runner import test

# Programs of `soil-ocaml`, by the libraries' names.
SUITES = {
    "soil.jwt": "jwt/test/main.exe",
    "soil.oidc": "oidc/test/test_oidc.exe",
    "soil.s3": "s3/test/test_s3.exe",
    "soil.resource_pool": "resource_pool/test/main.exe",
    "soil.jobs": "jobs/test/main.exe",
    "soil.otel": "otel/test/main.exe",
    "soil.acme": "acme/test/main.exe",
    "soil.schedule": "schedule/test/test_schedule.exe",
}
ZONES = "/usr/share/zoneinfo"


def store(_context):
    return ["--mount", "/store=memory:16M"]


def zones(context):
    """A disk with Linux's time zones, for musl and for the tests."""
    disk = context.path("zones.tar")
    context.run("tar", "-C", ZONES, "-chf", disk, ".")
    return ["--disk", f"zones={disk}", "--mount", f"{ZONES}=tar:zones"]


# Half a minute of processor time each; what they need of an image the others show
# (docs/evidence/short-tests.md).
LONG = ("soil.acme", "soil.otel")

# More options of some, of a function of the context.
OPTIONS = {"soil.acme": store, "soil.schedule": zones}


def add(library, path):
    @test(library, limit=480, long=library in LONG, shows=f"{library}'s own tests pass in an image.")
    def suite(context):
        options = ["--net", "user", "--mem", "256M"]
        if library in OPTIONS:
            options += OPTIONS[library](context)
        child = context.soil(f"soil-ocaml/{path}", "microvm", options=options)
        status, output = child.finish(context.remaining()), clean(child.text)
        assert "Test Successful" in output, output
        assert status == 0, status


for library, path in SUITES.items():
    add(library, path)
