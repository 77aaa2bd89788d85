# The few things one does with this project; `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8181
DATA   ?= .mlhub
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help up down test lint bench bench-quick
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

up: $(VENV)/.local rabbitmq ## start the whole hub on this machine (PORT=8181 DATA=.mlhub)
	@$(BIN)/mlhub up --port $(PORT) --data $(DATA)

down: ## stop it; its data stays
	@if [ -x $(BIN)/mlhub ]; then $(BIN)/mlhub down --data $(DATA); fi

test: $(VENV)/.dev rabbitmq ## install what the tests need, and run them all
	$(BIN)/python -m pytest

lint: $(VENV)/.dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev rabbitmq wrk ## measure the figures of the documentation
	$(BIN)/python -m benchmarks.predict
	$(BIN)/python -m benchmarks.footprint

bench-quick: $(VENV)/.dev rabbitmq wrk ## the same, in less than three minutes
	$(BIN)/python -m benchmarks.predict --seconds 3 --rounds 2
	$(BIN)/python -m benchmarks.footprint --quick

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -y -q python3-venv'
	$(PYTHON) -m venv $(VENV)

# Installed again only when the dependencies changed.
$(VENV)/.local: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[local,sklearn]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[local,sklearn,dev]'
	@touch $@ $(VENV)/.local

.PHONY: rabbitmq wrk
# The package would start a node of the whole system; MLHub runs one of its own.
rabbitmq:
	@[ -n "$(MLHUB_BROKER_URL)" ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || \
	  { $(SUDO) sh -c 'apt-get update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends rabbitmq-server' && \
	    { ! command -v systemctl >/dev/null || $(SUDO) systemctl disable --now rabbitmq-server 2>/dev/null || true; }; }

wrk:
	@command -v wrk >/dev/null || $(SUDO) sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends wrk'
