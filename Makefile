# Two commands matter: `make search` and `make test`. Both set up what they need, once, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUDGET ?= 8cpu-min
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: search test check format wheel-test clean

search: $(VENV)/.offline
	$(BIN)/autokd search --dataset pydocs --budget $(BUDGET)

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the wheel, installs it in an environment of its own, and runs it away from this folder.
wheel-test: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/test_wheel.py

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autokd needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.offline: $(BIN)/python pyproject.toml constraints.txt
	@echo 'Installing into $(VENV); torch is large, so this takes a few minutes the first time.'
	$(INSTALL) -e '.[offline,onnx]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo 'Installing into $(VENV); torch is large, so this takes a few minutes the first time.'
	$(INSTALL) -e '.[dev,offline]'
	touch $@ $(VENV)/.offline

clean:
	rm -rf $(VENV) build dist autokd.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
