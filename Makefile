# Sets up .venv once, then demonstrates, tests or cleans.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
# Two `make`s at a time take turns, where the system can make them (no flock on macOS).
LOCK := $(if $(shell command -v flock),flock .venv.lock)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Many tests start a process: each would compile all of refold again, where the environment says to keep no bytecode.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test slow format clean
.DEFAULT_GOAL := demo

demo: setup
	$(BIN)/refold build examples/attention.py -o build/attention

# The tests of a file share what its fixtures prepare, so one process runs them; in order of name, since by the number of
# its tests the longest file, which has few, would run last and alone.
test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# What is too long for every run: all tests of every bundle, and many more mutants and random pipelines.
slow: setup
	$(BIN)/pytest -n 2 --dist worksteal -m slow
	REFOLD_RANDOM_SPECS=40 $(BIN)/pytest tests/test_random_specs.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp is looked at inside the lock, so the one that waited finds the work done.
setup:
	@$(LOCK) $(MAKE) --no-print-directory -s $(STAMP)

# torch goes first and pinned: asked for as a range, pip may bring a newer build with gigabytes of CUDA. Some builds of
# torch require their own triton, others none, so triton's pin is left out of the constraints, and holds only if
# torch brought no triton. setuptools is in .venv already, for torch needs it: no build environment is downloaded.
$(STAMP): pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "creating .venv with $$($$python --version)"; exec $$python -m venv --clear .venv; \
	  done; \
	  echo "refold needs Python 3.11 or newer: install it, or run 'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@echo "installing what constraints.txt names into .venv: a minute or two, once"
	@grep -v '^triton==' constraints.txt > .venv/constraints.txt
	$(BIN)/python -m pip install -qq -c .venv/constraints.txt setuptools $$(grep '^torch==' constraints.txt)
	@$(BIN)/python -m pip show -q triton 2>/dev/null || { \
	  grep '^triton==' constraints.txt > .venv/triton.txt; \
	  $(BIN)/python -m pip install -qq -c .venv/constraints.txt -r .venv/triton.txt; }
	$(BIN)/python -m pip install -qq -c .venv/constraints.txt --no-build-isolation -e '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf .venv .venv.lock build .mypy_cache .pytest_cache .ruff_cache .hypothesis refold.egg-info
