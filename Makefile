# Each target makes the environment it needs, so nothing has to be installed or activated first. Variables:
#   PYTHON        the interpreter to make it with (default: the first one found that is new enough)
#   MIA_SEG_VENV  its folder (default: .venv); several clones with the same constraints.txt may share one
#   ARGS          more arguments for `make demo` and `make test`

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
MIA_SEG_VENV ?= .venv

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
BIN := $(MIA_SEG_VENV)/bin
STAMP := $(MIA_SEG_VENV)/mia-seg.stamp

# An environment holds one editable install. This puts the clone that make runs in before it.
export PYTHONPATH := $(CURDIR)

.PHONY: help demo test lint types check docs wheel clean env install

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: env ## attack and defend a small victim on made-up street scenes, on this machine
	@"$(BIN)/mia-seg" demo $(ARGS)

# A file's tests share what they train, and so they stay in one process; processes beyond eight would train it anew.
test: env ## run the tests, on all cores
	@"$(BIN)/python" -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile $(ARGS)

lint: env ## check style and formatting
	@"$(BIN)/python" -m ruff check .
	@"$(BIN)/python" -m ruff format --check .

types: env ## check the types
	@"$(BIN)/python" -m mypy

check: lint types test ## all three of the above

docs: env ## build the documentation as a site in build/docs/site
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@"$(BIN)/python" docs/site.py build/docs
	@cd build/docs && "$(abspath $(BIN))/zensical" build --strict

wheel: env ## build dist/mia_seg-*.whl, recipes included
	@rm -f dist/mia_seg-*.whl
	@"$(BIN)/python" -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove caches and dist/; runs/ and the environment stay
	@rm -rf dist build .mypy_cache .pytest_cache .ruff_cache
	@find mia_seg tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is a copy of the files that the environment was made from: it is stale when they differ.
env:
	@cat pyproject.toml constraints.txt | cmp -s - "$(STAMP)" || $(MAKE) --no-print-directory install

install:
	@test -x "$(BIN)/python" || "$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "mia-seg needs Python 3.11 or later, and $(or $(PYTHON),python3) is missing or older. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x "$(BIN)/python" || "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) lacks the venv module. Install it (on Debian and Ubuntu: apt install python3-venv) or name another: make PYTHON=python3.12" >&2; exit 1; }
	@"$(BIN)/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv "$(MIA_SEG_VENV)"
	@echo "Installing into $(MIA_SEG_VENV). The first time this downloads PyTorch, which takes minutes."
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@cat pyproject.toml constraints.txt > "$(STAMP)"
