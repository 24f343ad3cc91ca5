"""soil-grpc against gRPC's own Python library as client and server, with the cases of its
interoperability tests; gRPC-Web by Chromium."""

import base64
import json
import signal

from harness.chromium import Browser
from harness.context import ROOT, Skip, outcome
from harness.runner import test

from cases.hostile_peers import tool
from cases.network import in_every_form
from cases.services import authority, secure_server

PROGRAMS = "tests/programs/grpc/"
PROTOS = f"{ROOT}/{PROGRAMS}protos"
TWO_FORMS = ("process", "microvm")
CASES = [
    "empty_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
]


def peer_words(context, *words):
    python = tool("/usr/bin/python3", "python3-grpcio")
    if context.run(python, "-c", "import grpc", check=False).returncode != 0:
        raise Skip("run: apt-get install python3-grpcio")
    return [python, f"{ROOT}/tests/peers/grpc_peer.py", f"{PROTOS}/testing.protoset", *words]


def peer(context, *words):
    """What a client of gRPC's own library prints, line by line."""
    return context.run(*peer_words(context, *words)).stdout.splitlines()


def server(context, form):
    """The server; (child, its address, the folder with its authority)."""
    folder = authority(context, "soil.test")
    child, host = secure_server(context, form, f"{PROGRAMS}grpc_server.exe", folder)
    return child, f"{host}:50051", folder


@test()
def grpc_descriptors(context):
    """The committed set of descriptors is made of the committed files."""
    protoc = tool("protoc", "protobuf-compiler")
    made = context.path("made.protoset")
    names = ["testing.proto", "health.proto", "reflection.proto"]
    context.run(protoc, "-I", PROTOS, "--include_imports", f"--descriptor_set_out={made}", *names)
    with open(made, "rb") as new, open(f"{PROTOS}/testing.protoset", "rb") as committed:
        assert new.read() == committed.read(), f"replace {PROTOS}/testing.protoset by {made}"


@in_every_form(limit=120, forms=TWO_FORMS)
def grpc_server(context, form):
    """gRPC's client: each case of the interoperability tests, without TLS and with it."""
    _, address, folder = server(context, form)
    expected = [f"passed {case}" for case in CASES]
    assert (found := peer(context, "interop", address)) == expected, found
    secure = address.replace("50051", "8443")
    assert (found := peer(context, "interop", secure, f"{folder}/authority.pem")) == expected, found


@in_every_form(limit=120, forms=TWO_FORMS)
def grpc_client(context, form):
    """gRPC's server: each case of the interoperability tests, and 1,000 calls on one connection."""
    tap = context.tap()
    python = context.child(peer_words(context, "serve", f"{tap.host}:50051"))
    python.wait_line("ready")
    child = context.soil(f"{PROGRAMS}grpc_client.exe", form, tap.host, "50051", tap=tap)
    status, output = outcome(child, context)
    assert output.splitlines() == [
        "empty_unary: ok",
        "large_unary: ok",
        "client_compressed_unary: ok",
        "server_compressed_unary: ok",
        "client_streaming: ok",
        "server_streaming: ok",
        "server_compressed_streaming: ok",
        "ping_pong: ok",
        "empty_stream: ok",
        "timeout_on_sleeping_server: DEADLINE_EXCEEDED",
        "cancel_after_begin: ok",
        "cancel_after_first_response: ok",
        "custom_metadata, unary: ok",
        "custom_metadata, a stream: ok",
        "status_code_and_message, unary: ok",
        "status_code_and_message, a stream: ok",
        "special_status_message: ok",
        "unimplemented_method: UNIMPLEMENTED",
        "unimplemented_service: UNIMPLEMENTED",
        "large_trailers: RESOURCE_EXHAUSTED",
        "a call beside them: ok",
        "early_answer: ok",
        "many calls: ok",
        "health: UNIMPLEMENTED: Method not found!",
        "connections: 1",
        "done",
    ], output
    assert status == 0, status


@in_every_form(limit=240, forms=TWO_FORMS)
def grpc_many_calls(context, form):
    """10,000 calls of one client, and 30 streams that are open at once; all are answered."""
    _, address, _ = server(context, form)
    found = peer(context, "many", address, "10000")
    assert found == ["calls 10000", "streams 30"], found


@in_every_form(limit=120, forms=TWO_FORMS)
def grpc_ends_of_calls(context, form):
    """The server cancels the handlers of a client that is killed, and those whose deadline passes;
    messages beyond its limit are refused; then it serves another client."""
    child, address, _ = server(context, form)
    streams = ["StreamingOutputCall", "FullDuplexCall", "StreamingInputCall"]

    def wait_for(what, after=0):
        for name in streams:
            child.wait_line(f"{what} {name}", after=after)

    client = context.child(peer_words(context, "vanish", address))
    wait_for("begun")
    client.wait_line("waiting")
    client.process.kill()
    wait_for("cancelled")
    after = len(child.lines)
    assert (found := peer(context, "late", address)) == ["DEADLINE_EXCEEDED"] * 3, found
    wait_for("cancelled", after)
    assert (found := peer(context, "large", address)) == ["RESOURCE_EXHAUSTED"] * 2, found


