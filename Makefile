# The few things one does with this project; `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8181
DATA   ?= .mlhub
MINUTES ?= 10
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --editable

.PHONY: help up down test chaos lint bench bench-quick
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

up: $(VENV)/.local rabbitmq curl ## start the whole hub on this machine (PORT=8181 DATA=.mlhub)
	@$(BIN)/mlhub up --port $(PORT) --data '$(DATA)'

down: ## stop it; its data stays
	@if [ -x $(BIN)/mlhub ]; then $(BIN)/mlhub down --data '$(DATA)'; fi

test: $(VENV)/.dev .venv-mlserver rabbitmq curl chromium ## install what the tests need, and run them all
	$(BIN)/python -m pytest

chaos: $(VENV)/.dev rabbitmq curl ## kill and stop every part under load for ten minutes (MINUTES=10)
	MLHUB_CHAOS_MINUTES=$(MINUTES) $(BIN)/python -m pytest -s tests/chaos/long.py

lint: $(VENV)/.dev ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev contestants rabbitmq wrk ## measure the figures of the documentation
	$(BIN)/python -m benchmarks --publish

bench-quick: $(VENV)/.dev contestants rabbitmq wrk ## the same, in less than three minutes
	$(BIN)/python -m benchmarks --quick

# Debian has the part of Python that makes virtual environments in a package of its own.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || deploy/apt-install.sh python3-venv
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Installed again only when what is needed changed.
$(VENV)/.local: pyproject.toml | $(VENV)/bin/python
	@echo "installing MLHub into $(VENV)"
	@$(PIP) '.[local,sklearn]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing MLHub and what its tests need into $(VENV)"
	@$(PIP) '.[local,all,s3,bench,flower,traces,dev]'
	@touch $@ $(VENV)/.local

# What the hub is tested with (MLServer) and compared with, each in an environment of its own, since their requirements clash.
CONTESTANTS := .venv-mlserver .venv-kserve .venv-litserve .venv-bentoml

.venv-mlserver: PACKAGES = mlserver==1.7.1 mlserver-sklearn==1.7.1 scikit-learn==1.9.1
.venv-kserve:   PACKAGES = kserve==0.21.0 scikit-learn==1.9.1
.venv-litserve: PACKAGES = litserve==0.2.19 scikit-learn==1.9.1
.venv-bentoml:  PACKAGES = bentoml==1.4.40 scikit-learn==1.9.1

.PHONY: $(CONTESTANTS)
$(CONTESTANTS): %: %/.installed

# The stamp is made last, so that an installation that was broken off is begun anew.
$(CONTESTANTS:%=%/.installed): %/.installed: | $(VENV)/bin/python
	@echo "installing $(PACKAGES) into $*"
	@rm -rf $* && $(PYTHON) -m venv $*
	@$*/bin/pip install --quiet --disable-pip-version-check $(PACKAGES) || { rm -rf $*; exit 1; }
	@touch $@

.PHONY: contestants
contestants: # one that cannot be installed is left out, and the report says so
	@$(MAKE) --no-print-directory --keep-going $(CONTESTANTS) || true

.PHONY: rabbitmq curl wrk chromium
rabbitmq:
	@[ -n "$(MLHUB_BROKER_URL)" ] || PATH="$$PATH:/usr/sbin" command -v rabbitmq-server >/dev/null || \
	  deploy/apt-install.sh rabbitmq-server

curl wrk chromium:
	@command -v $@ >/dev/null || deploy/apt-install.sh $@
