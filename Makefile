# dd_nnunet: every target sets up what it needs.
#   make demo        from synthetic volumes to a report with scores, in minutes on a CPU
#   make test        the test suite
#   make test-slow   the whole fault table, then the other slow tests: the demo as a test
#   make check       format, lint, types, floors, tests
#   make bench       the benchmarks that fit a CPU
#   make test-gpu    the tests that need CUDA
#   make bench-gpu   memory estimates and the diffusion model's step on CUDA
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu check format bench bench-gpu clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
DEMO ?= demo
# a process per processor, of one thread each: on two, half the time that one process of two threads takes
PYTEST_AT_ONCE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile
NEED_CUDA := import sys, torch; sys.exit(not torch.cuda.is_available() and "torch " + torch.__version__ + " sees no CUDA here")

help:
	@sed -n 's/^#   //p' Makefile

$(VENV)/.installed: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dd_nnunet needs Python 3.11 or newer, this is " + sys.version)'
	@echo 'Setting up $(VENV) with the pinned packages: a minute or two, quietly.'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" bash documentation/getting-started/demo.sh $(DEMO)

test: $(VENV)/.installed-dev
	$(PYTEST_AT_ONCE)

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m 'not gpu' tests/faults --durations=10
	$(BIN)/python -m pytest -m 'slow and not gpu' --ignore=tests/faults

# without CUDA every one of them would be skipped, which looks like success
test-gpu: $(VENV)/.installed-dev
	$(BIN)/python -c '$(NEED_CUDA)'
	$(BIN)/python -m pytest -m gpu -rs

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST_AT_ONCE)

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/consistency_loss.py
	$(BIN)/python benchmarks/diffusion_step.py
	$(BIN)/python benchmarks/diffusion_step.py --preset fast
	$(BIN)/python benchmarks/command_start.py

bench-gpu: $(VENV)/.installed
	$(BIN)/python -c '$(NEED_CUDA)'
	$(BIN)/python benchmarks/memory_model.py --device cuda
	$(BIN)/python benchmarks/diffusion_step.py --device cuda

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
