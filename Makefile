# `make demo`: from a fresh clone to tagged users. `make test`: every check. `make up`, `make down`: the local deployment.
SHELL := /bin/bash
PYTHON ?= python3
USERS ?= 100000
# Test files run side by side: most of them wait for processes that start.
TEST_WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
# Its time says what the virtual environment was made from; it is made anew where one of these files changed.
INSTALLED := $(VENV)/.installed

# The data plane's second environment: Spark 3.5, as on AWS Glue, and no Dagster.
VENV35 := .venv-spark35

.PHONY: help setup spark35 packages packages-test demo test lint bench up down status lock clean
.DEFAULT_GOAL := help

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: packages $(INSTALLED) ## Install what is missing

packages:
	@PYTHON=$(PYTHON) infra/local/install.sh

packages-test:
	@PYTHON=$(PYTHON) infra/local/install.sh test

$(INSTALLED): requirements.lock pyproject.toml | packages
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@# The lock file is complete; resolving again would trip over extras, which it does not name.
	@echo "Installing Python packages into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

spark35: $(VENV35)/.installed ## The environment with Spark 3.5 that tests use

$(VENV35)/.installed: requirements-spark35.lock | packages-test
	@test -x $(VENV35)/bin/python && $(VENV35)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV35)
	@echo "Installing Spark 3.5 into $(VENV35) (a minute the first time)"
	@$(VENV35)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-spark35.lock
	@touch $@

demo: setup ## Start storage, make up users, compute every tag, show what was written
	@$(BIN)/tag-platform init
	@$(BIN)/tag-platform sample-data --if-empty --users $(USERS)
	@$(BIN)/tag-platform run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests start a database and an object store of their own, on free ports and in a temporary folder.
test: packages-test lint spark35 ## Lint, types, and all tests
	$(BIN)/pytest -n $(TEST_WORKERS) --no-loadscope-reorder $(PYTEST_ARGS)

bench: setup ## Measure against the floor, on servers of its own; BENCH_ARGS="--users 200000 --only first-load,rerun"
	$(BIN)/python -m infra.benchmarks $(BENCH_ARGS)

up: setup ## Start the local deployment and print its addresses
	@$(BIN)/tag-platform init
	@$(BIN)/tag-platform up

down: ## Stop it; the data stay
	@test ! -x $(BIN)/tag-platform || $(BIN)/tag-platform down

status: ## What runs
	@$(BIN)/tag-platform status

lock: setup ## Write requirements.lock anew from pyproject.toml
	@$(BIN)/python -m venv $(VENV)/uv && $(VENV)/uv/bin/pip install --quiet --disable-pip-version-check uv
	@$(VENV)/uv/bin/uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --universal --quiet --output-file requirements.lock
	@$(VENV)/uv/bin/uv pip compile requirements-spark35.in --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --universal --quiet --output-file requirements-spark35.lock

clean: down ## Remove the virtual environment and all local data
	rm -rf $(VENV) $(VENV35) .nginx .tag_platform .pytest_cache .mypy_cache .ruff_cache .hypothesis
