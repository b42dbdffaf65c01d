# Two commands do everything: `make demo` and `make test`. Both create .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)))" 2>/dev/null || echo 1)

.PHONY: demo test lint verify bench lock example clean help

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/' | expand -t 12

# A stamp per pinned file: a second call installs nothing unless the pins changed.
$(VENV)/.created:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'accelsim needs Python 3.11 or newer')"
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.txt pyproject.toml requirements-build.txt $(VENV)/.created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.runtime   ## run configs/runs/quickstart.yaml and say where the report is
	$(BIN)/accelsim run configs/runs/quickstart.yaml -o reports/quickstart -j $(JOBS)

test: $(VENV)/.dev       ## all fast tests
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.dev       ## style, types, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

verify: $(VENV)/.dev     ## slow suites, and all property tests on fresh random cases
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -n $(JOBS)

bench: $(VENV)/.dev      ## speed and memory as ratios, into docs/benchmarks.md (BENCH="--only NAME --cached-peers")
	$(BIN)/python -m benchmarks.run --write $(BENCH)

lock: $(VENV)/.created   ## pin the dependencies again, with hashes and without index addresses
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --strip-extras --allow-unsafe -o requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --strip-extras --allow-unsafe -c requirements.txt -o requirements-build.txt requirements-build.in
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --strip-extras --allow-unsafe -c requirements.txt -c requirements-build.txt -o requirements-dev.txt requirements-dev.in

example: $(VENV)/.runtime ## regenerate reports/example and the figures in README.md
	$(BIN)/accelsim run configs/runs/quickstart.yaml -o reports/example -j $(JOBS)
	$(BIN)/python scripts/update_readme.py reports/example/metrics.json

clean:           ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
