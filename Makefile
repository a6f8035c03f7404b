# Everything a newcomer needs: `make test` checks the code, `make demo` shows what it is for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export DSPY_CACHEDIR ?= $(CURDIR)/build/dspy-cache
export LITELLM_LOCAL_MODEL_COST_MAP ?= True
# As many processes as there are CPUs, since tests wait and start processes; tests/conftest.py keeps each file's together.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help setup test test-fast lint types check demo bench clean
help:
	@echo "make setup      an environment in $(VENV)"
	@echo "make test       the tests (fetches the smallest model once)"
	@echo "make test-fast  those that need no model and little time"
	@echo "make lint       ruff (lint and format) and typos"
	@echo "make types      mypy strict on the built wheel"
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
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not local_lm and not slow"

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

check: lint types test

demo: setup
	$(BIN)/anytime-dspy demo --out runs/demo

bench: setup
	$(BIN)/python experiments/bench/run.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
