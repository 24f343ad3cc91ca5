"""The book (docs/book): the reader's commands work from an empty folder, and no link is dead.

Each chapter's blocks run in order, in one folder and one shell:

- below `<!-- file: PATH -->` a block is the text of that file;
- a block of `shell` is typed;
- below `<!-- runs until it says TEXT -->` one is typed into a second terminal, and runs on after
  TEXT. `<!-- Ctrl-C -->` ends it;
- the COMMANDS of `<!-- before: COMMANDS -->` are typed first, and not shown;
- the lines of a block of `text` right after it occur in its output in this order. `…` stands for
  any text within a line;
- below `<!-- shows: COMMANDS -->`, which are typed and not shown, a block of `text` is checked in
  the same way against their output. `<!-- as of VERSION -->` before it leaves out the check with
  another version of mkfs.ext4, with which a simulation has other numbers; `varies: PART | PART`
  behind VERSION names parts of the block that may be any text;
- a block of `diff` changes files so that they can be built, and is taken back;
- a block of `gdb` is a dialogue with `gdb PROGRAM`, below `<!-- gdb PROGRAM -->`: what is behind
  `(gdb) ` is typed, and the other lines occur in its output as those of `text` do. Without gdb it
  is left out.

`dune build @docs/runtest` checks the blocks of OCaml, as ocaml-mdx runs them.
"""

import html.parser
import os
import re
import shlex
import shutil
import subprocess
import urllib.parse

from harness.context import ROOT, Skip, executable
from harness.runner import test

DOCS = os.path.join(ROOT, "docs")
BOOK = os.path.join(DOCS, "book")
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = re.compile(r"<!-- before: (.+?) -->", re.DOTALL)
GDB = re.compile(r"<!-- gdb (\S+) -->\s*$")
PROMPT = "(gdb) "
RUNS = re.compile(r"<!-- runs until it says (.+?) -->\s*$")
SHOWS = re.compile(r"<!-- shows: (.+?) -->\s*$", re.DOTALL)
AS_OF = re.compile(r"<!-- as of (.+?)(?:; varies: (.+?))? -->")
FILE = re.compile(r"<!-- file: (\S+) -->\s*(?:<!-- \$MDX .*? -->\s*)?$")
# The shell's settings besides the reader's: Soil as `make install` installs it.
INSTALLED = os.path.join(ROOT, "_build", "install", "default")
MARK = "== block of line "


def version_of_mkfs():
    """Such as "mke2fs 1.47.0"."""
    done = subprocess.run(["mkfs.ext4", "-V"], capture_output=True, text=True, check=False)
    return " ".join(done.stderr.split()[:2])


def any_part(body, parts):
    """The body with `…` in place of its parts that vary."""
    for part in parts.split(" | ") if parts else ():
        assert part in body, f"{part!r} isn't in\n{body}"
        body = body.replace(part, "…")
    return body


def blocks(text):
    """The relevant blocks of a chapter: (line, kind, argument, body)."""
    end = 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        language, body = match.groups()
        between = text[end : match.start()]
        file = FILE.search(between)
        runs = RUNS.search(between)
        if "<!-- Ctrl-C -->" in between:
            yield line, "end", None, ""
        for before in BEFORE.findall(between):
            yield line, "shell", None, before + "\n"
        if shows := SHOWS.search(between):
            as_of = AS_OF.search(between)
            yield line, "shell", None, shows[1] + "\n"
            if not as_of or as_of[1] == version_of_mkfs():
                yield line, "text", None, any_part(body, as_of and as_of[2])
        elif file:
            yield line, "file", file[1], body
        elif runs:
            yield line, "runs", runs[1], body
        elif language == "shell":
            yield line, "shell", None, body
        elif language == "diff":
            yield line, "diff", None, body
        elif dialogue := GDB.search(between):
            yield line, "gdb", dialogue[1], body
        elif language == "text" and not between.strip():
            yield line, "text", None, body
        end = match.end() + 1
    if "<!-- Ctrl-C -->" in text[end:]:
        yield text.count("\n") + 1, "end", None, ""


def environment():
    """A reader's environment after `. PREFIX/env`."""
    library = os.path.join(INSTALLED, "lib")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "SOIL_QEMU" or not name.startswith(("SOIL", "DUNE_", "INSIDE_DUNE", "MAKE"))
    }
    return {
        **kept,
        "PATH": os.path.join(INSTALLED, "bin") + ":" + os.environ["PATH"],
        "OCAMLPATH": ":".join(filter(None, [library, os.environ.get("OCAMLPATH")])),
        "CAML_LD_LIBRARY_PATH": os.path.join(library, "stublibs"),
        "NO_COLOR": "1",
    }


