"""examples/store: accounts, orders, the back office, live updates, confirmations, a database that
stops, and three machines behind a proxy, one of which is killed under load."""

import ast
import collections
import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

from cases import oci
from cases.hostile_peers import tool
from cases.network import in_every_form
from cases.services import authority, database, folder_of, trusting
from cases.user_network import free_port
from harness.chromium import Browser
from harness.console import PATIENCE
from harness.context import REFERENCE, ROOT, SOCKETS, SOIL, Skip, executable, outcome
from harness.runner import test

ACME_CA = "tests/programs/acme/acme_ca.exe"
PROGRAM = "examples/store/main.exe"
OFFICE = "examples/store/office.exe"
PROXY = "examples/store/proxy.exe"
FORMS = ("process", "microvm")
TOKEN = "a token of the back office"
SECRETS = {"STORE_TOKEN": TOKEN, "STORE_SESSION_KEYS": "k" * 32}
MEMORY = ["--mem", "64M"]
PROXY_PORT = 8080
TLS_FILES = ("/tls/soil.test.pem", "/tls/soil.test.key")
MANY = 1_000_000


def start(context, form, tap, *arguments, options=()):
    uri = f"postgresql://soil@{tap.host}/postgres"
    secrets = [word for name in SECRETS for word in ("--env", name)]
    options = [*secrets, *(() if form == "process" else MEMORY), *options]
    words = ["--database", uri, *arguments]
    return context.soil(PROGRAM, form, *words, tap=tap, options=options, env=SECRETS)


def opened(context, form, *arguments, options=()):
    """A database and a store; (store, its TAP, the function that starts the database, its
    server)."""
    tap = context.tap()
    start_database = database(context, "0.0.0.0")
    server = start_database()
    child = start(context, form, tap, *arguments, options=options)
    child.wait_line("the store is open")
    return child, tap, start_database, server


def office(context, host, *words, token=TOKEN, check=True):
    """The back office's command; its lines, or with check=False the whole outcome."""
    command = [executable(OFFICE, REFERENCE), f"http://{host}:50051", *words]
    done = context.run(*command, check=check, env={**os.environ, "STORE_TOKEN": token})
    return done.stdout.splitlines() if check else done


class Customer:
    """A browser: it keeps the cookie, and sends the token of its session."""

    def __init__(self, host, port=80):
        self.host, self.port = host, port
        self.cookie, self.csrf = "", ""

    def ask(self, method, path, body=None, **fields):
        """The status and the JSON of one request, on a new connection."""
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        headers = {"Cookie": self.cookie, "X-CSRF-Token": self.csrf, **fields}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            if cookie := response.getheader("Set-Cookie"):
                self.cookie = cookie.split(";")[0]
            is_json = "json" in response.getheader("Content-Type", "")
            answer = json.loads(text) if is_json else text.decode()
        if isinstance(answer, dict) and "csrf" in answer:
            self.csrf = answer["csrf"]
        return response.status, answer

    def register(self, name):
        self.ask("GET", "/api/session")
        body = {"name": name, "password": "correct horse"}
        status, answer = self.ask("POST", "/api/accounts", body)
        assert status == 201, (status, answer)
        return self

    def order(self, key, *lines):
        body = {"lines": [{"product": product, "quantity": count} for product, count in lines]}
        return self.ask("POST", "/api/orders", body, Idempotency_Key=key)


