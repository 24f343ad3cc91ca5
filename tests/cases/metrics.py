"""soil-sight.metrics: the pages of examples/service, read by the parsers of Prometheus' Python client."""

import json

from cases.hostile_peers import tool
from cases.network import in_every_form
from cases.service import ask, start
from cases.storage_kv import fresh
from harness.context import ROOT, Skip

# The Accept header of Prometheus 2.53.
SCRAPE = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def scrape(context, host, accept, parser):
    """The samples' values by name and labels, the families' types by name, and the page."""
    headers = {"Accept": accept} if accept else {}
    status, page = ask(host, "GET", "/metrics", headers=headers)
    assert status == 200, (status, page)
    python = tool("/usr/bin/python3", "python3-prometheus-client")
    if context.run(python, "-c", "import prometheus_client", check=False).returncode != 0:
        raise Skip("run: apt-get install python3-prometheus-client")
    text = page.decode()
    reader = f"{ROOT}/tests/peers/exposition.py"
    read = json.loads(context.run(python, reader, parser, input=text).stdout)
    types = dict(read["types"])
    assert len(types) == len(read["types"]), text
    samples = {(name, *sorted(labels.items())): value for name, labels, value in read["samples"]}
    assert len(samples) == len(read["samples"]), text
    return samples, types, text


def labelled(name, **labels):
    return (name, *sorted(labels.items()))


@in_every_form(limit=60)
def page_is_openmetrics(context, form):
    """A service's page of metrics, of the program and of the machine, is OpenMetrics for a client
    that prefers it and Prometheus' older format for others, by independent parsers; its counts
    match the test's requests."""
    disk, tap = context.path("data.img"), context.tap()
    fresh(context, disk)
    start(context, form, disk, tap)
    for name in range(3):
        assert ask(tap.guest, "PUT", f"/kv/{name}", b"value")[0] == 201
    first, types, page = scrape(context, tap.guest, SCRAPE, "openmetrics")
    assert page.endswith("# EOF\n"), page
    assert first[labelled("service_responses_total", method="PUT", status="201")] == 3, page
    assert first[labelled("service_child_ready", child="store")] == 1, page
    expected = {
        "service_responses": "counter",
        "soil": "info",
        "process_cpu_seconds": "counter",
        "process_resident_memory_bytes": "gauge",
        "soil_tasks": "gauge",
        "soil_tasks_started": "counter",
        "soil_lock_waits": "counter",
        "soil_lock_wait_max_seconds": "gauge",
        "ocaml_gc_heap_bytes": "gauge",
        "soil_sockets": "gauge",
        "soil_disk_requests": "counter",
        "soil_volume_health": "gauge",
        "soil_cache_hits": "counter",
    }
    assert {name: types.get(name) for name in expected} == expected, page
    kind = "image" if form != "process" else "process"
    assert any(key[0] == "soil_info" and ("form", kind) in key for key in first), page
    assert first[labelled("soil_sockets", protocol="tcp", state="LISTEN")] == 1, page
    assert first[labelled("soil_disk_requests_total", disk="data")] > 0, page
    assert first[labelled("soil_volume_health", volume="/data", health="writable")] == 1, page
    assert first[labelled("soil_volume_health", volume="/data", health="corrupt")] == 0, page

    second, types, page = scrape(context, tap.guest, None, "older")
    assert "# EOF" not in page, page
    assert types["soil_info"] == "gauge", page
    # By then the first page has been answered, too.
    responses = labelled("service_responses_total", method="GET", status="200")
    assert responses not in first and second[responses] == 1, page
    counters = [key for key in first if key[0].endswith("_total")]
    fell = [key for key in counters if second[key] < first[key]]
    assert len(counters) > 40 and not fell, fell
    # At least the connection of the second request is another task.
    started = labelled("soil_tasks_started_total", domain="0")
    assert second[started] > first[started]
