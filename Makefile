# The one entry. `make run` and `make test` install what they need on Debian 12, 13 and testing (as
# root; otherwise they say what to run). Variables: CHECK=1 (run: fetch every page, compare, exit),
# PORT (run: 8080), PREFIX and DESTDIR (install), JOBS, ONLY=WORDS (test: only these end-to-end
# tests), BASE=COMMIT (check, mutants), TO, SIGN and URL (release), BENCH=GROUPS PAIRS=N DURATION=SECONDS MACHINE=q35
# ARCH=aarch64 (bench).
.DEFAULT_GOAL := help
.PHONY: help run check mutants test test-all test-rest test-long bench prove build doc fmt release install install-aarch64 uninstall clean setup unsetup ready-run ready-test ready-bench ready-doc

PREFIX ?= /usr/local
PORT ?= 8080
SETUP := tools/setup/setup.sh
# Each part of a target says its name and how long it took.
PHASE := tools/setup/phase.sh

# Rust may be in ~/.cargo/bin without being on PATH; an OCaml or Rust that is too old is left alone,
# another one goes before it.
export PATH := $(PATH):$(HOME)/.cargo/bin
# The folders of the user's own cargo don't apply to this build.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR CARGO_BUILD_TARGET
use_tools = unset MAKEFLAGS MAKELEVEL; eval "$$($(SETUP) environment)"

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

setup: ## install what every target needs (root), Rust for this user
	@$(SETUP) ensure bench
	@$(SETUP) ensure doc

unsetup: ## take back the package sources that set-up added (root)
	@$(SETUP) remove

ready-run ready-test ready-bench ready-doc: ready-%:
	@$(PHASE) 'set-up: packages, Rust' $(SETUP) ensure $*

build: ready-run ## the libraries, the examples in both forms, the soil command
	@$(use_tools); exec $(PHASE) 'build: the kernel, the libraries, the examples in both forms' tools/setup/build.sh

run: build ## the website example as a machine on http://127.0.0.1:8080/ (CHECK=1: fetch, compare, exit)
	@PORT='$(PORT)' CHECK='$(CHECK)' exec $(if $(CHECK),$(PHASE) 'check: the website in both forms') tools/setup/website.sh

check: ready-test ## formatters, linters and unit tests of what changed against origin/main (BASE=COMMIT)
	@$(use_tools); BASE='$(BASE)' tools/setup/check.py

mutants: ready-test ## plant one-line faults in what changed, list those that no unit test notices (BASE=COMMIT SEED=N COUNT=60 MINUTES=20)
	@$(use_tools); BASE='$(BASE)' SEED='$(SEED)' COUNT='$(COUNT)' MINUTES='$(MINUTES)' tools/setup/mutants.py

test: ready-test ## the tests of a change: all unit tests, and the end-to-end tests that notice most
	@$(use_tools); ONLY="$(ONLY)" tools/setup/test.sh

test-all: ready-test ## make test, and the other tests; CI runs them
	@$(use_tools); tools/setup/test.sh --all

test-rest: ready-test ## what make test-all has beyond make test
	@$(use_tools); tools/setup/test.sh --rest

test-long: ready-test ## make test-all and the long runs
	@$(use_tools); ONLY='$(ONLY)' tools/setup/test.sh --long

bench: ready-bench ## measure against a Linux micro-VM and Linux sockets, write and draw bench/results
	@$(if $(ARCH),$(SETUP) ensure $(ARCH))
	@$(use_tools); tools/setup/build.sh $(if $(ARCH),,--all) && bench/run.py $(if $(ARCH),--arch $(ARCH)) --only "$(BENCH)" $(if $(PAIRS),--pairs $(PAIRS)) $(if $(DURATION),--seconds $(DURATION)) $(if $(MACHINE),--machine $(MACHINE))

prove: ready-bench ## on a host with KVM: boots, correctness, exits, figures in one file to send (LONG=1: an hour)
	@$(use_tools); tools/setup/build.sh --all && bench/prove.py $(if $(LONG),--long)

doc: ready-doc ## the book (_build/book), the pages of the OCaml libraries (_build/default/_doc/_html) and of the crates (target/doc)
	@$(use_tools); cargo fetch -q --locked && dune build @doc && cargo doc -q --locked --workspace --no-deps && mdbook build docs
	@echo "The book: _build/book/index.html  OCaml: _build/default/_doc/_html/index.html  Rust: target/doc/"

fmt: ready-test ## format Rust, OCaml and Python
	@$(use_tools); cargo fmt --all; dune build @_build/default/fmt --auto-promote >/dev/null 2>&1 || dune build @_build/default/fmt
	@if command -v ruff >/dev/null; then ruff format -q .; else echo "left out: Python: ruff is missing; install it: pipx install ruff"; fi

release: ready-test ## TO=FOLDER SIGN=KEY: after make test-all, the archive, the prebuilt ones, the bill of materials, digests, the tag's message (URL=ADDRESS)
	@$(use_tools); exec tools/setup/release.sh "$(TO)" $(if $(URL),"$(URL)")

install: build ## into PREFIX (/usr/local), below DESTDIR if given
	@$(use_tools); tools/setup/install.sh install "$(PREFIX)" "$(DESTDIR)"

install-aarch64: build ## for images for arm64: the toolchain and Soil's libraries, for this user (docs/aarch64.md)
	@$(SETUP) ensure aarch64
	@$(use_tools); exec tools/setup/crossinstall.sh

uninstall: ## remove from PREFIX exactly what install wrote
	@tools/setup/install.sh uninstall "$(PREFIX)" "$(DESTDIR)"

clean: ## remove what was built
	@rm -rf _build target
