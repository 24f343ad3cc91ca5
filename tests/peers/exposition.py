"""Reads a page of metrics on standard input by a parser of Prometheus' Python client, the one for
the format that is named, and writes families and samples as JSON. Run by Debian's Python, which has
the package."""

import importlib
import json
import sys

PARSERS = {
    "openmetrics": "prometheus_client.openmetrics.parser",
    "older": "prometheus_client.parser",
}

parser = importlib.import_module(PARSERS[sys.argv[1]])
families = list(parser.text_string_to_metric_families(sys.stdin.read()))
samples = [(s.name, s.labels, s.value) for family in families for s in family.samples]
json.dump({"types": [(f.name, f.type) for f in families], "samples": samples}, sys.stdout)
