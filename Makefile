# Everything a newcomer needs: `make test` checks the code, `make demo` shows what it is for.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.ready-demo
TOOLS := build/tools
TEST_TOOLS := hypothesis opentelemetry-sdk pytest pytest-timeout pytest-xdist statsmodels 'tomli; python_version < "3.11"'
export DSPY_CACHEDIR ?= $(CURDIR)/build/dspy-cache
export LITELLM_LOCAL_MODEL_COST_MAP ?= True
# As many processes as there are CPUs, since tests wait and start processes; tests/conftest.py keeps each file's together.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest $(PARALLEL)

.PHONY: help setup test test-fast test-lowest lint types docs check demo bench dist clean
help:
	@echo "make setup      an environment in $(VENV)"
	@echo "make test       the tests (fetches the smallest model once)"
	@echo "make test-fast  those that need no model and little time"
	@echo "make test-lowest  the same, with the lowest versions that pyproject.toml allows (PYTHON=python3.10)"
	@echo "make lint       ruff (lint and format) and typos"
	@echo "make types      mypy strict on the built wheel"
	@echo "make docs       the documentation, link-checked, in build/site"
	@echo "make demo       a DSPy program made anytime on a real model, start to end"
	@echo "make bench      the cost benchmarks of experiments/bench"
	@echo "make dist       wheel and sdist in dist/, checked as for an upload"

# The build backend's boxed warning of editable installs is no newcomer's business. Python compiles what it imports when it
# does: compiling all there is takes ten seconds.
INSTALL := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-compile --editable

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(INSTALL) ".[dev]"
	@touch $(READY) $(DEMO_READY)

# What the developers' tools take to install, a newcomer need not wait for.
$(DEMO_READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(INSTALL) ".[local,openvino,plot]"
	@touch $(DEMO_READY)

setup: $(READY)

test: setup
	$(BIN)/anytime-dspy models pull smollm2-135m-instruct
	$(PYTEST)

test-fast: setup
	$(PYTEST) -m "not local_lm and not slow"

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
	build/lowest/bin/python -m pytest $(PARALLEL) -m "not local_lm and not slow" --override-ini filterwarnings=default

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos

# programs/ and optimizers/ are mapped into the package by the build, so only the wheel shows the checker what users get.
types: setup
	rm -rf build/lib build/wheel build/unpacked
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

demo: $(DEMO_READY)
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