@in_every_form(limit=120, forms=FORMS)
def accounts(context, form):
    """A name is taken once; a wrong password and an unknown name are the same error; requests
    without the session's token are refused; a cookie that was copied before a log-out is worth
    nothing after it."""
    _, tap, _, _ = opened(context, form)
    ann = Customer(tap.guest).register("ann")
    status, session = ann.ask("GET", "/api/session")
    assert (status, session["account"]) == (200, "ann"), session
    copy = Customer(tap.guest)
    copy.cookie = ann.cookie
    assert copy.ask("GET", "/api/orders") == (200, [])
    other = Customer(tap.guest)
    body = {"name": "ann", "password": "another one"}
    status, problem = other.ask("POST", "/api/session", body)
    assert status == 403, problem
    other.ask("GET", "/api/session")
    status, problem = other.ask("POST", "/api/accounts", body)
    assert (status, problem["title"]) == (409, "Conflict"), problem
    wrong = other.ask("POST", "/api/session", body)
    assert wrong == other.ask("POST", "/api/session", {**body, "name": "unknown"}), wrong
    assert wrong[0] == 401 and wrong[1]["detail"] == "unknown name or wrong password", wrong
    body["password"] = "correct horse"
    status, session = other.ask("POST", "/api/session", body)
    assert (status, session["account"]) == (200, "ann"), session
    assert ann.ask("DELETE", "/api/session")[0] == 204
    assert ann.ask("GET", "/api/session")[1]["account"] is None
    assert copy.ask("GET", "/api/orders")[0] == 401
    assert other.ask("GET", "/api/orders")[0] == 401
    for body in ({"name": "a b", "password": "correct horse"}, {"name": "b", "password": "short"}):
        status, problem = ann.ask("POST", "/api/accounts", body)
        assert status == 400 and "not " in problem["detail"], problem


@in_every_form(limit=120, forms=FORMS)
def orders(context, form):
    """The back office adds products by gRPC, with its token alone; an order takes its lines from
    the stock, all or none; the same key is the same order; orders are confirmed."""
    child, tap, _, _ = opened(context, form)
    assert office(context, tap.guest, "add", "a teapot", "1250", "10") == [
        "1 a teapot, 1250 cents, 10 in stock"
    ]
    assert office(context, tap.guest, "add", "cup", "300", "5")[0].startswith("2 cup")
    for words, token, code in (
        (["orders", "0"], "another token", "UNAUTHENTICATED"),
        (["stock", "7", "1"], TOKEN, "NOT_FOUND"),
        (["add", "", "1", "1"], TOKEN, "INVALID_ARGUMENT"),
        (["add", "x", "-1", "1"], TOKEN, "INVALID_ARGUMENT"),
    ):
        done = office(context, tap.guest, *words, token=token, check=False)
        assert done.returncode == 1 and code in done.stderr, done
    visitor = Customer(tap.guest)
    visitor.ask("GET", "/api/session")
    assert visitor.order("key", (1, 1))[0] == 401
    ann = visitor.register("ann")
    status, order = ann.order("key", (2, 2), (1, 1))
    assert status == 201 and order["total"] == 1850, order
    status, again = ann.order("key", (1, 1), (2, 2))
    assert status == 200 and again["id"] == order["id"], again
    assert ann.order("key", (1, 2))[0] == 422
    bob = Customer(tap.guest).register("bob")
    assert bob.order("key", (1, 1))[1]["id"] != order["id"]
    # Of the second product there are too few, so the first one stays as well.
    status, problem = ann.order("another", (1, 1), (2, 4))
    assert status == 409 and "product 2" in problem["detail"], problem
    assert ann.order("another", (9, 1))[0] == 409
    for lines in ([], [(1, 0)], [(1, 101)], [(1, 1), (1, 1)], [(1, 1)] * 21):
        assert ann.order("bounds", *lines)[0] == 400, lines
    assert ann.order("x" * 65, (1, 1))[0] == 400
    assert ann.ask("POST", "/api/orders", {"lines": []})[0] == 400
    stock = [product["stock"] for product in ann.ask("GET", "/api/products")[1]]
    assert stock == [8, 3], stock
    assert office(context, tap.guest, "stock", "2", "100")[0].endswith("100 in stock")
    assert ann.order("another", (1, 1), (2, 4))[0] == 201
    wait_confirmed(context, tap.guest, 3)
    assert [order["confirmed"] for order in ann.ask("GET", "/api/orders")[1]] == [True] * 2
    metrics = http.client.HTTPConnection(tap.guest, 50051, timeout=PATIENCE)
    with contextlib.closing(metrics):
        metrics.request("GET", "/metrics")
        page = metrics.getresponse().read().decode()
    assert 'store_orders_total{result="placed"} 3\n' in page, page
    assert 'store_orders_total{result="repeated"} 1\n' in page, page
    child.signal(signal.SIGTERM)
    assert child.finish(context.remaining()) == 143, child.text


# All products but one, and a second for each further one.
FILL = """insert into products (name, price, stock)
  select 'product ' || n, n, 1 from generate_series(1, 999) n;
create function wait() returns trigger language plpgsql as
  'begin perform pg_sleep(1); return new; end';
create trigger wait before insert on products for each row execute function wait()"""


