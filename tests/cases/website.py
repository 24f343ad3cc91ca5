"""examples/website, from a FAT disk, as people get it."""

import os
import socket

from cases.network import in_every_form
from harness.context import ROOT

SITE = os.path.join(ROOT, "examples", "website", "site")


def disk_with(context, extra):
    """A FAT disk with the example's pages and the files `extra`, name to contents."""
    disk = context.path("www.img")
    with open(disk, "wb") as file:
        file.truncate(32 << 20)
    context.run("mkfs.fat", disk)
    context.run("mcopy", "-s", "-i", disk, *(os.path.join(SITE, name) for name in os.listdir(SITE)), "::/")
    for name, data in extra.items():
        path = context.path("extra")
        with open(path, "wb") as file:
            file.write(data)
        context.run("mcopy", "-i", disk, path, "::/" + name)
    return disk


def exchange(host, text):
    """Sends raw bytes on a new connection, and returns all that comes back until the end."""
    with socket.create_connection((host, 80), timeout=20) as peer:
        peer.sendall(text)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while data := peer.recv(65536):
            answer += data
    return answer


@in_every_form(limit=90)
def website(context, form):
    """Every page as it is on the disk, types, HEAD, 404, 405, keep-alive, a large file, bad requests."""
    large = os.urandom(3_000_000)
    disk = disk_with(context, {"large.bin": large, "two words.txt": b"spaced\n", "empty.txt": b""})
    tap = context.tap()
    child = context.soil("examples/website/main.exe", form, tap=tap, options=["--disk", f"www={disk}"])
    child.wait_line("http://")
    url = f"http://{tap.guest}"

    def head(path, *options):
        return context.run("curl", "-sS", "-m", "30", "-o", "/dev/null", "-D", "-", *options, url + path).stdout

    for folder, _, names in os.walk(SITE):
        for name in names:
            path = os.path.join(folder, name)
            got = context.path("got")
            context.run("curl", "-fsS", "-m", "30", "-o", got, url + "/" + os.path.relpath(path, SITE))
            context.run("cmp", path, got)
    got = context.path("got")
    context.run("curl", "-fsS", "-m", "60", "-o", got, url + "/large.bin")
    with open(got, "rb") as file:
        assert file.read() == large, "the large file differs"
    assert "text/html" in head("/"), head("/")
    assert "200" in head("/two%20words.txt").split("\n")[0]
    assert "404" in head("/missing.html").split("\n")[0]
    assert "405" in head("/", "-X", "DELETE").split("\n")[0]
    for path in ("/../secret", "/%2e%2e/secret", "//etc/passwd"):
        status = head(path, "--path-as-is").split("\n")[0]
        assert any(code in status for code in ("400", "403", "404")), f"{path}: {status}"
    only_head = head("/", "-I")
    assert "200" in only_head and "content-length" in only_head.lower(), only_head
    connects = context.run(
        "curl", "-sS", "-m", "30", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} ", url + "/", url + "/empty.txt"
    ).stdout  # fmt: skip
    assert connects.split() == ["1", "0"], f"no keep-alive: {connects}"
    for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHo", b"\0" * 5000, b"GET /" + b"a" * 100_000):
        exchange(tap.guest, request)
    assert "200" in head("/").split("\n")[0], "it still serves afterwards"
