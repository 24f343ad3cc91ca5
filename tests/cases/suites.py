"""Sublibraries' own tests in an image; `dune runtest` runs them as processes."""

from harness.context import clean
from harness.runner import test

# Programs of `packages`, by the libraries' names.
SUITES = {
    "soil-web.jwt": "soil-web/jwt/test/main.exe",
    "soil-web.oidc": "soil-web/oidc/test/test_oidc.exe",
    "soil-web.s3": "soil-web/s3/test/test_s3.exe",
    "soil-work.resource_pool": "soil-work/resource_pool/test/main.exe",
    "soil-work.jobs": "soil-work/jobs/test/main.exe",
    "soil-sight.otel": "soil-sight/otel/test/main.exe",
    "soil-web.acme": "soil-web/acme/test/main.exe",
    "soil-work.schedule": "soil-work/schedule/test/test_schedule.exe",
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
LONG = ("soil-web.acme", "soil-sight.otel")

# More options of some, of a function of the context.
OPTIONS = {"soil-web.acme": store, "soil-work.schedule": zones}


def add(library, path):
    @test(
        library, limit=480, long=library in LONG, shows=f"{library}'s own tests pass in an image."
    )
    def suite(context):
        options = ["--net", "user", "--mem", "256M"]
        if library in OPTIONS:
            options += OPTIONS[library](context)
        child = context.soil(f"packages/{path}", "microvm", options=options)
        status, output = child.finish(context.remaining()), clean(child.text)
        assert "Test Successful" in output, output
        assert status == 0, status


for library, path in SUITES.items():
    add(library, path)
