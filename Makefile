# Everything a newcomer needs: `make test` checks the code, `make demo` shows what it is for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := build/tools
TEST_TOOLS := hypothesis opentelemetry-sdk pytest pytest-timeout statsmodels 'tomli; python_version < "3.11"'
export DSPY_CACHEDIR ?= $(CURDIR)/build/dspy-cache
export LITELLM_LOCAL_MODEL_COST_MAP ?= True

.PHONY: help setup test test-fast test-lowest lint types check demo bench dist clean
help:
	@echo "make setup      an environment in $(VENV)"
	@echo "make test       the tests (fetches the smallest model once)"
	@echo "make test-fast  those that need no model and little time"
	@echo "make test-lowest  the same, with the lowest versions that pyproject.toml allows (PYTHON=python3.10)"
	@echo "make lint       ruff (lint and format) and typos"
	@echo "make types      mypy strict on the built wheel"
	@echo "make demo       a DSPy program made anytime on a real model, start to end"
	@echo "make bench      the cost benchmarks of experiments/bench"
	@echo "make dist       wheel and sdist in dist/, checked as for an upload"

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

# In an environment of its own. No builds: a version without a wheel for this Python is none that anyone gets. Old
# packages warn of each other, which is no error of ours.
test-lowest: $(TOOLS)/.ready
	rm -rf build/lowest
	$(TOOLS)/bin/uv venv --quiet --seed --python $(PYTHON) build/lowest
	$(TOOLS)/bin/uv pip compile --quiet --resolution lowest-direct --no-build --extra plot \
		--python build/lowest/bin/python pyproject.toml --output-file build/lowest/versions.txt
	$(TOOLS)/bin/uv pip install --quiet --python build/lowest/bin/python --no-build \
		--requirement build/lowest/versions.txt $(TEST_TOOLS)
	$(TOOLS)/bin/uv pip install --quiet --python build/lowest/bin/python --no-deps --editable .
	build/lowest/bin/python -m pytest -m "not local_lm and not slow" --override-ini filterwarnings=default

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

# Tools of releases are kept out of the environment that is developed in.
$(TOOLS)/.ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet build twine check-wheel-contents uv
	@touch $@

dist: $(TOOLS)/.ready
	rm -rf dist
	$(TOOLS)/bin/python -m build --outdir dist .
	$(TOOLS)/bin/twine check --strict dist/*
	$(TOOLS)/bin/check-wheel-contents dist/*.whl

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