# end: as Ctrl-C in the other terminal, which has its own process group. await: until the program
# there has printed a text; without a time limit, as the test has one.
FUNCTIONS = """
set -eum
end() { kill -INT -- "-$other" || true; wait "$other" || true; other=; }
await() {
  until grep -q -e "$1" terminal.log; do
    kill -0 "$other" || { cat terminal.log; exit 1; }
    sleep 0.1
  done
  cat terminal.log
}
other=
trap '[ -z "$other" ] || end' EXIT
"""


def script(text):
    """The reader's commands as one script."""
    lines = [FUNCTIONS]
    for line, kind, argument, body in blocks(text):
        if kind == "text":
            continue
        lines.append(f"echo '{MARK}{line}'")
        if kind == "runs":
            # The output of the previous program is removed before waiting for this one.
            lines.append(": >terminal.log")
            lines.append(f"{{ {body.strip()}; }} >terminal.log 2>&1 </dev/null &")
            lines.append(f"other=$!; await {shlex.quote(argument)}")
        elif kind == "end":
            lines.append("end")
        elif kind == "gdb":
            words = [each.removeprefix(PROMPT) for each in body.split("\n") if PROMPT in each]
            typed = " ".join(map(shlex.quote, words))
            debug = f"printf '%s\\n' {typed} | gdb -q -nx {shlex.quote(argument)} 2>&1"
            lines.append(f"if command -v gdb >/dev/null; then {debug}; fi")
        elif kind == "diff":
            changes = shlex.quote(body)
            lines.append(f"printf %s {changes} | patch -p1")
            lines.append("dune build ./main.exe 2>&1")
            lines.append(f"printf %s {changes} | patch -p1 -R")
        elif kind == "file":
            path = shlex.quote(argument)
            lines.append(f'mkdir -p "$(dirname {path})"')
            lines.append(f"cat >{path} <<'SOIL_BOOK'\n{body}SOIL_BOOK")
        else:
            lines.append(body)
    return "\n".join(lines) + "\n"


def check_lines(where, expected, printed):
    """Checks that the output contains the lines in this order."""
    lines = iter(printed.split("\n"))
    for wanted in expected:
        pattern = ".*".join(map(re.escape, wanted.rstrip().split("…")))
        found = any(re.fullmatch(pattern, each.rstrip()) for each in lines)
        assert found, f"{where}: {wanted!r} isn't (in this order) in\n{printed}"


def check_printed(text, printed):
    """Checks that each block's output has the lines of the block of text after it."""
    parts = dict.fromkeys(re.findall(MARK + r"(\d+)", printed), "")
    for part in printed.replace("\r", "").split(MARK)[1:]:
        number, _, rest = part.partition("\n")
        parts[number] = rest
    last = None
    for line, kind, _, body in blocks(text):
        if kind == "gdb" and shutil.which("gdb"):
            # It doesn't repeat what comes from a pipe.
            answers = [each for each in body.strip("\n").split("\n") if PROMPT not in each]
            check_lines(f"line {line}", answers, parts[str(line)].replace(PROMPT, ""))
        if kind != "text":
            last = str(line)
            continue
        check_lines(f"line {line}", body.strip("\n").split("\n"), parts[last])


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def chapter(path):
    """The test of a page of docs."""
    name = os.path.basename(path).removesuffix(".md")
    text = read(path)

    def run(context):
        folder = context.path("book")
        os.mkdir(folder)
        typed = context.path("typed.sh")
        with open(typed, "w", encoding="utf-8") as file:
            file.write(script(text))
        words = [f"{key}={value}" for key, value in environment().items()]
        child = context.child(["env", "-i", *words, "bash", typed], cwd=folder)
        status = child.finish(context.remaining())
        assert status == 0, f"status {status} after the last of these blocks:\n{child.text}"
        check_printed(text, child.text)

    test(name=name, limit=180, shows=f"What the chapter {name} tells its reader to type works.")(
        run
    )


for folder in (BOOK, DOCS):
    for file in sorted(os.listdir(folder)):
        path = os.path.join(folder, file)
        if file.endswith(".md") and "```shell" in read(path):
            chapter(path)


@test()
def the_simulation_tells_what_it_shows(_):
    """The chapter on simulation quotes times, values and operations of the outputs that it shows,
    and repeats the failure that it shows."""
    text = read(os.path.join(BOOK, "simulation.md"))
    shown = "\n".join(body for language, body in FENCE.findall(text) if language == "text")
    prose = FENCE.sub("", text)
    quoted = re.findall(r"\d+\.\d{3,} s|\d-\d{6,}|operation \d+|message \d+", prose)
    joined = text.replace("\\\n    ", "")
    quoted += re.findall(r"soil simulate \S+ --seed \d+ .*? --until [\d.]+", joined)
    assert len(quoted) >= 10, quoted
    missing = [each for each in quoted if each not in shown]
    assert not missing, f"not in the outputs: {missing}"


