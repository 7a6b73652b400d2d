# Each target does all the set-up it needs; `make help` lists them.

PYTHON ?= python3
FILE ?=
ARGS ?=
SECONDS ?= 600
SEEDS ?= 1000

VENV := .venv
BIN := $(VENV)/bin
DOCS := build/docs-venv
MODELS := build/models-venv
TARGET := $(or $(CARGO_TARGET_DIR),target)
REQUIREMENTS := requirements/dev.txt models/minilm/requirements.txt
# The page that the server shows: built where Node.js is, and in every wheel.
NPM := $(shell command -v npm)
PAGE := python/embedded_db/explorer/index.html
PAGE_SOURCES := $(shell find explorer -type f -not -path '*/node_modules/*')
MODEL := build/models/embedded_db_minilm-0.1.0-py3-none-any.whl

# One profile for tests, demo and benchmarks: docs/decisions/0003-build-and-test-profile.md.
PROFILE := --release
# Four GiB in memory, if there are so many.
QUICK := $(shell test -w /dev/shm && test "$$(df -Pk /dev/shm | awk 'END { print $$4 }')" -ge 4194304 && echo /dev/shm)
# Two crates need a Python interpreter; their tests are written in Python.
RUST_TESTS := $(PROFILE) --locked --workspace --exclude embedded-db-bindings --exclude embedded-db-ml-bridge

export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
unexport CONDA_PREFIX PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

.DELETE_ON_ERROR:
.PHONY: help build explorer demo test test-rust test-python test-explorer test-models torture simulate fuzz sanitize lint lint-rust lint-python lint-types lint-explorer no-explorer cross bench docs wheel clean FORCE

help:
	@echo 'make build           .venv with the package and its models'
	@echo 'make explorer        the page that the server shows, which needs Node.js'
	@echo 'make demo [FILE=…]   import conversations, enrich them, query them'
	@echo 'make test [ARGS=…]   every test; ARGS goes to pytest'
	@echo 'make torture         faults of disks, processes and limits, at full length'
	@echo 'make simulate [SEEDS=…] the store on a simulated machine, with so many seeds, 1000 by default'
	@echo 'make fuzz [SECONDS=…] every fuzzer for so long, 600 s by default'
	@echo 'make sanitize        the store in Miri and with AddressSanitizer'
	@echo 'make test-models     models of other packages, which are several gigabytes'
	@echo 'make lint            formatting, lints, types, other platforms'
	@echo 'make cross           type-check for Windows and macOS'
	@echo 'make bench           measure, print the figures'
	@echo 'make docs            the documentation as a site, in build/site'
	@echo 'make wheel           wheels in dist/, tried in an empty environment'
	@echo 'make clean           remove everything that was made'

build: $(VENV)/model.stamp $(if $(NPM),$(PAGE),no-explorer)
	$(BIN)/maturin develop $(PROFILE)

explorer: $(PAGE)

$(PAGE): explorer/node_modules/.package-lock.json $(PAGE_SOURCES)
	cd explorer && npm run --silent build -- --logLevel warn

explorer/node_modules/.package-lock.json: explorer/package-lock.json
	@command -v npm > /dev/null || { echo 'The Explorer is built with Node.js 20.19 or newer, which is not here'; exit 1; }
	cd explorer && npm ci --no-fund --no-audit
	@touch $@

no-explorer:
	@echo 'Node.js is not here: the server is built without the Explorer, and its tests are skipped'

demo: build
	$(BIN)/python examples/demo.py $(if $(FILE),"$(FILE)")

# Both at once, since tests wait for much; `make -k` shows what every one of them finds.
test: build
	cargo test $(RUST_TESTS) --no-run
	$(MAKE) --jobs 2 BUILT=yes test-rust test-python $(if $(NPM),test-explorer)

# Their files are in memory where there is room for them: what they wait for is no disk then.
test-rust test-python: export TMPDIR := $(or $(QUICK),$(TMPDIR),/tmp)
test-rust test-python: $(if $(BUILT),,build)

# Shown when it is done, and so not between the lines of the other.
test-rust:
	@output=$$(cargo test --no-fail-fast $(RUST_TESTS) -- --quiet 2>&1); status=$$?; echo "$$output"; exit $$status

