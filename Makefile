# Everything a newcomer needs: `make test` checks the code, `make demo` shows what it is for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export DSPY_CACHEDIR ?= $(CURDIR)/build/dspy-cache
export LITELLM_LOCAL_MODEL_COST_MAP ?= True

.PHONY: help setup test test-fast lint types docs check demo bench clean
help:
	@echo "make setup      an environment in $(VENV)"
	@echo "make test       the tests (fetches the smallest model once)"
	@echo "make test-fast  those that need no model and little time"
	@echo "make lint       ruff (lint and format) and typos"
	@echo "make types      mypy strict on the built wheel"
	@echo "make docs       the documentation, link-checked, in build/site"
	@echo "make demo       a DSPy program made anytime on a real model, start to end"
	@echo "make bench      the cost benchmarks of experiments/bench"

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# The build backend's boxed warning of editable installs is no newcomer's business. Python compiles what it imports
	@# when it does: compiling all there is takes ten seconds.
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-compile --editable ".[dev]"
	@touch $(READY)

setup: $(READY)

test: setup
	$(BIN)/anytime-dspy models pull smollm2-135m-instruct
	$(BIN)/python -m pytest

test-fast: setup
	$(BIN)/python -m pytest -m "not local_lm and not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos

# programs/ and optimizers/ are mapped into the package by the build, so only the wheel shows the checker what users get.
types: setup
	rm -rf build/wheel build/unpacked
	$(BIN)/python -m build --quiet --wheel --outdir build/wheel .
	$(BIN)/python -m zipfile -e build/wheel/*.whl build/unpacked
	cd build/unpacked && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p anytime_dspy

# Needs an index for its packages alone, once; the site itself takes nothing from the network, and neither do its readers.
DOCS_READY := $(VENV)/.ready-docs
$(DOCS_READY): $(READY)
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-compile --editable ".[docs]"
	@touch $(DOCS_READY)

docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html; with its search: $(BIN)/python -m http.server --directory build/site"

check: lint types test

demo: setup
	$(BIN)/anytime-dspy demo --out runs/demo

bench: setup
	$(BIN)/python experiments/bench/run.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
