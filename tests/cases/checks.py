"""The steps of `make check`, in clones of the repository."""

import os
import shutil

from harness.context import ROOT, Skip
from harness.runner import test

CHECK = "tools/setup/check.py"
RESOLVE = "tools/setup/resolve.py"


def git(context, folder, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return context.run("git", *identity, *words, cwd=folder).stdout


def clone(context, name):
    """A clone without a remote, with the current script."""
    if context.run("git", "rev-parse", "HEAD", cwd=ROOT, check=False).returncode != 0:
        raise Skip("the sources are no git repository of this user's")
    folder = context.path(name)
    git(context, context.directory, "clone", "-q", "--shared", ROOT, folder)
    git(context, folder, "remote", "remove", "origin")
    shutil.copy(os.path.join(ROOT, CHECK), os.path.join(folder, CHECK))
    git(context, folder, "add", "--all")
    git(context, folder, "commit", "-qm", "here", "--allow-empty")
    return folder


def add(folder, *paths):
    for path in paths:
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "a", encoding="utf-8") as file:
            file.write("\n")


def steps(context, folder, base=""):
    """The steps that `make check` would run, by name, and the first and last line of its output."""
    words = os.path.join(folder, CHECK), "--list"
    environment = {**os.environ, "BASE": base}
    lines = context.run(*words, cwd=folder, env=environment).stdout.splitlines()
    found = [line.removeprefix("== ").split(": ", 1) for line in lines if line.startswith("== ")]
    return {name: command.split() for name, command in found}, lines[0], lines[-2]


def skips(found, *names):
    assert not set(found) & set(names), found


@test()
def make_check_takes_what_changed(context):
    """Selects the crates with changed files, committed, uncommitted or untracked, and the tests of
    OCaml libraries if one of their files changed; other crates are only compiled."""
    folder = clone(context, "clone")
    start = git(context, folder, "rev-parse", "HEAD").strip()
    add(folder, "net/README.md", "docs/GLOSSARY.md")
    found, first, beyond = steps(context, folder, start)
    lists = "libraries of make run, examples, templates"
    names = ["flaky tests", "words", "paths in documents", "versions of a release", lists]
    assert list(found) == names, found
    assert first == f"2 files differ from {start}", first
    assert "make test" in beyond and "docs" in beyond, beyond

    add(folder, "net/src/lib.rs", "net/services/src/new.rs")
    git(context, folder, "commit", "-qam", "net")
    add(folder, "soil-sys/bindgen/src/main.rs")
    found, _, _ = steps(context, folder, start)
    test_words = found["cargo clippy and test"]
    assert test_words[-6:] == ["-p", "net", "-p", "services", "-p", "soil-bindgen"], found
    assert found["cargo check"][-1] == "--workspace", found
    skips(found, "dune runtest", "dune @fmt")

    # Against the commit that has the crates, only later changes count.
    add(
        folder,
        "packages/soil-http/server.ml",
        "packages/soil-cstruct/new.ml",
        "tools/setup/test.sh",
    )
    found, _, _ = steps(context, folder, "HEAD")
    assert found["cargo clippy and test"][-2:] == ["-p", "soil-bindgen"], found
    packages = [f"@_build/default/packages/soil-{name}" for name in ("cstruct", "http")]
    aliases = [f"{package}/{name}" for package in packages for name in ("check", "runtest")]
    assert found["dune runtest"][1:] == aliases, found
    assert "dune @fmt" in found and found["syntax"] == ["sh", "-n", "tools/setup/test.sh"], found