@in_every_form(limit=120, forms=FORMS)
def many_products(context, form):
    """Products come a hundred at a time. Of two that are added at once, the one beyond a thousand
    is refused."""
    _, tap, _, _ = opened(context, form)
    psql = tool("psql", "postgresql-client")
    context.run(psql, f"postgresql://soil@{tap.host}/postgres", "-qX", "-c", FILL)
    visitor, listener, found = Customer(tap.guest), Listener(context, tap.guest), []
    while page := visitor.ask("GET", f"/api/products?after={len(found)}")[1]:
        assert len(page) == len(listener.stock()) == min(100, 999 - len(found)), len(page)
        found += [product["price"] for product in page]
    assert found == list(range(1, 1000)), found
    assert visitor.ask("GET", "/api/products?after=x")[0] == 400
    command = [executable(OFFICE, REFERENCE), f"http://{tap.guest}:50051", "add", "x", "1", "1"]
    adding = [context.child(command, env=SECRETS) for _ in range(2)]
    outcomes = sorted(outcome(child, context) for child in adding)
    assert [status for status, _ in outcomes] == [0, 1], outcomes
    assert "RESOURCE_EXHAUSTED" in outcomes[1][1], outcomes


def wait_confirmed(context, host, count):
    """Waits until there are so many orders, each of them confirmed; their lines."""
    while True:
        lines = office(context, host, "orders", "0")
        if len(lines) == count and all(line.endswith(" confirmed") for line in lines):
            return lines
        assert time.monotonic() < context.deadline, lines
        time.sleep(0.2)


class Listener:
    """A browser that listens to changes of the products."""

    def __init__(self, context, host, port=80):
        self.connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        context._closing.append(self.connection.close)
        self.connection.request("GET", "/api/products/events")
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.status

    def stock(self):
        """The stock of each product in the next event."""
        until = time.monotonic() + PATIENCE
        while True:
            line = self.response.readline().decode()
            assert line and time.monotonic() < until, "the stream has ended, or has no events"
            if line.startswith("data: "):
                return {each["id"]: each["stock"] for each in json.loads(line[len("data: ") :])}

    def wait_stock(self, product, stock):
        until = time.monotonic() + PATIENCE
        while (found := self.stock()).get(product) != stock:
            assert time.monotonic() < until, found


@in_every_form(limit=120, forms=FORMS)
def live(context, form):
    """A browser gets all products, then those whose stock changes, by an order or by the back
    office, and a new one."""
    _, tap, _, _ = opened(context, form)
    for name in ("one", "two"):
        office(context, tap.guest, "add", name, "100", "10")
    listener = Listener(context, tap.guest)
    assert listener.stock() == {1: 10, 2: 10}
    assert Customer(tap.guest).register("ann").order("key", (2, 3))[0] == 201
    listener.wait_stock(2, 7)
    office(context, tap.guest, "stock", "1", "50")
    assert listener.stock() == {1: 50}
    office(context, tap.guest, "add", "three", "100", "1")
    assert listener.stock() == {3: 1}
    page = Customer(tap.guest)
    status, text = page.ask("GET", "/")
    assert status == 200 and "/assets/store.js" in text, text
    assert page.ask("GET", "/assets/store.js")[0] == 200


@in_every_form(limit=120, forms=FORMS)
def the_proto_file(context, form):
    """gRPC's own Python library calls each method, with the messages of store.proto."""
    protoc, python = tool("protoc", "protobuf-compiler"), tool("/usr/bin/python3", "python3-grpcio")
    if context.run(python, "-c", "import grpc", check=False).returncode != 0:
        raise Skip("run: apt-get install python3-grpcio")
    protoset = context.path("store.protoset")
    folder = os.path.join(ROOT, "examples", "store")
    context.run(protoc, "-I", folder, f"--descriptor_set_out={protoset}", "store.proto")
    _, tap, _, _ = opened(context, form)
    office(context, tap.guest, "add", "a teapot", "1250", "10")
    assert Customer(tap.guest).register("ann").order("key", (1, 2))[0] == 201
    wait_confirmed(context, tap.guest, 1)
    peer = os.path.join(ROOT, "tests", "peers", "store_peer.py")
    done = context.run(python, peer, protoset, f"{tap.guest}:50051", TOKEN)
    assert [ast.literal_eval(line) for line in done.stdout.splitlines()] == [
        {"id": 2, "name": "käse", "price": 1 << 29, "stock": 3},
        {"id": 1, "name": "a teapot", "price": 1250, "stock": 1000},
        {"id": 1, "account": "ann", "total": 2500, "confirmed": True},
    ], done


