"""The commands on pages outside of the book: the README files of the repository, its examples and
the templates of `soil new`. Each block of `sh` or `console` is typed, or states why it isn't:

- `<!-- not typed: REASON -->` above a block leaves it out;
- a line that starts a server runs while the lines after the last server are typed: these are its
  clients, typed again for each server until they print something;
- in a block of `console`, `$` begins a typed line, and its output contains the other lines.

The repository's programs exist already: `dune build` and `make install` do nothing.
"""

import os
import re

from cases.book import FENCE, MARK, check_lines, environment, read
from cases.user_network import uplink
from harness.context import ROOT
from harness.runner import test

SHELLS = ("sh", "console", "shell")
LEFT_OUT = re.compile(r"<!-- not typed: .+? -->\s*(?:<!-- \$MDX .*? -->\s*)?$")
SERVER = re.compile(r"soil run|_build/")
# end: as Ctrl-C. client: repeated until it prints something, while the server runs.
FUNCTIONS = """
set -eum
make() { :; }
dune() { :; }
other=
end() { kill -INT -- "-$other" || true; wait "$other" || true; other=; }
trap '[ -z "$other" ] || end' EXIT
alive() { kill -0 "$other" || { cat terminal.log; exit 1; }; }
client() {
  for _ in $(seq 300); do
    answer=$(timeout 20 bash -c "$1" 2>&1 </dev/null) && [ -n "$answer" ] && break
    alive
    sleep 0.1
  done
  printf '%s\\n' "$answer"
  [ -n "$answer" ]
}
"""


def shell_blocks(text):
    """The language and the text of each block of commands that isn't left out."""
    end = 0
    for match in FENCE.finditer(text):
        if match[1] in SHELLS and not LEFT_OUT.search(text[end : match.start()]):
            yield match[1], match[2]
        end = match.end() + 1


def commands(text):
    """A page's commands, each with the lines that it prints, as far as the page has them."""
    found = []
    for language, body in shell_blocks(text):
        for line in body.replace("\\\n", "").splitlines():
            if language != "console":
                found += [(line, [])] if line.strip() else []
            elif line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def script(found, silent, apart):
    """The page's commands as a script; after each command that prints, its number follows MARK."""
    lines = [FUNCTIONS]
    servers = [n for n, (line, _) in enumerate(found) if not silent and SERVER.match(line)]
    last = servers[-1] if servers else len(found)
    for number, (line, _) in enumerate(found[: last + 1]):
        if number not in servers:
            lines.append(line)
            continue
        lines.append(f"{{ {line.partition('  #')[0]}; }} >terminal.log 2>&1 </dev/null &")
        lines.append("other=$!")
        clients = [] if apart and apart in line else found[last + 1 :]
        for client, (words, _) in enumerate(clients, last + 1):
            lines += [f"echo '{MARK}{client}'", f"client {quoted(words)}"]
        if not clients:
            # It starts, and keeps running.
            lines.append("for _ in $(seq 30); do [ -s terminal.log ] || sleep 0.1; done")
        lines += ["alive", "end"]
    return "\n".join(lines) + "\n"


def quoted(words):
    return "'" + words.replace("'", "'\\''") + "'"


def page(path, name, setup="", silent=False, apart=None):
    """The test of a page. `setup` is typed before it; a `silent` page has no servers. Clients skip
    a server whose line contains `apart`."""

    def run(context):
        uplink(context)
        folder = context.path("folder")
        os.mkdir(folder)
        # The repository as after a build. The page's files are in the test's folder.
        for there in ("_build", "examples"):
            os.symlink(os.path.join(ROOT, there), os.path.join(folder, there))
        found = commands(read(os.path.join(ROOT, path)))
        words = environment()
        words["PATH"] += ":/usr/sbin:/sbin"
        typed = context.path("typed.sh")
        with open(typed, "w", encoding="utf-8") as file:
            file.write("set -e\n" + setup + script(found, silent, apart))
        words = [f"{key}={value}" for key, value in words.items()]
        child = context.child(["env", "-i", *words, "bash", typed], cwd=folder)
        status = child.finish(context.remaining())
        assert status == 0, f"status {status}:\n{child.text}"
        for part in child.text.replace("\r", "").split(MARK)[1:]:
            number, _, printed = part.partition("\n")
            line, expected = found[int(number)]
            check_lines(f"{path}: {line}", expected, printed)

    shows = f"What {path} tells its reader to type works."
    test(name=name, limit=120, shows=shows)(run)


def template(name, setup="", **more):
    """The page of a new project, typed there."""
    new = f"cd .. && soil new --template {name} made && cd made\n"
    page(f"tools/templates/{name}/README.md", f"template-{name}", new + setup, **more)


page("README.md", "readme", "unlink _build; unlink examples\n")
page("examples/hello/README.md", "hello", silent=True)
page("examples/echo/README.md", "echo")
page("examples/live/README.md", "live")
page("examples/lwt-chat/README.md", "lwt-chat")
page("examples/servers/README.md", "servers", apart="chat")
page("examples/service/README.md", "service")
page("examples/website/README.md", "website")
template("tcp")
template("http")
template("kv")
template("simulation")
template("cli", "mkdir texts; echo some words >texts/a.txt\n", silent=True)
