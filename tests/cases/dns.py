"""examples/servers/authority: an authoritative name server, asked by dig, and by a fuzzer."""

import random
import re
import shutil
import socket
import struct

from cases.network import in_every_form
from cases.website import disk_with
from harness.console import PATIENCE
from harness.context import FORMS, Skip

PROGRAM = "examples/servers/authority.exe"
TWO_FORMS = FORMS[:2]
ZONE = """; NAME TTL TYPE DATA
@          3600 SOA   ns.example.org. admin.example.org. 7 7200 900 86400 300
@          3600 NS    ns
@          3600 MX    10 mail
@          3600 TXT   v=spf1 -all
@          3600 CAA   0 issue example.net
ns         3600 A     192.0.2.1
mail       3600 A     192.0.2.2
mail       3600 AAAA  2001:db8::2
www        600  CNAME host.web
host.web   600  A     192.0.2.3
loop       60   CNAME loop
away       60   CNAME www.example.net.
*.wild     60   A     192.0.2.4
sub        3600 NS    ns.sub
ns.sub     3600 A     192.0.2.5
_x._tcp    60   SRV   1 2 3 mail
""" + "".join(f"many 60 A 198.51.100.{n}\n" for n in range(1, 201))


def authority(context, form):
    if not shutil.which("dig"):
        raise Skip("dig isn't installed; install it: apt-get install bind9-dnsutils")
    disk = disk_with(context, {"zone.txt": ZONE.encode()})
    options = ["--disk", f"data={disk}", "--mount", "/zone=fat:data"]
    tap = context.tap(form)
    child = context.soil(PROGRAM, form, "example.org", "/zone/zone.txt", options=options, tap=tap)
    child.wait_line("authority for example.org.")
    # Unlike dig, the fuzzer never sends again.
    tap.wait_up()
    return tap.guest


def dig(context, host, *words):
    done = context.run("dig", f"@{host}", "+tries=3", "+time=5", "+norec", *words)
    text = done.stdout
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r"flags: ([\w ]*);", text)
    assert status and flags, text
    sections, section = {}, None
    for line in text.splitlines():
        if found := re.match(r";; (\w+) SECTION", line):
            section = sections.setdefault(found[1], [])
        elif section is not None and line and not line.startswith(";"):
            section.append(" ".join(line.split()))
        elif not line:
            section = None
    return status[1], set(flags[1].split()), sections, text


@in_every_form(forms=TWO_FORMS)
def authority_answers_dig(context, form):
    """Answers, aliases, wildcards, referrals, what doesn't exist, and what is refused, by UDP and
    TCP."""
    host = authority(context, form)
    for words in ([], ["+tcp"]):
        status, flags, sections, text = dig(context, host, "mail.EXAMPLE.org", "AAAA", *words)
        assert (status, "aa" in flags, "ra" in flags) == ("NOERROR", True, False), text
        assert sections["ANSWER"] == ["mail.EXAMPLE.org. 3600 IN AAAA 2001:db8::2"], text
        status, _, sections, text = dig(context, host, "www.example.org", "A", *words)
        assert sections["ANSWER"] == [
            "www.example.org. 600 IN CNAME host.web.example.org.",
            "host.web.example.org. 600 IN A 192.0.2.3",
        ], text
        status, flags, sections, text = dig(context, host, "x.sub.example.org", "A", *words)
        assert status == "NOERROR" and "aa" not in flags and "ANSWER" not in sections, text
        assert sections["AUTHORITY"] == ["sub.example.org. 3600 IN NS ns.sub.example.org."], text
        assert sections["ADDITIONAL"] == ["ns.sub.example.org. 3600 IN A 192.0.2.5"], text
        status, flags, sections, text = dig(context, host, "nothing.example.org", "A", *words)
        assert status == "NXDOMAIN" and "aa" in flags, text
        assert sections["AUTHORITY"][0].startswith("example.org. 300 IN SOA"), text
    _, _, sections, text = dig(context, host, "a.b.wild.example.org", "A")
    assert sections["ANSWER"] == ["a.b.wild.example.org. 60 IN A 192.0.2.4"], text
    # No data of this type, and a name that only has others below it.
    for name in ("mail.example.org", "web.example.org"):
        status, _, sections, text = dig(context, host, name, "TXT")
        assert status == "NOERROR" and "ANSWER" not in sections and "AUTHORITY" in sections, text
    _, _, sections, text = dig(context, host, "example.org", "MX")
    assert sections["ADDITIONAL"], text
    _, _, sections, text = dig(context, host, "_x._tcp.example.org", "SRV")
    assert sections["ANSWER"] == ["_x._tcp.example.org. 60 IN SRV 1 2 3 mail.example.org."], text
    _, _, sections, text = dig(context, host, "example.org", "CAA")
    assert sections["ANSWER"] == ['example.org. 3600 IN CAA 0 issue "example.net"'], text
    _, _, sections, text = dig(context, host, "example.org", "ANY", "+notcp")
    assert sections["ANSWER"] == ['example.org. 3600 IN HINFO "RFC8482" ""'], text
    status, _, sections, text = dig(context, host, "loop.example.org", "A")
    assert status == "NOERROR" and len(sections["ANSWER"]) <= 8, text
    _, _, sections, text = dig(context, host, "away.example.org", "A")
    assert sections["ANSWER"] == ["away.example.org. 60 IN CNAME www.example.net."], text
    for words in (["example.net", "A"], ["example.org", "A", "-c", "CH"], ["org", "NS"]):
        assert dig(context, host, *words)[0] == "REFUSED", words
    refused = context.run("dig", f"@{host}", "+tries=1", "example.org", "AXFR", check=False).stdout
    assert "Transfer failed" in refused, refused
    assert dig(context, host, "example.org", "SOA", "+edns=9", "+noednsnegotiation")[0] == "BADVERS"
    assert dig(context, host, "example.org", "SOA", "+opcode=UPDATE")[0] == "NOTIMP"
    # Questions of a later version that don't fit into a response.
    options = b"\0" + struct.pack(">2HLH", 41, 512, 1 << 16, 0)
    questions = (b"\0" + struct.pack(">2H", 1, 1)) * 240
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((host, 53))
        client.settimeout(PATIENCE)
        client.send(struct.pack(">6H", 7, 0, 240, 0, 0, 1) + questions + options)
        number, flags, count, *_ = struct.unpack(">6H", client.recv(512)[:12])
    assert (number, flags & 0x800F, count) == (7, 0x8001, 0)
    assert dig(context, host, "example.org", "SOA")[0] == "NOERROR"