STOCK = "document.querySelector('#products td:nth-child(3)')?.textContent"
ORDERS = "document.querySelectorAll('#orders li').length"
PROBLEM = "document.getElementById('problem').textContent"


@in_every_form(limit=240, forms=FORMS)
def page(context, form):
    """In Chromium: a visitor registers and orders, and another one sees the stock change, also by
    the back office; a name is text; an order that is refused says why; a log-out."""
    _, tap, _, _ = opened(context, form)
    office(context, tap.guest, "add", "<i>teapot</i>", "1250", "2")
    with Browser(context) as browser:
        ann, bob = (browser.open(f"http://{tap.guest}/") for _ in range(2))
        for visitor in (ann, bob):
            visitor.wait("document.getElementById('state').textContent == 'live'")
            visitor.wait(f"{STOCK} == '2'")
        name = "document.querySelector('#products td').textContent"
        assert ann.evaluate(name) == "<i>teapot</i>"
        ann.wait("!document.getElementById('enter').hidden")
        ann.evaluate(
            "document.getElementById('name').value = 'ann';"
            "document.getElementById('password').value = 'correct horse';"
            "document.querySelector('#enter button:last-child').click()"
        )
        ann.wait("document.getElementById('account').textContent == 'ann'", PROBLEM)
        for count in (1, 2):
            ann.evaluate("document.querySelector('#products button').click()")
            ann.wait(f"{ORDERS} == {count}", PROBLEM)
            bob.wait(f"{STOCK} == '{2 - count}'")
        ann.evaluate("document.querySelector('#products button').click()")
        ann.wait(f"{PROBLEM} == 'product 1: fewer than 1 in stock'", PROBLEM)
        office(context, tap.guest, "stock", "1", "5")
        for visitor in (ann, bob):
            visitor.wait(f"{STOCK} == '5'")
        a_lost_answer(ann)
        bob.wait(f"{STOCK} == '3'")
        ann.evaluate("document.querySelector('#leave button').click()")
        ann.wait("!document.getElementById('enter').hidden")
        assert ann.evaluate("document.querySelector('#products button').disabled")


def a_lost_answer(visitor):
    """The answer to an order is lost: a click meanwhile is no other order, nor is a click after the
    page has given up."""
    click = "document.querySelector('#products button').click()"
    disabled = "document.querySelector('#products button').disabled"
    # The page waits before it repeats the order until `resume` is called.
    visitor.evaluate(
        "window.fetched = fetch; window.resume = null;"
        "window.setTimeout = (resume) => { window.resume = resume; };"
        "window.fetch = async (path, options) => {"
        "  const response = await fetched(path, options);"
        "  if (options.method == 'POST' && lose) throw new TypeError('lost');"
        "  return response;"
        "};"
        "window.lose = true;" + click
    )
    visitor.wait("resume != null")
    assert visitor.evaluate(disabled)
    visitor.evaluate(f"{click}; lose = false; resume()")
    visitor.wait(f"{ORDERS} == 3 && !{disabled}", PROBLEM)
    visitor.wait(f"{STOCK} == '4'")
    visitor.evaluate(f"lose = true; setTimeout = (resume) => {{ resume(); }}; {click}")
    visitor.wait(f"{PROBLEM} == 'lost' && !{disabled}", PROBLEM)
    visitor.wait(f"{STOCK} == '3'")
    visitor.evaluate(f"lose = false; {click}")
    visitor.wait(f"{ORDERS} == 4 && !{disabled}", PROBLEM)


class Receiver(http.server.BaseHTTPRequestHandler):
    """A receiver of confirmations, which fails at first."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Idempotency-Key"] == str(body["order"]), body
        self.server.got.append(body)
        self.send_response(500 if len(self.server.got) == 1 else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Not on standard error."""


