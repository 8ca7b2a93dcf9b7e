# `make run` and `make test` set up all that they need; the other targets are for whoever works on the code.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: run test soak lint format bench build lock clean

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
WEB := plugins/dorami_storefront/web
DIST := plugins/dorami_storefront/static/dist/manifest.json
NODE_TESTS := tests/e2e/node
# Node from PATH where it is new enough, else the one that the wheel brings.
NODE_OK := $(shell node -e 'process.exit(+(process.versions.node.split(".")[0] < 20))' >/dev/null 2>&1 && echo yes)
NPM := PATH="$(if $(NODE_OK),$(PATH),$(CURDIR)/$(BIN):$(PATH))" npm
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --require-hashes

run: build
	@exec $(BIN)/dorami up --demo

build: $(VENV)/.run $(DIST)

test: $(VENV)/.dev $(DIST) $(NODE_TESTS)/node_modules/.installed
	$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile $(ARGS)

# Random runs for an hour, or MINUTES; SEED repeats one.
soak: $(VENV)/.dev $(DIST) $(NODE_TESTS)/node_modules/.installed
	$(BIN)/python -m pytest -m soak --soak-minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: $(VENV)/.dev $(WEB)/node_modules/.installed
	$(BIN)/ruff check dorami_core plugins tests bench
	$(BIN)/ruff format --check dorami_core plugins tests bench
	$(BIN)/mypy dorami_core plugins bench
	cd $(WEB) && $(NPM) run --silent types

format: $(VENV)/.dev
	$(BIN)/ruff check --fix dorami_core plugins tests bench
	$(BIN)/ruff format dorami_core plugins tests bench

bench: build
	@$(BIN)/python -m bench --help

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed and was not found on PATH." >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock requirements/node.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing what Dorami needs"
	@$(PIP) -r requirements/run.lock
	@$(if $(NODE_OK),true,$(PIP) -r requirements/node.lock)
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	@echo "installing what the tests need"
	@$(PIP) -r requirements/dev.lock
	@touch $@

$(WEB)/node_modules/.installed: $(WEB)/package-lock.json $(WEB)/.npmrc | $(VENV)/.run
	@echo "installing the pages' libraries"
	@cd $(WEB) && $(NPM) ci --loglevel=error --no-progress
	@touch $@

$(DIST): $(WEB)/node_modules/.installed $(shell find $(WEB)/src plugins/dorami_storefront/templates plugins/dorami_storefront/messages -type f 2>/dev/null)
	@echo "building the pages"
	@cd $(WEB) && $(NPM) run --silent build
	@touch $@

$(NODE_TESTS)/node_modules/.installed: $(NODE_TESTS)/package-lock.json | $(VENV)/.run
	@echo "installing the tests' Socket.IO client"
	@cd $(NODE_TESTS) && $(NPM) ci --loglevel=error --no-progress
	@touch $@

# After a change of the dependencies in pyproject.toml; needs uv.
UV_COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet
lock:
	$(UV_COMPILE) --extra build -o requirements/run.lock
	$(UV_COMPILE) --extra build --extra dev -c requirements/run.lock -o requirements/dev.lock
	$(UV_COMPILE) --extra build --extra node -c requirements/run.lock -o requirements/node.lock

clean:
	rm -rf $(VENV) $(WEB)/node_modules $(NODE_TESTS)/node_modules plugins/dorami_storefront/static/dist artefacts
