# make run    the main job: encrypted k-means on the mall customers
# make test   the checks and the tests
# make check  formatter, linter, types and import rules alone
# make clean  remove the virtual environment and what tools left behind

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: .venv/installed
	@echo "==> Encrypted k-means on the mall customers: two parties and a dealer on this machine"
	@$(BIN)/python launcher.py

test: check
	@echo "==> Running the tests"
	@$(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/installed-dev
	@echo "==> Checking format, style, types and import rules"
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.venv/installed: requirements.txt requirements-crypten.txt pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> Making .venv with Python and installing what the project uses; this takes some minutes, once"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -r requirements-crypten.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "==> Installing what the tests and checks use"
	@$(PIP) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache secure_kmeans.egg-info
