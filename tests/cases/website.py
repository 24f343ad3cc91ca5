"""examples/website from a FAT disk, and from every other source of files, with the same OCaml."""

import contextlib
import os
import socket

from cases.faults import fails_with
from cases.network import in_every_form
from harness.console import PATIENCE
from harness.context import FORMS, FORMS_AND_SOCKETS, ROOT, SOCKETS, forms_of
from harness.runner import test

SITE = os.path.join(ROOT, "examples", "website", "site")


def disk_with(context, extra):
    """A FAT disk with the example's pages and the files `extra`, name to contents."""
    disk = context.path("www.img")
    with open(disk, "wb") as file:
        file.truncate(32 << 20)
    context.run("mkfs.fat", disk)
    context.run(
        "mcopy", "-s", "-i", disk, *(os.path.join(SITE, name) for name in os.listdir(SITE)), "::/"
    )
    for name, data in extra.items():
        path = context.path("extra")
        with open(path, "wb") as file:
            file.write(data)
        context.run("mcopy", "-i", disk, path, "::/" + name)
    return disk


def send_nonsense(host, text):
    """Sends raw bytes on a new connection and reads until its end, or until a reset where the
    server rejects the request before all bytes arrived."""
    with (
        socket.create_connection((host, 80), timeout=PATIENCE) as peer,
        contextlib.suppress(ConnectionError),
    ):
        peer.sendall(text)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass


def status_of(host, target):
    """The status of a GET of `target`, sent unchanged: clients resolve dots, including encoded
    ones, before they send a request."""
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection((host, 80), timeout=PATIENCE) as peer:
        peer.sendall(request)
        with peer.makefile("rb") as answer:
            line = answer.readline().split()
    assert len(line) > 1 and line[0] == b"HTTP/1.1", line
    return int(line[1])


def same_pages(context, url):
    """Every page is the same as in the example's folder."""
    for folder, _, names in os.walk(SITE):
        for name in names:
            path = os.path.join(folder, name)
            got = context.path("got")
            context.run("curl", "-fsS", "-o", got, url + "/" + os.path.relpath(path, SITE))
            context.run("cmp", path, got)


@in_every_form(limit=90, forms=FORMS_AND_SOCKETS)
def website(context, form):
    """Every page is the same as on the disk; types, HEAD, 404, 405, keep-alive, a large file, bad
    requests."""
    large = os.urandom(3_000_000)
    disk = disk_with(context, {"large.bin": large, "two words.txt": b"spaced\n", "empty.txt": b""})
    tap = context.tap(form)
    child = context.soil(
        "examples/website/main.exe", form, tap=tap, options=["--disk", f"www={disk}"]
    )
    child.wait_line("http://")
    url = f"http://{tap.guest}"

    def head(path, *options):
        return context.run("curl", "-sS", "-o", "/dev/null", "-D", "-", *options, url + path).stdout

    same_pages(context, url)
    got = context.path("got")
    context.run("curl", "-fsS", "-o", got, url + "/large.bin")
    with open(got, "rb") as file:
        assert file.read() == large, "the large file differs"
    assert "text/html" in head("/"), head("/")
    assert "200" in head("/two%20words.txt").split("\n")[0]
    assert "404" in head("/missing.html").split("\n")[0]
    assert "405" in head("/", "-X", "DELETE").split("\n")[0]
    for path in ("/../secret", "/%2e%2e/secret", "//etc/passwd"):
        status = status_of(tap.guest, path)
        assert status in (400, 403, 404), f"{path}: {status}"
    only_head = head("/", "-I")
    assert "200" in only_head and "content-length" in only_head.lower(), only_head
    connects = context.run(
        "curl", "-sS", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", url + "/", url + "/empty.txt"
    ).stdout  # fmt: skip
    assert connects.split() == ["1", "0"], f"no keep-alive: {connects}"
    for request in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo",
        b"\0" * 5000,
        b"GET /" + b"a" * 100_000,
    ):
        send_nonsense(tap.guest, request)
    assert "200" in head("/").split("\n")[0], "it still serves afterwards"


PLAIN = "examples/website/main.exe"
VOLUMES = "tests/programs/website/volumes/main.exe"
EMBEDDED = "tests/programs/website/embedded/main.exe"