test-python:
	$(BIN)/pytest -n auto --dist worksteal $(ARGS)

# What needs no browser; what does is among the tests in Python.
test-explorer: explorer/node_modules/.package-lock.json
	cd explorer && npm test --silent

# Thousands of seeds, kills, failing calls and power cuts: the short lengths of the same tests are in `make test`.
torture: build
	$(MAKE) simulate SEEDS=20000
	EMBEDDED_DB_TORTURE=1 $(BIN)/pytest --timeout 7200 tests/torture $(ARGS)

# In an environment of its own: few need these packages.
test-models: build $(MODELS)/requirements.stamp
	PYTHONPATH=python $(MODELS)/bin/pytest $(ARGS) tests/python/ml/test_packages.py

# Each seed is a history of its own; docs/reliability.md tells of it.
simulate:
	cargo run $(PROFILE) --locked -p embedded-db-simulator -- --seeds 0..$(SEEDS) --jobs $$(nproc)

# No other toolchain than the pinned one is needed; docs/reliability.md tells what is fuzzed.
fuzz:
	scripts/fuzz $(SECONDS)

# Says what it skips, where a toolchain is missing.
sanitize:
	scripts/sanitize

# Clippy has a target directory of its own: it builds PyO3 in another environment than maturin,
# and in a shared one the two would undo each other's work.
lint: lint-rust cross lint-python lint-types $(if $(NPM),lint-explorer)

lint-rust: $(VENV)/requirements.stamp
	cargo fmt --all --check
	scripts/third-party --check
	for other in benches/reference fuzz; do cargo metadata --locked --format-version 1 --manifest-path $$other/Cargo.toml > /dev/null || exit 1; done
	cargo clippy $(PROFILE) --locked --workspace --all-targets --target-dir $(TARGET)/lint -- -D warnings

lint-python: $(VENV)/requirements.stamp
	$(BIN)/python scripts/make-async --check
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lint-types: build
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/stubtest --mypy-config-file pyproject.toml embedded_db._native

lint-explorer: explorer/node_modules/.package-lock.json
	cd explorer && npm run --silent lint

cross: $(VENV)/requirements.stamp
	scripts/check-targets --target-dir $(TARGET)/lint

bench: build
	$(BIN)/python benches/run.py $(ARGS)

# In an environment of its own: it reads the source, and needs nothing that the package needs.
docs: $(DOCS)/requirements.stamp
	$(DOCS)/bin/mkdocs build --strict

wheel: $(VENV)/requirements.stamp $(MODEL) $(PAGE)
	rm -rf dist
	RUSTFLAGS='--remap-path-prefix=$(HOME)=' $(BIN)/maturin build --profile dist --locked --out dist
	cp $(MODEL) dist/
	$(BIN)/python scripts/pure-wheel dist
	scripts/smoke-wheels dist $(BIN)/python
	scripts/smoke-pure-wheel dist/embedded_db-*-py3-none-any.whl $(MODEL) $(BIN)/python

clean:
	rm -rf target build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f python/embedded_db/_native*.so
	rm -rf python/embedded_db/explorer explorer/node_modules

# Made anew when a pin changes, so that nothing stays behind.
$(VENV)/requirements.stamp: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one with: make PYTHON=…'; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install $(REQUIREMENTS:%=-r %)
	@touch $@

$(DOCS)/requirements.stamp: requirements/docs.txt
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/bin/python -m pip install -r requirements/docs.txt
	@touch $@

$(MODELS)/requirements.stamp: requirements/dev.txt requirements/models.txt
	$(PYTHON) -m venv --clear $(MODELS)
	$(MODELS)/bin/python -m pip install -r requirements/dev.txt -r requirements/models.txt
	@touch $@

# The script itself knows in a second whether its wheel is up to date.
$(MODEL): $(VENV)/requirements.stamp FORCE
	$(BIN)/python models/minilm/build.py $(@D)

# A new .venv has no models in it, however old their wheel is.
$(VENV)/model.stamp: $(MODEL) $(VENV)/requirements.stamp
	$(BIN)/python -m pip install --no-deps --force-reinstall $(MODEL)
	@touch $@
