"""examples/live in Chromium: two people chat, figures move, the server stops and returns."""

import http.client
import json
import signal

from cases.network import in_every_form
from harness.chromium import Browser
from harness.console import PATIENCE
from harness.context import FORMS_AND_SOCKETS

PROGRAM = "examples/live/main.exe"
KEY = "0123456789abcdef0123456789abcdef"
LINES = "[...document.querySelectorAll('#log li')].map(line => line.innerText.trim()).join('|')"
SHOWN = "(id => { const e = document.getElementById(id); return e && !e.hidden; })"


def start(context, form, tap):
    child = context.soil(PROGRAM, form, tap=tap, options=["--env", f"LIVE_KEY={KEY}"])
    child.wait_line("live listens on")
    return child


def enter(page, name):
    """Sends the form with a name, as a person does."""
    page.wait(f"{SHOWN}('enter')")
    page.evaluate(
        "document.querySelector('#enter input').value = " + json.dumps(name) + ";"
        "document.querySelector('#enter button').click()"
    )
    page.wait(f"{SHOWN}('say') && document.getElementById('me').textContent == {json.dumps(name)}")


def say(page, text):
    page.evaluate(
        f"document.getElementById('text').value = {json.dumps(text)};"
        "document.querySelector('#say button').click()"
    )


def connected(page):
    page.wait("document.getElementById('state').textContent == 'connected'")


def reads(page, lines):
    """Waits for exactly these lines of the chat."""
    page.wait(f"{LINES} == {json.dumps('|'.join(lines))}", LINES)


@in_every_form(limit=240, forms=("process", "microvm"))
def live(context, form):
    """Two browsers chat; markup stays text; the figures move; a reload keeps the name and shows the
    chat; after a restart of the server the browsers are connected again, with their names."""
    tap = context.tap(form)
    child = start(context, form, tap)
    with Browser(context) as browser:
        url = f"http://{tap.guest}/"
        ann, bob = browser.open(url), browser.open(url)
        enter(ann, "Ann")
        enter(bob, "Bób <i>")
        connected(ann)
        connected(bob)
        say(ann, "hello")
        reads(bob, ["Ann hello"])
        say(bob, "<b>bold</b> & ünïcode")
        lines = ["Ann hello", "Bób <i> <b>bold</b> & ünïcode"]
        reads(ann, lines)
        reads(bob, lines)

        seconds = "Number(document.getElementById('seconds').textContent)"
        before = ann.wait(f"{seconds} || 0")
        ann.wait(f"{seconds} >= {before + 2}")
        ann.wait("document.getElementById('watching').textContent == '2'")
        ann.wait("document.getElementById('messages').textContent == '2'")
        ann.wait("document.getElementById('curve').points.length > 2")

        ann.reload()
        ann.wait(f"{SHOWN}('say') && document.getElementById('me').textContent == 'Ann'")
        reads(ann, lines)
        say(ann, " ".join("x" * 500))
        ann.wait("document.getElementById('problem').textContent.startsWith('text: ')")

        child.signal(signal.SIGTERM)
        assert child.finish(context.remaining()) == 143, child.text
        bob.wait("document.getElementById('state').textContent == 'connecting'")
        start(context, form, tap)
        connected(bob)
        say(bob, "again")
        reads(bob, [*lines, "Bób <i> again"])


def ask(host, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(host, 80, timeout=PATIENCE)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.status, response.read(), response.headers
    connection.close()
    return answer


@in_every_form(limit=90, forms=FORMS_AND_SOCKETS, name="live-interface")
def interface(context, form):
    """The example's interface by Python and curl: statuses, cookies, JSON's errors, compressed and
    plain responses, the events after a given one."""
    tap = context.tap(form)
    start(context, form, tap)
    host = tap.guest
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    json_type = {"Content-Type": "application/json"}

    assert ask(host, "GET", "/nowhere")[0] == 404
    assert ask(host, "GET", "/assets/%2e%2e/main.ml")[0] == 400
    status, _, fields = ask(host, "DELETE", "/api/me")
    assert (status, fields["Allow"]) == (405, "GET, HEAD, OPTIONS"), (status, fields)
    status, _, fields = ask(host, "OPTIONS", "/name")
    assert (status, fields["Allow"]) == (204, "POST, OPTIONS"), (status, fields)
    assert ask(host, "HEAD", "/api/me")[1] == b""

    assert ask(host, "POST", "/name", "name=", form_type)[0] == 400
    assert ask(host, "POST", "/name", "name=%ff", form_type)[0] == 400
    assert ask(host, "POST", "/name", "{}", json_type)[0] == 415
    assert ask(host, "POST", "/name", "name=" + "x" * 5000, form_type)[0] == 413
    status, _, fields = ask(host, "POST", "/name", "name=J%C3%BCrgen+%26", form_type)
    assert status == 303 and "HttpOnly; SameSite=Lax" in fields["Set-Cookie"], fields
    cookie = fields["Set-Cookie"].split(";")[0]
    known = {"Cookie": f"a=b; {cookie}"}
    assert json.loads(ask(host, "GET", "/api/me", None, known)[1]) == {"name": "Jürgen &"}
    forged = {"Cookie": cookie.replace("=", "=x", 1)}
    assert json.loads(ask(host, "GET", "/api/me", None, forged)[1]) == {"name": None}

    def said(body, headers=None):
        return ask(host, "POST", "/api/messages", body, headers or {**json_type, **known})

    assert said('{"text":"x"}', json_type)[0] == 403
    assert said('{"text":"x"}', known)[0] == 415
    for body, detail in (
        ('{"text":\n 01}', "line 2, byte 2: not a number: 01"),
        ('{"text":"x"', "line 1, byte 11: unexpected end of input"),
        ('{"text":7}', "Expected string, got int"),
        ("{}", "Expected string, got null"),
        ('{"text":""}', "text: not 1 to 500 printable bytes"),
        ("[" * 101, "line 1, byte 101: nested more than 100 deep"),
    ):
        status, answer, fields = said(body)
        assert status == 400 and json.loads(answer)["detail"] == detail, (body, answer)
        assert fields["Content-Type"] == "application/problem+json", fields
    for number in (1, 2, 3):
        status, answer, _ = said(json.dumps({"text": f"message {number}"}))
        assert status == 201 and json.loads(answer) == {"id": number}, answer

    # Each browser's own decoder has to agree with curl's.
    for options in ([], ["--compressed"]):
        events = context.child(
            ["curl", "-sSN", *options, "-H", "Last-Event-ID: 1", f"http://{host}/api/events"]
        )
        for number in (2, 3):
            events.wait_line(f"id: {number}")
            events.wait_line(f'"text":"message {number}"')
        assert "message 1" not in events.text, events.text
        events.wait_line("event: figures")
        events.stop()
    head = context.run(
        "curl", "-sS", "-D", "-", "-o", context.path("page"), "--compressed", f"http://{host}/api/me"
    ).stdout  # fmt: skip
    assert "content-encoding" not in head.lower(), f"a short answer: {head}"