def ext4(context):
    """A disk made and filled by mkfs.ext4; detected without --mount."""
    disk = context.path("www.ext4")
    with open(disk, "wb") as file:
        file.truncate(24 << 20)
    context.run("mkfs.ext4", "-q", "-F", "-d", SITE, disk)
    return VOLUMES, ["--disk", f"www={disk}"]


def tar(context):
    disk = context.path("www.tar")
    context.run("tar", "-C", SITE, "-cf", disk, ".")
    return VOLUMES, ["--disk", f"site={disk},ro", "--mount", "/www=tar:site"]


def partition(context):
    """The second partition of a GPT disk, by its label."""
    disk, whole = disk_with(context, {}), context.path("whole.img")
    with open(whole, "wb") as file:
        file.truncate(48 << 20)
    table = "label: gpt\nstart=2048, size=2048, name=other\nstart=8192, size=65536, name=pages\n"
    context.run("sfdisk", "-q", whole, input=table)
    context.run("dd", f"if={disk}", f"of={whole}", "bs=512", "seek=8192", "conv=notrunc")
    return PLAIN, ["--disk", f"disk={whole}", "--mount", "/www=fat:disk/pages"]


def embedded(_):
    return EMBEDDED, []


def host(_):
    return PLAIN, ["--mount", f"/www=host:{SITE},ro"]


def serves_the_site(context, form, source):
    """The pages in the example's folder."""
    program, options = source(context)
    tap = context.tap(form)
    child = context.soil(program, form, tap=tap, options=options)
    child.wait_line("http://")
    url = f"http://{tap.guest}"
    same_pages(context, url)
    for path, code in (
        ("/docs/", 200),
        ("/docs", 301),
        ("/missing", 404),
        ("/%2e%2e/secret", 400),
        ("/../secret", 400),
    ):
        assert status_of(tap.guest, path) == code, path
    child.stop()


for source, forms in (
    (ext4, FORMS),
    (tar, FORMS),
    (partition, FORMS),
    (embedded, FORMS),
    (host, forms_of("process")),
):

    def from_source(context, form, source=source):
        """The example website's pages, from another kind of volume."""
        serves_the_site(context, form, source)

    in_every_form(limit=90, forms=forms, name=f"from-{source.__name__}")(from_source)


@test(limit=180)
def one_site_in_four_ways(context):
    """The same pages from an image with embedded files and from a disk, and from a folder by a
    process on Linux's own sockets and on Soil's stack."""
    for form, source in (
        ("microvm", embedded),
        ("microvm", ext4),
        (SOCKETS, host),
        ("process", host),
    ):
        if forms_of(form):
            serves_the_site(context, form, source)


@test()
def what_the_hosts_sockets_refuse(context):
    """A port in use, and a setting of Soil's stack: one line with the remedy."""
    _, options = host(context)
    with socket.create_server(("127.0.0.1", 80)):
        fails_with(context, context.soil(PLAIN, SOCKETS, options=options), "address in use")
    wrong = [*options, "--env", "SOIL_FILTER=deny in"]
    texts = ("SOIL_FILTER", "give SOIL_NET=user or tap=DEVICE")
    fails_with(context, context.soil(PLAIN, SOCKETS, options=wrong), *texts)


@test(limit=90)
def what_is_not_linked_is_said(context):
    """The plain example has no ext4 and no tar, and an image can't use folders of the host: one
    line with the remedy."""
    for source, texts in ((ext4, ("no ext4", "soil.ext4")), (tar, ("no tar", "soil.tar"))):
        _, options = source(context)
        for form in FORMS[:2]:
            fails_with(context, context.soil(PLAIN, form, options=options), *texts)
    _, options = host(context)
    fails_with(context, context.soil(PLAIN, "microvm", options=options), "process form")


@in_every_form(limit=60, forms=FORMS[:2])
def another_place_than_the_embedded_one(context, form):
    """A mount on the command line replaces the embedded tree."""
    disk = disk_with(context, {"new.txt": b"from the disk\n"})
    tap = context.tap()
    child = context.soil(
        EMBEDDED, form, tap=tap, options=["--disk", f"d={disk}", "--mount", "/www=fat:d"]
    )
    child.wait_line("http://")
    assert context.run("curl", "-fsS", f"http://{tap.guest}/new.txt").stdout == "from the disk\n"