@test()
def make_check_names_words_that_have_a_better_one(context):
    """Reports words by file and line, only in changed files; a file without such words passes."""
    folder = clone(context, "clone")
    words = os.path.join(ROOT, "tools/setup/words.py")
    wrong, right = os.path.join(folder, "draw/src/wrong.rs"), os.path.join(folder, "right.md")
    with open(wrong, "w", encoding="utf-8") as file:
        file.write("/// A file that isn't there.\nconst MOST_FILES: u8 = 1;\nfn look() {}\n")
    with open(right, "w", encoding="utf-8") as file:
        file.write("They are told apart. It looks there.\n")
    found, _, _ = steps(context, folder, "HEAD")
    assert set(found["words"][1:]) == {"draw/src/wrong.rs", "right.md"}, found
    done = context.run(words, wrong, right, check=False)
    lines = [line.split(": ")[0].removeprefix(wrong) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and lines == [":1", ":2", ":3"], done
    assert context.run(words, right).stdout == ""


@test()
def make_check_names_files_that_pages_name_and_that_are_missing(context):
    """Names are from the root or from the page's folder, whole, and not in code blocks. The code
    index also names functions, which its files have to define."""
    page = context.path("page.md")
    paths = os.path.join(ROOT, "tools/setup/paths.py")
    with open(page, "w", encoding="utf-8") as file:
        file.write("`net/src/lib.rs`, `lib.rs` and `src/lib.rs`\n")
        file.write("```\n`lib.py`\n```\n`page.md` `a.exe`\n")
    done = context.run(paths, page, check=False)
    found = [line.split(" is missing")[0].removeprefix(page) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and found == [":1: lib.rs", ":1: src/lib.rs"], done
    index = context.path("code-index.md")
    with open(index, "w", encoding="utf-8") as file:
        file.write(
            "| it | `sync/src/mutex.rs` (`level`, `wake`: late), `sync/src/lib.rs`, both (a) |\n"
        )
    done = context.run(paths, index, check=False)
    wanted = ":1: sync/src/mutex.rs doesn't define wake: name what does the work now\n"
    assert done.returncode == 1 and done.stdout.removeprefix(index) == wanted, done


@test(limit=120)
def make_check_finds_libraries_that_make_run_lacks(context):
    """Names an example's default target, and an example's or a template's program, that needs an
    OCaml library beyond those of `make run` and of its page."""
    folder = clone(context, "clone")
    shutil.copy(os.path.join(ROOT, RESOLVE), os.path.join(folder, RESOLVE))
    edits = (
        ("examples/replicated/dune", "(alias default)", "(alias none)"),
        ("examples/echo/dune", "(libraries ", "(libraries lwt.unix qcheck-core "),
        ("examples/cluster/README.md", "libpgocaml-ocaml-dev", "it"),
        ("tools/templates/tcp/dune", "(libraries ", "(libraries zarith "),
    )
    for path, old, new in edits:
        with open(os.path.join(folder, path), encoding="utf-8") as file:
            text = file.read()
        assert old in text, path
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
    done = context.run(os.path.join(folder, RESOLVE), check=False)
    lines = done.stdout.splitlines()
    found = [line.split()[-1] for line in lines if line.startswith("FAILED ")]
    assert found == ["run", "tools/templates/tcp", "examples/cluster", "examples/echo"], done
    assert 'Library "alcotest" not found' in done.stdout, done
    assert done.returncode == 1 and lines[-1] == "0 passed, 4 failed", done


@test()
def make_check_finds_a_commit_to_compare_with(context):
    """The base is origin/main, the upstream, or the previous commit; an invalid base name is an
    error."""
    folder = clone(context, "clone")
    add(folder, "draw/src/lib.rs")
    git(context, folder, "commit", "-qam", "draw")
    found, first, _ = steps(context, folder)
    assert first == "1 files differ from HEAD~1", first
    assert found["cargo clippy and test"][-2:] == ["-p", "draw"], found
    git(context, folder, "update-ref", "refs/remotes/origin/main", "HEAD~1")
    assert steps(context, folder)[1] == "1 files differ from origin/main"
    done = context.run(
        os.path.join(folder, CHECK), env={**os.environ, "BASE": "nothing"}, check=False
    )
    assert done.returncode == 1 and "BASE=nothing" in done.stderr, done


@test()
def tests_load_the_environment_of_set_up(context):
    """`tests/run.py` by hand finds the libraries that set-up has unpacked, whatever the shell's
    variables are."""
    wanted = context.run(
        "sh",
        "-c",
        'unset OCAMLPATH; eval "$(tools/setup/setup.sh environment)"; echo "$OCAMLPATH"',
        cwd=ROOT,
    )
    stand_ins, found = context.path("stand-ins"), context.path("found")
    os.mkdir(stand_ins)
    with open(os.path.join(stand_ins, "dune"), "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\necho "$OCAMLPATH" >{found}\nexit 1\n')
    os.chmod(os.path.join(stand_ins, "dune"), 0o755)
    environment = {**os.environ, "PATH": f"{stand_ins}:{os.environ['PATH']}"}
    for name in ("OCAMLPATH", "SOIL_TEST_ENVIRONMENT", "SOIL_TEST_SANDBOX"):
        environment.pop(name, None)
    words = os.path.join(ROOT, "tests/run.py"), "--build"
    done = context.run(*words, env=environment, check=False)
    assert "the programs don't build" in done.stderr, done
    with open(found, encoding="utf-8") as file:
        assert file.read() == wanted.stdout, (done, wanted)


@test()
def complete_runs_go_on_without_namespaces(context):
    """In a container with an engine's default privileges a complete run skips, by name, the tests
    that need a network of their own; a run by name says what is missing."""
    names = "programs/hello-process", "network/tcp-echo-process"
    words = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    words += [os.path.join(ROOT, "tests/run.py"), "--no-build", "--jobs=1", *names]
    environment = {**os.environ}
    environment.pop("SOIL_TEST_SANDBOX", None)
    done = context.run(*words, "--again", env=environment)
    found = [line.split(maxsplit=2)[:2] for line in done.stdout.splitlines()[:-1]]
    assert sorted(found) == [["ok", names[0]], ["skipped", names[1]]], done
    assert done.stdout.splitlines()[-1].startswith("1 passed, 0 failed, 1 skipped"), done
    done = context.run(*words, env=environment, check=False)
    assert done.returncode == 2 and "namespaces cannot be made here" in done.stderr, done
