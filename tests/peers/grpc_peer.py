"""gRPC's own Python library as a peer, with the messages of tests/programs/grpc/protos. Run by
Debian's Python, which has the packages.

    grpc_peer.py PROTOSET serve HOST:PORT            the server of the interoperability tests
    grpc_peer.py PROTOSET CASE HOST:PORT [ARGUMENT]  one client, of a function below

Clients print lines for tests/cases/grpc.py, and fail by an exception.
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

POOL = descriptor_pool.DescriptorPool()
with open(sys.argv[1], "rb") as protoset:
    for proto in descriptor_pb2.FileDescriptorSet.FromString(protoset.read()).file:
        POOL.Add(proto)


def message(name):
    descriptor = POOL.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(POOL).GetPrototype(descriptor)


TESTING = "grpc.testing."
Empty = message(TESTING + "Empty")
SimpleRequest = message(TESTING + "SimpleRequest")
SimpleResponse = message(TESTING + "SimpleResponse")
InputRequest = message(TESTING + "StreamingInputCallRequest")
InputResponse = message(TESTING + "StreamingInputCallResponse")
OutputRequest = message(TESTING + "StreamingOutputCallRequest")
OutputResponse = message(TESTING + "StreamingOutputCallResponse")
HealthRequest = message("grpc.health.v1.HealthCheckRequest")
HealthResponse = message("grpc.health.v1.HealthCheckResponse")
ReflectionRequest = message("grpc.reflection.v1.ServerReflectionRequest")
ReflectionResponse = message("grpc.reflection.v1.ServerReflectionResponse")
SERVICE = TESTING + "TestService"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


def zeros(count):
    return {"body": b"\0" * count}


# The server


class Service(grpc.GenericRpcHandler):
    """The service of gRPC's interoperability tests."""

    def service(self, details):
        method = details.method.removeprefix(f"/{SERVICE}/")
        handlers = {
            "EmptyCall": (grpc.unary_unary_rpc_method_handler, self.empty, Empty),
            "UnaryCall": (grpc.unary_unary_rpc_method_handler, self.unary, SimpleRequest),
            "StreamingOutputCall": (
                grpc.unary_stream_rpc_method_handler,
                self.output,
                OutputRequest,
            ),
            "StreamingInputCall": (grpc.stream_unary_rpc_method_handler, self.input, InputRequest),
            "FullDuplexCall": (grpc.stream_stream_rpc_method_handler, self.duplex, OutputRequest),
        }
        if method not in handlers:
            return None
        make, function, kind = handlers[method]
        return make(function, kind.FromString, lambda response: response.SerializeToString())

    def echo(self, context):
        metadata = dict(context.invocation_metadata())
        if INITIAL in metadata:
            context.send_initial_metadata([(INITIAL, metadata[INITIAL])])
        if TRAILING in metadata:
            context.set_trailing_metadata([(TRAILING, metadata[TRAILING])])
        if size := metadata.get("x-trailer-size"):
            context.set_trailing_metadata([("x-large", "x" * int(size))])

    def fail_if(self, request, context):
        if status := request.response_status.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            context.abort(codes[status], request.response_status.message)

    def empty(self, _request, _context):
        return Empty()

    def unary(self, request, context):
        self.echo(context)
        self.fail_if(request, context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        return SimpleResponse(payload=zeros(request.response_size))

    def output(self, request, context):
        self.fail_if(request, context)
        if any(p.compressed.value for p in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield OutputResponse(payload=zeros(parameters.size))

    def input(self, requests, context):
        if "x-early" in dict(context.invocation_metadata()):
            requests = [next(requests)]
        return InputResponse(aggregated_payload_size=sum(len(r.payload.body) for r in requests))

    def duplex(self, requests, context):
        self.echo(context)
        for request in requests:
            yield from self.output(request, context)


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(32), [Service()], options=UNLIMITED)
    assert server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


# Clients


def method(channel, kind, name, request, response, service=SERVICE):
    make = getattr(channel, kind)
    return make(f"/{service}/{name}", request.SerializeToString, response.FromString)


class Stub:
    """The methods, on one channel."""

    def __init__(self, channel):
        self.channel = channel
        self.empty = method(channel, "unary_unary", "EmptyCall", Empty, Empty)
        self.unary = method(channel, "unary_unary", "UnaryCall", SimpleRequest, SimpleResponse)
        self.output = method(
            channel, "unary_stream", "StreamingOutputCall", OutputRequest, OutputResponse
        )
        self.input = method(
            channel, "stream_unary", "StreamingInputCall", InputRequest, InputResponse
        )
        self.duplex = method(
            channel, "stream_stream", "FullDuplexCall", OutputRequest, OutputResponse
        )
        self.unimplemented = method(channel, "unary_unary", "UnimplementedCall", Empty, Empty)
        self.other = method(
            channel, "unary_unary", "UnimplementedCall", Empty, Empty, TESTING + "Unimplemented"
        )


def insecure(address):
    return Stub(grpc.insecure_channel(address, options=UNLIMITED))


def failed(function):
    """The status with which a call fails."""
    try:
        function()
    except grpc.RpcError as problem:
        return problem.code().name, problem.details()
    raise AssertionError("no failure")


def sizes(responses):
    return [len(response.payload.body) for response in responses]


def simple(size=314159, body=271828, **more):
    return SimpleRequest(response_size=size, payload=zeros(body), **more)


def outputs(*parameters, body=0, **more):
    return OutputRequest(response_parameters=list(parameters), payload=zeros(body), **more)


def interop(address, roots=None):
    """Each case of gRPC's interoperability tests; over TLS with the file of an authority."""
    if roots:
        with open(roots, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        named = [*UNLIMITED, ("grpc.ssl_target_name_override", "soil.test")]
        stub = Stub(grpc.secure_channel(address, credentials, options=named))
    else:
        stub = insecure(address)
    for case in CASES:
        case(stub)
        print("passed", case.__name__, flush=True)


def empty_unary(stub):
    assert stub.empty(Empty()) == Empty()


def large_unary(stub):
    assert stub.unary(simple()).payload.body == b"\0" * 314159


def client_compressed_unary(stub):
    expected, not_expected = {"value": True}, {"value": False}
    code, _ = failed(lambda: stub.unary(simple(expect_compressed=expected)))
    assert code == "INVALID_ARGUMENT", code
    gzip = grpc.Compression.Gzip
    answer = stub.unary(simple(expect_compressed=expected), compression=gzip)
    assert len(answer.payload.body) == 314159
    assert len(stub.unary(simple(expect_compressed=not_expected)).payload.body) == 314159


def server_compressed_unary(stub):
    for compressed in (True, False):
        answer = stub.unary(simple(response_compressed={"value": compressed}))
        assert answer.payload.body == b"\0" * 314159


def client_streaming(stub):
    requests = [InputRequest(payload=zeros(size)) for size in (27182, 8, 1828, 45904)]
    assert stub.input(iter(requests)).aggregated_payload_size == 74922


def client_compressed_streaming(stub):
    first = InputRequest(payload=zeros(27182), expect_compressed={"value": True})
    code, _ = failed(lambda: stub.input(iter([first])))
    assert code == "INVALID_ARGUMENT", code
    second = InputRequest(payload=zeros(45904))
    answer = stub.input(iter([first, second]), compression=grpc.Compression.Gzip)
    assert answer.aggregated_payload_size == 73086


def server_streaming(stub):
    expected = [31415, 9, 2653, 58979]
    assert sizes(stub.output(outputs(*({"size": size} for size in expected)))) == expected


def server_compressed_streaming(stub):
    parameters = [{"size": 31415, "compressed": {"value": True}}, {"size": 92653}]
    assert sizes(stub.output(outputs(*parameters))) == [31415, 92653]


def ping_pong(stub):
    turn = threading.Semaphore(0)
    pairs = [(31415, 27182), (9, 8), (2653, 1828), (58979, 45904)]

    def requests():
        for size, body in pairs:
            yield outputs({"size": size}, body=body)
            turn.acquire()

    responses = stub.duplex(requests())
    for size, _ in pairs:
        assert len(next(responses).payload.body) == size
        turn.release()
    assert list(responses) == []
    assert responses.code() == grpc.StatusCode.OK


def empty_stream(stub):
    assert list(stub.duplex(iter([]))) == []


def timeout_on_sleeping_server(stub):
    request = outputs({"size": 1, "interval_us": 10_000_000}, body=27182)
    code, _ = failed(lambda: list(stub.duplex(iter([request]), timeout=0.001)))
    assert code == "DEADLINE_EXCEEDED", code


def waiting():
    """No request, for as long as the call lasts."""
    threading.Event().wait()
    yield


def cancel_after_begin(stub):
    call = stub.input.future(waiting())
    call.cancel()
    assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED


def cancel_after_first_response(stub):
    def requests():
        yield outputs({"size": 31415}, body=27182)
        yield from waiting()

    call = stub.duplex(requests())
    assert len(next(call).payload.body) == 31415
    call.cancel()
    assert failed(lambda: next(call))[0] == "CANCELLED"


def custom_metadata(stub):
    initial, trailing = "test_initial_metadata_value", b"\xab\xab\xab"
    metadata = [(INITIAL, initial), (TRAILING, trailing)]
    _, unary = stub.unary.with_call(simple(), metadata=metadata)
    duplex = stub.duplex(iter([outputs({"size": 1})]), metadata=metadata)
    assert len(list(duplex)) == 1
    for call in (unary, duplex):
        assert dict(call.initial_metadata())[INITIAL] == initial, call.initial_metadata()
        assert dict(call.trailing_metadata())[TRAILING] == trailing, call.trailing_metadata()


def status_code_and_message(stub):
    status = {"code": 2, "message": "test status message"}
    expected = ("UNKNOWN", "test status message")
    assert failed(lambda: stub.unary(SimpleRequest(response_status=status))) == expected
    request = OutputRequest(response_status=status)
    assert failed(lambda: list(stub.duplex(iter([request])))) == expected


def special_status_message(stub):
    status = {"code": 2, "message": SPECIAL}
    found = failed(lambda: stub.unary(SimpleRequest(response_status=status)))
    assert found == ("UNKNOWN", SPECIAL), found


def unimplemented_method(stub):
    assert failed(lambda: stub.unimplemented(Empty()))[0] == "UNIMPLEMENTED"


def unimplemented_service(stub):
    assert failed(lambda: stub.other(Empty()))[0] == "UNIMPLEMENTED"


CASES = [
    empty_unary,
    large_unary,
    client_compressed_unary,
    server_compressed_unary,
    client_streaming,
    client_compressed_streaming,
    server_streaming,
    server_compressed_streaming,
    ping_pong,
    empty_stream,
    timeout_on_sleeping_server,
    cancel_after_begin,
    cancel_after_first_response,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
]


def many(address, count):
    """So many calls over one connection, a hundred at a time; then a hundred streams that are all
    open at the same time."""
    stub, count = insecure(address), int(count)
    places = threading.Semaphore(100)
    done = []

    def finished(call, size):
        done.append(call.exception() or len(call.result().payload.body) == size)
        places.release()

    for number in range(count):
        places.acquire()
        call = stub.unary.future(simple(number % 1000, 10))
        call.add_done_callback(lambda call, size=number % 1000: finished(call, size))
    for _ in range(100):
        places.acquire()
    assert done == [True] * count, [answer for answer in done if answer is not True][:3]
    print("calls", count, flush=True)

    release = threading.Event()

    def requests():
        yield outputs({"size": 10})
        release.wait()
        yield outputs({"size": 20})

    calls = [stub.duplex(requests()) for _ in range(30)]
    assert [len(next(call).payload.body) for call in calls] == [10] * len(calls)
    release.set()
    assert [sizes(call) for call in calls] == [[20]] * len(calls)
    print("streams", len(calls), flush=True)


def vanish(address):
    """Waits in each kind of a stream, until it is killed."""
    stub = insecure(address)
    calls = [
        stub.output(outputs({"size": 1}, {"size": 1, "interval_us": 2_000_000_000})),
        stub.duplex(waiting()),
    ]
    assert len(next(calls[0]).payload.body) == 1
    calls.append(stub.input.future(waiting()))
    print("waiting", flush=True)
    threading.Event().wait()


def late(address):
    """Calls whose deadline passes on the server."""
    stub = insecure(address)
    slow = outputs({"size": 1, "interval_us": 2_000_000_000})
    for call in (
        lambda: list(stub.output(slow, timeout=1)),
        lambda: list(stub.duplex(iter([slow]), timeout=1)),
        lambda: stub.input(waiting(), timeout=1),
    ):
        print(failed(call)[0], flush=True)
    assert stub.empty(Empty(), timeout=60) == Empty()


def large(address):
    """Messages beyond the server's limit, plain and compressed."""
    stub = insecure(address)
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        code, _ = failed(lambda c=compression: stub.unary(simple(1, 1 << 23), compression=c))
        print(code, flush=True)
    assert len(stub.unary(simple(1, (1 << 22) - 100)).payload.body) == 1


def health(address):
    """The service of health, by its own messages."""
    channel = grpc.insecure_channel(address)
    name = "grpc.health.v1.Health"
    check = method(channel, "unary_unary", "Check", HealthRequest, HealthResponse, name)
    watch = method(channel, "unary_stream", "Watch", HealthRequest, HealthResponse, name)
    for service in ("", SERVICE, "grpc.testing.Stopped"):
        answer = check(HealthRequest(service=service))
        print(service, HealthResponse.ServingStatus.Name(answer.status), flush=True)
    print(*failed(lambda: check(HealthRequest(service="a"))), flush=True)
    for service in (SERVICE, "a"):
        call = watch(HealthRequest(service=service))
        print("watch", HealthResponse.ServingStatus.Name(next(call).status), flush=True)
        call.cancel()


def drain(address):
    """Follows the health of a server that is asked to stop, during a call."""
    channel = grpc.insecure_channel(address)
    name = "grpc.health.v1.Health"
    watch = method(channel, "unary_stream", "Watch", HealthRequest, HealthResponse, name)
    call = Stub(channel).output(outputs({"size": 1}, {"size": 2, "interval_us": 5_000_000}))
    assert len(next(call).payload.body) == 1
    try:
        for answer in watch(HealthRequest(service=SERVICE)):
            print(HealthResponse.ServingStatus.Name(answer.status), flush=True)
    except grpc.RpcError as problem:
        print(problem.code().name, problem.details(), flush=True)
    print("rest", sizes(call), flush=True)


def reflection(address):
    """The services, and their descriptors in a pool of their own."""
    channel = grpc.insecure_channel(address)
    name = "grpc.reflection.v1alpha.ServerReflection"
    ask = method(
        channel,
        "stream_stream",
        "ServerReflectionInfo",
        ReflectionRequest,
        ReflectionResponse,
        name,
    )
    requests = [
        ReflectionRequest(list_services=""),
        ReflectionRequest(file_containing_symbol=SERVICE),
        ReflectionRequest(file_by_filename="missing.proto"),
    ]
    services, files, missing = ask(iter(requests))
    for service in services.list_services_response.service:
        print(service.name, flush=True)
    pool = descriptor_pool.DescriptorPool()
    for content in files.file_descriptor_response.file_descriptor_proto:
        pool.AddSerializedFile(content)
    found = pool.FindServiceByName(SERVICE)
    print(*(m.name for m in found.methods), flush=True)
    print(missing.error_response.error_code, flush=True)


globals()[sys.argv[2]](*sys.argv[3:])