def receiver(context):
    """A running receiver of confirmations at each of the host's addresses."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8025), Receiver)
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context._closing.append(server.shutdown)
    return server


def notify(tap):
    return "--notify", f"http://{tap.host}:8025/mails"


@in_every_form(limit=120, forms=FORMS)
def confirmations(context, form):
    """A confirmation that wasn't received is sent again, with the same number."""
    tap = context.tap()
    database(context, "0.0.0.0")()
    server = receiver(context)
    child = start(context, form, tap, *notify(tap))
    child.wait_line("the store is open")
    office(context, tap.guest, "add", "one", "100", "10")
    ann = Customer(tap.guest).register("ann")
    _, order = ann.order("key", (1, 2))
    wait_confirmed(context, tap.guest, 1)
    expected = {"order": order["id"], "account": "ann", "total": 200}
    assert server.got == [expected, expected], server.got
    child.wait_line("status 500")


class Collector(http.server.BaseHTTPRequestHandler):
    """A collector of OTLP over HTTP."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        """Not on standard error."""


@in_every_form(limit=120, forms=FORMS)
def traces(context, form):
    """A collector gets the span of an order and of a call of the back office, and the metrics, at
    the latest when the store ends. A stranger's trace isn't continued; a proxy's is."""
    tap = context.tap()
    database(context, "0.0.0.0")()
    collector = http.server.ThreadingHTTPServer(("0.0.0.0", 4318), Collector)
    collector.got = []
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    context._closing.append(collector.shutdown)
    options = ["--env", f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{tap.host}:4318"]
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for proxies, is_continued in (("192.0.2.0/24", False), (f"{tap.host}/32", True)):
        child = start(context, form, tap, "--proxies", proxies, options=options)
        child.wait_line("the store is open")
        customer = Customer(tap.guest)
        customer.ask("GET", "/api/products", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        office(context, tap.guest, "orders", "0")
        child.signal(signal.SIGTERM)
        assert child.finish(context.remaining()) == 143, child.text
        spans, metrics = {}, set()
        for path, body in collector.got:
            resources = body["resourceSpans" if path == "/v1/traces" else "resourceMetrics"]
            for scope in resources[0]["scopeSpans" if path == "/v1/traces" else "scopeMetrics"]:
                spans |= {span["name"]: span for span in scope.get("spans", ())}
                metrics |= {metric["name"] for metric in scope.get("metrics", ())}
        collector.got.clear()
        assert (spans["GET /api/products"]["traceId"] == trace) == is_continued, spans
        assert "store.v1.BackOffice/ListOrders" in spans, list(spans)
        assert "store_responses" in metrics, metrics


@in_every_form(limit=120, forms=FORMS)
def a_database_that_stops(context, form):
    """Without the database requests and the health check get 503; with it again, the same key
    places the order once."""
    _, tap, start_database, server = opened(context, form)
    office(context, tap.guest, "add", "one", "100", "10")
    ann = Customer(tap.guest).register("ann")
    assert ann.ask("GET", "/health")[0] == 200
    server.signal(signal.SIGINT)
    server.finish(context.remaining())
    status, problem = ann.order("key", (1, 1))
    assert (status, problem["status"]) == (503, 503), problem
    assert ann.ask("GET", "/health")[0] == 503
    start_database()
    while ann.ask("GET", "/health")[0] != 200:
        assert time.monotonic() < context.deadline
        time.sleep(0.05)
    assert ann.order("key", (1, 1))[0] == 201
    assert ann.order("key", (1, 1))[0] == 200
    assert len(office(context, tap.guest, "orders", "0")) == 1


# Waits for the lock of a table until its standard input ends.
LOCK = "begin; lock table orders in access exclusive mode; select 'locked';\n"
BLOCKED = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


@in_every_form(limit=120, forms=FORMS)
def health_under_load(context, form):
    """Customers whose orders wait for a lock have all connections of the store, and more wait for
    one: the health check has its own."""
    _, tap, _, _ = opened(context, form)
    office(context, tap.guest, "add", "one", "100", str(MANY))
    ann = Customer(tap.guest).register("ann")
    psql = [tool("psql", "postgresql-client"), f"postgresql://soil@{tap.host}/postgres", "-qXtA"]
    end = threading.Event()

    def order(number):
        copy = Customer(tap.guest)
        copy.cookie, copy.csrf = ann.cookie, ann.csrf
        while not end.is_set():
            copy.order(f"key-{number}", (1, 1))

    customers = [threading.Thread(target=order, args=(number,)) for number in range(40)]
    with subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as locker:
        locker.stdin.write(LOCK.encode())
        locker.stdin.flush()
        assert locker.stdout.readline() == b"locked\n"
        for customer in customers:
            customer.start()
        try:
            while int(context.run(*psql, "-c", BLOCKED).stdout) < 10:
                assert time.monotonic() < context.deadline
            for _ in range(3):
                assert Customer(tap.guest).ask("GET", "/health")[0] == 200
        finally:
            end.set()
            locker.stdin.close()
    for customer in customers:
        customer.join()


@in_every_form(limit=120, forms=FORMS)
def certificates(context, form):
    """With --certificate and --key the store speaks TLS, by files of its volume, and its cookies
    are for TLS alone."""
    folder = authority(context, "soil.test")
    _, volume = folder_of(context, "microvm", folder)
    options = [word.replace("folder=", "data=") for word in volume]
    files = ["--certificate", "/data/soil.test.pem", "--key", "/data/soil.test.key"]
    _, tap, _, _ = opened(context, form, "--port", "443", *files, options=options)
    trust = ["--cacert", f"{folder}/authority.pem", "--resolve", f"soil.test:443:{tap.guest}"]
    done = context.run("curl", "-sSi", *trust, "https://soil.test/api/session").stdout
    assert " 200 OK" in done and "set-cookie: __Host-session=" in done and "Secure" in done, done


def serial_number(context, host, trust):
    """Of the certificate of this machine, as soon as clients trust it."""
    while True:
        try:
            plain = socket.create_connection((host, 443), PATIENCE)
            with plain, trust.wrap_socket(plain, server_hostname="soil.test") as secured:
                return secured.getpeercert()["serialNumber"]
        except ssl.SSLCertVerificationError:
            assert time.monotonic() < context.deadline
            time.sleep(0.1)


@in_every_form(limit=120, forms=FORMS)
def certificates_by_acme(context, form):
    """A machine gets a certificate from a CA, which connects to it; another one has the same by the
    database."""
    taps = [context.tap() for _ in range(2)]
    database(context, "0.0.0.0")()
    address, folder = f"{taps[0].host}:14000", context.path("ca")
    os.mkdir(folder)
    words = ["14000", taps[0].guest, f"{folder}/authority.pem"]
    ca = context.soil(ACME_CA, SOCKETS, *words, env={"CA_HOST": address})
    ca.wait_line("ready")
    words = ["--port", "443", "--acme", f"http://{address}/directory", "--domains", "soil.test"]
    numbers = []
    for tap in taps:
        child = start(context, form, tap, *words)
        child.wait_line("the store is open")
        numbers.append(serial_number(context, tap.guest, trusting(folder)))
    assert numbers[0] == numbers[1], numbers


@test()
def needs(context):
    """`soil needs` shows the ports, and with a certificate the volume."""
    program = executable(PROGRAM, REFERENCE)
    words = ["--database", "postgresql://soil@10.0.0.1/shop", "--port", "8000"]
    text = context.run(SOIL, "needs", program, "--", *words).stdout
    assert "tcp 8000" in text and "tcp 50051" in text and "volume" not in text, text
    words += ["--certificate", "/data/a", "--key", "/data/b"]
    assert "volume" in context.run(SOIL, "needs", program, "--", *words).stdout
    done = context.run(SOIL, "run", program, "--", "--database", "mysql://a", check=False)
    assert done.returncode == 124 and "postgresql" in done.stderr, done


def places_an_order(host, port):
    """A customer's order to a store without products is refused, by its database."""
    ann = Customer(host, port).register("ann")
    assert ann.order("key", (1, 1))[0] == 409


@test(limit=120)
def a_disk(context):
    """A disk of `soil image` boots, with the database in its settings."""
    database(context, "127.0.0.1")()
    disk, port = context.path("store.img"), free_port()
    words = ["--", "--database", "postgresql://soil@10.0.2.2/postgres"]
    context.run(SOIL, "image", executable(PROGRAM, "microvm"), "--output", disk, *words)
    words = ["--firmware", "bios", "--net", "user", "--forward", f"{port}:80"]
    child = context.child([SOIL, "run", disk, *words])
    child.wait_line("the store is open")
    places_an_order("127.0.0.1", port)


@test(limit=120)
def a_container(context):
    """crun runs the process form, as another user than root; a stop request ends it."""
    oci.need("umoci", "crun")
    database(context, "127.0.0.1")()
    words = ["--database", "postgresql://soil@127.0.0.1/postgres", "--port", "8000"]
    folder = oci.image(context, PROGRAM, "process", "process", arguments=words)
    bundle, configuration = oci.unpacked(context, folder)
    with oci.container(context, bundle, configuration) as (child, stop):
        child.wait_line("the store is open")
        places_an_order("127.0.0.1", 8000)
        stop()
        status = child.finish(context.remaining())
        assert status == 128 + signal.SIGTERM, f"{status}: {child.text}"


class Load:
    """Customers who place orders by the proxy, one after the other. Each repeats an order, with its
    key, until it is acknowledged."""

    def __init__(self, context, names):
        self.context = context
        self.stop, self.failure = threading.Event(), None
        self.customers = {name: Customer("127.0.0.1", PROXY_PORT).register(name) for name in names}
        self.orders = {name: [] for name in names}
        self.repeated = []
        self.threads = [
            threading.Thread(target=self.work, args=(name,), daemon=True) for name in names
        ]
        for thread in self.threads:
            thread.start()

    def work(self, name):
        try:
            while not self.stop.is_set():
                self.orders[name].append(self.place(name, len(self.orders[name])))
        except BaseException as problem:
            self.failure = f"{name}: {problem!r}"

    def place(self, name, number):
        """The number of the order, once it is acknowledged."""
        first = True
        while True:
            assert time.monotonic() < self.context.deadline, f"order {number}"
            try:
                status, answer = self.customers[name].order(f"order-{number}", (1, 1), (2, 2))
                # An order is known before it is acknowledged only after a lost answer.
                if status == 201 or status == 200 and not first:
                    return answer["id"]
                assert status in (502, 503, 504), (status, answer)
                self.repeated.append(status)
            except (OSError, http.client.HTTPException) as problem:
                self.repeated.append(repr(problem))
            first = False
            time.sleep(0.05)

    def wait(self, more):
        """Waits until each customer has `more` acknowledged orders."""
        wanted = {name: len(done) + more for name, done in self.orders.items()}
        while any(len(self.orders[name]) < count for name, count in wanted.items()):
            assert self.failure is None, self.failure
            assert time.monotonic() < self.context.deadline, (self.orders, wanted)
            time.sleep(0.01)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(self.context.remaining())
        assert self.failure is None, self.failure


def behind_a_proxy(context, form, count, *words, files=(), options=()):
    """So many machines with `words`, and two products, behind a proxy with `files`; (machines,
    their TAPs)."""
    taps = [context.tap() for _ in range(count)]
    database(context, "0.0.0.0")()
    machines = [start(context, form, tap, *notify(tap), *words) for tap in taps]
    for machine in machines:
        machine.wait_line("the store is open")
    backends = [f"http://{tap.guest}" for tap in taps]
    proxy = context.soil(PROXY, SOCKETS, *files, str(PROXY_PORT), *backends, options=options)
    proxy.wait_line("the proxy is open")
    for name in ("one", "two"):
        office(context, taps[0].guest, "add", name, "100", str(MANY))
    return machines, taps


@in_every_form(limit=120, forms=FORMS)
def a_proxy_with_tls(context, form):
    """Customers speak TLS with the proxy, and the cookies of a machine behind it are for TLS
    alone."""
    receiver(context)
    folder = authority(context, "soil.test")
    options = ["--mount", f"/tls=host:{folder}"]
    files = ["--tls", *TLS_FILES]
    behind_a_proxy(context, form, 1, "--secure-cookies", files=files, options=options)
    place = f"soil.test:{PROXY_PORT}"
    trust = ["--cacert", f"{folder}/authority.pem", "--resolve", f"{place}:127.0.0.1"]
    done = context.run("curl", "-sSi", *trust, f"https://{place}/api/session").stdout
    assert " 200" in done and "set-cookie: __Host-session=" in done and "Secure" in done, done


@test(limit=60)
def the_scheme_of_customers(context):
    """What the proxy tells a machine of its customers' scheme: https with --tls, http without."""
    schemes = []

    class Machine(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            schemes.append(self.headers["X-Forwarded-Proto"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    machine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Machine)
    threading.Thread(target=machine.serve_forever, daemon=True).start()
    context._closing.append(machine.shutdown)
    folder = authority(context, "soil.test")
    for tls, scheme in (((), "http"), (("--tls", *TLS_FILES), "https")):
        port = free_port()
        options = ["--mount", f"/tls=host:{folder}"]
        backend = f"http://127.0.0.1:{machine.server_port}"
        proxy = context.soil(PROXY, SOCKETS, *tls, str(port), backend, options=options)
        proxy.wait_line("the proxy is open")
        trust = ["--cacert", f"{folder}/authority.pem", "--resolve", f"soil.test:{port}:127.0.0.1"]
        context.run("curl", "-sS", *trust, f"{scheme}://soil.test:{port}/page")
        # Its checks come without a client.
        assert scheme in schemes, schemes
        schemes.clear()
        proxy.signal(signal.SIGTERM)
        proxy.finish(context.remaining())


@in_every_form(limit=120, forms=FORMS)
def open_pages(context, form):
    """Pages that are open at 120 browsers of one network leave a machine behind the proxy room for
    orders, and get the changes."""
    receiver(context)
    behind_a_proxy(context, form, 1)
    listeners = [Listener(context, "127.0.0.1", PROXY_PORT) for _ in range(120)]
    ann = Customer("127.0.0.1", PROXY_PORT).register("ann")
    assert ann.order("key", (1, 2))[0] == 201
    for listener in listeners:
        listener.wait_stock(1, MANY - 2)


@in_every_form(limit=240, forms=FORMS)
def a_machine_that_is_asked_to_stop(context, form):
    """Of two machines behind a proxy one gets SIGTERM while customers order: it ends with status
    143, and no order is repeated because its answer was lost. A machine that is slow, or whose
    database is, refuses some with 503."""
    receiver(context)
    machines, _ = behind_a_proxy(context, form, 2)
    load = Load(context, [f"customer{number}" for number in range(4)])
    load.wait(5)
    machines[0].signal(signal.SIGTERM)
    status = machines[0].finish(context.remaining())
    assert status == 143, machines[0].text
    load.wait(5)
    load.end()
    assert all(reason == 503 for reason in load.repeated), load.repeated


@in_every_form(limit=300, forms=FORMS)
def three_machines(context, form):
    """Three machines behind a proxy, and one killed while customers order: each order that was
    acknowledged exists once, each repeated one is the same, the stock is right, a browser of
    another machine sees it, and the confirmations of all arrive."""
    server = receiver(context)
    machines, taps = behind_a_proxy(context, form, 3)
    listener = Listener(context, taps[2].guest)
    load = Load(context, [f"customer{number}" for number in range(6)])
    load.wait(8)
    os.killpg(machines[1].pid, signal.SIGKILL)
    machines[1].finish()
    load.wait(16)
    load.end()
    for name, customer in load.customers.items():
        last = len(load.orders[name]) - 1
        status, order = customer.order(f"order-{last}", (1, 1), (2, 2))
        assert (status, order["id"]) == (200, load.orders[name][last]), (status, order)
    count = sum(map(len, load.orders.values()))
    found = collections.defaultdict(list)
    for line in office(context, taps[0].guest, "orders", "0"):
        number, name, total, _ = line.split()
        assert total == "300", line
        found[name].append(int(number))
    assert found == {name: sorted(done) for name, done in load.orders.items()}, (found, load.orders)
    wait_confirmed(context, taps[0].guest, count)
    confirmed = {body["order"] for body in server.got}
    assert confirmed == {number for done in load.orders.values() for number in done}, confirmed
    _, products = Customer(taps[2].guest).ask("GET", "/api/products")
    left = {product["id"]: product["stock"] for product in products}
    assert left == {1: MANY - count, 2: MANY - 2 * count}, (left, count)
    listener.wait_stock(1, MANY - count)