@test()
def the_unit_of_systemd_is_one(context):
    """systemd accepts the unit of the deployment chapter without a complaint."""
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd-analyze isn't installed")
    text = read(os.path.join(BOOK, "deploying.md"))
    found = [body for _, kind, name, body in blocks(text) if name == "service.service"]
    assert len(found) == 1, found
    unit = context.path("service.service")
    with open(unit, "w", encoding="utf-8") as file:
        # A complaint about the machine isn't the unit's mistake.
        file.write(found[0].replace("/usr/local/bin/soil", "/bin/true").replace("User=service", ""))
    done = context.run("systemd-analyze", "verify", "--man=no", unit)
    assert not done.stdout + done.stderr, done


PROVOKED = re.compile(r"^### `(.*)`\n\n<!-- provoke: (.*?) -->$", re.MULTILINE)


@test(limit=180)
def error_messages_are_what_the_book_says(context):
    """Each command in the chapter on errors prints its message and fails."""
    program = "docs/book/code/errors/provoke.exe"
    env = {
        **environment(),
        "process": executable(program, "process"),
        "image": executable(program, "microvm"),
    }
    os.mkdir(context.path("empty"))
    os.mkdir(context.path("files"))
    with open(context.path("files/file"), "w", encoding="ascii") as file:
        file.write("text\n")
    for kind in ("fat", "ext4"):
        words = ("soil", "disk", "make", f"{kind}.img", "files", "--fs", kind, "--size", "8M")
        context.run(*words, cwd=context.directory, env=env)
    with open(context.path("blank.img"), "wb") as file:
        file.truncate(1 << 20)
    messages = PROVOKED.findall(read(os.path.join(BOOK, "errors.md")))
    assert len(messages) >= 30, f"{len(messages)} messages"
    for message, command in messages:
        done = context.run(
            "bash", "-c", command + " </dev/null", check=False, cwd=context.directory, env=env
        )
        printed = (done.stdout + done.stderr).replace("\r", "")
        pattern = ".*".join(map(re.escape, message.split("…")))
        assert re.search(f"^{pattern}", printed, re.MULTILINE), (
            f"{command}: no {message!r}:\n{printed}"
        )
        assert done.returncode != 0 or "$?" in command, f"{command}: status 0"


LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
LEFT_OUT = {"_build", "target", ".git", "node_modules"}


def pages():
    """Every page of Markdown in the repository."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [each for each in folders if each not in LEFT_OUT]
        yield from (os.path.join(folder, file) for file in files if file.endswith(".md"))


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(text):
    """The anchors of headings, as forges and mdBook form them."""
    for heading in HEADING.findall(FENCE.sub("", text)):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@test()
def no_link_is_dead(_):
    """Every link from a page to a file, a folder or a heading of this repository has a target."""
    dead = []
    for page in pages():
        for link in LINK.findall(without_code(read(page))):
            target = link[0] or link[1]
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            place = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(place):
                dead.append(f"{os.path.relpath(page, ROOT)}: {target}: no such file")
            elif anchor and place.endswith(".md") and anchor not in anchors(read(place)):
                dead.append(f"{os.path.relpath(page, ROOT)}: {target}: no such heading")
    assert not dead, "\n".join(dead)


class Page(html.parser.HTMLParser):
    """The links and anchors of a page of the built book."""

    def __init__(self, path):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(read(path))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name"):
                self.names.add(value)


@test()
def the_made_book_has_no_dead_link(context):
    """mdBook builds every page of the contents without a warning, and every link in them leads to
    an existing page and anchor."""
    made = context.path("made")
    done = context.run("mdbook", "build", "docs", "--dest-dir", made, cwd=ROOT)
    assert "WARN" not in done.stderr, done.stderr
    found = {}
    for folder, _, files in os.walk(made):
        for file in files:
            path = os.path.join(folder, file)
            # These two repeat the links of all other pages.
            if file.endswith(".html") and file not in ("print.html", "404.html"):
                found[path] = Page(path)
    assert len(found) > 20, f"{len(found)} pages"
    dead = []
    for path, page in found.items():
        for link in page.links:
            # mdBook 0.5 links a font stylesheet that it doesn't write if the theme has one.
            if re.match(r"[a-z]+:|//", link) or link.endswith("fonts/fonts.css"):
                continue
            target, _, name = urllib.parse.unquote(link).partition("#")
            place = (
                os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
            )
            there = os.path.exists(place) and (
                not name or place not in found or name in found[place].names
            )
            if not there:
                dead.append(f"{os.path.relpath(path, made)}: {link}")
    assert not dead, "\n".join(dead)


@test()
def every_page_is_in_the_contents(_):
    """The book's contents (docs/SUMMARY.md) list every page below docs."""
    listed = set(LINK.findall(read(os.path.join(DOCS, "SUMMARY.md"))))
    listed = {os.path.normpath(os.path.join(DOCS, link[0])) for link in listed}
    missing = [
        os.path.relpath(page, ROOT)
        for page in pages()
        if page.startswith(DOCS) and not page.endswith("SUMMARY.md") and page not in listed
    ]
    assert not missing, f"not in docs/SUMMARY.md: {', '.join(missing)}"