@in_every_form(limit=60, forms=TWO_FORMS)
def grpc_health_and_reflection(context, form):
    """gRPC's client asks for health, follows it, and learns the services with their descriptors."""
    _, address, _ = server(context, form)
    assert (found := peer(context, "health", address)) == [
        " SERVING",
        "grpc.testing.TestService SERVING",
        "grpc.testing.Stopped NOT_SERVING",
        "NOT_FOUND unknown service",
        "watch SERVING",
        "watch SERVICE_UNKNOWN",
    ], found
    assert (found := peer(context, "reflection", address)) == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.testing.TestService",
        "EmptyCall UnaryCall StreamingOutputCall StreamingInputCall FullDuplexCall UnimplementedCall",
        "5",
    ], found


@in_every_form(limit=120, forms=TWO_FORMS)
def grpc_server_that_stops(context, form):
    """A server that is asked to stop says so to a client that follows its health, ends a call that
    has begun, and then itself."""
    child, address, _ = server(context, form)
    client = context.child(peer_words(context, "drain", address))
    client.wait_line("SERVING")
    child.signal(signal.SIGTERM)
    assert client.finish(context.remaining()) == 0, client.text
    assert client.text.splitlines() == [
        "SERVING",
        "NOT_SERVING",
        "UNAVAILABLE the server stops",
        "rest [2]",
    ], client.text
    assert child.finish(context.remaining()) == 143, child.text


# What a client of gRPC-Web does: sends a message, and splits the response into messages and the
# fields of the status.
SCRIPT = """
async (url, method, message, text) => {
  const type = text ? "application/grpc-web-text" : "application/grpc-web+proto";
  const bytes = Uint8Array.from(atob(message), c => c.charCodeAt(0));
  const body = new Uint8Array(5 + bytes.length);
  new DataView(body.buffer).setUint32(1, bytes.length);
  body.set(bytes, 5);
  const response = await fetch(`${url}/grpc.testing.TestService/${method}`, {
    method: "POST",
    headers: { "content-type": type, "x-grpc-web": "1", "x-user-agent": "test" },
    body: text ? btoa(String.fromCharCode(...body)) : body,
  });
  let data = new Uint8Array(await response.arrayBuffer());
  if (text) {
    const parts = new TextDecoder().decode(data).match(/[^=]+=*/g);
    data = Uint8Array.from(parts.map(atob).join(""), c => c.charCodeAt(0));
  }
  const found = { status: response.status, type: response.headers.get("content-type"), sizes: [] };
  for (let at = 0; at < data.length;) {
    const size = new DataView(data.buffer).getUint32(at + 1);
    const content = data.slice(at + 5, at + 5 + size);
    if (data[at] & 0x80) found.trailers = new TextDecoder().decode(content);
    else found.sizes.push(size);
    at += 5 + size;
  }
  return found;
}
"""


@in_every_form(limit=240, forms=TWO_FORMS)
def grpc_web(context, form):
    """Chromium calls by gRPC-Web in both of its forms, from the server's own page and from a page of
    another origin, whose preflight is answered; messages, streams, statuses."""
    _, address, _ = server(context, form)
    url = f"http://{address}"
    # UnaryCall: response_size = 1000. StreamingOutputCall: sizes of 3 and 300.
    unary = b"\x10\xe8\x07"
    stream = b"\x12\x02\x08\x03\x12\x03\x08\xac\x02"
    failing = b"\x3a\x06\x08\x05\x12\x02no"
    # Each message has the field of its payload, with its body.
    around = {3: 7, 300: 306, 1000: 1006}
    with Browser(context) as browser:
        own = browser.open(f"{url}/")
        own.wait("document.body.innerText.includes('ready')")
        foreign = browser.open(f"{url.replace('50051', '8080')}/")
        foreign.wait("document.body.innerText.includes('ready')")
        for page in (own, foreign):
            for text in (False, True):

                def call(method, message, page=page, text=text):
                    encoded = base64.b64encode(message).decode()
                    words = ", ".join(json.dumps(w) for w in (url, method, encoded, text))
                    return page.evaluate(f"({SCRIPT})({words})")

                kind = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"
                answer = {"status": 200, "type": kind}
                assert (found := call("UnaryCall", unary)) == {
                    **answer,
                    "sizes": [around[1000]],
                    "trailers": "grpc-status: 0\r\n",
                }, found
                assert (found := call("StreamingOutputCall", stream)) == {
                    **answer,
                    "sizes": [around[3], around[300]],
                    "trailers": "grpc-status: 0\r\n",
                }, found
                assert (found := call("UnaryCall", failing)) == {
                    **answer,
                    "sizes": [],
                    "trailers": "grpc-status: 5\r\ngrpc-message: no\r\n",
                }, found
                assert (found := call("Missing", b"")) == {
                    **answer,
                    "sizes": [],
                    "trailers": "grpc-status: 12\r\ngrpc-message: unknown method\r\n",
                }, found
