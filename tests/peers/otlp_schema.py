"""Judges bodies of OTLP by the messages of opentelemetry-proto.

    otlp_schema.py FOLDER      each file of FOLDER: N-traces.json, N-metrics.json or N-logs.json

It prints the numbers of spans, metrics and log records, and fails at an unknown field, a value of
another type, or an identifier of another length.
"""

import base64
import json
import os
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

REQUESTS = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
# OTLP's JSON has hexadecimal digits, where protobuf's has base64; in bytes.
IDENTIFIERS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def converted(value):
    """[value] with identifiers as protobuf's JSON has them."""
    if isinstance(value, list):
        return [converted(part) for part in value]
    if not isinstance(value, dict):
        return value
    copy = {}
    for name, part in value.items():
        if name in IDENTIFIERS:
            identifier = bytes.fromhex(part)
            assert part == part.lower() and len(identifier) == IDENTIFIERS[name], (name, part)
            assert any(identifier), f"{name} is zero"
            copy[name] = base64.b64encode(identifier).decode()
        else:
            copy[name] = converted(part)
    return copy


def distinct(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a name twice: {names}"
    return dict(pairs)


def spans(request):
    for resource in request.resource_spans:
        assert any(pair.key == "service.name" for pair in resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8 and span.name
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                keys = [pair.key for pair in span.attributes]
                assert len(set(keys)) == len(keys) and all(keys), keys
                yield span


def metrics(request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.histogram.data_points:
                    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
                    assert sum(point.bucket_counts) == point.count
                yield metric


def records(request):
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            yield from scope.log_records


def main(folder):
    counts = dict.fromkeys(REQUESTS, 0)
    for name in sorted(os.listdir(folder)):
        kind = name.removesuffix(".json").split("-")[1]
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            body = converted(json.load(file, object_pairs_hook=distinct))
        try:
            request = json_format.ParseDict(body, REQUESTS[kind]())
        except json_format.ParseError as problem:
            sys.exit(f"{name}: {problem}")
        items = {"traces": spans, "metrics": metrics, "logs": records}[kind]
        counts[kind] += sum(1 for _ in items(request))
    print(*(f"{kind} {count}" for kind, count in counts.items()), sep=", ")
    assert all(counts.values()), "a kind hasn't occurred"


main(sys.argv[1])
