"""What soil-sight.otel sends, against the messages of opentelemetry-proto."""

import importlib.util
import os
import sys

from harness.context import ROOT, Skip
from harness.runner import test


@test(limit=120)
def otlp_schema(context):
    """opentelemetry-proto parses each request of soil-sight.otel's own tests, without unknown fields."""
    if importlib.util.find_spec("opentelemetry") is None:
        raise Skip("Python's opentelemetry-proto is missing: pip install opentelemetry-proto")
    folder = context.path("bodies")
    os.mkdir(folder)
    options = ["--env", f"SOIL_OTEL_BODIES={folder}"]
    child = context.soil("packages/soil-sight/otel/test/main.exe", "process", options=options)
    assert child.finish(context.remaining()) == 0, child.text
    print(context.run(sys.executable, f"{ROOT}/tests/peers/otlp_schema.py", folder).stdout, end="")
