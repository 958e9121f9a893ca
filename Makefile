# `make demo` and `make test` set everything up by themselves; every other target does too.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: setup demo test check bench deep docs contracts lock clean

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
ARGS ?=

setup: .venv/.ready node_modules/.ready

.venv/.ready: requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "arbtui needs Python 3.11, 3.12 or 3.13 on PATH (or set PYTHON=...)" >&2; exit 2; }
	@echo "setup: Python packages into .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

node_modules/.ready: package-lock.json
	@echo "setup: the local chain's node, compiler and protocol artifacts into node_modules"
	@npm ci --silent --no-progress
	@touch $@

demo: setup
	@$(BIN)/arbtui demo $(ARGS)

test: setup
	@$(BIN)/python -m pytest $(ARGS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q -m "not chain and not forge" $(ARGS)

bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

deep: setup tests/deep/node_modules/.ready
	@HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest --timeout=7200 $(ARGS)
	@cd contracts && FOUNDRY_PROFILE=deep ../node_modules/@foundry-rs/forge-linux-amd64/bin/forge test
	@$(BIN)/python -m tests.contracts.mutants

tests/deep/node_modules/.ready: tests/deep/package-lock.json
	@echo "deep: protocols that only the long tests need into tests/deep/node_modules"
	@cd tests/deep && npm ci --silent --no-progress
	@touch $@

docs: setup
	@$(BIN)/python docs/build.py

contracts: setup
	node contracts/compile.mjs

# Pins are made anew with uv, which is not needed for anything else.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra devnet --extra notebook --extra alerts --extra metrics --extra replay --group dev pyproject.toml requirements/build.in -o requirements/dev.txt

clean:
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