@in_every_form(forms=TWO_FORMS)
def authority_truncates(context, form):
    """200 addresses don't fit: dig gets the truncated flag, and asks again by TCP."""
    host = authority(context, form)
    for words in (["+noedns"], ["+bufsize=4096"]):
        _, flags, sections, text = dig(context, host, "many.example.org", "A", "+ignore", *words)
        size = int(re.search(r"MSG SIZE +rcvd: (\d+)", text)[1])
        assert "tc" in flags and size <= (512 if words == ["+noedns"] else 1232), text
        assert len(sections["ANSWER"]) > 20, text
        _, flags, sections, text = dig(context, host, "many.example.org", "A", *words)
        assert "tc" not in flags and len(sections["ANSWER"]) == 200, text


def query(rng, name):
    labels = b"".join(bytes([len(label)]) + label for label in name) + b"\0"
    flags = rng.choice((0, 0x100))
    head = struct.pack(">6H", rng.getrandbits(16), flags, 1, 0, 0, 0)
    return head + labels + struct.pack(">2H", rng.choice((1, 2, 5, 15, 28, 255)), 1)


@in_every_form(forms=TWO_FORMS)
def authority_is_fuzzed(context, form):
    """3000 random and mutated messages by UDP, and 100 streams by TCP: each answer has the id of its
    query and is a response, and the server still answers dig."""
    host, rng = authority(context, form), random.Random(34)
    names = [[b"example", b"org"], [b"www", b"example", b"org"], [b"x" * 63] * 3 + [b"y" * 62]]
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((host, 53))
        client.settimeout(PATIENCE)
        for number in range(3000):
            text = bytearray(query(rng, rng.choice(names)))
            for _ in range(rng.randrange(6)):
                text[rng.randrange(len(text))] = rng.getrandbits(8)
            if rng.random() < 0.1:
                text = bytearray(rng.randbytes(rng.randrange(100)))
            client.send(text)
            if number % 50 == 49:
                # The server has handled all of them once it answers this one.
                last = query(rng, names[0])
                client.send(last)
                while True:
                    got = client.recv(4096)
                    assert got[2] & 0x80 and len(got) <= 1232, got
                    answers += 1
                    if got[:2] == last[:2] and got[12:][:13] == last[12:25]:
                        break
    assert answers > 1000, answers
    for _ in range(100):
        with socket.create_connection((host, 53), PATIENCE) as stream:
            text = rng.randbytes(rng.randrange(200))
            if rng.random() < 0.5:
                good = query(rng, names[0])
                text = struct.pack(">H", len(good)) + good + text
            stream.sendall(text)
    assert dig(context, host, "www.example.org", "A")[0] == "NOERROR"
    assert dig(context, host, "www.example.org", "A", "+tcp")[0] == "NOERROR"
