"""Forms with files, by curl and by Chromium, and streams of events whose readers leave or sleep."""

import http.client
import json
import os
import socket
import time
import zlib

from cases.network import in_every_form
from harness.chromium import Browser
from harness.console import PATIENCE
from harness.context import FORMS_AND_SOCKETS

PROGRAM = "tests/programs/browsers/browsers.exe"


def start(context, form, *options):
    tap = context.tap(form)
    child = context.soil(PROGRAM, form, tap=tap, options=options)
    child.wait_line("ready")
    return child, tap


def described(name, filename, kind, data):
    return f"file [{name}] [{filename}] {kind} {len(data)} {zlib.adler32(data):08x}"


@in_every_form(limit=180, forms=FORMS_AND_SOCKETS)
def uploads(context, form):
    """curl sends fields and files, one of which is longer than the program's memory; what isn't a
    form, or too long a field, is refused."""
    options = ["--mem", "64M"] if form not in ("process", "sockets") else []
    _, tap = start(context, form, *options)
    url = f"http://{tap.guest}/form"
    files = {
        "long.bin": os.urandom(1 << 20) * 70,
        "hidden.txt": b"a\r\n--boundary\r\n\r\n--",
        "empty": b"",
    }
    for name, data in files.items():
        with open(context.path(name), "wb") as file:
            file.write(data)

    def curl(*words):
        return context.run("curl", "-sS", *words, url, cwd=context.directory).stdout

    lines = curl(
        "-F", "text=two\r\nlines ü", "-F", 'file=@long.bin;filename="C:\\x\\../näme.bin"',
        "-F", "file=@hidden.txt", "-F", 'a"b=c', "-F", "file=@empty;type=image/png",
    ).splitlines()  # fmt: skip
    assert lines == [
        described("file", "näme.bin", "application/octet-stream", files["long.bin"]),
        described("file", "hidden.txt", "text/plain", files["hidden.txt"]),
        described("file", "empty", "image/png", b""),
        "field [text] [two\\r\\nlines \\195\\188]",
        "field [a%22b] [c]",
    ], lines
    assert curl("--data-urlencode", "a=b & c=d+ü", "-d", "e") == (
        "field [a] [b & c=d+\\195\\188]\nfield [e] []"
    )
    said = ["-o", "/dev/null", "-w", "%{http_code}"]
    assert curl(*said, "--json", "{}") == "415"
    assert curl(*said, "-F", "text=" + "x" * 65537) == "413"
    assert curl(*said, *["-F", "a=b"] * 101) == "413"
    assert (
        curl(*said, "-H", "Content-Type: multipart/form-data; boundary=x", "-d", "--x--y") == "400"
    )


@in_every_form(limit=240, forms=("process", "microvm"))
def browser_forms(context, form):
    """Chromium sends both kinds of forms as a person fills them in: line breaks, quotes, files with
    hard names, and no file."""
    _, tap = start(context, form)
    url = f"http://{tap.guest}/"
    with Browser(context) as browser:

        def sent(kind, values, files=()):
            page = browser.open(url)
            page.wait(f"document.getElementById({json.dumps(kind)})")
            script = [f"const form = document.getElementById({json.dumps(kind)})"]
            for number, value in enumerate(values):
                script.append(f"form.elements[{number}].value = {json.dumps(value)}")
            script.append("const files = new DataTransfer()")
            for name, text in files:
                script.append(
                    f"files.items.add(new File([{json.dumps(text)}], {json.dumps(name)},"
                    " { type: 'text/x-test' }))"
                )
            if files:
                script.append("form.elements['file'].files = files.files")
            script.append("form.submit()")
            page.evaluate(";".join(script))
            return page.wait(
                "location.pathname == '/form' && document.readyState == 'complete'"
                " && document.body.innerText"
            )

        assert sent("encoded", ["x&=+ü%", "two\nlines"]) == (
            "field [a b] [x&=+\\195\\188%]\nfield [text] [two\\r\\nlines]"
        )
        text = "--\r\n------WebKitFormBoundary\r\n"
        names = [('a "quoted" näme;.txt', text), ("empty.txt", "")]
        lines = sent("multipart", ["1", "\n"], names).splitlines()
        assert lines == [
            described("file", "a %22quoted%22 näme;.txt", "text/x-test", text.encode()),
            described("file", "empty.txt", "text/x-test", b""),
            "field [a %22b] [1]",
            "field [text] [\\r\\n]",
        ], lines


def ask(host, method, path):
    connection = http.client.HTTPConnection(host, 80, timeout=PATIENCE)
    connection.request(method, path)
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer


def wait_for_watchers(host, count):
    until = time.monotonic() + PATIENCE
    while (now := ask(host, "GET", "/watching")) != str(count):
        assert time.monotonic() < until, f"{now} streams, not {count}"
        time.sleep(0.05)


class Sleeper:
    """A reader of a stream that takes nothing at first."""

    def __init__(self, host, path):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((host, 80))
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: a\r\n\r\n".encode())

    def events(self):
        """All events up to the end, as (type, first word of the data)."""
        kind, found, until = None, [], time.monotonic() + PATIENCE
        with self.socket, self.socket.makefile("rb") as lines:
            for line in lines:
                assert time.monotonic() < until, f"no end after {found}"
                name, _, value = line.decode().strip().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    found.append((kind, value.partition(" ")[0]))
        return found


@in_every_form(limit=180, forms=FORMS_AND_SOCKETS)
def event_streams(context, form):
    """A stream ends when its reader leaves. Readers that sleep while 400 messages of 64 KiB are
    published miss some and learn how many; with the other policy their stream ends; one that reads
    gets all."""
    _, tap = start(context, form)
    host = tap.guest
    leaves = [context.child(["curl", "-sN", f"http://{host}/drops"]) for _ in range(3)]
    wait_for_watchers(host, 3)
    for child in leaves:
        child.stop()
    wait_for_watchers(host, 0)

    drops, ends = Sleeper(host, "/drops"), Sleeper(host, "/ends")
    wait_for_watchers(host, 2)
    published = 400
    ask(host, "POST", f"/publish/{published}")
    found = ends.events()
    assert [kind for kind, _ in found[-2:]] == ["missed", "end"], found
    numbers = [int(number) for kind, number in found if kind == "number"]
    assert numbers == list(range(len(numbers))), numbers
    assert len(numbers) + int(found[-2][1]) <= published, found
    wait_for_watchers(host, 1)

    ask(host, "POST", "/close")
    next_number, missed = 0, 0
    for kind, value in (found := drops.events())[:-1]:
        if kind == "missed":
            missed += int(value)
            next_number += int(value)
        else:
            assert (kind, int(value)) == ("number", next_number), (found, kind, value)
            next_number += 1
    assert found[-1] == ("end", "-") and next_number == published and missed > 0, found
    wait_for_watchers(host, 0)
